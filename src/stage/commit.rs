//! The payload of a commit frame: sorted pages and what they cover.
//!
//! ```text
//! payload: after u64 | given u64 | pages varint | (day zigzag, offset varint, size varint)* | definitions
//!          | (uses varint | (stream varint, layout varint)*) per page | page bytes
//! ```
//!
//! The frame's number is Cp: with this commit every batch up to it is safe. `after` is the Cp of the commit before, so
//! that a missing one shows as a gap. `given` is Cd: nothing above it had been given out. A page is a part image of one
//! day (see `parts`); offsets count from the first page byte. The definitions name the streams and layouts that this file
//! had not named before, and what the commit before named for the first time, once more; the uses name the fields that a
//! stream has on a page's day, where no page of that day before in this file had them, so that a start need not read the
//! pages.

use super::{Definitions, Error, Kind};
use crate::{
    codec::{self, Reader, put_i64, put_u64},
    model::{Day, LayoutId, SeqNo, StreamId},
};

/// What a commit says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// The commit covers the numbers behind this one, up to its frame's number.
    pub after: SeqNo,
    /// Cd: the highest number given out when it was written.
    pub given: SeqNo,
    /// The pages, one per day.
    pub pages: Vec<Page>,
    /// Streams and layouts that this container names for the first time.
    pub definitions: Definitions,
    /// Per page, the streams and layouts that are new to its day in this container.
    pub uses: Vec<Vec<(StreamId, LayoutId)>>,
}

/// Where a page's bytes stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// The day all its rows are of.
    pub day: Day,
    /// First byte, counted from the first page byte of the payload.
    pub offset: u64,
    /// How many bytes.
    pub size: u64,
}

/// Appends a commit's payload to `out`; `pages` are the bytes of all pages in order.
pub fn encode_commit(commit: &Commit, pages: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&commit.after.0.to_le_bytes());
    out.extend_from_slice(&commit.given.0.to_le_bytes());
    put_u64(out, commit.pages.len() as u64);
    for page in &commit.pages {
        put_i64(out, i64::from(page.day.0));
        put_u64(out, page.offset);
        put_u64(out, page.size);
    }
    commit.definitions.encode(out);
    assert_eq!(commit.uses.len(), commit.pages.len(), "every page has its uses");
    for uses in &commit.uses {
        put_u64(out, uses.len() as u64);
        for (stream, layout) in uses {
            put_u64(out, u64::from(stream.0));
            put_u64(out, u64::from(layout.0));
        }
    }
    out.extend_from_slice(pages);
}

/// A commit and the offset of its first page byte in the payload.
pub fn decode_commit(payload: &[u8]) -> Result<(Commit, usize), Error> {
    let mut reader = Reader::new(payload);
    let commit = read(&mut reader).map_err(|error| Error::payload(Kind::Commit, error))?;
    let first = payload.len() - reader.remaining();
    let inside = |page: &Page| page.offset.checked_add(page.size).is_some_and(|end| end <= reader.remaining() as u64);
    match commit.pages.iter().all(inside) {
        true => Ok((commit, first)),
        false => Err(Error::payload(Kind::Commit, "a page lies outside the payload")),
    }
}

fn read(reader: &mut Reader<'_>) -> Result<Commit, codec::Error> {
    let (after, given) = (SeqNo(reader.u64()?), SeqNo(reader.u64()?));
    let mut pages = Vec::new();
    for _ in 0..reader.count(reader.remaining())? {
        let day = i32::try_from(reader.zigzag()?).map_err(|_| codec::Error::Invalid("day out of range"))?;
        pages.push(Page { day: Day(day), offset: reader.varint()?, size: reader.varint()? });
    }
    let definitions = Definitions::read(reader)?;
    let uses = (0..pages.len()).map(|_| read_uses(reader)).collect::<Result<_, _>>()?;
    Ok(Commit { after, given, pages, definitions, uses })
}

fn read_uses(reader: &mut Reader<'_>) -> Result<Vec<(StreamId, LayoutId)>, codec::Error> {
    let count = reader.count(reader.remaining())?;
    (0..count).map(|_| Ok((StreamId(super::id(reader)?), LayoutId(super::id(reader)?)))).collect()
}
