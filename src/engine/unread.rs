//! Parts and index parts that the disk does not read at a start, though they may be whole.
//!
//! Nothing is decided on such an error, since it may be gone tomorrow: the file stays where it is, and the manifest goes
//! on to name it. The start serves the rest and says what is missing; the next one reads the file again. Meanwhile its
//! day is not compacted: what the file holds must keep its place in the order of the parts, and what it names its numbers.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use super::{Error, FileEntry, Open};
use crate::{
    durability::error_chain,
    model::{Day, SeqNo},
};

/// What a start passes over.
#[derive(Default)]
pub(crate) struct Unread {
    pub(super) files: Vec<PathBuf>,
    /// The parts among them.
    pub(super) parts: Vec<FileEntry>,
    /// The days of index parts among them.
    pub(super) index_days: BTreeSet<Day>,
    /// Batches that are not served, in whole or in part, on account of that.
    pub(super) numbers: Vec<(SeqNo, SeqNo)>,
}

impl Unread {
    /// Whether a file of a day is among it.
    pub(super) fn is_of(&self, day: Day) -> bool {
        self.index_days.contains(&day) || self.parts.iter().any(|part| part.day == day)
    }
}

impl Open {
    /// Goes on without a file that cannot be read, where the policy lets it, and has queries about its day told so.
    pub(super) fn pass_over(&mut self, entry: &FileEntry, kind: &str, path: &Path, error: Error) -> Result<(), Error> {
        if self.options.recovery.refuses() {
            return Err(Error::Unreadable { path: path.to_owned(), source: Box::new(error) });
        }
        tracing::error!("{} is passed over, and kept: {}", path.display(), error_chain(&error));
        self.tell(entry, path, kind, "cannot be read now", "what only it holds is left out until it can be");
        self.unread.files.push(path.to_owned());
        self.recovery.unread_files.push(path.to_owned());
        Ok(())
    }
}
