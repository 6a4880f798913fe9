//! The memtable's generations.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::memtable::Generation;

/// The memtable's generations, oldest first; only the last is written.
#[derive(Default)]
pub struct Generations(ArcSwap<Vec<Arc<Generation>>>);

impl Generations {
    /// All of them, oldest first.
    pub fn load(&self) -> Arc<Vec<Arc<Generation>>> {
        self.0.load_full()
    }

    /// Adds one in its place: the newest, or one that is replayed.
    pub fn push(&self, generation: &Arc<Generation>) {
        self.0.rcu(|all| {
            let place = all.partition_point(|other| other.first() <= generation.first());
            let (older, newer) = all.split_at(place);
            older.iter().chain([generation]).chain(newer).cloned().collect::<Vec<_>>()
        });
    }

    /// Removes one whose parts are committed.
    pub fn remove(&self, generation: &Arc<Generation>) {
        self.0.rcu(|all| all.iter().filter(|other| !Arc::ptr_eq(other, generation)).cloned().collect::<Vec<_>>());
    }

    /// Bytes of memory they hold.
    pub fn allocated(&self) -> usize {
        self.0.load().iter().map(|generation| generation.allocated()).sum()
    }
}
