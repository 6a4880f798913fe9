//! A data directory before anything in it is read: made, locked, and known to hold data or not.

use std::{io, path::Path};

use super::{Error, Paths, io_error, logdirs::LogDirs};
use crate::{
    disk::{self, Disk, Entry, Lock},
    stage::{FileKind, list_files},
};

pub(crate) fn take_lock(disk: &dyn Disk, paths: &Paths) -> Result<Box<dyn Lock>, Error> {
    disk.lock(&paths.lock()).map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => Error::Locked(paths.root.clone()),
        _ => io_error("lock", &paths.lock())(source),
    })
}

pub(crate) fn list(disk: &dyn Disk, dir: &Path) -> Result<Vec<Entry>, Error> {
    disk.list(dir).map_err(io_error("list", dir))
}

/// Whether there is anything that a manifest should tell of. Without one, parts would be strays, and batches of the stage
/// of no known start: rather than move or drop them, say so.
pub(crate) fn holds_data(disk: &dyn Disk, paths: &Paths, logs: &LogDirs) -> Result<bool, Error> {
    let is_current = |entry: &Entry| entry.path == paths.root.join("CURRENT");
    let dirs = [paths.partitions(), paths.wal(), paths.containers()];
    let is_filled = dirs.iter().map(|dir| list(disk, dir).map(|entries| !entries.is_empty()));
    let has_segments = logs.read.iter().map(|dir| Ok(!list_files(disk, dir, FileKind::Log)?.is_empty()));
    let any = is_filled.chain(has_segments).collect::<Result<Vec<_>, Error>>()?.contains(&true);
    Ok(any || list(disk, &paths.root)?.iter().any(is_current))
}

pub(crate) fn make_dirs(disk: &dyn Disk, paths: &Paths) -> Result<(), Error> {
    let dirs = [paths.root.clone(), paths.wal(), paths.containers(), paths.partitions(), paths.quarantine()];
    for dir in &dirs {
        disk::make_dir(disk, dir).map_err(io_error("create directory", dir))?;
    }
    Ok(())
}
