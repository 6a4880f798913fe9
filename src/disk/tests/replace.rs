//! `replace` and `make_dir` keep their word at every point of death.

use super::*;

const CURRENT: &str = "/data/CURRENT";

/// `size` bytes that say which content they are in every sector.
fn version(number: u8, size: usize) -> Vec<u8> {
    vec![number; size]
}

fn disk_with_first_version(seed: u64, model: Model) -> SimDisk {
    let disk = SimDisk::with_model(seed, model);
    disk.create_dir_all(Path::new("/data")).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    replace(&disk, Path::new(CURRENT), &version(1, 3_000)).unwrap();
    disk
}

/// Replaces until the machine dies or all is done; the number of the last version that was acknowledged.
fn replace_again_and_again(disk: &SimDisk) -> u8 {
    for number in 2..=5 {
        if replace(disk, Path::new(CURRENT), &version(number, 3_000 + usize::from(number) * 500)).is_err() {
            return number - 1;
        }
    }
    5
}

#[test]
fn replace_leaves_the_old_content_or_the_new_at_every_crash_point() {
    for model in [Model::Strict, Model::Ext4Like] {
        for kind in [CrashKind::Process, CrashKind::PowerNone, CrashKind::PowerRandom] {
            let whole = disk_with_first_version(0, model);
            let start = whole.ops();
            replace_again_and_again(&whole);
            for (op, seed) in (start..=whole.ops()).flat_map(|op| (0..50).map(move |seed| (op, seed))) {
                let disk = disk_with_first_version(seed, model);
                disk.crash_at(op, kind);
                let acknowledged = replace_again_and_again(&disk);
                disk.crash(kind);
                disk.restart();
                let found = disk.read_file(Path::new(CURRENT)).unwrap();
                let number = found[0];
                let size = 3_000 + if number == 1 { 0 } else { usize::from(number) * 500 };
                let context = format!("{model:?} {kind:?} op {op} seed {seed}\n{}", disk.trace());
                assert_eq!(found, version(number, size), "{context}");
                assert!(number == acknowledged || number == acknowledged + 1, "{number} {acknowledged} {context}");
                replace(&disk, Path::new(CURRENT), b"a left-over does not hinder").unwrap();
            }
        }
    }
}

#[test]
fn replace_in_another_order_is_caught() {
    let torn_at_some_seed = (0..50).any(|seed| {
        let disk = disk_with_first_version(seed, Model::Strict);
        let aside = Path::new("/data/aside");
        let file = disk.create(aside).unwrap();
        file.write_at(&version(2, 3_000), 0).unwrap();
        disk.rename(aside, Path::new(CURRENT)).unwrap();
        disk.crash(CrashKind::PowerRandom);
        disk.restart();
        let found = disk.read_file(Path::new(CURRENT)).unwrap();
        found != version(1, 3_000) && found != version(2, 3_000)
    });
    assert!(torn_at_some_seed, "a rename before the sync must show at some seed");
}

#[test]
fn replace_reports_a_failed_sync_and_keeps_the_old_content() {
    for fault in [
        Fault::new(Errno::IO).of(OpKind::SyncData),
        Fault::new(Errno::NOSPC).of(OpKind::Write),
        Fault::new(Errno::IO).of(OpKind::Rename),
    ] {
        let disk = disk_with_first_version(1, Model::Strict);
        disk.inject(fault);
        replace(&disk, Path::new(CURRENT), &version(2, 10)).unwrap_err();
        assert_eq!(disk.read_file(Path::new(CURRENT)).unwrap(), version(1, 3_000));
        replace(&disk, Path::new(CURRENT), &version(2, 10)).unwrap();
    }
}

#[test]
fn replace_takes_a_bare_name() {
    let disk = SimDisk::new(1);
    replace(&disk, Path::new("CURRENT"), b"x").unwrap();
    disk.crash(CrashKind::PowerNone);
    assert_eq!(disk.read_file(Path::new("/CURRENT")).unwrap(), b"x");
}

#[test]
fn make_dir_makes_names_that_last_wherever_an_earlier_call_was_cut_short() {
    let dir = Path::new("/srv/deep/data");
    for op in 0..=7 {
        let disk = SimDisk::new(op);
        disk.crash_at(op, CrashKind::Process);
        assert_eq!(make_dir(&disk, dir).is_err(), disk.is_down());
        disk.crash(CrashKind::Process);
        disk.restart();
        make_dir(&disk, dir).unwrap();
        disk.crash(CrashKind::PowerNone);
        let left: Vec<_> = disk.entries().into_iter().map(|entry| entry.path).collect();
        assert_eq!(left, ["/srv", "/srv/deep", "/srv/deep/data"].map(PathBuf::from), "cut short at {op}");
    }
    let disk = SimDisk::new(1);
    make_dir(&disk, Path::new("bare")).unwrap();
    make_dir(&disk, Path::new("/")).unwrap();
    file_with(&disk, "/file", b"");
    assert_eq!(kind(make_dir(&disk, Path::new("/file/below"))), io::ErrorKind::NotADirectory);
}
