//! The small files that say which directories the log is in, and whose a directory of it is.
//!
//! ```text
//! id                     drawn once, the same in all of them
//! dir PATH               per directory
//! behind PATH            per directory that may lack batches which another one holds
//! crc32 xxxxxxxx         of all that is before
//! ```
//!
//! Always: each is there twice, as `NAME` and `NAME.copy`, written in this order. One that is whole is enough.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
};

use super::{Error, io_error};
use crate::disk::{self, Disk};

/// More is none of our files.
const NOTE_SIZE_MAX: u64 = 64 << 10;

/// What such a file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) id: String,
    /// Of `LOGS`: where the log is, outside of the data directory. Of `OWNER`: the data directory.
    pub(super) dirs: Vec<PathBuf>,
    /// Directories of the log that were left out while another went on.
    pub(super) behind: Vec<PathBuf>,
}

/// A note as it was found.
#[derive(Clone, Debug, Default)]
pub(super) struct FoundNote {
    pub(super) note: Note,
    /// Both copies are there and say it.
    pub(super) is_whole: bool,
}

impl Note {
    /// Reads the copy that is whole, the first of two; `None` where there is neither. Fails where neither is whole.
    pub(super) fn read(disk: &dyn Disk, path: &Path) -> Result<Option<FoundNote>, Error> {
        let (first, second) = (read_copy(disk, path), read_copy(disk, &copy_of(path)));
        let both_say = |note: &Self| {
            let says = |copy: &Result<Copy, Error>| matches!(copy, Ok(Copy::Whole(said)) if said == note);
            says(&first) && says(&second)
        };
        let whole = [&first, &second].into_iter().find_map(|copy| match copy {
            Ok(Copy::Whole(note)) => Some(note.clone()),
            _ => None,
        });
        match (whole, first.as_ref(), second.as_ref()) {
            (Some(note), ..) => {
                let is_whole = both_say(&note);
                Ok(Some(FoundNote { note, is_whole }))
            }
            (None, Ok(Copy::Missing), Ok(Copy::Missing)) => Ok(None),
            (None, Ok(_), Ok(_)) => Err(Error::DamagedNote(path.to_owned())),
            (None, ..) => Err(first.err().or(second.err()).expect("one of them failed")),
        }
    }

    /// Writes both copies, durably.
    pub(super) fn write(&self, disk: &dyn Disk, path: &Path) -> Result<(), Error> {
        let text = self.encode();
        [path.to_owned(), copy_of(path)]
            .iter()
            .try_for_each(|path| disk::replace(disk, path, text.as_bytes()).map_err(io_error("write", path)))
    }

    fn encode(&self) -> String {
        let line = |kind: &'static str| move |dir: &PathBuf| format!("{kind} {}\n", dir.display());
        let lines = self.dirs.iter().map(line("dir")).chain(self.behind.iter().map(line("behind")));
        let text = format!("{}\n{}", self.id, lines.collect::<String>());
        let crc = crc32fast::hash(text.as_bytes());
        format!("{text}crc32 {crc:08x}\n")
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut note = Self { id: text.lines().next()?.to_owned(), ..Self::default() };
        for line in text.lines().skip(1) {
            match line.split_once(' ')? {
                ("dir", dir) => note.dirs.push(dir.into()),
                ("behind", dir) => note.behind.push(dir.into()),
                _ => {}
            }
        }
        // What it does not write itself is none of it, the checksum's line included.
        (note.encode() == text).then_some(note)
    }
}

enum Copy {
    Missing,
    Damaged,
    Whole(Note),
}

fn copy_of(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".copy");
    name.into()
}

fn read_copy(disk: &dyn Disk, path: &Path) -> Result<Copy, Error> {
    let file = match disk.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Copy::Missing),
        opened => opened.map_err(io_error("open", path))?,
    };
    let size = file.size().map_err(io_error("measure", path))?.min(NOTE_SIZE_MAX);
    let mut bytes = vec![0; size as usize];
    file.read_exact_at(&mut bytes, 0).map_err(io_error("read", path))?;
    Ok(Note::decode(&bytes).map_or(Copy::Damaged, Copy::Whole))
}
