//! Parts: immutable sorted files of samples.
//!
//! A [`Builder`] takes streams in order and writes a *part image*; [`Part`] reads one. The image is a whole file
//! (`00000031.part`) or a region of another file (a container's commit embeds one): every offset in it counts from the
//! image's first byte.
//!
//! ```text
//! image:     header | payload* | index page* | tail, or at the full level: tail | zeros | tail (see `frame.rs`)
//! header:    "PLIMPART" | version u32 | crc32 u32 of the twelve bytes before
//! payload:   one encoded column; its length and CRC-32 stand in every index entry that refers to it
//! page:      zstd frame of up to about 512 columns' entries, in columns (drawn in `page.rs`)
//! tail:      directory | footer | trailer
//! directory: zstd frame: field names, tables and their fields, and what each page covers (drawn in `image.rs`)
//! footer:    who the part is, how much it holds, where the directory is (drawn in `image.rs`)
//! trailer:   length of the footer u32 | crc32 u32 of the footer | "PLIMPEND"
//! ```
//!
//! A **block** is a run of rows of one table, at most [`BLOCK_ROWS_MAX`]. A stream with [`SINGLE_ROWS_MIN`] rows or
//! more gets blocks of its own, cut evenly; shorter ones with the same fields are gathered, many streams to a block,
//! with the streams as one more column:
//!
//! ```text
//! streams:   sequence count varint | ids: size varint, ints
//!            more than one sequence: | each stream's sequence: size varint, ints | sequence lengths: size varint, ints
//! times:     the distinct timestamp sequences of the block, one behind the other
//! values:    per field, the values of all streams, one stream behind the other
//! ```
//!
//! A block lists a column per field and one timestamp column for all of them. Equal timestamp columns and equal
//! payloads are stored once per part; a column of one value is in the index alone.
//!
//! Always: index entries are sorted by table, first stream, gathered blocks before single ones, then time; the blocks
//! of one stream and field never overlap in time, and times within a block's stream ascend strictly. All that is read
//! back is covered by a CRC-32, and damage to one column or page leaves the others readable.
//! Not here: names and syncing of files, which parts belong together, duplicates between parts, caching of samples.

mod aggregates;
mod builder;
mod damage;
mod describe;
mod frame;
mod gather;
mod image;
mod page;
mod part;
mod read;
mod scan;
mod sink;
mod store;
mod table;

#[cfg(test)]
mod tests;

use std::{fmt, io};

use crate::{codec, model::PartId};

pub use aggregates::{Aggregates, STALE, is_stale};
pub use builder::{Builder, Options};
pub use damage::{Damage, Place};
pub use describe::describe;
pub use image::{Footer, Summary, Table, VERSION};
pub use part::{BlockRef, FieldRef, Part, summarize};
pub use read::{BlockReader, Rows, Run};
pub use scan::{Group, Scan};
pub use sink::{FileSink, Sink};

/// The most rows a block is given. Measured (codec): twice as many save 0.2 % and double the unit of decoding.
pub const BLOCK_ROWS_MAX: usize = 8192;
/// From this many rows on a stream gets blocks of its own. Below, the fixed cost of a payload and of its index entry
/// weighs more than what separate columns save.
pub const SINGLE_ROWS_MIN: usize = 1000;
/// More rows than this in one block are taken for damage: nothing larger is allocated on a file's word.
const BLOCK_ROWS_LIMIT: usize = codec::COUNT_MAX;

/// A piece of a part that is not what was written, or cannot be read, and stands in it twice.
#[derive(Debug)]
pub struct Fault {
    /// Where in the file it begins.
    pub offset: u64,
    /// What belongs there.
    pub bytes: Vec<u8>,
    /// What is wrong.
    pub error: Error,
}

/// Why a part could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Appending to the sink, or reading back from it, failed.
    #[error("write part image at byte {offset}")]
    Write {
        /// Where in the image.
        offset: u64,
        /// The cause.
        source: io::Error,
    },
    /// The file could not be read.
    #[error("read {image} at byte {offset}")]
    Read {
        /// Which image.
        image: Image,
        /// Where in it.
        offset: u64,
        /// The cause.
        source: io::Error,
    },
    /// The image does not begin like one.
    #[error("{image} does not begin with the magic of a part")]
    NotAPart {
        /// Which image.
        image: Image,
    },
    /// Written by another version of the program.
    #[error("{image} has format version {found}; this program reads version {VERSION}")]
    Version {
        /// Which image.
        image: Image,
        /// The version it has.
        found: u32,
    },
    /// The image ends before its trailer.
    #[error("{image} is cut short: {len} bytes, and no trailer at their end")]
    CutShort {
        /// Which image.
        image: Image,
        /// The bytes there are.
        len: u64,
    },
    /// Bytes are not what was written.
    #[error("{image} is damaged at byte {offset} ({what}): checksum {found:08x}, expected {expected:08x}")]
    Damaged {
        /// Which image.
        image: Image,
        /// What lies there: "index page", "column", …
        what: &'static str,
        /// Where in the image it begins.
        offset: u64,
        /// The checksum on record.
        expected: u32,
        /// The checksum of what was read.
        found: u32,
    },
    /// The checksum is right, but no builder writes such bytes.
    #[error("{image} is malformed at byte {offset} ({what})")]
    Malformed {
        /// Which image.
        image: Image,
        /// What lies there.
        what: &'static str,
        /// Where in the image it begins.
        offset: u64,
        /// What is wrong with it.
        source: codec::Error,
    },
}

impl Error {
    /// Whether bytes are not what was written; not where they cannot be read, or are of another version.
    pub fn is_damage(&self) -> bool {
        !matches!(self, Self::Version { .. } | Self::Read { .. } | Self::Write { .. })
    }

    /// The same once more, where the same bytes would give the same error.
    pub fn again(&self) -> Option<Self> {
        match *self {
            Self::NotAPart { image } => Some(Self::NotAPart { image }),
            Self::Version { image, found } => Some(Self::Version { image, found }),
            Self::CutShort { image, len } => Some(Self::CutShort { image, len }),
            Self::Damaged { image, what, offset, expected, found } => {
                Some(Self::Damaged { image, what, offset, expected, found })
            }
            Self::Malformed { image, what, offset, source } => Some(Self::Malformed { image, what, offset, source }),
            Self::Read { .. } | Self::Write { .. } => None,
        }
    }
}

/// Names a part image in errors: by the part's number once the footer is read, by its place in the file before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Image {
    /// The part's number, if known.
    pub part: Option<PartId>,
    /// Where in its file the image begins.
    pub base: u64,
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.part {
            Some(part) => write!(f, "part {part}"),
            None => write!(f, "part image from byte {} of its file", self.base),
        }
    }
}
