//! Files that a killed server left half-way do not collect; what may be the only copy of something is kept.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crate::{
    disk::{CrashKind, Disk, Errno, Fault, OpKind, SimDisk},
    durability::Mode,
    engine::Engine,
    model::{Labels, MatchOp, Matcher, TimeRange},
    select::{Series, Source, View},
    tests::{
        scene::{NOW, PARTITIONS, files, flush, open, options, remove_log},
        stored,
    },
};

const KILLS: u64 = 60;

fn start(disk: &SimDisk, mode: Mode) -> Arc<Engine> {
    open(disk, &options(mode)).unwrap()
}

fn put(engine: &Arc<Engine>, name: u64) {
    let labels = Labels::from([("__name__", format!("m{name}").as_str())]);
    stored::write(engine, &[Series::new(labels, [1], vec![1.0])], |_| true);
    engine.sync_step(Duration::from_secs(1_000));
}

fn found(engine: &Arc<Engine>) -> usize {
    let everything = [Matcher::new("__name__", MatchOp::Regex, ".+").unwrap()];
    View::new(engine).select(&everything, TimeRange::ALL).unwrap().count()
}

fn kill(disk: &SimDisk) {
    if !disk.is_down() {
        disk.crash(CrashKind::Process);
    }
    disk.restart();
}

fn quarantined(disk: &SimDisk) -> Vec<PathBuf> {
    let paths = disk.entries().into_iter().filter(|entry| !entry.is_dir).map(|entry| entry.path);
    paths.filter(|path| path.starts_with("/data/quarantine")).collect()
}

#[test]
fn what_kills_during_flushes_and_merges_leave_does_not_collect() {
    for mode in [Mode::WalSync, Mode::WriteBehind] {
        let disk = SimDisk::new(1);
        for turn in 0..KILLS {
            let engine = start(&disk, mode);
            assert_eq!(found(&engine) as u64, turn, "{mode}");
            put(&engine, turn);
            engine.durability().request_rotation();
            engine.commit_step(NOW);
            disk.crash_at(disk.ops() + turn % 20, CrashKind::Process);
            while engine.flush_step(NOW).is_ok_and(|flushed| flushed) {}
            drop(engine.compact_step());
            drop(engine);
            kill(&disk);
        }
        assert_eq!(found(&start(&disk, mode)) as u64, KILLS, "{mode}");
        let kept = quarantined(&disk);
        let unfinished =
            kept.iter().filter(|path| path.extension().is_some_and(|ending| ending == "unfinished")).count();
        assert!(unfinished <= 8 && kept.len() == unfinished, "{mode}: {kept:?}");
    }
}

#[test]
fn parts_that_a_manifest_put_back_from_a_copy_does_not_name_are_kept() {
    let disk = SimDisk::new(1);
    start(&disk, Mode::WalSync).close().unwrap();
    let is_of_manifest = |path: &Path| path.to_string_lossy().contains("MANIFEST") || path.ends_with("CURRENT");
    let of_manifest = || {
        let paths = disk.entries().into_iter().map(|entry| entry.path).filter(|path| is_of_manifest(path));
        paths.map(|path| (disk.read_file(&path).unwrap(), path)).collect::<Vec<_>>()
    };
    let copy = of_manifest();
    let engine = start(&disk, Mode::WalSync);
    for name in 0..3 {
        put(&engine, name);
        flush(&engine);
    }
    engine.close().unwrap();
    drop(engine);
    for (_, path) in of_manifest() {
        disk.remove(&path).unwrap();
    }
    for (bytes, path) in copy {
        disk.create(&path).unwrap().write_at(&bytes, 0).unwrap();
    }
    remove_log(&disk);
    drop(start(&disk, Mode::WalSync));
    let kept = quarantined(&disk);
    let of_kind = |kind: &str| kept.iter().filter(|path| path.extension().is_some_and(|found| found == kind)).count();
    assert_eq!((of_kind("part"), of_kind("index")), (3, 3), "{kept:?}");
}

/// An engine with four parts, each of a series of its own.
fn four_parts(disk: &SimDisk) -> Arc<Engine> {
    let engine = start(disk, Mode::WalSync);
    for name in 0..4 {
        put(&engine, name);
        flush(&engine);
    }
    engine
}

/// How many files of parts hold each of these contents, wherever they are.
fn copies(disk: &SimDisk, contents: &[Vec<u8>]) -> Vec<usize> {
    let paths: Vec<_> = disk.entries().into_iter().filter(|entry| !entry.is_dir).map(|entry| entry.path).collect();
    let stored: Vec<_> = paths.iter().map(|path| disk.read_file(path).unwrap()).collect();
    contents.iter().map(|content| stored.iter().filter(|found| *found == content).count()).collect()
}

#[test]
fn replaced_parts_are_kept_where_what_replaced_them_is_damaged() {
    let disk = SimDisk::new(1);
    let engine = four_parts(&disk);
    let sources: Vec<_> =
        files(&disk, PARTITIONS, "part").into_iter().map(|path| (disk.read_file(&path).unwrap(), path)).collect();
    while engine.compact_step().unwrap() {}
    drop(engine);
    kill(&disk);
    remove_log(&disk);
    let merged = files(&disk, PARTITIONS, "part").remove(0);
    disk.truncate(&merged, disk.read_file(&merged).unwrap().len() as u64 / 2).unwrap();
    // As after a power cut that undid the removals.
    for (bytes, path) in &sources {
        disk.create(path).unwrap().write_at(bytes, 0).unwrap();
    }
    drop(start(&disk, Mode::WalSync));
    let contents: Vec<_> = sources.into_iter().map(|(bytes, _)| bytes).collect();
    assert_eq!(copies(&disk, &contents), [1; 4]);
}

#[test]
fn a_merged_part_without_a_record_is_kept_where_a_part_it_was_made_of_cannot_be_read() {
    let disk = SimDisk::new(1);
    let engine = four_parts(&disk);
    let sources = files(&disk, PARTITIONS, "part");
    disk.inject(Fault::new(Errno::IO).of(OpKind::Write).at("MANIFEST").times(u64::MAX));
    assert!(engine.compact_step().is_err());
    let merged = files(&disk, PARTITIONS, "part").into_iter().find(|path| !sources.contains(path)).unwrap();
    let content = disk.read_file(&merged).unwrap();
    drop(engine);
    kill(&disk);
    remove_log(&disk);
    disk.clear_faults();
    disk.inject(Fault::new(Errno::IO).of(OpKind::Read).at(sources[1].to_str().unwrap()).times(u64::MAX));
    assert_eq!(found(&start(&disk, Mode::WalSync)), 3);
    disk.clear_faults();
    assert_eq!(copies(&disk, &[content]), [1]);
    assert_eq!(found(&start(&disk, Mode::WalSync)), 4);
}
