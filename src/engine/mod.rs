//! The one owner of state and of background threads: a data directory, open.
//!
//! ```text
//! open:    lock ─► manifest ─► parts, index parts ─► stage scanned ─► verdict ─► stage synced ─► new manifest, ledger
//! then:    replay: batches of the stage ─► generations, while what is in parts and pages is served
//! running: two workers: commit, sync (durability) │ flusher: generation ─► parts │ compactor: parts ─► fewer parts
//!          retention, in the flusher's turn: days that are too old ─► nothing
//! ```
//!
//! Always: a file counts once a manifest record names it, and is complete and durable before that; flushes go in
//! sequence order, so "everything up to `flushed` is in parts" is one number; what is removed was replaced durably.
//! What a start cannot account for goes to `quarantine/`, never away.
//! Every thread is a loop around a step; [`Engine::start`] runs them, tests take the steps themselves.
//! Not here: what a mode does (`durability`), file formats (their layers), HTTP.

mod compact;
mod damage;
mod days;
mod directory;
mod edit;
mod error;
mod examine;
mod files;
mod flushing;
mod folding;
mod healing;
mod logdirs;
mod lognote;
mod loss;
mod manifest;
mod marks;
mod names;
mod open;
mod options;
mod pages;
mod partset;
mod paths;
mod plan;
mod policy;
mod probe;
mod receipts;
mod recorder;
mod recover;
mod reindex;
mod replay;
mod report;
mod reserve;
mod retention;
mod strays;
mod threads;
mod ticks;
mod unread;
mod verdict;
mod watch;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock, atomic::AtomicU64},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use roaring::RoaringBitmap;

pub use damage::LeftOut;
pub use edit::{Edit, FileEntry, Incarnation, State};
pub use error::Error;
pub use loss::{Bounds, Ending, Loss};
pub use manifest::{Manifest, describe as describe_manifest};
pub use names::NameError;
pub use open::{Open, Recovery};
pub use options::Options;
pub use partset::{Home, PartSet, StoredPart};
pub use paths::Paths;
pub use policy::{PolicyError, RecoveryPolicy};
pub use receipts::Receipt;
pub use replay::{ReplayProgress, Replaying};
pub use retention::oldest_kept;
pub use verdict::{Span, Verdict};

use crate::{
    disk::{self, Disk, Lock, Probe},
    durability::{AckLevel, AtRisk, Durability, Failure, Mode, Refused, Switched, Ticket, Watermarks, Workers},
    engine::{
        damage::Notice, days::Days, flushing::NewFields, names::StreamIds, partset::Parts, replay::ReplayState,
        reserve::Reserve, retention::Retention, threads::Threads, unread::Unread, watch::Watch,
    },
    index::Index,
    memtable::{Catalogue, Generation, Memtable},
    metrics::{FileKind as Synced, Label, Metrics},
    model::{Batch, Day, PartId, SeqNo},
};

/// A data directory, open. See the module's picture.
pub struct Engine {
    disk: Arc<dyn Disk>,
    paths: Paths,
    options: Options,
    metrics: Arc<Metrics>,
    incarnation: u32,
    first_number: SeqNo,
    recovery: Recovery,
    probe: OnceLock<Probe>,
    durability: Arc<Durability>,
    index: Arc<Index>,
    memtable: Arc<Memtable>,
    stream_ids: StreamIds,
    days: Days,
    /// Fields of the streams in pages that earlier incarnations left, until the pages are parts.
    page_fields: Mutex<BTreeMap<Day, NewFields>>,
    parts: Parts,
    manifest: Arc<Mutex<Manifest>>,
    /// Lost parts of which something is put back, each with the last number of that: the manifest names them until it is in
    /// parts.
    refilled: Mutex<Vec<(PartId, SeqNo)>>,
    next_file: AtomicU64,
    /// Files of the stage that earlier incarnations wrote, until all they hold is in parts; and whether they are damaged.
    leftovers: Mutex<Vec<(PathBuf, bool)>>,
    /// What of them is on its way back to memory.
    replay: ReplayState,
    workers: Workers,
    threads: Threads,
    clock: Clock,
    lock: Box<dyn Lock>,
    reserve: Reserve,
    retention: Retention,
    watch: Watch,
    /// What the disk does not read.
    unread: Unread,
    /// Files to be removed after the next record: those of a record that failed, which a start may count until a later one is
    /// durable, and those that could not be removed before.
    abandoned: Mutex<Vec<PathBuf>>,
    /// What is damaged and gone, as this start and its compactions found it.
    notices: Mutex<Vec<Notice>>,
}

/// Time since the engine was opened: what `now` means below this layer.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    /// Starts at zero.
    #[allow(clippy::disallowed_methods)] // the engine is where the clock is read
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// How long ago that was.
    pub fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

impl Engine {
    /// The names of streams, tables and fields.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// How it is run.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// What was found when the directory was opened.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// What the directory stands on, if that was asked and found out.
    pub fn probe(&self) -> Option<&Probe> {
        self.probe.get()
    }

    /// What starts of this directory lost by their ends, oldest first; of the last hundred.
    pub fn losses(&self) -> Vec<Loss> {
        self.manifest.lock().state().losses.clone()
    }

    /// The first number this start gives out.
    pub fn first_number(&self) -> SeqNo {
        self.first_number
    }

    /// Which start of the directory this is.
    pub fn incarnation(&self) -> u32 {
        self.incarnation
    }

    /// The metrics everything records to.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Watermarks and generations.
    pub fn durability(&self) -> &Durability {
        &self.durability
    }

    /// Streams in memory and their slots.
    pub fn catalogue(&self) -> &Catalogue {
        &self.memtable.catalogue
    }

    /// The parts, as they are now.
    pub fn parts(&self) -> Arc<PartSet> {
        self.parts.load()
    }

    /// Which streams have rows on which days.
    pub fn days(&self) -> &Days {
        &self.days
    }

    /// The streams in pages that an earlier incarnation left for a day.
    pub fn page_streams(&self, day: Day) -> RoaringBitmap {
        let fields = self.page_fields.lock();
        fields.get(&day).into_iter().flat_map(|streams| streams.keys()).map(|stream| stream.0).collect()
    }

    /// The generations in memory, oldest first.
    pub fn generations(&self) -> Arc<Vec<Arc<Generation>>> {
        self.durability.generations().load()
    }

    /// Takes a batch to be numbered and made as safe as `level` (or the mode) says.
    pub fn submit(&self, batch: Batch, payload: Vec<u8>, level: Option<AckLevel>) -> Result<Ticket, Refused> {
        let refused = self.durability.submit(batch, payload, level, self.clock.now());
        if matches!(refused, Err(Refused::Overloaded(_))) {
            self.metrics.overload.inc();
            // Nothing is being flushed that would make room: the open generation must be.
            if self.generations().len() == 1 {
                self.durability.request_rotation();
            }
            self.durability.flusher().ring();
        }
        refused
    }

    /// What keeps the server from doing its work, if anything does: writes have stopped, or flushes fail.
    pub fn problem(&self) -> Option<String> {
        let stopped = self.durability.stopped().map(|stopped| stopped.to_string());
        let failing = || self.durability.flusher().problem().or_else(|| self.threads.compactor().problem());
        stopped.or_else(|| self.threads.replay_problem()).or_else(failing)
    }

    /// Changes the durability mode of the running server; answered when the new one is in force, or why it is not.
    pub fn switch(&self, mode: Mode) -> Switched {
        self.durability.switch(mode)
    }

    /// Waits until everything up to a number is as safe as `level` says; has it synced where it is not. `None` where the
    /// number has not been given out.
    pub fn wait(&self, number: SeqNo, level: AckLevel) -> Option<Ticket> {
        let is_given = number <= self.durability.inserted();
        is_given.then(|| self.durability.wait(number, level, self.clock.now()))
    }

    /// How long after its answer a write of this level may still be taken by a failure, at most: zero where it is safe,
    /// `None` where nothing bounds it.
    pub fn window(&self, level: AckLevel, failure: Failure) -> Option<Duration> {
        self.durability.window(level, failure)
    }

    /// The watermarks.
    pub fn watermarks(&self) -> Watermarks {
        self.durability.watermarks()
    }

    /// What a crash would take now.
    pub fn at_risk(&self, failure: Failure) -> AtRisk {
        self.durability.at_risk(failure, self.clock.now())
    }

    /// Brings those metrics up to date that are read rather than counted.
    pub fn refresh_metrics(&self) {
        let metrics = &self.metrics;
        for failure in Failure::ALL.iter().copied() {
            let at_risk = self.at_risk(failure);
            metrics.at_risk_samples[failure].set(at_risk.samples as i64);
            metrics.at_risk_bytes[failure].set(at_risk.bytes as i64);
            metrics.at_risk_age[failure].set(at_risk.age.as_secs_f64());
        }
        for (kind, _, is_behind) in self.log_copies() {
            metrics.wal_copy_behind[kind].set(i64::from(is_behind));
        }
        let generations = self.generations();
        metrics.generations.set(generations.len() as i64);
        metrics.memtable_bytes.set(generations.iter().map(|generation| generation.allocated() as i64).sum());
        metrics.memtable_samples.set(generations.iter().map(|generation| generation.summary().samples as i64).sum());
        let parts = self.parts();
        metrics.parts.set(parts.iter().count() as i64);
        metrics.part_bytes.set(parts.iter().map(|part| part.summary.len as i64).sum());
        metrics.part_samples.set(parts.iter().map(|part| part.summary.samples as i64).sum());
        metrics.damaged_blocks.set(parts.iter().map(|part| part.left_out().blocks() as i64).sum());
        metrics.streams.set(self.index.streams.count() as i64);
        metrics.tables.set(self.index.schema.table_count() as i64);
        metrics.layouts.set(self.index.schema.layout_count() as i64);
    }

    fn next_file(&self) -> PartId {
        PartId(self.next_file.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
    }

    fn sync_file(&self, file: &dyn disk::File, path: &Path) -> Result<(), Error> {
        self.timed(Synced::Part, || disk::sync_linked(file)).map_err(io_error("sync", path))
    }

    fn sync_dir(&self, dir: &Path) -> Result<(), Error> {
        self.timed(Synced::Directory, || self.disk.sync_dir(dir)).map_err(io_error("sync directory", dir))
    }

    fn timed<T>(&self, kind: Synced, sync: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let start = self.clock.now();
        let result = sync();
        self.metrics.fsync_duration[kind].observe((self.clock.now() - start).as_secs_f64());
        if result.is_err() {
            self.metrics.fsync_failures[kind].inc();
        }
        result
    }

    /// Records an edit in the manifest, durably; on a full disk, in the space kept for it.
    fn record(&self, edit: &Edit) -> Result<(), Error> {
        self.check_directory()?;
        let mut manifest = self.manifest.lock();
        let start = self.clock.now();
        match manifest.record(edit) {
            Err(error) if error.is_full() && self.reserve.release() => {
                let recorded = manifest.record(edit);
                if !edit.makes_room() {
                    // What is left of it is for the record that does, and not for the next flush.
                    self.reserve.keep_rest();
                }
                recorded?;
            }
            recorded => recorded?,
        }
        self.metrics.fsync_duration[Synced::Manifest].observe((self.clock.now() - start).as_secs_f64());
        let abandoned = std::mem::take(&mut *self.abandoned.lock());
        self.remove_files(abandoned.into_iter());
        Ok(())
    }
}

fn io_error<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
    move |source| Error::Io { action, path: path.to_owned(), source }
}
