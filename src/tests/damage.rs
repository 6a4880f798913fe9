//! Damage costs what it hit, and what is gone is said to be: by the start, to queries, and by receipts of every later start.

use std::{ops::Range, path::Path, sync::Arc};

use crate::{
    disk::{CrashKind, Disk, SimDisk},
    durability::Mode,
    engine::{Engine, Error, Options, Receipt, RecoveryPolicy},
    metrics::Metrics,
    model::{Labels, SeqNo},
    select::Series,
    stage::{FileKind, list_files},
    tests::{
        scene::{
            CONTAINERS, DAY, PARTITIONS, WAL, ask, crash, damage_frame, files, flush, frames, open, options, put,
            receipt, small_segments,
        },
        stored,
    },
};

fn start(disk: &SimDisk) -> Arc<Engine> {
    open(disk, &options(Mode::WalSync)).unwrap()
}

/// Of the first start's batches up to `last`, those that are said to be safe.
fn safe(engine: &Engine, last: u64) -> Vec<u64> {
    (1..=last).filter(|number| receipt(engine, 1, *number) == Receipt::Safe).collect()
}

/// What a start serves of ten batches of ten samples where the first frame is damaged, and which are said to be safe.
fn without_first_frame(mode: Mode, dir: &str, kind: FileKind) -> (usize, Vec<u64>, Vec<(SeqNo, SeqNo)>) {
    let disk = SimDisk::new(1);
    let engine = open(&disk, &options(mode)).unwrap();
    (0..10).for_each(|turn| put(&engine, "m", turn * 10..turn * 10 + 10));
    drop(engine);
    crash(&disk, CrashKind::PowerNone);
    let (path, offsets) = frames(&disk, dir, kind);
    assert_eq!(offsets.len(), 10);
    damage_frame(&disk, &path, offsets[0]);
    let strict = Options { recovery: RecoveryPolicy::Strict, ..options(mode) };
    assert!(matches!(open(&disk, &strict), Err(Error::Damaged(_))), "strict starts");
    let engine = open(&disk, &options(mode)).unwrap();
    (ask(&engine).0, safe(&engine, 10), engine.recovery().damaged.clone())
}

#[test]
fn a_damaged_first_frame_of_a_segment_costs_its_batch_alone() {
    let found = without_first_frame(Mode::WalSync, WAL, FileKind::Log);
    assert_eq!(found, (90, (2..=10).collect(), vec![(SeqNo(1), SeqNo(1))]));
}

#[test]
fn a_damaged_first_commit_of_a_container_costs_its_batch_alone() {
    let found = without_first_frame(Mode::WriteBehind, CONTAINERS, FileKind::Container);
    assert_eq!(found, (90, (2..=10).collect(), vec![(SeqNo(1), SeqNo(1))]));
}

#[test]
fn where_all_frames_that_name_a_stream_are_damaged_every_batch_that_needs_it_is_said_to_be_lost() {
    for (mode, dir, kind) in [(Mode::WalSync, WAL, FileKind::Log), (Mode::WriteBehind, CONTAINERS, FileKind::Container)]
    {
        let disk = SimDisk::new(1);
        let engine = open(&disk, &options(mode)).unwrap();
        (0..10).for_each(|turn| put(&engine, if turn == 5 { "other" } else { "m" }, turn * 10..turn * 10 + 10));
        drop(engine);
        crash(&disk, CrashKind::PowerNone);
        let (path, offsets) = frames(&disk, dir, kind);
        offsets[..2].iter().for_each(|offset| damage_frame(&disk, &path, *offset));
        for _ in 0..2 {
            let engine = open(&disk, &options(mode)).unwrap();
            assert_eq!((ask(&engine).0, safe(&engine, 10)), (10, vec![6]), "{mode}");
            flush(&engine);
            engine.close().unwrap();
        }
    }
}

#[test]
fn a_stream_that_a_damaged_frame_names_is_known_from_another_segment() {
    let disk = SimDisk::new(1);
    let small = small_segments(Mode::WalSync);
    let engine = open(&disk, &small).unwrap();
    (0..80).for_each(|turn| put(&engine, "m", turn * 100..turn * 100 + 100));
    drop(engine);
    crash(&disk, CrashKind::PowerNone);
    assert!(list_files(&disk, Path::new(WAL), FileKind::Log).unwrap().len() > 1);
    let (path, offsets) = frames(&disk, WAL, FileKind::Log);
    offsets[..2].iter().for_each(|offset| damage_frame(&disk, &path, *offset));
    let engine = open(&disk, &small).unwrap();
    assert_eq!((ask(&engine).0, safe(&engine, 80)), (7_800, (3..=80).collect()));
}

#[test]
fn damage_below_what_the_ledger_calls_safe_from_the_process_is_no_end_after_a_crash_of_the_process() {
    let disk = SimDisk::new(1);
    let options = options(Mode::WalOs);
    let engine = open(&disk, &options).unwrap();
    for name in ["a", "b", "c", "d", "e"] {
        stored::write(&engine, &[Series::new(Labels::from([("__name__", name)]), [1], vec![1.0])], |_| true);
    }
    assert_eq!((engine.watermarks().process_safe, engine.watermarks().power_safe), (SeqNo(5), SeqNo(0)));
    drop(engine);
    crash(&disk, CrashKind::Process);
    let (path, offsets) = frames(&disk, WAL, FileKind::Log);
    damage_frame(&disk, &path, offsets[2]);
    assert!(open(&disk, &Options { recovery: RecoveryPolicy::Strict, ..options.clone() }).is_err(), "strict starts");
    let engine = open(&disk, &options).unwrap();
    assert_eq!((ask(&engine).0, engine.recovery().damaged.clone()), (4, vec![(SeqNo(3), SeqNo(3))]));
    assert_eq!(safe(&engine, 5), [1, 2, 4, 5]);
}

#[test]
fn a_frame_damaged_between_a_start_and_its_replay_is_told_and_its_segment_kept() {
    for damaged in [4, 9] {
        let disk = SimDisk::new(1);
        let engine = start(&disk);
        (0..10).for_each(|turn| put(&engine, "m", turn * 10..turn * 10 + 10));
        drop(engine);
        let (path, offsets) = frames(&disk, WAL, FileKind::Log);
        let engine = Engine::open(Arc::new(disk.clone()), options(Mode::WalSync), Metrics::new()).unwrap();
        damage_frame(&disk, &path, offsets[damaged]);
        engine.finish_replay().unwrap();
        let (served, told) = ask(&engine);
        assert_eq!((served, receipt(&engine, 1, damaged as u64 + 1)), (90, Receipt::Lost));
        assert_eq!((told.len(), safe(&engine, 10).len()), (1, 9), "{told:?}");
        flush(&engine);
        engine.close().unwrap();
        let is_kept = |path: &Path| path.to_string_lossy().contains("quarantine/2-stage-");
        assert!(disk.entries().iter().any(|entry| is_kept(&entry.path)), "the damaged segment is gone");
        drop(engine);
        assert_eq!(safe(&start(&disk), 10).len(), 9);
    }
}

#[test]
fn receipts_of_batches_given_up_by_a_merge_say_so_for_every_start_they_are_of() {
    let disk = SimDisk::new(1);
    let mut positions = Vec::new();
    // Four parts of four starts, merged to one.
    for turn in 0..4 {
        let engine = start(&disk);
        positions.push((engine.incarnation(), engine.first_number()));
        put(&engine, &format!("m{turn}"), 0..2_000);
        flush(&engine);
        while engine.compact_step().unwrap() {}
        engine.close().unwrap();
    }
    assert_eq!(files(&disk, PARTITIONS, "part").len(), 1);
    let engine = start(&disk);
    disk.corrupt(&files(&disk, PARTITIONS, "part")[0], 40, 0x40).unwrap();
    for more in 0..6 {
        put(&engine, &format!("n{more}"), 0..2_000);
        flush(&engine);
    }
    while engine.compact_step().unwrap() {}
    let receipts =
        |engine: &Engine| positions.iter().map(|(start, number)| receipt(engine, *start, number.0)).collect();
    let before: Vec<_> = receipts(&engine);
    assert_eq!(before, vec![Receipt::Damaged; 4]);
    drop(engine);
    crash(&disk, CrashKind::PowerNone);
    let after: Vec<_> = receipts(&start(&disk));
    assert_eq!(before, after, "a later start says something else");
}

/// A disk with a flushed batch of `a` on each of some days, and without a log; an index part is in each day.
fn indexed(days: Range<i64>) -> SimDisk {
    let disk = SimDisk::new(1);
    let engine = start(&disk);
    days.for_each(|day| put(&engine, "a", day * DAY..day * DAY + 10));
    flush(&engine);
    engine.close().unwrap();
    drop(engine);
    for (_, path) in list_files(&disk, Path::new(WAL), FileKind::Log).unwrap() {
        disk.remove(&path).unwrap();
    }
    disk
}

#[test]
fn a_lost_index_part_is_told_by_every_start_and_its_batches_are_lost() {
    for is_missing in [true, false] {
        let disk = indexed(0..1);
        let path = files(&disk, PARTITIONS, "index").remove(0);
        match is_missing {
            true => disk.remove(&path).unwrap(),
            false => disk.truncate(&path, 20).unwrap(),
        }
        let strict = Options { recovery: RecoveryPolicy::Strict, ..options(Mode::WalSync) };
        assert!(matches!(open(&disk, &strict), Err(Error::Damaged(_))));
        for turn in 0..3 {
            let engine = start(&disk);
            let (served, told) = ask(&engine);
            assert_eq!((served, receipt(&engine, 1, 1)), (0, Receipt::Lost), "start {turn}");
            assert!(!told.is_empty() && !engine.damage().is_empty(), "start {turn} tells nothing");
            let loss = engine.recovery().loss.unwrap();
            assert_eq!((loss.is_none(), loss.damaged_batches), (turn > 0, u64::from(turn == 0)), "{loss}");
            engine.close().unwrap();
        }
    }
}

#[test]
fn a_lost_index_part_is_made_anew_from_those_of_other_days() {
    let disk = indexed(0..2);
    disk.remove(&files(&disk, PARTITIONS, "index")[0]).unwrap();
    for turn in 0..2 {
        let engine = start(&disk);
        assert_eq!((ask(&engine).0, safe(&engine, 2)), (20, vec![1, 2]));
        assert_eq!(engine.recovery().damaged_files.len(), usize::from(turn == 0));
        assert_eq!(files(&disk, PARTITIONS, "index").len(), 2, "there is one a day again");
        engine.close().unwrap();
    }
    // Now it does not need the other day's any more.
    disk.remove(&files(&disk, PARTITIONS, "index")[1]).unwrap();
    assert_eq!(ask(&start(&disk)).0, 20);
}

#[test]
fn a_lost_index_part_is_made_anew_from_the_log() {
    let disk = SimDisk::new(1);
    let engine = start(&disk);
    put(&engine, "a", 0..10);
    flush(&engine);
    put(&engine, "a", 10..20);
    drop(engine);
    crash(&disk, CrashKind::PowerNone);
    disk.remove(&files(&disk, PARTITIONS, "index")[0]).unwrap();
    let engine = start(&disk);
    assert_eq!((ask(&engine).0, safe(&engine, 2)), (20, vec![1, 2]));
    flush(&engine);
    engine.close().unwrap();
    drop(engine);
    assert_eq!(ask(&start(&disk)).0, 20);
}

#[test]
fn point_in_time_ends_before_a_lost_part_and_names_all_that_it_gives_up() {
    let disk = SimDisk::new(1);
    let engine = start(&disk);
    for name in ["a", "b", "c"] {
        put(&engine, name, 0..10);
        flush(&engine);
    }
    engine.close().unwrap();
    drop(engine);
    for (_, path) in list_files(&disk, Path::new(WAL), FileKind::Log).unwrap() {
        disk.remove(&path).unwrap();
    }
    disk.remove(&files(&disk, PARTITIONS, "part")[1]).unwrap();
    let point_in_time = Options { recovery: RecoveryPolicy::PointInTime, ..options(Mode::WalSync) };
    let engine = open(&disk, &point_in_time).unwrap();
    assert_eq!((ask(&engine).0, safe(&engine, 3), engine.recovery().end), (10, vec![1], SeqNo(1)));
    assert_eq!(engine.recovery().damaged, [(SeqNo(2), SeqNo(3))]);
    assert!(engine.recovery().quarantined.iter().any(|path| path.extension().unwrap() == "part"), "the file is kept");
    let told = ask(&engine).1;
    assert!(told.len() == 1 && told[0].contains("batches 2 to 3") && engine.damage() == told, "{told:?}");
    put(&engine, "d", 0..10);
    flush(&engine);
    engine.close().unwrap();
    drop(engine);
    let engine = start(&disk);
    assert_eq!((ask(&engine).0, safe(&engine, 3), engine.recovery().damaged.len()), (20, vec![1], 0));
}

#[test]
fn damage_of_a_container_is_told_once_by_each_start_under_any_policy() {
    for recovery in [RecoveryPolicy::Salvage, RecoveryPolicy::PointInTime] {
        let disk = SimDisk::new(1);
        let engine = open(&disk, &options(Mode::WriteBehind)).unwrap();
        (0..10).for_each(|turn| put(&engine, "m", turn * 10..turn * 10 + 10));
        drop(engine);
        crash(&disk, CrashKind::PowerNone);
        let (path, offsets) = frames(&disk, CONTAINERS, FileKind::Container);
        damage_frame(&disk, &path, offsets[5]);
        let engine = open(&disk, &Options { recovery, ..options(Mode::WriteBehind) }).unwrap();
        let told = ask(&engine).1;
        assert!(told.len() == 1 && engine.damage() == told, "{recovery}: {told:?}");
        flush(&engine);
        assert_eq!(ask(&engine).1, told, "{recovery}");
    }
}

#[test]
fn what_several_starts_set_aside_of_one_file_is_told_once() {
    let disk = SimDisk::new(1);
    start(&disk).close().unwrap();
    for incarnation in 1..4 {
        let path = format!("/data/quarantine/{incarnation}-1970-01-01-000001.pages.damaged");
        disk.create(Path::new(&path)).unwrap();
    }
    assert_eq!(start(&disk).damage().len(), 1);
}
