//! The rows between two sequence numbers.

use std::sync::{
    Arc,
    atomic::{
        AtomicUsize,
        Ordering::{Acquire, Relaxed, Release},
    },
};

use parking_lot::Mutex;

use super::{ArenaPool, Catalogue, Summary, Writer, arena::Words};
use crate::model::{SeqNo, Slot, StreamId, TableId};

/// The rows of the batches from one sequence number on. Filled by its [`Writer`], read by anybody.
#[derive(Debug)]
pub struct Generation {
    first: SeqNo,
    /// Runs and pieces.
    pub(super) rows: Words,
    /// Per slot the address of its first run, or 0.
    pub(super) slots: Words,
    /// The slots that have a run, in the order of their first row.
    touched: Words,
    touched_count: AtomicUsize,
    /// Locked once per batch and once per asking; never while rows are read or written.
    pub(super) summary: Mutex<Summary>,
}

impl Generation {
    /// An empty generation for batches from number `first` on, and the one writer it will ever have, which calls
    /// itself full from `size_max` bytes on.
    #[allow(clippy::new_ret_no_self)] // the writer is what makes it one-writer; a bare generation is no use
    pub fn new(pool: &Arc<ArenaPool>, first: SeqNo, size_max: usize) -> (Writer, Arc<Self>) {
        let generation = Arc::new(Self {
            first,
            rows: Words::new(pool),
            slots: Words::new(pool),
            touched: Words::new(pool),
            touched_count: AtomicUsize::new(0),
            summary: Mutex::default(),
        });
        (Writer::new(Arc::clone(&generation), size_max), generation)
    }

    /// The smallest sequence number it may hold.
    pub fn first(&self) -> SeqNo {
        self.first
    }

    /// What it holds now.
    pub fn summary(&self) -> Summary {
        self.summary.lock().clone()
    }

    /// Bytes it takes from the pool, in whole chunks.
    pub fn allocated(&self) -> usize {
        self.rows.allocated() + self.slots.allocated() + self.touched.allocated()
    }

    /// The streams that have rows here, sorted by table and stream: the order of a flush.
    pub fn touched(&self, catalogue: &Catalogue) -> Vec<(TableId, StreamId, Slot)> {
        let entry = |slot| {
            let (table, stream) = catalogue.stream_at(slot).expect("rows come with slots of the catalogue");
            (table, stream, slot)
        };
        let mut streams: Vec<_> = self.touched_slots().map(entry).collect();
        streams.sort_unstable();
        streams
    }

    /// The slots that have rows here, in the order of their first row.
    pub fn touched_slots(&self) -> impl Iterator<Item = Slot> {
        let count = self.touched_count.load(Acquire) as u64;
        (0..count).filter_map(|index| self.touched.get(index)).map(|word| Slot(word.load(Relaxed) as u32))
    }

    /// Adds a slot to the touched ones. For the writer alone.
    pub(super) fn touch(&self, slot: Slot) {
        let count = self.touched_count.load(Relaxed);
        self.touched.provide(count as u64);
        self.touched.at(count as u64)[0].store(u64::from(slot.0), Relaxed);
        self.touched_count.store(count + 1, Release);
    }
}
