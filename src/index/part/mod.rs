//! Index parts: immutable files that say which key each stream id stands for.
//!
//! ```text
//! file:      header | page* | directory | footer | trailer
//! header:    "PLIMINDX" | version u32 | crc32 u32 of the twelve bytes before
//! page:      zstd frame of about 4 KiB of keys, ids ascending: per key
//!            id − id before (first: − 0) | bytes shared with the key before | bytes of its own: size, bytes
//! directory: zstd frame: page count | per page: size | raw size | first id − last id before | last id − first id | crc32 u32
//! footer:    index part | day zigzag | streams | smallest and largest id
//!            directory: offset | size | raw size | crc32 u32
//! trailer:   length of the footer u32 | crc32 u32 of the footer | "PLIMIEND"
//! ```
//!
//! Numbers without a type are varints. Pages lie one behind the other from the header on. Each stands for itself, so
//! damage to one leaves the ids of the others known.
//!
//! Always: ids ascend through the whole file; every byte is covered by a CRC-32. An index part is the truth about its
//! ids; which streams have a label is worked out from it in memory.
//! Not here: syncing and naming of the file, and which index parts a part needs (its footer says so).

mod builder;
mod page;
mod reader;

#[cfg(test)]
mod tests;

use std::{fmt, io};

use crate::{
    codec,
    model::{Day, StreamId},
};

pub use builder::IndexPartBuilder;
pub use reader::IndexPart;

/// The format version this program writes, and the only one it reads.
pub const INDEX_VERSION: u32 = 1;

const MAGIC: &[u8; 8] = b"PLIMINDX";
const END_MAGIC: &[u8; 8] = b"PLIMIEND";
const HEADER_SIZE: usize = 16;
const TRAILER_SIZE: usize = 16;
/// A page or directory that claims to unpack to more is damaged.
const RAW_SIZE_MAX: u32 = 1 << 28;

/// IndexPartPiece an index part says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexSummary {
    /// Its number.
    pub index_part: u64,
    /// The partition it belongs to.
    pub day: Day,
    /// How many streams it defines.
    pub streams: u64,
    /// The smallest id; 0 where there is none.
    pub min_id: StreamId,
    /// The largest id; 0 where there is none.
    pub max_id: StreamId,
    /// Bytes of the file.
    pub len: u64,
}

/// Why an index part could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum IndexPartError {
    /// The file could not be written.
    #[error("write index part at byte {offset}")]
    Write {
        /// Where in the file.
        offset: u64,
        /// The cause.
        source: io::Error,
    },
    /// The file could not be read.
    #[error("read {name} at byte {offset}")]
    Read {
        /// Which index part.
        name: IndexPartName,
        /// Where in the file.
        offset: u64,
        /// The cause.
        source: io::Error,
    },
    /// The file does not begin like one.
    #[error("{name} does not begin with the magic of an index part")]
    NotAnIndexPart {
        /// Which index part.
        name: IndexPartName,
    },
    /// Written by another version of the program.
    #[error("{name} has format version {found}; this program reads version {INDEX_VERSION}")]
    Version {
        /// Which index part.
        name: IndexPartName,
        /// The version it has.
        found: u32,
    },
    /// The file ends before its trailer.
    #[error("{name} is cut short: {len} bytes, and no trailer at their end")]
    CutShort {
        /// Which index part.
        name: IndexPartName,
        /// The bytes there are.
        len: u64,
    },
    /// Bytes are not what was written.
    #[error("{name} is damaged at byte {offset} ({what}): checksum {found:08x}, expected {expected:08x}")]
    Damaged {
        /// Which index part.
        name: IndexPartName,
        /// IndexPartPiece lies there.
        what: IndexPartPiece,
        /// Where in the file it begins.
        offset: u64,
        /// The checksum on record.
        expected: u32,
        /// The checksum of what was read.
        found: u32,
    },
    /// The checksum is right, but no builder writes such bytes.
    #[error("{name} is malformed at byte {offset} ({what})")]
    Malformed {
        /// Which index part.
        name: IndexPartName,
        /// IndexPartPiece lies there.
        what: IndexPartPiece,
        /// Where in the file it begins.
        offset: u64,
        /// IndexPartPiece is wrong with it.
        source: codec::Error,
    },
}

/// Names an index part in errors: by its number, once the footer is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexPartName(Option<u64>);

/// A piece of an index part, in errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexPartPiece {
    /// The first bytes.
    Header,
    /// The bytes before the trailer.
    Footer,
    /// The list of pages.
    Directory,
    /// The keys of the streams from the first to the second id.
    Page(StreamId, StreamId),
}

impl fmt::Display for IndexPartName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(number) => write!(f, "index part {number}"),
            None => f.write_str("index part of unknown number"),
        }
    }
}

impl fmt::Display for IndexPartPiece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => f.write_str("header"),
            Self::Footer => f.write_str("footer"),
            Self::Directory => f.write_str("directory"),
            Self::Page(first, last) => write!(f, "keys of streams {first} to {last}"),
        }
    }
}
