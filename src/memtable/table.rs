//! What all generations of a process share.

use std::sync::Arc;

use super::{ArenaPool, Catalogue, Generation, Writer};
use crate::model::SeqNo;

/// The catalogue and the memory of all generations, and how large one may become.
#[derive(Debug)]
pub struct Memtable {
    /// Streams in order, with their slots.
    pub catalogue: Catalogue,
    /// The chunks rows are in.
    pub pool: Arc<ArenaPool>,
    /// Bytes from which on a generation is full.
    pub generation_size: usize,
}

impl Memtable {
    /// The next generation, for batches from number `first` on, and its one writer.
    pub fn generation(&self, first: SeqNo) -> (Writer, Arc<Generation>) {
        Generation::new(&self.pool, first, self.generation_size)
    }
}
