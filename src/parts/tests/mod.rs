mod aggregates;
mod build;
mod damage;
mod golden;
mod random;
mod sharing;

use std::{collections::BTreeMap, path::Path, sync::Arc};

use roaring::RoaringBitmap;

use super::*;
use crate::{
    codec::Level,
    disk::{Disk, File, SimDisk},
    model::{Day, SeqNo, StreamId, TimeRange},
};

/// An aligned group as a test pushes it.
#[derive(Clone, Debug)]
struct Input {
    table: &'static str,
    stream: u32,
    times: Vec<i64>,
    fields: Vec<(&'static str, Vec<f64>)>,
}

/// Samples by table, stream and field: what a part holds, however it is cut. Values as bits, so that NaN equals itself.
type Samples = BTreeMap<(String, u32, String), Vec<(i64, u64)>>;

fn input(table: &'static str, stream: u32, times: Vec<i64>, fields: &[(&'static str, &[f64])]) -> Input {
    Input { table, stream, times, fields: fields.iter().map(|&(name, values)| (name, values.to_vec())).collect() }
}

/// `rows` times, 10 s apart, beginning at second `start`.
fn seconds(start: i64, rows: usize) -> Vec<i64> {
    (0..rows as i64).map(|row| (start + 10 * row) * 1_000_000_000).collect()
}

/// `rows` values that differ, by `seed`.
fn values(seed: u64, rows: usize) -> Vec<f64> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..rows).map(|_| f64::from(random.i32(0..10_000)) / 100.0).collect()
}

fn footer() -> Footer {
    Footer {
        part: PartId(31),
        day: Day(20_777),
        seq_min: SeqNo(5),
        seq_max: SeqNo(900),
        replaces: vec![PartId(7), PartId(8)],
        index_parts: vec![3, 31],
        tombstone: 4,
    }
}

fn build_into(sink: impl Sink, level: Level, inputs: &[Input]) -> Summary {
    let mut builder = Builder::new(sink, Options { level }).unwrap();
    for input in inputs {
        let fields: Vec<_> = input.fields.iter().map(|(name, values)| (*name, values.as_slice())).collect();
        builder.push(input.table, StreamId(input.stream), &input.times, &fields).unwrap();
    }
    builder.finish(footer()).unwrap()
}

fn build(level: Level, inputs: &[Input]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let summary = build_into(&mut bytes, level, inputs);
    assert_eq!(summary.len, bytes.len() as u64);
    bytes
}

fn open(bytes: &[u8]) -> Result<Part, Error> {
    let len = bytes.len() as u64;
    Part::open(file(bytes), 0, len)
}

/// What the inputs hold of these streams in `range`.
fn expected(inputs: &[Input], streams: &RoaringBitmap, range: TimeRange) -> Samples {
    let mut samples = Samples::new();
    for input in inputs.iter().filter(|input| streams.contains(input.stream)) {
        for (field, values) in &input.fields {
            let inside = input.times.iter().zip(values).filter(|(time, _)| range.contains(**time));
            let mut inside = inside.map(|(&time, value)| (time, value.to_bits())).peekable();
            if inside.peek().is_some() {
                samples.entry((input.table.into(), input.stream, (*field).into())).or_default().extend(inside);
            }
        }
    }
    samples
}

fn all_streams() -> RoaringBitmap {
    (0..10_000).collect()
}

/// The blocks of a part, or the first damage.
fn blocks_of(
    part: &Part,
    table: &str,
    streams: &RoaringBitmap,
    fields: Option<&[FieldRef]>,
    range: TimeRange,
) -> Result<Vec<BlockRef>, Error> {
    let mut damage = Vec::new();
    let blocks = part.blocks(table, streams, fields, range, &mut damage);
    first(damage).map_or(Ok(blocks), Err)
}

fn first(damage: Vec<Damage>) -> Option<Error> {
    damage.into_iter().next().map(|damage| damage.error)
}

/// What a part gives for these streams and this range, by way of `blocks` and a reader of all fields.
fn select(part: &Part, streams: &RoaringBitmap, range: TimeRange) -> Result<Samples, Error> {
    let mut samples = Samples::new();
    for table in part.tables() {
        let fields: Vec<FieldRef> = table.fields.iter().map(|field| part.field(field).unwrap()).collect();
        let mut reader = part.reader(&fields);
        for block in blocks_of(part, &table.name, streams, Some(&fields), range)? {
            let mut damage = Vec::new();
            for run in reader.read(&block, &mut damage).select(streams, range) {
                for (asked, field) in table.fields.iter().enumerate() {
                    let Some(values) = run.values(asked) else { continue };
                    assert_eq!(values.len(), run.times.len());
                    let key = (table.name.to_string(), run.stream.0, field.to_string());
                    let rows = run.times.iter().zip(values).map(|(&time, value)| (time, value.to_bits()));
                    samples.entry(key).or_default().extend(rows);
                }
            }
            if let Some(error) = first(damage) {
                return Err(error);
            }
        }
    }
    Ok(samples)
}

/// What a scan gives; checks its order.
fn scan(part: &Part) -> Result<Samples, Error> {
    let mut samples = Samples::new();
    let mut scan = part.scan();
    let mut before = None;
    loop {
        let peeked = scan.peek()?.map(|(table, stream)| (table.to_owned(), stream));
        let Some(group) = scan.next_group()? else {
            assert_eq!(peeked, None);
            return first(scan.into_damage()).map_or(Ok(samples), Err);
        };
        let key = Some((group.table.to_owned(), group.stream));
        assert_eq!(peeked, key);
        assert!(before <= key, "{before:?} came before {key:?}");
        before = key;
        for (field, values) in group.fields() {
            let key = (group.table.to_owned(), group.stream.0, field.to_owned());
            let rows = group.times.iter().zip(values).map(|(&time, value)| (time, value.to_bits()));
            samples.entry(key).or_default().extend(rows);
        }
    }
}

/// A file with these bytes.
fn file(bytes: &[u8]) -> Arc<dyn File> {
    let file = SimDisk::new(0).create(Path::new("/part")).unwrap();
    file.write_at(bytes, 0).unwrap();
    file
}
