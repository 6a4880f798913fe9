//! Directories that are full, gone, moved, replaced, or wanted by two; files missing in them.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crate::{
    disk::{CrashKind, Disk, Errno, Fault, OpKind, RealDisk, SimDisk},
    durability::{AckLevel, Mirror, Mode, Ticket},
    engine::{Engine, Error, Options, Receipt},
    metrics::{Directory, Metrics},
    model::{Labels, MatchOp, Matcher, Position, SeqNo, TimeRange},
    select::{Series, Source, View},
    stage::{FileKind, Found, Scan, list_files},
    tests::{
        scene::{open, small_segments},
        stored,
    },
};

const WAL: &str = "/data/wal";
const MIRROR: &str = "/mirror/wal";
const FAST: &str = "/fast/wal";

fn options() -> Options {
    small_segments(Mode::WalSync)
}

fn outside(mirror: Mirror) -> Options {
    Options { wal_dir: Some(FAST.into()), wal_mirror_dir: Some(MIRROR.into()), wal_mirror: mirror, ..options() }
}

fn submit(engine: &Engine, name: usize) -> Ticket {
    let labels = Labels::from([("__name__", format!("m{name}").as_str())]);
    let series = Series::new(labels, (0..20).collect::<Vec<_>>(), vec![name as f64; 20]);
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

const DAY: i64 = 86_400_000_000_000;

/// Writes one sample of each of some series, in a batch each.
fn put(engine: &Arc<Engine>, samples: &[(&str, i64, f64)]) {
    for (name, time, value) in samples {
        let labels = Labels::from([("__name__", *name)]);
        stored::write(engine, &[Series::new(labels, [*time], vec![*value])], |_| true);
    }
    engine.sync_step(Duration::from_secs(1_000));
}

fn flush(engine: &Engine) {
    engine.durability().request_rotation();
    commit(engine);
    while engine.flush_step(Duration::from_secs(3)).unwrap() {}
}

/// Name, time and value of every sample.
fn samples(engine: &Arc<Engine>) -> Vec<(String, i64, f64)> {
    let everything = [Matcher::new("__name__", MatchOp::Regex, ".+").unwrap()];
    let view = View::new(engine);
    let mut samples = Vec::new();
    for series in view.select(&everything, TimeRange::ALL).unwrap().map(|series| series.unwrap()) {
        let rows = series.times.iter().zip(&series.values);
        samples.extend(rows.map(|(time, value)| (series.labels.metric().to_owned(), *time, *value)));
    }
    samples.sort_by(|a, b| a.partial_cmp(b).unwrap());
    samples
}

/// The parts of a day, oldest first.
fn parts(disk: &SimDisk, day: &str) -> Vec<PathBuf> {
    let entries = disk.list(&Path::new("/data/partitions").join(day)).unwrap().into_iter();
    entries.map(|entry| entry.path).filter(|path| path.extension().is_some_and(|kind| kind == "part")).collect()
}

fn cut_power(disk: &SimDisk) {
    disk.crash(CrashKind::PowerNone);
    disk.restart();
}

fn safe(engine: &Engine, numbers: std::ops::RangeInclusive<u64>) -> bool {
    let receipt = |number| engine.receipt(Position { incarnation: 1, number: SeqNo(number) });
    numbers.into_iter().all(|number| receipt(number) == Receipt::Safe)
}

#[test]
fn a_lost_part_is_filled_again_from_the_log_and_takes_its_old_place() {
    let disk = SimDisk::new(1);
    let options = Options { segment_size: 1 << 20, ..options() };
    let engine = open(&disk, &options).unwrap();
    put(&engine, &[("a", 1, 1.0), ("a", 1, 2.0), ("b", DAY + 1, 3.0), ("c", 1, 4.0)]);
    flush(&engine);
    put(&engine, &[("a", 1, 5.0), ("b", DAY + 1, 6.0)]);
    flush(&engine);
    put(&engine, &[("a", 2, 7.0), ("b", DAY + 1, 8.0), ("a", 1, 9.0)]);
    let expected = samples(&engine);
    drop(engine);
    cut_power(&disk);
    disk.remove(&parts(&disk, "1970-01-01")[0]).unwrap();
    disk.sync_dir(Path::new("/data/partitions/1970-01-01")).unwrap();
    // The second start ends before what it put back is in a part.
    for start in 2..=3 {
        let engine = open(&disk, &options).unwrap();
        assert_eq!((samples(&engine), engine.recovery().damaged.len()), (expected.clone(), 0), "start {start}");
        assert_eq!((engine.recovery().damaged_files.len(), safe(&engine, 1..=9)), (1, true), "start {start}");
        assert!(engine.recovery().loss.unwrap().damaged_batches == 0);
        if start == 3 {
            flush(&engine);
            assert_eq!(samples(&engine), expected, "the newer part still wins");
        }
        drop(engine);
        cut_power(&disk);
    }
    let engine = open(&disk, &options).unwrap();
    assert_eq!((samples(&engine), engine.recovery().damaged_files.len()), (expected.clone(), 0));
    flush(&engine);
    while engine.compact_step().unwrap() {}
    assert_eq!(samples(&engine), expected);
    engine.close().unwrap();
    drop(engine);
    assert_eq!(samples(&open(&disk, &options).unwrap()), expected);
}

#[test]
fn nothing_is_merged_over_a_gap_that_is_yet_to_be_filled() {
    let disk = SimDisk::new(1);
    let options = Options { segment_size: 1 << 20, ..options() };
    let engine = open(&disk, &options).unwrap();
    for value in 1..=9 {
        put(&engine, &[("a", 1, f64::from(value))]);
        flush(&engine);
    }
    drop(engine);
    disk.remove(&parts(&disk, "1970-01-01")[4]).unwrap();
    let engine = open(&disk, &options).unwrap();
    while engine.compact_step().unwrap() {}
    flush(&engine);
    assert_eq!((samples(&engine), parts(&disk, "1970-01-01").len()), (vec![("a".to_owned(), 1, 9.0)], 9));
    while engine.compact_step().unwrap() {}
    assert_eq!(samples(&engine), [("a".to_owned(), 1, 9.0)]);
    assert!(parts(&disk, "1970-01-01").len() < 9);
}

#[test]
fn of_a_lost_part_exactly_those_batches_are_lost_that_the_log_does_not_hold() {
    let disk = SimDisk::new(1);
    let engine = open(&disk, &options()).unwrap();
    (1..=40).for_each(|name| assert!(writes(&engine, name)));
    engine.durability().request_rotation();
    commit(&engine);
    assert!(engine.flush_step(Duration::from_secs(3)).unwrap());
    drop(engine);
    cut_power(&disk);
    // The log has several segments of that, as none was needed since; the first goes with the part.
    let log = list_files(&disk, Path::new(WAL), FileKind::Log).unwrap();
    assert!(log.len() > 1);
    let mut scan = Scan::new(disk.open(&log[0].1).unwrap(), &log[0].1, log[0].0).unwrap();
    let mut last = 0;
    while let Some(next) = scan.next().unwrap() {
        last = if let Found::Frame(frame) = next { frame.header.number.0 } else { last };
    }
    drop(scan);
    for path in [&log[0].1, &parts(&disk, "1970-01-01")[0]] {
        disk.remove(path).unwrap();
        disk.sync_dir(path.parent().unwrap()).unwrap();
    }
    for start in 2..=4 {
        let engine = open(&disk, &options()).unwrap();
        assert_eq!(found(&engine), (last as usize + 1..=40).collect::<Vec<_>>(), "start {start}");
        let told = if start == 2 { &[(SeqNo(1), SeqNo(last))][..] } else { &[] };
        assert_eq!(engine.recovery().damaged, told, "start {start}: told once");
        let loss = engine.recovery().loss.unwrap();
        assert_eq!(loss.damaged_batches, if start == 2 { last } else { 0 }, "{loss}");
        assert!(safe(&engine, last + 1..=40) && !safe(&engine, last..=last));
        if start == 3 {
            flush(&engine);
        }
        drop(engine);
        cut_power(&disk);
    }
}

#[test]
fn a_lost_part_costs_the_batches_it_held_and_no_number_that_was_never_given_out() {
    let disk = SimDisk::new(1);
    for start in 0..4 {
        let engine = open(&disk, &options()).unwrap();
        (0..3).for_each(|n| assert!(writes(&engine, start * 3 + n)));
        flush(&engine);
        while engine.compact_step().unwrap() {}
        engine.close().unwrap();
    }
    let parts = parts(&disk, "1970-01-01");
    assert_eq!(parts.len(), 1, "of all four starts");
    disk.remove(&parts[0]).unwrap();
    let engine = open(&disk, &options()).unwrap();
    let counts: Vec<_> = engine.recovery().damaged.iter().map(|(first, last)| last.0 - first.0 + 1).collect();
    assert_eq!((counts, found(&engine).len()), (vec![3; 4], 0));
    assert_eq!(engine.recovery().loss.unwrap().damaged_batches, 12);
    assert_eq!(engine.metrics().recovery_damaged_numbers.get(), 12);
}

#[test]
fn a_data_directory_may_be_moved_between_starts() {
    for wal_dir in [None, Some(PathBuf::from(FAST))] {
        let disk = SimDisk::new(1);
        let engine = open(&disk, &Options { wal_dir: wal_dir.clone(), ..options() }).unwrap();
        (0..30).for_each(|name| assert!(writes(&engine, name)));
        flush(&engine);
        (30..40).for_each(|name| assert!(writes(&engine, name)));
        drop(engine);
        cut_power(&disk);
        disk.create_dir_all(Path::new("/srv")).unwrap();
        disk.rename(Path::new("/data"), Path::new("/srv/moved")).unwrap();
        let moved = Options { dir: "/srv/moved".into(), wal_dir, ..options() };
        let engine = open(&disk, &moved).unwrap();
        assert_eq!((found(&engine).len(), engine.recovery().damaged.len()), (40, 0));
        assert!(writes(&engine, 40));
        turn(&engine);
        assert_eq!(engine.problem(), None);
        engine.close().unwrap();
        drop(engine);
        assert_eq!(found(&open(&disk, &moved).unwrap()).len(), 41);
    }
}

#[test]
fn a_batch_larger_than_a_segment_gets_one_of_its_own_size() {
    let disk = SimDisk::new(1);
    let engine = open(&disk, &options()).unwrap();
    assert!(writes(&engine, 1));
    let times: Vec<i64> = (0..5_000).collect();
    let values = times.iter().map(|time| (*time as f64).sqrt()).collect();
    let large = Series::new(Labels::from([("__name__", "m2")]), times, values);
    let (batch, payload) = stored::batch(&engine, &large);
    assert!(payload.len() as u64 > 4 * options().segment_size);
    let mut ticket = engine.submit(batch, payload, Some(AckLevel::Disk)).unwrap();
    commit(&engine);
    engine.sync_step(Duration::from_secs(2_000));
    assert!(ticket.try_recv().unwrap().is_ok());
    assert!(writes(&engine, 3));
    drop(engine);
    cut_power(&disk);
    let engine = open(&disk, &options()).unwrap();
    assert_eq!((found(&engine), samples(&engine).len()), (vec![1, 2, 3], 20 + 5_000 + 20));
    flush(&engine);
    assert!((4..100).all(|name| writes(&engine, name)), "and it is not kept for the next");
    assert_eq!(engine.problem(), None);
}

#[test]
fn of_many_that_open_a_directory_at_once_one_gets_it() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { dir: dir.path().join("data"), probe: false, ..options() };
    for _ in 0..5 {
        let open = || Engine::open(Arc::new(RealDisk), options.clone(), Metrics::new());
        let barrier = std::sync::Barrier::new(8);
        let opened: Vec<_> = std::thread::scope(|scope| {
            let race = || {
                barrier.wait();
                open()
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(race)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let refused = opened.iter().filter(|opened| matches!(opened, Err(Error::Locked(_)))).count();
        assert_eq!((opened.iter().filter(|opened| opened.is_ok()).count(), refused), (1, 7));
        drop(opened);
        drop(open().unwrap());
    }
}
