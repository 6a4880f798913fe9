//! Starts in which a sync fails: the next one does not take for safe what the page cache alone holds.

use std::sync::Arc;

use crate::{
    disk::{CrashKind, Errno, Fault, OpKind, SimDisk},
    durability::Mode,
    engine::{Engine, Error},
    model::{Labels, MatchOp, Matcher, TimeRange},
    select::{Series, Source, View},
    tests::{
        scene::{crash, open, options},
        stored,
    },
};

fn start(disk: &SimDisk, mode: Mode) -> Result<Arc<Engine>, Error> {
    open(disk, &options(mode))
}

fn put(engine: &Arc<Engine>, name: &str) {
    stored::write(engine, &[Series::new(Labels::from([("__name__", name)]), [1], vec![1.0])], |_| true);
}

fn found(engine: &Arc<Engine>) -> usize {
    let everything = [Matcher::new("__name__", MatchOp::Regex, ".+").unwrap()];
    View::new(engine).select(&everything, TimeRange::ALL).unwrap().count()
}

/// A disk on which a server that never syncs its log, and that was killed, has three series.
fn killed() -> SimDisk {
    let disk = SimDisk::new(1);
    let engine = start(&disk, Mode::WalOs).unwrap();
    ["a", "b", "c"].iter().for_each(|name| put(&engine, name));
    drop(engine);
    crash(&disk, CrashKind::Process);
    disk
}

#[test]
fn a_sync_of_the_log_that_failed_during_a_start_is_not_believed_by_the_next_one() {
    for failed_starts in 1..3 {
        let disk = killed();
        for _ in 0..failed_starts {
            disk.inject(Fault::new(Errno::IO).of(OpKind::SyncData).at("/data/wal"));
            assert!(start(&disk, Mode::WalOs).is_err(), "a start that cannot sync what it found goes on");
            crash(&disk, CrashKind::Process);
        }
        let engine = start(&disk, Mode::WalOs).unwrap();
        let safe = engine.watermarks().power_safe;
        assert_eq!((found(&engine), safe), (3, engine.recovery().end));
        drop(engine);
        crash(&disk, CrashKind::PowerNone);
        assert_eq!(found(&start(&disk, Mode::WalOs).unwrap()), 3, "what was shown as safe is gone");
    }
}

#[test]
fn a_start_refuses_where_it_can_neither_sync_the_log_nor_note_that() {
    let disk = killed();
    disk.inject(Fault::new(Errno::IO).of(OpKind::SyncData).at("/data/wal"));
    disk.inject(Fault::new(Errno::IO).of(OpKind::Write).at("LEDGER"));
    let text = start(&disk, Mode::WalOs).err().unwrap().to_string();
    assert!(text.contains("note a failed sync in"), "{text}");
}

/// A disk with four series in four parts and none in the log, where the record of a merge was written and its sync failed.
fn with_failed_record() -> SimDisk {
    let disk = SimDisk::new(1);
    for name in ["a", "b", "c", "d"] {
        let engine = start(&disk, Mode::WalSync).unwrap();
        put(&engine, name);
        engine.close().unwrap();
    }
    let engine = start(&disk, Mode::WalSync).unwrap();
    disk.inject(Fault::new(Errno::IO).of(OpKind::SyncData).at("MANIFEST"));
    assert!(engine.compact_step().is_err(), "there is nothing to merge");
    drop(engine);
    crash(&disk, CrashKind::Process);
    disk
}

#[test]
fn a_manifest_record_whose_sync_failed_is_written_anew_before_a_start_acts_on_it() {
    let disk = with_failed_record();
    let first = disk.ops();
    drop(start(&disk, Mode::WalSync).unwrap());
    for after in 0..disk.ops() - first {
        let disk = with_failed_record();
        disk.crash_at(disk.ops() + after, CrashKind::PowerNone);
        drop(start(&disk, Mode::WalSync));
        disk.restart();
        assert_eq!(found(&start(&disk, Mode::WalSync).unwrap()), 4, "a power cut after {after} operations");
    }
}

/// A disk on which a server was killed so many operations after a write whose sync was to fail.
fn killed_in_a_failing_sync(after: u64) -> SimDisk {
    let disk = SimDisk::new(1);
    let engine = start(&disk, Mode::WalSync).unwrap();
    put(&engine, "a");
    engine.sync_step(std::time::Duration::from_secs(1_000));
    disk.inject(Fault::new(Errno::IO).of(OpKind::SyncData).at("/data/wal"));
    disk.crash_at(disk.ops() + after, CrashKind::Process);
    put(&engine, "b");
    engine.sync_step(std::time::Duration::from_secs(1_000));
    drop(engine);
    disk.clear_faults();
    if !disk.is_down() {
        disk.crash(CrashKind::Process);
    }
    disk
}

#[test]
fn a_sync_that_failed_just_before_the_process_ended_is_not_believed_either() {
    for (after, is_container) in (0..12).flat_map(|after| [(after, false), (after, true)]) {
        let disk = killed_in_a_failing_sync(after);
        if is_container {
            disk.rename_boot();
        }
        disk.restart();
        let engine = start(&disk, Mode::WalSync).unwrap();
        let before = found(&engine);
        assert!(before >= 1 && engine.watermarks().power_safe == engine.recovery().end);
        drop(engine);
        crash(&disk, CrashKind::PowerNone);
        let engine = start(&disk, Mode::WalSync).unwrap();
        assert_eq!((found(&engine), engine.recovery().damaged.len()), (before, 0), "{after} operations later");
    }
}
