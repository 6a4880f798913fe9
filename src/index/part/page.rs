//! Pages of keys, the directory that lists them, and the footer.

use crate::{
    codec::{Error, Reader, put_bytes, put_i64, put_u64},
    index::part::{IndexSummary, RAW_SIZE_MAX},
    model::{Day, StreamId, StreamKey},
};

/// Where packed bytes are, and their checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) offset: u64,
    pub(super) size: u32,
    pub(super) raw_size: u32,
    pub(super) crc: u32,
}

/// A page and the ids of its first and last key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageRef {
    pub(super) place: Place,
    pub(super) first: StreamId,
    pub(super) last: StreamId,
}

/// Keys on their way to a page, each written as what sets it off from the one before.
#[derive(Default)]
pub(super) struct PageBuilder {
    raw: Vec<u8>,
    ids: Option<(StreamId, StreamId)>,
    key: Vec<u8>,
}

impl PageBuilder {
    pub(super) fn push(&mut self, stream: StreamId, key: &StreamKey) {
        let key = key.as_bytes();
        let before = self.ids.map_or(0, |(_, last)| last.0);
        let shared = self.key.iter().zip(key).take_while(|(a, b)| a == b).count();
        put_u64(&mut self.raw, u64::from(stream.0 - before));
        put_u64(&mut self.raw, shared as u64);
        put_bytes(&mut self.raw, &key[shared..]);
        self.key.clear();
        self.key.extend_from_slice(key);
        self.ids = Some((self.ids.map_or(stream, |(first, _)| first), stream));
    }

    pub(super) fn raw_size(&self) -> usize {
        self.raw.len()
    }

    /// The page's first and last id and its raw bytes, if it has any; empty afterwards.
    pub(super) fn take(&mut self) -> Option<(StreamId, StreamId, Vec<u8>)> {
        let (first, last) = self.ids.take()?;
        self.key.clear();
        Some((first, last, std::mem::take(&mut self.raw)))
    }
}

/// The streams of an unpacked page, which must be those from `first` to `last`.
pub(super) fn decode(raw: &[u8], first: StreamId, last: StreamId) -> Result<Vec<(StreamId, StreamKey)>, Error> {
    let mut reader = Reader::new(raw);
    let mut streams: Vec<(StreamId, StreamKey)> = Vec::new();
    while !reader.is_empty() {
        let gap = u32::try_from(reader.varint()?).map_err(|_| Error::Invalid("stream id"))?;
        let (before, key_before) = streams.last().map_or((0, &[] as &[u8]), |(id, key)| (id.0, key.as_bytes()));
        let id = before.checked_add(gap).ok_or(Error::Invalid("stream id"))?;
        if gap == 0 && !streams.is_empty() {
            return Err(Error::Invalid("stream ids out of order"));
        }
        let shared = reader.count(key_before.len())?;
        let bytes = [&key_before[..shared], reader.sized_bytes()?].concat();
        let key = StreamKey::from_bytes(&bytes).map_err(|_| Error::Invalid("stream key"))?;
        streams.push((StreamId(id), key));
    }
    let bounds = streams.first().zip(streams.last()).map(|(first, last)| (first.0, last.0));
    if bounds == Some((first, last)) { Ok(streams) } else { Err(Error::Invalid("page unlike the directory")) }
}

pub(super) fn encode_directory(pages: &[PageRef]) -> Vec<u8> {
    let mut out = Vec::with_capacity(pages.len() * 12);
    put_u64(&mut out, pages.len() as u64);
    let mut before = 0;
    for page in pages {
        put_u64(&mut out, u64::from(page.place.size));
        put_u64(&mut out, u64::from(page.place.raw_size));
        put_u64(&mut out, u64::from(page.first.0 - before));
        put_u64(&mut out, u64::from(page.last.0 - page.first.0));
        out.extend(page.place.crc.to_le_bytes());
        before = page.last.0;
    }
    out
}

/// The pages, the first of which lies at `offset`.
pub(super) fn decode_directory(raw: &[u8], mut offset: u64) -> Result<Vec<PageRef>, Error> {
    let mut reader = Reader::new(raw);
    let count = reader.count(reader.remaining())?;
    let mut pages = Vec::with_capacity(count);
    let mut before = 0;
    for _ in 0..count {
        let (size, raw_size) = (take_u32(&mut reader)?, take_u32(&mut reader)?);
        let first = take_id_behind(&mut reader, before)?;
        let last = take_id_behind(&mut reader, first.0)?;
        let place = Place { offset, size, raw_size, crc: reader.u32()? };
        if first.0 == before && !pages.is_empty() {
            return Err(Error::Invalid("pages out of order"));
        }
        pages.push(PageRef { place, first, last });
        before = last.0;
        offset += u64::from(size);
    }
    reader.finish()?;
    Ok(pages)
}

/// The footer's bytes; `summary.len` is not among them.
pub(super) fn encode_footer(summary: &IndexSummary, directory: Place) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    put_u64(&mut out, summary.index_part);
    put_i64(&mut out, i64::from(summary.day.0));
    put_u64(&mut out, summary.streams);
    put_u64(&mut out, u64::from(summary.min_id.0));
    put_u64(&mut out, u64::from(summary.max_id.0));
    put_u64(&mut out, directory.offset);
    put_u64(&mut out, u64::from(directory.size));
    put_u64(&mut out, u64::from(directory.raw_size));
    out.extend(directory.crc.to_le_bytes());
    out
}

/// IndexPartPiece the footer of a file of `len` bytes says.
pub(super) fn decode_footer(bytes: &[u8], len: u64) -> Result<(IndexSummary, Place), Error> {
    let mut reader = Reader::new(bytes);
    let summary = IndexSummary {
        index_part: reader.varint()?,
        day: Day(i32::try_from(reader.zigzag()?).map_err(|_| Error::Invalid("day"))?),
        streams: reader.varint()?,
        min_id: StreamId(take_u32(&mut reader)?),
        max_id: StreamId(take_u32(&mut reader)?),
        len,
    };
    let (offset, size, raw_size) = (reader.varint()?, take_u32(&mut reader)?, take_u32(&mut reader)?);
    let directory = Place { offset, size, raw_size, crc: reader.u32()? };
    reader.finish()?;
    Ok((summary, directory))
}

pub(super) fn pack(raw: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(raw, 1).expect("zstd fails only where memory does")
}

pub(super) fn unpack(packed: &[u8], raw_size: u32) -> Result<Vec<u8>, Error> {
    if raw_size > RAW_SIZE_MAX {
        return Err(Error::Invalid("raw size beyond its limit"));
    }
    let raw = zstd::bulk::decompress(packed, raw_size as usize).map_err(|_| Error::Invalid("zstd frame"))?;
    if raw.len() == raw_size as usize { Ok(raw) } else { Err(Error::Truncated) }
}

fn take_id_behind(reader: &mut Reader<'_>, before: u32) -> Result<StreamId, Error> {
    let gap = take_u32(reader)?;
    before.checked_add(gap).map(StreamId).ok_or(Error::Invalid("stream id"))
}

fn take_u32(reader: &mut Reader<'_>) -> Result<u32, Error> {
    u32::try_from(reader.varint()?).map_err(|_| Error::Invalid("number beyond 32 bits"))
}
