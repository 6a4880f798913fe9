//! Disks that fail now and then, without a crash: nothing acknowledged is lost, and what failed is done again.

use std::{path::Path, sync::Arc, time::Duration};

use crate::{
    disk::{CrashKind, Errno, Fault, OpKind, SimDisk},
    durability::Mode,
    engine::{Engine, Error},
    model::{Labels, TimeRange},
    select::{Series, View},
    tests::stored::{open_in, write},
};

const DAY: i64 = 86_400_000_000_000;

fn series(metric: &str, time: i64) -> Series {
    Series { labels: Labels::from([("__name__", metric)]), times: vec![time], values: vec![1.0] }
}

fn metrics(engine: &Arc<Engine>) -> Vec<String> {
    View::new(engine).label_values("__name__", &[], TimeRange::ALL)
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
    drop(engine);
    disk.crash(CrashKind::PowerNone);
    disk.restart();
    assert_eq!(found(&open_in(&disk, Mode::WalSync).unwrap()), 1);
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
fn a_part_that_cannot_be_read_now_is_not_given_up() {
    let disk = SimDisk::new(1);
    let engine = open_in(&disk, Mode::WalSync).unwrap();
    write(&engine, &[series("a", 1)], |_| true);
    close_generation(&engine);
    assert!(flush(&engine).unwrap());
    drop(engine);
    for kind in [".part", ".index"] {
        disk.inject(Fault::new(Errno::IO).of(OpKind::Read).at(kind));
        assert!(open_in(&disk, Mode::WalSync).is_err(), "{kind}");
        disk.clear_faults();
    }
    assert_eq!(found(&open_in(&disk, Mode::WalSync).unwrap()), 1);
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
    disk.corrupt(&path, 3, 0xff).unwrap();
    let engine = open_in(&disk, Mode::WalSync).unwrap();
    assert_eq!((engine.recovery().damaged_files.len(), engine.recovery().quarantined.len()), (1, 1));
    assert_eq!(found(&engine), 1);
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

#[test]
fn a_failed_sync_stops_acknowledging_and_reads_go_on() {
    for (mode, file) in [(Mode::WalSync, "wal/"), (Mode::Parts(Duration::from_secs(1)), "containers/")] {
        let disk = SimDisk::new(1);
        let engine = open_in(&disk, mode).unwrap();
        write(&engine, &[series("a", 1)], |_| true);
        disk.inject(Fault::new(Errno::IO).of(OpKind::SyncData).at(file));
        assert!(engine.sync_step(Duration::from_secs(9)));
        assert!(engine.problem().unwrap().starts_with("writes have stopped: sync "), "{:?}", engine.problem());
        assert!(engine.submit(crate::model::Batch::default(), Vec::new(), None).is_err());
        assert_eq!(found(&engine), 1);
        // What is in memory is made safe the other way.
        assert!(!engine.commit_step(Duration::from_secs(10)));
        assert!(flush(&engine).unwrap());
        drop(engine);
        disk.crash(CrashKind::PowerNone);
        disk.restart();
        assert_eq!(found(&open_in(&disk, mode).unwrap()), 1, "{mode}");
    }
}
