//! Directories that are full, gone, moved, replaced, or wanted by two.

use std::{path::Path, sync::Arc, time::Duration};

use crate::{
    disk::{Disk, Errno, Fault, OpKind, SimDisk},
    durability::{AckLevel, Mirror, Mode, Ticket},
    engine::{Engine, Error, Options},
    metrics::{Directory, Metrics},
    model::{Labels, MatchOp, Matcher, TimeRange},
    select::{Series, Source, View},
    stage::{FileKind, list_files},
    tests::stored,
};

const WAL: &str = "/data/wal";
const MIRROR: &str = "/mirror/wal";
const FAST: &str = "/fast/wal";

fn options() -> Options {
    Options {
        generation_size: 1 << 20,
        chunk_size: 16 << 10,
        segment_size: 4 << 10,
        probe: false,
        ..Options::new("/data")
    }
}

fn outside(mirror: Mirror) -> Options {
    Options { wal_dir: Some(FAST.into()), wal_mirror_dir: Some(MIRROR.into()), wal_mirror: mirror, ..options() }
}

fn open(disk: &SimDisk, options: &Options) -> Result<Arc<Engine>, Error> {
    let engine = Engine::open(Arc::new(disk.clone()), options.clone(), Metrics::new())?;
    engine.finish_replay()?;
    Ok(engine)
}

fn submit(engine: &Engine, name: usize) -> Ticket {
    let labels = Labels::from([("__name__", format!("m{name}").as_str())]);
    let series = Series { labels, times: (0..20).collect(), values: vec![name as f64; 20] };
    let (batch, payload) = stored::batch(engine, &series);
    engine.submit(batch, payload, Some(AckLevel::Disk)).unwrap()
}

fn commit(engine: &Engine) {
    engine.commit_step(Duration::from_secs(1));
}

/// Whether a batch is taken and made safe.
fn writes(engine: &Engine, name: usize) -> bool {
    let mut ticket = submit(engine, name);
    commit(engine);
    engine.sync_step(Duration::from_secs(100 + name as u64));
    ticket.try_recv().is_ok_and(|answer| answer.is_ok())
}

/// A turn of the flusher, and of the committer that it may have asked.
fn turn(engine: &Engine) {
    let _ = engine.flush_step(Duration::from_secs(3));
    commit(engine);
}

/// The numbers in the names of the series that are there.
fn found(engine: &Arc<Engine>) -> Vec<usize> {
    let everything = [Matcher::new("__name__", MatchOp::Regex, ".+").unwrap()];
    let view = View::new(engine);
    let series = view.select(&everything, TimeRange::ALL).unwrap().map(|series| series.unwrap());
    let mut found: Vec<_> = series.map(|series| series.labels.metric()[1..].parse().unwrap()).collect();
    found.sort_unstable();
    found
}

#[test]
fn a_full_disk_below_the_log_stops_writes_unless_a_copy_elsewhere_is_enough() {
    for (mirror, full, stops) in [
        (Mirror::TwoOfTwo, &[MIRROR][..], true),
        (Mirror::TwoOfTwo, &[FAST], true),
        (Mirror::OneOfTwo, &[MIRROR], false),
        (Mirror::OneOfTwo, &[FAST], false),
        (Mirror::OneOfTwo, &[FAST, MIRROR], true),
    ] {
        let disk = SimDisk::new(1);
        let engine = open(&disk, &outside(mirror)).unwrap();
        assert!(writes(&engine, 1));
        full.iter().for_each(|dir| disk.set_available_below(Path::new(dir), 5 << 20));
        turn(&engine);
        let said = [engine.problem().into_iter().collect(), engine.warnings()].concat().join("; ");
        let is_named = |dir: &str| said.contains(&format!("the disk of {dir} is full: 5 MiB are free, 64 are kept"));
        assert_eq!([FAST, MIRROR].map(is_named), [FAST, MIRROR].map(|dir| full.contains(&dir)), "{mirror} {said}");
        assert_eq!((engine.problem().is_some(), engine.warnings().is_empty()), (stops, stops), "{mirror} {full:?}");
        let metrics = engine.metrics();
        for (kind, dir) in [(Directory::Wal, FAST), (Directory::WalMirror, MIRROR)] {
            let told = (metrics.directory_problem[kind].get(), metrics.disk_free[kind].get() == f64::from(5 << 20));
            assert_eq!(told, (i64::from(full.contains(&dir)), full.contains(&dir)), "{mirror} {full:?} {dir}");
        }
        assert_eq!(metrics.directory_problem[Directory::Data].get(), 0);
        assert!(stops || writes(&engine, 2), "{mirror} {full:?}");
        full.iter().for_each(|dir| disk.set_available_below(Path::new(dir), 1 << 30));
        (0..3).for_each(|_| turn(&engine));
        assert_eq!((engine.problem(), engine.warnings()), (None, Vec::new()), "{mirror} {full:?}");
        assert!(writes(&engine, 3));
    }
}

#[test]
fn a_mode_without_a_log_minds_no_disk_below_one() {
    let disk = SimDisk::new(1);
    let options = Options { mode: Mode::WriteBehind, wal_dir: Some(FAST.into()), ..options() };
    let engine = open(&disk, &options).unwrap();
    disk.set_available_below(Path::new(FAST), 0);
    turn(&engine);
    assert!(engine.problem().is_none() && engine.warnings()[0].contains(FAST));
    assert!(engine.metrics().disk_free[Directory::WalMirror].get().is_nan());
    assert!(writes(&engine, 1));
}

#[test]
fn a_log_directory_that_was_replaced_stops_writes_until_it_is_back() {
    let disk = SimDisk::new(1);
    let engine = open(&disk, &Options { wal_dir: Some(FAST.into()), ..options() }).unwrap();
    assert!(writes(&engine, 1));
    disk.rename(Path::new("/fast"), Path::new("/away")).unwrap();
    for _ in 0..2 {
        turn(&engine);
        let problem = engine.problem().unwrap();
        assert!(problem.contains("the directory /fast/wal is gone, or is another one now"), "{problem}");
        let _ = disk.create_dir_all(Path::new(FAST));
    }
    assert_eq!(engine.metrics().directory_problem[Directory::Wal].get(), 1);
    disk.remove(Path::new(FAST)).unwrap();
    disk.remove(Path::new("/fast")).unwrap();
    disk.rename(Path::new("/away"), Path::new("/fast")).unwrap();
    (0..3).for_each(|_| turn(&engine));
    assert_eq!(engine.problem(), None);
    assert!(writes(&engine, 2));
    drop(engine);
    assert_eq!(found(&open(&disk, &Options { wal_dir: Some(FAST.into()), ..options() }).unwrap()), [1, 2]);
}

fn segments(disk: &SimDisk, dir: &str) -> usize {
    list_files(disk, Path::new(dir), FileKind::Log).unwrap().len()
}

/// Many segments, all but the newest in parts; none is retired yet.
fn with_old_segments(disk: &SimDisk) -> Arc<Engine> {
    let engine = open(disk, &options()).unwrap();
    (0..1_000).for_each(|name| assert!(writes(&engine, name % 10)));
    engine.durability().request_rotation();
    commit(&engine);
    assert!(segments(disk, WAL) > 20, "{}", segments(disk, WAL));
    engine
}

#[test]
fn one_segment_that_cannot_be_removed_keeps_no_other_and_is_tried_again() {
    let disk = SimDisk::new(1);
    let engine = with_old_segments(&disk);
    assert!(engine.flush_step(Duration::from_secs(3)).unwrap());
    disk.inject(Fault::new(Errno::IO).of(OpKind::Remove).at("wal/").times(2));
    let before = segments(&disk, WAL);
    assert!(writes(&engine, 1));
    // Seven are kept for reuse, beside one made ahead, and one is written.
    assert_eq!(segments(&disk, WAL), 10, "of {before}, two could not be removed");
    engine.flush_step(Duration::from_secs(4)).unwrap();
    assert_eq!(segments(&disk, WAL), 8);
}

#[test]
fn nothing_is_removed_or_reused_in_a_directory_that_was_replaced_just_now() {
    let disk = SimDisk::new(1);
    let engine = with_old_segments(&disk);
    assert!(engine.flush_step(Duration::from_secs(3)).unwrap());
    // Nobody has looked since: another server's directory is here now, with segments of the same names.
    disk.rename(Path::new("/data"), Path::new("/moved")).unwrap();
    drop(open(&disk, &options()).unwrap());
    let names = |dir: &str| disk.list(Path::new(dir)).unwrap().into_iter().map(|entry| entry.path).collect::<Vec<_>>();
    for path in names("/moved/wal") {
        let file = disk.create(&Path::new(WAL).join(path.file_name().unwrap())).unwrap();
        file.write_at(b"theirs", 0).unwrap();
    }
    let theirs = names(WAL);
    (0..30).for_each(|name| drop(submit(&engine, name)));
    commit(&engine);
    for path in &theirs {
        assert_eq!(disk.read_file(path).unwrap(), b"theirs", "{}", path.display());
    }
    assert!(theirs.iter().all(|path| names(WAL).contains(path)));
}
