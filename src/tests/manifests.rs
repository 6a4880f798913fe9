//! A manifest of which more than one thing is damaged.

use std::path::{Path, PathBuf};

use crate::{
    disk::{CrashKind, Errno, Fault, OpKind, SimDisk},
    durability::Mode,
    engine::Error,
    tests::scene::{ask, crash, flush, open, options, put, remove_log},
};

/// Three batches in three parts and none in the log; both copies of the manifest, and where the records of each begin.
fn three_parts() -> (SimDisk, [PathBuf; 2], Vec<u64>) {
    let disk = SimDisk::new(1);
    let engine = open(&disk, &options(Mode::WalSync)).unwrap();
    for time in 1..=3 {
        put(&engine, "a", time..time + 1);
        flush(&engine);
    }
    drop(engine);
    crash(&disk, CrashKind::Process);
    remove_log(&disk);
    let named = disk.read_file(Path::new("/data/CURRENT")).unwrap();
    let number: u64 = std::str::from_utf8(&named).unwrap().split(' ').next().unwrap().parse().unwrap();
    let copies = ["", ".copy"].map(|copy| PathBuf::from(format!("/data/MANIFEST-{number:06}{copy}")));
    let bytes = disk.read_file(&copies[0]).unwrap();
    let (mut records, mut at) = (Vec::new(), 16);
    while at < bytes.len() {
        records.push(at as u64);
        at += 8 + u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    }
    (disk, copies, records)
}

#[test]
fn records_damaged_in_one_copy_are_taken_from_the_other_whichever_it_is() {
    let (disk, copies, records) = three_parts();
    assert!(records.len() >= 4, "{records:?}");
    disk.corrupt(&copies[0], records[1] + 9, 1).unwrap();
    disk.corrupt(&copies[1], records[3] + 9, 1).unwrap();
    let engine = open(&disk, &options(Mode::WalSync)).unwrap();
    assert_eq!((ask(&engine), engine.recovery().quarantined.len()), ((3, Vec::new()), 0));
}

#[test]
fn a_copy_that_cannot_be_read_is_not_given_up_for_one_that_is_damaged() {
    let (disk, copies, records) = three_parts();
    // The first copy's name is the beginning of the other's, and it is read first.
    for (unread, damaged) in [("MANIFEST-", &copies[1]), (".copy", &copies[0])] {
        disk.corrupt(damaged, records[2] + 9, 1).unwrap();
        disk.inject(Fault::new(Errno::IO).of(OpKind::Read).at(unread));
        let started = open(&disk, &options(Mode::WalSync));
        assert!(matches!(started, Err(Error::Manifest(_))), "a start without {unread} does not refuse");
        disk.clear_faults();
        disk.corrupt(damaged, records[2] + 9, 1).unwrap();
    }
    let engine = open(&disk, &options(Mode::WalSync)).unwrap();
    assert_eq!((ask(&engine), engine.recovery().quarantined.len()), ((3, Vec::new()), 0));
}
