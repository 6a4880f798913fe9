//! The simulated disk under several threads, and what others do to it meanwhile.

use super::*;
use std::{
    thread,
    time::{Duration, Instant},
};

const ROOT: &str = "/";

/// A disk with `/f` holding `bytes`, all of it durable, and a handle.
fn durable_file(seed: u64, bytes: &[u8]) -> (SimDisk, Arc<dyn File>) {
    let disk = SimDisk::new(seed);
    let file = file_with(&disk, "/f", bytes);
    file.sync_data().unwrap();
    disk.sync_dir(Path::new(ROOT)).unwrap();
    (disk, file)
}

fn read(disk: &SimDisk, path: &str) -> Vec<u8> {
    disk.read_file(Path::new(path)).unwrap()
}

/// Syncs in another thread and does `meanwhile` once the sync has begun. How the sync ended.
fn while_syncing(disk: &SimDisk, file: &Arc<dyn File>, meanwhile: impl FnOnce()) -> io::Result<()> {
    let ops = disk.ops();
    thread::scope(|scope| {
        let sync = scope.spawn(|| file.sync_data());
        while disk.ops() == ops && !disk.is_down() {
            thread::yield_now();
        }
        meanwhile();
        sync.join().unwrap()
    })
}

#[test]
fn a_sync_owes_what_was_written_before_it_and_no_more() {
    for seed in 0..20 {
        let (disk, file) = durable_file(seed, &[1; 2_048]);
        disk.set_sync_delay(Duration::from_millis(10));
        file.write_at(&[2; 1_024], 0).unwrap();
        let synced = while_syncing(&disk, &file, || {
            file.write_at(&[3; 1_024], 512).unwrap();
            file.set_size(1_000).unwrap();
            file.write_at(&[3; 500], 3_000).unwrap();
        });
        synced.unwrap();
        disk.crash(CrashKind::PowerNone);
        assert_eq!(read(&disk, "/f"), [[2; 1_024], [1; 1_024]].concat(), "seed {seed}");
    }
}

#[test]
fn what_is_written_during_a_sync_is_for_the_next() {
    let (disk, file) = durable_file(1, &[1; 2_048]);
    disk.set_sync_delay(Duration::from_millis(10));
    file.write_at(&[2; 1_024], 0).unwrap();
    while_syncing(&disk, &file, || file.write_at(&[3; 1_024], 512).unwrap()).unwrap();
    file.sync_data().unwrap();
    disk.crash(CrashKind::PowerNone);
    assert_eq!(read(&disk, "/f"), [[2; 512].as_slice(), &[3; 1_024], &[1; 512]].concat());
}

#[test]
fn a_machine_that_dies_in_a_sync_has_synced_nothing_yet() {
    let mut died_count = 0;
    for seed in 0..20 {
        let (disk, file) = durable_file(seed, b"old");
        disk.set_sync_delay(Duration::from_millis(20));
        file.write_at(b"new", 0).unwrap();
        let synced = while_syncing(&disk, &file, || disk.crash(CrashKind::PowerNone));
        disk.restart();
        assert_eq!(read(&disk, "/f"), if synced.is_ok() { b"new" } else { b"old" }, "seed {seed}");
        died_count += u32::from(synced.is_err());
    }
    assert!(died_count > 5, "{died_count} of 20");
}

#[test]
fn after_a_failed_sync_no_other_thread_is_told_that_its_bytes_are_safe() {
    for round in 0..50 {
        let (disk, file) = durable_file(round, &[0; 8 * SECTOR_SIZE]);
        disk.set_sync_delay(Duration::from_micros(200));
        disk.inject(Fault::new(Errno::IO).of(OpKind::SyncData).after(round % 4));
        let write_and_sync = |thread: usize| {
            file.write_at(&[1; SECTOR_SIZE], (thread * SECTOR_SIZE) as u64).is_ok() && file.sync_data().is_ok()
        };
        let told_safe: Vec<bool> = thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|thread| scope.spawn(move || write_and_sync(thread))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        disk.crash(CrashKind::PowerNone);
        let left = read(&disk, "/f");
        for (thread, _) in told_safe.iter().enumerate().filter(|(_, told)| **told) {
            assert_eq!(left[thread * SECTOR_SIZE], 1, "round {round}: {told_safe:?}\n{}", disk.trace());
        }
        assert_eq!(told_safe.iter().filter(|told| **told).count() as u64, round % 4, "those before the failing one");
    }
}

/// Makes files, durable one after the other, until the machine dies (or 1,000 of them). How many are.
fn make_files(disk: &SimDisk, thread: usize) -> usize {
    let make = |count: usize| -> io::Result<()> {
        let file = disk.create(Path::new(&format!("/{thread}-{count}")))?;
        file.write_at(&[1; 600], 0)?;
        file.sync_data()?;
        disk.sync_dir(Path::new(ROOT))
    };
    (0..1_000).take_while(|count| make(*count).is_ok()).count()
}

#[test]
fn threads_die_together_at_the_chosen_operation_and_keep_what_they_were_promised() {
    for (seed, kind) in (0..60).zip([CrashKind::Process, CrashKind::PowerNone, CrashKind::PowerRandom].iter().cycle()) {
        let disk = SimDisk::new(seed);
        disk.set_sync_delay(Duration::from_micros(50));
        let op = disk.crash_within(200, *kind);
        assert!(op < 200);
        let process = disk.process();
        let counts: Vec<usize> = thread::scope(|scope| {
            let process = &process;
            let threads: Vec<_> = (0..4).map(|thread| scope.spawn(move || make_files(process, thread))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!((disk.ops(), disk.is_down()), (op, true), "seed {seed}");
        disk.restart();
        for (thread, count) in counts.iter().enumerate() {
            for file in 0..*count {
                assert_eq!(read(&disk, &format!("/{thread}-{file}")), [1; 600], "seed {seed} {kind:?}");
            }
        }
        assert_eq!(make_files(&process, 9), 0, "a dead process changes nothing");
        disk.create(Path::new("/alive")).unwrap();
    }
}

#[test]
fn a_process_is_dead_after_a_crash_for_every_call() {
    let disk = SimDisk::new(1);
    let process = disk.process();
    let root = Path::new(ROOT);
    process.create(Path::new("/f")).unwrap();
    disk.crash(CrashKind::Process);
    disk.restart();
    let f = Path::new("/f");
    let ops = disk.ops();
    let results = [
        process.open(f).map(drop),
        process.create(Path::new("/g")).map(drop),
        process.rename(f, Path::new("/g")),
        process.remove(f),
        process.create_dir_all(Path::new("/d")),
        process.sync_dir(root),
        process.list(root).map(drop),
        process.space(root).map(drop),
        process.probe(root).map(drop),
        process.lock(Path::new("/LOCK")).map(drop),
    ];
    assert!(results.iter().all(Result::is_err) && disk.ops() == ops);
    disk.process().open(f).unwrap();
}

#[test]
fn a_directory_that_disappears_leaves_open_files_working_and_nameless() {
    let disk = SimDisk::new(1);
    disk.create_dir_all(Path::new("/data/wal")).unwrap();
    let file = file_with(&disk, "/data/wal/1", b"x");
    let lock = disk.lock(Path::new("/data/LOCK")).unwrap();
    let ops = disk.ops();
    disk.set_read_only(true);
    disk.remove_tree(Path::new("/data")).unwrap();
    disk.set_read_only(false);
    assert_eq!((disk.entries(), disk.ops()), (vec![], ops));
    file.write_at(b"y", 1).unwrap();
    file.sync_data().unwrap();
    assert_eq!(content(&*file), b"xy");
    assert!(!file.is_linked().unwrap() && !lock.is_held().unwrap());
    assert_eq!(kind(disk.create(Path::new("/data/wal/2"))), io::ErrorKind::NotFound);
    assert_eq!(kind(disk.sync_dir(Path::new("/data/wal"))), io::ErrorKind::NotFound);
    assert_eq!(kind(disk.remove_tree(Path::new("/data"))), io::ErrorKind::NotFound);
    disk.create_dir_all(Path::new("/data/wal")).unwrap();
    assert_eq!(disk.list(Path::new("/data/wal")).unwrap(), []);
}

#[test]
fn a_full_disk_still_syncs_and_overwrites_what_has_its_space() {
    let disk = SimDisk::new(1);
    let log = disk.create(Path::new("/log")).unwrap();
    log.allocate(8_192).unwrap();
    disk.sync_dir(Path::new(ROOT)).unwrap();
    disk.set_capacity(0);
    let other = disk.create(Path::new("/other"));
    assert_eq!(kind(other), io::ErrorKind::StorageFull);
    log.write_at(&[7; 8_192], 0).unwrap();
    log.sync_data().unwrap();
    disk.sync_dir(Path::new(ROOT)).unwrap();
    disk.remove(Path::new("/gone")).unwrap_err();
    disk.set_capacity(3 * 4_096);
    file_with(&disk, "/other", b"there is room again").sync_data().unwrap();
    disk.crash(CrashKind::PowerNone);
    assert_eq!(read(&disk, "/log"), [7; 8_192]);
}

#[test]
fn a_delay_delays() {
    let (disk, file) = durable_file(1, b"x");
    disk.set_sync_delay(Duration::from_millis(20));
    let start = now();
    (0..5).for_each(|_| file.sync_data().unwrap());
    assert!(start.elapsed() > Duration::from_millis(5), "five draws of up to 20 ms");
    disk.set_sync_delay(Duration::ZERO);
}

#[allow(clippy::disallowed_methods, reason = "what is tested is time")]
fn now() -> Instant {
    Instant::now()
}
