//! The payload of a packed batch's frame: a batch's payload, compressed.
//!
//! ```text
//! payload: size varint | zstd frame
//! ```
//!
//! `size` is that of the payload it was made from. [`crate::stage::Scan`] unpacks, so readers see batches only.

use std::{fmt, str::FromStr};

use zstd::bulk::Compressor;

use super::{Error, Kind};
use crate::codec::{self, Reader, put_u64, unpack_frame};

/// Larger payloads are not packed, and no damaged size makes a reader ask for more memory.
const UNPACKED_SIZE_MAX: usize = 256 << 20;

/// The cheapest level that finds matches at all.
const LEVEL: i32 = 1;

/// Whether batches in the log are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// They are written as they are: 0.5 ns a sample.
    #[default]
    None,
    /// By zstd, where that makes them smaller: 13 ns a sample. For slow or small disks.
    Zstd,
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Zstd => "zstd",
        })
    }
}

impl FromStr for Compression {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = [Self::None, Self::Zstd].into_iter().find(|compression| compression.to_string() == text);
        known.ok_or_else(|| format!("unknown compression {text:?}: it is `none` or `zstd`"))
    }
}

/// Packs payloads, one after the other.
pub struct Packer {
    zstd: Compressor<'static>,
    plain: Vec<u8>,
}

impl Default for Packer {
    fn default() -> Self {
        Self { zstd: Compressor::new(LEVEL).expect("zstd has this level"), plain: Vec::new() }
    }
}

impl Packer {
    /// Replaces `out` by the packed form of a payload given in pieces. `false` where that is not smaller.
    pub fn pack(&mut self, pieces: &[&[u8]], out: &mut Vec<u8>) -> bool {
        self.plain.clear();
        pieces.iter().for_each(|piece| self.plain.extend_from_slice(piece));
        out.clear();
        put_u64(out, self.plain.len() as u64);
        let head = out.len();
        if self.plain.len() > UNPACKED_SIZE_MAX {
            return false;
        }
        out.resize(head + self.plain.len(), 0);
        // No room for more than the payload takes as it is: where it does not fit, it is not smaller.
        let Ok(size) = self.zstd.compress_to_buffer(&self.plain, &mut out[head..]) else { return false };
        out.truncate(head + size);
        out.len() < self.plain.len()
    }
}

/// The payload that a packed one was made from.
pub(super) fn unpack(packed: &[u8]) -> Result<Vec<u8>, Error> {
    let failed = |error: &dyn fmt::Display| Error::payload(Kind::PackedBatch, error);
    let mut reader = Reader::new(packed);
    let size = reader.varint().map_err(|error: codec::Error| failed(&error))?;
    let size = usize::try_from(size).ok().filter(|size| *size <= UNPACKED_SIZE_MAX);
    let size = size.ok_or_else(|| failed(&"its size is beyond what is ever packed"))?;
    let bytes = &packed[packed.len() - reader.remaining()..];
    let payload = unpack_frame(bytes, size).map_err(|error| failed(&error))?;
    match payload.len() == size {
        true => Ok(payload),
        false => Err(failed(&format_args!("{} bytes were unpacked, {size} were packed", payload.len()))),
    }
}
