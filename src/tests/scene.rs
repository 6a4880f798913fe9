//! An engine on the simulated disk, and what a test does to the two by hand.

use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crate::{
    disk::{CrashKind, Disk, SimDisk},
    durability::Mode,
    engine::{Engine, Error, Options, Receipt},
    metrics::Metrics,
    model::{Labels, MatchOp, Matcher, Position, SeqNo, TimeRange},
    select::{Series, Source, View},
    stage::{FRAME_HEADER_SIZE, FileKind, Found, Scan, list_files},
    tests::stored,
};

pub(crate) const DAY: i64 = 86_400_000_000_000;
pub(crate) const NOW: Duration = Duration::from_secs(60);
pub(crate) const WAL: &str = "/data/wal";
pub(crate) const CONTAINERS: &str = "/data/containers";
pub(crate) const PARTITIONS: &str = "/data/partitions";

/// Everything small.
pub(crate) fn options(mode: Mode) -> Options {
    Options {
        mode,
        generation_size: 1 << 20,
        chunk_size: 16 << 10,
        segment_size: 64 << 10,
        probe: false,
        ..Options::new("/data")
    }
}

/// Log segments that are full after a few batches.
pub(crate) fn small_segments(mode: Mode) -> Options {
    Options { segment_size: 4 << 10, ..options(mode) }
}

/// An engine without threads, with everything back in memory.
pub(crate) fn open(disk: &SimDisk, options: &Options) -> Result<Arc<Engine>, Error> {
    let engine = Engine::open(Arc::new(disk.clone()), options.clone(), Metrics::new())?;
    engine.finish_replay()?;
    Ok(engine)
}

/// Writes a batch, a sample at each of these times, and syncs it where the mode does.
pub(crate) fn put(engine: &Engine, name: &str, times: Range<i64>) {
    let times: Vec<i64> = times.collect();
    let values = times.iter().map(|time| *time as f64).collect::<Vec<_>>();
    stored::write(engine, &[Series::new(Labels::from([("__name__", name)]), times, values)], |_| true);
    engine.sync_step(Duration::from_secs(1_000));
}

/// Brings what is in memory to parts.
pub(crate) fn flush(engine: &Engine) {
    engine.durability().request_rotation();
    engine.commit_step(NOW);
    while engine.flush_step(NOW).unwrap() {}
}

/// How many samples of a range queries get, and what they are told.
pub(crate) fn ask_in(engine: &Arc<Engine>, range: TimeRange) -> (usize, Vec<String>) {
    let everything = [Matcher::new("__name__", MatchOp::Regex, ".+").unwrap()];
    let view = View::new(engine);
    let count = view.select(&everything, range).unwrap().map(|series| series.unwrap().times.len()).sum();
    (count, view.left_out())
}

/// The same, of all there is.
pub(crate) fn ask(engine: &Arc<Engine>) -> (usize, Vec<String>) {
    ask_in(engine, TimeRange::ALL)
}

/// The files below a directory whose names have an extension.
pub(crate) fn files(disk: &SimDisk, dir: &str, extension: &str) -> Vec<PathBuf> {
    let paths = disk.entries().into_iter().map(|entry| entry.path).filter(|path| path.starts_with(dir));
    paths.filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
}

pub(crate) fn crash(disk: &SimDisk, kind: CrashKind) {
    disk.crash(kind);
    disk.restart();
}

pub(crate) fn receipt(engine: &Engine, incarnation: u32, number: u64) -> Receipt {
    engine.receipt(Position { incarnation, number: SeqNo(number) })
}

pub(crate) fn remove_log(disk: &SimDisk) {
    for (_, path) in list_files(disk, Path::new(WAL), FileKind::Log).unwrap() {
        disk.remove(&path).unwrap();
    }
}

/// The file of the stage with the lowest number, and where its frames stand.
pub(crate) fn frames(disk: &SimDisk, dir: &str, kind: FileKind) -> (PathBuf, Vec<u64>) {
    let (id, path) = list_files(disk, Path::new(dir), kind).unwrap().remove(0);
    let mut scan = Scan::new(disk.open(&path).unwrap(), &path, id).unwrap();
    let mut offsets = Vec::new();
    while let Some(Found::Frame(frame)) = scan.next().unwrap() {
        offsets.push(frame.header.place.offset);
    }
    (path, offsets)
}

/// Flips a bit of a frame's payload.
pub(crate) fn damage_frame(disk: &SimDisk, path: &Path, offset: u64) {
    disk.corrupt(path, offset + FRAME_HEADER_SIZE as u64 + 3, 1).unwrap();
}

/// What is on a disk, durably on another; without the reserve, which is space only.
pub(crate) fn copy_of(disk: &SimDisk) -> SimDisk {
    let copy = SimDisk::new(1);
    for entry in disk.entries() {
        if entry.is_dir {
            copy.create_dir_all(&entry.path).unwrap();
        } else if !entry.path.ends_with("RESERVE") {
            let file = copy.create(&entry.path).unwrap();
            file.write_at(&disk.read_file(&entry.path).unwrap(), 0).unwrap();
            file.sync_data().unwrap();
        }
    }
    copy
}
