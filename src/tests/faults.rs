//! Disks that fail now and then, without a crash: nothing acknowledged is lost, and what failed is done again.

use std::{path::Path, sync::Arc, time::Duration};

use crate::{
    disk::{CrashKind, Disk, Errno, Fault, OpKind, SimDisk},
    durability::{AckLevel, Mode, StageKind, SwitchError, Ticket},
    engine::{Engine, Error, Receipt},
    model::{Labels, Position, SeqNo, TimeRange, Unlimited},
    select::{Series, View},
    tests::{
        self,
        stored::{open_in, write},
    },
};

const DAY: i64 = 86_400_000_000_000;

fn series(metric: &str, time: i64) -> Series {
    Series::new(Labels::from([("__name__", metric)]), [time], vec![1.0])
}

fn metrics(engine: &Arc<Engine>) -> Vec<String> {
    View::new(engine).label_values("__name__", &[], TimeRange::ALL, &Unlimited).unwrap()
}

fn found(engine: &Arc<Engine>) -> usize {
    use crate::select::Source;
    let everything = [crate::model::Matcher::new("__name__", crate::model::MatchOp::Regex, ".+").unwrap()];
    View::new(engine).select(&everything, TimeRange::ALL).unwrap().count()
}

fn close_generation(engine: &Engine) {
    engine.durability().request_rotation();
    engine.commit_step(Duration::from_secs(2));
}

fn flush(engine: &Engine) -> Result<bool, Error> {
    engine.flush_step(Duration::from_secs(3))
}

#[test]
fn a_partition_whose_name_failed_to_sync_is_synced_before_its_parts_count() {
    let disk = SimDisk::new(1);
    let engine = open_in(&disk, Mode::WalSync).unwrap();
    write(&engine, &[series("a", 1)], |_| true);
    assert!(engine.sync_step(Duration::from_secs(1)));
    close_generation(&engine);
    disk.inject(Fault::new(Errno::IO).of(OpKind::SyncDir).at("partitions"));
    assert!(flush(&engine).is_err() && engine.problem().is_none(), "nobody told the threads");
    assert!(flush(&engine).unwrap());
    assert_eq!(found_after_power_cut(&disk, engine), 1);
}

#[test]
fn a_fold_that_failed_half_way_is_done_again_whole() {
    let (disk, mode) = (SimDisk::new(1), Mode::Parts(Duration::from_secs(1)));
    let engine = open_in(&disk, mode).unwrap();
    write(&engine, &[series("a", 1), series("b", DAY + 1)], |_| true);
    assert!(engine.sync_step(Duration::from_secs(9)));
    drop(engine);
    let engine = open_in(&disk, mode).unwrap();
    disk.inject(Fault::new(Errno::NOSPC).of(OpKind::Create).at("partitions/1970-01-02"));
    assert!(flush(&engine).is_err());
    let parts = disk.entries().into_iter().filter(|entry| entry.path.extension().is_some_and(|e| e == "part"));
    assert_eq!(parts.count(), 0, "what was written in vain is removed");
    assert!(flush(&engine).unwrap());
    drop(engine);
    disk.crash(CrashKind::PowerNone);
    disk.restart();
    let engine = open_in(&disk, mode).unwrap();
    assert_eq!((metrics(&engine), found(&engine)), (vec!["a".to_owned(), "b".to_owned()], 2));
}

#[test]
fn a_damaged_part_is_set_aside_and_named_and_the_rest_is_served() {
    let disk = SimDisk::new(1);
    let engine = open_in(&disk, Mode::WalSync).unwrap();
    for metric in ["a", "b"] {
        write(&engine, &[series(metric, if metric == "a" { 1 } else { DAY })], |_| true);
        close_generation(&engine);
        assert!(flush(&engine).unwrap());
    }
    drop(engine);
    let is_first = |path: &Path| path.starts_with("/data/partitions/1970-01-01") && path.extension().unwrap() == "part";
    let path = disk.entries().into_iter().find(|entry| !entry.is_dir && is_first(&entry.path)).unwrap().path;
    disk.truncate(&path, 20).unwrap();
    let engine = open_in(&disk, Mode::WalSync).unwrap();
    assert_eq!((engine.recovery().damaged_files.len(), engine.recovery().quarantined.len()), (1, 1));
    assert_eq!((found(&engine), engine.recovery().damaged.len()), (2, 0), "the log still holds what was in it");
    engine.close().unwrap();
    drop(engine);
    // Nothing is left in the log.
    let path = disk.entries().into_iter().find(|entry| !entry.is_dir && is_first(&entry.path)).unwrap().path;
    disk.truncate(&path, 20).unwrap();
    let engine = open_in(&disk, Mode::WalSync).unwrap();
    assert_eq!((found(&engine), &*engine.recovery().damaged), (1, &[(SeqNo(1), SeqNo(1))][..]));
}

#[test]
fn without_its_manifest_a_directory_with_data_is_refused_and_left_alone() {
    for mode in [Mode::WalSync, Mode::Parts(Duration::from_secs(1))] {
        let disk = SimDisk::new(1);
        let engine = open_in(&disk, mode).unwrap();
        write(&engine, &[series("a", 1)], |_| true);
        assert!(engine.sync_step(Duration::from_secs(9)));
        drop(engine);
        let files = |disk: &SimDisk| disk.entries().into_iter().filter(|entry| !entry.is_dir).count();
        let before = files(&disk);
        for copy in ["/data/MANIFEST-000001", "/data/MANIFEST-000001.copy"] {
            disk.corrupt(Path::new(copy), 4, 1).unwrap();
        }
        assert!(matches!(open_in(&disk, mode), Err(Error::NoManifest(_))));
        assert_eq!(files(&disk), before);
        for copy in ["/data/MANIFEST-000001", "/data/MANIFEST-000001.copy"] {
            disk.corrupt(Path::new(copy), 4, 1).unwrap();
        }
        assert_eq!(found(&open_in(&disk, mode).unwrap()), 1);
    }
}

fn disk_of(mode: Mode) -> &'static str {
    if mode.policy().stage == StageKind::Log { "wal/" } else { "containers/" }
}

fn batch(engine: &Arc<Engine>, metric: &str, level: AckLevel) -> Ticket {
    let (batch, payload) = tests::stored::batch(engine, &series(metric, 1));
    engine.submit(batch, payload, Some(level)).unwrap()
}

fn commit(engine: &Engine) {
    engine.commit_step(Duration::from_secs(8));
}

/// Later than any window.
fn sync(engine: &Engine) {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    static SECONDS: AtomicU64 = AtomicU64::new(9);
    engine.sync_step(Duration::from_secs(SECONDS.fetch_add(9, Relaxed)));
}

/// What a ticket says by now.
fn answer(ticket: &mut Ticket) -> Option<Result<AckLevel, String>> {
    ticket.try_recv().ok().map(|answer| answer.map(|ack| ack.level).map_err(|stopped| stopped.to_string()))
}

/// What a batch is told whose client waits until it is on the disk.
fn write_safely(engine: &Arc<Engine>, metric: &str) -> Option<Result<AckLevel, String>> {
    let mut ticket = batch(engine, metric, AckLevel::Disk);
    commit(engine);
    sync(engine);
    answer(&mut ticket)
}

/// How many series there are in the next start, in the same mode.
fn found_after_power_cut(disk: &SimDisk, engine: Arc<Engine>) -> usize {
    let mode = engine.durability().mode();
    drop(engine);
    disk.crash(CrashKind::PowerNone);
    disk.restart();
    found(&open_in(disk, mode).unwrap())
}

#[test]
fn after_a_failed_sync_the_generation_is_flushed_and_writes_go_on_in_a_fresh_file() {
    for mode in Mode::ALL {
        let disk = SimDisk::new(1);
        let engine = open_in(&disk, mode).unwrap();
        let mut first = batch(&engine, "a", AckLevel::Disk);
        commit(&engine);
        disk.inject(Fault::new(Errno::IO).of(OpKind::SyncData).at(disk_of(mode)));
        sync(&engine);
        disk.clear_faults();
        let mut second = batch(&engine, "b", AckLevel::Disk);
        commit(&engine);
        sync(&engine);
        assert_eq!((answer(&mut first), answer(&mut second)), (None, None), "{mode}: not before the flush");
        assert_eq!(engine.metrics().stage_failures.get(), 1, "{mode}: nothing more is written to a file that failed");
        assert!(flush(&engine).unwrap());
        sync(&engine);
        let served = Some(Ok(AckLevel::Disk));
        assert_eq!((answer(&mut first), answer(&mut second)), (served.clone(), served), "{mode}");
        assert_eq!(engine.problem(), None);
        assert_eq!(found_after_power_cut(&disk, engine), 2, "{mode}");
    }
}

#[test]
fn where_flushing_fails_too_writes_stop_until_the_disk_works_again() {
    for mode in Mode::ALL {
        let disk = SimDisk::new(1);
        let engine = open_in(&disk, mode).unwrap();
        let mut first = batch(&engine, "a", AckLevel::Disk);
        commit(&engine);
        disk.inject(Fault::new(Errno::IO).of(OpKind::SyncData).times(1_000));
        sync(&engine);
        commit(&engine);
        assert!(flush(&engine).is_err());
        assert!(matches!(answer(&mut first), Some(Err(_))), "{mode}: nobody waits in vain");
        assert!(engine.problem().unwrap().starts_with("writes have stopped: sync "), "{:?}", engine.problem());
        let (refused, payload) = tests::stored::batch(&engine, &series("b", 1));
        assert!(engine.submit(refused, payload, None).is_err());
        assert_eq!(found(&engine), 1, "reads go on");
        disk.clear_faults();
        assert!(flush(&engine).unwrap());
        commit(&engine);
        assert_eq!(engine.problem(), None, "{mode}");
        assert_eq!(write_safely(&engine, "c"), Some(Ok(AckLevel::Disk)), "{mode}");
        assert_eq!(found_after_power_cut(&disk, engine), 2, "{mode}");
    }
}

#[test]
fn a_full_disk_refuses_writes_and_room_lets_them_go_on() {
    for mode in Mode::ALL {
        let disk = SimDisk::new(1);
        let engine = open_in(&disk, mode).unwrap();
        assert_eq!(write_safely(&engine, "a"), Some(Ok(AckLevel::Disk)));
        disk.set_capacity(1 << 20);
        let mut second = batch(&engine, "b", AckLevel::Memory);
        commit(&engine);
        assert_eq!(answer(&mut second), Some(Ok(AckLevel::Memory)), "{mode}: there is room in memory");
        close_generation(&engine);
        assert!(flush(&engine).is_err(), "{mode}");
        assert!(engine.problem().is_some());
        disk.set_capacity(1 << 40);
        assert!(flush(&engine).unwrap(), "{mode}");
        flush(&engine).unwrap();
        commit(&engine);
        assert_eq!(engine.problem(), None, "{mode}");
        assert_eq!(write_safely(&engine, "c"), Some(Ok(AckLevel::Disk)), "{mode}");
        assert_eq!(found_after_power_cut(&disk, engine), 3, "{mode}");
    }
}

#[test]
fn numbers_of_a_group_that_could_not_be_written_are_void_and_stay_so() {
    let disk = SimDisk::new(1);
    let engine = open_in(&disk, Mode::WalSync).unwrap();
    assert_eq!(write_safely(&engine, "a"), Some(Ok(AckLevel::Disk)));
    let before = engine.next_number();
    // The write may reach the disk in part, and the fresh segment cannot be made.
    disk.inject(Fault::new(Errno::IO).of(OpKind::Write).at("wal/"));
    disk.inject(Fault::new(Errno::NOSPC).of(OpKind::Create).at("wal/"));
    let mut second = batch(&engine, "b", AckLevel::Disk);
    commit(&engine);
    assert!(matches!(answer(&mut second), Some(Err(_))));
    assert_eq!(engine.durability().unrecorded_void(), Some((before, SeqNo(engine.next_number().0 - 1))));
    let rejected = Position { incarnation: 1, number: before };
    assert_eq!(engine.receipt(rejected), Receipt::Lost);
    disk.clear_faults();
    commit(&engine);
    flush(&engine).unwrap();
    flush(&engine).unwrap();
    commit(&engine);
    assert_eq!((engine.problem(), engine.receipt(rejected)), (None, Receipt::Lost));
    assert_eq!(engine.durability().unrecorded_void(), None, "the manifest remembers");
    assert_eq!(write_safely(&engine, "c"), Some(Ok(AckLevel::Disk)));
    drop(engine);
    disk.crash(CrashKind::Process);
    disk.restart();
    let engine = open_in(&disk, Mode::WalSync).unwrap();
    assert_eq!((metrics(&engine), engine.recovery().damaged.len()), (vec!["a".to_owned(), "c".to_owned()], 0));
}

#[test]
fn a_directory_that_is_gone_acknowledges_nothing_as_safe() {
    for mode in Mode::ALL {
        let disk = SimDisk::new(1);
        let engine = open_in(&disk, mode).unwrap();
        let mut ticket = batch(&engine, "a", AckLevel::Disk);
        commit(&engine);
        let stage = disk.entries().into_iter().filter(|entry| entry.path.to_string_lossy().contains(disk_of(mode)));
        stage.filter(|entry| !entry.is_dir).for_each(|entry| disk.remove(&entry.path).unwrap());
        disk.remove(Path::new("/data/LOCK")).unwrap();
        disk.inject(Fault::new(Errno::NOENT).of(OpKind::Create).times(1_000));
        sync(&engine);
        assert_eq!(answer(&mut ticket), None, "{mode}");
        let _ = flush(&engine);
        assert!(matches!(answer(&mut ticket), Some(Err(_))), "{mode}");
        assert!(engine.problem().unwrap().contains("is gone"), "{:?}", engine.problem());
    }
}

#[test]
fn the_mode_changes_while_batches_come_and_none_is_lost() {
    let (disk, mut expected) = (SimDisk::new(1), 0);
    let engine = open_in(&disk, Mode::WalSync).unwrap();
    for mode in Mode::ALL.into_iter().chain([Mode::WalSync]) {
        let mut before = batch(&engine, &format!("before_{expected}"), AckLevel::Disk);
        commit(&engine);
        let mut switched = engine.switch(mode);
        let mut meanwhile = batch(&engine, &format!("meanwhile_{expected}"), AckLevel::Disk);
        commit(&engine);
        assert_eq!(answer(&mut meanwhile), None, "{mode}: writes wait for the switch");
        sync(&engine);
        assert_eq!(answer(&mut before), Some(Ok(AckLevel::Disk)), "{mode}");
        commit(&engine);
        assert_eq!(switched.try_recv().unwrap(), Ok(()), "{mode}");
        assert_eq!(engine.durability().mode(), mode);
        sync(&engine);
        assert_eq!(answer(&mut meanwhile), Some(Ok(AckLevel::Disk)), "{mode}");
        expected += 2;
    }
    assert_eq!(found_after_power_cut(&disk, engine), expected);
}

#[test]
fn a_switch_that_cannot_be_recorded_leaves_the_old_mode() {
    let disk = SimDisk::new(1);
    let engine = open_in(&disk, Mode::WalSync).unwrap();
    disk.inject(Fault::new(Errno::IO).of(OpKind::Write).at("MANIFEST"));
    let mut switched = engine.switch(Mode::WalOs);
    commit(&engine);
    assert!(matches!(switched.try_recv().unwrap(), Err(SwitchError::Record(_))));
    assert_eq!(engine.durability().mode(), Mode::WalSync);
    assert_eq!(write_safely(&engine, "a"), Some(Ok(AckLevel::Disk)));
}
