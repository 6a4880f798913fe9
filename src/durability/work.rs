//! What the syncer has before it.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crate::{
    disk::Disk,
    durability::{
        Policy,
        committer::error_chain,
        copies::Copies,
        due::{Due, Pending, due},
        lanes::Segments,
        syncer::Tick,
    },
    model::SeqNo,
};

/// Segments that wait to be removed: few beside the files that a process may have open.
const UNREMOVED_MAX: usize = 100;

/// A log segment as the syncer and the flusher see it.
pub(crate) struct LogFile {
    pub(crate) copies: Arc<Copies>,
    /// Highest number written to it.
    pub(crate) last: SeqNo,
    /// It failed, or a sync of it: it is neither synced nor used again.
    pub(crate) is_bad: bool,
    /// It could not be removed, and that has been said.
    pub(crate) is_stuck: bool,
}

impl LogFile {
    pub(crate) fn id(&self) -> u64 {
        self.copies.id()
    }

    /// Removes its files; whether all are gone. Says so where they are not, once.
    pub(crate) fn remove(&mut self, disk: &dyn Disk) -> bool {
        let removed = self.copies.remove(disk);
        if let (Err(error), false) = (&removed, self.is_stuck) {
            tracing::warn!("{}; it is tried again", error_chain(error));
            self.is_stuck = true;
        }
        removed.is_ok()
    }
}

/// See the module.
#[derive(Default)]
pub(crate) struct Work {
    /// Log segments that are not retired, oldest first; only the last is still written.
    pub(crate) files: VecDeque<LogFile>,
    /// Retired log segments, for the log's writer to reuse (all but the bad ones) or remove.
    pub(crate) retired: Vec<LogFile>,
    /// Retired log segments that could not be removed; the flusher tries again.
    pub(crate) unremoved: Vec<LogFile>,
    /// Containers that are not retired, each with the highest number it covers.
    pub(crate) containers: Vec<(PathBuf, SeqNo)>,
    /// Rows that no commit covers, oldest first; only the last still grows.
    pub(crate) ticks: VecDeque<Tick>,
    pub(crate) pending: Pending,
    /// The stage failed: everything up to here must be in parts before what it is given counts as safe again.
    pub(crate) broken: Option<SeqNo>,
    /// Log segments up to this one are neither written nor synced again: the kernel may have dropped their pages.
    pub(crate) bad_segment: u64,
}

impl Work {
    /// What is due. Nothing where the stage has failed: what it is given counts once what it lost is in parts.
    pub(crate) fn due(&self, policy: &Policy, now: Duration) -> Due {
        if self.broken.is_some() { Due::Idle } else { due(policy, &self.pending, now) }
    }

    /// Segments of which a copy in use lacks a sync of something that is safe elsewhere, each up to what is.
    pub(crate) fn lagging(&self) -> Segments {
        let good = self.files.iter().filter(|file| !file.is_bad);
        let safe = good.map(|file| (Arc::clone(&file.copies), file.last.min(self.pending.safe)));
        safe.filter(|(copies, last)| copies.unsynced(*last).next().is_some()).collect()
    }

    /// A log segment was written to.
    pub(crate) fn note_file(&mut self, file: LogFile) {
        if file.id() <= self.bad_segment {
            self.break_upto(file.last);
        }
        match self.files.back_mut().filter(|last| last.id() == file.id()) {
            Some(last) => (last.last, last.is_bad) = (file.last, last.is_bad || file.is_bad),
            None => self.files.push_back(file),
        }
    }

    /// A container covers numbers up to `last`.
    pub(crate) fn note_container(&mut self, path: &Path, last: SeqNo) {
        match self.containers.last_mut().filter(|(newest, _)| newest == path) {
            Some((_, covered)) => *covered = last,
            None => self.containers.push((path.to_owned(), last)),
        }
    }

    /// The stage failed; where it is a log, up to `segment`. All it holds, and all up to `upto`, depends on a flush.
    pub(crate) fn break_stage(&mut self, segment: u64, upto: SeqNo) {
        self.bad_segment = self.bad_segment.max(segment);
        self.files.iter_mut().filter(|file| file.id() <= segment).for_each(|file| file.is_bad = true);
        self.break_upto(upto.max(self.pending.upto));
    }

    fn break_upto(&mut self, upto: SeqNo) {
        if upto > self.pending.safe {
            self.broken = self.broken.max(Some(upto));
        }
    }

    /// Takes out the files whose numbers parts cover: segments go to the log's writer, containers are returned. The
    /// newest segment stays.
    pub(crate) fn retire(&mut self, upto: SeqNo) -> Vec<PathBuf> {
        while self.files.len() > 1 && self.files[0].last <= upto {
            self.retired.extend(self.files.pop_front());
        }
        let (done, kept) = self.containers.drain(..).partition(|(_, last)| *last <= upto);
        self.containers = kept;
        let done: Vec<(PathBuf, SeqNo)> = done;
        done.into_iter().map(|(path, _)| path).collect()
    }

    /// Keeps segments that could not be removed, to try again. Each holds its files open, so of very many the oldest are
    /// left to the next start, which looks at them and removes them.
    pub(crate) fn keep_unremoved(&mut self, files: Vec<LogFile>) {
        self.unremoved.extend(files);
        let forgotten = self.unremoved.len().saturating_sub(UNREMOVED_MAX);
        self.unremoved.drain(..forgotten);
    }

    /// Bytes of the log's segments that a flush lets go of: all but the newest, which is written.
    pub(crate) fn log_size(&self) -> u64 {
        let closed = self.files.len().saturating_sub(1);
        self.files.iter().take(closed).map(|file| file.copies.size()).sum()
    }
}
