//! What the manifest records: edits, and the [`State`] they add up to.
//!
//! ```text
//! edit: field*            field: tag u8 | size varint | content
//! ```
//!
//! An unknown tag is an error: a file that needs a newer reader says so by its version.

mod state;

use std::fmt;

pub use state::State;

use super::{Bounds, Ending, Loss};
use crate::{
    codec::{self, Reader, put_bytes, put_i64, put_string, put_u64},
    model::{Day, PartId, SeqNo},
};

/// One start of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incarnation {
    /// Its number, from 1.
    pub number: u32,
    /// The first sequence number it may give out.
    pub first: SeqNo,
    /// The last of its numbers that survived, once a later start found out. What it gave out above is void for good.
    pub end: Option<SeqNo>,
}

/// A file of samples, or of stream keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// The file's number.
    pub id: PartId,
    /// The partition it is in.
    pub day: Day,
    /// The sequence numbers it covers; both 0 for an index part.
    pub numbers: (SeqNo, SeqNo),
}

/// Changes that take effect together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edit {
    /// A start, or what became known of an earlier one.
    pub incarnations: Vec<Incarnation>,
    /// Every batch up to here is in parts.
    pub flushed: Option<SeqNo>,
    /// Samples accepted up to `flushed` or the end of the last incarnation, whichever is later.
    pub samples: Option<u64>,
    /// Numbers below this may have been given out.
    pub reserved: Option<SeqNo>,
    /// Stream ids below this may have been given out.
    pub reserved_streams: Option<u32>,
    /// File numbers below this may have been given out.
    pub reserved_files: Option<u64>,
    /// Parts that count from now on.
    pub add_parts: Vec<FileEntry>,
    /// Parts and index parts that no longer count.
    pub remove_parts: Vec<PartId>,
    /// Damaged parts that no longer count: their files go to quarantine, never away.
    pub set_aside_parts: Vec<PartId>,
    /// Index parts that count from now on.
    pub add_index_parts: Vec<FileEntry>,
    /// Numbers that do not count though their start got further: rejected, or damaged. Ranges, first and last.
    pub lost: Vec<(SeqNo, SeqNo)>,
    /// Numbers of parts that were given up in part, since they were damaged: some of their rows are gone. They stay where
    /// they are in the sequence. Ranges, first and last.
    pub given_up: Vec<(SeqNo, SeqNo)>,
    /// What the end of a start took.
    pub losses: Vec<Loss>,
    /// Rows of days before this are gone, in batches up to this number.
    pub dropped: Vec<(Day, SeqNo)>,
    /// The durability mode, where it was changed while the server ran, and the first number it was in force for.
    pub mode: Option<(String, SeqNo)>,
}

impl Edit {
    /// Whether files that count go with it.
    pub(crate) fn makes_room(&self) -> bool {
        !self.remove_parts.is_empty()
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Tag {
    Incarnation = 1,
    Flushed = 2,
    Samples = 3,
    Reserved = 4,
    ReservedStreams = 5,
    ReservedFiles = 6,
    AddPart = 7,
    RemovePart = 8,
    AddIndexPart = 9,
    Mode = 10,
    Lost = 11,
    Loss = 12,
    SetAsidePart = 13,
    Dropped = 14,
    GivenUp = 15,
}

impl Tag {
    const ALL: [Self; 15] = [
        Self::Incarnation,
        Self::Flushed,
        Self::Samples,
        Self::Reserved,
        Self::ReservedStreams,
        Self::ReservedFiles,
        Self::AddPart,
        Self::RemovePart,
        Self::AddIndexPart,
        Self::Lost,
        Self::Loss,
        Self::Mode,
        Self::SetAsidePart,
        Self::Dropped,
        Self::GivenUp,
    ];
}

impl Edit {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let mut content = Vec::new();
        let mut field = |tag: Tag, fill: &dyn Fn(&mut Vec<u8>)| {
            content.clear();
            fill(&mut content);
            out.push(tag as u8);
            put_bytes(out, &content);
        };
        for start in &self.incarnations {
            field(Tag::Incarnation, &|out| {
                put_u64(out, u64::from(start.number));
                put_u64(out, start.first.0);
                // 0 says that the end is not known: a number of 0 is never given out, but an end of 0 can be.
                put_u64(out, start.end.map_or(0, |end| end.0 + 1));
            });
        }
        let numbers = [
            (Tag::Flushed, self.flushed.map(|number| number.0)),
            (Tag::Samples, self.samples),
            (Tag::Reserved, self.reserved.map(|number| number.0)),
            (Tag::ReservedStreams, self.reserved_streams.map(u64::from)),
            (Tag::ReservedFiles, self.reserved_files),
        ];
        for (tag, number) in numbers {
            if let Some(number) = number {
                field(tag, &|out| put_u64(out, number));
            }
        }
        self.add_parts.iter().for_each(|part| field(Tag::AddPart, &|out| part.encode(out)));
        self.remove_parts.iter().for_each(|id| field(Tag::RemovePart, &|out| put_u64(out, id.0)));
        self.set_aside_parts.iter().for_each(|id| field(Tag::SetAsidePart, &|out| put_u64(out, id.0)));
        self.add_index_parts.iter().for_each(|part| field(Tag::AddIndexPart, &|out| part.encode(out)));
        let ranges = [(Tag::Lost, &self.lost), (Tag::GivenUp, &self.given_up)];
        for (tag, (first, last)) in ranges.into_iter().flat_map(|(tag, ranges)| ranges.iter().map(move |of| (tag, of)))
        {
            field(tag, &|out| [first.0, last.0].into_iter().for_each(|number| put_u64(out, number)));
        }
        self.losses.iter().for_each(|loss| field(Tag::Loss, &|out| loss.encode(out)));
        for (day, upto) in &self.dropped {
            field(Tag::Dropped, &|out| {
                put_i64(out, i64::from(day.0));
                put_u64(out, upto.0);
            });
        }
        if let Some((mode, first)) = &self.mode {
            field(Tag::Mode, &|out| {
                put_u64(out, first.0);
                put_string(out, mode);
            });
        }
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, codec::Error> {
        let mut reader = Reader::new(bytes);
        let mut edit = Self::default();
        while !reader.is_empty() {
            let tag = reader.u8()?;
            let tag =
                Tag::ALL.into_iter().find(|known| *known as u8 == tag).ok_or(codec::Error::Invalid("edit tag"))?;
            let mut field = Reader::new(reader.sized_bytes()?);
            edit.decode_field(tag, &mut field)?;
            field.finish()?;
        }
        Ok(edit)
    }

    fn decode_field(&mut self, tag: Tag, field: &mut Reader<'_>) -> Result<(), codec::Error> {
        match tag {
            Tag::Incarnation => self.incarnations.push(Incarnation {
                number: narrow(field.varint()?)?,
                first: SeqNo(field.varint()?),
                end: field.varint()?.checked_sub(1).map(SeqNo),
            }),
            Tag::Flushed => self.flushed = Some(SeqNo(field.varint()?)),
            Tag::Samples => self.samples = Some(field.varint()?),
            Tag::Reserved => self.reserved = Some(SeqNo(field.varint()?)),
            Tag::ReservedStreams => self.reserved_streams = Some(narrow(field.varint()?)?),
            Tag::ReservedFiles => self.reserved_files = Some(field.varint()?),
            Tag::AddPart => self.add_parts.push(FileEntry::decode(field)?),
            Tag::RemovePart => self.remove_parts.push(PartId(field.varint()?)),
            Tag::SetAsidePart => self.set_aside_parts.push(PartId(field.varint()?)),
            Tag::AddIndexPart => self.add_index_parts.push(FileEntry::decode(field)?),
            Tag::Lost => self.lost.push((SeqNo(field.varint()?), SeqNo(field.varint()?))),
            Tag::GivenUp => self.given_up.push((SeqNo(field.varint()?), SeqNo(field.varint()?))),
            Tag::Loss => self.losses.push(Loss::decode(field)?),
            Tag::Dropped => self.dropped.push((decode_day(field)?, SeqNo(field.varint()?))),
            Tag::Mode => {
                let first = SeqNo(field.varint()?);
                self.mode = Some((field.string()?.to_owned(), first));
            }
        }
        Ok(())
    }
}

fn narrow(number: u64) -> Result<u32, codec::Error> {
    u32::try_from(number).map_err(|_| codec::Error::Invalid("number beyond 32 bits"))
}

fn decode_day(field: &mut Reader<'_>) -> Result<Day, codec::Error> {
    i32::try_from(field.zigzag()?).map(Day).map_err(|_| codec::Error::Invalid("day out of range"))
}

impl FileEntry {
    fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.id.0);
        put_i64(out, i64::from(self.day.0));
        put_u64(out, self.numbers.0.0);
        put_u64(out, self.numbers.1.0);
    }

    fn decode(field: &mut Reader<'_>) -> Result<Self, codec::Error> {
        let id = PartId(field.varint()?);
        let day = decode_day(field)?;
        Ok(Self { id, day, numbers: (SeqNo(field.varint()?), SeqNo(field.varint()?)) })
    }
}

impl Loss {
    fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, u64::from(self.incarnation));
        out.push(self.ending as u8);
        put_i64(out, self.clock);
        put_u64(out, self.acknowledged.0);
        put_u64(out, self.end.0);
        for bounds in [self.batches, self.samples] {
            put_u64(out, bounds.min);
            out.push(u8::from(bounds.max.is_some()));
            put_u64(out, bounds.max.unwrap_or_default());
        }
        put_u64(out, self.damaged_batches);
    }

    fn decode(field: &mut Reader<'_>) -> Result<Self, codec::Error> {
        let incarnation = narrow(field.varint()?)?;
        let ending = usize::from(field.u8()?);
        let ending = *Ending::ALL.get(ending).ok_or(codec::Error::Invalid("ending of a start"))?;
        let clock = field.zigzag()?;
        let (acknowledged, end) = (SeqNo(field.varint()?), SeqNo(field.varint()?));
        let mut bounds = || {
            let (min, is_bounded, max) = (field.varint()?, field.u8()? != 0, field.varint()?);
            Ok::<_, codec::Error>(Bounds { min, max: is_bounded.then_some(max) })
        };
        let (batches, samples) = (bounds()?, bounds()?);
        let damaged_batches = field.varint()?;
        Ok(Self { incarnation, ending, clock, acknowledged, end, batches, samples, damaged_batches })
    }
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        for start in &self.incarnations {
            let end = start.end.map_or("open".to_owned(), |end| format!("ended at {end}"));
            parts.push(format!("incarnation {} from {} {end}", start.number, start.first));
        }
        let mut number = |name: &str, value: Option<u64>| parts.extend(value.map(|value| format!("{name} {value}")));
        number("flushed", self.flushed.map(|number| number.0));
        number("samples", self.samples);
        number("reserved", self.reserved.map(|number| number.0));
        number("reserved-streams", self.reserved_streams.map(u64::from));
        number("reserved-files", self.reserved_files);
        let file =
            |entry: &FileEntry| format!("{}/{} numbers {}-{}", entry.day, entry.id, entry.numbers.0, entry.numbers.1);
        parts.extend(self.add_parts.iter().map(|part| format!("add part {}", file(part))));
        parts.extend(self.remove_parts.iter().map(|id| format!("remove part {id}")));
        parts.extend(self.set_aside_parts.iter().map(|id| format!("set damaged part {id} aside")));
        parts.extend(self.add_index_parts.iter().map(|part| format!("add index part {}/{}", part.day, part.id)));
        parts.extend(self.lost.iter().map(|(first, last)| format!("lost numbers {first}-{last}")));
        parts.extend(self.given_up.iter().map(|(first, last)| format!("rows given up of numbers {first}-{last}")));
        parts.extend(self.losses.iter().map(|loss| format!("loss: {loss}")));
        parts.extend(
            self.dropped.iter().map(|(day, upto)| format!("days before {day} dropped from batches up to {upto}")),
        );
        parts.extend(self.mode.iter().map(|(mode, first)| format!("durability {mode} from {first}")));
        f.write_str(&parts.join("; "))
    }
}
