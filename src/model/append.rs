//! A table that grows without moving, for readers without locks.

use std::sync::OnceLock;

/// Entries in the first segment; each further segment is twice as long.
const FIRST: usize = 32;

/// Enough doubling segments for 2^32 entries.
const SEGMENTS: usize = 28;

/// A table of `T` whose entries never move: segments of doubling length, made when first needed. Any number of
/// threads may read and grow it at once; what an entry holds is for `T` (an atomic, a `OnceLock`) to share safely.
#[derive(Debug)]
pub struct AppendTable<T> {
    segments: [OnceLock<Box<[T]>>; SEGMENTS],
}

impl<T: Default> Default for AppendTable<T> {
    fn default() -> Self {
        Self { segments: [const { OnceLock::new() }; SEGMENTS] }
    }
}

impl<T: Default> AppendTable<T> {
    /// The entry at `index`, or `None` where nobody grew the table so far.
    #[inline]
    pub fn get(&self, index: usize) -> Option<&T> {
        let (segment, place) = locate(index);
        self.segments[segment].get().map(|entries| &entries[place])
    }

    /// The entry at `index` (below 2^32), a default one where it was not there.
    pub fn get_or_grow(&self, index: usize) -> &T {
        let (segment, place) = locate(index);
        let grow = || std::iter::repeat_with(T::default).take(FIRST << segment).collect();
        &self.segments[segment].get_or_init(grow)[place]
    }

    /// Takes all entries out, in order, and leaves the table empty.
    pub fn drain(&mut self) -> impl Iterator<Item = T> {
        self.segments.iter_mut().filter_map(OnceLock::take).flatten()
    }
}

/// Segment and place inside it. Segment k begins at entry FIRST * (2^k - 1).
#[inline]
fn locate(index: usize) -> (usize, usize) {
    let shifted = index + FIRST;
    let segment = (shifted / FIRST).ilog2() as usize;
    (segment, shifted - (FIRST << segment))
}
