//! What reading took.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What the queries on a view took so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// Blocks decoded, of parts and of pages that an earlier start left.
    pub blocks_read: u64,
    /// Blocks that were there and not decoded: for their time, table, streams or fields, or because the index tells what
    /// they come to. Each selector counts them anew.
    pub blocks_skipped: u64,
    /// Samples decoded from blocks; a block is decoded whole.
    pub samples_decoded: u64,
    /// Samples taken from memory.
    pub samples_in_memory: u64,
    /// Bytes of the columns decoded, as they are stored.
    pub bytes_read: u64,
}

/// Counts them, from any thread.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Blocks that were there, once for each selector.
    blocks_there: AtomicU64,
    blocks_read: AtomicU64,
    samples_decoded: AtomicU64,
    samples_in_memory: AtomicU64,
    bytes_read: AtomicU64,
}

impl Counters {
    /// A selector begins to read where so many blocks are.
    pub(super) fn begin(&self, blocks: u64) {
        self.blocks_there.fetch_add(blocks, Relaxed);
    }

    /// A block was decoded.
    pub(super) fn block(&self, samples: u64, bytes: u64) {
        self.blocks_read.fetch_add(1, Relaxed);
        self.samples_decoded.fetch_add(samples, Relaxed);
        self.bytes_read.fetch_add(bytes, Relaxed);
    }

    /// Samples were found in memory.
    pub(super) fn memory(&self, samples: usize) {
        self.samples_in_memory.fetch_add(samples as u64, Relaxed);
    }

    pub(super) fn reads(&self) -> Reads {
        let blocks_read = self.blocks_read.load(Relaxed);
        Reads {
            blocks_read,
            blocks_skipped: self.blocks_there.load(Relaxed).saturating_sub(blocks_read),
            samples_decoded: self.samples_decoded.load(Relaxed),
            samples_in_memory: self.samples_in_memory.load(Relaxed),
            bytes_read: self.bytes_read.load(Relaxed),
        }
    }
}
