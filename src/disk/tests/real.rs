//! What only the real disk can show.

use super::*;
use crate::disk::latch::Latch;
use rustix::process::{Resource, Rlimit, setrlimit};
use std::{env, os::unix::fs::MetadataExt, process::Command};

#[test]
fn the_lock_file_tells_our_process_id() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("LOCK");
    file_with(&RealDisk, path.to_str().unwrap(), b"4194304 and more, of a holder long gone");
    let _lock = RealDisk.lock(&path).unwrap();
    let told = content(&*RealDisk.open(&path).unwrap());
    assert_eq!(told, format!("{}\n", std::process::id()).as_bytes());
}

/// `/dev/full` fails every write with `StorageFull`.
#[test]
fn after_a_failed_write_the_handle_refuses_and_names_the_cause() {
    let Ok(full) = RealDisk.open(Path::new("/dev/full")) else {
        println!("skipped: there is no /dev/full here");
        return;
    };
    assert_eq!(kind(full.write_at(b"x", 0)), io::ErrorKind::StorageFull);
    for refused in [full.sync_data(), full.write_at(b"", 0), full.set_size(0), full.allocate(1)] {
        let message = refused.unwrap_err().to_string();
        assert!(message.starts_with("refused") && message.contains("No space left"), "{message}");
    }
}

#[test]
fn a_latch_closes_at_the_first_failure_for_good() {
    let latch = Latch::default();
    latch.guard(|| Ok(())).unwrap();
    let error = latch.guard(|| io::Result::<()>::Err(io::ErrorKind::StorageFull.into())).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    let mut was_called = false;
    let refused = latch.guard(|| {
        was_called = true;
        Ok(())
    });
    assert!(refused.is_err() && latch.check().is_err() && !was_called);
}

/// `SEEK_HOLE` counts space that is reserved and not written as a hole.
#[test]
fn allocated_space_is_written_and_not_only_reserved() {
    use rustix::fs::{Mode, OFlags, SeekFrom, open, seek};
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    RealDisk.create(&path).unwrap().allocate(1 << 20).unwrap();
    let file = open(&path, OFlags::RDONLY, Mode::empty()).unwrap();
    assert_eq!(seek(&file, SeekFrom::Hole(0)).unwrap(), 1 << 20);
}

/// Set for the child of the test below: where it works.
const CHILD_DIR: &str = "PLIMSOLL_TEST_CHILD_DIR";

/// Runs itself as a child whose files must not grow beyond a limit, since that makes writes fail half-way, on any file
/// system and without a privilege. The shell has the child ignore the signal that comes with it.
#[test]
fn a_write_or_allocation_that_fails_half_way_closes_the_latch_and_says_so() {
    if let Ok(dir) = env::var(CHILD_DIR) {
        return fail_half_way(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let name = "disk::tests::real::a_write_or_allocation_that_fails_half_way_closes_the_latch_and_says_so";
    let mut child = Command::new("sh");
    child.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(env::current_exe().unwrap());
    let output = child.args(["--exact", name, "--nocapture"]).env(CHILD_DIR, dir.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}\n{complained}");
}

fn fail_half_way(dir: &Path) {
    let limit = 1 << 20;
    setrlimit(Resource::Fsize, Rlimit { current: Some(limit), maximum: Some(limit) }).unwrap();
    let refuses = |file: &dyn File| {
        for refused in [file.sync_data(), file.write_at(b"x", 0), file.set_size(0), file.allocate(1)] {
            let message = refused.unwrap_err().to_string();
            assert!(message.starts_with("refused") && message.contains("File too large"), "{message}");
        }
    };
    let written = RealDisk.create(&dir.join("written")).unwrap();
    assert_eq!(kind(written.write_at(&[1; 3 << 20], 0)), io::ErrorKind::FileTooLarge);
    refuses(&*written);
    assert!(content(&*written).iter().all(|byte| *byte == 1), "what is there can still be read");

    let path = dir.join("allocated");
    let allocated = file_with(&RealDisk, path.to_str().unwrap(), b"kept");
    allocated.sync_data().unwrap();
    assert_eq!(kind(allocated.allocate(3 << 20)), io::ErrorKind::FileTooLarge);
    refuses(&*allocated);
    assert_eq!(content(&*allocated), b"kept");
    let blocks = path.metadata().unwrap().blocks();
    assert!(blocks <= 64, "{blocks} blocks are still taken");
}
