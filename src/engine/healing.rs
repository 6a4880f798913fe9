//! The disk watched, and writes that stop and go on again.
//!
//! ```text
//! a write or sync of the stage fails ─► broken: its generation is flushed at once ─► mended
//!                                                 │ fails, too
//! no room, no directory, a group that fits no file ─► stopped: writes are refused, reads go on
//!                                                 │ all that is in memory is in parts, there is room
//!                                                 └► the committer opens a fresh file: writes go on
//! ```

use std::{path::PathBuf, time::Duration};

use super::{Engine, Error};
use crate::{disk::Space, durability::error_chain};

impl Engine {
    /// One turn of the flusher: looks after the disk, then does the most urgent thing there is to write, if any. Whether
    /// something was written.
    pub fn flush_step(&self, now: Duration) -> Result<bool, Error> {
        let problem = self.problem_of_disks();
        if let Some(problem) = &problem {
            self.durability.stop(problem);
        }
        self.check_directory()?;
        self.make_spare();
        let flushed = self.flush_next(now);
        // On a full disk their space is wanted.
        self.durability.remove_unused(&*self.disk);
        match &flushed {
            // Who waits for the flush waits in vain.
            Err(error) if self.durability.is_broken() => drop(self.durability.stop(&error_chain(error))),
            Ok(_) if problem.is_none() && self.durability.stopped().is_some() => self.durability.request_healing(),
            _ => {}
        }
        flushed
    }

    /// Makes a log segment ahead, where one is wanted and there is room. Without it the committer makes its own.
    fn make_spare(&self) {
        let Some((dirs, size)) = self.durability.wanted_spare() else { return };
        let has_room =
            |dir: &PathBuf| self.disk.space(dir).is_ok_and(|space| space.available > self.floor(space) + 4 * size);
        if self.durability.stopped().is_some() || self.durability.is_broken() || !dirs.iter().all(has_room) {
            return;
        }
        if let Err(error) = self.durability.make_spare(&*self.disk) {
            tracing::warn!("make a log segment ahead: {}", error_chain(&error));
        }
    }

    /// Fails where the data directory's path no longer leads to what was opened: whatever is written there would be lost,
    /// or would destroy what is another server's by now.
    pub(super) fn check_directory(&self) -> Result<(), Error> {
        match self.lock.is_held() {
            Ok(true) => Ok(()),
            _ => Err(Error::Gone(self.paths.root.clone())),
        }
    }

    /// Free bytes that are kept. On a small disk, fewer.
    pub(super) fn floor(&self, space: Space) -> u64 {
        self.options.free_space_min.min(space.total / 50)
    }
}
