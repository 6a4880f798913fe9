//! Columns of integers, each in the form that is thought to be the smallest.
//!
//! ```text
//! column:    tag u8, then by tag
//! CONST      0: value zigzag
//! LINEAR     1: first zigzag | difference zigzag
//! VARINTS    2: difference from the one before (the first from 0) zigzag …
//! RAW        3: i64 …
//! PACKED     4: packed.rs
//! HIGH_LOW   5: high_low.rs
//! BUCKETS    6: buckets.rs
//! DICTIONARY 7: dictionary.rs
//! SPARSE     8: first zigzag | symbols: 0 where an integer equals the one before, else 1 (the first: 0)
//!               | column of the differences that are not zero; never SPARSE itself
//! ```
//!
//! No byte tells how many integers there are: the caller knows.

use crate::codec::{
    Level,
    bytes::{Error, Reader, put_i64},
    flat::{FULL_MIN, FlatDecoder, FlatEncoder, keep_smaller},
};

const SPARSE: u8 = 8;

/// Writes columns; keeps its scratch from one to the next.
pub(super) struct IntEncoder {
    flat: FlatEncoder,
    /// For SPARSE: 1 for each integer that differs from the one before, …
    changed: Vec<u8>,
    /// … and by how much.
    changes: Vec<i64>,
}

impl IntEncoder {
    pub(super) fn new(level: Level) -> Self {
        Self { flat: FlatEncoder::new(level), changed: Vec::new(), changes: Vec::new() }
    }

    /// Appends a column; nothing for no integers.
    pub(super) fn put(&mut self, ints: &[i64], out: &mut Vec<u8>) {
        let changes = match self.flat.symbols() {
            Some(_) if ints.len() >= FULL_MIN => self.find_changes(ints),
            _ => Changes::Many,
        };
        match changes {
            Changes::Many => self.flat.put(ints, out),
            Changes::Few => self.put_sparse(ints[0], out),
            Changes::Some => {
                let start = out.len();
                self.flat.put(ints, out);
                let second = out.len();
                self.put_sparse(ints[0], out);
                keep_smaller(out, start, second);
            }
        }
    }

    /// Leaves the changes in `changed` and `changes` where SPARSE may be worth it.
    fn find_changes(&mut self, ints: &[i64]) -> Changes {
        let count = ints.array_windows().filter(|[a, b]| a != b).count();
        // Where fewer than half stay the same, a prefix code spends no whole bit too much on them.
        if count == 0 || count * 2 > ints.len() {
            return Changes::Many;
        }
        self.changes.clear();
        let changes = ints.array_windows().map(|[a, b]| b.wrapping_sub(*a));
        self.changes.extend(changes.filter(|&change| change != 0));
        self.changed.clear();
        self.changed.push(0);
        self.changed.extend(ints.array_windows().map(|[a, b]| u8::from(a != b)));
        if count * 4 < ints.len() { Changes::Few } else { Changes::Some }
    }

    fn put_sparse(&mut self, first: i64, out: &mut Vec<u8>) {
        out.push(SPARSE);
        put_i64(out, first);
        let symbols = self.flat.symbols().expect("SPARSE is tried at the full level only");
        symbols.put(&self.changed, out);
        self.flat.put(&self.changes, out);
    }
}

/// How often an integer differs from the one before, which decides about SPARSE.
enum Changes {
    /// So rarely that SPARSE is the form.
    Few,
    /// SPARSE has to be tried.
    Some,
    /// SPARSE is not worth a try; nor is it where nothing changes at all.
    Many,
}

/// Reads columns; keeps its scratch from one to the next.
#[derive(Default)]
pub(super) struct IntDecoder {
    flat: FlatDecoder,
    changed: Vec<u8>,
    changes: Vec<i64>,
}

impl IntDecoder {
    /// Appends the next `count` integers to `out`, which is left in any state after an error.
    pub(super) fn get(&mut self, reader: &mut Reader<'_>, count: usize, out: &mut Vec<i64>) -> Result<(), Error> {
        if count == 0 {
            return Ok(());
        }
        let tag = reader.u8()?;
        let start = out.len();
        out.resize(start + count, 0);
        match tag {
            SPARSE => self.get_sparse(reader, &mut out[start..]),
            _ => self.flat.get(tag, reader, &mut out[start..]),
        }
    }

    fn get_sparse(&mut self, reader: &mut Reader<'_>, out: &mut [i64]) -> Result<(), Error> {
        let Self { flat, changed, changes } = self;
        let first = reader.zigzag()?;
        flat.coder.get(reader, out.len(), changed)?;
        if changed.iter().any(|&changed| changed > 1) {
            return Err(Error::Invalid("map of changes with other than 0 and 1"));
        }
        changes.clear();
        changes.resize(changed.iter().map(|&changed| usize::from(changed)).sum(), 0);
        if !changes.is_empty() {
            flat.get(reader.u8()?, reader, changes)?;
        }
        // One more, so that the loop may look at the next change before it knows whether there is one.
        changes.push(0);
        let (mut next, mut sum) = (0, first);
        for (x, &changed) in out.iter_mut().zip(changed.iter()) {
            sum = sum.wrapping_add(changes[next] & -i64::from(changed));
            next += usize::from(changed);
            *x = sum;
        }
        Ok(())
    }
}
