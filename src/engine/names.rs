//! New streams and layouts: ids, reserved ahead so that none is ever given out twice.

use parking_lot::Mutex;

use super::{Edit, Engine};
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

impl Engine {
    /// The id and slot of a stream; new ones where it is new. The error is a limit, in words for the client.
    pub fn stream(&self, key: &StreamKey) -> Result<(StreamId, Slot), String> {
        let table = self.index.schema.intern_table(key.measurement()).map_err(|error| error.to_string())?;
        let id = match self.index.streams.resolve(key) {
            Some(id) => id,
            None => self.new_stream(key, table)?,
        };
        Ok((id, self.memtable.catalogue.enter(table, id)))
    }

    fn new_stream(&self, key: &StreamKey, table: TableId) -> Result<StreamId, String> {
        let mut ids = self.stream_ids.0.lock();
        if let Some(id) = self.index.streams.resolve(key) {
            return Ok(id);
        }
        if self.index.streams.count() >= self.options.streams_max as usize {
            return Err(format!("limit of {} streams reached", self.options.streams_max));
        }
        if ids.next >= ids.reserved {
            let reserved = ids.next.saturating_add(RESERVED_AHEAD);
            let edit = Edit { reserved_streams: Some(reserved), ..Edit::default() };
            self.record(&edit).map_err(|error| format!("no stream id can be reserved: {error}"))?;
            ids.reserved = reserved;
        }
        let id = StreamId(ids.next);
        ids.next = ids.next.checked_add(1).ok_or("all stream ids are used up")?;
        self.index.streams.add(id, key, table);
        Ok(id)
    }

    /// The layout of a table with these fields, each once, and where the value of each of the layout's fields stands among
    /// them. The error is a limit, in words for the client.
    pub fn layout(&self, table: &str, fields: &[&str]) -> Result<(LayoutId, Vec<u16>), String> {
        let width_max = self.memtable.pool.width_max().min(usize::from(u16::MAX));
        if fields.len() > width_max {
            return Err(format!("more than {width_max} fields in one line"));
        }
        self.index.layout(table, fields).map_err(|error| error.to_string())
    }
}
