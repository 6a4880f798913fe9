//! The only door to files.
//!
//! [`Disk`] is the trait everything above speaks; [`RealDisk`] is the operating system's, [`SimDisk`] one in memory
//! that forgets what was not synced, tears pages, loses directory entries, and fails on demand, all from one seed.
//!
//! Always: a path is absolute or relative to nothing but the process; `write_at` writes all or fails; data is durable
//! only after `sync_data`, a name only after `sync_dir` of its directory. After a failed sync of a file, every further
//! write and sync of that file handle fails too: the kernel may have dropped the pages, and a retry would lie.
//! Not here: what is in the files.

use std::{
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
    /// Removes a file's name. Durable after `sync_dir`.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// The entries of a directory, sorted; `NotFound` where there is none.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;
    /// Makes a directory and its missing parents; no error where it is there. Durable after `sync_dir` of the parents.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Free and total space.
    fn space(&self, dir: &Path) -> io::Result<Space>;
    /// Locks a file, made if missing, for this process until the guard goes; `WouldBlock` where another holds it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>>;
}

/// Holds a lock until it is dropped.
pub trait Lock: Send + Sync {}

/// An open file. Reads and writes name their offset, so a handle can be shared by threads.
pub trait File: Send + Sync {
    /// Reads up to `buf.len()` bytes at `offset`; less only at the end of the file.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `buf` at `offset`, growing the file as needed.
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()>;
    /// Makes the file's data and length durable (fdatasync).
    fn sync_data(&self) -> io::Result<()>;
    /// The file's length in bytes.
    fn size(&self) -> io::Result<u64>;
    /// Cuts or extends (with zeros) the file.
    fn set_size(&self, size: u64) -> io::Result<()>;
    /// Reserves space for the first `size` bytes and makes the file at least that long, reading as zeros where nothing
    /// was written. `StorageFull` where the disk has not that much.
    fn allocate(&self, size: u64) -> io::Result<()>;

    /// Reads exactly `buf.len()` bytes at `offset`; `UnexpectedEof` where the file ends before.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        match self.read_at(buf, offset)? {
            n if n == buf.len() => Ok(()),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}
