//! Reading a file of the stage back, damage and all.

use std::{
    borrow::Cow,
    fmt, io,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Error, packed::unpack, segment::io_error};
use crate::{
    disk::{self, File},
    stage::{
        FILE_HEADER_SIZE, FRAME_HEADER_SIZE, FileHeader, Frame, FrameHeader, Kind,
        frame::{ALIGNMENT, MAGIC, checksum, padded, parse_header},
    },
};

/// How much is read at a time while looking for the next frame.
const CHUNK: usize = 1 << 20;
/// Of a chunk that cannot be read, what can be is read in blocks of this: a bad sector costs the frames it holds.
pub(crate) const BLOCK: u64 = 4096;
/// Blocks that could not be read after which the rest of such a chunk is given up at once: each may take a disk seconds.
pub(crate) const UNREAD_BLOCKS_MAX: u64 = 64;

/// What stands next in a file.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// A valid frame.
    Frame(Frame<'a>),
    /// `bytes` that hold something but no valid frame, with a valid one behind them.
    Damage {
        /// First byte.
        offset: u64,
        /// How many.
        bytes: u64,
    },
}

/// Walks over the frames of one file.
pub struct Scan {
    file: Arc<dyn File>,
    path: PathBuf,
    id: u64,
    size: u64,
    at: u64,
    /// Bytes of the file from `chunk_at` on.
    chunk: Vec<u8>,
    chunk_at: u64,
    unread: Option<Unread>,
}

/// What of a file the disk does not read. The scan finds nothing there, and goes on behind it.
#[derive(Debug)]
pub struct Unread {
    /// How many bytes.
    pub bytes: u64,
    /// What the disk said of the first of them.
    pub error: io::Error,
}

impl Scan {
    /// Starts at the first frame of the file with number `id`. Fails where a newer version wrote it.
    pub fn new(file: Arc<dyn File>, path: &Path, id: u64) -> Result<Self, Error> {
        let mut scan = Self::starting_at(file, path, id, FILE_HEADER_SIZE)?;
        match FileHeader::read(&*scan.file, path) {
            Err(Error::Io { source, .. }) if disk::is_unreadable(&source) => scan.pass_over(FILE_HEADER_SIZE, source),
            header => drop(header?),
        }
        Ok(scan)
    }

    /// Starts at the frame at `offset`, where an earlier scan of the file found one.
    pub fn starting_at(file: Arc<dyn File>, path: &Path, id: u64, offset: u64) -> Result<Self, Error> {
        let size = file.size().map_err(io_error("measure", path))?;
        Ok(Self { file, path: path.to_owned(), id, size, at: offset, chunk: Vec::new(), chunk_at: 0, unread: None })
    }

    /// What could not be read so far, if anything.
    pub fn unread(self) -> Option<Unread> {
        self.unread
    }

    /// Where the frame that comes next would start: behind the last valid one.
    pub fn offset(&self) -> u64 {
        self.at
    }

    /// What comes next; `None` when no valid frame follows.
    #[allow(clippy::should_implement_trait)] // a failing read ends it, which an iterator would not say
    pub fn next(&mut self) -> Result<Option<Found<'_>>, Error> {
        if let Some((mut header, payload)) = self.frame_at(self.at)? {
            self.at += padded(FRAME_HEADER_SIZE + payload.len()) as u64;
            let mut payload = Cow::Borrowed(&self.chunk[payload]);
            if header.kind == Kind::PackedBatch {
                payload = unpack(&payload)?.into();
                header.kind = Kind::Batch;
            }
            return Ok(Some(Found::Frame(Frame { header, payload })));
        }
        let offset = self.at;
        Ok(self.find_behind(offset)?.map(|next| {
            self.at = next;
            Found::Damage { offset, bytes: next - offset }
        }))
    }

    /// Bytes of the frame that was begun behind the last valid one and is not whole: the torn tail of a crash. Of one whose
    /// header is gone, too, nothing is known.
    pub fn torn_bytes(&mut self) -> Result<u64, Error> {
        let at = self.at;
        let Some(head) = self.bytes_at(at, FRAME_HEADER_SIZE)?.first_chunk() else { return Ok(0) };
        let begun = parse_header(head).filter(|(_, _, header)| self.is_ours(header, at));
        Ok(begun.map_or(0, |(len, ..)| (len as u64).min(self.size - at)))
    }

    /// Whether a frame was written there, and not to a file this one was made of.
    fn is_ours(&self, header: &FrameHeader, offset: u64) -> bool {
        header.place.segment == self.id && header.place.offset == offset
    }

    /// The header of the frame at `offset`, if a valid one starts there, and where in the chunk its payload is.
    fn frame_at(&mut self, offset: u64) -> Result<Option<(FrameHeader, Range<usize>)>, Error> {
        let Some(head) = self.bytes_at(offset, FRAME_HEADER_SIZE)?.first_chunk() else { return Ok(None) };
        let Some((len, crc, header)) = parse_header(head) else { return Ok(None) };
        if !self.is_ours(&header, offset) || offset + len as u64 > self.size {
            return Ok(None);
        }
        let bytes = self.bytes_at(offset, len)?;
        let is_valid = bytes.len() == len && checksum(bytes) == crc;
        let start = (offset - self.chunk_at) as usize;
        Ok(is_valid.then(|| (header, start + FRAME_HEADER_SIZE..start + len)))
    }

    /// `len` bytes at `offset`, fewer where the file ends. Reads far ahead, as frames are small and stand in a row.
    fn bytes_at(&mut self, offset: u64, len: usize) -> Result<&[u8], Error> {
        let skipped = offset.checked_sub(self.chunk_at).map_or(usize::MAX, |skipped| skipped as usize);
        if skipped.saturating_add(len) > self.chunk.len() {
            // What is there already of a long frame is kept, so that no byte is read twice.
            let kept = self.chunk.len().saturating_sub(skipped);
            if kept > 0 {
                self.chunk.copy_within(skipped.., 0);
            }
            self.chunk_at = offset;
            self.chunk.resize(kept + CHUNK.max(len.saturating_sub(kept)), 0);
            let read = match self.file.read_at(&mut self.chunk[kept..], offset + kept as u64) {
                Err(error) if disk::is_unreadable(&error) => self.read_around(kept, error)?,
                read => read.map_err(io_error("read", &self.path))?,
            };
            self.chunk.truncate(kept + read);
        }
        let start = (offset - self.chunk_at) as usize;
        Ok(&self.chunk[start..self.chunk.len().min(start + len)])
    }

    /// Reads what can be read of the chunk from its byte `kept` on, which failed as a whole; zeros in place of the rest.
    fn read_around(&mut self, kept: usize, error: io::Error) -> Result<usize, Error> {
        let mut at = self.chunk_at + kept as u64;
        let end = self.size.min(self.chunk_at + self.chunk.len() as u64);
        self.pass_over(0, error);
        while at < end {
            let next = end.min((at / BLOCK + 1) * BLOCK);
            let block = &mut self.chunk[(at - self.chunk_at) as usize..(next - self.chunk_at) as usize];
            let is_hopeless = self.unread.as_ref().is_some_and(|unread| unread.bytes >= UNREAD_BLOCKS_MAX * BLOCK);
            let read = if is_hopeless { Ok(0) } else { self.file.read_at(block, at) };
            let read = match read {
                Err(error) if !disk::is_unreadable(&error) => return Err(io_error("read", &self.path)(error)),
                read => read.unwrap_or(0),
            };
            block[read..].fill(0);
            let missing = (block.len() - read) as u64;
            self.unread.iter_mut().for_each(|unread| unread.bytes += missing);
            at = next;
        }
        Ok((end - self.chunk_at) as usize - kept)
    }

    fn pass_over(&mut self, bytes: u64, error: io::Error) {
        self.unread.get_or_insert(Unread { bytes: 0, error }).bytes += bytes;
    }

    /// The next offset behind `from` at which a valid frame starts.
    fn find_behind(&mut self, from: u64) -> Result<Option<u64>, Error> {
        let mut at = from + ALIGNMENT as u64;
        while at + ALIGNMENT as u64 <= self.size {
            self.bytes_at(at, ALIGNMENT)?;
            let ahead = &self.chunk[(at - self.chunk_at) as usize..];
            let mut starts = ahead.chunks_exact(ALIGNMENT).map(|bytes| bytes.starts_with(&MAGIC.to_le_bytes()));
            let place = starts.position(|is_start| is_start);
            at += (place.unwrap_or(ahead.len() / ALIGNMENT) * ALIGNMENT) as u64;
            if place.is_some() {
                if self.frame_at(at)?.is_some() {
                    return Ok(Some(at));
                }
                at += ALIGNMENT as u64;
            }
        }
        Ok(None)
    }
}

/// A file of the stage in readable form, a line per frame.
pub fn describe(file: Arc<dyn File>, path: &Path, out: &mut dyn fmt::Write) -> Result<(), Box<dyn std::error::Error>> {
    let header = FileHeader::read(&*file, path)?.ok_or("the file's header is damaged")?;
    writeln!(out, "{:?} {} of incarnation {}", header.kind, header.id, header.incarnation)?;
    let mut scan = Scan::new(file, path, header.id)?;
    while let Some(found) = scan.next()? {
        match found {
            Found::Damage { offset, bytes } => writeln!(out, "{offset:>12}  DAMAGED {bytes} bytes")?,
            Found::Frame(frame) => describe_frame(&frame, out)?,
        }
    }
    writeln!(out, "{:>12}  end of frames", scan.offset())?;
    Ok(())
}

fn describe_frame(frame: &Frame<'_>, out: &mut dyn fmt::Write) -> fmt::Result {
    let header = &frame.header;
    write!(
        out,
        "{:>12}  {:<7} number {} safe {} samples {} payload {} bytes",
        header.place.offset,
        format!("{:?}", header.kind),
        header.number,
        header.safe,
        header.samples,
        frame.payload.len()
    )?;
    match header.kind {
        Kind::Commit => match super::decode_commit(&frame.payload) {
            Ok((commit, _)) => write!(out, ": after {}, {} pages", commit.after, commit.pages.len())?,
            Err(error) => write!(out, ": {error}")?,
        },
        Kind::Batch | Kind::PackedBatch => match super::decode_batch(&frame.payload) {
            Ok((defined, _)) => {
                write!(out, ": defines {} streams, {} layouts", defined.streams.len(), defined.layouts.len())?;
            }
            Err(error) => write!(out, ": {error}")?,
        },
        Kind::Void => match super::decode_void(&frame.payload, header.number) {
            Ok(from) => write!(out, ": rejects {from} to {}", header.number)?,
            Err(error) => write!(out, ": {error}")?,
        },
    }
    writeln!(out)
}
