//! Two copies of the log, one of which is slow, dead, or away.

use std::{path::Path, sync::Arc, thread::sleep, time::Duration};

use crate::{
    disk::{CrashKind, Disk, Errno, Fault, OpKind, SimDisk},
    durability::{AckLevel, Mirror, Mode, Ticket},
    engine::{Engine, Error, Options, Receipt, RecoveryPolicy},
    metrics::Directory,
    model::{Labels, MatchOp, Matcher, TimeRange},
    select::{Series, Source, View},
    stage::{FRAME_HEADER_SIZE, FileKind, Found, Scan, list_files},
    tests::{
        scene::{self, ask, copy_of, crash, put, receipt, small_segments},
        stored,
    },
};

const FAST: &str = "/fast/wal";
const MIRROR: &str = "/mirror/wal";

fn options(mirror: Mirror) -> Options {
    Options {
        wal_dir: Some(FAST.into()),
        wal_mirror_dir: Some(MIRROR.into()),
        wal_mirror: mirror,
        ..small_segments(Mode::WalSync)
    }
}

fn open(disk: &SimDisk, mirror: Mirror) -> Result<Arc<Engine>, Error> {
    scene::open(disk, &options(mirror))
}

fn submit(engine: &Engine, name: usize) -> Ticket {
    let labels = Labels::from([("__name__", format!("m{name}").as_str())]);
    let (batch, payload) = stored::batch(engine, &Series::new(labels, [1], vec![1.0]));
    engine.submit(batch, payload, Some(AckLevel::Disk)).unwrap()
}

fn writes(engine: &Engine, name: usize) -> bool {
    let mut ticket = submit(engine, name);
    engine.commit_step(Duration::from_secs(1));
    engine.sync_step(Duration::from_secs(2));
    ticket.try_recv().is_ok_and(|answer| answer.is_ok())
}

fn found(engine: &Arc<Engine>) -> usize {
    let everything = [Matcher::new("__name__", MatchOp::Regex, ".+").unwrap()];
    View::new(engine).select(&everything, TimeRange::ALL).unwrap().count()
}

fn remove_segments(disk: &SimDisk, dir: &str) {
    for (_, path) in list_files(disk, Path::new(dir), FileKind::Log).unwrap() {
        disk.remove(&path).unwrap();
    }
}

#[test]
fn the_slower_of_two_copies_is_synced_soon_though_nobody_writes_any_more() {
    for seed in 0..4 {
        for lost in [FAST, MIRROR] {
            let disk = SimDisk::new(seed);
            let engine = open(&disk, Mirror::OneOfTwo).unwrap();
            engine.start().unwrap();
            disk.set_sync_delay(Duration::from_millis(25));
            for name in 0..8 {
                assert!(submit(&engine, name).blocking_recv().unwrap().is_ok());
            }
            sleep(Duration::from_millis(600));
            disk.crash(CrashKind::PowerNone);
            let _ = engine.close();
            drop(engine);
            disk.restart();
            disk.set_sync_delay(Duration::ZERO);
            remove_segments(&disk, lost);
            let engine = open(&disk, Mirror::OneOfTwo).unwrap();
            assert_eq!((found(&engine), engine.recovery().damaged.len()), (8, 0), "seed {seed} without {lost}");
        }
    }
}

/// A disk after a power cut, with five batches in both copies of the log.
fn with_five(mirror: Mirror) -> SimDisk {
    let disk = SimDisk::new(1);
    let engine = open(&disk, mirror).unwrap();
    assert!((0..5).all(|name| writes(&engine, name)));
    drop(engine);
    disk.crash(CrashKind::PowerNone);
    disk.restart();
    disk
}

/// What may be wrong with a directory of the log: away, or its disk fails at operations of a kind.
const WRONGS: [Option<OpKind>; 3] = [None, Some(OpKind::Read), Some(OpKind::SyncData)];

/// Durably.
fn rename(disk: &SimDisk, from: &str, to: &str) {
    disk.rename(Path::new(from), Path::new(to)).unwrap();
    [from, to].iter().for_each(|path| disk.sync_dir(Path::new(path).parent().unwrap()).unwrap());
}

fn break_dir(disk: &SimDisk, dir: &str, wrong: Option<OpKind>) {
    match wrong {
        None => rename(disk, dir, "/unmounted"),
        Some(kind) => disk.inject(Fault::new(Errno::IO).of(kind).at(dir).times(u64::MAX)),
    }
}

fn mend_dir(disk: &SimDisk, dir: &str, wrong: Option<OpKind>) {
    match wrong {
        None => rename(disk, "/unmounted", dir),
        Some(_) => disk.clear_faults(),
    }
}

#[test]
fn where_one_copy_is_enough_a_start_goes_on_without_the_other_and_says_so() {
    for (kind, dir) in [(Directory::Wal, FAST), (Directory::WalMirror, MIRROR)] {
        for wrong in WRONGS {
            let disk = with_five(Mirror::OneOfTwo);
            break_dir(&disk, dir, wrong);
            let engine = open(&disk, Mirror::OneOfTwo).unwrap_or_else(|error| panic!("{dir} {wrong:?}: {error}"));
            assert_eq!((found(&engine), engine.recovery().damaged.len()), (5, 0), "{dir} {wrong:?}");
            assert!((5..10).all(|name| writes(&engine, name)));
            let _ = engine.flush_step(Duration::from_secs(3));
            let warnings = engine.warnings();
            assert!(warnings.len() == 1 && warnings[0].contains(&format!("{dir} is left out")), "{warnings:?}");
            assert_eq!((engine.metrics().directory_problem[kind].get(), engine.problem()), (1, None));
            drop(engine);
            disk.crash(CrashKind::PowerNone);
            disk.restart();
            // It is back: what it missed is in the other copy, and the next segments are in both again.
            mend_dir(&disk, dir, wrong);
            let engine = open(&disk, Mirror::OneOfTwo).unwrap();
            assert_eq!((found(&engine), engine.recovery().damaged.len()), (10, 0), "{dir} {wrong:?}");
            assert!(writes(&engine, 10) && engine.warnings().is_empty());
            drop(engine);
            disk.crash(CrashKind::PowerNone);
            disk.restart();
            let other = if dir == FAST { MIRROR } else { FAST };
            let newest = |dir: &str| list_files(&disk, Path::new(dir), FileKind::Log).unwrap().pop().unwrap().0;
            assert_eq!(newest(dir), newest(other));
            assert_eq!(found(&open(&disk, Mirror::OneOfTwo).unwrap()), 11);
        }
    }
}

#[test]
fn where_both_copies_are_needed_a_start_without_one_is_refused_with_its_name() {
    for dir in [FAST, MIRROR] {
        for wrong in WRONGS {
            let disk = with_five(Mirror::TwoOfTwo);
            break_dir(&disk, dir, wrong);
            let error = open(&disk, Mirror::TwoOfTwo).err().unwrap();
            match (&error, wrong) {
                (Error::MissingLog { .. }, None) | (Error::Copy { .. }, Some(_)) => {}
                _ => panic!("{dir} {wrong:?}: {error:?}"),
            }
            assert!(error.to_string().contains(dir), "{error}");
            mend_dir(&disk, dir, wrong);
            assert_eq!(found(&open(&disk, Mirror::TwoOfTwo).unwrap()), 5, "{dir} {wrong:?}");
        }
    }
}

#[test]
fn a_start_with_neither_copy_is_refused() {
    let disk = with_five(Mirror::OneOfTwo);
    [FAST, MIRROR].iter().for_each(|dir| disk.rename(Path::new(dir), Path::new(&format!("{dir}-away"))).unwrap());
    assert!(matches!(open(&disk, Mirror::OneOfTwo), Err(Error::MissingLog { .. })));
}

/// Whether the copies in `FAST` and `MIRROR` are said to be behind.
fn behind(engine: &Engine) -> (bool, bool) {
    let copies = engine.log_copies();
    engine.refresh_metrics();
    for (kind, _, is_behind) in &copies {
        assert_eq!(engine.metrics().wal_copy_behind[*kind].get(), i64::from(*is_behind));
    }
    let is_behind = |dir: &str| copies.iter().any(|(_, path, is_behind)| path == Path::new(dir) && *is_behind);
    (is_behind(FAST), is_behind(MIRROR))
}

/// All that is in memory to parts.
fn flush(engine: &Engine) {
    engine.durability().request_rotation();
    engine.commit_step(Duration::from_secs(3));
    while engine.flush_step(Duration::from_secs(4)).unwrap() {}
}

/// Fills segments until a new one has begun.
fn fill_segment(disk: &SimDisk, engine: &Engine, name: usize) {
    let newest = || list_files(disk, Path::new(FAST), FileKind::Log).unwrap().last().unwrap().0;
    let (before, mut name) = (newest(), name);
    while newest() == before {
        assert!(writes(engine, name));
        name += 1;
    }
}

/// How a copy fails while the server runs: its writes, its syncs, or the next segment there.
const FAILURES: [OpKind; 3] = [OpKind::Write, OpKind::SyncData, OpKind::Create];

#[test]
fn a_copy_that_failed_while_the_server_ran_is_not_enough_for_a_start() {
    for (failed, good) in [(FAST, MIRROR), (MIRROR, FAST)] {
        for kind in FAILURES {
            let disk = SimDisk::new(1);
            let engine = open(&disk, Mirror::OneOfTwo).unwrap();
            assert!((0..5).all(|name| writes(&engine, name)));
            assert_eq!(behind(&engine), (false, false));
            // Its disk takes nothing any more, spares included.
            disk.inject(Fault::new(Errno::IO).of(kind).at(failed).times(u64::MAX));
            assert!((5..60).all(|name| writes(&engine, name)), "{failed} {kind:?}");
            assert_eq!(behind(&engine), (failed == FAST, failed == MIRROR), "{failed} {kind:?}");
            drop(engine);
            disk.crash(CrashKind::PowerNone);
            disk.restart();
            disk.clear_faults();
            rename(&disk, good, "/unmounted");
            let error = open(&disk, Mirror::OneOfTwo).err().unwrap_or_else(|| panic!("{failed} {kind:?} is taken"));
            assert!(matches!(error, Error::StaleLog { .. }), "{error}");
            rename(&disk, "/unmounted", good);
            let engine = open(&disk, Mirror::OneOfTwo).unwrap();
            assert_eq!((found(&engine), engine.recovery().damaged.len()), (60, 0), "{failed} {kind:?}");
            flush(&engine);
            assert_eq!(behind(&engine), (false, false), "{failed} {kind:?}");
        }
    }
}

#[test]
fn a_copy_that_takes_part_again_is_enough_once_what_it_missed_is_in_parts() {
    let disk = SimDisk::new(1);
    let engine = open(&disk, Mirror::OneOfTwo).unwrap();
    assert!(writes(&engine, 0));
    disk.inject(Fault::new(Errno::IO).of(OpKind::SyncData).at(MIRROR).times(1));
    assert!(writes(&engine, 1));
    assert_eq!(behind(&engine), (false, true));
    flush(&engine);
    assert_eq!(behind(&engine), (false, true), "its segment is still written to");
    fill_segment(&disk, &engine, 2);
    assert_eq!(behind(&engine), (false, true), "what it missed of the segment is in no part");
    flush(&engine);
    assert_eq!(behind(&engine), (false, false));
    assert!(writes(&engine, 1_000));
    let count = found(&engine);
    drop(engine);
    disk.crash(CrashKind::PowerNone);
    disk.restart();
    rename(&disk, FAST, "/unmounted");
    let engine = open(&disk, Mirror::OneOfTwo).unwrap();
    assert_eq!((found(&engine), engine.recovery().damaged.len()), (count, 0));
}

#[test]
fn where_it_cannot_be_noted_that_a_copy_failed_nobody_counts_on_the_other_alone() {
    for kind in [OpKind::Write, OpKind::SyncData] {
        let disk = SimDisk::new(1);
        let engine = open(&disk, Mirror::OneOfTwo).unwrap();
        assert!(writes(&engine, 0));
        disk.inject(Fault::new(Errno::IO).of(kind).at(MIRROR).times(u64::MAX));
        disk.inject(Fault::new(Errno::IO).of(OpKind::Create).at("/data/LOGS").times(u64::MAX));
        let mut ticket = submit(&engine, 1);
        engine.commit_step(Duration::from_secs(1));
        engine.sync_step(Duration::from_secs(2));
        assert!(!matches!(ticket.try_recv(), Ok(Ok(_))), "{kind:?}: it is in one copy, and nothing says so");
        drop(engine);
        disk.crash(CrashKind::PowerNone);
        disk.restart();
        disk.clear_faults();
        rename(&disk, FAST, "/unmounted");
        assert_eq!(found(&open(&disk, Mirror::OneOfTwo).unwrap()), 1, "{kind:?}");
    }
}

#[test]
fn a_copy_that_lacks_what_had_been_safe_is_not_enough_where_the_other_is_away() {
    let disk = with_five(Mirror::OneOfTwo);
    let (id, segment) = list_files(&disk, Path::new(MIRROR), FileKind::Log).unwrap().remove(0);
    let mut scan = Scan::new(disk.open(&segment).unwrap(), &segment, id).unwrap();
    let Some(Found::Frame(first)) = scan.next().unwrap() else { panic!("no frame in {}", segment.display()) };
    disk.corrupt(&segment, first.header.place.offset + FRAME_HEADER_SIZE as u64 + 3, 1).unwrap();
    rename(&disk, FAST, "/unmounted");
    let error = open(&disk, Mirror::OneOfTwo).err().expect("it starts without what only the other has");
    assert!(matches!(error, Error::StaleLog { .. }), "{error}");
    rename(&disk, "/unmounted", FAST);
    let engine = open(&disk, Mirror::OneOfTwo).unwrap();
    assert_eq!((found(&engine), engine.recovery().damaged.len()), (5, 0));
}

#[test]
fn a_clean_stop_leaves_no_copy_behind_whether_or_not_it_is_there() {
    for dir in [FAST, MIRROR] {
        let disk = with_five(Mirror::OneOfTwo);
        rename(&disk, dir, "/unmounted");
        let engine = open(&disk, Mirror::OneOfTwo).unwrap();
        assert!(writes(&engine, 5));
        flush(&engine);
        assert_eq!(behind(&engine), (dir == FAST, dir == MIRROR), "the next batch is in the other alone");
        engine.close().unwrap();
        assert_eq!(behind(&engine), (false, false));
        drop(engine);
        rename(&disk, "/unmounted", dir);
        rename(&disk, if dir == FAST { MIRROR } else { FAST }, "/unmounted");
        let engine = open(&disk, Mirror::OneOfTwo).unwrap();
        assert_eq!((found(&engine), engine.recovery().damaged.len()), (6, 0), "{dir}");
    }
}

#[test]
fn a_stale_copy_alone_is_not_enough_to_give_up_what_the_other_copy_holds() {
    let disk = SimDisk::new(1);
    let mirror = Mirror::OneOfTwo;
    let engine = open(&disk, mirror).unwrap();
    put(&engine, "a", 0..10);
    drop(engine);
    crash(&disk, CrashKind::PowerNone);
    // One disk is away for one start, the other for the next; then both are back, and whole.
    rename(&disk, FAST, "/unmounted");
    let engine = open(&disk, mirror).unwrap();
    put(&engine, "a", 10..20);
    let number = engine.first_number();
    assert_eq!((ask(&engine).0, receipt(&engine, 2, number.0)), (20, Receipt::Safe));
    drop(engine);
    crash(&disk, CrashKind::PowerNone);
    rename(&disk, "/unmounted", FAST);
    rename(&disk, MIRROR, "/unmounted");
    let dry_run = Options { recovery: RecoveryPolicy::DryRun, ..options(mirror) };
    let dry_run = Engine::dry_run(Arc::new(disk.clone()), dry_run);
    for error in [dry_run.unwrap_err(), open(&disk, mirror).map(drop).unwrap_err()] {
        assert!(error.to_string().contains("lacks writes that only /mirror/wal holds"), "{error}");
    }
    let older = copy_of(&disk);
    let engine = scene::open(&older, &Options { recovery: RecoveryPolicy::PointInTime, ..options(mirror) }).unwrap();
    assert_eq!(ask(&engine).0, 10, "an older state, since it was asked for");
    drop(engine);
    rename(&disk, "/unmounted", MIRROR);
    let engine = open(&disk, mirror).unwrap();
    assert_eq!((ask(&engine).0, receipt(&engine, 2, number.0)), (20, Receipt::Safe), "both copies are whole and there");
    // What only the mirror held is in parts from here on, so either copy is enough again.
    flush(&engine);
    drop(engine);
    crash(&disk, CrashKind::PowerNone);
    rename(&disk, MIRROR, "/unmounted");
    assert_eq!(ask(&open(&disk, mirror).unwrap()).0, 20);
}

#[test]
fn both_copies_of_a_damaged_segment_are_kept_where_the_mirror_is_inside_the_data_directory() {
    let disk = SimDisk::new(1);
    let options = Options {
        wal_mirror_dir: Some("/data/mirror".into()),
        wal_mirror: Mirror::TwoOfTwo,
        ..scene::options(Mode::WalSync)
    };
    let engine = scene::open(&disk, &options).unwrap();
    put(&engine, "a", 0..100);
    put(&engine, "b", 0..100);
    put(&engine, "c", 0..100);
    drop(engine);
    crash(&disk, CrashKind::PowerNone);
    for dir in ["/data/wal", "/data/mirror"] {
        let (_, path) = list_files(&disk, Path::new(dir), FileKind::Log).unwrap().remove(0);
        disk.corrupt(&path, 200, 1).unwrap();
    }
    let engine = scene::open(&disk, &options).unwrap();
    flush(&engine);
    engine.close().unwrap();
    let names: Vec<_> = disk
        .entries()
        .into_iter()
        .map(|entry| entry.path)
        .filter(|path| path.to_string_lossy().contains("stage-"))
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
}
