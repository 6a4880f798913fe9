//! A file system in memory that does what disks do on their worst day, the same way for the same seed.
//!
//! ```
//! use plimsoll::disk::{CrashKind, Disk, SimDisk};
//! use std::path::Path;
//!
//! let disk = SimDisk::new(7);
//! let file = disk.create(Path::new("/a"))?;
//! file.write_at(b"kept by the cache only", 0)?;
//! disk.crash(CrashKind::PowerNone);
//! assert!(file.size().is_err(), "every handle of before is dead");
//! disk.restart();
//! assert!(disk.open(Path::new("/a")).is_err(), "neither the bytes nor the name were synced");
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! **Modelled.** What programs see apart from what the medium has: sectors of 512 bytes, lengths, entries of each
//! directory. A power cut that keeps some of it ([`CrashKind::PowerRandom`]) picks for each sector and each entry apart
//! whether the present state is kept, the synced one, or one in between, so writes tear, syncs not asked for happen, and
//! order is lost. Dead handles, locks that go with their process, `sync_data` that fails and drops what it should have
//! written, a full disk, a read-only one, any error at any operation, death at any operation, flipped and cut bytes.
//!
//! **Not modelled.** Sectors that tear inside; a device that says it synced and did not (`corrupt` and `truncate` stand
//! in); loss of what was synced; directories' and inodes' own space; hard links; permissions; `..` and symbolic links;
//! time, but for what syncs take. `Ext4Like` keeps names in order as its journal does, but file data no better than
//! `Strict` does.
//!
//! Cheap enough for thousands of seeds: a write of 100 bytes costs 0.25–0.4 µs, a hole nothing, a crash what is unsynced.
//!
//! Always: the same seed and the same calls in the same order give the same trace and the same surviving bytes. Threads
//! that race for the disk do not call in the same order; whatever order it is, each call happens at once and whole, but
//! for a sync, which has a beginning and an end.

mod fault;
mod handle;
mod image;
mod names;
mod world;

pub use fault::{Fault, OpKind};
pub use image::SECTOR_SIZE;
pub use rustix::io::Errno;

use super::{Disk, Entry, File, Lock, Probe, Space, SyncTimes, WriteCache, latch::Latch};
use handle::{SimFile, SimLock};
use names::Ino;
use parking_lot::{Mutex, MutexGuard};
use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use world::World;

/// What a crash takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashKind {
    /// The process is killed. The kernel keeps its cache: nothing is lost.
    Process,
    /// The file system goes down and is mounted anew while the machine stays up; nothing unsynced is kept, as by `PowerNone`.
    FileSystem,
    /// Power fails and nothing unsynced is kept.
    PowerNone,
    /// Power fails; what is kept of the unsynced is drawn from the seed.
    PowerRandom,
}

/// How syncs and names hang together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// What POSIX promises and no more: data and names are apart, and each entry of a directory is on its own.
    Strict,
    /// As ext4 with its default options: names change in the order of the operations (so a rename is whole or not
    /// at all), any `sync_dir`, and `sync_data` of a file with a new name or length, make all earlier names durable, and a
    /// rename over another file writes the data out first. Code must not need it; it shows how much milder it is.
    Ext4Like,
}

/// A simulated disk. Clones are the same disk.
#[derive(Clone)]
pub struct SimDisk {
    world: Arc<Mutex<World>>,
    /// The epoch that calls through this clone are of, where it is bound to one.
    epoch: Option<u64>,
}

impl SimDisk {
    /// An empty disk, strict, with nothing but `/`. The seed decides all that is left to chance.
    pub fn new(seed: u64) -> Self {
        Self::with_model(seed, Model::Strict)
    }

    /// An empty disk of this model.
    pub fn with_model(seed: u64, model: Model) -> Self {
        Self { world: Arc::new(Mutex::new(World::new(seed, model))), epoch: None }
    }

    /// The disk as one process sees it: dead after the next crash, as that process is, also when the machine is up again.
    /// For a program whose threads may still run then.
    #[must_use]
    pub fn process(&self) -> Self {
        Self { world: Arc::clone(&self.world), epoch: Some(self.world.lock().epoch) }
    }

    /// The machine dies now. Every call fails until [`restart`](Self::restart); handles and locks of before are dead for
    /// good. Nothing happens to a machine that is down.
    pub fn crash(&self, kind: CrashKind) {
        self.world.lock().crash(kind);
    }

    /// The machine dies at the operation before which [`ops`](Self::ops) is `op` (or at the next, if that has been).
    /// The operation has no effect, except that a write may leave whole pages of its beginning (`Process`) or any of its
    /// sectors (`PowerRandom`). Forgotten at a crash.
    pub fn crash_at(&self, op: u64, kind: CrashKind) {
        self.world.lock().crash_at = Some((op, kind));
    }

    /// Like [`crash_at`](Self::crash_at), at one of the next `op_count` operations, drawn from the seed: which one.
    pub fn crash_within(&self, op_count: u64, kind: CrashKind) -> u64 {
        self.world.lock().crash_within(op_count, kind)
    }

    /// Gives the boot another id and keeps everything else, as for a container that is begun anew on a machine that stays up.
    pub fn rename_boot(&self) {
        self.world.lock().boot += 1;
    }

    /// Starts the machine again. A pending `crash_at` is forgotten; faults, capacity and read-only stay.
    pub fn restart(&self) {
        let mut world = self.world.lock();
        world.is_down = false;
        world.crash_at = None;
    }

    /// Whether the machine is down.
    pub fn is_down(&self) -> bool {
        self.world.lock().is_down
    }

    /// How many operations that change something were asked for, failed ones included.
    pub fn ops(&self) -> u64 {
        self.world.lock().op_count
    }

    /// Makes operations fail. Faults add up.
    ///
    /// A failed write leaves a prefix, drawn from the seed; a failed `sync_data` drops the file's unsynced sectors as
    /// Linux does: programs go on seeing them, no later sync writes them.
    pub fn inject(&self, fault: Fault) {
        self.world.lock().faults.push(fault);
    }

    /// Ends all faults.
    pub fn clear_faults(&self) {
        self.world.lock().faults.clear();
    }

    /// Space for file data in bytes, counted in pages of 4 KiB; 1 TiB at first. What is there already stays.
    pub fn set_capacity(&self, size: u64) {
        self.world.lock().capacity = size;
    }

    /// What [`space`](Disk::space) says is free in this directory and below, as if it were a disk of its own. Only says:
    /// writes there find room all the same.
    pub fn set_available_below(&self, dir: &Path, size: u64) {
        self.world.lock().available_below.insert(dir.to_owned(), size);
    }

    /// While on, whatever would change something fails with `ReadOnlyFilesystem`, syncs too.
    pub fn set_read_only(&self, is_read_only: bool) {
        self.world.lock().is_read_only = is_read_only;
    }

    /// Makes each `sync_data` take some time up to this, drawn from the seed, so that other threads' calls fall into it.
    /// It owes what was written before it began, and no more.
    pub fn set_sync_delay(&self, max: Duration) {
        self.world.lock().sync_delay_max = max;
    }

    /// Removes a file or directory with all below, as an administrator's `rm -rf` would. Open files go on working, syncs
    /// included, and have no name. A power cut may undo it, name by name. No operation is counted.
    pub fn remove_tree(&self, path: &Path) -> io::Result<()> {
        self.world.lock().remove_tree(path)
    }

    /// The last 256 operations and crashes, a line each, oldest first.
    pub fn trace(&self) -> String {
        self.world.lock().trace.text()
    }

    /// All files and directories, sorted. Works on a machine that is down.
    pub fn entries(&self) -> Vec<Entry> {
        let world = self.world.lock();
        let mut found = Vec::new();
        let mut to_visit = vec![PathBuf::from("/")];
        while let Some(dir) = to_visit.pop() {
            let entries = list(&world, &dir).expect("it was listed as a directory");
            to_visit.extend(entries.iter().filter(|entry| entry.is_dir).map(|entry| entry.path.clone()));
            found.extend(entries);
        }
        found.sort();
        found
    }

    /// A file's whole content as programs see it. Works on a machine that is down.
    pub fn read_file(&self, path: &Path) -> io::Result<Vec<u8>> {
        let world = self.world.lock();
        let image = world.image(world.find_file(path)?);
        let mut bytes = vec![0; image.size() as usize];
        image.read(&mut bytes, 0);
        Ok(bytes)
    }

    /// Flips the bits of `xor` in one byte, in the cache and on the medium. `UnexpectedEof` behind the end.
    pub fn corrupt(&self, path: &Path, offset: u64, xor: u8) -> io::Result<()> {
        let mut world = self.world.lock();
        let ino = world.find_file(path)?;
        if offset >= world.image(ino).size() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        world.image_mut(ino).0.corrupt(offset, xor);
        Ok(())
    }

    /// Gives a file another length on the medium too, and makes what is left durable.
    pub fn truncate(&self, path: &Path, size: u64) -> io::Result<()> {
        let mut world = self.world.lock();
        let ino = world.find_file(path)?;
        world.image_mut(ino).0.become_durable(size);
        Ok(())
    }

    fn opened(&self, world: &mut World, ino: Ino, path: &Path) -> Arc<dyn File> {
        Arc::new(SimFile {
            world: Arc::clone(&self.world),
            ino,
            epoch: world.epoch,
            path: path.into(),
            latch: Latch::default(),
            syncing: world.open(ino),
        })
    }

    /// The world of a machine that is up, and of this process.
    fn up(&self) -> io::Result<MutexGuard<'_, World>> {
        let world = self.world.lock();
        world.check_epoch(self.epoch.unwrap_or(world.epoch))?;
        world.check_up()?;
        Ok(world)
    }
}

impl Disk for SimDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut world = self.up()?;
        let ino = world.create(path)?;
        Ok(self.opened(&mut world, ino, path))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut world = self.up()?;
        let ino = world.find_file(path)?;
        Ok(self.opened(&mut world, ino, path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.up()?.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.up()?.remove(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let world = self.up()?;
        list(&world, dir)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.up()?.create_dir_all(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.up()?.sync_dir(dir)
    }

    fn space(&self, dir: &Path) -> io::Result<Space> {
        let world = self.up()?;
        world.names.find(dir)?;
        let own = world.available_below.iter().find(|(below, _)| dir.starts_with(below));
        Ok(Space { available: own.map_or_else(|| world.available(), |(_, size)| *size), total: world.capacity })
    }

    /// The same for every directory, without any operation.
    fn probe(&self, dir: &Path) -> io::Result<Probe> {
        let world = self.up()?;
        world.names.find_dir(dir)?;
        Ok(Probe {
            file_system: "sim".to_owned(),
            mount_point: PathBuf::from("/"),
            device: "memory".to_owned(),
            write_cache: Some(WriteCache::Back),
            sync: SyncTimes { count: 32, median: Duration::from_micros(100), max: Duration::from_micros(200) },
            warnings: Vec::new(),
        })
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        let mut world = self.up()?;
        let ino = world.lock(path)?;
        Ok(Box::new(SimLock { world: Arc::clone(&self.world), ino, epoch: world.epoch, path: path.to_owned() }))
    }

    fn boot_id(&self) -> io::Result<u128> {
        let world = self.world.lock();
        world.check_up()?;
        Ok(world.boot)
    }

    fn mount_id(&self, dir: &Path) -> io::Result<u64> {
        let world = self.up()?;
        world.names.find_dir(dir)?;
        Ok(world.mount)
    }
}

fn list(world: &World, dir: &Path) -> io::Result<Vec<Entry>> {
    let ino = world.names.find_dir(dir)?;
    let entry = |(name, ino)| Entry { path: dir.join(name), is_dir: world.names.is_dir(ino) };
    Ok(world.names.entries(ino).map(entry).collect())
}
