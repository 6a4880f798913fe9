//! The one state behind all handles of a simulated disk, and every operation on it.

use super::{
    CrashKind, Model,
    fault::{Event, Fault, OpKind, Trace},
    image::{Image, PAGE_SIZE},
    names::{Ino, Names, Place},
};
use fastrand::Rng;
use rustix::io::Errno;
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;

/// What a disk holds until somebody says otherwise, in bytes: more than a test writes, and no overflow in sums of it.
const DEFAULT_CAPACITY: u64 = 1 << 40;

pub(super) struct World {
    pub(super) model: Model,
    pub(super) capacity: u64,
    /// Directories that say another amount is free.
    pub(super) available_below: BTreeMap<PathBuf, u64>,
    pub(super) is_read_only: bool,
    /// A sync takes any time up to this.
    pub(super) sync_delay_max: Duration,
    pub(super) crash_at: Option<(u64, CrashKind)>,
    pub(super) faults: Vec<Fault>,
    pub(super) trace: Trace,
    pub(super) op_count: u64,
    pub(super) is_down: bool,
    /// Raised by each crash; a handle of another epoch is dead.
    pub(super) epoch: u64,
    /// Raised by each power cut.
    pub(super) boot: u128,
    /// Which mount of the one file system.
    pub(super) mount: u64,
    rng: Rng,
    pub(super) names: Names,
    files: BTreeMap<Ino, Inode>,
    locked: BTreeSet<Ino>,
}

#[derive(Default)]
struct Inode {
    image: Image,
    /// Names programs see. Space is given back with the last name and the last handle.
    link_count: u32,
    open_count: u32,
    /// Held by the sync under way.
    syncing: Arc<Mutex<()>>,
}

/// What becomes of an operation.
enum Fate {
    Runs,
    Fails(io::Error),
    Dies(CrashKind),
}

impl World {
    pub(super) fn new(seed: u64, model: Model) -> Self {
        Self {
            model,
            capacity: DEFAULT_CAPACITY,
            available_below: BTreeMap::new(),
            is_read_only: false,
            sync_delay_max: Duration::ZERO,
            crash_at: None,
            faults: Vec::new(),
            trace: Trace::default(),
            op_count: 0,
            is_down: false,
            epoch: 0,
            boot: 1,
            mount: 1,
            rng: Rng::with_seed(seed),
            names: Names::new(),
            files: BTreeMap::new(),
            locked: BTreeSet::new(),
        }
    }

    // --- names ---

    /// Makes a file; does not open it.
    pub(super) fn create(&mut self, path: &Path) -> io::Result<Ino> {
        self.run(Event::new(OpKind::Create, path), |world| {
            let (place, None) = world.names.place(path)? else { return Err(ErrorKind::AlreadyExists.into()) };
            world.check_space()?;
            let ino = world.names.new_ino();
            world.files.insert(ino, Inode::default());
            world.set_names(vec![(place, Some(ino))]);
            Ok(ino)
        })
    }

    pub(super) fn find_file(&self, path: &Path) -> io::Result<Ino> {
        let ino = self.names.find(path)?;
        if self.names.is_dir(ino) { Err(ErrorKind::IsADirectory.into()) } else { Ok(ino) }
    }

    pub(super) fn create_dir_all(&mut self, dir: &Path) -> io::Result<()> {
        self.check_up()?;
        let mut made = PathBuf::new();
        for part in dir.components() {
            made.push(part);
            match self.names.find_dir(&made) {
                Err(error) if error.kind() == ErrorKind::NotFound => self.create_dir(&made)?,
                found => drop(found?),
            }
        }
        Ok(())
    }

    fn create_dir(&mut self, dir: &Path) -> io::Result<()> {
        self.run(Event::new(OpKind::Mkdir, dir), |world| {
            let (place, _) = world.names.place(dir)?;
            world.check_space()?;
            world.names.make_dir(place);
            Ok(())
        })
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.run(Event::new(OpKind::Rename, from).to(to), |world| {
            let (from_place, Some(ino)) = world.names.place(from)? else { return Err(ErrorKind::NotFound.into()) };
            let (to_place, replaced) = world.names.place(to)?;
            if replaced == Some(ino) {
                return Ok(());
            }
            world.check_replaces(from, to, ino, replaced)?;
            if let (Model::Ext4Like, Some(_), Some(file)) = (world.model, replaced, world.files.get_mut(&ino)) {
                file.image.sync();
            }
            world.set_names(vec![(from_place, None), (to_place, Some(ino))]);
            Ok(())
        })
    }

    fn check_replaces(&self, from: &Path, to: &Path, ino: Ino, replaced: Option<Ino>) -> io::Result<()> {
        if self.names.is_dir(ino) && to.starts_with(from) {
            return Err(ErrorKind::InvalidInput.into());
        }
        match replaced {
            Some(old) if self.names.is_dir(ino) && !self.names.is_dir(old) => Err(ErrorKind::NotADirectory.into()),
            Some(old) if self.names.is_dir(old) && !self.names.is_dir(ino) => Err(ErrorKind::IsADirectory.into()),
            Some(old) => self.names.check_empty(old),
            None => Ok(()),
        }
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.run(Event::new(OpKind::Remove, path), |world| {
            let (place, Some(ino)) = world.names.place(path)? else { return Err(ErrorKind::NotFound.into()) };
            world.names.check_empty(ino)?;
            world.set_names(vec![(place, None)]);
            Ok(())
        })
    }

    /// Takes away a file or directory with all below, as somebody else would: not counted, not stopped by anything.
    pub(super) fn remove_tree(&mut self, path: &Path) -> io::Result<()> {
        let (place, Some(ino)) = self.names.place(path)? else { return Err(ErrorKind::NotFound.into()) };
        if self.names.is_dir(ino) {
            let below: Vec<_> = self.names.entries(ino).map(|(name, _)| path.join(name)).collect();
            below.iter().try_for_each(|path| self.remove_tree(path))?;
        }
        self.trace.note(format!("-- removed: {}", path.display()));
        self.set_names(vec![(place, None)]);
        Ok(())
    }

    pub(super) fn sync_dir(&mut self, dir: &Path) -> io::Result<()> {
        self.run(Event::new(OpKind::SyncDir, dir), |world| {
            let ino = world.names.find_dir(dir)?;
            match world.model {
                Model::Strict => world.names.sync(ino),
                Model::Ext4Like => world.names.sync_all(),
            }
            world.forget_unreachable();
            Ok(())
        })
    }

    pub(super) fn lock(&mut self, path: &Path) -> io::Result<Ino> {
        self.check_up()?;
        let ino = match self.find_file(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => self.create(path)?,
            found => found?,
        };
        if self.locked.insert(ino) { Ok(ino) } else { Err(ErrorKind::WouldBlock.into()) }
    }

    pub(super) fn unlock(&mut self, ino: Ino, epoch: u64) {
        if epoch == self.epoch {
            self.locked.remove(&ino);
        }
    }

    // --- files ---

    /// Opens a file; the lock is for its syncs.
    pub(super) fn open(&mut self, ino: Ino) -> Arc<Mutex<()>> {
        let file = self.file(ino);
        file.open_count += 1;
        Arc::clone(&file.syncing)
    }

    pub(super) fn close(&mut self, ino: Ino, epoch: u64) {
        if epoch == self.epoch {
            self.file(ino).open_count -= 1;
        }
    }

    pub(super) fn read(&mut self, ino: Ino, buf: &mut [u8], offset: u64, event: &Event) -> io::Result<usize> {
        match self.meet_faults(event) {
            Some(errno) => Err(errno.into()),
            None => Ok(self.image(ino).read(buf, offset)),
        }
    }

    pub(super) fn image(&self, ino: Ino) -> &Image {
        &self.files[&ino].image
    }

    pub(super) fn is_linked(&self, ino: Ino) -> bool {
        self.files[&ino].link_count > 0
    }

    /// Writes; a failing one may leave a prefix, a dying one any part.
    pub(super) fn write(&mut self, ino: Ino, buf: &[u8], offset: u64, event: Event) -> io::Result<()> {
        let size = buf.len() as u64;
        let fate = self.fate(event);
        let written = match &fate {
            Fate::Runs => self.fitting(ino, offset, size),
            Fate::Fails(error) if error.kind() == ErrorKind::ReadOnlyFilesystem => 0,
            Fate::Fails(_) => self.rng.u64(..=size),
            Fate::Dies(CrashKind::FileSystem | CrashKind::PowerNone) => 0,
            Fate::Dies(CrashKind::PowerRandom) => size,
            Fate::Dies(CrashKind::Process) => self.some_pages(offset, size),
        };
        let (image, rng) = self.image_mut(ino);
        image.write(&buf[..written as usize], offset, rng);
        let result = self.settle(fate);
        if result.is_ok() && written < size { Err(self.note(Errno::NOSPC.into())) } else { result }
    }

    pub(super) fn set_size(&mut self, ino: Ino, size: u64, event: Event) -> io::Result<()> {
        self.run(event, |world| {
            let (image, rng) = world.image_mut(ino);
            image.set_size(size, rng);
            Ok(())
        })
    }

    pub(super) fn allocate(&mut self, ino: Ino, size: u64, event: Event) -> io::Result<()> {
        self.run(event, |world| {
            if world.image(ino).missing_reserve(size) > world.available() {
                return Err(Errno::NOSPC.into());
            }
            let (image, rng) = world.image_mut(ino);
            image.reserve(size, rng);
            Ok(())
        })
    }

    /// Begins a sync: how long it takes, and whether it will succeed.
    pub(super) fn begin_sync(&mut self, ino: Ino, event: Event) -> (Duration, io::Result<()>) {
        let fate = self.fate(event);
        match fate {
            Fate::Runs => self.image_mut(ino).0.begin_sync(),
            Fate::Fails(_) => self.image_mut(ino).0.fail_sync(),
            Fate::Dies(_) => {}
        }
        let time = match self.sync_delay_max.as_nanos() as u64 {
            0 => Duration::ZERO,
            max => Duration::from_nanos(self.rng.u64(..=max)),
        };
        (time, self.settle(fate))
    }

    pub(super) fn end_sync(&mut self, ino: Ino) {
        let is_metadata_new = self.image(ino).has_unsynced_size() || self.names.has_unsynced_name(ino);
        if self.model == Model::Ext4Like && is_metadata_new {
            self.names.sync_all();
        }
        self.image_mut(ino).0.end_sync();
    }

    // --- crashes ---

    /// Picks one of the next `op_count` operations to die at.
    pub(super) fn crash_within(&mut self, op_count: u64, kind: CrashKind) -> u64 {
        let op = self.op_count + self.rng.u64(..op_count.max(1));
        self.crash_at = Some((op, kind));
        op
    }

    pub(super) fn crash(&mut self, kind: CrashKind) {
        if self.is_down {
            return;
        }
        self.trace.note(format!("-- crash: {kind:?}"));
        self.is_down = true;
        self.crash_at = None;
        self.epoch += 1;
        self.boot += u128::from(matches!(kind, CrashKind::PowerNone | CrashKind::PowerRandom));
        self.mount += u64::from(kind != CrashKind::Process);
        self.locked.clear();
        self.files.values_mut().for_each(|file| file.open_count = 0);
        match kind {
            CrashKind::Process => {}
            CrashKind::FileSystem | CrashKind::PowerNone => {
                self.names.forget_unsynced();
                self.files.values_mut().for_each(|file| file.image.forget_unsynced());
            }
            CrashKind::PowerRandom => {
                self.names.keep_some(self.model, &mut self.rng);
                self.files.values_mut().for_each(|file| file.image.keep_some(&mut self.rng));
            }
        }
        let link_counts = self.names.link_counts();
        for (ino, file) in &mut self.files {
            file.link_count = link_counts.get(ino).copied().unwrap_or(0);
        }
        self.forget_unreachable();
    }

    pub(super) fn check_up(&self) -> io::Result<()> {
        if self.is_down { Err(gone()) } else { Ok(()) }
    }

    pub(super) fn check_epoch(&self, epoch: u64) -> io::Result<()> {
        if epoch == self.epoch { Ok(()) } else { Err(gone()) }
    }

    fn file(&mut self, ino: Ino) -> &mut Inode {
        self.files.get_mut(&ino).expect("a file stays while it is open or has a name")
    }

    /// A file's bytes, and the dice that changing them takes.
    pub(super) fn image_mut(&mut self, ino: Ino) -> (&mut Image, &mut Rng) {
        let file = self.files.get_mut(&ino).expect("a file stays while it is open or has a name");
        (&mut file.image, &mut self.rng)
    }

    fn run<T>(&mut self, event: Event, body: impl FnOnce(&mut Self) -> io::Result<T>) -> io::Result<T> {
        let fate = self.fate(event);
        self.settle(fate)?;
        body(self).map_err(|error| self.note(error))
    }

    /// Counts an operation, traces it, and says what becomes of it.
    fn fate(&mut self, event: Event) -> Fate {
        if let Err(error) = self.check_up() {
            return Fate::Fails(error);
        }
        if let Some((op, kind)) = self.crash_at
            && op <= self.op_count
        {
            self.trace.op(self.op_count, event);
            return Fate::Dies(kind);
        }
        let errno = self.meet_faults(&event).or(self.is_read_only.then_some(Errno::ROFS));
        self.trace.op(self.op_count, event);
        self.op_count += 1;
        errno.map_or(Fate::Runs, |errno| Fate::Fails(self.note(errno.into())))
    }

    fn meet_faults(&mut self, event: &Event) -> Option<Errno> {
        self.faults.iter_mut().map(|fault| fault.meet(event)).fold(None, Option::or)
    }

    fn settle(&mut self, fate: Fate) -> io::Result<()> {
        match fate {
            Fate::Runs => Ok(()),
            Fate::Fails(error) => Err(error),
            Fate::Dies(kind) => {
                self.crash(kind);
                Err(gone())
            }
        }
    }

    fn note(&mut self, error: io::Error) -> io::Error {
        self.trace.failed(&error);
        error
    }

    /// A killed process may have got part of a write into the cache, page by page.
    fn some_pages(&mut self, offset: u64, size: u64) -> u64 {
        let end = self.rng.u64(offset..=offset + size);
        if end == offset + size { size } else { (end - end % PAGE_SIZE).saturating_sub(offset) }
    }

    // --- space ---

    pub(super) fn available(&self) -> u64 {
        let in_use = self.files.values().filter(|file| file.link_count > 0 || file.open_count > 0);
        self.capacity.saturating_sub(in_use.map(|file| file.image.used()).sum())
    }

    fn check_space(&self) -> io::Result<()> {
        if self.available() == 0 { Err(Errno::NOSPC.into()) } else { Ok(()) }
    }

    /// How much of a write there is space for.
    fn fitting(&self, ino: Ino, offset: u64, size: u64) -> u64 {
        let mut missing = self.image(ino).missing_pages(offset, size).peekable();
        if missing.peek().is_none() {
            return size;
        }
        let fits_count = (self.available() / PAGE_SIZE) as usize;
        missing.nth(fits_count).map_or(size, |page| (page * PAGE_SIZE).saturating_sub(offset))
    }

    fn set_names(&mut self, changes: Vec<(Place, Option<Ino>)>) {
        for (place, to) in &changes {
            let replaced = self.names.at(place);
            if let Some(file) = replaced.and_then(|ino| self.files.get_mut(&ino)) {
                file.link_count -= 1;
            }
            if let Some(file) = to.and_then(|ino| self.files.get_mut(&ino)) {
                file.link_count += 1;
            }
        }
        self.names.set(changes);
    }

    fn forget_unreachable(&mut self) {
        let referenced = self.names.referenced();
        self.files.retain(|ino, file| file.open_count > 0 || referenced.contains(ino));
    }
}

fn gone() -> io::Error {
    io::Error::other("the machine is gone: the simulated disk crashed after this was opened, or was not restarted")
}
