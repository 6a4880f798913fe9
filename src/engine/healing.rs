//! The disk watched, and writes that stop and go on again.
//!
//! ```text
//! a write or sync of the stage fails ─► broken: its generation is flushed at once ─► mended
//!                                                 │ fails, too
//! no room, no directory, a group that fits no file ─► stopped: writes are refused, reads go on
//!                                                 │ all that is in memory is in parts, there is room
//!                                                 └► the committer opens a fresh file: writes go on
//! ```

use std::time::Duration;

use super::{Engine, Error, reserve::Reserve};
use crate::durability::error_chain;

impl Engine {
    /// One turn of the flusher: looks after the disk, then does the most urgent thing there is to write, if any. Whether
    /// something was written.
    pub fn flush_step(&self, now: Duration) -> Result<bool, Error> {
        let problem = self.problem_of_disk();
        if let Some(problem) = &problem {
            self.durability.stop(problem);
        }
        let flushed = self.flush_next(now);
        match &flushed {
            // Who waits for the flush waits in vain.
            Err(error) if self.durability.is_broken() => drop(self.durability.stop(&error_chain(error))),
            Ok(_) if problem.is_none() && self.durability.stopped().is_some() => self.durability.request_healing(),
            _ => {}
        }
        flushed
    }

    /// Why nothing should be written here now, if so: the directory is another one, or the disk is nearly full. What is
    /// left then is for flushing what was acknowledged.
    fn problem_of_disk(&self) -> Option<String> {
        let root = &self.paths.root;
        if !matches!(self.lock.is_held(), Ok(true)) {
            return Some(format!("the data directory {} is gone, or is another one now", root.display()));
        }
        let space = match self.disk.space(root) {
            Ok(space) => space,
            Err(error) => return Some(format!("the space on the disk of {} is not known: {error}", root.display())),
        };
        // On a small disk, a smaller floor.
        let floor = self.options.free_space_min.min(space.total / 50);
        if space.available < floor {
            let (free, floor) = (space.available >> 20, floor >> 20);
            return Some(format!("the disk of {} is full: {free} MiB are free, {floor} are kept", root.display()));
        }
        if space.available >= floor + Reserve::size() {
            // Without it a full disk is harder to heal, and nothing else: the next turn tries again.
            let _ = self.reserve.hold();
        }
        None
    }
}
