//! Values that are no decimals: where they are, and their bits.
//!
//! ```text
//! exceptions: count varint, then each: positions since the last varint | code u8 | bits u64 (code 0 only)
//! ```
//!
//! The usual ones have a code of their own: they are most of what real data holds.

use crate::codec::bytes::{Error, Reader, put_u64};

const ANY: u8 = 0;
/// By code less 1. NaN as Prometheus writes it, its stale marker, ±∞, −0, NaN as Rust and most processors write it.
const KNOWN: [u64; 7] = [
    0x7ff8_0000_0000_0001,
    0x7ff0_0000_0000_0002,
    0x7ff0_0000_0000_0000,
    0xfff0_0000_0000_0000,
    0x8000_0000_0000_0000,
    0x7ff8_0000_0000_0000,
    0xfff8_0000_0000_0000,
];

/// Appends index and bits of each; indexes rise.
pub(super) fn put(exceptions: &[(u32, u64)], out: &mut Vec<u8>) {
    put_u64(out, exceptions.len() as u64);
    let mut last = 0;
    for &(index, bits) in exceptions {
        put_u64(out, u64::from(index - last));
        last = index;
        match KNOWN.iter().position(|&known| known == bits) {
            Some(position) => out.push(position as u8 + 1),
            None => {
                out.push(ANY);
                out.extend_from_slice(&bits.to_le_bytes());
            }
        }
    }
}

/// Replaces `exceptions` by the next ones, of a column of `count` values.
pub(super) fn get(reader: &mut Reader<'_>, count: usize, exceptions: &mut Vec<(u32, u64)>) -> Result<(), Error> {
    exceptions.clear();
    let mut index = 0;
    for _ in 0..reader.count(count)? {
        index += reader.count(count)?;
        if index >= count {
            return Err(Error::Invalid("exception behind the end"));
        }
        let bits = match reader.u8()? {
            ANY => reader.u64()?,
            code => *KNOWN.get(usize::from(code) - 1).ok_or(Error::Invalid("unknown code of an exception"))?,
        };
        exceptions.push((index as u32, bits));
    }
    Ok(())
}
