//! The stage: where batches are safe until their parts are.
//!
//! Both stages are files of frames. A *log* segment (`wal/000012.wal`) holds one frame a batch in arrival order; a
//! *container* (`containers/000004.pages`) holds one frame a commit, whose payload is immutable sorted pages. One
//! writer, one scanner and one crash rule serve both.
//!
//! Always: a file is written by one incarnation only and never appended to after a restart; a frame counts if its
//! checksum holds, and the checksum covers the file's number and the frame's own offset, so that what a recycled file
//! held before cannot pass for new. Behind damage the scan goes on at the next valid frame.
//! Not here: when to write or sync, and what the numbers mean (`durability`); what recovery makes of it (`engine`).

mod commit;
mod definitions;
mod frame;
mod packed;
mod rows;
mod scan;
mod segment;
mod void;

#[cfg(test)]
mod tests;

pub use commit::{Commit, Page, decode_commit, encode_commit};
pub use definitions::{Definitions, LayoutDefinition, StreamDefinition, decode_batch};
pub use frame::{FRAME_HEADER_SIZE, Frame, FrameHeader, Kind, Place, put_frame};
pub use packed::{Compression, Packer};
pub use rows::{RowsDecoder, RowsEncoder};
pub(crate) use scan::{BLOCK, UNREAD_BLOCKS_MAX};
pub use scan::{Found, Scan, Unread, describe};
pub use segment::{FILE_HEADER_SIZE, FileHeader, FileKind, Segment, file_name, list_files};
pub use void::{decode_void, encode_void};

use std::{io, path::PathBuf};

use crate::codec;

/// What can go wrong with a file of the stage.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk refused.
    #[error("{action} {path}")]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The disk's answer.
        source: io::Error,
    },
    /// A frame whose checksum holds has a payload that does not follow the format.
    #[error("payload of a {kind:?} frame is malformed: {reason}")]
    Payload {
        /// The frame's kind.
        kind: Kind,
        /// What is wrong with it.
        reason: String,
    },
    /// The file was written by a newer version.
    #[error("{path} has format version {found}; this program reads up to {supported}")]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest we know.
        supported: u32,
    },
}

/// A 32-bit id, written as a varint.
fn id(reader: &mut codec::Reader<'_>) -> Result<u32, codec::Error> {
    u32::try_from(reader.varint()?).map_err(|_| codec::Error::Invalid("id out of range"))
}

impl Error {
    fn payload(kind: Kind, error: impl std::fmt::Display) -> Self {
        Self::Payload { kind, reason: error.to_string() }
    }
}
