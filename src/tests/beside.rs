//! Damage and loss beside the batches themselves: small files, copies of the log that lag, file systems that go down, and
//! what queries and starts are told of what is set aside.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use crate::{
    disk::{CrashKind, Disk, SimDisk},
    durability::{Mirror, Mode},
    engine::{Ending, Engine, Error, Options, Receipt, RecoveryPolicy},
    model::{Labels, SeqNo},
    select::Series,
    stage::{FileKind, list_files},
    tests::{
        scene::{PARTITIONS, ask, copy_of, crash, files, flush, open, options, put, receipt},
        stored,
    },
};

fn count(engine: &Arc<Engine>) -> usize {
    ask(engine).0
}

/// What queries for everything are told.
fn told(engine: &Arc<Engine>) -> Vec<String> {
    ask(engine).1
}

fn cut_power(disk: &SimDisk) {
    crash(disk, CrashKind::PowerNone);
}

fn dry_run(disk: &SimDisk, options: &Options) -> Result<String, Error> {
    Engine::dry_run(Arc::new(disk.clone()), Options { recovery: RecoveryPolicy::DryRun, ..options.clone() })
}

#[test]
fn a_file_system_that_went_down_is_no_crash_of_the_process() {
    for (kind, ending) in [
        (CrashKind::Process, Ending::Process),
        (CrashKind::FileSystem, Ending::FileSystem),
        (CrashKind::PowerNone, Ending::Power),
    ] {
        let disk = SimDisk::new(1);
        let options = Options { mode: Mode::WalOs, ..options(Mode::WalSync) };
        let engine = open(&disk, &options).unwrap();
        for name in ["a", "b", "c"] {
            stored::write(&engine, &[Series::new(Labels::from([("__name__", name)]), [1], vec![1.0])], |_| true);
        }
        assert_eq!(engine.watermarks().process_safe, SeqNo(3));
        drop(engine);
        disk.crash(kind);
        disk.restart();
        let engine = open(&disk, &options).unwrap();
        let loss = engine.recovery().loss.unwrap();
        assert_eq!(loss.ending, ending, "{loss}");
        let survived = if kind == CrashKind::Process { 3 } else { 0 };
        assert_eq!(
            (count(&engine), loss.is_none(), loss.is_exact()),
            (survived, survived == 3, survived == 3),
            "{loss}"
        );
        // What was answered behind the record that was found may be gone, too: an alert must not see a zero.
        let metrics = engine.metrics();
        let most = [metrics.recovery_lost_samples_max.get(), metrics.recovery_lost_batches_max.get()];
        assert_eq!(most, if kind == CrashKind::Process { [0.0; 2] } else { [f64::INFINITY; 2] }, "{loss}");
        let is_told = loss.to_string().contains("its file system was mounted anew");
        assert_eq!(is_told, ending == Ending::FileSystem, "{loss}");
    }
}

#[test]
fn one_flipped_bit_of_current_keeps_nothing_from_starting() {
    let disk = SimDisk::new(1);
    for _ in 0..3 {
        let engine = open(&disk, &options(Mode::WalSync)).unwrap();
        put(&engine, "m", 0..10);
        engine.close().unwrap();
    }
    let mut failed = Vec::new();
    let size = disk.read_file(Path::new("/data/CURRENT")).unwrap().len() as u64;
    for place in 0..size {
        for bit in 0..8 {
            disk.corrupt(Path::new("/data/CURRENT"), place, 1 << bit).unwrap();
            let text = String::from_utf8_lossy(&disk.read_file(Path::new("/data/CURRENT")).unwrap()).into_owned();
            if let Err(error) = dry_run(&disk, &options(Mode::WalSync)) {
                failed.push(format!("{text:?}: {error}"));
            }
            match open(&copy_of(&disk), &options(Mode::WalSync)) {
                Ok(engine) => assert_eq!(count(&engine), 10),
                Err(error) => failed.push(format!("{text:?}: start: {error}")),
            }
            disk.corrupt(Path::new("/data/CURRENT"), place, 1 << bit).unwrap();
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn no_flipped_bit_and_no_cut_of_a_small_file_keeps_from_starting() {
    let disk = SimDisk::new(1);
    let options = Options {
        wal_dir: Some("/fast/wal".into()),
        wal_mirror_dir: Some("/other/wal".into()),
        wal_mirror: Mirror::TwoOfTwo,
        ..options(Mode::WalSync)
    };
    for _ in 0..3 {
        let engine = open(&disk, &options).unwrap();
        put(&engine, "m", 0..10);
    }
    let names = [
        "CURRENT",
        "LEDGER",
        "LOGS",
        "LOGS.copy",
        "OWNER",
        "OWNER.copy",
        "LOCK",
        "MANIFEST-000003",
        "MANIFEST-000003.copy",
    ];
    let all = disk.entries().into_iter().filter(|entry| !entry.is_dir).map(|entry| entry.path);
    let small: Vec<_> = all.filter(|path| names.iter().any(|name| path.ends_with(name))).collect();
    let mut failed: BTreeMap<String, (usize, usize, String)> = Default::default();
    for path in small {
        let size = disk.read_file(&path).unwrap().len() as u64;
        let flips = (0..size).flat_map(|place| [(place, 1), (place, 0x10), (place, 0x80)]).map(Some);
        for flip in flips.chain([None; 2]) {
            let disk = copy_of(&disk);
            match flip {
                Some((place, mask)) => disk.corrupt(&path, place, mask).unwrap(),
                None => disk.truncate(&path, size / 2).unwrap(),
            }
            let (tried, refused, why) = failed.entry(path.display().to_string()).or_default();
            *tried += 1;
            match open(&disk, &options) {
                Ok(engine) if count(&engine) == 10 => {}
                Ok(engine) => {
                    *refused += 1;
                    *why = format!("{} samples of 10", count(&engine));
                }
                Err(error) => {
                    *refused += 1;
                    *why = error.to_string();
                }
            }
        }
    }
    failed.retain(|_, (_, refused, _)| *refused > 0);
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn where_both_copies_of_a_note_are_damaged_it_is_said_what_to_do_and_that_works() {
    let options = Options {
        wal_dir: Some("/fast/wal".into()),
        wal_mirror_dir: Some("/other/wal".into()),
        wal_mirror: Mirror::TwoOfTwo,
        ..options(Mode::WalSync)
    };
    let disk = SimDisk::new(1);
    let engine = open(&disk, &options).unwrap();
    put(&engine, "m", 0..10);
    drop(engine);
    cut_power(&disk);
    for name in ["/data/LOGS", "/data/LOGS.copy"] {
        disk.corrupt(Path::new(name), 3, 1).unwrap();
    }
    for error in [dry_run(&disk, &options).unwrap_err(), open(&disk, &options).map(drop).unwrap_err()] {
        assert!(error.to_string().contains("remove both files"), "{error}");
    }
    for name in ["/data/LOGS", "/data/LOGS.copy"] {
        disk.remove(Path::new(name)).unwrap();
    }
    let engine = open(&disk, &options).unwrap();
    assert_eq!(count(&engine), 10);
    drop(engine);
    cut_power(&disk);
    let main_only = Options { wal_mirror_dir: None, ..options };
    assert!(matches!(open(&disk, &main_only), Err(Error::ForgottenLog { .. })), "it is known where the log is");
}

#[test]
fn without_a_manifest_a_dry_run_refuses_what_a_start_would() {
    let disk = SimDisk::new(1);
    let engine = open(&disk, &options(Mode::WalSync)).unwrap();
    put(&engine, "m", 0..10);
    drop(engine);
    cut_power(&disk);
    for name in ["/data/MANIFEST-000001", "/data/MANIFEST-000001.copy"] {
        disk.remove(Path::new(name)).unwrap();
    }
    assert!(matches!(dry_run(&disk, &options(Mode::WalSync)), Err(Error::NoManifest(_))));
    assert!(matches!(open(&disk, &options(Mode::WalSync)), Err(Error::NoManifest(_))));
}

#[test]
fn a_stale_copy_alone_is_not_enough_to_give_up_what_the_other_copy_holds() {
    const FAST: &str = "/fast/wal";
    const MIRROR: &str = "/mirror/wal";
    let disk = SimDisk::new(1);
    let options = Options {
        wal_dir: Some(FAST.into()),
        wal_mirror_dir: Some(MIRROR.into()),
        wal_mirror: Mirror::OneOfTwo,
        ..options(Mode::WalSync)
    };
    let rename = |from: &str, to: &str| {
        disk.rename(Path::new(from), Path::new(to)).unwrap();
        [from, to].iter().for_each(|path| disk.sync_dir(Path::new(path).parent().unwrap()).unwrap());
    };
    let engine = open(&disk, &options).unwrap();
    put(&engine, "a", 0..10);
    drop(engine);
    cut_power(&disk);
    // One disk is away for one start, the other for the next; then both are back, and whole.
    rename(FAST, "/away");
    let engine = open(&disk, &options).unwrap();
    put(&engine, "a", 10..20);
    let number = engine.first_number();
    assert_eq!((count(&engine), receipt(&engine, 2, number.0)), (20, Receipt::Safe));
    drop(engine);
    cut_power(&disk);
    rename("/away", FAST);
    rename(MIRROR, "/away");
    for error in [dry_run(&disk, &options).unwrap_err(), open(&disk, &options).map(drop).unwrap_err()] {
        assert!(error.to_string().contains("lacks writes that only /mirror/wal holds"), "{error}");
    }
    let older = copy_of(&disk);
    let engine = open(&older, &Options { recovery: RecoveryPolicy::PointInTime, ..options.clone() }).unwrap();
    assert_eq!(count(&engine), 10, "an older state, since it was asked for");
    drop(engine);
    rename("/away", MIRROR);
    let engine = open(&disk, &options).unwrap();
    assert_eq!((count(&engine), receipt(&engine, 2, number.0)), (20, Receipt::Safe), "both copies are whole and there");
    // What only the mirror held is in parts from here on, so either copy is enough again.
    flush(&engine);
    drop(engine);
    cut_power(&disk);
    rename(MIRROR, "/away");
    assert_eq!(count(&open(&disk, &options).unwrap()), 20);
}

#[test]
fn both_copies_of_a_damaged_segment_are_kept_where_the_mirror_is_inside_the_data_directory() {
    let disk = SimDisk::new(1);
    let options =
        Options { wal_mirror_dir: Some("/data/mirror".into()), wal_mirror: Mirror::TwoOfTwo, ..options(Mode::WalSync) };
    let engine = open(&disk, &options).unwrap();
    put(&engine, "a", 0..100);
    put(&engine, "b", 0..100);
    put(&engine, "c", 0..100);
    drop(engine);
    cut_power(&disk);
    for dir in ["/data/wal", "/data/mirror"] {
        let (_, path) = list_files(&disk, Path::new(dir), FileKind::Log).unwrap().remove(0);
        disk.corrupt(&path, 200, 1).unwrap();
    }
    let engine = open(&disk, &options).unwrap();
    flush(&engine);
    engine.close().unwrap();
    let names: Vec<_> = disk
        .entries()
        .into_iter()
        .map(|entry| entry.path)
        .filter(|path| path.to_string_lossy().contains("stage-"))
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
fn a_crash_between_the_record_and_the_quarantine_of_a_damaged_part_silences_nothing() {
    for kind in [CrashKind::Process, CrashKind::PowerNone] {
        for after in 0.. {
            let disk = SimDisk::new(1);
            let engine = open(&disk, &options(Mode::WalSync)).unwrap();
            for turn in 0..4 {
                put(&engine, "m", turn * 2_000..turn * 2_000 + 2_000);
                flush(&engine);
            }
            engine.close().unwrap();
            drop(engine);
            let engine = open(&disk, &options(Mode::WalSync)).unwrap();
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
            let engine = open(&disk, &options(Mode::WalSync)).unwrap();
            let (samples, told) = (count(&engine), told(&engine));
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
    let options = Options { mode: Mode::WriteBehind, ..options(Mode::WalSync) };
    let engine = open(&disk, &options).unwrap();
    for turn in 0..4 {
        put(&engine, "m", turn * 2_000..turn * 2_000 + 2_000);
    }
    drop(engine);
    let engine = open(&disk, &options).unwrap();
    let pages = disk
        .entries()
        .into_iter()
        .map(|entry| entry.path)
        .find(|path| path.extension().is_some_and(|kind| kind == "pages"))
        .unwrap();
    for place in (0..40_000).step_by(1_000) {
        let _ = disk.corrupt(&pages, 500 + place, 1);
    }
    flush(&engine);
    let lost = 8_000 - count(&engine);
    assert!(lost > 0 && !told(&engine).is_empty());
    engine.close().unwrap();
    drop(engine);
    let engine = open(&disk, &options).unwrap();
    assert_eq!(8_000 - count(&engine), lost);
    assert!(!told(&engine).is_empty(), "{lost} samples are gone, and queries are told nothing");
}
