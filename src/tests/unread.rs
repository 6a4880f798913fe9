//! Files that the disk does not read at a start: the rest is served, nothing is given up for good.

use std::{path::PathBuf, sync::Arc, time::Duration};

use crate::{
    disk::{CrashKind, Disk, Errno, Fault, OpKind, SimDisk},
    durability::Mode,
    engine::{Ending, Engine, Error, Options, Receipt, RecoveryPolicy},
    model::{Labels, MatchOp, Matcher, SeqNo, TimeRange},
    select::{Series, Source, View},
    stage::FileKind,
    tests::{
        scene::{CONTAINERS, DAY, WAL, ask, ask_in, copy_of, flush, frames, open, options, put, receipt},
        stored,
    },
};

fn start(disk: &SimDisk, recovery: RecoveryPolicy) -> Result<Arc<Engine>, Error> {
    start_in(disk, recovery, Mode::WalSync)
}

fn start_in(disk: &SimDisk, recovery: RecoveryPolicy, mode: Mode) -> Result<Arc<Engine>, Error> {
    open(disk, &Options { recovery, ..options(mode) })
}

fn put_value(engine: &Arc<Engine>, name: &str, time: i64, value: f64) {
    let series = Series::new(Labels::from([("__name__", name)]), [time], vec![value]);
    stored::write(engine, &[series], |_| true);
    engine.sync_step(Duration::from_secs(1_000));
}

/// Files of the first day.
fn first_day(disk: &SimDisk) -> Vec<PathBuf> {
    let paths = disk.entries().into_iter().filter(|entry| !entry.is_dir).map(|entry| entry.path);
    paths.filter(|path| path.starts_with("/data/partitions/1970-01-01")).collect()
}

/// `a` on the first day and `b` on the second, each in a part and an index part, after a clean stop.
fn two_days() -> SimDisk {
    let disk = SimDisk::new(1);
    let engine = start(&disk, RecoveryPolicy::Salvage).unwrap();
    put(&engine, "a", 1..2);
    flush(&engine);
    put(&engine, "b", DAY + 1..DAY + 2);
    flush(&engine);
    engine.close().unwrap();
    disk
}

fn break_first_day(disk: &SimDisk, kind: &str) {
    let path = first_day(disk).into_iter().find(|path| path.extension().unwrap() == kind).unwrap();
    disk.inject(Fault::new(Errno::IO).of(OpKind::Read).at(path.to_str().unwrap()).times(u64::MAX));
}

#[test]
fn what_cannot_be_read_is_left_out_and_said_to_be_and_is_there_again_once_it_can() {
    let day = TimeRange { start: 0, end: DAY };
    for kind in ["part", "index"] {
        let disk = two_days();
        let before = first_day(&disk);
        break_first_day(&disk, kind);
        for served in [1, 9] {
            let engine = start(&disk, RecoveryPolicy::Salvage).unwrap();
            let (count, told) = ask(&engine);
            assert_eq!((count, told.len()), (served, 1), "{kind}: {told:?}");
            assert!(told[0].contains("cannot be read now"), "{kind}: {told:?}");
            assert!(
                ask_in(&engine, day).1.len() == 1
                    && ask_in(&engine, TimeRange { start: DAY, end: 2 * DAY }).1.is_empty()
            );
            assert_eq!(engine.damage().len(), 1, "{kind}: {:?}", engine.damage());
            assert_eq!((receipt(&engine, 1, 1), receipt(&engine, 1, 2)), (Receipt::Lost, Receipt::Safe), "{kind}");
            let recovery = engine.recovery();
            assert_eq!((recovery.unread_files.len(), recovery.damaged_files.len()), (1, 0), "{kind}");
            assert_eq!((recovery.loss.unwrap().damaged_batches, &*recovery.damaged), (1, &[(SeqNo(1), SeqNo(1))][..]));
            // What comes meanwhile, and what is done with it, takes nothing away.
            for time in 0..8 {
                put(&engine, "a", 100 + time..101 + time);
                flush(&engine);
            }
            while engine.compact_step().unwrap() {}
            engine.close().unwrap();
            drop(engine);
            disk.crash(CrashKind::PowerNone);
            disk.restart();
        }
        assert!(before.iter().all(|path| disk.open(path).is_ok()), "{kind}: a file is gone");
        disk.clear_faults();
        let engine = start(&disk, RecoveryPolicy::Strict).unwrap();
        assert_eq!(ask(&engine), (10, Vec::new()), "{kind}");
        assert_eq!((receipt(&engine, 1, 1), engine.recovery().damaged.len()), (Receipt::Safe, 0), "{kind}");
        while engine.compact_step().unwrap() {}
        assert_eq!(ask(&engine).0, 10, "{kind}");
    }
}

#[test]
fn a_policy_that_gives_nothing_up_refuses_with_the_file_and_the_way_on() {
    for kind in ["part", "index"] {
        let disk = two_days();
        break_first_day(&disk, kind);
        for policy in [RecoveryPolicy::Strict, RecoveryPolicy::PointInTime] {
            let error = start(&disk, policy).err().unwrap_or_else(|| panic!("{policy} starts without {kind}"));
            let text = error.to_string();
            assert!(matches!(error, Error::Unreadable { .. }), "{error:?}");
            assert!(text.contains("1970-01-01/0000000") && text.contains("--recovery salvage"), "{text}");
        }
        disk.clear_faults();
        assert_eq!(ask(&start(&disk, RecoveryPolicy::Strict).unwrap()), (2, Vec::new()));
    }
}

#[test]
fn a_dry_run_names_what_cannot_be_read() {
    let disk = two_days();
    break_first_day(&disk, "part");
    let said = Engine::dry_run(Arc::new(disk), Options { recovery: RecoveryPolicy::DryRun, ..Options::new("/data") });
    let said = said.unwrap();
    assert!(said.contains("cannot be read, and would be left out: /data/partitions/1970-01-01/"), "{said}");
}

#[test]
fn an_error_that_is_not_of_the_disk_still_ends_the_start() {
    let disk = two_days();
    disk.inject(Fault::new(Errno::MFILE).of(OpKind::Read).at(".part").times(u64::MAX));
    assert!(start(&disk, RecoveryPolicy::Salvage).is_err(), "too many open files are no reason to go on without parts");
}

#[test]
fn what_could_not_be_read_keeps_its_place_in_the_order_of_the_parts() {
    let disk = SimDisk::new(1);
    let engine = start(&disk, RecoveryPolicy::Salvage).unwrap();
    let rewrite = |engine: &Arc<Engine>, values: std::ops::Range<u32>| {
        for value in values {
            put_value(engine, "a", 1, f64::from(value));
            flush(engine);
        }
    };
    rewrite(&engine, 0..3);
    engine.close().unwrap();
    drop(engine);
    let second = first_day(&disk).into_iter().filter(|path| path.extension().unwrap() == "part").nth(1).unwrap();
    disk.inject(Fault::new(Errno::IO).of(OpKind::Read).at(second.to_str().unwrap()).times(u64::MAX));
    let engine = start(&disk, RecoveryPolicy::Salvage).unwrap();
    rewrite(&engine, 3..6);
    while engine.compact_step().unwrap() {}
    engine.close().unwrap();
    drop(engine);
    disk.clear_faults();
    let engine = start(&disk, RecoveryPolicy::Strict).unwrap();
    let everything = [Matcher::new("__name__", MatchOp::Regex, ".+").unwrap()];
    let view = View::new(&engine);
    let series: Vec<_> = view.select(&everything, TimeRange::ALL).unwrap().map(Result::unwrap).collect();
    assert_eq!((series.len(), &*series[0].values), (1, &[5.0][..]), "the last one written wins");
}

/// Two batches in parts and two in the stage of a start that was killed.
fn killed(mode: Mode) -> SimDisk {
    let disk = SimDisk::new(1);
    let engine = start_in(&disk, RecoveryPolicy::Salvage, mode).unwrap();
    for time in 1..=4 {
        put(&engine, "a", time..time + 1);
        if time == 2 {
            flush(&engine);
        }
    }
    drop(engine);
    disk.crash(CrashKind::Process);
    disk.restart();
    disk
}

fn no_reading_of(name: &str) -> Fault {
    Fault::new(Errno::IO).of(OpKind::Read).at(name).times(u64::MAX)
}

#[test]
fn what_stands_twice_or_can_be_done_without_need_not_be_read() {
    for (name, ending) in [(".copy", Ending::Process), ("CURRENT", Ending::Process), ("LEDGER", Ending::Unknown)] {
        for policy in [RecoveryPolicy::Salvage, RecoveryPolicy::Strict] {
            let disk = killed(Mode::WalSync);
            disk.inject(no_reading_of(name));
            let engine = start(&disk, policy).unwrap_or_else(|error| panic!("{name}: {error}"));
            let loss = engine.recovery().loss.unwrap();
            assert_eq!((ask(&engine), loss.ending), ((4, Vec::new()), ending), "{name}");
            put(&engine, "a", 5..6);
            drop(engine);
            disk.crash(CrashKind::Process);
            disk.restart();
            // Where the ledger could not be read, a new one stands on other blocks of the disk.
            disk.clear_faults();
            let engine = start(&disk, RecoveryPolicy::Strict).unwrap();
            let loss = engine.recovery().loss.unwrap();
            assert_eq!((ask(&engine).0, loss.ending, loss.is_none()), (5, Ending::Process, true), "{name}");
        }
    }
    let disk = killed(Mode::WalSync);
    disk.inject(no_reading_of("MANIFEST"));
    let error = start(&disk, RecoveryPolicy::Salvage).err().expect("without a manifest nothing is known");
    assert!(error.to_string().contains("MANIFEST-000001"), "{error}");
    disk.clear_faults();
    assert_eq!(ask(&start(&disk, RecoveryPolicy::Strict).unwrap()), (4, Vec::new()));
}

#[test]
fn of_the_stage_what_cannot_be_read_is_given_up_only_where_that_is_asked_for_and_is_kept() {
    for (mode, name) in [(Mode::WalSync, ".wal"), (Mode::WriteBehind, ".pages")] {
        let disk = killed(mode);
        let is_of_stage =
            |path: &PathBuf| path.extension().is_some_and(|extension| name.ends_with(extension.to_str().unwrap()));
        let stage = |disk: &SimDisk| disk.entries().into_iter().map(|entry| entry.path).find(is_of_stage).unwrap();
        let (path, before) = (stage(&disk), disk.read_file(&stage(&disk)).unwrap());
        disk.inject(no_reading_of(path.to_str().unwrap()));
        for policy in [RecoveryPolicy::Salvage, RecoveryPolicy::Strict, RecoveryPolicy::PointInTime] {
            let error = start_in(&disk, policy, mode).err().unwrap();
            assert!(matches!(&error, Error::UnreadableStage { path: found, .. } if *found == path), "{name}: {error}");
        }
        let again = copy_of(&disk);
        let engine = start_in(&again, RecoveryPolicy::Strict, mode).unwrap();
        assert_eq!((ask(&engine).0, receipt(&engine, 1, 4)), (4, Receipt::Safe), "{name}: nothing was given up");
        let engine = start_in(&disk, RecoveryPolicy::SalvageReadable, mode).unwrap();
        let (count, told) = ask(&engine);
        assert_eq!((count, told.len()), (2, 1), "{name}: {told:?}");
        assert_eq!(
            (1..=4).map(|number| receipt(&engine, 1, number)).collect::<Vec<_>>(),
            [Receipt::Safe, Receipt::Safe, Receipt::Lost, Receipt::Lost]
        );
        assert_eq!(engine.recovery().unread_files, std::slice::from_ref(&path));
        put(&engine, "a", 5..6);
        engine.close().unwrap();
        drop(engine);
        disk.clear_faults();
        let is_kept = |path: PathBuf| {
            path.starts_with("/data/quarantine") && disk.read_file(&path).is_ok_and(|bytes| bytes == before)
        };
        assert!(disk.entries().into_iter().any(|entry| !entry.is_dir && is_kept(entry.path)), "{name} is gone");
        let engine = start_in(&disk, RecoveryPolicy::Strict, mode).unwrap();
        assert_eq!((ask(&engine).0, receipt(&engine, 1, 3)), (3, Receipt::Lost), "{name}");
    }
}

#[test]
fn a_dry_run_says_what_of_the_stage_would_be_given_up() {
    for (mode, dir, kind) in [(Mode::WalSync, WAL, FileKind::Log), (Mode::WriteBehind, CONTAINERS, FileKind::Container)]
    {
        let disk = killed(mode);
        let (path, _) = frames(&disk, dir, kind);
        disk.inject(no_reading_of(path.to_str().unwrap()));
        let before = disk.ops();
        let dry = Options { recovery: RecoveryPolicy::DryRun, ..options(mode) };
        let said = Engine::dry_run(Arc::new(disk.clone()), dry).unwrap();
        assert!(said.contains("batches 3 to 4 had been safe and are missing"), "{said}");
        assert!(said.contains(&format!("--recovery salvage-readable: {}", path.display())), "{said}");
        assert_eq!(disk.ops(), before, "something was changed");
    }
}

#[test]
fn what_can_be_read_of_a_log_is_written_again_around_what_cannot() {
    let disk = killed(Mode::WalSync);
    // A start whose sync failed: the next one writes the log again.
    disk.inject(Fault::new(Errno::IO).of(OpKind::SyncData).at("/data/wal"));
    assert!(start(&disk, RecoveryPolicy::Salvage).is_err());
    let (path, offsets) = frames(&disk, WAL, FileKind::Log);
    let block = offsets[2] / 4096 * 4096;
    disk.inject(no_reading_of(path.to_str().unwrap()));
    assert!(start(&disk, RecoveryPolicy::Salvage).is_err(), "block {block}");
    let engine = start(&disk, RecoveryPolicy::SalvageReadable).unwrap();
    assert_eq!(ask(&engine).0, 2);
}
