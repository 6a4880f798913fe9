//! The payload of a VOID frame: numbers that never count.
//!
//! ```text
//! payload: from u64
//! ```
//!
//! The frame's own number is the last of them. They were given out, and their frames may have been written, before they
//! were rejected; whoever finds such a frame, in whatever file, passes it over.

use super::{Error, Kind};
use crate::model::SeqNo;

/// The payload of a frame that voids the numbers from `from` on, up to its own.
pub fn encode_void(from: SeqNo) -> [u8; 8] {
    from.0.to_le_bytes()
}

/// The first number that a VOID frame with the number `last` rejects.
pub fn decode_void(payload: &[u8], last: SeqNo) -> Result<SeqNo, Error> {
    let bytes = payload.try_into().map_err(|_| Error::payload(Kind::Void, "it is not 8 bytes long"))?;
    let from = SeqNo(u64::from_le_bytes(bytes));
    match from <= last {
        true => Ok(from),
        false => Err(Error::payload(Kind::Void, format!("it begins at {from}, behind its end {last}"))),
    }
}
