//! Damage to the small files that a start reads first, the manifest and its notes of logs and owners: it costs nothing as
//! long as one copy is whole, and where none is, the refusal says what to do.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use crate::{
    disk::{CrashKind, Disk, SimDisk},
    durability::{Mirror, Mode},
    engine::{Engine, Error, Options, RecoveryPolicy},
    tests::scene::{ask, copy_of, crash, open, options, put},
};

fn count(engine: &Arc<Engine>) -> usize {
    ask(engine).0
}

fn cut_power(disk: &SimDisk) {
    crash(disk, CrashKind::PowerNone);
}

fn dry_run(disk: &SimDisk, options: &Options) -> Result<String, Error> {
    Engine::dry_run(Arc::new(disk.clone()), Options { recovery: RecoveryPolicy::DryRun, ..options.clone() })
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
