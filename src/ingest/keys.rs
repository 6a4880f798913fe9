//! From a line's raw key to its stream, by hash.

use hashbrown::HashTable;
use parking_lot::RwLock;
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_seed};

use crate::model::{Slot, StreamId};

/// As many locks as keep a dozen writers from meeting.
const SHARDS: usize = 64;

/// A keyed 128-bit hash of what is written before a line's fields, and of the body's `db`. Two keys of one hash would be
/// taken for one stream: with a secret seed that chance is about n² / 2^129, 10^-27 for a million streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyHash(u64, u64);

/// Stream and slot by key hash: 24 bytes an entry, in tables that grow by doubling. One stream can be written in many
/// ways (its tags in another order), so a shard that has grown beyond its share begins anew.
pub(crate) struct KeyCache {
    seed: u64,
    shard_entries_max: usize,
    shards: Vec<RwLock<HashTable<Entry>>>,
}

#[derive(Clone, Copy)]
struct Entry {
    hash: KeyHash,
    stream: StreamId,
    slot: Slot,
}

impl KeyCache {
    /// A cache of about `entries_max` entries at most, whose hashes depend on a secret `seed`.
    pub(crate) fn new(seed: u64, entries_max: usize) -> Self {
        let shard_entries_max = entries_max.div_ceil(SHARDS).max(1);
        Self { seed, shard_entries_max, shards: (0..SHARDS).map(|_| RwLock::default()).collect() }
    }

    /// What the hashes of a body with this `db` label begin with.
    pub(crate) fn seed_for(&self, db: Option<&str>) -> u64 {
        db.map_or(self.seed, |db| xxh3_64_with_seed(db.as_bytes(), self.seed))
    }

    pub(crate) fn hash(seed: u64, raw_key: &[u8]) -> KeyHash {
        let hash = xxh3_128_with_seed(raw_key, seed);
        KeyHash(hash as u64, (hash >> 64) as u64)
    }

    pub(crate) fn get(&self, hash: KeyHash) -> Option<(StreamId, Slot)> {
        let shard = self.shard(hash).read();
        shard.find(hash.0, |entry| entry.hash == hash).map(|entry| (entry.stream, entry.slot))
    }

    pub(crate) fn insert(&self, hash: KeyHash, stream: StreamId, slot: Slot) {
        let mut shard = self.shard(hash).write();
        if shard.find(hash.0, |entry| entry.hash == hash).is_none() {
            if shard.len() >= self.shard_entries_max {
                shard.clear();
            }
            shard.insert_unique(hash.0, Entry { hash, stream, slot }, |entry| entry.hash.0);
        }
    }

    fn shard(&self, hash: KeyHash) -> &RwLock<HashTable<Entry>> {
        &self.shards[hash.1 as usize % SHARDS]
    }
}
