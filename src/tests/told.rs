//! What is gone is told by every start, until its note is taken away; what is all there again is not.

use std::{sync::Arc, time::Duration};

use crate::{
    disk::{CrashKind, Disk, Errno, Fault, OpKind, SimDisk},
    durability::Mode,
    engine::{Engine, Options, Receipt, RecoveryPolicy},
    metrics::Metrics,
    stage::FileKind,
    tests::scene::{
        CONTAINERS, DAY, PARTITIONS, WAL, ask, crash, damage_frame, files, flush, frames, open, options, put, receipt,
        remove_log,
    },
};

fn start(disk: &SimDisk) -> Arc<Engine> {
    open(disk, &options(Mode::WalSync)).unwrap()
}

/// One that gives nothing up.
fn strict(disk: &SimDisk) -> Arc<Engine> {
    open(disk, &Options { recovery: RecoveryPolicy::Strict, ..options(Mode::WalSync) }).unwrap()
}

/// Flips a bit in the payload of a frame of the stage's first file, by its place among them.
fn damage_frame_at(disk: &SimDisk, dir: &str, kind: FileKind, place: usize) {
    let (path, offsets) = frames(disk, dir, kind);
    damage_frame(disk, &path, offsets[place]);
}

#[test]
fn damage_of_the_stage_is_told_by_every_start_even_if_the_first_one_told_nobody() {
    for (mode, dir, kind) in [(Mode::WalSync, WAL, FileKind::Log), (Mode::WriteBehind, CONTAINERS, FileKind::Container)]
    {
        let disk = SimDisk::new(1);
        let engine = open(&disk, &options(mode)).unwrap();
        (0..10).for_each(|turn| put(&engine, "m", turn * 10..turn * 10 + 10));
        drop(engine);
        crash(&disk, CrashKind::PowerNone);
        damage_frame_at(&disk, dir, kind, 4);
        drop(Engine::open(Arc::new(disk.clone()), options(mode), Metrics::new()).unwrap());
        crash(&disk, CrashKind::PowerNone);
        for turn in 2..5 {
            let engine = open(&disk, &options(mode)).unwrap();
            let (served, told) = ask(&engine);
            assert_eq!(
                (served, told.len(), receipt(&engine, 1, 5)),
                (90, 1, Receipt::Lost),
                "{mode}, start {turn}: {told:?}"
            );
            assert!(told[0].contains("batch 5 had been safe") && engine.damage() == told, "{told:?}");
            flush(&engine);
            engine.close().unwrap();
        }
        for mark in files(&disk, "/data/quarantine", "damaged") {
            disk.remove(&mark).unwrap();
        }
        assert_eq!(ask(&open(&disk, &options(mode)).unwrap()), (90, Vec::new()), "{mode}: the note was taken away");
    }
}

#[test]
fn nothing_is_told_of_damage_of_days_that_retention_has_dropped() {
    let disk = SimDisk::new(1);
    let engine = start(&disk);
    (0..3).for_each(|turn| put(&engine, "m", turn * 10..turn * 10 + 10));
    drop(engine);
    crash(&disk, CrashKind::PowerNone);
    damage_frame_at(&disk, WAL, FileKind::Log, 1);
    let engine =
        open(&disk, &Options { retention: Some(Duration::from_secs(3_600)), ..options(Mode::WalSync) }).unwrap();
    assert_eq!(engine.damage().len(), 1);
    let in_a_week = jiff::Timestamp::now().as_nanosecond() as i64 + 7 * DAY;
    while engine.retain_step(in_a_week).unwrap() {}
    assert_eq!((engine.damage(), ask(&engine).1), (Vec::new(), Vec::new()));
}

#[test]
fn a_part_that_is_missing_is_told_by_every_start() {
    let disk = SimDisk::new(1);
    let engine = start(&disk);
    for turn in 0..2 {
        put(&engine, "m", turn * DAY..turn * DAY + 10);
        flush(&engine);
    }
    engine.close().unwrap();
    drop(engine);
    remove_log(&disk);
    disk.remove(&files(&disk, PARTITIONS, "part")[0]).unwrap();
    drop(Engine::open(Arc::new(disk.clone()), options(Mode::WalSync), Metrics::new()).unwrap());
    crash(&disk, CrashKind::PowerNone);
    for turn in 2..5 {
        let engine = start(&disk);
        let (served, told) = ask(&engine);
        assert_eq!((served, told.len(), engine.damage().len()), (10, 1, 1), "start {turn}: {told:?}");
        assert_eq!((receipt(&engine, 1, 1), receipt(&engine, 1, 2)), (Receipt::Lost, Receipt::Safe));
    }
}

#[test]
fn a_part_that_the_log_puts_back_as_a_whole_is_told_by_nobody() {
    for is_missing in [true, false] {
        let disk = SimDisk::new(1);
        let engine = start(&disk);
        put(&engine, "m", 0..10);
        flush(&engine);
        drop(engine);
        crash(&disk, CrashKind::PowerNone);
        let part = files(&disk, PARTITIONS, "part").remove(0);
        match is_missing {
            true => disk.remove(&part).unwrap(),
            false => disk.truncate(&part, 20).unwrap(),
        }
        for turn in 1..4 {
            let engine = start(&disk);
            assert_eq!((ask(&engine), engine.damage()), ((10, Vec::new()), Vec::new()), "start {turn}");
            assert_eq!(engine.recovery().damaged_files.len(), usize::from(turn == 1));
            flush(&engine);
            engine.close().unwrap();
        }
        let kept = files(&disk, "/data/quarantine", "part");
        assert_eq!(kept.len(), usize::from(!is_missing), "the damaged file is kept");
    }
}

#[test]
fn rows_that_a_merge_gave_up_are_no_hole_when_the_merged_part_is_lost_too() {
    let disk = SimDisk::new(1);
    let engine = start(&disk);
    for turn in 0..4 {
        put(&engine, "m", turn * 10..turn * 10 + 10);
        flush(&engine);
    }
    let first = files(&disk, PARTITIONS, "part").remove(0);
    disk.corrupt(&first, 20, 0x40).unwrap();
    assert!(engine.compact_step().unwrap());
    assert_eq!((ask(&engine).0, receipt(&engine, 1, 1), receipt(&engine, 1, 2)), (30, Receipt::Damaged, Receipt::Safe));
    drop(engine);
    crash(&disk, CrashKind::PowerNone);
    let merged = files(&disk, PARTITIONS, "part").remove(0);
    disk.remove(&merged).unwrap();
    assert_eq!(ask(&start(&disk)).0, 40, "the log has all of it");
}

/// A disk with a flushed batch on each of some days, and without a log; an index part is in each day.
fn indexed(days: i64) -> SimDisk {
    let disk = SimDisk::new(1);
    let engine = start(&disk);
    (0..days).for_each(|day| put(&engine, "a", day * DAY..day * DAY + 10));
    flush(&engine);
    engine.close().unwrap();
    drop(engine);
    remove_log(&disk);
    disk
}

/// Where the second copy of an index part's image begins: it is far smaller than that here.
const SECOND_COPY: u64 = 4096;

/// The bytes of one copy of the image of the first index part.
fn image_size(disk: &SimDisk) -> u64 {
    disk.read_file(&files(disk, PARTITIONS, "index")[0]).unwrap().len() as u64 - SECOND_COPY
}

/// A start after the same bit flipped in both copies of the first index part's image.
fn start_on_corrupt_index(days: i64, offset: u64) -> (SimDisk, Arc<Engine>) {
    let disk = indexed(days);
    let path = &files(&disk, PARTITIONS, "index")[0];
    for offset in [offset, SECOND_COPY + offset] {
        disk.corrupt(path, offset, 0x04).unwrap();
    }
    let engine = start(&disk);
    (disk, engine)
}

/// Stops well, and starts again giving nothing up.
fn restart_strictly(disk: &SimDisk, engine: Arc<Engine>) -> Arc<Engine> {
    engine.close().unwrap();
    drop(engine);
    strict(disk)
}

#[test]
fn an_index_part_that_was_made_anew_is_not_called_damaged_any_more_wherever_it_was() {
    let size = image_size(&indexed(2));
    let mut repaired = 0;
    for offset in 16..size {
        let (disk, first) = start_on_corrupt_index(2, offset);
        assert_eq!(ask(&first), (20, Vec::new()), "at {offset}: all was told again");
        repaired += first.recovery().damaged_files.len();
        let engine = restart_strictly(&disk, first);
        assert_eq!((ask(&engine), engine.damage()), ((20, Vec::new()), Vec::new()), "at {offset}");
        assert_eq!(files(&disk, PARTITIONS, "index").len(), 2, "at {offset}: one a day");
    }
    assert!(repaired as u64 > size / 2, "{repaired} of {size}");
}

#[test]
fn an_index_part_that_nothing_tells_again_is_told_by_every_start_and_read_around_by_the_first_alone() {
    let size = image_size(&indexed(1));
    let mut lost = 0;
    for offset in 16..size {
        let (disk, first) = start_on_corrupt_index(1, offset);
        let (served, is_told) = (ask(&first).0, !ask(&first).1.is_empty());
        assert_eq!(served == 10, !is_told, "at {offset}");
        lost += u64::from(is_told);
        let engine = restart_strictly(&disk, first);
        let (again, told) = ask(&engine);
        assert_eq!((again, !told.is_empty()), (served, is_told), "at {offset}: {told:?}");
        assert!(engine.recovery().damaged_files.is_empty(), "at {offset}");
    }
    assert!(lost > size / 4, "{lost} of {size}");
}

#[test]
fn a_damaged_block_does_not_keep_a_start_from_serving_what_a_damaged_index_part_leaves() {
    let disk = indexed(2);
    disk.truncate(&files(&disk, PARTITIONS, "index")[0], 20).unwrap();
    disk.corrupt(&files(&disk, PARTITIONS, "part")[0], 20, 0x40).unwrap();
    let engine = start(&disk);
    let (served, told) = ask(&engine);
    assert!(served == 10 && !told.is_empty(), "{served}: {told:?}");
}

#[test]
fn what_vanished_before_replay_is_told_also_where_the_first_record_of_it_fails() {
    let disk = SimDisk::new(1);
    let engine = start(&disk);
    (0..10).for_each(|turn| put(&engine, "m", turn * 10..turn * 10 + 10));
    drop(engine);
    crash(&disk, CrashKind::PowerNone);
    let engine = Engine::open(Arc::new(disk.clone()), options(Mode::WalSync), Metrics::new()).unwrap();
    damage_frame_at(&disk, WAL, FileKind::Log, 4);
    disk.inject(Fault::new(Errno::IO).of(OpKind::SyncData).at("MANIFEST"));
    assert!(engine.finish_replay().is_err(), "the record fails");
    engine.finish_replay().unwrap();
    for engine in [engine, {
        crash(&disk, CrashKind::PowerNone);
        start(&disk)
    }] {
        let (served, told) = ask(&engine);
        assert_eq!((served, told.len(), receipt(&engine, 1, 5)), (90, 1, Receipt::Lost), "{told:?}");
    }
}

#[test]
fn a_query_before_the_end_of_replay_is_told_so() {
    let disk = SimDisk::new(1);
    let engine = start(&disk);
    put(&engine, "m", 0..10);
    drop(engine);
    crash(&disk, CrashKind::PowerNone);
    let engine = Engine::open(Arc::new(disk), options(Mode::WalSync), Metrics::new()).unwrap();
    let (served, told) = ask(&engine);
    assert!(served == 0 && told.len() == 1 && told[0].contains("replay is under way"), "{served}: {told:?}");
    engine.finish_replay().unwrap();
    assert_eq!(ask(&engine), (10, Vec::new()));
}

#[test]
fn a_crash_between_the_record_and_the_quarantine_of_a_damaged_part_silences_nothing() {
    for kind in [CrashKind::Process, CrashKind::PowerNone] {
        for after in 0.. {
            let disk = SimDisk::new(1);
            let engine = start(&disk);
            for turn in 0..4 {
                put(&engine, "m", turn * 2_000..turn * 2_000 + 2_000);
                flush(&engine);
            }
            engine.close().unwrap();
            drop(engine);
            let engine = start(&disk);
            disk.corrupt(&files(&disk, PARTITIONS, "part")[1], 40, 0x40).unwrap();
            let before = disk.ops();
            disk.crash_at(before + after, kind);
            let done = engine.compact_step().is_ok() && !disk.is_down();
            let ops = disk.ops() - before;
            drop(engine);
            if !disk.is_down() {
                disk.crash(kind);
            }
            disk.restart();
            let engine = start(&disk);
            let (samples, told) = ask(&engine);
            assert!(
                samples == 8_000 || !told.is_empty(),
                "{kind:?} at {after} of {ops}: {samples} samples, and queries are told nothing"
            );
            if done {
                break;
            }
        }
    }
}

#[test]
fn page_damage_that_was_dropped_is_told_to_queries_after_a_restart_too() {
    let disk = SimDisk::new(1);
    let options = options(Mode::WriteBehind);
    let engine = open(&disk, &options).unwrap();
    for turn in 0..4 {
        put(&engine, "m", turn * 2_000..turn * 2_000 + 2_000);
    }
    drop(engine);
    let engine = open(&disk, &options).unwrap();
    let pages = files(&disk, CONTAINERS, "pages").remove(0);
    for place in (0..40_000).step_by(1_000) {
        let _ = disk.corrupt(&pages, 500 + place, 1);
    }
    flush(&engine);
    let (served, told) = ask(&engine);
    assert!(served < 8_000 && !told.is_empty(), "{served}: {told:?}");
    engine.close().unwrap();
    drop(engine);
    let engine = open(&disk, &options).unwrap();
    let (again, told) = ask(&engine);
    assert_eq!(again, served);
    assert!(!told.is_empty(), "samples are gone, and queries are told nothing");
}
