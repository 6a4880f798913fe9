//! Which directories the log is in: `wal` in the data directory, `--wal-dir`, `--wal-mirror-dir`.
//!
//! ```text
//! data/LOGS   names each directory outside of the data directory, and which of two copies is behind the other
//! dir/OWNER   names the data directory
//! ```
//!
//! Always: a log outside is not lost silently. Both files name the same id, drawn once; a start that does not find it
//! where it was last (a disk that is not mounted, another flag) ends with an error, unless no segment is left there, or
//! one copy of two is enough (`1-of-2`): then it goes on with the other, and says so. The copy that was left out is behind
//! from then on, and so is one that fails while the server runs, until what only the other holds is in parts: it alone is
//! not enough for a start.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;

use super::{
    Error, Options, Paths, RecoveryPolicy, io_error,
    lognote::{FoundNote, Note},
};
use crate::{
    disk::{self, Disk},
    durability::{Mirror, error_chain, remove_spares},
    metrics::Directory,
    stage::{FileKind, list_files},
};

const OWNER: &str = "OWNER";

/// The directories of the log.
#[derive(Clone, Debug)]
pub(crate) struct LogDirs {
    /// Where new segments go, a copy to each: the log's directory and its mirror's, if any.
    written: Vec<(Directory, PathBuf)>,
    /// How many copies must work.
    pub(crate) needed: usize,
    /// One that this start goes on without, and why.
    out: Option<(Directory, PathBuf, String)>,
    /// Where segments may be.
    pub(crate) read: Vec<PathBuf>,
    /// The written ones outside of the data directory.
    outside: Vec<PathBuf>,
    /// Those that were behind when this start began, and are there: what they lack is on its way to parts.
    were_behind: Vec<PathBuf>,
    /// What `LOGS` says.
    note: Arc<Mutex<Option<FoundNote>>>,
}

impl LogDirs {
    /// The directories that the options name. Changes nothing; fails where one is another data directory's, or where one
    /// that was used last is not there or would be left with something in it.
    pub(crate) fn check(disk: &dyn Disk, paths: &Paths, options: &Options) -> Result<Self, Error> {
        let main = options.wal_dir.clone().unwrap_or_else(|| paths.wal());
        if options.wal_mirror_dir.as_ref() == Some(&main) {
            return Err(Error::SameLog(main));
        }
        let mirror = options.wal_mirror_dir.clone().map(|dir| (Directory::WalMirror, dir));
        let written: Vec<_> = [(Directory::Wal, main)].into_iter().chain(mirror).collect();
        let outside: Vec<_> = written.iter().map(|(_, dir)| dir).filter(|dir| **dir != paths.wal()).cloned().collect();
        let read = [paths.wal()].into_iter().chain(outside.iter().cloned()).collect();
        let note = match Note::read(disk, &paths.log_note())? {
            None => adopt(disk, paths, &outside)?,
            note => note,
        };
        let note = Arc::new(Mutex::new(note));
        let needed = if options.wal_mirror == Mirror::OneOfTwo { 1 } else { written.len() };
        let mut dirs = Self { written, needed, out: None, read, outside, were_behind: Vec::new(), note };
        while let Err(error) = dirs.check_used(disk, paths).and_then(|()| dirs.check_owners(disk)) {
            dirs.leave_out(error)?;
        }
        dirs.check_current(options.recovery)?;
        Ok(dirs)
    }

    fn noted(&self) -> Option<Note> {
        self.note.lock().as_ref().map(|found| found.note.clone())
    }

    /// Fails where all that is left of the log is behind what was left out, unless an older state is asked for.
    pub(crate) fn check_current(&self, recovery: RecoveryPolicy) -> Result<(), Error> {
        let (Some(note), Some((_, out, _))) = (self.noted(), &self.out) else { return Ok(()) };
        // Where both are behind, each lacks something that the other holds.
        let is_behind = self.written.iter().all(|(_, dir)| note.behind.contains(dir));
        match is_behind {
            true if recovery != RecoveryPolicy::PointInTime => {
                Err(Error::StaleLog { dir: self.written[0].1.clone(), other: out.clone() })
            }
            true => {
                tracing::warn!("the log in {} is behind the one in {}", self.written[0].1.display(), out.display());
                Ok(())
            }
            false => Ok(()),
        }
    }

    /// Fails where a copy is left out and what is left of the log lacks batches that had been safe.
    pub(crate) fn check_whole(&self, is_whole: bool) -> Result<(), Error> {
        match (&self.out, self.written.first()) {
            (Some((_, out, _)), Some((_, dir))) if !is_whole => {
                Err(Error::StaleLog { dir: dir.clone(), other: out.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Notes that the copy in a directory, by its place among those written, failed and is behind. Durable when this
    /// returns.
    pub(crate) fn note_behind(&self, disk: &dyn Disk, paths: &Paths, lane: usize) -> Result<(), Error> {
        let dir = &self.written[lane].1;
        self.change_behind(disk, paths, |behind| {
            if !behind.contains(dir) {
                behind.push(dir.clone());
            }
        })
    }

    /// What only one copy held may be in parts now: takes the note off copies that lack nothing else. Those in `lanes` have
    /// failed in segments that still count; `is_older_kept` says whether segments of earlier starts do.
    pub(crate) fn note_current(
        &self,
        disk: &dyn Disk,
        paths: &Paths,
        lanes: &[usize],
        is_older_kept: bool,
    ) -> Result<(), Error> {
        let failed: Vec<_> = lanes.iter().map(|lane| &self.written[*lane].1).collect();
        let lacks = |dir: &PathBuf| {
            self.is_out(dir) || failed.contains(&dir) || (is_older_kept && self.were_behind.contains(dir))
        };
        self.change_behind(disk, paths, |behind| behind.retain(lacks))
    }

    /// Everything is in parts: no copy lacks anything, be it there or not.
    pub(crate) fn note_all_current(&self, disk: &dyn Disk, paths: &Paths) -> Result<(), Error> {
        self.change_behind(disk, paths, Vec::clear)
    }

    fn change_behind(
        &self,
        disk: &dyn Disk,
        paths: &Paths,
        change: impl FnOnce(&mut Vec<PathBuf>),
    ) -> Result<(), Error> {
        let mut found = self.note.lock();
        let Some(FoundNote { note: before, is_whole }) = found.as_mut() else { return Ok(()) };
        let mut note = before.clone();
        change(&mut note.behind);
        if note != *before || !*is_whole {
            // Where this fails, nobody knows which of the two its files say.
            *is_whole = false;
            note.write(disk, &paths.log_note())?;
            (*before, *is_whole) = (note, true);
        }
        Ok(())
    }

    /// The log's directories, and whether the copy in each is behind the other.
    pub(crate) fn copies(&self) -> Vec<(Directory, PathBuf, bool)> {
        let note = self.noted().unwrap_or_default();
        let out = self.out.iter().map(|(kind, dir, _)| (*kind, dir));
        let all = self.written.iter().map(|(kind, dir)| (*kind, dir)).chain(out);
        all.map(|(kind, dir)| (kind, dir.clone(), note.behind.contains(dir))).collect()
    }

    /// Goes on without the directory that an error is about, where one copy of the log is enough and the other is there;
    /// fails with the error everywhere else.
    pub(crate) fn leave_out(&mut self, error: Error) -> Result<(), Error> {
        let Some(path) = error.path().map(Path::to_owned) else { return Err(error) };
        let is_outside = |dir: &Path| self.outside.iter().any(|outside| outside == dir) && path.starts_with(dir);
        let Some(place) = self.written.iter().position(|(_, dir)| is_outside(dir)) else { return Err(error) };
        match (self.written.len(), self.needed, &error) {
            (2, 1, _) => {}
            (2, _, Error::Io { .. } | Error::Stage(_)) => {
                return Err(Error::Copy { dir: self.written[place].1.clone(), source: Box::new(error) });
            }
            _ => return Err(error),
        }
        let (kind, dir) = self.written.remove(place);
        self.read.retain(|other| *other != dir);
        let why = format!(
            "the log directory {} is left out until the next start, and the log has one copy: {}",
            dir.display(),
            error_chain(&error)
        );
        tracing::warn!("{why}; what is there alone is not read");
        self.out = Some((kind, dir, why));
        Ok(())
    }

    /// The directory that this start goes on without, and why.
    pub(crate) fn left_out(&self) -> Option<(Directory, &str)> {
        self.out.as_ref().map(|(kind, _, why)| (*kind, why.as_str()))
    }

    fn is_out(&self, dir: &Path) -> bool {
        self.out.as_ref().is_some_and(|(_, out, _)| out == dir)
    }

    /// Where new segments go, a copy to each.
    pub(crate) fn written(&self) -> impl Iterator<Item = (Directory, &Path)> {
        self.written.iter().map(|(kind, dir)| (*kind, dir.as_path()))
    }

    /// Fails where a directory outside is not there any more, or is another one now. After [`claim`](Self::claim).
    pub(crate) fn check_there(&self, disk: &dyn Disk, dir: &Path) -> Result<(), Error> {
        let Some(note) = self.noted().filter(|_| self.outside.iter().any(|outside| outside == dir)) else {
            return Ok(());
        };
        let owner = Note::read(disk, &dir.join(OWNER))?;
        match owner.is_some_and(|owner| owner.note.id == note.id) {
            true => Ok(()),
            false => Err(Error::Gone(dir.to_owned())),
        }
    }

    /// What was used last is there, and is used again or empty.
    fn check_used(&self, disk: &dyn Disk, paths: &Paths) -> Result<(), Error> {
        let Some(note) = self.noted() else { return Ok(()) };
        for dir in note.dirs.iter().filter(|dir| !self.is_out(dir)) {
            let (dir_named, note_file) = (dir.clone(), paths.log_note());
            if Note::read(disk, &dir.join(OWNER))?.is_none_or(|owner| owner.note.id != note.id) {
                return Err(Error::MissingLog { dir: dir_named, note: note_file });
            }
            let is_empty = list_files(disk, dir, FileKind::Log)?.is_empty();
            if !is_empty && !self.outside.contains(dir) {
                return Err(Error::ForgottenLog { dir: dir_named, note: note_file });
            }
        }
        Ok(())
    }

    fn check_owners(&self, disk: &dyn Disk) -> Result<(), Error> {
        let id = self.noted().map(|note| note.id);
        for dir in self.outside.iter().filter(|dir| !self.is_out(dir)) {
            let owner = Note::read(disk, &dir.join(OWNER))?.map(|owner| owner.note);
            if let Some(owner) = owner.filter(|owner| Some(&owner.id) != id.as_ref()) {
                let owner = owner.dirs.first().map_or("another server".into(), |dir| dir.display().to_string());
                return Err(Error::ForeignLog { dir: dir.clone(), owner });
            }
        }
        Ok(())
    }

    /// Makes the directories and notes which they are, durably; removes spares that were made ahead. The id comes first,
    /// then the directories take it, and only then they are named: a crash in between leaves nothing that a start refuses.
    pub(crate) fn claim(&mut self, disk: &dyn Disk, paths: &Paths) -> Result<(), Error> {
        let found = self.note.lock().clone();
        let (is_new, is_whole) = (found.is_none(), found.as_ref().is_some_and(|found| found.is_whole));
        let before = found.map(|found| found.note).unwrap_or_default();
        // One that is left out is not forgotten, where it was ever taken.
        let wanted = self.outside.iter().filter(|dir| !self.is_out(dir) || before.dirs.contains(dir));
        let dirs: Vec<_> = wanted.cloned().collect();
        let behind = match &self.out {
            Some((_, out, _)) => dirs.iter().filter(|dir| *dir == out).cloned().collect(),
            None => before.behind.iter().filter(|dir| self.written.iter().any(|(_, at)| at == *dir)).cloned().collect(),
        };
        self.were_behind = if self.out.is_some() { Vec::new() } else { Vec::clone(&behind) };
        let id = if is_new { format!("{:016x}", fastrand::u64(..)) } else { before.id.clone() };
        let note = Note { id, dirs, behind };
        let note_file = paths.log_note();
        let is_needed = !is_new || !note.dirs.is_empty();
        if is_needed && is_new {
            Note { id: note.id.clone(), ..Note::default() }.write(disk, &note_file)?;
        }
        let owner = Note { id: note.id.clone(), dirs: vec![paths.root.clone()], behind: Vec::new() };
        for dir in note.dirs.iter().filter(|dir| !self.is_out(dir)) {
            let path = dir.join(OWNER);
            if !before.dirs.contains(dir) {
                disk::make_dir(disk, dir).map_err(io_error("create directory", dir))?;
            }
            match Note::read(disk, &path)? {
                Some(found) if found.is_whole && before.dirs.contains(dir) => {}
                found => {
                    if found.is_some_and(|found| !found.is_whole) {
                        tracing::warn!(
                            "of {} and its copy one was damaged or missing: both are written anew",
                            path.display()
                        );
                    }
                    owner.write(disk, &path)?;
                }
            }
        }
        if is_needed && (note != before || !is_whole) {
            if !is_new && !is_whole {
                tracing::warn!(
                    "of {} and its copy one was damaged or missing: both are written anew",
                    note_file.display()
                );
            }
            note.write(disk, &note_file)?;
            *self.note.lock() = Some(FoundNote { note, is_whole: true });
        }
        for dir in self.read.clone() {
            remove_spares(disk, &dir).map_err(Error::from).or_else(|error| self.leave_out(error))?;
        }
        Ok(())
    }
}

/// The note of a data directory that lost it: the directories of the log that name it know its id. Only where there is a
/// manifest: else the data directory is a new one at an old place, and the log is another's.
fn adopt(disk: &dyn Disk, paths: &Paths, outside: &[PathBuf]) -> Result<Option<FoundNote>, Error> {
    if disk.open(&paths.root.join("CURRENT")).is_err() {
        return Ok(None);
    }
    for dir in outside {
        // One that cannot be read is looked at again, and told of, when it is checked.
        if let Ok(Some(FoundNote { note: owner, .. })) = Note::read(disk, &dir.join(OWNER))
            && owner.dirs.first() == Some(&paths.root)
        {
            let file = paths.log_note();
            tracing::warn!(
                "{} is missing and is made anew: {} belongs to this directory",
                file.display(),
                dir.display()
            );
            return Ok(Some(FoundNote { note: Note { id: owner.id, ..Note::default() }, is_whole: false }));
        }
    }
    Ok(None)
}
