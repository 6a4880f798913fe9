//! Names and labels in memory: which tables, fields and layouts there are, and which streams match a query.
//!
//! ```text
//! Schema    table names, field names, layouts <-> numbers of this process; only grows, numbers are read without locks
//! Streams   stream id <-> key; label pair -> streams; per table its streams, and those that ever had each layout
//! select    matchers -> tables, fields and streams
//! names     matchers -> label names, label values, label sets
//! part      the file of streams that are new in a partition
//! ```
//!
//! What is selected is pairs of a field and a stream, since that is a series. Matchers on the metric name say nothing
//! about a stream alone (`{__name__!="cpu_usage_user",host="a"}` keeps `cpu_usage_idle` of the same stream), so they
//! are evaluated on the fields of the tables, and the others on the streams.
//!
//! Always: what a selection names exists: each of its streams was seen with each of its fields. A tag called
//! `__name__` is no label; the metric name takes its place.
//!
//! Locks: [`Streams`] has one. A writer holds it for one stream, 1–3 µs, and its hash tables grow in 64 pieces so
//! that the unlucky one waits for a 64th. A reader that walks much lets writers pass every 1,024 values or streams,
//! and still answers as of its beginning: the streams that were there then are the only ones it considers, and what
//! the index says about a stream's labels never changes.

mod cardinality;
mod keys;
mod names;
mod part;
mod postings;
mod schema;
mod select;
mod streams;

#[cfg(test)]
mod tests;

pub use cardinality::Cardinality;
pub use keys::KEY_SIZE_MAX;
pub use part::{Error, Fault, IndexEntry, IndexPart, IndexPartBuilder};
pub use schema::{Layout, Schema, SchemaError, SchemaLimits};
pub use select::Selection;
pub use streams::Streams;

use crate::model::{LayoutId, StreamId, StreamKey};

/// Names and streams together: what all layers above share.
#[derive(Debug)]
pub struct Index {
    /// Tables, fields and layouts.
    pub schema: Schema,
    /// Streams and their labels.
    pub streams: Streams,
}

impl Index {
    /// An empty one; see [`Streams::new`] for `seed`.
    pub fn new(limits: SchemaLimits, seed: u64) -> Self {
        Self { schema: Schema::new(limits), streams: Streams::new(seed) }
    }

    /// The key of a stream that was added. Panics for one that was not.
    pub fn key(&self, stream: StreamId) -> StreamKey {
        self.streams.key(stream).expect("a stream is added before its rows are")
    }

    /// The layout of a table with these fields, each once and in any order, and where each of the layout's fields stands
    /// among them. New names get numbers.
    pub fn layout(&self, table: &str, fields: &[&str]) -> Result<(LayoutId, Vec<u16>), SchemaError> {
        let table = self.schema.intern_table(table)?;
        let ids = fields.iter().map(|name| self.schema.intern_field(name)).collect::<Result<Vec<_>, _>>()?;
        let mut order: Vec<u16> = (0..fields.len() as u16).collect();
        order.sort_unstable_by_key(|&place| ids[usize::from(place)]);
        let sorted: Vec<_> = order.iter().map(|&place| ids[usize::from(place)]).collect();
        Ok((self.schema.intern_layout(table, &sorted)?, order))
    }

    /// The names of a layout's table and fields, in the order of its values.
    pub fn layout_names(&self, layout: LayoutId) -> (String, Vec<String>) {
        let layout = self.schema.layout(layout);
        let fields = layout.fields.iter().map(|field| self.schema.field_name(*field).to_owned()).collect();
        (self.schema.table_name(layout.table).to_owned(), fields)
    }
}
