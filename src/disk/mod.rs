//! The only door to files.
//!
//! [`Disk`] is the trait everything above speaks; [`RealDisk`] is the operating system's, [`SimDisk`] one in memory
//! that forgets what was not synced, tears pages, loses directory entries, and fails on demand, all from one seed.
//!
//! Always: a path is absolute or relative to nothing but the process; `write_at` writes all or fails; data is durable
//! only after `sync_data`, a name only after `sync_dir` of its directory. After a failed write or sync of a file, every
//! further write and sync of that file handle fails too: the kernel may have dropped the pages, and a retry would lie.
//! Not here: what is in the files.
//!
//! What a file owes to which call, as [`Model::Strict`] of the simulated disk has it:
//!
//! | to keep over a power cut | call |
//! |---|---|
//! | bytes and length of a file | `sync_data` of the file |
//! | a file's new name, its rename, its removal | `sync_dir` of every directory whose entries changed |
//! | a new directory | `sync_dir` of its parent, for each parent that was made |
//!
//! A killed process loses none of these; the kernel keeps them.

mod latch;
mod probe;
mod real;
mod search;
mod sim;

#[cfg(test)]
mod tests;

pub use probe::{Probe, SyncTimes, WriteCache};
pub use real::RealDisk;
pub use search::find_back;
pub use sim::{CrashKind, Errno, Fault, Model, OpKind, SECTOR_SIZE, SimDisk};

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// A directory's entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The whole path.
    pub path: PathBuf,
    /// Whether it is a directory.
    pub is_dir: bool,
}

/// Space of the file system below a directory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Free for us.
    pub available: u64,
    /// In all.
    pub total: u64,
}

/// A file system.
pub trait Disk: Send + Sync + 'static {
    /// Makes a new, empty file, open for reading and writing; `AlreadyExists` where there is one.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>>;
    /// Opens a file for reading and writing; `NotFound` where there is none.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>>;
    /// Gives a file or directory another name, replacing a file of that name. Durable after `sync_dir` of both parents.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file's name, or an empty directory. Durable after `sync_dir` of its parent. Handles stay usable.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// The entries of a directory, sorted; `NotFound` where there is none.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;
    /// Makes a directory and its missing parents; no error where it is there. Durable after `sync_dir` of the parents.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Free and total space.
    fn space(&self, dir: &Path) -> io::Result<Space>;
    /// What the directory stands on: file system, device, and what a sync takes. Writes a little, and takes it away.
    fn probe(&self, dir: &Path) -> io::Result<Probe>;
    /// Locks a file, made if missing, for this process until the guard goes; `WouldBlock` where another holds it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>>;
    /// Which boot of the machine this is: a number that no other boot has.
    fn boot_id(&self) -> io::Result<u128>;
    /// Which mount of a file system holds a directory: a number, not 0, that no other mount of this boot has or had. As long
    /// as both it and the boot stay, what was written is still there, synced or not. `Unsupported` where nobody can tell.
    fn mount_id(&self, dir: &Path) -> io::Result<u64>;
}

/// Holds a lock until it is dropped.
pub trait Lock: Send + Sync {
    /// Whether the path that was locked still leads to the locked file. It does not once somebody removed, moved away or
    /// replaced the directory around it: then another process may hold the path, and our files are no longer found there.
    fn is_held(&self) -> io::Result<bool>;
}

/// An open file. Reads and writes name their offset, so a handle can be shared by threads.
pub trait File: Send + Sync {
    /// Reads up to `buf.len()` bytes at `offset`; less only at the end of the file.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `buf` at `offset`, growing the file as needed.
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()>;
    /// Makes the file's data and length durable (fdatasync).
    fn sync_data(&self) -> io::Result<()>;
    /// Whether the file still has a name. A sync of one that has none succeeds and keeps nothing: ask after it.
    fn is_linked(&self) -> io::Result<bool>;
    /// Whether a path leads to this file. It does not where the file was renamed or removed, or a directory on the way was
    /// replaced: then what is there, if anything, may be another server's.
    fn is_at(&self, path: &Path) -> io::Result<bool>;
    /// The file's length in bytes.
    fn size(&self) -> io::Result<u64>;
    /// Cuts or extends (with zeros) the file.
    fn set_size(&self, size: u64) -> io::Result<()>;
    /// Reserves space for the first `size` bytes and makes the file at least that long, reading as zeros where nothing
    /// was written, so that later writes there neither lack space nor make `sync_data` update metadata. It costs as
    /// much as writing what it adds. Nothing is durable before `sync_data`. `StorageFull` where the disk has not that much;
    /// then the file is as it was, though its handle may refuse from now on.
    fn allocate(&self, size: u64) -> io::Result<()>;

    /// Reads exactly `buf.len()` bytes at `offset`; `UnexpectedEof` where the file ends before.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        match self.read_at(buf, offset)? {
            n if n == buf.len() => Ok(()),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// Whether a disk, or its file system, does not give what is there: a bad sector, a cable, a checksum below. It may again.
pub fn is_unreadable(error: &io::Error) -> bool {
    let known = [Errno::IO, Errno::NODATA, Errno::UCLEAN, Errno::BADMSG];
    Errno::from_io_error(error).is_some_and(|errno| known.contains(&errno))
}

/// Syncs a file whose name must lead to it afterwards: one that was removed meanwhile would be lost with its last handle.
pub fn sync_linked(file: &dyn File) -> io::Result<()> {
    file.sync_data()?;
    match file.is_linked()? {
        true => Ok(()),
        false => Err(io::Error::new(io::ErrorKind::NotFound, "the file was removed while it was open")),
    }
}

/// Gives the file at `path` the content `bytes`, such that after any crash it has the old content or the new one, and
/// after `Ok` the new one.
///
/// The bytes go to `path` + `.tmp`, are synced, take the name `path`, and the directory is synced. A left-over `.tmp` of
/// an earlier crash is replaced. One caller at a time per path.
pub fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = aside(path);
    let file = create_anew(disk, &aside)?;
    file.write_at(bytes, 0)?;
    file.sync_data()?;
    disk.rename(&aside, path)?;
    disk.sync_dir(parent(path))
}

/// Makes a directory and its missing parents, their names durable when this returns; also where it is there already, since
/// an earlier call may have been cut short by a crash.
pub fn make_dir(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    match disk.list(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_dir(disk, parent(dir))?;
            disk.create_dir_all(dir)?;
        }
        found => drop(found?),
    }
    disk.sync_dir(parent(dir))
}

fn aside(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".tmp");
    name.into()
}

fn create_anew(disk: &dyn Disk, path: &Path) -> io::Result<Arc<dyn File>> {
    match disk.create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            disk.remove(path)?;
            disk.create(path)
        }
        created => created,
    }
}

/// The directory that holds `path`; `.` for a bare name.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}
