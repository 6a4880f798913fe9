//! Index parts: which streams, with which fields, are new in a partition.
//!
//! ```text
//! file:      image | zeros | image          the same twice; the second begins at the next multiple of 4096
//! image:     header | page* | directory | trailer
//! header:    "PLIMINDX" | version u32 | crc32 u32 of the twelve bytes before
//! page:      zstd frame of entries, about 32 KiB of them unpacked
//! entry:     stream varint (delta to the entry before) | shared varint, rest bytes (key, front-coded against the entry
//!            before) | set varint
//! directory: id varint | day zigzag | field names varint, string* | sets varint, (count varint, name varint *)*
//!            | pages varint, (offset varint, size varint, unpacked size varint, crc32 u32, entries varint)*
//! trailer:   size of the directory u32 | crc32 u32 of the directory | "PLIMIEND"
//! ```
//!
//! The first entry of a page counts from stream 0 and an empty key, so a damaged page costs its own entries only. A set
//! lists field names, by their place in the directory. A stream that gains fields gets another entry in a later index
//! part of its day.
//!
//! Offsets count from the header of the image. A piece (header, page, or directory with trailer) that is damaged in one
//! image is taken from the other, and a flipped bit, an unreadable sector or bytes cut off the end cost nothing. Where the
//! second image begins is known from a directory, and a directory from a trailer, which is looked for from the end of the
//! file on: bytes behind it do no harm. All this takes some 3 bytes a series, and up to 4 KiB a file. A file of one image is
//! read, too; earlier versions of the program wrote such.

use std::{io, sync::Arc};

use crate::{
    codec::{self, Reader, put_bytes, put_i64, put_string, put_u64},
    disk::{self, File},
    model::{Day, PartId, StreamId, StreamKey},
};

const MAGIC: &[u8; 8] = b"PLIMINDX";
const END_MAGIC: &[u8; 8] = b"PLIMIEND";
const VERSION: u32 = 1;
const HEADER_SIZE: usize = 16;
const TRAILER_SIZE: usize = 16;
/// Unpacked bytes after which a page is closed: small enough to look one key up, large enough to compress.
const PAGE_SIZE: usize = 32 << 10;
/// Larger pages are damage: a key is at most 64 KiB, and a page is closed once it has 32 KiB.
const PAGE_SIZE_MAX: usize = 1 << 20;
const ZSTD_LEVEL: i32 = 1;
/// The second image begins at a multiple of this: what a disk cannot read, or a lost write leaves, is one such block.
const BLOCK_SIZE: u64 = 4096;

/// Why an index part could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk refused.
    #[error("read index part at byte {offset}")]
    Read {
        /// Where.
        offset: u64,
        /// The disk's answer.
        source: io::Error,
    },
    /// It does not begin or end like one, or is cut short.
    #[error("no index part, or cut short ({size} bytes)")]
    NotAnIndexPart {
        /// The bytes there are.
        size: u64,
    },
    /// Written by a newer version.
    #[error("index part has format version {0}; this program reads up to {VERSION}")]
    Version(u32),
    /// Bytes are not what was written.
    #[error("index part is damaged at byte {offset}: checksum {found:08x}, expected {expected:08x}")]
    Damaged {
        /// Where the checked bytes begin.
        offset: u64,
        /// The checksum on record.
        expected: u32,
        /// The checksum of what was read.
        found: u32,
    },
    /// The checksum holds, but no builder writes such bytes.
    #[error("index part is malformed at byte {offset}")]
    Malformed {
        /// Where the piece begins.
        offset: u64,
        /// What is wrong with it.
        source: codec::Error,
    },
}

/// A stream and the fields it is known to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// Its id.
    pub stream: StreamId,
    /// Its key.
    pub key: StreamKey,
    /// Names of its fields.
    pub fields: Arc<[Arc<str>]>,
}

/// A piece of one of the two images that is not what was written, or cannot be read.
#[derive(Debug)]
pub struct Fault {
    /// Where in the file it begins.
    pub offset: u64,
    /// What belongs there.
    pub bytes: Vec<u8>,
    /// What is wrong.
    pub error: Error,
}

impl Error {
    /// Whether the disk does not give what is there, which may be whole.
    pub fn is_unreadable(&self) -> bool {
        matches!(self, Self::Read { source, .. } if disk::is_unreadable(source))
    }
}

struct PageRef {
    offset: u64,
    size: usize,
    raw_size: usize,
    crc: u32,
    entries: usize,
}

/// Writes an index part to memory: keys are a few dozen bytes a new stream.
#[derive(Default)]
pub struct IndexPartBuilder {
    bytes: Vec<u8>,
    page: Vec<u8>,
    page_entries: usize,
    last: (u32, Vec<u8>),
    names: Vec<String>,
    sets: Vec<Vec<usize>>,
    pages: Vec<PageRef>,
}

impl IndexPartBuilder {
    /// Adds a stream and its fields. Streams come in ascending order.
    pub fn push(&mut self, stream: StreamId, key: &StreamKey, fields: &[&str]) {
        let set = self.set(fields);
        let key = key.as_bytes();
        let shared = key.iter().zip(&self.last.1).take_while(|(a, b)| a == b).count();
        put_u64(&mut self.page, u64::from(stream.0 - self.last.0));
        put_u64(&mut self.page, shared as u64);
        put_bytes(&mut self.page, &key[shared..]);
        put_u64(&mut self.page, set as u64);
        self.last = (stream.0, key.to_vec());
        self.page_entries += 1;
        if self.page.len() >= PAGE_SIZE {
            self.close_page();
        }
    }

    /// The place of a set of fields, a new one where it was not there. Streams of one table mostly share one.
    fn set(&mut self, fields: &[&str]) -> usize {
        let mut places = Vec::with_capacity(fields.len());
        for field in fields {
            let known = self.names.iter().position(|name| name == field);
            places.push(known.unwrap_or_else(|| {
                self.names.push((*field).to_owned());
                self.names.len() - 1
            }));
        }
        self.sets.iter().rposition(|set| *set == places).unwrap_or_else(|| {
            self.sets.push(places);
            self.sets.len() - 1
        })
    }

    fn close_page(&mut self) {
        if self.page.is_empty() {
            return;
        }
        if self.bytes.is_empty() {
            self.bytes.extend_from_slice(&header());
        }
        let packed =
            zstd::bulk::compress(&self.page, ZSTD_LEVEL).expect("zstd takes any bytes and makes room for them");
        self.pages.push(PageRef {
            offset: self.bytes.len() as u64,
            size: packed.len(),
            raw_size: self.page.len(),
            crc: crc32fast::hash(&packed),
            entries: self.page_entries,
        });
        self.bytes.extend_from_slice(&packed);
        self.page.clear();
        self.page_entries = 0;
        self.last = (0, Vec::new());
    }

    /// The file's bytes.
    pub fn finish(mut self, id: PartId, day: Day) -> Vec<u8> {
        self.close_page();
        if self.bytes.is_empty() {
            self.bytes.extend_from_slice(&header());
        }
        let mut directory = Vec::new();
        put_u64(&mut directory, id.0);
        put_i64(&mut directory, i64::from(day.0));
        put_u64(&mut directory, self.names.len() as u64);
        self.names.iter().for_each(|name| put_string(&mut directory, name));
        put_u64(&mut directory, self.sets.len() as u64);
        for set in &self.sets {
            put_u64(&mut directory, set.len() as u64);
            set.iter().for_each(|place| put_u64(&mut directory, *place as u64));
        }
        put_u64(&mut directory, self.pages.len() as u64);
        for page in &self.pages {
            put_u64(&mut directory, page.offset);
            put_u64(&mut directory, page.size as u64);
            put_u64(&mut directory, page.raw_size as u64);
            directory.extend_from_slice(&page.crc.to_le_bytes());
            put_u64(&mut directory, page.entries as u64);
        }
        let size = u32::try_from(directory.len()).expect("a directory lists pages of 32 KiB, so it is far below 4 GiB");
        self.bytes.extend_from_slice(&directory);
        self.bytes.extend_from_slice(&size.to_le_bytes());
        self.bytes.extend_from_slice(&crc32fast::hash(&directory).to_le_bytes());
        self.bytes.extend_from_slice(END_MAGIC);
        let image_size = self.bytes.len();
        self.bytes.resize(image_size.next_multiple_of(BLOCK_SIZE as usize), 0);
        self.bytes.extend_from_within(..image_size);
        self.bytes
    }
}

fn header() -> [u8; HEADER_SIZE] {
    let mut header = [0; HEADER_SIZE];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    let crc = crc32fast::hash(&header[..12]);
    header[12..].copy_from_slice(&crc.to_le_bytes());
    header
}

/// An index part, open. Holds its directory; pages are read when they are walked over.
pub struct IndexPart {
    file: Arc<dyn File>,
    id: PartId,
    day: Day,
    sets: Vec<Arc<[Arc<str>]>>,
    pages: Vec<PageRef>,
    /// Directory and trailer, as they stand in the file.
    frame: Vec<u8>,
    /// Where the images begin.
    images: Vec<u64>,
}

impl IndexPart {
    /// Opens a file: checks its frame and reads a directory.
    pub fn open(file: &Arc<dyn File>) -> Result<Self, Error> {
        let size = file.size().map_err(|source| Error::Read { offset: 0, source })?;
        if let Ok(header) = read(&**file, 0, HEADER_SIZE.min(size as usize))
            && is_header(&header)
            && u32_at(&header, 8) > VERSION
        {
            return Err(Error::Version(u32_at(&header, 8)));
        }
        // Where the last trailer is damaged, or something stands behind it, one before it is as good.
        let mut why = match Self::ending_at(file, size) {
            Err(error) => error,
            part => return part,
        };
        let mut end = size;
        while let Some(at) = disk::find_back(&**file, END_MAGIC, end) {
            match Self::ending_at(file, at + END_MAGIC.len() as u64) {
                Ok(part) => return Ok(part),
                Err(error) if error.is_unreadable() => why = error,
                Err(_) => {}
            }
            end = at + END_MAGIC.len() as u64 - 1;
        }
        Err(why)
    }

    /// Reads the directory whose trailer ends at byte `end` of the file.
    fn ending_at(file: &Arc<dyn File>, end: u64) -> Result<Self, Error> {
        let none = || Error::NotAnIndexPart { size: end };
        let trailer_at = end.checked_sub(TRAILER_SIZE as u64).ok_or_else(none)?;
        let trailer = read(&**file, trailer_at, TRAILER_SIZE)?;
        let directory_at = trailer_at.checked_sub(u64::from(u32_at(&trailer, 0)));
        let (Some(offset), true) = (directory_at, &trailer[8..] == END_MAGIC) else { return Err(none()) };
        let directory = read(&**file, offset, u32_at(&trailer, 0) as usize)?;
        check(&directory, u32_at(&trailer, 4), offset)?;
        let malformed = |source| Error::Malformed { offset, source };
        let mut part = Self {
            file: Arc::clone(file),
            id: PartId(0),
            day: Day(0),
            sets: Vec::new(),
            pages: Vec::new(),
            frame: [&directory[..], &trailer].concat(),
            images: Vec::new(),
        };
        part.read_directory(&directory, offset).map_err(malformed)?;
        let (frame_at, frame_size) = (part.frame_at(), part.frame.len() as u64);
        let second = (frame_at + frame_size).next_multiple_of(BLOCK_SIZE);
        if ![frame_at, second + frame_at].contains(&offset) {
            return Err(malformed(codec::Error::Invalid("directory in no image")));
        }
        let size = file.size().map_err(|source| Error::Read { offset: 0, source })?;
        part.images = if size == frame_at + frame_size { vec![0] } else { vec![0, second] };
        Ok(part)
    }

    fn read_directory(&mut self, bytes: &[u8], end: u64) -> Result<(), codec::Error> {
        let mut reader = Reader::new(bytes);
        self.id = PartId(reader.varint()?);
        self.day = Day(i32::try_from(reader.zigzag()?).map_err(|_| codec::Error::Invalid("day out of range"))?);
        let count = reader.count(reader.remaining())?;
        let names = (0..count).map(|_| reader.string().map(Arc::from)).collect::<Result<Vec<Arc<str>>, _>>()?;
        for _ in 0..reader.count(reader.remaining())? {
            let count = reader.count(reader.remaining())?;
            let mut set = Vec::with_capacity(count);
            for _ in 0..count {
                let place = reader.count(names.len().saturating_sub(1))?;
                set.push(names.get(place).cloned().ok_or(codec::Error::Invalid("field name"))?);
            }
            self.sets.push(set.into());
        }
        for _ in 0..reader.count(reader.remaining())? {
            let page = PageRef {
                offset: reader.varint()?,
                size: reader.count(PAGE_SIZE_MAX)?,
                raw_size: reader.count(PAGE_SIZE_MAX)?,
                crc: reader.u32()?,
                entries: reader.count(PAGE_SIZE_MAX)?,
            };
            if page.offset.checked_add(page.size as u64).is_none_or(|page_end| page_end > end) {
                return Err(codec::Error::Invalid("page outside the file"));
            }
            self.pages.push(page);
        }
        reader.finish()
    }

    /// Where in an image the directory begins: behind the last page.
    fn frame_at(&self) -> u64 {
        self.pages.last().map_or(HEADER_SIZE as u64, |page| page.offset + page.size as u64)
    }

    /// Its number.
    pub fn id(&self) -> PartId {
        self.id
    }

    /// The day it belongs to.
    pub fn day(&self) -> Day {
        self.day
    }

    /// How many entries it has, those of damaged pages included.
    pub fn entry_count(&self) -> usize {
        self.pages.iter().map(|page| page.entries).sum()
    }

    /// All entries, by stream; an error in place of each damaged page.
    pub fn entries(&self) -> impl Iterator<Item = Result<IndexEntry, Error>> {
        self.pages.iter().flat_map(|page| match self.page(page) {
            Ok(entries) => entries.into_iter().map(Ok).collect::<Vec<_>>(),
            Err(error) => vec![Err(error)],
        })
    }

    /// What of one image is not as it should be and stands whole in the other. Reads all of both.
    pub fn faults(&self) -> impl Iterator<Item = Fault> {
        let pages = self.pages.iter().filter_map(|page| Some((page.offset, self.packed(page).ok()?)));
        let frame = [(0, header().to_vec()), (self.frame_at(), self.frame.clone())];
        let pieces =
            frame.into_iter().chain(pages).flat_map(|piece| self.images.iter().map(move |at| (at, piece.clone())));
        pieces.filter_map(|(image, (offset, bytes))| {
            let offset = image + offset;
            let error = check_at(&*self.file, offset, bytes.len(), crc32fast::hash(&bytes)).err()?;
            Some(Fault { offset, bytes, error })
        })
    }

    /// A page as it stands in the file, from the first image that has it whole.
    fn packed(&self, page: &PageRef) -> Result<Vec<u8>, Error> {
        let read = |image: &u64| check_at(&*self.file, image + page.offset, page.size, page.crc);
        let mut found: Vec<_> = self.images.iter().map(read).collect();
        if let Some(whole) = found.iter().position(Result::is_ok) {
            return found.swap_remove(whole);
        }
        // One that cannot be read may be whole: nothing is given up then.
        let unreadable = found.iter().position(|error| error.as_ref().is_err_and(Error::is_unreadable));
        found.swap_remove(unreadable.unwrap_or(0))
    }

    fn page(&self, page: &PageRef) -> Result<Vec<IndexEntry>, Error> {
        let packed = self.packed(page)?;
        let malformed = |source| Error::Malformed { offset: page.offset, source };
        let raw = codec::unpack_frame(&packed, page.raw_size);
        let raw = raw.map_err(|_| malformed(codec::Error::Invalid("zstd frame")))?;
        self.decode(&raw, page.entries).map_err(malformed)
    }

    fn decode(&self, raw: &[u8], count: usize) -> Result<Vec<IndexEntry>, codec::Error> {
        let mut reader = Reader::new(raw);
        let (mut stream, mut key) = (0_u32, Vec::new());
        let mut entries = Vec::new();
        for _ in 0..count {
            let delta = u32::try_from(reader.varint()?).map_err(|_| codec::Error::Invalid("stream id out of range"))?;
            stream = stream.checked_add(delta).ok_or(codec::Error::Invalid("stream id out of range"))?;
            key.truncate(reader.count(key.len())?);
            key.extend_from_slice(reader.sized_bytes()?);
            let key = StreamKey::from_bytes(&key).map_err(|_| codec::Error::Invalid("stream key"))?;
            let set = usize::try_from(reader.varint()?).ok().and_then(|set| self.sets.get(set));
            let fields = Arc::clone(set.ok_or(codec::Error::Invalid("field set"))?);
            entries.push(IndexEntry { stream: StreamId(stream), key, fields });
        }
        reader.finish()?;
        Ok(entries)
    }
}

fn is_header(bytes: &[u8]) -> bool {
    bytes.len() == HEADER_SIZE && bytes.starts_with(MAGIC) && u32_at(bytes, 12) == crc32fast::hash(&bytes[..12])
}

fn read(file: &dyn File, offset: u64, size: usize) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0; size];
    match file.read_exact_at(&mut bytes, offset) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(Error::NotAnIndexPart { size: offset }),
        read => read.map(|()| bytes).map_err(|source| Error::Read { offset, source }),
    }
}

fn check_at(file: &dyn File, offset: u64, size: usize, crc: u32) -> Result<Vec<u8>, Error> {
    let bytes = read(file, offset, size)?;
    check(&bytes, crc, offset)?;
    Ok(bytes)
}

fn check(bytes: &[u8], expected: u32, offset: u64) -> Result<(), Error> {
    let found = crc32fast::hash(bytes);
    if found == expected { Ok(()) } else { Err(Error::Damaged { offset, expected, found }) }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}
