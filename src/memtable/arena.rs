//! Chunks of words that go round between generations.
//!
//! Touching fresh memory costs 1–6 µs per 4 KiB page on a virtual machine, a second touch 0.01 µs. So a chunk is
//! kept when its generation goes, up to a bound, and the next generation takes it dirty.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
};

use parking_lot::Mutex;

use crate::model::AppendTable;

/// One chunk: `2^chunk_bits` words.
pub(super) type Chunk = Box<[AtomicU64]>;

/// Sizes of an [`ArenaPool`].
#[derive(Clone, Copy, Debug)]
pub struct ArenaOptions {
    /// Bytes of a chunk: a power of two from 1 KiB on. A row must fit, see [`ArenaPool::width_max`].
    pub chunk_size: usize,
    /// Bytes of unused chunks that are kept for the next generation; what comes back beyond them is freed.
    pub spare_size_max: usize,
}

impl Default for ArenaOptions {
    /// Chunks of 1 MiB: few enough to count, large enough that their unused tails do not matter. 256 MiB of them kept.
    fn default() -> Self {
        Self { chunk_size: 1 << 20, spare_size_max: 256 << 20 }
    }
}

/// Where generations take their memory from and give it back. It starts empty and keeps at most `spare_size_max`.
#[derive(Debug)]
pub struct ArenaPool {
    chunk_bits: u32,
    spare_count_max: usize,
    spare: Mutex<Vec<Chunk>>,
    used_count: AtomicUsize,
}

impl ArenaPool {
    /// A pool without any chunk. Panics where the chunk size is no power of two or below 1 KiB.
    pub fn new(options: ArenaOptions) -> Arc<Self> {
        let ArenaOptions { chunk_size, spare_size_max } = options;
        assert!(chunk_size.is_power_of_two() && chunk_size >= 1024, "chunks of {chunk_size} bytes");
        Arc::new(Self {
            chunk_bits: (chunk_size / size_of::<u64>()).ilog2(),
            spare_count_max: spare_size_max / chunk_size,
            spare: Mutex::default(),
            used_count: AtomicUsize::new(0),
        })
    }

    /// Bytes that generations hold now.
    pub fn used_size(&self) -> usize {
        self.used_count.load(Relaxed) * self.chunk_size()
    }

    /// Bytes kept for the next generation.
    pub fn spare_size(&self) -> usize {
        self.spare.lock().len() * self.chunk_size()
    }

    /// Bytes of a chunk.
    pub fn chunk_size(&self) -> usize {
        size_of::<u64>() << self.chunk_bits
    }

    /// The widest layout whose rows fit a chunk: 65,532 fields with chunks of 1 MiB. Ingest refuses wider lines.
    pub fn width_max(&self) -> usize {
        super::writer::width_max(1 << self.chunk_bits)
    }

    pub(super) fn chunk_bits(&self) -> u32 {
        self.chunk_bits
    }

    /// A chunk with anything in it.
    fn take(&self) -> Chunk {
        self.used_count.fetch_add(1, Relaxed);
        let spare = self.spare.lock().pop();
        spare.unwrap_or_else(|| (0..1_usize << self.chunk_bits).map(|_| AtomicU64::new(0)).collect())
    }

    fn give(&self, chunks: impl Iterator<Item = Chunk>) {
        for chunk in chunks {
            self.used_count.fetch_sub(1, Relaxed);
            let mut spare = self.spare.lock();
            if spare.len() < self.spare_count_max {
                spare.push(chunk);
            }
        }
    }
}

/// Words at addresses from 0 on, in chunks from a pool, to which they go back on drop. One thread adds chunks; all read.
#[derive(Debug)]
pub(super) struct Words {
    pool: Arc<ArenaPool>,
    bits: u32,
    chunks: AppendTable<OnceLock<Chunk>>,
    chunk_count: AtomicUsize,
}

impl Words {
    pub(super) fn new(pool: &Arc<ArenaPool>) -> Self {
        let chunk_count = AtomicUsize::new(0);
        Self { pool: Arc::clone(pool), bits: pool.chunk_bits(), chunks: AppendTable::default(), chunk_count }
    }

    /// The words from `address` to the end of its chunk. Panics where that chunk was never asked for.
    #[inline]
    pub(super) fn at(&self, address: u64) -> &[AtomicU64] {
        let (chunk, place) = self.split(address);
        let chunk = self.chunks.get(chunk).and_then(OnceLock::get).expect("addresses are given out with their chunk");
        &chunk[place..]
    }

    /// The word at `address`, or `None` where no chunk was asked for.
    #[inline]
    pub(super) fn get(&self, address: u64) -> Option<&AtomicU64> {
        let (chunk, place) = self.split(address);
        self.chunks.get(chunk).and_then(OnceLock::get).map(|chunk| &chunk[place])
    }

    /// Makes the words of `address`'s chunk usable, with anything in them.
    pub(super) fn provide(&self, address: u64) {
        self.provide_chunk(address, |_| {});
    }

    /// Makes the words of `address`'s chunk usable; they are 0 where the chunk was not there yet.
    pub(super) fn provide_zeroed(&self, address: u64) {
        self.provide_chunk(address, |chunk| chunk.iter().for_each(|word| word.store(0, Relaxed)));
    }

    fn provide_chunk(&self, address: u64, prepare: impl FnOnce(&Chunk)) {
        let (chunk, _) = self.split(address);
        self.chunks.get_or_grow(chunk).get_or_init(|| {
            self.chunk_count.fetch_add(1, Relaxed);
            let chunk = self.pool.take();
            prepare(&chunk);
            chunk
        });
    }

    /// Words in a chunk.
    pub(super) fn chunk_len(&self) -> u64 {
        1 << self.bits
    }

    /// Bytes of all chunks.
    pub(super) fn allocated(&self) -> usize {
        self.chunk_count.load(Relaxed) * self.pool.chunk_size()
    }

    #[inline]
    fn split(&self, address: u64) -> (usize, usize) {
        let place = address & (self.chunk_len() - 1);
        ((address >> self.bits) as usize, place as usize)
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        self.pool.give(self.chunks.drain().filter_map(|mut chunk| chunk.take()));
    }
}
