//! A file that holds space for the manifest: on a full disk it makes room for the record that frees more. A record that
//! frees nothing (a flush) takes what it needs, and leaves the rest.

use std::{io, path::PathBuf, sync::Arc};

use super::manifest;
use crate::disk::Disk;

/// Enough for a new manifest, twice, of a hundred thousand parts.
const SIZE: u64 = 8 << 20;
/// By how much it shrinks where it is not all left: many times a record.
const STEP: u64 = 1 << 20;

/// The file, there or not.
pub(crate) struct Reserve {
    disk: Arc<dyn Disk>,
    path: PathBuf,
}

impl Reserve {
    pub(crate) fn new(disk: Arc<dyn Disk>, path: PathBuf) -> Self {
        Self { disk, path }
    }

    /// Bytes it holds when it is there.
    pub(crate) const fn size() -> u64 {
        SIZE
    }

    /// Writes to the manifest; on a full disk once more, in its space.
    pub(crate) fn within<T>(
        &self,
        mut write: impl FnMut() -> Result<T, manifest::Error>,
    ) -> Result<T, manifest::Error> {
        match write() {
            Err(error) if error.is_full() && self.release() => write(),
            written => written,
        }
    }

    /// Gives its space back to the disk. Whether there was any.
    pub(crate) fn release(&self) -> bool {
        self.disk.remove(&self.path).is_ok()
    }

    /// Takes again what is left of the space, after a record was made in it that frees nothing.
    pub(crate) fn keep_rest(&self) {
        let sizes = (1..=SIZE / STEP).rev().map(|steps| steps * STEP);
        for size in sizes {
            // Where all of it is used up, room that comes back is taken by the flusher's turn.
            if self.make(size).is_ok() {
                return;
            }
        }
    }

    fn make(&self, size: u64) -> io::Result<()> {
        let file = self.disk.create(&self.path)?;
        file.allocate(size).inspect_err(|_| drop(self.disk.remove(&self.path)))
    }

    /// Takes the space again, where it is not held. A file cut short by a full disk is removed.
    pub(crate) fn hold(&self) -> io::Result<()> {
        match self.disk.create(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // A crash may have cut it short.
                let file = self.disk.open(&self.path)?;
                if file.size()? < SIZE { file.allocate(SIZE) } else { Ok(()) }
            }
            Err(error) => Err(error),
            Ok(file) => file.allocate(SIZE).inspect_err(|_| drop(self.disk.remove(&self.path))),
        }
    }
}
