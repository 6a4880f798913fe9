//! What the simulated disk forgets, keeps, tears and refuses.

use super::*;
use io::ErrorKind::{AlreadyExists, NotFound, ReadOnlyFilesystem, StorageFull, WouldBlock};
use std::{collections::BTreeSet, time::Duration};

const ROOT: &str = "/";
const SEEDS: u64 = 200;

/// A disk with `/f` holding `bytes`, all of it durable, and a handle.
fn durable_file(seed: u64, bytes: &[u8]) -> (SimDisk, Arc<dyn File>) {
    let disk = SimDisk::new(seed);
    let file = file_with(&disk, "/f", bytes);
    file.sync_data().unwrap();
    disk.sync_dir(Path::new(ROOT)).unwrap();
    (disk, file)
}

fn crash(disk: &SimDisk, kind: CrashKind) {
    disk.crash(kind);
    disk.restart();
}

fn read(disk: &SimDisk, path: &str) -> Vec<u8> {
    disk.read_file(Path::new(path)).unwrap()
}

fn names(disk: &SimDisk) -> Vec<String> {
    disk.entries().iter().map(|entry| entry.path.display().to_string()).collect()
}

/// What the files `names` leaves over all seeds after `change` and a power cut that keeps some.
fn outcomes(model: Model, setup: fn(&SimDisk), change: fn(&SimDisk)) -> BTreeSet<Vec<String>> {
    let outcome = |seed| {
        let disk = SimDisk::with_model(seed, model);
        setup(&disk);
        change(&disk);
        crash(&disk, CrashKind::PowerRandom);
        names(&disk)
    };
    (0..SEEDS).map(outcome).collect()
}

#[test]
fn unsynced_bytes_survive_the_process_and_not_the_power() {
    for (kind, expected) in [(CrashKind::Process, b"new bytes".as_slice()), (CrashKind::PowerNone, b"old")] {
        let (disk, file) = durable_file(1, b"old");
        file.write_at(b"new bytes", 0).unwrap();
        crash(&disk, kind);
        assert_eq!(read(&disk, "/f"), expected, "{kind:?}");
    }
}

#[test]
fn what_a_process_crash_kept_a_later_power_cut_still_takes() {
    let (disk, file) = durable_file(1, b"old");
    file.write_at(b"new", 0).unwrap();
    crash(&disk, CrashKind::Process);
    crash(&disk, CrashKind::PowerNone);
    assert_eq!(read(&disk, "/f"), b"old");
}

#[test]
fn synced_bytes_survive_everything_at_every_seed() {
    for seed in 0..SEEDS {
        let (disk, file) = durable_file(seed, &[1; 5_000]);
        file.write_at(&[2; 3_000], 4_000).unwrap();
        file.set_size(6_000).unwrap();
        file.sync_data().unwrap();
        crash(&disk, CrashKind::PowerRandom);
        assert_eq!(read(&disk, "/f"), [[1; 4_000].as_slice(), &[2; 2_000]].concat());
    }
}

#[test]
fn a_torn_write_shows_old_and_new_sectors_in_any_order() {
    let size = 8 * SECTOR_SIZE;
    let mut patterns = BTreeSet::new();
    for seed in 0..SEEDS {
        let (disk, file) = durable_file(seed, &vec![1; size]);
        file.write_at(&vec![2; size], 0).unwrap();
        crash(&disk, CrashKind::PowerRandom);
        let bytes = read(&disk, "/f");
        let sectors = bytes.chunks(SECTOR_SIZE);
        assert!(sectors.clone().all(|sector| sector.iter().all(|byte| *byte == sector[0])), "a sector tore inside");
        patterns.insert(sectors.map(|sector| sector[0]).collect::<Vec<u8>>());
    }
    assert!(patterns.contains(&vec![1; 8]) && patterns.contains(&vec![2; 8]));
    assert!(patterns.iter().any(|sectors| sectors[0] == 1 && sectors[7] == 2), "later before earlier");
    assert!(patterns.len() > 50, "{} patterns", patterns.len());
}

#[test]
fn a_sector_overwritten_before_a_sync_may_be_left_at_any_version() {
    let left = |seed| {
        let (disk, file) = durable_file(seed, &[0]);
        (1..=3).for_each(|version| file.write_at(&[version], 0).unwrap());
        crash(&disk, CrashKind::PowerRandom);
        read(&disk, "/f")[0]
    };
    assert_eq!((0..SEEDS).map(left).collect::<BTreeSet<u8>>(), BTreeSet::from([0, 1, 2, 3]));
}

#[test]
fn lengths_and_bytes_of_an_append_are_kept_apart() {
    let mut lengths = BTreeSet::new();
    let mut has_hole = false;
    for seed in 0..SEEDS {
        let (disk, file) = durable_file(seed, &[1; 100]);
        (0..4).for_each(|i| file.write_at(&[2; 1_000], 100 + i * 1_000).unwrap());
        crash(&disk, CrashKind::PowerRandom);
        let bytes = read(&disk, "/f");
        lengths.insert(bytes.len());
        has_hole |= bytes.contains(&0);
        assert_eq!(bytes[..100], [1; 100]);
        assert!(bytes.iter().all(|byte| *byte <= 2));
    }
    assert!(has_hole && lengths.contains(&100) && lengths.contains(&4_100) && lengths.len() > 5, "{lengths:?}");
}

#[test]
fn a_cut_not_synced_is_undone_or_not_and_never_revives_what_it_cut() {
    let (disk, file) = durable_file(1, &[1; 9_000]);
    file.set_size(100).unwrap();
    crash(&disk, CrashKind::PowerNone);
    assert_eq!(read(&disk, "/f"), [1; 9_000]);
    for seed in 0..SEEDS {
        let (disk, file) = durable_file(seed, &[1; 9_000]);
        file.set_size(100).unwrap();
        file.sync_data().unwrap();
        file.set_size(9_000).unwrap();
        crash(&disk, CrashKind::PowerRandom);
        assert!(read(&disk, "/f")[100..].iter().all(|byte| *byte == 0));
    }
}

#[test]
fn a_new_name_needs_its_directory_synced() {
    let disk = SimDisk::new(1);
    file_with(&disk, "/f", b"x").sync_data().unwrap();
    crash(&disk, CrashKind::PowerNone);
    assert_eq!(names(&disk), [""; 0]);
}

#[test]
fn a_new_directory_needs_its_parent_synced() {
    let disk = SimDisk::new(1);
    disk.create_dir_all(Path::new("/a/b")).unwrap();
    file_with(&disk, "/a/b/f", b"x").sync_data().unwrap();
    disk.sync_dir(Path::new("/a/b")).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    crash(&disk, CrashKind::PowerNone);
    assert_eq!(names(&disk), ["/a"], "the entry of b in a was not synced");
}

#[test]
fn an_unsynced_rename_is_lost_or_kept_and_its_two_names_are_apart() {
    fn setup(disk: &SimDisk) {
        file_with(disk, "/a", b"x");
        disk.sync_dir(Path::new(ROOT)).unwrap();
    }
    fn change(disk: &SimDisk) {
        disk.rename(Path::new("/a"), Path::new("/b")).unwrap();
    }
    let disk = SimDisk::new(1);
    setup(&disk);
    change(&disk);
    crash(&disk, CrashKind::PowerNone);
    assert_eq!(names(&disk), ["/a"]);
    let all = [vec![], vec!["/a"], vec!["/b"], vec!["/a", "/b"]];
    let all = all.map(|names| names.into_iter().map(String::from).collect());
    assert_eq!(outcomes(Model::Strict, setup, change), BTreeSet::from(all.clone()));
    assert_eq!(outcomes(Model::Ext4Like, setup, change), BTreeSet::from([all[1].clone(), all[2].clone()]));
}

#[test]
fn names_are_kept_in_any_order_or_with_a_journal_in_theirs() {
    fn change(disk: &SimDisk) {
        file_with(disk, "/1", b"");
        file_with(disk, "/2", b"");
    }
    let only_second = vec!["/2".to_owned()];
    assert!(outcomes(Model::Strict, |_| {}, change).contains(&only_second));
    let journaled = outcomes(Model::Ext4Like, |_| {}, change);
    assert!(!journaled.contains(&only_second) && journaled.len() == 3, "{journaled:?}");
}

#[test]
fn like_ext4_a_synced_new_file_has_its_name_too() {
    let disk = SimDisk::with_model(1, Model::Ext4Like);
    file_with(&disk, "/f", b"x").sync_data().unwrap();
    crash(&disk, CrashKind::PowerNone);
    assert_eq!(read(&disk, "/f"), b"x");
}

#[test]
fn a_directory_moved_about_is_never_found_twice() {
    for seed in 0..SEEDS {
        let disk = SimDisk::new(seed);
        disk.create_dir_all(Path::new("/x")).unwrap();
        disk.create_dir_all(Path::new("/y")).unwrap();
        disk.sync_dir(Path::new(ROOT)).unwrap();
        for (from, to) in [("/y", "/x/y"), ("/x/y", "/y"), ("/x", "/y/x")] {
            disk.rename(Path::new(from), Path::new(to)).unwrap();
        }
        crash(&disk, CrashKind::PowerRandom);
        let found = disk.entries();
        let mut own_names: Vec<_> = found.iter().filter_map(|entry| entry.path.file_name()).collect();
        own_names.sort();
        own_names.dedup();
        assert_eq!(own_names.len(), found.len(), "seed {seed}: {found:?}");
    }
}

#[test]
fn a_crash_kills_handles_and_frees_locks() {
    for kind in [CrashKind::Process, CrashKind::PowerNone, CrashKind::PowerRandom] {
        let (disk, file) = durable_file(1, b"x");
        let lock = disk.lock(Path::new("/LOCK")).unwrap();
        disk.crash(kind);
        assert!(disk.is_down());
        assert!(disk.open(Path::new("/f")).is_err() && disk.create(Path::new("/g")).is_err());
        assert!(disk.list(Path::new(ROOT)).is_err() && disk.space(Path::new(ROOT)).is_err());
        disk.restart();
        for dead in [file.write_at(b"y", 0), file.sync_data(), file.set_size(0), file.read_exact_at(&mut [0], 0)] {
            assert!(dead.unwrap_err().to_string().contains("the machine is gone"));
        }
        let _mine = disk.lock(Path::new("/LOCK")).unwrap();
        drop((lock, file));
        assert_eq!(self::kind(disk.lock(Path::new("/LOCK"))), WouldBlock, "a dead lock frees nothing");
        assert_eq!(read(&disk, "/f"), b"x");
    }
}

#[test]
fn a_failed_sync_latches_the_handle_and_drops_the_pages() {
    let (disk, file) = durable_file(1, b"old");
    file.write_at(b"new", 0).unwrap();
    disk.inject(Fault::new(Errno::IO).of(OpKind::SyncData).at("f"));
    assert_eq!(file.sync_data().unwrap_err().raw_os_error(), Some(5));
    assert!(file.sync_data().unwrap_err().to_string().starts_with("refused"));
    assert!(file.write_at(b"x", 0).unwrap_err().to_string().starts_with("refused"));

    let other = disk.open(Path::new("/f")).unwrap();
    other.write_at(b"appended", 1_000).unwrap();
    other.sync_data().unwrap();
    assert_eq!(&content(&*other)[..3], b"new", "the cache still shows it");
    crash(&disk, CrashKind::PowerNone);
    assert_eq!(&read(&disk, "/f")[..3], b"old", "a later sync took it for clean");
    assert_eq!(&read(&disk, "/f")[1_000..], b"appended");
}

#[test]
fn a_page_written_again_after_a_failed_sync_is_synced_again() {
    let (disk, file) = durable_file(1, b"old");
    file.write_at(b"new", 0).unwrap();
    disk.inject(Fault::new(Errno::IO).of(OpKind::SyncData));
    file.sync_data().unwrap_err();
    let other = disk.open(Path::new("/f")).unwrap();
    other.write_at(b"new", 0).unwrap();
    other.sync_data().unwrap();
    crash(&disk, CrashKind::PowerNone);
    assert_eq!(read(&disk, "/f"), b"new");
}

#[test]
fn a_fault_meets_the_nth_operation_it_describes() {
    let disk = SimDisk::new(1);
    disk.inject(Fault::new(Errno::IO).of(OpKind::Create).at("wal/").after(1).times(2));
    disk.create_dir_all(Path::new("/wal")).unwrap();
    let created: Vec<bool> = (0..5).map(|i| disk.create(&PathBuf::from(format!("/wal/{i}"))).is_ok()).collect();
    assert_eq!(created, [true, false, false, true, true]);
    disk.create(Path::new("/elsewhere")).unwrap();

    disk.inject(Fault::new(Errno::IO).of(OpKind::Read).times(u64::MAX));
    let file = disk.open(Path::new("/elsewhere")).unwrap();
    assert!(file.read_at(&mut [0], 0).is_err() && file.read_at(&mut [0], 0).is_err());
    disk.clear_faults();
    assert_eq!(file.read_at(&mut [0], 0).unwrap(), 0);
}

#[test]
fn a_failed_write_may_leave_a_prefix() {
    let left = |seed| {
        let (disk, file) = durable_file(seed, b"");
        disk.inject(Fault::new(Errno::IO).of(OpKind::Write));
        file.write_at(&[1; 10], 0).unwrap_err();
        assert!(read(&disk, "/f").iter().all(|byte| *byte == 1));
        read(&disk, "/f").len()
    };
    let lengths: BTreeSet<usize> = (0..SEEDS).map(left).collect();
    assert_eq!(lengths, (0..=10).collect());
}

#[test]
fn a_full_disk_refuses_until_there_is_space() {
    let disk = SimDisk::new(1);
    disk.set_capacity(3 * 4096);
    let file = file_with(&disk, "/f", &[1; 5_000]);
    assert_eq!(disk.space(Path::new(ROOT)).unwrap(), Space { available: 4096, total: 3 * 4096 });
    file.write_at(&[2; 5_000], 0).unwrap();
    let other = disk.create(Path::new("/g")).unwrap();
    assert_eq!(kind(other.allocate(4097)), StorageFull);
    assert_eq!(kind(other.write_at(&[3; 10_000], 1_000)), StorageFull);
    assert_eq!(other.size().unwrap(), 4096, "what fits was written");
    assert_eq!(kind(disk.create(Path::new("/h"))), StorageFull);
    assert_eq!(kind(disk.create_dir_all(Path::new("/d"))), StorageFull);

    disk.remove(Path::new("/f")).unwrap();
    assert_eq!(disk.space(Path::new(ROOT)).unwrap().available, 0, "the handle holds the space");
    drop(file);
    assert_eq!(disk.space(Path::new(ROOT)).unwrap().available, 2 * 4096);
    let more = disk.create(Path::new("/h")).unwrap();
    more.allocate(8192).unwrap();
    more.write_at(&[1; 8192], 0).unwrap();
    assert_eq!(kind(disk.open(Path::new("/h")).unwrap().write_at(&[1], 8192)), StorageFull);
    disk.set_capacity(4 * 4096);
    more.write_at(&[1], 8192).unwrap();
}

#[test]
fn a_read_only_disk_refuses_changes_and_serves_reads() {
    let (disk, file) = durable_file(1, b"x");
    disk.set_read_only(true);
    assert_eq!(kind(file.write_at(b"yy", 0)), ReadOnlyFilesystem);
    assert_eq!(kind(disk.create(Path::new("/g"))), ReadOnlyFilesystem);
    assert_eq!(kind(disk.rename(Path::new("/f"), Path::new("/g"))), ReadOnlyFilesystem);
    assert_eq!(content(&*disk.open(Path::new("/f")).unwrap()), b"x");
    disk.set_read_only(false);
    disk.create(Path::new("/g")).unwrap();
}

/// One of every operation that counts; stops at the first error. How many succeeded.
fn one_of_each(disk: &SimDisk) -> u64 {
    let mut done = 0;
    let mut all = || -> io::Result<()> {
        let [dir, a, b] = ["/d", "/d/a", "/d/b"].map(Path::new);
        let mut step = |result: io::Result<()>| result.map(|()| done += 1);
        step(disk.create_dir_all(dir))?;
        let mut file = None;
        step(disk.create(a).map(|created| file = Some(created)))?;
        let file = file.expect("it was created");
        step(file.allocate(10_000))?;
        step(file.write_at(&[1; 9_000], 0))?;
        step(file.sync_data())?;
        step(file.set_size(5_000))?;
        step(disk.rename(a, b))?;
        step(disk.sync_dir(dir))?;
        step(disk.remove(b))
    };
    assert_eq!(all().is_err(), disk.is_down());
    done
}

#[test]
fn every_operation_is_counted_and_a_place_to_die() {
    for kind in [CrashKind::Process, CrashKind::PowerNone, CrashKind::PowerRandom] {
        for op in 0..9 {
            let disk = SimDisk::new(op);
            disk.crash_at(op, kind);
            assert_eq!((one_of_each(&disk), disk.ops(), disk.is_down()), (op, op, true), "{kind:?}");
            disk.restart();
            assert!(disk.create(Path::new("/after")).is_ok());
        }
    }
    let disk = SimDisk::new(0);
    disk.crash_at(9, CrashKind::Process);
    assert_eq!((one_of_each(&disk), disk.ops(), disk.is_down()), (9, 9, false));
}

#[test]
fn a_write_the_machine_dies_in_leaves_what_its_kind_allows() {
    let left = |kind, seed| {
        let (disk, file) = durable_file(seed, &[1; 12_288]);
        disk.crash_at(disk.ops(), kind);
        file.write_at(&[2; 12_288], 0).unwrap_err();
        disk.restart();
        read(&disk, "/f").chunks(SECTOR_SIZE).map(|sector| sector[0]).collect::<Vec<u8>>()
    };
    let all = |kind| (0..SEEDS).map(|seed| left(kind, seed)).collect::<BTreeSet<_>>();
    assert_eq!(all(CrashKind::PowerNone), BTreeSet::from([vec![1; 24]]));
    let pages = |count: usize| [vec![2; count * 8], vec![1; 24 - count * 8]].concat();
    assert!(all(CrashKind::Process).is_subset(&BTreeSet::from([0, 1, 2, 3].map(pages))));
    assert!(all(CrashKind::Process).len() >= 3 && all(CrashKind::PowerRandom).len() > 50);
}

/// A workload drawn from `choices`, with syncs, renames and cuts; the trace and what a power cut left of it.
fn random_life(disk_seed: u64, choices: u64) -> (String, Vec<(PathBuf, Vec<u8>)>) {
    let disk = SimDisk::new(disk_seed);
    let mut rng = fastrand::Rng::with_seed(choices);
    for _ in 0..300 {
        let path = PathBuf::from(format!("/{}", rng.u8(..6)));
        let file = disk.create(&path).or_else(|_| disk.open(&path)).unwrap();
        match rng.u8(..10) {
            0 => file.sync_data().unwrap(),
            1 => disk.sync_dir(Path::new(ROOT)).unwrap(),
            2 => disk.rename(&path, &PathBuf::from(format!("/{}", rng.u8(..6)))).unwrap(),
            3 => file.set_size(rng.u64(..9_000)).unwrap(),
            4 => disk.remove(&path).unwrap(),
            _ => file.write_at(&vec![rng.u8(1..); rng.usize(..3_000)], rng.u64(..9_000)).unwrap(),
        }
    }
    crash(&disk, CrashKind::PowerRandom);
    let files = disk.entries().into_iter().map(|entry| (entry.path.clone(), disk.read_file(&entry.path).unwrap()));
    (disk.trace(), files.collect())
}

#[test]
fn one_seed_is_one_story() {
    for seed in 0..20 {
        assert_eq!(random_life(seed, seed), random_life(seed, seed));
    }
    let distinct: BTreeSet<_> = (0..20).map(|seed| random_life(seed, 7)).collect();
    assert_eq!(distinct.len(), 20, "another seed, another story");
}

#[test]
fn tests_reach_past_the_cache() {
    let (disk, file) = durable_file(1, &[1; 1_000]);
    file.write_at(&[2; 10], 0).unwrap();
    disk.corrupt(Path::new("/f"), 5, 0xff).unwrap();
    assert_eq!(read(&disk, "/f")[4..7], [2, 0xfd, 2]);
    crash(&disk, CrashKind::PowerNone);
    assert_eq!(read(&disk, "/f")[4..7], [1, 0xfe, 1]);
    disk.truncate(Path::new("/f"), 3).unwrap();
    crash(&disk, CrashKind::PowerNone);
    assert_eq!(read(&disk, "/f"), [1; 3]);
    assert!(disk.corrupt(Path::new("/f"), 3, 1).is_err());
}

#[test]
fn the_trace_is_bounded_and_tells_what_happened() {
    let (disk, file) = durable_file(1, b"x");
    disk.inject(Fault::new(Errno::IO).of(OpKind::SyncDir));
    disk.sync_dir(Path::new(ROOT)).unwrap_err();
    assert_eq!(kind(disk.create(Path::new("/f"))), AlreadyExists);
    assert_eq!(kind(disk.rename(Path::new("/g"), Path::new("/h"))), NotFound);
    file.write_at(b"yy", 7).unwrap();
    crash(&disk, CrashKind::PowerNone);
    let trace = disk.trace();
    let lines: Vec<&str> = trace.lines().collect();
    assert_eq!(lines[..4], ["0: Create /f", "1: Write /f [0, 1)", "2: SyncData /f", "3: SyncDir /"]);
    assert!(lines[4].starts_with("4: SyncDir /: Input/output error"), "{trace}");
    assert!(lines[5].starts_with("5: Create /f: ") && lines[6].starts_with("6: Rename /g -> /h: "), "{trace}");
    assert_eq!(lines[7..], ["7: Write /f [7, 9)", "-- crash: PowerNone"]);
    for _ in 0..1_000 {
        disk.sync_dir(Path::new(ROOT)).unwrap();
    }
    assert_eq!(disk.trace().lines().count(), 256);
}

#[test]
fn a_large_allocated_file_costs_only_what_is_written() {
    let disk = SimDisk::new(1);
    let file = disk.create(Path::new("/f")).unwrap();
    file.allocate(1 << 35).unwrap();
    disk.sync_dir(Path::new(ROOT)).unwrap();
    file.sync_data().unwrap();
    file.write_at(b"x", 1 << 34).unwrap();
    crash(&disk, CrashKind::PowerNone);
    assert_eq!(disk.open(Path::new("/f")).unwrap().size().unwrap(), 1 << 35);
}

#[test]
fn a_power_cut_makes_a_new_boot_a_file_system_that_goes_down_a_new_mount_and_a_killed_process_neither() {
    let disk = SimDisk::new(1);
    let now = || (disk.boot_id().unwrap(), disk.mount_id(Path::new("/")).unwrap());
    use CrashKind::{FileSystem, PowerNone, PowerRandom, Process};
    let kinds = [(Process, (true, true)), (FileSystem, (true, false)), (PowerNone, (false, false))];
    for (kind, stays) in kinds.into_iter().chain([(PowerRandom, (false, false))]) {
        let before = now();
        disk.crash(kind);
        assert!(disk.boot_id().is_err() && disk.mount_id(Path::new("/")).is_err(), "the machine is down");
        disk.restart();
        let after = now();
        assert_eq!((after.0 == before.0, after.1 == before.1), stays, "{kind:?}");
    }
}

#[test]
fn what_a_sync_has_written_does_not_give_way_to_what_was_before_it() {
    for seed in 0..400 {
        let disk = SimDisk::new(seed);
        disk.set_sync_delay(Duration::from_millis(1));
        let file = file_with(&disk, "/f", b"a");
        disk.sync_dir(Path::new("/")).unwrap();
        file.write_at(b"b", 0).unwrap();
        std::thread::scope(|scope| {
            let sync = scope.spawn(|| file.sync_data().unwrap());
            while !disk.trace().contains("SyncData") {}
            file.write_at(b"c", 0).unwrap();
            sync.join().unwrap();
        });
        disk.crash(CrashKind::PowerRandom);
        disk.restart();
        assert_ne!(disk.read_file(Path::new("/f")).unwrap(), b"a", "seed {seed}");
    }
}
