//! Which directories the log is in: `wal` in the data directory, `--wal-dir`, `--wal-mirror-dir`.
//!
//! ```text
//! data/LOGS   id, then a line for each directory outside of the data directory
//! dir/OWNER   id, then the data directory
//! ```
//!
//! Always: a log outside is not lost silently. Both files name the same id, drawn once; a start that does not find it
//! where it was last (a disk that is not mounted, another flag) ends with an error, unless no segment is left there, or
//! one copy of two is enough (`1-of-2`): then it goes on with the other, and says so.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{Error, Options, Paths, io_error};
use crate::{
    disk::{self, Disk},
    durability::{Mirror, error_chain, remove_spares},
    metrics::Directory,
    stage::{FileKind, list_files},
};

const OWNER: &str = "OWNER";
/// More is none of our files.
const NOTE_SIZE_MAX: u64 = 64 << 10;

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
    note: Option<Note>,
}

/// The lines of `LOGS`, or of `OWNER`.
#[derive(Clone, Debug)]
struct Note {
    id: String,
    dirs: Vec<PathBuf>,
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
        let note = Note::read(disk, &paths.log_note())?;
        let needed = if options.wal_mirror == Mirror::OneOfTwo { 1 } else { written.len() };
        let mut dirs = Self { written, needed, out: None, read, outside, note };
        while let Err(error) = dirs.check_used(disk, paths).and_then(|()| dirs.check_owners(disk)) {
            dirs.leave_out(error)?;
        }
        Ok(dirs)
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
        let Some(note) = self.note.as_ref().filter(|_| self.outside.iter().any(|outside| outside == dir)) else {
            return Ok(());
        };
        let owner = Note::read(disk, &dir.join(OWNER))?;
        match owner.is_some_and(|owner| owner.id == note.id) {
            true => Ok(()),
            false => Err(Error::Gone(dir.to_owned())),
        }
    }

    /// What was used last is there, and is used again or empty.
    fn check_used(&self, disk: &dyn Disk, paths: &Paths) -> Result<(), Error> {
        let Some(note) = &self.note else { return Ok(()) };
        for dir in note.dirs.iter().filter(|dir| !self.is_out(dir)) {
            let (dir_named, note_file) = (dir.clone(), paths.log_note());
            if Note::read(disk, &dir.join(OWNER))?.is_none_or(|owner| owner.id != note.id) {
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
        let id = self.note.as_ref().map(|note| &note.id);
        for dir in self.outside.iter().filter(|dir| !self.is_out(dir)) {
            if let Some(owner) = Note::read(disk, &dir.join(OWNER))?.filter(|owner| Some(&owner.id) != id) {
                let owner = owner.dirs.first().map_or("another server".into(), |dir| dir.display().to_string());
                return Err(Error::ForeignLog { dir: dir.clone(), owner });
            }
        }
        Ok(())
    }

    /// Makes the directories and notes which they are, durably; removes spares that were made ahead. The id comes first,
    /// then the directories take it, and only then they are named: a crash in between leaves nothing that a start refuses.
    pub(crate) fn claim(&mut self, disk: &dyn Disk, paths: &Paths) -> Result<(), Error> {
        let named = self.note.as_ref().map(|note| &note.dirs[..]).unwrap_or_default();
        // One that is left out is not forgotten, where it was ever taken.
        let wanted = self.outside.iter().filter(|dir| !self.is_out(dir) || named.contains(dir));
        let wanted: Vec<_> = wanted.cloned().collect();
        if *named != wanted {
            let note_file = paths.log_note();
            let id = self.note.as_ref().map_or_else(|| format!("{:016x}", fastrand::u64(..)), |note| note.id.clone());
            if self.note.is_none() {
                Note { id: id.clone(), dirs: Vec::new() }.write(disk, &note_file)?;
            }
            for dir in wanted.iter().filter(|dir| !self.is_out(dir)) {
                disk::make_dir(disk, dir).map_err(io_error("create directory", dir))?;
                Note { id: id.clone(), dirs: vec![paths.root.clone()] }.write(disk, &dir.join(OWNER))?;
            }
            let note = Note { id, dirs: wanted };
            note.write(disk, &note_file)?;
            self.note = Some(note);
        }
        for dir in self.read.clone() {
            remove_spares(disk, &dir).map_err(Error::from).or_else(|error| self.leave_out(error))?;
        }
        Ok(())
    }
}

impl Note {
    /// `None` where there is none.
    fn read(disk: &dyn Disk, path: &Path) -> Result<Option<Self>, Error> {
        let file = match disk.open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(io_error("open", path))?,
        };
        let size = file.size().map_err(io_error("measure", path))?.min(NOTE_SIZE_MAX);
        let mut bytes = vec![0; size as usize];
        file.read_exact_at(&mut bytes, 0).map_err(io_error("read", path))?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let mut lines = text.lines().filter(|line| !line.is_empty());
        let id = lines.next().unwrap_or_default().to_owned();
        Ok(Some(Self { id, dirs: lines.map(PathBuf::from).collect() }))
    }

    fn write(&self, disk: &dyn Disk, path: &Path) -> Result<(), Error> {
        let lines = self.dirs.iter().map(|dir| format!("{}\n", dir.display()));
        let text = format!("{}\n{}", self.id, lines.collect::<String>());
        disk::replace(disk, path, text.as_bytes()).map_err(io_error("write", path))
    }
}
