//! The frame around a part's payloads, as it is found: its header, and the tail that tells what is in it.
//!
//! ```text
//! tail:      directory | footer | trailer
//! ```
//!
//! A part at the full level ends with two tails, which say the same; from [`APART_FROM`] bytes on the second begins at a
//! multiple of 4096, so that no lost block of the disk takes both. Each is found by its trailer, searched for from the end
//! of the image on: bytes behind it do no harm, and of bytes cut off only those of the last tail are spared.

use std::io;

use crate::{
    codec,
    disk::{self, File},
    parts::{
        Error, Fault, Image,
        image::{self, Directory, END_MAGIC, Footing, HEADER_SIZE, Header, TRAILER_SIZE},
        page::Column,
    },
};

/// Bytes read at once from the end of an image: nearly every footer fits.
const FOOTER_SIZE: u64 = 512;
/// From this many bytes on the tails of a part are kept a block apart. In a smaller part that would weigh more than what is
/// saved: a lost block takes much of the samples, too.
const APART_FROM: u64 = 64 << 10;
const BLOCK_SIZE: u64 = 4096;

/// Where the second tail begins, behind a first one that ends at byte `end` of an image.
pub(super) fn second_at(end: u64) -> u64 {
    if end < APART_FROM { end } else { end.next_multiple_of(BLOCK_SIZE) }
}

/// What a tail says.
pub(super) struct Frame {
    pub(super) footing: Footing,
    pub(super) directory: Directory,
}

impl Frame {
    /// Finds a whole tail of an image of `len` bytes.
    pub(super) fn read(reader: &ImageReader<'_>, len: u64) -> Result<Self, Error> {
        let mut header = [0; HEADER_SIZE];
        let header = reader.fill(0, &mut header).and_then(|()| check_header(reader.image, &header));
        if let Err(error @ Error::Version { .. }) = header {
            return Err(error);
        }
        let mut why = match Self::ending_at(reader, len) {
            Err(error) => error,
            found => return found,
        };
        let (base, magic_size) = (reader.image.base, END_MAGIC.len() as u64);
        let mut end = len;
        while let Some(at) = disk::find_back(reader.file, END_MAGIC, base + end).filter(|at| *at >= base) {
            match Self::ending_at(reader, at + magic_size - base) {
                Ok(frame) => return Ok(frame),
                Err(error) if matches!(error, Error::Read { .. }) => why = error,
                Err(_) => {}
            }
            end = at + magic_size - 1 - base;
        }
        // What cannot be read may be whole, whatever the header looks like.
        match header {
            Err(error) if !matches!(why, Error::Read { .. }) => Err(error),
            _ => Err(why),
        }
    }

    /// Reads the tail that ends at byte `end` of an image.
    fn ending_at(reader: &ImageReader<'_>, end: u64) -> Result<Self, Error> {
        let mut bytes = reader.last(end, FOOTER_SIZE.min(end))?;
        if let Some(size) = footer_size(&bytes).map(|size| size + TRAILER_SIZE as u64).filter(|size| *size <= end)
            && size > bytes.len() as u64
        {
            bytes = reader.last(end, size)?;
        }
        let footing = read_footing(reader.image, end, &bytes)?;
        let reader = ImageReader { image: Image { part: Some(footing.footer.part), ..reader.image }, ..*reader };
        let column = footing.directory;
        reader.payload("directory", column, end, &mut bytes)?;
        let directory = image::unpack(&bytes, footing.directory_raw_size).and_then(|raw| Directory::decode(&raw));
        let directory = directory.map_err(|e| malformed(reader.image, "directory", column.offset, e))?;
        Ok(Self { footing, directory })
    }

    /// What is wrong with the header, and with the tails where there are two.
    pub(super) fn faults(
        footing: &Footing,
        directory: &Directory,
        reader: &ImageReader<'_>,
        len: u64,
    ) -> Result<Vec<Fault>, Error> {
        let mut packed = Vec::new();
        reader.payload("directory", footing.directory, len, &mut packed)?;
        let mut pieces = vec![("header", 0, image::header().to_vec())];
        if let Some(page) = directory.pages.last() {
            let first_at = page.column.offset + u64::from(page.column.size);
            let first = footing.tail(&packed, first_at);
            let end = first_at + first.len() as u64;
            if end < len {
                let second_at = second_at(end);
                pieces.extend([("tail", first_at, first), ("tail", second_at, footing.tail(&packed, second_at))]);
            }
        }
        let fault = |(what, offset, bytes): (&'static str, u64, Vec<u8>)| {
            let expected = Column { offset, size: bytes.len() as u32, crc: crc32fast::hash(&bytes) };
            let error = reader.payload(what, expected, u64::MAX, &mut Vec::new()).err()?;
            Some(Fault { offset: reader.image.base + offset, bytes, error })
        };
        Ok(pieces.into_iter().filter_map(fault).collect())
    }
}

pub(super) fn check_header(image: Image, header: &[u8; HEADER_SIZE]) -> Result<(), Error> {
    match image::check_header(header) {
        Header::Readable => Ok(()),
        Header::Foreign => Err(Error::NotAPart { image }),
        Header::OtherVersion(found) => Err(Error::Version { image, found }),
        Header::Damaged { expected, found } => {
            Err(Error::Damaged { image, what: "header", offset: 0, expected, found })
        }
    }
}

/// How long the footer is, if these bytes end with a trailer.
fn footer_size(tail: &[u8]) -> Option<u64> {
    let (size, _) = image::read_trailer(tail.last_chunk()?)?;
    Some(u64::from(size))
}

/// The footer of an image of `len` bytes, from those at its end; it must be whole among them unless it is damaged.
pub(super) fn read_footing(image: Image, len: u64, tail: &[u8]) -> Result<Footing, Error> {
    let cut_short = || Error::CutShort { image, len };
    let (before, trailer) = tail.split_last_chunk().ok_or_else(cut_short)?;
    let (size, expected) = image::read_trailer(trailer).ok_or_else(cut_short)?;
    let start = before.len().checked_sub(size as usize).ok_or_else(cut_short)?;
    let (bytes, offset) = (&before[start..], len - TRAILER_SIZE as u64 - u64::from(size));
    match crc32fast::hash(bytes) {
        found if found != expected => Err(Error::Damaged { image, what: "footer", offset, expected, found }),
        _ => Footing::decode(bytes).map_err(|source| malformed(image, "footer", offset, source)),
    }
}

pub(super) fn malformed(image: Image, what: &'static str, offset: u64, source: codec::Error) -> Error {
    Error::Malformed { image, what, offset, source }
}

/// Reads an image's checked bytes.
pub(super) struct ImageReader<'a> {
    pub(super) file: &'a dyn File,
    pub(super) image: Image,
}

impl ImageReader<'_> {
    fn fill(&self, offset: u64, bytes: &mut [u8]) -> Result<(), Error> {
        let image = self.image;
        self.file.read_exact_at(bytes, image.base + offset).map_err(|source| match source.kind() {
            io::ErrorKind::UnexpectedEof => Error::CutShort { image, len: offset },
            _ => Error::Read { image, offset, source },
        })
    }

    /// The last `size` of `len` bytes.
    fn last(&self, len: u64, size: u64) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; size as usize];
        self.fill(len - size, &mut bytes)?;
        Ok(bytes)
    }

    /// Reads `column` of an image of `len` bytes and compares its checksum.
    pub(super) fn payload(
        &self,
        what: &'static str,
        column: Column,
        len: u64,
        bytes: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let Column { offset, size, crc: expected } = column;
        if offset.checked_add(u64::from(size)).is_none_or(|end| end > len) {
            return Err(malformed(self.image, what, offset, codec::Error::Truncated));
        }
        bytes.resize(size as usize, 0);
        self.fill(offset, bytes)?;
        match crc32fast::hash(bytes) {
            found if found == expected => Ok(()),
            found => Err(Error::Damaged { image: self.image, what, offset, expected, found }),
        }
    }
}
