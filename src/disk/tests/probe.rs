//! What the probe sees, and what it makes of it.

use super::*;
use crate::disk::probe::{Mount, WriteCache, judge, sync_times};
use std::time::Duration;

const MOUNTINFO: &str = "\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
this line is none
41 27 8:17 / /srv rw - xfs /dev/sdb1 rw
42 41 0:40 /@data /srv/my\\040data rw,noatime shared:3 master:1 - btrfs /dev/sdc rw,nobarrier,subvol=/@data
43 27 0:50 / /mnt rw - nfs4 server:/export\\134x rw
44 27 0:51 / /mnt rw - tmpfs tmpfs rw
";

fn mount(file_system: &str, device: &str, options: &str) -> Mount {
    let (point, id) = (PathBuf::from("/data"), (8, 1));
    Mount { file_system: file_system.into(), point, device: device.into(), options: options.into(), id }
}

#[test]
fn a_path_is_on_its_longest_mount_and_the_last_of_those_on_top_of_each_other() {
    let on = |path: &str| Mount::holding(Path::new(path), MOUNTINFO).map(|mount| (mount.file_system, mount.device));
    let expected = |name: &str, device: &str| Some((name.to_owned(), device.to_owned()));
    assert_eq!(on("/var/lib/plimsoll"), expected("ext4", "/dev/vda"));
    assert_eq!(on("/srv/my"), expected("xfs", "/dev/sdb1"));
    assert_eq!(on("/srv/my data/tsdb"), expected("btrfs", "/dev/sdc"));
    assert_eq!(on("/srvother"), expected("ext4", "/dev/vda"));
    assert_eq!(on("/mnt/x"), expected("tmpfs", "tmpfs"));
    assert_eq!(Mount::holding(Path::new("/x"), ""), None);
}

#[test]
fn a_line_of_mountinfo_gives_all_its_fields() {
    let found = Mount::holding(Path::new("/srv/my data"), MOUNTINFO).unwrap();
    let options = "rw,noatime,rw,nobarrier,subvol=/@data";
    let expected = Mount { point: "/srv/my data".into(), id: (0, 40), ..mount("btrfs", "/dev/sdc", options) };
    assert_eq!(found, expected);
}

#[test]
fn warnings_name_what_is_wrong_and_nothing_else() {
    use WriteCache::{Back, Through};
    let cases: &[(Mount, Option<WriteCache>, u64, &[&str])] = &[
        (mount("ext4", "/dev/vda", "rw"), Some(Back), 110_000, &[]),
        (mount("xfs", "/dev/nvme0n1", "rw"), Some(Through), 9_000, &[]),
        (mount("xfs", "/dev/nvme0n1", "rw"), Some(Through), 4_999, &["took 4.999µs"]),
        (mount("zfs", "tank/data", "rw"), None, 900, &["took 900ns", "whether tank/data has a cache"]),
        (mount("ext4", "/dev/vda", "rw,nobarrier"), Some(Back), 20_000, &["with nobarrier"]),
        (mount("ext4", "/dev/vda", "rw,barrier=0,x"), Some(Back), 20_000, &["with barrier=0"]),
        (mount("ext4", "/dev/vda", "rw,nobarriers"), Some(Back), 20_000, &[]),
        (mount("ext4", "/dev/zram0", "rw"), Some(Through), 1_000, &["ext4 (/dev/zram0) is memory"]),
        (mount("tmpfs", "tmpfs", "rw"), None, 200, &["is memory"]),
        (mount("overlay", "overlay", "rw"), None, 110_000, &["goes with it"]),
        (mount("overlay", "overlay", "rw,volatile"), None, 200, &["goes with it", "with volatile", "took 200ns"]),
        (mount("nfs4", "server:/x", "rw"), None, 800_000, &["a network file system"]),
        (mount("fuse.sshfs", "host:", "rw"), None, 800_000, &["FUSE"]),
        (mount("unknown (0x1234)", "device 8:1", ""), None, 110_000, &["whether device 8:1 has a cache"]),
    ];
    for (mount, cache, nanos, expected) in cases {
        let warnings = judge(mount, *cache, Duration::from_nanos(*nanos));
        let fits =
            warnings.len() == expected.len() && warnings.iter().zip(*expected).all(|(is, part)| is.contains(part));
        assert!(fits, "{mount:?} {cache:?} {nanos} ns: {warnings:?}, expected {expected:?}");
    }
}

#[test]
fn the_probe_of_a_real_directory_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    file_with(&RealDisk, dir.path().join("PROBE").to_str().unwrap(), &[7; 1 << 20]);
    let probe = RealDisk.probe(dir.path()).unwrap();
    assert!(probe.sync.count >= 1 && Duration::ZERO < probe.sync.median && probe.sync.median <= probe.sync.max);
    assert!(dir.path().canonicalize().unwrap().starts_with(&probe.mount_point), "{probe:?}");
    assert!(!probe.file_system.is_empty() && !probe.device.is_empty());
    assert_eq!(RealDisk.list(dir.path()).unwrap(), []);
    assert_eq!(kind(RealDisk.probe(&dir.path().join("missing"))), io::ErrorKind::NotFound);
}

#[test]
fn memory_is_told_from_a_disk() {
    let Ok(dir) = tempfile::tempdir_in("/dev/shm") else {
        println!("skipped: there is no /dev/shm here");
        return;
    };
    let probe = RealDisk.probe(dir.path()).unwrap();
    assert_eq!((probe.file_system.as_str(), probe.write_cache), ("tmpfs", None));
    assert!(probe.warnings[0].contains("is memory"), "{probe:?}");
}

#[test]
fn a_probe_that_fails_takes_its_file_away() {
    let path = Path::new("/PROBE");
    for kind in [OpKind::Allocate, OpKind::Write, OpKind::SyncData] {
        let disk = SimDisk::new(1);
        file_with(&disk, "/PROBE", b"a crash left it");
        disk.inject(Fault::new(Errno::IO).of(kind));
        assert_eq!(sync_times(&disk, path).unwrap_err().raw_os_error(), Some(5));
        assert_eq!(disk.entries(), [], "{kind:?}");
        assert_eq!(sync_times(&disk, path).unwrap().count, 32);
    }
}

#[test]
fn a_probe_is_a_line_for_the_log() {
    let disk = SimDisk::new(1);
    let (probe, ops) = (disk.probe(Path::new("/")).unwrap(), disk.ops());
    assert_eq!(probe.to_string(), "sim (memory, write back cache), fsync 100.0µs median, 200.0µs at most");
    assert_eq!(ops, 0, "nothing a crash could happen in");
    assert_eq!(kind(disk.probe(Path::new("/missing"))), io::ErrorKind::NotFound);
}
