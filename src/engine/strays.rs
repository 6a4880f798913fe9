//! Files that no manifest record names.
//!
//! Mostly a process was killed while it wrote them. Such a file is removed where all it may hold is elsewhere: it was
//! replaced by a durable record, or it is a part whose batches are all in the stage, or one merged of parts that all count
//! and are here. One that was not finished cannot say, so a few of the newest are kept. Whatever else there is, say of a
//! manifest that somebody put back from a copy, goes to quarantine, and stays.

use std::path::{Path, PathBuf};

use super::{Error, Open, Paths, RecoveryPolicy, directory::list, examine::Found, io_error, plan::lacking};
use crate::{
    model::{PartId, SeqNo},
    parts::{self, Part},
};

/// Files that were not finished, of which so many are kept in quarantine.
const UNFINISHED_MAX: usize = 8;
/// How their names end there.
const UNFINISHED: &str = "unfinished";

/// What may be done with one.
#[derive(Clone, Copy, PartialEq)]
enum Stray {
    /// All that it may hold is elsewhere.
    Needless,
    /// It has no end that says what it holds.
    Unfinished,
    /// It holds what may be nowhere else.
    Unexplained,
}

impl Open {
    /// Removes what no record names and is not needed; moves the rest to quarantine.
    pub(crate) fn quarantine_strays(&mut self, manifest_is_clean: bool, found: &Found) -> Result<(), Error> {
        let mut strays = Vec::new();
        for partition in list(&*self.disk, &self.paths.partitions())?.into_iter().filter(|entry| entry.is_dir) {
            for file in list(&*self.disk, &partition.path)? {
                let Some(id) = Paths::number(&file.path) else { continue };
                self.last_file = self.last_file.max(id.0);
                if !self.state.parts.contains_key(&id) && !self.state.index_parts.contains_key(&id) {
                    strays.push((id, file.path));
                }
            }
        }
        let is_part = |path: &Path| path.extension().is_some_and(|extension| extension == "part");
        let mut kinds = Vec::new();
        for (id, path) in &strays {
            let is_replaced = self.state.removed.contains(id);
            kinds.push(match manifest_is_clean {
                true if is_replaced && self.is_whole_beside(path) => Stray::Needless,
                true if !is_replaced && is_part(path) => self.stray_part(path, found)?,
                _ => Stray::Unexplained,
            });
        }
        // An index part tells of streams of the parts that it was written with: of batches that are all elsewhere.
        let is_any_unexplained =
            strays.iter().zip(&kinds).any(|((_, path), kind)| is_part(path) && *kind == Stray::Unexplained);
        for ((_, path), kind) in strays.into_iter().zip(kinds) {
            let is_needless_index =
                manifest_is_clean && !is_part(&path) && found.damaged.is_empty() && !is_any_unexplained;
            match kind {
                _ if is_needless_index => self.remove_stray(&path)?,
                Stray::Needless => self.remove_stray(&path)?,
                Stray::Unfinished => self.keep_unfinished(&path)?,
                Stray::Unexplained => {
                    tracing::warn!("{} is named by no manifest record: it belongs into quarantine", path.display());
                    self.quarantine(&path)?;
                }
            }
        }
        self.forget_unfinished()
    }

    fn remove_stray(&self, path: &Path) -> Result<(), Error> {
        match self.options.recovery == RecoveryPolicy::DryRun {
            true => Ok(()),
            false => self.disk.remove(path).map_err(io_error("remove", path)),
        }
    }

    /// Whether all parts of a file's day are here: what replaced it is among them.
    fn is_whole_beside(&self, path: &Path) -> bool {
        let mut gone = self.lost_parts.iter().chain(&self.unread.parts);
        gone.all(|part| self.paths.part(part.day, part.id).parent() != path.parent())
    }

    /// What a part is that no record names, by what its footer says.
    fn stray_part(&self, path: &Path, found: &Found) -> Result<Stray, Error> {
        let file = self.disk.open(path).map_err(io_error("open", path))?;
        let size = file.size().map_err(io_error("measure", path))?;
        let part = match Part::open(file, 0, size) {
            // Whole, maybe.
            Err(parts::Error::Read { .. } | parts::Error::Version { .. }) => return Ok(Stray::Unexplained),
            Err(_) => return Ok(Stray::Unfinished),
            Ok(part) => part,
        };
        let footer = part.footer();
        let gone = || self.lost_parts.iter().chain(&self.unread.parts);
        let is_here = |id: &PartId| self.state.parts.contains_key(id) && gone().all(|gone| gone.id != *id);
        let is_merged = !footer.replaces.is_empty() && footer.replaces.iter().all(is_here);
        let is_staged = footer.seq_min > found.flushed && found.holds((footer.seq_min, footer.seq_max));
        Ok(if is_merged || is_staged { Stray::Needless } else { Stray::Unexplained })
    }

    fn keep_unfinished(&mut self, path: &Path) -> Result<(), Error> {
        tracing::warn!("{} was not finished: it goes to quarantine for a while", path.display());
        let target = self.quarantined(path);
        self.move_aside(path, target.with_added_extension(UNFINISHED))
    }

    /// Removes the oldest of those that were not finished.
    fn forget_unfinished(&self) -> Result<(), Error> {
        if self.options.recovery == RecoveryPolicy::DryRun {
            return Ok(());
        }
        let dir = self.paths.quarantine();
        let start = |path: &Path| path.file_name()?.to_str()?.split_once('-')?.0.parse::<u64>().ok();
        let entries = list(&*self.disk, &dir)?.into_iter().map(|entry| entry.path);
        let mut kept: Vec<(Option<u64>, PathBuf)> = entries
            .filter(|path| path.extension().is_some_and(|extension| extension == UNFINISHED))
            .map(|path| (start(&path), path))
            .collect();
        kept.sort_unstable();
        let beyond = kept.len().saturating_sub(UNFINISHED_MAX);
        kept.iter().take(beyond).try_for_each(|(_, path)| self.disk.remove(path).map_err(io_error("remove", path)))
    }
}

impl Found {
    /// Whether the stage has every batch of a range.
    fn holds(&self, numbers: (SeqNo, SeqNo)) -> bool {
        let runs = self.stage.runs.iter().map(|run| run.span);
        let spans = runs.chain(self.plan.commits.iter().map(|place| self.stage.commits[*place].span));
        let mut held: Vec<_> = spans.filter_map(|span| self.verdict.kept(span)).collect();
        held.sort_unstable();
        numbers.1 <= self.verdict.end && lacking(numbers, &held, &self.verdict).is_empty()
    }
}
