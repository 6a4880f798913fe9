//! Servers that lie on purpose: the crash test must find each of them out.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
};

use super::{World, lives, modes, seeds};
use crate::{
    disk::{Disk, Entry, File, Lock, Probe, SimDisk, Space},
    durability::{Mode, StageKind},
};

/// What is told falsely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lie {
    /// Files of the stage are synced, says the disk, and does nothing: a drive that only pretends.
    Sync,
    /// Every answer is at level `disk`, also where it came before any sync.
    Level,
    /// Nothing was lost, says the report of every start.
    Loss,
    /// Every batch is safe, says its receipt.
    Receipt,
}

/// A disk on which syncs of the log and of containers do nothing.
pub(super) struct LyingDisk(pub(super) SimDisk);

struct LyingFile(Arc<dyn File>);

fn lying(path: &Path, file: Arc<dyn File>) -> Arc<dyn File> {
    let is_stage = path.extension().is_some_and(|extension| extension == "wal" || extension == "pages");
    if is_stage { Arc::new(LyingFile(file)) } else { file }
}

impl Disk for LyingDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(lying(path, self.0.create(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(lying(path, self.0.open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.remove(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.0.list(dir)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.0.create_dir_all(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.sync_dir(dir)
    }

    fn space(&self, dir: &Path) -> io::Result<Space> {
        self.0.space(dir)
    }

    fn probe(&self, dir: &Path) -> io::Result<Probe> {
        self.0.probe(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        self.0.lock(path)
    }

    fn boot_id(&self) -> io::Result<u128> {
        self.0.boot_id()
    }

    fn mount_id(&self, dir: &Path) -> io::Result<u64> {
        self.0.mount_id(dir)
    }
}

impl File for LyingFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_at(buf, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn is_linked(&self) -> io::Result<bool> {
        self.0.is_linked()
    }

    fn is_at(&self, path: &Path) -> io::Result<bool> {
        self.0.is_at(path)
    }

    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.0.set_size(size)
    }

    fn allocate(&self, size: u64) -> io::Result<()> {
        self.0.allocate(size)
    }
}

/// What the crash test says of a world that is lied to, if it says anything.
fn complaint(seed: u64, mode: Mode, lie: Lie) -> Option<String> {
    let run = || lives(&mut World::with_lie(seed, mode, lie), &format!("{mode}, seed {seed}"));
    let panic = catch_unwind(AssertUnwindSafe(run)).err()?;
    Some(panic.downcast_ref::<String>().cloned().unwrap_or_default())
}

/// The lie is found out in each of the modes within the seeds of the usual test, and for what it is.
fn is_found_out(lie: Lie, words: &[&str], modes: impl IntoIterator<Item = Mode>) {
    for mode in modes {
        let complaints = (0..seeds().max(100)).filter_map(|seed| complaint(seed, mode, lie));
        let first = complaints.into_iter().next();
        let first = first.unwrap_or_else(|| panic!("{mode}: nobody noticed the lie"));
        let line = first.lines().next().unwrap_or_default();
        assert!(words.iter().any(|words| line.contains(words)), "{mode}: noticed, but not for what it is: {first}");
    }
}

#[test]
fn a_disk_that_only_says_it_syncs_is_found_out_in_every_mode() {
    // What a manifest tells of that is not there is called damage.
    is_found_out(Lie::Sync, &["was promised", "damage: "], modes());
}

#[test]
fn answers_that_claim_a_deeper_level_are_found_out_in_every_mode() {
    is_found_out(Lie::Level, &["was promised"], modes());
}

#[test]
fn a_loss_report_that_tells_too_little_is_found_out_in_every_mode_that_answers_before_it_writes() {
    // In a log mode a process crash takes no answer, and after a power cut the ledger may be older than the answers.
    let answers_first = |mode: &Mode| mode.policy().stage == StageKind::Container;
    is_found_out(Lie::Loss, &["lost: start"], modes().into_iter().filter(answers_first));
}

#[test]
fn receipts_that_call_lost_batches_safe_are_found_out_in_every_mode() {
    is_found_out(Lie::Receipt, &["receipt of"], modes());
}
