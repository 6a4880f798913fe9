//! The directories a server writes to, watched: there, the same as at the start, and with room.
//!
//! A problem of the data directory stops writes, and so does one of the log's directory, where there is a log. Of two
//! copies of the log one may have a problem where one is enough (`1-of-2`): that is a warning. Each directory has its own
//! values in the metrics `disk_free_bytes` and `directory_problem`.

use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use super::{Engine, logdirs::LogDirs, reserve::Reserve};
use crate::{
    disk::Space,
    durability::StageKind,
    metrics::{Directory, Metrics},
};

/// What is watched, beside the data directory.
pub(crate) struct Watch {
    logs: LogDirs,
    warnings: Mutex<Vec<String>>,
}

impl Watch {
    pub(crate) fn new(logs: LogDirs, metrics: &Metrics) -> Self {
        [Directory::Wal, Directory::WalMirror].into_iter().for_each(|kind| metrics.disk_free[kind].set(f64::NAN));
        let mut warnings = Vec::new();
        if let Some((kind, why)) = logs.left_out() {
            metrics.directory_problem[kind].set(1);
            metrics.wal_mirror_out.inc();
            warnings.push(why.to_owned());
        }
        Self { logs, warnings: Mutex::new(warnings) }
    }

    /// Keeps what is wrong now; says in the log what is new.
    fn warn(&self, warnings: Vec<String>) {
        let mut known = self.warnings.lock();
        warnings.iter().filter(|warning| !known.contains(warning)).for_each(|warning| tracing::warn!("{warning}"));
        *known = warnings;
    }
}

impl Engine {
    /// What only one copy of the log held may be in parts now: then it is not behind any more.
    pub(super) fn note_current_log(&self) {
        let is_older_kept = !self.leftovers.lock().is_empty();
        let note = |lanes: &[usize]| self.watch.logs.note_current(&*self.disk, &self.paths, lanes, is_older_kept);
        self.tell_noted(self.durability.with_behind(note));
    }

    /// The server ends, and what it took is in parts as a whole: no copy of the log lacks anything, be it there or not.
    pub(super) fn note_ended_log(&self) {
        if self.manifest.lock().state().flushed >= self.durability.inserted() {
            self.tell_noted(self.watch.logs.note_all_current(&*self.disk, &self.paths));
        }
    }

    fn tell_noted(&self, noted: Result<(), super::Error>) {
        if let Err(error) = noted {
            tracing::warn!("which copy of the log is behind stays noted: {}", crate::durability::error_chain(&error));
        }
    }

    /// The log's directories, and whether the copy in each lacks what is in no part yet and only the other holds.
    pub fn log_copies(&self) -> Vec<(Directory, PathBuf, bool)> {
        self.watch.logs.copies()
    }

    /// What is wrong, though it keeps the server from nothing.
    pub fn warnings(&self) -> Vec<String> {
        self.watch.warnings.lock().clone()
    }

    /// Why nothing should be written now, if so. What space is left then is for flushing what was acknowledged.
    pub(super) fn problem_of_disks(&self) -> Option<String> {
        let data = self.problem_of_data();
        self.metrics.directory_problem[Directory::Data].set(i64::from(data.is_some()));
        let logs = &self.watch.logs;
        let (mut problems, left_out) = (Vec::new(), logs.left_out().map(|(_, why)| why.to_owned()));
        for (kind, dir) in logs.written() {
            let problem = self.problem_of_log(kind, dir);
            self.metrics.directory_problem[kind].set(i64::from(problem.is_some()));
            problems.extend(problem);
        }
        let is_enough = logs.written().count() - problems.len() >= logs.needed;
        if !is_enough && self.durability.policy().stage == StageKind::Log {
            self.watch.warn(left_out.into_iter().collect());
            return data.or_else(|| Some(problems.join("; ")));
        }
        self.watch.warn(problems.into_iter().chain(left_out).collect());
        data
    }

    fn problem_of_data(&self) -> Option<String> {
        let root = &self.paths.root;
        if let Err(error) = self.check_directory() {
            return Some(error.to_string());
        }
        match self.space(Directory::Data, root) {
            Ok(space) => {
                if space.available >= self.floor(space) + Reserve::size() {
                    // Without it a full disk is harder to heal, and nothing else: the next turn tries again.
                    let _ = self.reserve.hold();
                }
                self.shortage(space, root)
            }
            Err(problem) => Some(problem),
        }
    }

    fn problem_of_log(&self, kind: Directory, dir: &Path) -> Option<String> {
        if let Err(error) = self.watch.logs.check_there(&*self.disk, dir) {
            return Some(crate::durability::error_chain(&error));
        }
        self.space(kind, dir).map_or_else(Some, |space| self.shortage(space, dir))
    }

    fn space(&self, kind: Directory, dir: &Path) -> Result<Space, String> {
        let space = self.disk.space(dir);
        self.metrics.disk_free[kind].set(space.as_ref().map_or(f64::NAN, |space| space.available as f64));
        space.map_err(|error| format!("the space on the disk of {} is not known: {error}", dir.display()))
    }

    fn shortage(&self, space: Space, dir: &Path) -> Option<String> {
        let floor = self.floor(space);
        let (free, kept) = (space.available >> 20, floor >> 20);
        let text = || format!("the disk of {} is full: {free} MiB are free, {kept} are kept", dir.display());
        (space.available < floor).then(text)
    }
}
