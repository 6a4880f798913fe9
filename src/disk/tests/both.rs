//! One set of claims, made of the real disk and of the simulated one.

use super::*;
use io::ErrorKind::{
    AlreadyExists, DirectoryNotEmpty, InvalidInput, IsADirectory, NotADirectory, NotFound, UnexpectedEof, WouldBlock,
};

/// Makes of each function a test on each disk, in a directory of its own.
macro_rules! on_both_disks {
    ($($claim:ident)*) => {
        mod real {
            $(#[test]
            fn $claim() {
                let dir = tempfile::tempdir().unwrap();
                super::$claim(&crate::disk::RealDisk, dir.path());
            })*
        }

        mod sim {
            $(#[test]
            fn $claim() {
                let (disk, dir) = (crate::disk::SimDisk::new(1), std::path::Path::new("/work"));
                crate::disk::Disk::create_dir_all(&disk, dir).unwrap();
                super::$claim(&disk, dir);
            })*
        }
    };
}

on_both_disks! {
    a_file_reads_back_what_was_written_at_any_offset
    a_gap_reads_as_zeros_and_the_end_cuts_reads
    a_file_cut_and_extended_again_has_zeros_there
    allocate_extends_with_zeros_and_never_shortens
    create_refuses_what_is_there_and_open_what_is_not
    a_rename_replaces_a_file_and_handles_follow_the_file
    a_directory_moves_with_its_content
    renames_that_make_no_sense_are_refused
    remove_takes_files_and_empty_directories
    a_removed_file_stays_readable_through_its_handle
    list_is_sorted_and_tells_directories
    create_dir_all_makes_parents_and_minds_no_directory
    a_lock_is_exclusive_until_dropped
    a_lock_notices_that_its_path_leads_elsewhere
    a_file_is_linked_while_it_has_a_name
    a_file_is_where_its_name_or_that_of_its_directory_leads
    space_is_told
    a_boot_has_one_id
    threads_share_a_handle
}

fn a_file_reads_back_what_was_written_at_any_offset(disk: &dyn Disk, dir: &Path) {
    let file = disk.create(&dir.join("f")).unwrap();
    let mut expected = vec![0; 20_000];
    let mut rng = fastrand::Rng::with_seed(3);
    for _ in 0..200 {
        let offset = rng.usize(..15_000);
        let bytes: Vec<u8> = (0..rng.usize(..5_000)).map(|_| rng.u8(..)).collect();
        file.write_at(&bytes, offset as u64).unwrap();
        expected[offset..offset + bytes.len()].copy_from_slice(&bytes);
        let start = rng.usize(..15_000);
        let mut found = vec![1; rng.usize(..5_000)];
        let count = file.read_at(&mut found, start as u64).unwrap();
        assert_eq!(found[..count], expected[start..start + count]);
        assert_eq!(count, found.len().min((file.size().unwrap() as usize).saturating_sub(start)));
    }
    file.sync_data().unwrap();
    let size = file.size().unwrap() as usize;
    assert_eq!(content(&*disk.open(&dir.join("f")).unwrap()), expected[..size]);
}

fn a_gap_reads_as_zeros_and_the_end_cuts_reads(disk: &dyn Disk, dir: &Path) {
    let file = disk.create(&dir.join("f")).unwrap();
    file.write_at(b"end", 10_000).unwrap();
    file.write_at(b"", 50_000).unwrap();
    assert_eq!(file.size().unwrap(), 10_003);
    let mut buf = [9; 8];
    assert_eq!(file.read_at(&mut buf, 9_998).unwrap(), 5);
    assert_eq!(buf, *b"\0\0end\x09\x09\x09");
    assert_eq!(file.read_at(&mut buf, 10_003).unwrap(), 0);
    assert_eq!(kind(file.read_exact_at(&mut buf, 9_998)), UnexpectedEof);
    file.read_exact_at(&mut buf[..3], 10_000).unwrap();
}

fn a_file_cut_and_extended_again_has_zeros_there(disk: &dyn Disk, dir: &Path) {
    let file = disk.create(&dir.join("f")).unwrap();
    file.write_at(&[7; 9_000], 0).unwrap();
    file.set_size(5_000).unwrap();
    assert_eq!(file.size().unwrap(), 5_000);
    file.set_size(9_000).unwrap();
    assert_eq!(content(&*file), [[7; 5_000].as_slice(), &[0; 4_000]].concat());
}

fn allocate_extends_with_zeros_and_never_shortens(disk: &dyn Disk, dir: &Path) {
    let file = disk.create(&dir.join("f")).unwrap();
    file.write_at(b"head", 0).unwrap();
    file.allocate(700_001).unwrap();
    assert_eq!(file.size().unwrap(), 700_001);
    let bytes = content(&*file);
    assert_eq!(bytes[..4], *b"head");
    assert!(bytes[4..].iter().all(|&byte| byte == 0));
    file.allocate(10).unwrap();
    file.allocate(0).unwrap();
    assert_eq!(file.size().unwrap(), 700_001);
}

fn create_refuses_what_is_there_and_open_what_is_not(disk: &dyn Disk, dir: &Path) {
    disk.create(&dir.join("f")).unwrap();
    assert_eq!(kind(disk.create(&dir.join("f"))), AlreadyExists);
    assert_eq!(kind(disk.create(&dir.join("missing/f"))), NotFound);
    assert_eq!(kind(disk.create(&dir.join("f/f"))), NotADirectory);
    assert_eq!(kind(disk.open(&dir.join("g"))), NotFound);
    assert_eq!(kind(disk.open(dir)), IsADirectory);
    assert_eq!(kind(disk.sync_dir(&dir.join("g"))), NotFound);
}

fn a_rename_replaces_a_file_and_handles_follow_the_file(disk: &dyn Disk, dir: &Path) {
    let (a, b) = (dir.join("a"), dir.join("b"));
    let old = disk.create(&b).unwrap();
    old.write_at(b"old", 0).unwrap();
    let new = disk.create(&a).unwrap();
    disk.rename(&a, &b).unwrap();
    new.write_at(b"new", 0).unwrap();
    assert_eq!(content(&*disk.open(&b).unwrap()), b"new");
    assert_eq!(content(&*old), b"old");
    assert_eq!(kind(disk.open(&a)), NotFound);
    assert_eq!(kind(disk.rename(&a, &b)), NotFound);
    disk.rename(&b, &b).unwrap();
    disk.sync_dir(dir).unwrap();
}

fn a_directory_moves_with_its_content(disk: &dyn Disk, dir: &Path) {
    disk.create_dir_all(&dir.join("from/deep")).unwrap();
    disk.create_dir_all(&dir.join("to")).unwrap();
    disk.create(&dir.join("from/deep/f")).unwrap();
    disk.rename(&dir.join("from"), &dir.join("to/there")).unwrap();
    disk.open(&dir.join("to/there/deep/f")).unwrap();
    assert_eq!(kind(disk.list(&dir.join("from"))), NotFound);
}

fn renames_that_make_no_sense_are_refused(disk: &dyn Disk, dir: &Path) {
    disk.create_dir_all(&dir.join("a/b")).unwrap();
    disk.create_dir_all(&dir.join("empty")).unwrap();
    disk.create(&dir.join("f")).unwrap();
    assert_eq!(kind(disk.rename(&dir.join("a"), &dir.join("a/b/c"))), InvalidInput);
    assert_eq!(kind(disk.rename(&dir.join("a"), &dir.join("f"))), NotADirectory);
    assert_eq!(kind(disk.rename(&dir.join("f"), &dir.join("a"))), IsADirectory);
    assert_eq!(kind(disk.rename(&dir.join("empty"), &dir.join("a"))), DirectoryNotEmpty);
    disk.rename(&dir.join("a"), &dir.join("empty")).unwrap();
    assert_eq!(disk.list(&dir.join("empty")).unwrap().len(), 1);
}

fn remove_takes_files_and_empty_directories(disk: &dyn Disk, dir: &Path) {
    disk.create_dir_all(&dir.join("d")).unwrap();
    disk.create(&dir.join("d/f")).unwrap();
    assert_eq!(kind(disk.remove(&dir.join("d"))), DirectoryNotEmpty);
    disk.remove(&dir.join("d/f")).unwrap();
    assert_eq!(kind(disk.remove(&dir.join("d/f"))), NotFound);
    disk.remove(&dir.join("d")).unwrap();
    assert_eq!(disk.list(dir).unwrap(), []);
}

fn a_removed_file_stays_readable_through_its_handle(disk: &dyn Disk, dir: &Path) {
    let file = disk.create(&dir.join("f")).unwrap();
    file.write_at(b"still here", 0).unwrap();
    disk.remove(&dir.join("f")).unwrap();
    disk.sync_dir(dir).unwrap();
    disk.create(&dir.join("f")).unwrap();
    assert_eq!(content(&*file), b"still here");
    file.write_at(b"and how", 0).unwrap();
    file.sync_data().unwrap();
}

fn list_is_sorted_and_tells_directories(disk: &dyn Disk, dir: &Path) {
    for name in ["c", "a", "b10", "b9"] {
        disk.create(&dir.join(name)).unwrap();
    }
    disk.create_dir_all(&dir.join("b/below")).unwrap();
    let expected = [("a", false), ("b", true), ("b10", false), ("b9", false), ("c", false)];
    let expected = expected.map(|(name, is_dir)| Entry { path: dir.join(name), is_dir });
    assert_eq!(disk.list(dir).unwrap(), expected);
    assert_eq!(kind(disk.list(&dir.join("z"))), NotFound);
    assert_eq!(kind(disk.list(&dir.join("a"))), NotADirectory);
}

fn create_dir_all_makes_parents_and_minds_no_directory(disk: &dyn Disk, dir: &Path) {
    disk.create_dir_all(&dir.join("a/b/c")).unwrap();
    disk.create_dir_all(&dir.join("a/b/c")).unwrap();
    disk.create_dir_all(&dir.join("a/b/d")).unwrap();
    assert_eq!(disk.list(&dir.join("a/b")).unwrap().len(), 2);
    disk.create(&dir.join("f")).unwrap();
    assert_eq!(kind(disk.create_dir_all(&dir.join("f/g"))), NotADirectory);
}

fn a_lock_is_exclusive_until_dropped(disk: &dyn Disk, dir: &Path) {
    let path = dir.join("LOCK");
    let lock = disk.lock(&path).unwrap();
    assert_eq!(kind(disk.lock(&path)), WouldBlock);
    let other = disk.lock(&dir.join("OTHER")).unwrap();
    drop(lock);
    let _again = disk.lock(&path).unwrap();
    drop(other);
    assert_eq!(kind(disk.lock(&path)), WouldBlock);
}

fn a_lock_notices_that_its_path_leads_elsewhere(disk: &dyn Disk, dir: &Path) {
    let (data, away) = (dir.join("data"), dir.join("away"));
    disk.create_dir_all(&data).unwrap();
    let lock = disk.lock(&data.join("LOCK")).unwrap();
    assert!(lock.is_held().unwrap());
    disk.rename(&data, &away).unwrap();
    assert!(!lock.is_held().unwrap(), "moved away");
    disk.create(&data).unwrap();
    assert!(!lock.is_held().unwrap(), "a file in place of the directory");
    disk.remove(&data).unwrap();
    disk.create_dir_all(&data).unwrap();
    let _other = disk.lock(&data.join("LOCK")).unwrap();
    assert!(!lock.is_held().unwrap(), "replaced");
    disk.rename(&away.join("LOCK"), &data.join("LOCK")).unwrap();
    assert!(lock.is_held().unwrap(), "back again");
}

fn a_file_is_linked_while_it_has_a_name(disk: &dyn Disk, dir: &Path) {
    let (a, b) = (dir.join("a"), dir.join("b"));
    let old = disk.create(&a).unwrap();
    let new = disk.create(&b).unwrap();
    assert!(old.is_linked().unwrap());
    disk.rename(&b, &a).unwrap();
    assert!(!old.is_linked().unwrap() && new.is_linked().unwrap());
    disk.remove(&a).unwrap();
    new.write_at(b"x", 0).unwrap();
    new.sync_data().unwrap();
    assert!(!new.is_linked().unwrap(), "a sync succeeds all the same");
}

fn a_file_is_where_its_name_or_that_of_its_directory_leads(disk: &dyn Disk, dir: &Path) {
    let (below, away) = (dir.join("below"), dir.join("away"));
    disk.create_dir_all(&below).unwrap();
    let file = disk.create(&below.join("a")).unwrap();
    let is_at = |dir: &Path, name: &str| file.is_at(&dir.join(name)).unwrap();
    assert!(is_at(&below, "a") && !is_at(&below, "b") && !is_at(&away, "a") && !is_at(&below, "a/b"));
    disk.rename(&below.join("a"), &below.join("b")).unwrap();
    assert!(is_at(&below, "b") && !is_at(&below, "a"));
    disk.rename(&below, &away).unwrap();
    disk.create_dir_all(&below).unwrap();
    let _other = disk.create(&below.join("b")).unwrap();
    assert!(is_at(&away, "b") && !is_at(&below, "b"), "another file has its path");
}

fn space_is_told(disk: &dyn Disk, dir: &Path) {
    let space = disk.space(dir).unwrap();
    assert!(0 < space.available && space.available <= space.total, "{space:?}");
    assert_eq!(kind(disk.space(&dir.join("missing"))), NotFound);
}

fn threads_share_a_handle(disk: &dyn Disk, dir: &Path) {
    let file = disk.create(&dir.join("f")).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4u8 {
            let file = &file;
            scope.spawn(move || {
                for i in 0..50u64 {
                    file.write_at(&[thread + 1; 100], (i * 4 + u64::from(thread)) * 100).unwrap();
                }
                file.sync_data().unwrap();
            });
        }
    });
    let expected: Vec<u8> = (0..20_000).map(|i| (i / 100 % 4 + 1) as u8).collect();
    assert_eq!(content(&*file), expected);
}

fn a_boot_has_one_id(disk: &dyn Disk, _: &Path) {
    assert_eq!(disk.boot_id().unwrap(), disk.boot_id().unwrap());
    assert_ne!(disk.boot_id().unwrap(), 0);
}
