//! Which copies of the log are behind the other.
//!
//! ```text
//! a copy fails ─► noted durably, then out ─► the next segment has it again ─► the last segment it lacks is in parts:
//!                                                                            not behind any more
//! ```
//!
//! Always: nobody is answered who counts on one copy alone before it is noted that the other is behind. Where that cannot
//! be noted, one copy is not enough, and what the segment holds is made safe by a flush.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use parking_lot::Mutex;

use crate::{
    durability::{
        Error, RecordError,
        committer::error_chain,
        copies::{Copies, LogCopy},
    },
    metrics::Metrics,
};

/// Notes over a crash that the copy in one of the log's directories, by its place among them, is behind.
pub type NoteBehind = Box<dyn Fn(usize) -> Result<(), RecordError> + Send + Sync>;

/// See the module.
pub(crate) struct Behind {
    note: OnceLock<NoteBehind>,
    /// By directory, the last segment of which its copy lacks something.
    lanes: Mutex<BTreeMap<usize, u64>>,
    metrics: Arc<Metrics>,
}

impl Behind {
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        Self { note: OnceLock::new(), lanes: Mutex::default(), metrics }
    }

    /// How it is remembered over a crash; before any thread runs.
    pub(crate) fn remember_by(&self, note: NoteBehind) {
        let is_first = self.note.set(note).is_ok();
        assert!(is_first, "a desk has one engine");
    }

    /// A segment begins without the copy in a directory.
    pub(crate) fn leave(&self, lane: usize, segment: u64, error: &Error) -> Result<(), Error> {
        self.note(&mut self.lanes.lock(), lane, segment, error)
    }

    /// A copy of a segment failed: `put_out` has it not used any more. Fails with the error where too few copies are left.
    pub(crate) fn put_out(
        &self,
        copies: &Copies,
        copy: &LogCopy,
        error: Error,
        put_out: impl FnOnce(),
    ) -> Result<(), Error> {
        // Held until it is out: where both copies fail at once, the second of them sees the first.
        let mut lanes = self.lanes.lock();
        // It is noted while the copy still counts: whoever counts on the other alone comes later.
        let noted = match (copy.is_out(), copies.can_lose_one()) {
            (true, _) if !copies.is_broken() => Ok(()),
            (false, true) => self.note(&mut lanes, copy.lane, copies.id(), &error).inspect_err(|_| copies.need_all()),
            _ => Err(error),
        };
        put_out();
        noted
    }

    fn note(&self, lanes: &mut BTreeMap<usize, u64>, lane: usize, segment: u64, error: &Error) -> Result<(), Error> {
        tracing::warn!("{}; this copy of the log is out until the next segment", error_chain(error));
        self.metrics.wal_mirror_out.inc();
        if let (false, Some(note)) = (lanes.contains_key(&lane), self.note.get()) {
            note(lane).map_err(Error::Behind)?;
        }
        let last = lanes.entry(lane).or_default();
        *last = segment.max(*last);
        Ok(())
    }

    /// Segments before this one are in parts: whoever lacks something of them alone is not behind any more.
    pub(crate) fn forget_before(&self, segment: u64) {
        self.lanes.lock().retain(|_, last| *last >= segment);
    }

    /// Calls `act` with the directories whose copies are behind, while none comes and none goes.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&[usize]) -> T) -> T {
        let lanes = self.lanes.lock();
        act(&lanes.keys().copied().collect::<Vec<_>>())
    }
}
