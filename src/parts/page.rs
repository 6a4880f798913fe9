//! Index entries, and pages of them in column form.
//!
//! ```text
//! page:     entries varint | each column for all entries:
//!           table Δ | streams | first stream Δ | rows | min time Δ | max − min time | times ref | field columns
//!           for entries of more than one stream: last − first stream | timestamps in all | streams ref
//!           each column for all field columns of all entries:
//!           field Δ | kind u8 (1 constant, 2 has aggregates)
//!           constants f64 | stored refs
//!           aggregates: first f64 | last | min | max | sum | correction | rows − count
//! ref:      offset − end of the one before | size | crc32 u32
//! Δ:        zigzag varint of the difference to the one before; other numbers without a type are varints
//! ```

use crate::{
    codec::{Error, Reader, put_i64, put_u64},
    model::StreamId,
    parts::{Aggregates, BLOCK_ROWS_LIMIT},
};

const CONSTANT: u8 = 1;
const HAS_AGGREGATES: u8 = 2;

/// Where a payload is, and its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) offset: u64,
    pub(super) size: u32,
    pub(super) crc: u32,
}

/// Which streams a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Streams {
    /// One, all rows.
    One(StreamId),
    /// `count` of them, ascending; the column says which, and which timestamps each has.
    Many { first: StreamId, last: StreamId, count: u32, column: Column },
}

/// Where a field's values are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Values {
    Constant(f64),
    Stored(Column),
}

/// A field of a block.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct FieldColumn {
    pub(super) field: u32,
    pub(super) values: Values,
    pub(super) aggregates: Option<Aggregates>,
}

/// A block, as the index knows it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) table: u32,
    pub(super) streams: Streams,
    pub(super) rows: u32,
    pub(super) min_time: i64,
    pub(super) max_time: i64,
    pub(super) times: Column,
    /// How many timestamps the column `times` holds; fewer than rows where streams share them.
    pub(super) stamps: u32,
    pub(super) fields: Vec<FieldColumn>,
}

impl Streams {
    pub(super) fn first(self) -> StreamId {
        match self {
            Self::One(stream) => stream,
            Self::Many { first, .. } => first,
        }
    }

    pub(super) fn last(self) -> StreamId {
        match self {
            Self::One(stream) => stream,
            Self::Many { last, .. } => last,
        }
    }

    pub(super) fn count(self) -> u32 {
        match self {
            Self::One(_) => 1,
            Self::Many { count, .. } => count,
        }
    }

    fn column(self) -> Option<Column> {
        match self {
            Self::One(_) => None,
            Self::Many { column, .. } => Some(column),
        }
    }
}

impl Entry {
    pub(super) fn field(&self, field: u32) -> Option<&FieldColumn> {
        self.fields.iter().find(|column| column.field == field)
    }
}

pub(super) fn encode(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::with_capacity(entries.len() * 64);
    let many = || entries.iter().filter(|entry| entry.streams.column().is_some());
    put_u64(&mut out, entries.len() as u64);
    put_deltas(&mut out, entries.iter().map(|entry| i64::from(entry.table)));
    put_numbers(&mut out, entries.iter().map(|entry| u64::from(entry.streams.count())));
    put_deltas(&mut out, entries.iter().map(|entry| i64::from(entry.streams.first().0)));
    put_numbers(&mut out, entries.iter().map(|entry| u64::from(entry.rows)));
    put_deltas(&mut out, entries.iter().map(|entry| entry.min_time));
    put_numbers(&mut out, entries.iter().map(|entry| entry.max_time.wrapping_sub(entry.min_time) as u64));
    put_columns(&mut out, entries.iter().map(|entry| entry.times));
    put_numbers(&mut out, entries.iter().map(|entry| entry.fields.len() as u64));
    put_numbers(&mut out, many().map(|entry| u64::from(entry.streams.last().0 - entry.streams.first().0)));
    put_numbers(&mut out, many().map(|entry| u64::from(entry.stamps)));
    put_columns(&mut out, many().filter_map(|entry| entry.streams.column()));
    put_fields(&mut out, entries);
    out
}

fn put_fields(out: &mut Vec<u8>, entries: &[Entry]) {
    let fields = || entries.iter().flat_map(|entry| &entry.fields);
    put_deltas(out, fields().map(|field| i64::from(field.field)));
    out.extend(fields().map(kind));
    for field in fields() {
        if let Values::Constant(value) = field.values {
            out.extend(value.to_le_bytes());
        }
    }
    let stored = fields().filter_map(|field| match field.values {
        Values::Stored(column) => Some(column),
        Values::Constant(_) => None,
    });
    put_columns(out, stored);
    let aggregated = |entry: &'_ Entry, field: &FieldColumn| match kind(field) {
        HAS_AGGREGATES => Some((entry.rows, field.aggregates?)),
        _ => None,
    };
    let aggregates =
        || entries.iter().flat_map(|entry| entry.fields.iter().filter_map(move |field| aggregated(entry, field)));
    for part in 0..6 {
        let number = |a: Aggregates| [a.first, a.last, a.min, a.max, a.sum, a.correction][part];
        out.extend(aggregates().flat_map(|(_, a)| number(a).to_le_bytes()));
    }
    put_numbers(out, aggregates().map(|(rows, a)| u64::from(rows - a.count)));
}

/// A constant's aggregates follow from its value, so they are not stored.
fn kind(field: &FieldColumn) -> u8 {
    match (field.values, field.aggregates) {
        (Values::Constant(_), _) => CONSTANT,
        (Values::Stored(_), Some(_)) => HAS_AGGREGATES,
        (Values::Stored(_), None) => 0,
    }
}

fn put_numbers(out: &mut Vec<u8>, numbers: impl Iterator<Item = u64>) {
    numbers.for_each(|number| put_u64(out, number));
}

fn put_deltas(out: &mut Vec<u8>, numbers: impl Iterator<Item = i64>) {
    let mut before = 0_i64;
    for number in numbers {
        put_i64(out, number.wrapping_sub(before));
        before = number;
    }
}

fn put_columns(out: &mut Vec<u8>, columns: impl Iterator<Item = Column> + Clone) {
    let mut end = 0_u64;
    for column in columns.clone() {
        put_i64(out, column.offset.wrapping_sub(end) as i64);
        end = column.offset + u64::from(column.size);
    }
    put_numbers(out, columns.clone().map(|column| u64::from(column.size)));
    columns.for_each(|column| out.extend(column.crc.to_le_bytes()));
}

/// The entries of a page; every number is checked for what readers rely on.
pub(super) fn decode(bytes: &[u8]) -> Result<Vec<Entry>, Error> {
    let mut reader = Reader::new(bytes);
    let count = reader.count(reader.remaining())?;
    let tables = deltas(&mut reader, count)?;
    let streams = numbers(&mut reader, count)?;
    let firsts = deltas(&mut reader, count)?;
    let rows = numbers(&mut reader, count)?;
    let mins = deltas(&mut reader, count)?;
    let spans = numbers(&mut reader, count)?;
    let times = columns(&mut reader, count)?;
    let widths = numbers(&mut reader, count)?;
    let many = streams.iter().filter(|&&streams| streams != 1).count();
    let mut last_spans = numbers(&mut reader, many)?.into_iter();
    let mut stamps = numbers(&mut reader, many)?.into_iter();
    let mut stream_columns = columns(&mut reader, many)?.into_iter();
    let mut entries = Vec::with_capacity(count);
    for index in 0..count {
        let first = narrow(firsts[index] as u64)?;
        let rows = rows_of(rows[index])?;
        let (streams, stamps) = match streams[index] {
            1 => (Streams::One(StreamId(first)), rows),
            count => {
                let (Some(span), Some(stamps), Some(column)) =
                    (last_spans.next(), stamps.next(), stream_columns.next())
                else {
                    return Err(Error::Truncated);
                };
                let last = StreamId(narrow(u64::from(first).saturating_add(span))?);
                let count = rows_of(count)?;
                (Streams::Many { first: StreamId(first), last, count, column }, rows_of(stamps)?)
            }
        };
        entries.push(Entry {
            table: narrow(tables[index] as u64)?,
            streams,
            rows,
            min_time: mins[index],
            max_time: mins[index].checked_add_unsigned(spans[index]).ok_or(Error::Invalid("time span"))?,
            times: times[index],
            stamps,
            fields: Vec::new(),
        });
    }
    take_fields(&mut reader, &mut entries, &widths)?;
    reader.finish()?;
    Ok(entries)
}

fn take_fields(reader: &mut Reader<'_>, entries: &mut [Entry], widths: &[u64]) -> Result<(), Error> {
    let total = widths.iter().fold(0_u64, |total, &width| total.saturating_add(width));
    if total > reader.remaining() as u64 {
        return Err(Error::Truncated);
    }
    let fields = deltas(reader, total as usize)?;
    let kinds = reader.bytes(total as usize)?;
    let constants = floats(reader, kinds.iter().filter(|&&kind| kind & CONSTANT != 0).count())?;
    let stored = columns(reader, kinds.iter().filter(|&&kind| kind & CONSTANT == 0).count())?;
    let with_aggregates = kinds.iter().filter(|&&kind| kind & HAS_AGGREGATES != 0).count();
    let mut parts = Vec::with_capacity(6);
    for _ in 0..6 {
        parts.push(floats(reader, with_aggregates)?);
    }
    let missing = numbers(reader, with_aggregates)?;

    let (mut constants, mut stored, mut aggregated) = (constants.into_iter(), stored.into_iter(), 0..with_aggregates);
    let mut columns = fields.iter().zip(kinds);
    for (entry, &width) in entries.iter_mut().zip(widths) {
        for (&field, &kind) in columns.by_ref().take(width as usize) {
            let values = match kind & CONSTANT {
                0 => stored.next().map(Values::Stored),
                _ => constants.next().map(Values::Constant),
            };
            let values = values.ok_or(Error::Truncated)?;
            let aggregates = match values {
                _ if kind & HAS_AGGREGATES != 0 => {
                    let index = aggregated.next().ok_or(Error::Truncated)?;
                    let count = u64::from(entry.rows).checked_sub(missing[index]);
                    let count = count.ok_or(Error::Invalid("aggregate of more values than rows"))? as u32;
                    let [first, last, min, max, sum, correction] = std::array::from_fn(|part| parts[part][index]);
                    Some(Aggregates { first, last, min, max, sum, count, correction })
                }
                Values::Constant(value) if entry.streams.column().is_none() => {
                    Aggregates::of_constant(value, entry.rows)
                }
                _ => None,
            };
            entry.fields.push(FieldColumn { field: narrow(field as u64)?, values, aggregates });
        }
    }
    Ok(())
}

fn narrow(number: u64) -> Result<u32, Error> {
    u32::try_from(number).map_err(|_| Error::Invalid("number beyond 32 bits"))
}

/// A number of rows, streams or timestamps of a block.
fn rows_of(number: u64) -> Result<u32, Error> {
    match number {
        0 => Err(Error::Invalid("empty block")),
        _ if number > BLOCK_ROWS_LIMIT as u64 => Err(Error::Invalid("block beyond its limit")),
        _ => narrow(number),
    }
}

fn numbers(reader: &mut Reader<'_>, count: usize) -> Result<Vec<u64>, Error> {
    (0..count).map(|_| reader.varint()).collect()
}

fn deltas(reader: &mut Reader<'_>, count: usize) -> Result<Vec<i64>, Error> {
    let mut before = 0_i64;
    let mut next = |reader: &mut Reader<'_>| {
        before = before.wrapping_add(reader.zigzag()?);
        Ok(before)
    };
    (0..count).map(|_| next(reader)).collect()
}

fn floats(reader: &mut Reader<'_>, count: usize) -> Result<Vec<f64>, Error> {
    (0..count).map(|_| reader.u64().map(f64::from_bits)).collect()
}

fn columns(reader: &mut Reader<'_>, count: usize) -> Result<Vec<Column>, Error> {
    let gaps: Vec<i64> = (0..count).map(|_| reader.zigzag()).collect::<Result<_, _>>()?;
    let sizes: Vec<u64> = numbers(reader, count)?;
    let mut end = 0_u64;
    let mut place = |(gap, size): (i64, u64)| {
        let offset = end.checked_add_signed(gap).ok_or(Error::Invalid("offset"))?;
        end = offset.checked_add(size).ok_or(Error::Invalid("offset"))?;
        Ok(Column { offset, size: narrow(size)?, crc: reader.u32()? })
    };
    gaps.into_iter().zip(sizes).map(&mut place).collect()
}
