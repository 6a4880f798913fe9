//! The bytes of all stream keys, once, and hash tables that refer to them.

use hashbrown::HashTable;

/// Longest stream key in bytes. Ingest refuses longer ones.
pub const KEY_SIZE_MAX: usize = 1 << PAGE_BITS;

/// Keys lie in pages of 256 KiB: growing never copies, and a key's page is the high bits of its place.
const PAGE_BITS: u32 = 18;

/// A piece of the arena in one word: `start << 24 | length`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Text(u64);

impl Text {
    fn new(start: usize, len: usize) -> Self {
        Self((start as u64) << 24 | len as u64)
    }

    fn start(self) -> usize {
        (self.0 >> 24) as usize
    }

    fn len(self) -> usize {
        (self.0 & 0xff_ffff) as usize
    }

    /// `part` of this text, given the bytes that were added as it.
    pub(super) fn part(self, bytes: &[u8], part: &str) -> Self {
        let offset = part.as_ptr().addr() - bytes.as_ptr().addr();
        assert!(offset + part.len() <= bytes.len(), "it is a part");
        Self::new(self.start() + offset, part.len())
    }

    /// Whether it is the default, which no added text equals, as keys are not empty.
    pub(super) fn is_none(self) -> bool {
        self == Self::default()
    }
}

/// Bytes that are only added to.
#[derive(Debug, Default)]
pub(super) struct KeyArena {
    pages: Vec<Vec<u8>>,
}

impl KeyArena {
    pub(super) fn add(&mut self, bytes: &[u8]) -> Text {
        assert!(bytes.len() <= KEY_SIZE_MAX, "ingest lets no key of {} bytes through", bytes.len());
        if self.pages.last().is_none_or(|page| page.len() + bytes.len() > KEY_SIZE_MAX) {
            self.pages.push(Vec::with_capacity(KEY_SIZE_MAX));
        }
        let number = self.pages.len() - 1;
        let page = &mut self.pages[number];
        let text = Text::new((number << PAGE_BITS) + page.len(), bytes.len());
        page.extend_from_slice(bytes);
        text
    }

    pub(super) fn bytes(&self, text: Text) -> &[u8] {
        &self.pages[text.start() >> PAGE_BITS][text.start() & (KEY_SIZE_MAX - 1)..][..text.len()]
    }

    pub(super) fn str(&self, text: Text) -> &str {
        std::str::from_utf8(self.bytes(text)).expect("it was added as a part of a key, which is UTF-8")
    }

    pub(super) fn size(&self) -> usize {
        self.pages.iter().map(Vec::capacity).sum::<usize>() + self.pages.capacity() * size_of::<Vec<u8>>()
    }
}

/// How many parts a [`Sharded`] table has.
const SHARDS: u64 = 64;

/// A hash table in 64 parts, so that growing moves a 64th at a time.
#[derive(Debug)]
pub(super) struct Sharded<T>(Box<[HashTable<T>]>);

impl<T> Default for Sharded<T> {
    fn default() -> Self {
        Self((0..SHARDS).map(|_| HashTable::new()).collect())
    }
}

impl<T> Sharded<T> {
    pub(super) fn find(&self, hash: u64, is_it: impl FnMut(&T) -> bool) -> Option<&T> {
        self.0[shard(hash)].find(hash, is_it)
    }

    /// Adds an item that is not there; `hash_of` gives every item's hash.
    pub(super) fn insert(&mut self, hash: u64, item: T, hash_of: impl Fn(&T) -> u64) {
        self.0[shard(hash)].insert_unique(hash, item, hash_of);
    }

    pub(super) fn size(&self) -> usize {
        self.0.iter().map(|table| table.allocation_size() + size_of_val(table)).sum()
    }
}

/// Bits that hashbrown uses for neither the bucket nor the tag.
fn shard(hash: u64) -> usize {
    (hash >> 48 & (SHARDS - 1)) as usize
}
