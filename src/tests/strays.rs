//! Files that a killed server left half-way do not collect; what may be the only copy of something is kept.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crate::{
    disk::{CrashKind, Disk, SimDisk},
    durability::Mode,
    engine::Engine,
    model::{Labels, MatchOp, Matcher, TimeRange},
    select::{Series, Source, View},
    stage::{FileKind, list_files},
    tests::{
        scene::{NOW, open, options},
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
        engine.durability().request_rotation();
        engine.commit_step(NOW);
        while engine.flush_step(NOW).unwrap() {}
    }
    engine.close().unwrap();
    drop(engine);
    for (_, path) in of_manifest() {
        disk.remove(&path).unwrap();
    }
    for (bytes, path) in copy {
        disk.create(&path).unwrap().write_at(&bytes, 0).unwrap();
    }
    for (_, path) in list_files(&disk, Path::new("/data/wal"), FileKind::Log).unwrap() {
        disk.remove(&path).unwrap();
    }
    drop(start(&disk, Mode::WalSync));
    let kept = quarantined(&disk);
    let of_kind = |kind: &str| kept.iter().filter(|path| path.extension().is_some_and(|found| found == kind)).count();
    assert_eq!((of_kind("part"), of_kind("index")), (3, 3), "{kept:?}");
}
