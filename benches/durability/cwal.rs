//! What syncing costs a log, without a network: 1,000 records of 1,000 bytes through the same frames, segments and disk
//! as the server's.

use std::{path::Path, time::Instant};

use plimsoll::{
    disk::{Disk, RealDisk},
    model::SeqNo,
    stage::{FileHeader, FileKind, FrameHeader, Kind, Segment, put_frame},
};

use crate::{
    report::{Report, median},
    servers::data_dir,
};

const RECORDS: usize = 1_000;
const RECORD_SIZE: usize = 1_000;
/// Room for all records and their headers.
const SEGMENT_SIZE: u64 = 2 << 20;

/// How records get to the disk.
struct Way {
    name: &'static str,
    /// Records in one write(2); `None`: they stay in memory.
    records_per_write: Option<usize>,
    /// Writes before a sync; `None`: none.
    writes_per_sync: Option<usize>,
}

const WAYS: [Way; 6] = [
    Way { name: "no flush (stays in memory)", records_per_write: None, writes_per_sync: None },
    Way { name: "flush (a write each)", records_per_write: Some(1), writes_per_sync: None },
    Way { name: "a write each, sync every 1", records_per_write: Some(1), writes_per_sync: Some(1) },
    Way { name: "a write each, sync every 10", records_per_write: Some(1), writes_per_sync: Some(10) },
    Way { name: "batches of 31: one write, one sync", records_per_write: Some(31), writes_per_sync: Some(1) },
    Way { name: "batches of 10: one write, one sync", records_per_write: Some(10), writes_per_sync: Some(1) },
];

/// Measures all ways in turn, and reports medians.
pub(crate) fn run(rounds: usize, report: &mut Report) {
    let dir = data_dir();
    let mut times = vec![Vec::new(); WAYS.len()];
    for round in 0..rounds {
        for (index, way) in WAYS.iter().enumerate() {
            times[index].push(measure(way, dir.path(), (round * WAYS.len() + index) as u64));
        }
    }
    let medians: Vec<_> = times.iter().map(|times| median(times.iter().copied())).collect();
    let fastest = medians.iter().copied().fold(f64::INFINITY, f64::min);
    report.section("The log without a network: 1,000 records of 1,000 bytes");
    report.line(&format!(
        "In-process: `stage::put_frame` and `Segment::append` on the real disk, into a segment that is allocated and \
         synced beforehand. Medians of {rounds}.\n"
    ));
    report.row(&["way", "ms", "µs a record", "to the fastest"]);
    report.rule(4);
    for (way, time) in WAYS.iter().zip(&medians) {
        let cells = [time * 1e3, time * 1e6 / RECORDS as f64].map(|value| format!("{value:.2}"));
        report.row(&[way.name, &cells[0], &cells[1], &format!("{:.1} ×", time / fastest)]);
    }
}

/// Seconds for all records.
fn measure(way: &Way, dir: &Path, id: u64) -> f64 {
    let header = FileHeader { kind: FileKind::Log, incarnation: 1, id };
    let mut segment = Segment::create(&RealDisk, dir, header, SEGMENT_SIZE).expect("there is room");
    segment.file().sync_data().expect("the disk is sound");
    let record = [b'x'; RECORD_SIZE];
    let mut buffer = Vec::with_capacity(SEGMENT_SIZE as usize);
    let mut writes = 0;
    let started = Instant::now();
    for number in 1..=RECORDS {
        put(&mut buffer, &segment, number, &record);
        let full = way.records_per_write.is_some_and(|records| number % records == 0 || number == RECORDS);
        if full {
            segment.append(&buffer, SeqNo(number as u64)).expect("there is room");
            buffer.clear();
            writes += 1;
        }
        let due = way.writes_per_sync.is_some_and(|per_sync| writes % per_sync == 0 || number == RECORDS);
        if full && due {
            segment.file().sync_data().expect("the disk is sound");
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    RealDisk.remove(segment.path()).expect("it is there");
    seconds
}

fn put(buffer: &mut Vec<u8>, segment: &Segment, number: usize, record: &[u8]) {
    let (place, number) = (segment.place(buffer.len()), SeqNo(number as u64));
    let header = FrameHeader { place, number, safe: SeqNo(0), samples: number.0, kind: Kind::Batch };
    put_frame(buffer, &header, &[record]);
}
