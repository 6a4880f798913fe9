//! What only the real disk can show.

use super::*;
use crate::disk::latch::Latch;

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
