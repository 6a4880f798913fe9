//! Rare orders of events: a copy of the log that is away, a stop in the middle of a switch, a disk filled by the log.

use std::{path::Path, sync::Arc, time::Duration};

use crate::{
    disk::{CrashKind, Disk, Errno, Fault, OpKind, SimDisk},
    durability::{AckLevel, Mirror, Mode, Ticket},
    engine::{Engine, Options, Receipt, RecoveryPolicy},
    metrics::Metrics,
    model::{Labels, MatchOp, Matcher, Position, SeqNo, TimeRange},
    select::{Series, Source, View},
    stage::{FileKind, Found, Scan, list_files},
    tests::{
        scene::{self, small_segments},
        stored,
    },
};

const WAL: &str = "/data/wal";
const OTHER: &str = "/other/wal";

fn open(disk: &SimDisk, options: &Options) -> Arc<Engine> {
    scene::open(disk, options).unwrap()
}

fn submit(engine: &Engine, name: usize, level: AckLevel) -> Ticket {
    let labels = Labels::from([("__name__", format!("m{name}").as_str())]);
    let series = Series::new(labels, (0..20).collect::<Vec<_>>(), vec![name as f64; 20]);
    let (batch, payload) = stored::batch(engine, &series);
    engine.submit(batch, payload, Some(level)).unwrap()
}

fn commit(engine: &Engine) {
    engine.commit_step(Duration::from_secs(1));
}

fn is_acked(ticket: &mut Ticket) -> bool {
    ticket.try_recv().is_ok_and(|answer| answer.is_ok())
}

fn found(engine: &Arc<Engine>) -> Vec<String> {
    let everything = [Matcher::new("__name__", MatchOp::Regex, ".+").unwrap()];
    let view = View::new(engine);
    view.select(&everything, TimeRange::ALL).unwrap().map(|series| series.unwrap().labels.metric().to_owned()).collect()
}

fn flush(engine: &Engine) {
    engine.durability().request_rotation();
    commit(engine);
    while engine.flush_step(Duration::from_secs(3)).unwrap() {}
}

fn segments(disk: &SimDisk, dir: &str) -> usize {
    list_files(disk, Path::new(dir), FileKind::Log).unwrap().len()
}

#[test]
fn a_segment_with_one_copy_is_never_reused_for_two() {
    for failing in ["/data/wal/", "/other/wal/"] {
        let disk = SimDisk::new(1);
        let mirrored = Options {
            wal_mirror_dir: Some(OTHER.into()),
            wal_mirror: Mirror::OneOfTwo,
            ..small_segments(Mode::WalSync)
        };
        let engine = open(&disk, &mirrored);
        disk.inject(Fault::new(Errno::NOSPC).of(OpKind::Create).at(failing).times(1_000));
        for name in 0..400 {
            let mut ticket = submit(&engine, name, AckLevel::Disk);
            commit(&engine);
            engine.sync_step(Duration::from_secs(2));
            assert!(is_acked(&mut ticket), "{failing} {name}");
            if name % 50 == 49 {
                flush(&engine);
            }
        }
    }
}

#[test]
fn a_stop_during_a_switch_keeps_what_the_old_mode_left_behind_its_watermark() {
    let disk = SimDisk::new(1);
    let engine = open(&disk, &small_segments(Mode::WalOs));
    let mut first = submit(&engine, 1, AckLevel::Os);
    commit(&engine);
    assert!(is_acked(&mut first));
    let switched = engine.switch(Mode::WriteBehind);
    let mut second = submit(&engine, 2, AckLevel::Disk);
    engine.durability().close();
    commit(&engine);
    engine.sync_step(Duration::from_secs(9));
    engine.sync_step(Duration::from_secs(19));
    let promised = is_acked(&mut second);
    drop((switched, engine));
    disk.crash(CrashKind::PowerNone);
    disk.restart();
    let engine = open(&disk, &small_segments(Mode::WalOs));
    assert!(!promised || found(&engine).contains(&"m2".to_owned()), "{:?}", found(&engine));
}

#[test]
fn a_switch_that_a_stop_of_writes_ended_forces_no_syncs() {
    let disk = SimDisk::new(1);
    let engine = open(&disk, &small_segments(Mode::WalOs));
    drop(submit(&engine, 1, AckLevel::Os));
    commit(&engine);
    let switched = engine.switch(Mode::WalSync);
    engine.durability().stop("for the test");
    commit(&engine);
    while engine.flush_step(Duration::from_secs(3)).unwrap() {}
    commit(&engine);
    assert_eq!(engine.problem(), None);
    drop(switched);
    drop(submit(&engine, 2, AckLevel::Os));
    commit(&engine);
    assert!(!engine.sync_step(Duration::from_secs(9)), "{} never syncs unasked", engine.durability().mode());
}

#[test]
fn a_disk_filled_by_the_log_heals_once_the_log_is_in_parts() {
    let disk = SimDisk::new(1);
    let engine = open(&disk, &small_segments(Mode::WalSync));
    for name in 0..1_500 {
        drop(submit(&engine, name % 10, AckLevel::Os));
        commit(&engine);
    }
    let before = segments(&disk, WAL);
    assert!(before > 15, "{before}");
    engine.durability().stop("the disk is full");
    commit(&engine);
    while engine.flush_step(Duration::from_secs(3)).unwrap() {
        // Room for a part, and no more; writes stay stopped.
        engine.durability().stop("the disk is full");
    }
    engine.durability().stop("the disk is full");
    commit(&engine);
    let left = segments(&disk, WAL);
    assert!(left <= 10, "{left} of {before} segments are still there, and all they hold is in parts");
}

#[test]
fn the_log_that_a_mode_without_one_left_goes_once_it_is_in_parts() {
    let disk = SimDisk::new(1);
    let engine = open(&disk, &small_segments(Mode::WalSync));
    for name in 0..1_500 {
        drop(submit(&engine, name % 10, AckLevel::Os));
        commit(&engine);
    }
    let before = segments(&disk, WAL);
    let switched = engine.switch(Mode::WriteBehind);
    engine.sync_step(Duration::from_secs(9));
    commit(&engine);
    drop(switched);
    assert_eq!(engine.durability().mode(), Mode::WriteBehind);
    for name in 0..20 {
        drop(submit(&engine, name, AckLevel::Disk));
        commit(&engine);
        engine.sync_step(Duration::from_secs(10 + name as u64));
        flush(&engine);
    }
    let left = segments(&disk, WAL);
    assert!(left <= 10, "{left} of {before} segments are still there");
}

/// Batches 1 to 5 in one write and one sync, all answered; then a byte of the third frame flips.
fn one_group_damaged(kind: CrashKind) -> SimDisk {
    let disk = SimDisk::new(1);
    let engine = open(&disk, &Options { segment_size: 1 << 20, ..small_segments(Mode::WalSync) });
    let mut tickets: Vec<_> = (1..=5).map(|name| submit(&engine, name, AckLevel::Disk)).collect();
    commit(&engine);
    engine.sync_step(Duration::from_secs(2));
    assert!(tickets.iter_mut().all(is_acked));
    drop(engine);
    disk.crash(kind);
    disk.restart();
    let path = Path::new(WAL).join("000001.wal");
    let mut scan = Scan::new(disk.open(&path).unwrap(), &path, 1).unwrap();
    while let Some(next) = scan.next().unwrap() {
        if let Found::Frame(frame) = next
            && frame.header.number == SeqNo(3)
        {
            disk.corrupt(&path, frame.header.place.offset + 60, 1).unwrap();
        }
    }
    disk
}

#[test]
fn damage_below_what_the_ledger_calls_safe_is_damage_and_no_end() {
    let disk = one_group_damaged(CrashKind::Process);
    let strict = Options { recovery: RecoveryPolicy::Strict, ..small_segments(Mode::WalSync) };
    let refused = Engine::open(Arc::new(disk.clone()), strict, Metrics::new()).is_err();
    let engine = open(&disk, &small_segments(Mode::WalSync));
    assert_eq!((refused, found(&engine).join(" ").as_str()), (true, "m1 m2 m4 m5"), "{:?}", engine.recovery());
}

#[test]
fn a_start_after_a_failed_sync_calls_nothing_safe_that_a_power_cut_takes() {
    let disk = SimDisk::new(1);
    let engine = open(&disk, &small_segments(Mode::WalSync));
    drop(submit(&engine, 1, AckLevel::Disk));
    commit(&engine);
    disk.inject(Fault::new(Errno::IO).of(OpKind::SyncData).at("wal/"));
    engine.sync_step(Duration::from_secs(2));
    drop(engine);
    disk.crash(CrashKind::Process);
    disk.restart();
    let engine = open(&disk, &small_segments(Mode::WalSync));
    let told = engine.receipt(Position { incarnation: 1, number: SeqNo(1) });
    drop(engine);
    disk.crash(CrashKind::PowerNone);
    disk.restart();
    let engine = open(&disk, &small_segments(Mode::WalSync));
    assert!(told != Receipt::Safe || found(&engine).len() == 1, "{told:?} {:?}", engine.recovery());
}

#[test]
fn a_rejected_number_stays_lost_after_its_segment_is_gone() {
    let disk = SimDisk::new(1);
    let engine = open(&disk, &small_segments(Mode::WalSync));
    drop(submit(&engine, 1, AckLevel::Disk));
    commit(&engine);
    let rejected = engine.next_number();
    disk.inject(Fault::new(Errno::IO).of(OpKind::Write).at("wal/"));
    disk.inject(Fault::new(Errno::NOSPC).of(OpKind::Create).at("wal/"));
    drop(submit(&engine, 2, AckLevel::Disk));
    commit(&engine);
    disk.clear_faults();
    commit(&engine);
    while engine.flush_step(Duration::from_secs(3)).unwrap() {}
    commit(&engine);
    let position = Position { incarnation: 1, number: rejected };
    assert_eq!((engine.problem(), engine.receipt(position)), (None, Receipt::Lost));
    for name in 0..100 {
        drop(submit(&engine, name, AckLevel::Disk));
        commit(&engine);
        engine.sync_step(Duration::from_secs(10 + name as u64));
        if name % 20 == 19 {
            flush(&engine);
        }
    }
    assert_eq!(engine.receipt(position), Receipt::Lost);
    drop(engine);
    disk.crash(CrashKind::Process);
    disk.restart();
    let engine = open(&disk, &small_segments(Mode::WalSync));
    assert_eq!(engine.receipt(position), Receipt::Lost);
}

#[test]
fn a_reserve_cut_short_by_a_crash_is_filled_again() {
    let disk = SimDisk::new(1);
    let engine = open(&disk, &small_segments(Mode::WalSync));
    engine.flush_step(Duration::from_secs(1)).unwrap();
    let reserve = disk.entries().into_iter().find(|entry| entry.path.to_string_lossy().contains("RESERVE")).unwrap();
    let full = disk.open(&reserve.path).unwrap().size().unwrap();
    drop(engine);
    disk.open(&reserve.path).unwrap().set_size(0).unwrap();
    let engine = open(&disk, &small_segments(Mode::WalSync));
    engine.flush_step(Duration::from_secs(1)).unwrap();
    assert_eq!(disk.open(&reserve.path).unwrap().size().unwrap(), full);
}
