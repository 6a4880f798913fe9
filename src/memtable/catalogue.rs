//! The ordered catalogue of streams.

use std::{
    fmt,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use crossbeam_skiplist::SkipMap;
use parking_lot::Mutex;

use crate::model::{AppendTable, Slot, StreamId, TableId};

/// All streams written since the start, in the order of (table, stream), each with a dense slot from 0 on.
///
/// Reading takes no lock. Entering a new stream takes one, so that slots stay dense; that happens once per stream.
#[derive(Default)]
pub struct Catalogue {
    streams: SkipMap<(TableId, StreamId), Slot>,
    by_slot: AppendTable<OnceLock<(TableId, StreamId)>>,
    count: AtomicU32,
    entering: Mutex<()>,
}

impl Catalogue {
    /// The stream's slot: its own, or the next one where it is new. Any thread may ask, for the same stream too.
    pub fn enter(&self, table: TableId, stream: StreamId) -> Slot {
        self.slot(table, stream).unwrap_or_else(|| self.enter_new(table, stream))
    }

    fn enter_new(&self, table: TableId, stream: StreamId) -> Slot {
        let _entering = self.entering.lock();
        if let Some(slot) = self.slot(table, stream) {
            return slot;
        }
        let slot = Slot(self.count.load(Relaxed));
        self.by_slot.get_or_grow(slot.0 as usize).get_or_init(|| (table, stream));
        self.streams.insert((table, stream), slot);
        self.count.store(slot.0 + 1, Relaxed);
        slot
    }

    /// The slot of a stream that was entered.
    pub fn slot(&self, table: TableId, stream: StreamId) -> Option<Slot> {
        self.streams.get(&(table, stream)).map(|entry| *entry.value())
    }

    /// The stream that has a slot.
    pub fn stream_at(&self, slot: Slot) -> Option<(TableId, StreamId)> {
        self.by_slot.get(slot.0 as usize).and_then(OnceLock::get).copied()
    }

    /// The streams of a table and their slots, by stream id.
    pub fn streams(&self, table: TableId) -> impl Iterator<Item = (StreamId, Slot)> {
        let range = (table, StreamId(0))..=(table, StreamId(u32::MAX));
        self.streams.range(range).map(|entry| (entry.key().1, *entry.value()))
    }

    /// How many streams were entered.
    pub fn count(&self) -> usize {
        self.count.load(Relaxed) as usize
    }
}

impl fmt::Debug for Catalogue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Catalogue").field("count", &self.count()).finish_non_exhaustive()
    }
}
