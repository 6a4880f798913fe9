//! One frame.
//!
//! ```text
//! frame: magic u32 | len u32 | crc32 u32 | incarnation u32 | segment u64 | offset u64
//!        | number u64 | safe u64 | samples u64 | kind u8 | payload
//! ```
//!
//! Little-endian, at multiples of 8 bytes, zero-padded. `len` counts from `magic` to the payload's end; where a file
//! reads zero instead of a magic, nothing was written. The CRC-32 covers everything but itself.

use std::borrow::Cow;

use crate::model::SeqNo;

/// Bytes before the payload.
pub const FRAME_HEADER_SIZE: usize = 57;

/// Frames start at multiples of this.
pub(crate) const ALIGNMENT: usize = 8;

/// "PLMF", read as little-endian.
pub(crate) const MAGIC: u32 = u32::from_le_bytes(*b"PLMF");

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One batch: what it uses for the first time in this file ([`crate::stage::Definitions`]), then its rows
    /// ([`crate::stage::RowsEncoder`]). In one frame, since a power cut may keep a later frame and lose an earlier one.
    Batch,
    /// Sorted pages of all batches of a tick ([`crate::stage::Commit`]); `number` is the last of them.
    Commit,
    /// Numbers up to `number` that were given out and rejected ([`crate::stage::encode_void`]); no frame of theirs counts.
    Void,
    /// A batch whose payload is compressed ([`crate::stage::Packer`]). Only files have it: a scan gives a [`Kind::Batch`].
    PackedBatch,
}

impl Kind {
    pub(crate) fn byte(self) -> u8 {
        match self {
            Self::Batch => 1,
            Self::Commit => 2,
            Self::Void => 3,
            Self::PackedBatch => 4,
        }
    }

    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        [Self::Batch, Self::Commit, Self::Void, Self::PackedBatch].into_iter().find(|kind| kind.byte() == byte)
    }
}

/// Where a frame stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The start of the server that wrote it.
    pub incarnation: u32,
    /// The file's number.
    pub segment: u64,
    /// The frame's first byte in the file; a multiple of 8.
    pub offset: u64,
}

/// A frame without its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Where it stands.
    pub place: Place,
    /// The batch's sequence number, or the last one of a commit.
    pub number: SeqNo,
    /// The `power_safe` watermark when it was written.
    pub safe: SeqNo,
    /// Samples accepted up to and with `number`, since the directory was made.
    pub samples: u64,
    /// What the payload is.
    pub kind: Kind,
}

/// A frame read back; its checksum held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Everything but the payload.
    pub header: FrameHeader,
    /// The payload; mostly where the scan read it.
    pub payload: Cow<'a, [u8]>,
}

impl Frame<'_> {
    /// The frame with a payload of its own.
    pub fn into_owned(self) -> Frame<'static> {
        Frame { header: self.header, payload: self.payload.into_owned().into() }
    }
}

/// Appends a frame to `out`, padded to a multiple of 8 bytes; its payload is the pieces one behind the other.
/// `header.place.offset` must be where these bytes will stand in the file.
pub fn put_frame(out: &mut Vec<u8>, header: &FrameHeader, payload: &[&[u8]]) {
    assert!(header.place.offset.is_multiple_of(ALIGNMENT as u64), "frames start at multiples of 8");
    let len = u32::try_from(FRAME_HEADER_SIZE + payload.iter().map(|piece| piece.len()).sum::<usize>())
        .expect("queues cap a frame far below 4 GiB");
    let start = out.len();
    out.extend_from_slice(&MAGIC.to_le_bytes());
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&header.place.incarnation.to_le_bytes());
    for word in [header.place.segment, header.place.offset, header.number.0, header.safe.0, header.samples] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    out.push(header.kind.byte());
    payload.iter().for_each(|piece| out.extend_from_slice(piece));
    let crc = checksum(&out[start..]);
    out[start + 8..start + 12].copy_from_slice(&crc.to_le_bytes());
    out.resize(start + padded(len as usize), 0);
}

/// The checksum of a frame's bytes: all but bytes 8..12, which hold it.
pub(crate) fn checksum(frame: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&frame[..8]);
    hasher.update(&frame[12..]);
    hasher.finalize()
}

/// The fields of a header, unchecked but for the kind: (len, crc, header). `None` where this is no frame.
pub(crate) fn parse_header(bytes: &[u8; FRAME_HEADER_SIZE]) -> Option<(usize, u32, FrameHeader)> {
    let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    let len = u32_at(4) as usize;
    if u32_at(0) != MAGIC || len < FRAME_HEADER_SIZE {
        return None;
    }
    let header = FrameHeader {
        place: Place { incarnation: u32_at(12), segment: u64_at(16), offset: u64_at(24) },
        number: SeqNo(u64_at(32)),
        safe: SeqNo(u64_at(40)),
        samples: u64_at(48),
        kind: Kind::from_byte(bytes[56])?,
    };
    Some((len, u32_at(8), header))
}

/// `size` rounded up to where the next frame may start.
pub(crate) fn padded(size: usize) -> usize {
    size.next_multiple_of(ALIGNMENT)
}
