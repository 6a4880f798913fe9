//! Days that are too old, on the simulated disk: dropped whole, on a full disk too, and never back.

use std::{path::Path, sync::Arc, time::Duration};

use crate::{
    disk::{CrashKind, Disk, Errno, Fault, OpKind, SimDisk},
    durability::{AckLevel, Mode},
    engine::{Engine, Error, Options},
    metrics::Metrics,
    model::{Labels, MatchOp, Matcher, NANOS_PER_DAY as DAY, TimeRange, Unlimited},
    select::{Series, Source, View},
    tests::stored::{batch, flush, write},
};

/// The days that are written to.
const DAYS: i64 = 4;
const KINDS: [CrashKind; 3] = [CrashKind::Process, CrashKind::PowerNone, CrashKind::PowerRandom];

fn open(disk: &SimDisk, mode: Mode, retention_days: Option<u64>) -> Result<Arc<Engine>, Error> {
    let options = Options {
        mode,
        generation_size: 4 << 20,
        chunk_size: 64 << 10,
        segment_size: 1 << 20,
        retention: retention_days.map(|days| Duration::from_hours(24 * days)),
        ..Options::new(Path::new("/data"))
    };
    let engine = Engine::open(Arc::new(disk.clone()), options, Metrics::new())?;
    engine.finish_replay()?;
    Ok(engine)
}

/// A sample on a day, of a series that only this day has.
fn series(day: i64) -> Series {
    let name = format!("m{day}");
    Series::new(Labels::from([("__name__", name.as_str())]), [day * DAY + 5], vec![day as f64])
}

fn write_days(engine: &Engine, days: impl Iterator<Item = i64>) {
    write(engine, &days.map(series).collect::<Vec<_>>(), |_| true);
    engine.sync_step(Duration::from_secs(60));
}

/// An engine that keeps a day, with every day's sample in parts.
fn with_days(disk: &SimDisk, mode: Mode) -> Arc<Engine> {
    let engine = open(disk, mode, Some(1)).unwrap();
    write_days(&engine, 0..DAYS);
    flush(&engine);
    engine
}

/// The days of which a view shows samples, in order.
fn days_in(view: &View) -> Vec<i64> {
    let everything = [Matcher::new("__name__", MatchOp::Regex, ".+").unwrap()];
    let found = view.select(&everything, TimeRange::ALL).unwrap().map(Result::unwrap);
    let mut days: Vec<i64> =
        found.flat_map(|series| series.times.iter().map(|time| time / DAY).collect::<Vec<_>>()).collect();
    days.sort_unstable();
    days
}

fn days(engine: &Arc<Engine>) -> Vec<i64> {
    days_in(&View::new(engine))
}

fn names(engine: &Arc<Engine>) -> Vec<String> {
    View::new(engine).label_values("__name__", &[], TimeRange::ALL, &Unlimited).unwrap()
}

/// The days that have a directory with files.
fn days_on_disk(disk: &SimDisk) -> Vec<String> {
    let files = disk.entries().into_iter().filter(|entry| !entry.is_dir);
    let day = |path: &Path| {
        path.strip_prefix("/data/partitions").ok().map(|rest| rest.parent().unwrap().display().to_string())
    };
    let mut days: Vec<_> = files.filter_map(|entry| day(&entry.path)).collect();
    days.dedup();
    days
}

#[test]
fn a_day_is_dropped_once_its_last_nanosecond_is_too_old() {
    let disk = SimDisk::new(1);
    let engine = with_days(&disk, Mode::WalSync);
    assert!(!engine.retain_step(2 * DAY - 1).unwrap());
    assert_eq!(days(&engine), [0, 1, 2, 3]);
    assert!(engine.retain_step(2 * DAY).unwrap());
    assert!(!engine.retain_step(2 * DAY).unwrap(), "once");
    assert_eq!((days(&engine), names(&engine).len()), (vec![1, 2, 3], 3), "series of that day go with it");
    assert_eq!(days_on_disk(&disk), ["1970-01-02", "1970-01-03", "1970-01-04"]);
    assert!(!disk.entries().iter().any(|entry| entry.path.ends_with("1970-01-01")), "nor is there an empty directory");
    // A clock that is set back brings nothing back.
    assert!(!engine.retain_step(DAY).unwrap());
    assert_eq!(days(&engine), [1, 2, 3]);
    let metrics = engine.metrics();
    assert_eq!((metrics.retention_dropped_partitions.get(), metrics.retention_dropped_samples.get()), (1, 1));
    drop(engine);
    disk.crash(CrashKind::PowerNone);
    disk.restart();
    let engine = open(&disk, Mode::WalSync, None).unwrap();
    assert_eq!((days(&engine), names(&engine).len()), (vec![1, 2, 3], 3));
    assert_eq!((engine.recovery().quarantined.len(), engine.recovery().damaged_files.len()), (0, 0));
}

#[test]
fn all_is_kept_where_no_retention_is_set() {
    let engine = open(&SimDisk::new(1), Mode::WalSync, None).unwrap();
    write_days(&engine, 0..DAYS);
    flush(&engine);
    assert!(!engine.retain_step(i64::MAX).unwrap());
    assert_eq!(days(&engine), [0, 1, 2, 3]);
}

#[test]
fn a_view_taken_before_goes_on_reading_what_is_dropped() {
    let disk = SimDisk::new(1);
    let engine = with_days(&disk, Mode::WalSync);
    write_days(&engine, 0..1);
    let view = View::new(&engine);
    while engine.retain_step(4 * DAY).unwrap() {}
    assert_eq!(days(&engine), [3]);
    assert_eq!(days_in(&view), [0, 1, 2, 3]);
    flush(&engine);
    assert_eq!((days(&engine), days_in(&view)), (vec![3], vec![0, 1, 2, 3]));
}

#[test]
fn rows_in_memory_in_the_log_and_in_pages_do_not_come_back() {
    for mode in [Mode::WalSync, Mode::Parts(Duration::from_secs(1)), Mode::WriteBehind] {
        // Dropped while they were in memory; or once a start had found them.
        for restarts in [false, true] {
            let disk = SimDisk::new(1);
            let mut engine = open(&disk, mode, Some(1)).unwrap();
            write_days(&engine, 0..DAYS);
            if restarts {
                drop(engine);
                engine = open(&disk, mode, Some(1)).unwrap();
                assert_eq!(days(&engine), [0, 1, 2, 3], "{mode}");
            }
            while engine.retain_step(3 * DAY).unwrap() {}
            assert_eq!(days(&engine), [2, 3], "{mode}");
            drop(engine);
            disk.crash(CrashKind::PowerNone);
            disk.restart();
            // Without any retention: what was dropped is gone, not hidden.
            let engine = open(&disk, mode, None).unwrap();
            assert_eq!(days(&engine), [2, 3], "{mode}, restarts: {restarts}");
            assert!(engine.recovery().damaged.is_empty());
            // Who keeps everything may write there again, and that stays.
            write_days(&engine, 0..1);
            drop(engine);
            let engine = open(&disk, mode, None).unwrap();
            assert_eq!(days(&engine), [0, 2, 3], "{mode}, restarts: {restarts}");
            flush(&engine);
            assert_eq!(days(&engine), [0, 2, 3], "{mode}, restarts: {restarts}");
        }
    }
}

#[test]
fn rows_that_are_too_old_when_they_are_flushed_make_no_part() {
    for mode in [Mode::WalSync, Mode::Parts(Duration::from_secs(1))] {
        let disk = SimDisk::new(1);
        let engine = open(&disk, mode, Some(1)).unwrap();
        write_days(&engine, 0..DAYS);
        while engine.retain_step(3 * DAY).unwrap() {}
        flush(&engine);
        assert_eq!(days_on_disk(&disk), ["1970-01-03", "1970-01-04"], "{mode}");
        engine.close().unwrap();
        drop(engine);
        assert_eq!(days(&open(&disk, mode, None).unwrap()), [2, 3], "{mode}");
    }
}

/// Days with so much that it makes a difference to the disk.
fn write_much(engine: &Engine) {
    let mut rng = fastrand::Rng::with_seed(1);
    let series: Vec<_> = (0..DAYS)
        .map(|day| {
            let times: Vec<i64> = (0..20_000).map(|step| day * DAY + step * 1_000_000_000).collect();
            let values = times.iter().map(|_| rng.f64()).collect();
            Series::new(Labels::from([("__name__", "much")]), times, values)
        })
        .collect();
    write(engine, &series, |_| true);
    engine.sync_step(Duration::from_secs(60));
}

/// Takes all that is free; and the manifest is full to its last page.
fn fill(disk: &SimDisk) {
    let space = disk.space(Path::new("/")).unwrap();
    disk.set_capacity(space.total - space.available);
    disk.inject(Fault::new(Errno::NOSPC).of(OpKind::Write).at("MANIFEST").times(1));
}

#[test]
fn on_a_full_disk_the_reserve_makes_room_for_the_record_and_writes_go_on_by_themselves() {
    let reserve = Path::new("/data/RESERVE");
    for mode in Mode::ALL {
        let disk = SimDisk::new(1);
        let engine = open(&disk, mode, Some(1)).unwrap();
        write_much(&engine);
        flush(&engine);
        assert!(disk.open(reserve).is_ok(), "{mode}: the flusher's turn takes the reserve");
        fill(&disk);
        drop(engine.flush_step(Duration::from_secs(63)));
        assert!(engine.problem().is_some(), "{mode}: a full disk stops writes");
        assert!(disk.open(reserve).is_ok(), "{mode}");
        let kept: u64 = engine.parts().iter().map(|part| part.summary.len).sum();
        while engine.retain_step(3 * DAY).unwrap() {}
        let dropped = kept - engine.parts().iter().map(|part| part.summary.len).sum::<u64>();
        assert!(dropped > 200_000, "{mode}: {dropped} bytes");
        assert!(disk.open(reserve).is_err(), "{mode}: it made room for the record");
        let space = disk.space(Path::new("/")).unwrap();
        assert!(space.available > (8 << 20) + dropped / 2, "{mode}: {space:?}");
        assert_eq!(days_on_disk(&disk), ["1970-01-03", "1970-01-04"], "{mode}");
        for second in 64..67 {
            engine.flush_step(Duration::from_secs(second)).unwrap();
            engine.commit_step(Duration::from_secs(second));
        }
        assert_eq!(engine.problem(), None, "{mode}");
        let (one, payload) = batch(&engine, &series(3));
        let mut answer = engine.submit(one, payload, Some(AckLevel::Disk)).unwrap();
        for second in 70..80 {
            engine.commit_step(Duration::from_secs(second));
            engine.sync_step(Duration::from_secs(second));
            // Where no container of the usual size fits yet, a flush makes it safe.
            engine.flush_step(Duration::from_secs(second)).unwrap();
        }
        let answer = answer.try_recv().unwrap_or_else(|error| panic!("{mode}: {error}"));
        assert_eq!(answer.map(|ack| ack.level), Ok(AckLevel::Disk), "{mode}");
        drop(engine);
        disk.crash(CrashKind::PowerNone);
        disk.restart();
        let engine = open(&disk, mode, None).unwrap();
        assert_eq!(days(&engine).len(), 2 * 20_000 + 1, "{mode}");
    }
}

#[test]
fn a_flush_on_a_full_disk_leaves_the_reserve_to_the_record_that_makes_room() {
    let reserve = Path::new("/data/RESERVE");
    let disk = SimDisk::new(1);
    let engine = with_days(&disk, Mode::WalSync);
    let full = disk.open(reserve).unwrap().size().unwrap();
    // There is room for files, and none for records.
    for turn in 1..4 {
        write_days(&engine, 2..3);
        engine.durability().request_rotation();
        engine.commit_step(Duration::from_secs(61));
        disk.inject(Fault::new(Errno::NOSPC).of(OpKind::Write).at("MANIFEST").times(1));
        let space = disk.space(Path::new("/")).unwrap();
        disk.set_capacity(space.total - space.available + (256 << 10));
        assert!(engine.flush_step(Duration::from_secs(62)).unwrap(), "turn {turn}");
        let left = disk.open(reserve).expect("the flush ate it").size().unwrap();
        assert!(left >= full - (turn << 20), "turn {turn}: {left} bytes of {full} are left");
    }
    fill(&disk);
    while engine.retain_step(3 * DAY).unwrap() {}
    assert_eq!(days_on_disk(&disk), ["1970-01-03", "1970-01-04"]);
    disk.set_capacity(1 << 40);
    engine.flush_step(Duration::from_secs(70)).unwrap();
    assert_eq!(disk.open(reserve).unwrap().size().unwrap(), full, "room is back");
}

#[test]
fn without_room_for_the_record_no_file_is_removed() {
    let disk = SimDisk::new(1);
    let engine = with_days(&disk, Mode::WalSync);
    disk.remove(Path::new("/data/RESERVE")).unwrap();
    fill(&disk);
    assert!(engine.retain_step(3 * DAY).is_err());
    assert_eq!(days_on_disk(&disk).len(), 4);
    drop(engine);
    disk.crash(CrashKind::PowerNone);
    disk.restart();
    disk.set_capacity(1 << 40);
    let engine = open(&disk, Mode::WalSync, Some(1)).unwrap();
    assert_eq!(days(&engine), [0, 1, 2, 3], "what is not recorded is not dropped");
    while engine.retain_step(3 * DAY).unwrap() {}
    assert_eq!(days(&engine), [2, 3]);
}

#[test]
fn a_crash_at_any_operation_of_a_step_drops_a_day_as_a_whole_or_not_at_all() {
    let mut seen_half_way = false;
    for (mode, kind, full) in cases() {
        for after in 0.. {
            let context = format!("{mode}, {kind:?} at {after}, full disk: {full}");
            let disk = SimDisk::new(after);
            let engine = with_days(&disk, mode);
            write_days(&engine, 0..DAYS);
            if full {
                fill(&disk);
            }
            disk.crash_at(disk.ops() + after, kind);
            let steps = (0..8).map_while(|_| engine.retain_step(3 * DAY).ok().filter(|done| *done)).count() as i64;
            let died = disk.is_down();
            disk.crash(kind);
            drop(engine);
            disk.restart();
            disk.clear_faults();
            disk.set_capacity(1 << 40);
            let engine = open(&disk, mode, None).unwrap();
            let recovery = engine.recovery();
            assert!(recovery.damaged.is_empty() && recovery.damaged_files.is_empty(), "{context}: {recovery:?}");
            let found = days(&engine);
            // Rows in memory of both days go with the first record.
            let dropped = DAYS - found.len() as i64;
            assert!(found == (dropped..DAYS).collect::<Vec<_>>(), "{context}: {found:?}");
            assert!((steps..=2).contains(&dropped), "{context}: {steps} steps, {dropped} days are gone");
            seen_half_way |= dropped == 1;
            drop(engine);
            let engine = open(&disk, mode, Some(1)).unwrap();
            while engine.retain_step(3 * DAY).unwrap() {}
            flush(&engine);
            assert_eq!(days(&engine), [2, 3], "{context}");
            assert_eq!(days_on_disk(&disk), ["1970-01-03", "1970-01-04"], "{context}");
            if !died {
                break;
            }
        }
    }
    assert!(seen_half_way, "a crash fell between two days");
}

fn cases() -> impl Iterator<Item = (Mode, CrashKind, bool)> {
    let modes = [Mode::WalSync, Mode::Parts(Duration::from_secs(1)), Mode::WriteBehind];
    modes
        .into_iter()
        .flat_map(|mode| KINDS.map(|kind| (mode, kind)))
        .flat_map(|(mode, kind)| [false, true].map(|full| (mode, kind, full)))
}
