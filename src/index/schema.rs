//! Tables, fields and layouts of this process: names and their numbers.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use parking_lot::RwLock;

use crate::model::{AppendTable, FieldId, LayoutId, TableId};

/// How many names and layouts a schema takes. They are never forgotten, so a client that makes them up must be stopped.
#[derive(Clone, Copy, Debug)]
pub struct SchemaLimits {
    /// Most tables.
    pub tables_max: usize,
    /// Most field names, over all tables.
    pub fields_max: usize,
    /// Most layouts, over all tables.
    pub layouts_max: usize,
}

impl Default for SchemaLimits {
    /// Far above what agents send, and about 100 MB when a hostile client uses it all up.
    fn default() -> Self {
        Self { tables_max: 100_000, fields_max: 100_000, layouts_max: 200_000 }
    }
}

/// Why a name or layout was not taken in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// A limit is reached. What is known already still works.
    #[error("no more than {max} {what} are taken")]
    Full {
        /// "tables", "field names" or "layouts".
        what: &'static str,
        /// The limit.
        max: usize,
    },
}

/// A table and the sorted set of fields a line has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Layout {
    /// The table.
    pub table: TableId,
    /// Its fields, ascending by id, each once.
    pub fields: Box<[FieldId]>,
}

/// The names of tables and fields, and the layouts, each with a dense number. From number to name takes no lock; from
/// name to number a short one, shared between readers.
#[derive(Debug)]
pub struct Schema {
    tables: Interner<str>,
    fields: Interner<str>,
    layouts: Interner<Layout>,
}

impl Schema {
    /// An empty schema.
    pub fn new(limits: SchemaLimits) -> Self {
        Self {
            tables: Interner::new("tables", limits.tables_max),
            fields: Interner::new("field names", limits.fields_max),
            layouts: Interner::new("layouts", limits.layouts_max),
        }
    }

    /// The number of a measurement, a new one where it was not known.
    pub fn intern_table(&self, name: &str) -> Result<TableId, SchemaError> {
        self.tables.intern(name, || name.into()).map(TableId)
    }

    /// The number of a field name, a new one where it was not known.
    pub fn intern_field(&self, name: &str) -> Result<FieldId, SchemaError> {
        self.fields.intern(name, || name.into()).map(FieldId)
    }

    /// The number of a layout, a new one where it was not known. Panics unless the fields ascend, each once.
    pub fn intern_layout(&self, table: TableId, fields: &[FieldId]) -> Result<LayoutId, SchemaError> {
        assert!(fields.is_sorted_by(|a, b| a < b), "a layout's fields ascend");
        let layout = Layout { table, fields: fields.into() };
        self.layouts.intern(&layout, || Arc::new(layout.clone())).map(LayoutId)
    }

    /// The number of a measurement, if it is known.
    pub fn table(&self, name: &str) -> Option<TableId> {
        self.tables.find(name).map(TableId)
    }

    /// The number of a field name, if it is known.
    pub fn field(&self, name: &str) -> Option<FieldId> {
        self.fields.find(name).map(FieldId)
    }

    /// The measurement a number stands for. Panics for a number that this schema did not give.
    pub fn table_name(&self, table: TableId) -> &str {
        self.tables.get(table.0)
    }

    /// The field name a number stands for. Panics for a number that this schema did not give.
    pub fn field_name(&self, field: FieldId) -> &str {
        self.fields.get(field.0)
    }

    /// The layout a number stands for. Panics for a number that this schema did not give.
    pub fn layout(&self, layout: LayoutId) -> &Arc<Layout> {
        self.layouts.get(layout.0)
    }

    /// The number of tables: their ids are all below.
    pub fn table_count(&self) -> usize {
        self.tables.ids.read().len()
    }

    /// The number of layouts.
    pub fn layout_count(&self) -> usize {
        self.layouts.ids.read().len()
    }
}

/// Things and their dense numbers.
#[derive(Debug)]
struct Interner<T: ?Sized> {
    what: &'static str,
    max: usize,
    ids: RwLock<HashMap<Arc<T>, u32>>,
    things: AppendTable<OnceLock<Arc<T>>>,
}

impl<T: ?Sized + Eq + std::hash::Hash> Interner<T> {
    fn new(what: &'static str, max: usize) -> Self {
        Self { what, max: max.min(u32::MAX as usize), ids: RwLock::default(), things: AppendTable::default() }
    }

    fn find(&self, thing: &T) -> Option<u32> {
        self.ids.read().get(thing).copied()
    }

    fn get(&self, id: u32) -> &Arc<T> {
        self.things.get(id as usize).and_then(OnceLock::get).expect("only numbers of this schema are asked for")
    }

    fn intern(&self, thing: &T, own: impl FnOnce() -> Arc<T>) -> Result<u32, SchemaError> {
        if let Some(id) = self.find(thing) {
            return Ok(id);
        }
        let mut ids = self.ids.write();
        if let Some(&id) = ids.get(thing) {
            return Ok(id);
        }
        if ids.len() >= self.max {
            return Err(SchemaError::Full { what: self.what, max: self.max });
        }
        let id = ids.len() as u32;
        let thing = self.things.get_or_grow(id as usize).get_or_init(own);
        ids.insert(Arc::clone(thing), id);
        Ok(id)
    }
}
