//! A data directory before anything in it is read: made, locked, and known to hold data or not.

use std::{io, path::Path};

use super::{Error, Paths, io_error};
use crate::disk::{Disk, Entry, Lock};

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
pub(crate) fn holds_data(disk: &dyn Disk, paths: &Paths) -> Result<bool, Error> {
    let is_current = |entry: &Entry| entry.path == paths.root.join("CURRENT");
    let dirs = [vec![paths.partitions(), paths.containers()], paths.wals()].concat();
    let is_file = |entry: &Entry| !entry.path.ends_with("quarantine");
    let is_filled = dirs.iter().map(|dir| list(disk, dir).map(|entries| entries.iter().any(is_file)));
    Ok(list(disk, &paths.root)?.iter().any(is_current) || is_filled.collect::<Result<Vec<_>, _>>()?.contains(&true))
}

pub(crate) fn make_dirs(disk: &dyn Disk, paths: &Paths) -> Result<(), Error> {
    let dirs = [paths.root.clone(), paths.containers(), paths.partitions(), paths.quarantine()];
    let dirs = [dirs.to_vec(), paths.wals()].concat();
    for dir in &dirs {
        crate::disk::make_dir(disk, dir).map_err(io_error("create directory", dir))?;
    }
    Ok(())
}
