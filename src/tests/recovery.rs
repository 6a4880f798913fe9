//! Starts that find more than a crash leaves: the same batch twice, rejected numbers, damage.

use std::{path::Path, sync::Arc, time::Duration};

use crate::{
    disk::{Disk, SimDisk},
    durability::Mode,
    engine::Engine,
    model::{Labels, MatchOp, Matcher, SeqNo, TimeRange},
    select::{Series, Source, View},
    stage::{FileHeader, FileKind, Found, Frame, FrameHeader, Kind, Scan, Segment, encode_void, put_frame},
    tests::stored::{open_in, write},
};

const WAL: &str = "/data/wal";

/// A series whose name is its one batch's.
fn series(name: &str, value: f64) -> Series {
    Series { labels: Labels::from([("__name__", name)]), times: vec![1], values: vec![value] }
}

/// The names and values of what can be queried.
fn found(engine: &Arc<Engine>) -> Vec<(String, f64)> {
    let everything = [Matcher::new("__name__", MatchOp::Regex, ".+").unwrap()];
    let view = View::new(engine);
    let series = view.select(&everything, TimeRange::ALL).unwrap();
    let mut found: Vec<_> = series
        .map(|series| series.unwrap())
        .flat_map(|series| {
            let name = series.labels.metric().to_owned();
            series.values.iter().map(|value| (name.clone(), *value)).collect::<Vec<_>>()
        })
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

/// The frames of a log segment.
fn frames(disk: &SimDisk, id: u64) -> Vec<Frame> {
    let path = Path::new(WAL).join(crate::stage::file_name(FileKind::Log, id));
    let mut scan = Scan::new(disk.open(&path).unwrap(), &path, id).unwrap();
    let mut frames = Vec::new();
    while let Some(next) = scan.next().unwrap() {
        frames.extend(if let Found::Frame(frame) = next { Some(frame) } else { None });
    }
    frames
}

/// A log segment of the first start with these frames, in this order.
fn put_segment(disk: &SimDisk, id: u64, frames: &[Frame]) {
    let header = FileHeader { kind: FileKind::Log, incarnation: 1, id };
    let mut segment = Segment::create(disk, Path::new(WAL), header, 0).unwrap();
    for frame in frames {
        let mut bytes = Vec::new();
        let header = FrameHeader { place: segment.place(0), ..frame.header };
        put_frame(&mut bytes, &header, &[&frame.payload]);
        segment.append(&bytes, header.number).unwrap();
    }
    segment.file().sync_data().unwrap();
}

/// A disk on which the first start wrote batches 1 to 5: `a` to `e`, of one value each, each defining what it uses.
fn five() -> (SimDisk, Vec<Frame>) {
    let disk = SimDisk::new(1);
    let engine = open_in(&disk, Mode::WalSync).unwrap();
    for (index, name) in ["a", "b", "c", "d", "e"].into_iter().enumerate() {
        write(&engine, &[series(name, index as f64)], |_| true);
    }
    assert!(engine.sync_step(Duration::from_secs(1)));
    drop(engine);
    let frames = frames(&disk, 1);
    assert_eq!(frames.len(), 5);
    (disk, frames)
}

fn void(like: &Frame, from: u64, to: u64) -> Frame {
    let header = FrameHeader { kind: Kind::Void, number: SeqNo(to), ..like.header };
    Frame { header, payload: encode_void(SeqNo(from)).to_vec() }
}

#[test]
fn a_group_written_twice_is_replayed_once_in_the_order_of_its_numbers() {
    let (disk, written) = five();
    let expected = found(&open_in(&disk, Mode::WalSync).unwrap());
    let (disk, _) = five();
    disk.remove(&Path::new(WAL).join("000001.wal")).unwrap();
    // Of the group 3, 4, 5 the first write left 4 alone, the second one 3 and 5, and the third one all.
    let of = |numbers: &[usize]| numbers.iter().map(|number| written[number - 1].clone()).collect::<Vec<_>>();
    put_segment(&disk, 1, &of(&[1, 2, 4]));
    put_segment(&disk, 2, &of(&[3, 5]));
    put_segment(&disk, 3, &of(&[3, 4, 5]));
    let engine = open_in(&disk, Mode::WalSync).unwrap();
    assert_eq!((engine.recovery().replayed_batches, engine.recovery().end), (5, SeqNo(5)));
    assert_eq!(engine.generations()[0].summary().samples, 5, "each once");
    assert_eq!(found(&engine), expected);
}

#[test]
fn rejected_numbers_are_no_gap_and_their_batches_never_count_in_any_file() {
    let (disk, written) = five();
    put_segment(&disk, 2, &[void(&written[0], 3, 4)]);
    // A later frame of a rejected number does not bring it back, nor does one before the rejection.
    put_segment(&disk, 3, &[written[3].clone()]);
    for _ in 0..2 {
        let engine = open_in(&disk, Mode::WalSync).unwrap();
        assert_eq!((engine.recovery().end, engine.recovery().damaged.len()), (SeqNo(5), 0));
        let names: Vec<_> = found(&engine).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["a", "b", "e"]);
    }
}
