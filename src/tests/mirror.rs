//! Two copies of the log, one of which is slow, dead, or away.

use std::{path::Path, sync::Arc, thread::sleep, time::Duration};

use crate::{
    disk::{CrashKind, Disk, Errno, Fault, OpKind, SimDisk},
    durability::{AckLevel, Mirror, Ticket},
    engine::{Engine, Error, Options},
    metrics::{Directory, Metrics},
    model::{Labels, MatchOp, Matcher, TimeRange},
    select::{Series, Source, View},
    stage::{FileKind, list_files},
    tests::stored,
};

const FAST: &str = "/fast/wal";
const MIRROR: &str = "/mirror/wal";

fn options(mirror: Mirror) -> Options {
    Options {
        wal_dir: Some(FAST.into()),
        wal_mirror_dir: Some(MIRROR.into()),
        wal_mirror: mirror,
        generation_size: 1 << 20,
        chunk_size: 16 << 10,
        segment_size: 4 << 10,
        probe: false,
        ..Options::new("/data")
    }
}

fn open(disk: &SimDisk, mirror: Mirror) -> Result<Arc<Engine>, Error> {
    let engine = Engine::open(Arc::new(disk.clone()), options(mirror), Metrics::new())?;
    engine.finish_replay()?;
    Ok(engine)
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
            sleep(Duration::from_millis(250));
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
