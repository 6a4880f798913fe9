//! Index parts: which streams, with which fields, are new in a partition.
//!
//! ```text
//! file:      header | page* | directory | trailer
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

use std::{io, sync::Arc};

use crate::{
    codec::{self, Reader, put_bytes, put_i64, put_string, put_u64},
    disk::File,
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
}

impl IndexPart {
    /// Opens a file: checks its frame and reads its directory.
    pub fn open(file: Arc<dyn File>) -> Result<Self, Error> {
        let size = file.size().map_err(|source| Error::Read { offset: 0, source })?;
        if size < (HEADER_SIZE + TRAILER_SIZE) as u64 {
            return Err(Error::NotAnIndexPart { size });
        }
        let header = read(&*file, 0, HEADER_SIZE)?;
        if &header[..8] != MAGIC {
            return Err(Error::NotAnIndexPart { size });
        }
        check(&header[..12], u32_at(&header, 12), 0)?;
        if u32_at(&header, 8) > VERSION {
            return Err(Error::Version(u32_at(&header, 8)));
        }
        let trailer_at = size - TRAILER_SIZE as u64;
        let trailer = read(&*file, trailer_at, TRAILER_SIZE)?;
        let directory_at = trailer_at.checked_sub(u64::from(u32_at(&trailer, 0)));
        let (Some(offset), true) = (directory_at, &trailer[8..] == END_MAGIC) else {
            return Err(Error::NotAnIndexPart { size });
        };
        let directory = read(&*file, offset, u32_at(&trailer, 0) as usize)?;
        check(&directory, u32_at(&trailer, 4), offset)?;
        let part = Self { file, id: PartId(0), day: Day(0), sets: Vec::new(), pages: Vec::new() };
        part.with_directory(&directory, offset).map_err(|source| Error::Malformed { offset, source })
    }

    fn with_directory(mut self, bytes: &[u8], end: u64) -> Result<Self, codec::Error> {
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
        reader.finish()?;
        Ok(self)
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

    fn page(&self, page: &PageRef) -> Result<Vec<IndexEntry>, Error> {
        let packed = read(&*self.file, page.offset, page.size)?;
        check(&packed, page.crc, page.offset)?;
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

fn read(file: &dyn File, offset: u64, size: usize) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0; size];
    file.read_exact_at(&mut bytes, offset).map_err(|source| Error::Read { offset, source })?;
    Ok(bytes)
}

fn check(bytes: &[u8], expected: u32, offset: u64) -> Result<(), Error> {
    let found = crc32fast::hash(bytes);
    if found == expected { Ok(()) } else { Err(Error::Damaged { offset, expected, found }) }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}
