//! What programs hold: open files and locks, dead once the machine they were opened on has crashed.

use super::{
    File, Lock,
    fault::{Event, OpKind},
    names::Ino,
    world::World,
};
use crate::disk::latch::Latch;
use parking_lot::{Mutex, MutexGuard};
use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

/// A held lock.
pub(super) struct SimLock {
    pub(super) world: Arc<Mutex<World>>,
    pub(super) ino: Ino,
    pub(super) epoch: u64,
    pub(super) path: PathBuf,
}

impl Lock for SimLock {
    fn is_held(&self) -> io::Result<bool> {
        let world = self.world.lock();
        world.check_epoch(self.epoch)?;
        leads_to(&world, &self.path, self.ino)
    }
}

fn leads_to(world: &World, path: &Path, ino: Ino) -> io::Result<bool> {
    match world.names.find(path) {
        Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Err(error),
        found => Ok(found.ok() == Some(ino)),
    }
}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.world.lock().unlock(self.ino, self.epoch);
    }
}

/// An open file.
pub(super) struct SimFile {
    pub(super) world: Arc<Mutex<World>>,
    pub(super) ino: Ino,
    pub(super) epoch: u64,
    /// As it was opened; a rename does not change it.
    pub(super) path: Arc<Path>,
    pub(super) latch: Latch,
    /// One sync at a time, as the real file has it, and of all handles of a file.
    pub(super) syncing: Arc<Mutex<()>>,
}

impl SimFile {
    /// The world, if it is still the one this was opened in.
    fn world(&self) -> io::Result<MutexGuard<'_, World>> {
        let world = self.world.lock();
        world.check_epoch(self.epoch)?;
        Ok(world)
    }

    /// Lets the world go on while the sync takes its time.
    fn sync(&self) -> io::Result<()> {
        let (time, begun) = self.world()?.begin_sync(self.ino, self.event(OpKind::SyncData));
        if !time.is_zero() {
            thread::sleep(time);
        }
        begun?;
        self.world()?.end_sync(self.ino);
        Ok(())
    }

    fn event(&self, kind: OpKind) -> Event {
        Event::new(kind, Arc::clone(&self.path))
    }
}

impl File for SimFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.world()?.read(self.ino, buf, offset, &self.event(OpKind::Read))
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let event = self.event(OpKind::Write).range(offset, buf.len() as u64);
        self.latch.guard(|| self.world()?.write(self.ino, buf, offset, event))
    }

    fn sync_data(&self) -> io::Result<()> {
        let _one = self.syncing.lock();
        self.latch.guard(|| self.sync())
    }

    fn is_linked(&self) -> io::Result<bool> {
        Ok(self.world()?.is_linked(self.ino))
    }

    fn is_at(&self, path: &Path) -> io::Result<bool> {
        leads_to(&*self.world()?, path, self.ino)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.world()?.image(self.ino).size())
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.latch.check()?;
        self.world()?.set_size(self.ino, size, self.event(OpKind::SetSize).range(0, size))
    }

    fn allocate(&self, size: u64) -> io::Result<()> {
        self.latch.check()?;
        self.world()?.allocate(self.ino, size, self.event(OpKind::Allocate).range(0, size))
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        self.world.lock().close(self.ino, self.epoch);
    }
}
