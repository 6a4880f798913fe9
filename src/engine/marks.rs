//! What was damaged and is gone, noted for later starts in `quarantine`, until somebody takes the note away.
//!
//! ```text
//! 3-2026-11-20-00000031.part.damaged    of start 3: what only this file of the day held is gone; the file itself, or a note
//! 3-2026-11-20-batches.17.damaged       of start 3: batches from number 17 on are gone; a sentence. Nothing of them is of a
//!                                       later day than that, as far as it is known
//! ```
//!
//! Always: a note is durable before the manifest's record that gives something up, so that no crash silences it. Nothing is
//! told of days that retention has dropped.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use super::{
    Error, FileEntry, Open, Paths,
    damage::{NOTICES_MAX, Notice},
    io_error,
    open::wall_clock,
    report::ranges,
};
use crate::{
    disk::{self, Disk},
    durability::error_chain,
    model::{Day, SeqNo},
};

/// More is no sentence of ours.
const SENTENCE_SIZE_MAX: usize = 64 << 10;

/// Notes that batches are gone, durably. `last` is the last day that they may be of.
pub(super) fn mark_batches(
    disk: &dyn Disk,
    paths: &Paths,
    incarnation: u32,
    last: Day,
    first: SeqNo,
    text: &str,
) -> Result<(), Error> {
    let path = paths.damaged(incarnation, last, &PathBuf::from(format!("batches.{first}")));
    disk::replace(disk, &path, text.as_bytes()).map_err(io_error("write", &path))
}

/// The last of some days and today.
pub(super) fn last_day(days: impl Iterator<Item = Day>) -> Day {
    days.chain([Day::of(wall_clock())]).max().expect("today is one")
}

impl Open {
    /// What earlier starts noted is still missing.
    pub(super) fn note_damaged_before(&mut self) -> Result<(), Error> {
        let dir = self.paths.quarantine();
        let entries = match self.disk.list(&dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            entries => entries.map_err(io_error("list", &dir))?,
        };
        // Starts that crashed before they had recorded it found the same once more.
        let damaged: BTreeMap<_, _> =
            entries.iter().filter_map(|entry| Some((Paths::parse_damaged(&entry.path)?, &entry.path))).collect();
        let beyond = damaged.len().saturating_sub(NOTICES_MAX);
        for ((day, name), path) in damaged.into_iter().skip(beyond) {
            self.notices.push(match name.strip_prefix("batches.") {
                Some(first) => Notice::of_batches(self.sentence(path, first), day),
                None => Notice::of_file(
                    day,
                    name,
                    &format!("{day}/{name} was found damaged or missing"),
                    "what only it held is left out",
                ),
            });
        }
        if beyond > 0 {
            let text = format!("{beyond} more files are in {} that were found damaged", dir.display());
            self.notices.push(Notice::of_batches(text, Day(i32::MAX)));
        }
        Ok(())
    }

    /// What a note says; where it cannot be read, what its name says.
    fn sentence(&self, path: &Path, first: &str) -> String {
        let read = || {
            let file = self.disk.open(path)?;
            let mut bytes = vec![0; SENTENCE_SIZE_MAX];
            let size = file.read_at(&mut bytes, 0)?;
            bytes.truncate(size);
            Ok::<_, io::Error>(String::from_utf8_lossy(&bytes).trim_end().to_owned())
        };
        match read() {
            Ok(text) if !text.is_empty() => text,
            Ok(_) => format!("batches from {first} on were found damaged: what they held is left out"),
            Err(error) => {
                tracing::warn!("{} cannot be read: {}", path.display(), error_chain(&error));
                format!("batches from {first} on were found damaged: what they held is left out")
            }
        }
    }

    /// Says that batches are gone: in this start, and in later ones.
    pub(super) fn tell_batches(&mut self, numbers: &[(SeqNo, SeqNo)], consequence: &str) -> Result<(), Error> {
        let Some((first, _)) = numbers.first() else { return Ok(()) };
        let text = format!("{} {consequence}", ranges(numbers));
        let last = last_day(self.parts.load().iter().map(|part| part.day));
        mark_batches(&*self.disk, &self.paths, self.state.incarnation(), last, *first, &text)?;
        // A start that crashed before it had recorded it noted the same.
        self.notices.retain(|notice| notice.text() != text);
        self.notices.push(Notice::of_batches(text, last));
        Ok(())
    }

    /// Notes that a file is gone that is not even damaged.
    pub(super) fn mark_missing(&self, day: Day, path: &Path) -> Result<(), Error> {
        let mark = self.paths.damaged(self.state.incarnation(), day, path);
        let is_absent = |path| match self.disk.open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(error) if disk::is_unreadable(&error) => Ok(false),
            opened => opened.map(|_| false).map_err(io_error("look for", path)),
        };
        if is_absent(path)? && is_absent(&mark)? {
            self.mark(day, path)?;
        }
        Ok(())
    }

    /// Notes that something of a file is gone.
    pub(super) fn mark(&self, day: Day, path: &Path) -> Result<(), Error> {
        let mark = self.paths.damaged(self.state.incarnation(), day, path);
        disk::replace(&*self.disk, &mark, b"").map_err(io_error("create", &mark))
    }

    /// What was in a file that was found damaged is all there again: nothing is told of it any more. The file is kept.
    pub(super) fn unmark(&mut self, entry: &FileEntry, path: &Path) -> Result<(), Error> {
        let name = path.file_name().expect("files have names").to_string_lossy();
        self.notices.retain(|notice| !notice.is_of(entry.day, &name));
        let mark = self.paths.damaged(self.state.incarnation(), entry.day, path);
        match self.disk.rename(&mark, &mark.with_extension("")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            renamed => renamed.map_err(io_error("rename", &mark))?,
        }
        let dir = self.paths.quarantine();
        self.disk.sync_dir(&dir).map_err(io_error("sync directory", &dir))
    }
}
