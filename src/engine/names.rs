//! New streams and layouts: ids, reserved ahead so that none is ever given out twice.

use parking_lot::Mutex;

use super::{Edit, Engine};
use crate::durability::error_chain;
use crate::model::{LayoutId, Slot, StreamId, StreamKey, TableId};

/// Ids reserved with one manifest record; what a restart may skip of them does not matter.
const RESERVED_AHEAD: u32 = 1 << 16;

/// The next stream id.
pub(crate) struct StreamIds(Mutex<Next>);

struct Next {
    next: u32,
    /// Ids below this may be given out.
    reserved: u32,
}

impl StreamIds {
    pub(crate) fn new(next: u32) -> Self {
        Self(Mutex::new(Next { next, reserved: next }))
    }
}

/// Why a name got no number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// A limit is reached, in words for the client.
    #[error("{0}")]
    Limit(String),
    /// The field is one of our own.
    #[error("the field name {0:?} is reserved")]
    Reserved(&'static str),
    /// The disk failed; nothing is wrong with the name.
    #[error("no stream id can be reserved: {0}")]
    Storage(String),
}

impl NameError {
    fn limit(error: impl std::fmt::Display) -> Self {
        Self::Limit(error.to_string())
    }
}

impl Engine {
    /// The id and slot of a stream; new ones where it is new.
    pub fn stream(&self, key: &StreamKey) -> Result<(StreamId, Slot), NameError> {
        let table = self.index.schema.intern_table(key.measurement()).map_err(NameError::limit)?;
        let id = match self.index.streams.resolve(key) {
            Some(id) => id,
            None => self.new_stream(key, table)?,
        };
        Ok((id, self.memtable.catalogue.enter(table, id)))
    }

    fn new_stream(&self, key: &StreamKey, table: TableId) -> Result<StreamId, NameError> {
        let mut ids = self.stream_ids.0.lock();
        if let Some(id) = self.index.streams.resolve(key) {
            return Ok(id);
        }
        if self.index.streams.count() >= self.options.streams_max as usize {
            return Err(NameError::Limit(format!("limit of {} streams reached", self.options.streams_max)));
        }
        if ids.next >= ids.reserved {
            let reserved = ids.next.saturating_add(RESERVED_AHEAD);
            let edit = Edit { reserved_streams: Some(reserved), ..Edit::default() };
            self.record(&edit).map_err(|error| NameError::Storage(error_chain(&error)))?;
            ids.reserved = reserved;
        }
        let id = StreamId(ids.next);
        ids.next = ids.next.checked_add(1).ok_or_else(|| NameError::limit("all stream ids are used up"))?;
        self.index.streams.add(id, key, table);
        Ok(id)
    }

    /// The layout of a table with these fields, each once, and where the value of each of the layout's fields stands among
    /// them.
    pub fn layout(&self, table: &str, fields: &[&str]) -> Result<(LayoutId, Vec<u16>), NameError> {
        let width_max = self.memtable.pool.width_max().min(usize::from(u16::MAX));
        if fields.len() > width_max {
            return Err(NameError::Limit(format!("more than {width_max} fields in one line")));
        }
        self.index.layout(table, fields).map_err(NameError::limit)
    }
}
