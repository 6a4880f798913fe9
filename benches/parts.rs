//! Parts: building and reading, ns a sample and bytes a sample, in the shapes a fleet of agents gives them. An argument
//! picks the shapes whose title contains it.

#[allow(unreachable_pub)] // it is shared by benches, each a crate of its own
mod common;

use std::{hint::black_box, path::Path};

use common::{Case, interleaved};
use plimsoll::{
    codec::Level,
    disk::{Disk, RealDisk},
    model::{Day, PartId, SeqNo, StreamId, TimeRange},
    parts::{Builder, FieldRef, Footer, Options, Part, Summary},
};
use roaring::RoaringBitmap;

const FIELDS: [&str; 10] = ["f0", "f1", "f2", "f3", "f4", "f5", "f6", "f7", "f8", "f9"];
const SECOND: i64 = 1_000_000_000;

/// Hosts that report ten fields every ten seconds.
struct Fleet {
    /// Per distinct stamp sequence.
    times: Vec<Vec<i64>>,
    /// Per distinct column; hosts take ten each, in turn.
    columns: Vec<Vec<f64>>,
    hosts: u32,
}

impl Fleet {
    /// `phases` different stamp sequences among the hosts; jittered by up to 3 ms unless it is 1.
    fn new(hosts: u32, rows: usize, phases: i64) -> Self {
        let mut random = fastrand::Rng::with_seed(7);
        let mut jitter = |phase: i64| if phases == 1 { 0 } else { phase * SECOND / 10 + random.i64(0..3_000_000) };
        let sequence = |phase: i64| (0..rows as i64).map(|row| row * 10 * SECOND + jitter(phase)).collect();
        let times = (0..phases).map(sequence).collect();
        let columns = (0..640).map(|number| column(number, rows)).collect();
        Self { times, columns, hosts }
    }

    fn samples(&self) -> f64 {
        f64::from(self.hosts) * self.times[0].len() as f64 * FIELDS.len() as f64
    }

    fn build(&self, level: Level) -> (Vec<u8>, Summary) {
        let mut bytes = Vec::new();
        let mut builder = Builder::new(&mut bytes, Options { level }).expect("memory takes bytes");
        for host in 0..self.hosts {
            let times = &self.times[host as usize % self.times.len()];
            let column = |field: usize| self.columns[(host as usize * 10 + field) % self.columns.len()].as_slice();
            let fields: [(&str, &[f64]); 10] = std::array::from_fn(|field| (FIELDS[field], column(field)));
            builder.push("cpu", StreamId(host), times, &fields).expect("memory takes bytes");
        }
        let (seq_min, seq_max) = (SeqNo(1), SeqNo(2));
        let footer = Footer {
            part: PartId(1),
            day: Day(0),
            seq_min,
            seq_max,
            replaces: vec![],
            index_parts: vec![],
            tombstone: 0,
        };
        let summary = builder.finish(footer).expect("memory takes bytes");
        (bytes, summary)
    }
}

/// Whole percentages, two-decimal gauges, counters, and noise by turns.
fn column(number: u64, rows: usize) -> Vec<f64> {
    let mut random = fastrand::Rng::with_seed(number);
    let mut level = f64::from(random.u32(0..100));
    let mut next = || {
        level = match number % 4 {
            0 => (level + f64::from(random.i32(-1..=1))).clamp(0.0, 100.0),
            1 => ((level + f64::from(random.i32(-100..=100)) / 100.0) * 100.0).round() / 100.0,
            2 => level + f64::from(random.i32(0..1000)),
            _ => (random.f64() * 1000.0).round() / 10.0,
        };
        level
    };
    (0..rows).map(|_| next()).collect()
}

/// A part in a file, which the kernel has in its cache.
fn open(path: &Path, bytes: &[u8]) -> Part {
    let file = RealDisk.create(path).expect("the directory is new");
    file.write_at(bytes, 0).expect("there is space");
    Part::open(file, 0, bytes.len() as u64).expect("just built")
}

fn read(part: &Part, streams: &RoaringBitmap, fields: &[FieldRef]) -> f64 {
    let mut sum = 0.0;
    let mut reader = part.reader(fields);
    for block in part.blocks("cpu", streams, Some(fields), TimeRange::ALL, &mut Vec::new()) {
        for run in reader.read(&block, &mut Vec::new()).select(streams, TimeRange::ALL) {
            sum += (0..fields.len()).filter_map(|field| run.values(field)?.last()).sum::<f64>();
        }
    }
    sum
}

fn scan(part: &Part) -> usize {
    let (mut scan, mut rows) = (part.scan(), 0);
    while let Some(group) = scan.next_group().expect("just built") {
        rows += group.fields().map(|(_, values)| values.len()).sum::<usize>();
    }
    rows
}

fn case<'a, T>(name: &str, units: f64, mut work: impl FnMut() -> T + 'a) -> Case<'a> {
    let run = Box::new(move || drop(black_box(work())));
    Case { name: name.to_owned(), units, bytes: 0.0, run }
}

fn main() {
    let shapes = [
        ("day: 64 hosts x 8640 rows", Fleet::new(64, 8640, 1)),
        ("day, own stamps", Fleet::new(64, 8640, 64)),
        ("hour: 2000 hosts x 360 rows", Fleet::new(2000, 360, 1)),
        ("minute: 10000 hosts x 6 rows", Fleet::new(10_000, 6, 10)),
        ("commit: 40000 hosts x 1 row", Fleet::new(40_000, 1, 10)),
    ];
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    for (title, fleet) in shapes.iter().filter(|(title, _)| title.contains(&wanted)) {
        let samples = fleet.samples();
        for level in [Level::Full, Level::Light] {
            let (bytes, summary) = fleet.build(level);
            let directory = tempfile::tempdir().expect("there is a directory for temporary files");
            let part = open(&directory.path().join("1.part"), &bytes);
            let fields: Vec<FieldRef> = FIELDS.iter().filter_map(|field| part.field(field)).collect();
            let everyone: RoaringBitmap = (0..fleet.hosts).collect();
            let one: RoaringBitmap = [17].into_iter().collect();
            let cases = vec![
                case("build", samples, || fleet.build(level)),
                case("read all fields", samples, || read(&part, &everyone, &fields)),
                case("read one field", samples / 10.0, || read(&part, &everyone, &fields[3..4])),
                case("scan", samples, || scan(&part)),
                case("one stream, one field: ns a query", 1.0, || read(&part, &one, &fields[3..4])),
            ];
            let per_sample = summary.len as f64 / samples;
            interleaved(&format!("{title}, {level:?}, {per_sample:.3} B/sample"), "sample", 5, cases);
        }
    }
}
