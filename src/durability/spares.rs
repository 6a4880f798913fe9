//! Files for segments to come: retired ones, and one made ahead, so that the committer need not wait for zeros.
//!
//! Making a segment of 32 MiB takes as long as writing it. A file whose frames are all in parts, or one that was made
//! while nobody waited, takes a rename and the sync of a directory: 0.6 to 6 ms instead of 20 to 25 (deciles of nine
//! rounds on ext4 over virtio, machine busy).
//! A file made ahead is named `spare-000001`, which no start takes for a segment; the next start removes it.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;

use crate::{
    disk::{Disk, File},
    durability::copies::remove,
    stage,
};

/// Retired segments kept for reuse: enough for the log of one generation at the default sizes.
const SPARES_MAX: usize = 8;

/// What a spare made ahead is named after.
const PREFIX: &str = "spare-";

/// The files of a segment, all its copies.
pub(crate) struct Spare {
    /// One in each of the log's directories.
    pub(crate) files: Vec<(PathBuf, Arc<dyn File>)>,
    /// Bytes of each.
    pub(crate) size: u64,
}

/// Spares, and whether one is wanted.
#[derive(Default)]
pub(crate) struct Spares(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    ready: Vec<Spare>,
    /// None is left: one should be made in these directories, of this size.
    wanted: Option<(Vec<PathBuf>, u64)>,
    made: u64,
}

impl Spares {
    /// Takes one of a size. Those of another size, which an earlier mode left, are removed.
    pub(crate) fn take(&self, disk: &dyn Disk, size: u64) -> Option<Spare> {
        loop {
            let spare = self.0.lock().ready.pop()?;
            if spare.size == size {
                return Some(spare);
            }
            discard(disk, &spare);
        }
    }

    /// Asks for one to be made if there is none.
    pub(crate) fn want(&self, dirs: &[PathBuf], size: u64) {
        let mut inner = self.0.lock();
        inner.wanted = inner.ready.is_empty().then(|| (dirs.to_vec(), size));
    }

    /// Keeps a retired one; gives it back where there are enough.
    pub(crate) fn keep(&self, spare: Spare) -> Result<(), Spare> {
        let mut inner = self.0.lock();
        if inner.ready.len() >= SPARES_MAX {
            return Err(spare);
        }
        inner.ready.push(spare);
        inner.wanted = None;
        Ok(())
    }

    /// The directories and the size of the spare that should be made.
    pub(crate) fn wanted(&self) -> Option<(Vec<PathBuf>, u64)> {
        self.0.lock().wanted.clone()
    }

    /// Makes the spare that is wanted. Its names are durable once it is in use. After a failure none is made until the
    /// next is asked for: the committer can make its own.
    pub(crate) fn make(&self, disk: &dyn Disk) -> Result<(), stage::Error> {
        let (number, (dirs, size)) = {
            let mut inner = self.0.lock();
            let Some(wanted) = inner.wanted.take() else { return Ok(()) };
            inner.made += 1;
            (inner.made, wanted)
        };
        let mut spare = Spare { files: Vec::new(), size };
        for dir in &dirs {
            let made = make_file(disk, dir.join(format!("{PREFIX}{number:06}")), size, &mut spare);
            made.inspect_err(|_| discard(disk, &spare))?;
        }
        self.0.lock().ready.push(spare);
        Ok(())
    }

    /// Removes all.
    pub(crate) fn clear(&self, disk: &dyn Disk) {
        let mut inner = self.0.lock();
        inner.wanted = None;
        inner.ready.drain(..).for_each(|spare| discard(disk, &spare));
    }
}

fn make_file(disk: &dyn Disk, path: PathBuf, size: u64, spare: &mut Spare) -> Result<(), stage::Error> {
    let failed = |action| {
        let path = path.clone();
        move |source| stage::Error::Io { action, path, source }
    };
    let file = disk.create(&path).map_err(failed("create"))?;
    let allocated = file.allocate(size).map_err(failed("reserve space for"));
    spare.files.push((path, file));
    allocated
}

fn discard(disk: &dyn Disk, spare: &Spare) {
    for (path, file) in &spare.files {
        // What cannot be removed now, the next start removes: all it holds is in parts.
        let _ = remove(disk, path, &**file);
    }
}

/// Removes the spares that an earlier start made ahead and did not use.
pub fn remove_spares(disk: &dyn Disk, dir: &Path) -> Result<(), stage::Error> {
    let listed = disk.list(dir).map_err(|source| stage::Error::Io { action: "list", path: dir.to_owned(), source })?;
    let is_spare = |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX));
    let remove = |path: &Path| match disk.remove(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(stage::Error::Io { action: "remove", path: path.to_owned(), source })
        }
        _ => Ok(()),
    };
    listed.iter().filter(|entry| is_spare(&entry.path)).try_for_each(|entry| remove(&entry.path))
}
