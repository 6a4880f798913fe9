//! Columns of values, timestamps and integers to bytes and back, exactly.
//!
//! A *payload* is one column of up to [`COUNT_MAX`] rows. Its first byte is a mode, so that forms can be added without
//! breaking what is on disk; how many rows it has is known to the caller and not repeated.
//!
//! ```text
//! payload of values:  mode u8 | …          (values.rs: constant, decimals in three forms, bit patterns)
//! payload of times:   mode u8 | …          (times.rs: integers, or a grid and what lies off it)
//! payload of ints:    column               (ints.rs)
//! column of integers: tag u8 | …           (ints.rs: nine forms, most of them in a file of their own)
//! symbols:            form u8 | …          (symbols.rs: entropy-coded by zstd)
//! a column of no rows has no bytes
//! ```
//!
//! [`Level::Light`] is for pages and frames that live seconds: nothing is entropy-coded, two to four nanoseconds a row.
//! [`Level::Full`] is for parts. The decoder reads both.
//!
//! Always: every bit pattern of a double (NaN with any payload, −0) and every i64 comes back; a payload that no encoder
//! wrote gives an error or `count` rows of anything, never a panic, and never memory beyond what `count` rows need.
//! Encoder and decoder keep their scratch, so a warm one allocates nothing. Not here: checksums, and the sharing of
//! equal payloads; `parts` does both.
//!
//! [`Reader`] and the `put_` functions are the varints and fields that all files are made of.

mod bitpack;
mod buckets;
mod bytes;
mod decimal;
mod dictionary;
mod estimate;
mod exceptions;
mod flat;
mod frames;
mod high_low;
mod ints;
mod packed;
mod shape;
mod symbols;
mod times;
mod values;

#[cfg(test)]
mod tests;

pub use bytes::{Error, Reader, put_bytes, put_i64, put_string, put_u64};
pub use frames::unpack_frame;

use ints::{IntDecoder, IntEncoder};
use times::{TimeDecoder, TimeEncoder};
use values::{ValueDecoder, ValueEncoder};

/// The most rows a payload can have.
pub const COUNT_MAX: usize = 1 << 16;

/// How much work goes into a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Bit-packed at one width; quick both ways.
    Light,
    /// The smallest form that is quick to decode.
    Full,
}

/// Writes payloads. Make one and keep it: its scratch is what makes it quick.
pub struct Encoder {
    ints: IntEncoder,
    times: TimeEncoder,
    values: ValueEncoder,
}

impl Encoder {
    /// An encoder of one level. The full one holds about 1 MB of scratch once warm.
    pub fn new(level: Level) -> Self {
        Self { ints: IntEncoder::new(level), times: TimeEncoder::new(level), values: ValueEncoder::new(level) }
    }

    /// Appends a payload of values. Panics beyond [`COUNT_MAX`], as do the others.
    pub fn values(&mut self, values: &[f64], out: &mut Vec<u8>) {
        check_count(values.len());
        self.values.put(values, &mut self.ints, out);
    }

    /// Appends a payload of timestamps: any integers, but made for rising ones.
    pub fn times(&mut self, times: &[i64], out: &mut Vec<u8>) {
        check_count(times.len());
        self.times.put(times, &mut self.ints, out);
    }

    /// Appends a payload of integers.
    pub fn ints(&mut self, ints: &[i64], out: &mut Vec<u8>) {
        check_count(ints.len());
        self.ints.put(ints, out);
    }
}

fn check_count(count: usize) {
    assert!(count <= COUNT_MAX, "a payload has at most {COUNT_MAX} rows, not {count}");
}

/// Reads payloads of any level. Make one and keep it, like an [`Encoder`].
#[derive(Default)]
pub struct Decoder {
    ints: IntDecoder,
    times: TimeDecoder,
    values: ValueDecoder,
}

impl Decoder {
    /// A decoder; it holds about 300 kB of scratch once warm.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends the `count` values of a payload, which must be exactly what an encoder appended: bytes behind it are an
    /// error, as is a count beyond [`COUNT_MAX`]. After an error `out` is as it was.
    pub fn values(&mut self, payload: &[u8], count: usize, out: &mut Vec<f64>) -> Result<(), Error> {
        let Self { ints, values, .. } = self;
        whole(payload, count, out, |reader, out| values.get(reader, count, ints, out))
    }

    /// Appends the `count` timestamps of a payload, on the terms of [`Decoder::values`].
    pub fn times(&mut self, payload: &[u8], count: usize, out: &mut Vec<i64>) -> Result<(), Error> {
        let Self { ints, times, .. } = self;
        whole(payload, count, out, |reader, out| times.get(reader, count, ints, out))
    }

    /// Appends the `count` integers of a payload, on the terms of [`Decoder::values`].
    pub fn ints(&mut self, payload: &[u8], count: usize, out: &mut Vec<i64>) -> Result<(), Error> {
        whole(payload, count, out, |reader, out| self.ints.get(reader, count, out))
    }
}

/// Decodes all of `payload`, or leaves `out` as it was.
fn whole<T>(
    payload: &[u8],
    count: usize,
    out: &mut Vec<T>,
    get: impl FnOnce(&mut Reader<'_>, &mut Vec<T>) -> Result<(), Error>,
) -> Result<(), Error> {
    if count > COUNT_MAX {
        return Err(Error::Invalid("more rows than a payload can have"));
    }
    let start = out.len();
    let mut reader = Reader::new(payload);
    let result = get(&mut reader, out).and_then(|()| reader.finish());
    if result.is_err() {
        out.truncate(start);
    }
    result
}
