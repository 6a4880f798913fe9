//! The frame around a part's payloads: header, directory, footer, trailer.
//!
//! ```text
//! directory: field count varint | field names | table count | tables: name | field count | field numbers
//!            page count | per page: ref | raw size | entries | tables, streams, times it covers, both ends each
//! footer:    part | day zigzag | first and last sequence number | replaced parts | index parts | tombstone
//!            streams | rows | samples | blocks | smallest and largest time zigzag
//!            directory: offset | size | raw size | crc32 u32
//! ```
//!
//! Numbers are varints unless they have a type; lists and names begin with their length.

use std::{collections::HashMap, sync::Arc};

use crate::{
    codec::{Error, Reader, put_i64, put_string, put_u64, unpack_frame},
    model::{Day, PartId, SeqNo},
    parts::page::Column,
};

/// The format version this program writes, and the only one it reads.
pub const VERSION: u32 = 1;
/// Bytes of the header.
pub(super) const HEADER_SIZE: usize = 16;
/// Bytes of the trailer.
pub(super) const TRAILER_SIZE: usize = 16;
/// A page or directory that claims to unpack to more is damaged.
const RAW_SIZE_MAX: u32 = 1 << 28;

const MAGIC: &[u8; 8] = b"PLIMPART";
pub(super) const END_MAGIC: &[u8; 8] = b"PLIMPEND";

/// Who a part is: what its builder is told, and what a lost manifest is rebuilt from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footer {
    /// The part's number.
    pub part: PartId,
    /// The partition it belongs to.
    pub day: Day,
    /// The smallest sequence number whose rows may be inside.
    pub seq_min: SeqNo,
    /// The largest.
    pub seq_max: SeqNo,
    /// The parts this one was made from, and stands for.
    pub replaces: Vec<PartId>,
    /// Numbers of the index parts that define its streams.
    pub index_parts: Vec<u64>,
    /// The highest tombstone applied while it was written; 0 for none.
    pub tombstone: u64,
}

/// How much a part holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Bytes of the image.
    pub len: u64,
    /// Streams with at least one row.
    pub streams: u64,
    /// Rows: timestamps of all aligned groups.
    pub rows: u64,
    /// Samples: rows times their fields.
    pub samples: u64,
    /// Blocks.
    pub blocks: u64,
    /// Smallest timestamp; `i64::MAX` in an empty part.
    pub min_time: i64,
    /// Largest timestamp; `i64::MIN` in an empty part.
    pub max_time: i64,
}

/// A table and its fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The measurement.
    pub name: Arc<str>,
    /// Names of the fields with at least one block, ascending.
    pub fields: Vec<Arc<str>>,
}

/// An index page and what it covers: every bound includes both its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageRef {
    pub(super) column: Column,
    pub(super) raw_size: u32,
    pub(super) entries: u32,
    pub(super) tables: (u32, u32),
    pub(super) streams: (u32, u32),
    pub(super) times: (i64, i64),
}

/// Names, and where the index pages are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Directory {
    /// In the order of their numbers.
    pub(super) fields: Vec<Arc<str>>,
    /// Sorted by name.
    pub(super) tables: Vec<Table>,
    pub(super) pages: Vec<PageRef>,
}

/// What the footer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Footing {
    pub(super) footer: Footer,
    /// Without `len`, which the footer cannot know; 0 there.
    pub(super) summary: Summary,
    pub(super) directory: Column,
    pub(super) directory_raw_size: u32,
}

pub(super) fn header() -> [u8; HEADER_SIZE] {
    let mut header = [0; HEADER_SIZE];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    let crc = crc32fast::hash(&header[..12]);
    header[12..].copy_from_slice(&crc.to_le_bytes());
    header
}

/// What a header's bytes turn out to be.
pub(super) enum Header {
    Readable,
    Foreign,
    OtherVersion(u32),
    Damaged { expected: u32, found: u32 },
}

pub(super) fn check_header(header: &[u8; HEADER_SIZE]) -> Header {
    let (expected, found) = (word(&header[12..]), crc32fast::hash(&header[..12]));
    match word(&header[8..]) {
        _ if !header.starts_with(MAGIC) => Header::Foreign,
        _ if expected != found => Header::Damaged { expected, found },
        VERSION => Header::Readable,
        version => Header::OtherVersion(version),
    }
}

fn trailer(footer: &[u8]) -> [u8; TRAILER_SIZE] {
    let mut trailer = [0; TRAILER_SIZE];
    let size = u32::try_from(footer.len()).expect("a footer is far below 4 GiB");
    trailer[..4].copy_from_slice(&size.to_le_bytes());
    trailer[4..8].copy_from_slice(&crc32fast::hash(footer).to_le_bytes());
    trailer[8..].copy_from_slice(END_MAGIC);
    trailer
}

/// Length and CRC of the footer, where these bytes are a trailer.
pub(super) fn read_trailer(trailer: &[u8; TRAILER_SIZE]) -> Option<(u32, u32)> {
    trailer.ends_with(END_MAGIC).then(|| (word(trailer), word(&trailer[4..])))
}

fn word(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// Packs a page or a directory.
pub(super) fn pack(raw: &[u8]) -> (Vec<u8>, u32) {
    let packed = zstd::bulk::compress(raw, 1).expect("zstd fails only where memory does");
    (packed, u32::try_from(raw.len()).expect("a page or directory is far below 4 GiB"))
}

pub(super) fn unpack(packed: &[u8], raw_size: u32) -> Result<Vec<u8>, Error> {
    if raw_size > RAW_SIZE_MAX {
        return Err(Error::Invalid("raw size beyond its limit"));
    }
    let raw = unpack_frame(packed, raw_size as usize).map_err(|_| Error::Invalid("zstd frame"))?;
    if raw.len() == raw_size as usize { Ok(raw) } else { Err(Error::Truncated) }
}

impl Directory {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_u64(&mut out, self.fields.len() as u64);
        self.fields.iter().for_each(|name| put_string(&mut out, name));
        let numbers: HashMap<&str, u64> = self.fields.iter().map(|name| &**name).zip(0..).collect();
        put_u64(&mut out, self.tables.len() as u64);
        for table in &self.tables {
            put_string(&mut out, &table.name);
            put_list(&mut out, table.fields.iter().map(|name| numbers[&**name]));
        }
        put_u64(&mut out, self.pages.len() as u64);
        self.pages.iter().for_each(|page| page.encode(&mut out));
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes);
        let fields: Vec<Arc<str>> = list(&mut reader, |reader| reader.string().map(Arc::from))?;
        let tables = list(&mut reader, |reader| {
            let name = Arc::from(reader.string()?);
            let fields = list(reader, |reader| {
                let number = reader.varint()? as usize;
                fields.get(number).cloned().ok_or(Error::Invalid("field number"))
            })?;
            Ok(Table { name, fields })
        })?;
        let pages = list(&mut reader, PageRef::decode)?;
        reader.finish()?;
        if !tables.is_sorted_by(|a, b| a.name < b.name) {
            return Err(Error::Invalid("tables out of order"));
        }
        Ok(Self { fields, tables, pages })
    }
}

impl PageRef {
    fn encode(&self, out: &mut Vec<u8>) {
        put_ref(out, self.column, self.raw_size);
        for number in [self.entries, self.tables.0, self.tables.1, self.streams.0, self.streams.1] {
            put_u64(out, u64::from(number));
        }
        put_i64(out, self.times.0);
        put_i64(out, self.times.1);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let (column, raw_size) = take_ref(reader)?;
        Ok(Self {
            column,
            raw_size,
            entries: take_u32(reader)?,
            tables: (take_u32(reader)?, take_u32(reader)?),
            streams: (take_u32(reader)?, take_u32(reader)?),
            times: (reader.zigzag()?, reader.zigzag()?),
        })
    }
}

impl Footing {
    /// Directory, footer and trailer, as they stand where the packed directory begins at byte `offset`.
    pub(super) fn tail(&self, packed: &[u8], offset: u64) -> Vec<u8> {
        let directory = Column { offset, ..self.directory };
        let footer = Self { directory, ..self.clone() }.encode();
        [packed, &footer, &trailer(&footer)].concat()
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let (footer, summary) = (&self.footer, &self.summary);
        let mut out = Vec::with_capacity(128);
        put_u64(&mut out, footer.part.0);
        put_i64(&mut out, i64::from(footer.day.0));
        put_u64(&mut out, footer.seq_min.0);
        put_u64(&mut out, footer.seq_max.0);
        put_list(&mut out, footer.replaces.iter().map(|part| part.0));
        put_list(&mut out, footer.index_parts.iter().copied());
        for number in [footer.tombstone, summary.streams, summary.rows, summary.samples, summary.blocks] {
            put_u64(&mut out, number);
        }
        put_i64(&mut out, summary.min_time);
        put_i64(&mut out, summary.max_time);
        put_ref(&mut out, self.directory, self.directory_raw_size);
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes);
        let footer = Footer {
            part: PartId(reader.varint()?),
            day: Day(i32::try_from(reader.zigzag()?).map_err(|_| Error::Invalid("day"))?),
            seq_min: SeqNo(reader.varint()?),
            seq_max: SeqNo(reader.varint()?),
            replaces: list(&mut reader, |reader| reader.varint().map(PartId))?,
            index_parts: list(&mut reader, Reader::varint)?,
            tombstone: reader.varint()?,
        };
        let summary = Summary {
            len: 0,
            streams: reader.varint()?,
            rows: reader.varint()?,
            samples: reader.varint()?,
            blocks: reader.varint()?,
            min_time: reader.zigzag()?,
            max_time: reader.zigzag()?,
        };
        let (directory, directory_raw_size) = take_ref(&mut reader)?;
        reader.finish()?;
        Ok(Self { footer, summary, directory, directory_raw_size })
    }
}

fn put_list(out: &mut Vec<u8>, numbers: impl ExactSizeIterator<Item = u64>) {
    put_u64(out, numbers.len() as u64);
    numbers.for_each(|number| put_u64(out, number));
}

/// A list of things that take at least a byte each.
fn list<'a, T>(
    reader: &mut Reader<'a>,
    mut take: impl FnMut(&mut Reader<'a>) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    let count = reader.count(reader.remaining())?;
    (0..count).map(|_| take(reader)).collect()
}

fn put_ref(out: &mut Vec<u8>, column: Column, raw_size: u32) {
    put_u64(out, column.offset);
    put_u64(out, u64::from(column.size));
    put_u64(out, u64::from(raw_size));
    out.extend_from_slice(&column.crc.to_le_bytes());
}

fn take_ref(reader: &mut Reader<'_>) -> Result<(Column, u32), Error> {
    let (offset, size, raw_size) = (reader.varint()?, take_u32(reader)?, take_u32(reader)?);
    Ok((Column { offset, size, crc: reader.u32()? }, raw_size))
}

fn take_u32(reader: &mut Reader<'_>) -> Result<u32, Error> {
    u32::try_from(reader.varint()?).map_err(|_| Error::Invalid("number beyond 32 bits"))
}
