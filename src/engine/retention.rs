//! Days that are too old, dropped whole.
//!
//! ```text
//! horizon raised: queries see nothing before it ─► record: files and batches no longer count ─► files removed
//! ```
//!
//! The horizon is the first day that is kept: the one that `now - retention` lies in. It only rises while the server
//! runs, however its clock is set. Rows of dropped days that are still in memory are left out when they are written to
//! parts; those in the log and in pages are left out at a start, by the batches that the record names. A query that
//! began before goes on with what it holds: its files stay open, though their names are gone.
//!
//! Always: a day counts until the record that drops its files is durable, and never afterwards; whoever publishes files
//! does so before or after, and what comes after lacks the days that are dropped.
//! On a full disk the record goes into the reserve, so that there is room again.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering},
    },
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};

use super::{Edit, Engine, Error, StoredPart, flushing::Written};
use crate::{
    memtable::Generation,
    model::{Day, PartId, SeqNo, TimeRange},
};

/// What an engine knows of days that are too old.
pub(crate) struct Retention {
    /// The first day that is kept.
    horizon: AtomicI32,
    /// The horizon up to which the manifest names the batches that lost rows; and whoever holds it changes which files count.
    recorded: Mutex<Day>,
}

impl Default for Retention {
    fn default() -> Self {
        Self { horizon: AtomicI32::new(i32::MIN), recorded: Mutex::new(Day(i32::MIN)) }
    }
}

impl Retention {
    /// The first day that is kept; the first of all where everything is.
    pub(crate) fn horizon(&self) -> Day {
        Day(self.horizon.load(Ordering::Acquire))
    }

    /// Whoever changes which files count waits for others who do.
    pub(crate) fn publishing(&self) -> MutexGuard<'_, Day> {
        self.recorded.lock()
    }

    /// What of files just written is of days that are kept; the others' files are to be removed.
    pub(crate) fn keep(&self, written: &mut Written) -> Vec<PathBuf> {
        let horizon = self.horizon();
        if written.edit.add_parts.iter().chain(&written.edit.add_index_parts).all(|file| file.day >= horizon) {
            return Vec::new();
        }
        written.edit.add_parts.retain(|file| file.day >= horizon);
        written.edit.add_index_parts.retain(|file| file.day >= horizon);
        written.parts.retain(|part| part.day >= horizon);
        written.fields.retain(|(day, _)| *day >= horizon);
        let (kept, old) = std::mem::take(&mut written.files).into_iter().partition(|(day, _)| *day >= horizon);
        written.files = kept;
        old.into_iter().map(|(_, path): (Day, _)| path).collect()
    }
}

/// The time before which samples are too old.
pub fn oldest_kept(retention: Duration, now: i64) -> i64 {
    i64::try_from(retention.as_nanos()).map_or(i64::MIN, |age| now.saturating_sub(age))
}

impl Engine {
    /// Drops the oldest day that is too old at `now` (Unix nanoseconds), if there is one: its parts count no more, and
    /// are removed. Whether there was.
    pub fn retain_step(&self, now: i64) -> Result<bool, Error> {
        self.raise_horizon(now);
        let horizon = self.retention.horizon();
        let mut recorded = self.retention.publishing();
        let in_files = self.oldest_day_of_files().filter(|day| *day < horizon);
        let is_in_memory = || self.oldest_day_elsewhere().is_some_and(|day| day < horizon);
        if in_files.is_none() && (*recorded >= horizon || !is_in_memory()) {
            return Ok(false);
        }
        let parts = in_files.map_or_else(Vec::new, |day| self.own_parts(day));
        let files = in_files.map_or_else(Vec::new, |day| self.files_of(day));
        // Batches that come later bring no rows of these days: they are refused at the door.
        let dropped = (*recorded < horizon).then(|| (horizon, self.durability.inserted()));
        let remove_parts = files.iter().map(|(id, _)| *id).collect();
        self.record(&Edit { remove_parts, dropped: dropped.into_iter().collect(), ..Edit::default() })?;
        *recorded = horizon;
        if let Some(day) = in_files {
            self.days.forget(day);
            self.parts.change(&[], &parts);
            self.remove_day(day, files.into_iter().map(|(_, path)| path));
            let samples = parts.iter().map(|part| part.summary.samples).sum();
            self.metrics.retention_dropped_partitions.inc();
            self.metrics.retention_dropped_samples.inc_by(samples);
            tracing::info!("retention: day {day} is dropped, {samples} samples in {} parts", parts.len());
        }
        Ok(true)
    }

    /// From now on queries see nothing of days that are too old at `now`.
    pub(super) fn raise_horizon(&self, now: i64) {
        if let Some(retention) = self.options.retention {
            let day = Day::of(oldest_kept(retention, now));
            self.retention.horizon.fetch_max(day.0, Ordering::AcqRel);
        }
    }

    /// The part of a range that is kept.
    pub fn kept(&self, range: TimeRange) -> TimeRange {
        match self.retention.horizon() {
            Day(i32::MIN) => range,
            horizon => TimeRange { start: range.start.max(horizon.range().start), ..range },
        }
    }

    /// The oldest day that has files of its own.
    fn oldest_day_of_files(&self) -> Option<Day> {
        let set = self.parts();
        let has_own = |parts: &[Arc<StoredPart>]| parts.iter().any(|part| part.own_file().is_some());
        let in_parts = set.days().find(|(_, parts)| has_own(parts)).map(|(day, _)| day);
        [in_parts, self.days.first()].into_iter().flatten().min()
    }

    /// The oldest day in memory and in pages.
    fn oldest_day_elsewhere(&self) -> Option<Day> {
        let first = |generation: &Arc<Generation>| generation.summary().days.keys().next().copied();
        let in_memory = self.generations().iter().filter_map(first).min();
        let in_pages = self.parts().days().next().map(|(day, _)| day);
        [in_memory, in_pages].into_iter().flatten().min()
    }

    /// The images of a day that are files of their own: pages are the flusher's to let go of.
    fn own_parts(&self, day: Day) -> Vec<Arc<StoredPart>> {
        let set = self.parts();
        set.iter().filter(|part| part.day == day && part.own_file().is_some()).cloned().collect()
    }

    /// The files of a day that count.
    fn files_of(&self, day: Day) -> Vec<(PartId, PathBuf)> {
        let manifest = self.manifest.lock();
        let state = manifest.state();
        let parts = state.parts.values().map(|part| (part, self.paths.part(part.day, part.id)));
        let index_parts = state.index_parts.values().map(|part| (part, self.paths.index_part(part.day, part.id)));
        parts.chain(index_parts).filter(|(file, _)| file.day == day).map(|(file, path)| (file.id, path)).collect()
    }

    /// Removes a day's files, which count no more, and its directory. What a crash brings back, a start removes again.
    fn remove_day(&self, day: Day, files: impl Iterator<Item = PathBuf>) {
        self.remove_files(files);
        let dir = self.paths.partition(day);
        // Somebody may just be writing there: what they write is not published, and removed.
        let dir = if self.disk.remove(&dir).is_ok() { self.paths.partitions() } else { dir };
        if let Err(error) = self.sync_dir(&dir) {
            tracing::warn!("{}", crate::durability::error_chain(&error));
        }
    }
}

/// Whether rows of a day were dropped from a batch.
pub(crate) fn is_dropped(dropped: &[(Day, SeqNo)], day: Day, number: SeqNo) -> bool {
    dropped.iter().any(|(before, upto)| day < *before && number <= *upto)
}
