//! Opening a data directory.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, OnceLock, atomic::AtomicU64},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;

use super::{
    Clock, Engine, Error, FileEntry, Incarnation, Loss, Options, Paths, RecoveryPolicy, State, StoredPart, Verdict,
    damage::Notice,
    days::Days,
    directory::{holds_data, make_dirs, take_lock},
    examine::Found,
    flushing::NewFields,
    io_error,
    logdirs::LogDirs,
    manifest::{Loaded, Manifest},
    names::StreamIds,
    pages::Opened,
    partset::Parts,
    plan::Plan,
    recorder::{NUMBERS_AHEAD, Recorder},
    recover::StageContents,
    replay::ReplayState,
    reserve::Reserve,
    retention::Retention,
    threads::Threads,
    ticks::encode_pages,
    unread::Unread,
    watch::Watch,
};
use crate::{
    disk::Disk,
    durability::{
        Committer, Durability, Generations, Ledger, LedgerRecord, Limits, NoteBehind, RenewLedger, Start, Syncer,
        Watermarks, Workers,
    },
    index::{Index, SchemaLimits},
    memtable::{ArenaOptions, ArenaPool, Catalogue, Memtable},
    metrics::Metrics,
    model::{Day, PartId, SeqNo},
};

/// File numbers skipped at a start: more than one start can write without recording any.
const FILES_AHEAD: u64 = 1 << 10;

/// What opening a directory found.
#[derive(Clone, Debug, Default)]
pub struct Recovery {
    /// The last number that survived.
    pub end: SeqNo,
    /// Batches of the stage: those in pages are served, the others are replayed.
    pub replayed_batches: u64,
    /// Numbers that had been safe and are gone: damage. Ranges, first and last.
    pub damaged: Vec<(SeqNo, SeqNo)>,
    /// Bytes of the stage that hold something but no valid frame: damage, and what a crash tore at the end.
    pub damaged_bytes: u64,
    /// Parts and index parts that are damaged or missing; what was in them, and is not in the log any more, is gone from the
    /// answers.
    pub damaged_files: Vec<PathBuf>,
    /// Files that could not be read, or not all of them. All are kept: parts and index parts where they are, to be read
    /// again by the next start, files of the stage in quarantine once what is whole of them is in parts.
    pub unread_files: Vec<PathBuf>,
    /// Files of which something was damaged that stands in them twice: nothing is lost, and it was written again.
    pub mended_files: Vec<PathBuf>,
    /// What the end of the start before took of what it had acknowledged; `None` at the first start.
    pub loss: Option<Loss>,
    /// Files that were moved to quarantine.
    pub quarantined: Vec<PathBuf>,
    /// How long it took.
    pub duration: Duration,
}

/// A log segment is not made smaller than this, however small the disk.
const SEGMENT_SIZE_MIN: u64 = 64 << 10;

/// A directory on its way to being open.
pub struct Open {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) paths: Paths,
    pub(super) options: Options,
    pub(super) logs: LogDirs,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Clock,
    pub(super) recovery: Recovery,
    pub(super) index: Arc<Index>,
    pub(super) memtable: Arc<Memtable>,
    pub(super) days: Days,
    pub(super) parts: Parts,
    /// Parts that are damaged or missing. The manifest goes on to name those of which something is put back, until that is in
    /// parts again.
    pub(super) lost_parts: Vec<FileEntry>,
    /// Index parts that are damaged or missing.
    pub(super) lost_index: Vec<FileEntry>,
    /// Those parts of which something is put back, each with the last number of that.
    refilled: Vec<(PartId, SeqNo)>,
    /// What the disk does not read.
    pub(super) unread: Unread,
    /// What answers are to say of damage.
    pub(super) notices: Vec<Notice>,
    pub(super) state: State,
    /// The highest file number seen anywhere.
    pub(super) last_file: u64,
    pub(super) last_stream: u32,
}

impl Engine {
    /// Opens a directory, making it where it is missing, and recovers what is in it. No thread runs yet.
    pub fn open(disk: Arc<dyn Disk>, options: Options, metrics: Arc<Metrics>) -> Result<Arc<Self>, Error> {
        if options.recovery == RecoveryPolicy::DryRun {
            return Err(Error::DryRun);
        }
        let paths = Paths { root: options.dir.clone() };
        make_dirs(&*disk, &paths)?;
        let lock = take_lock(&*disk, &paths)?;
        let logs = LogDirs::check(&*disk, &paths, &options)?;
        let mut loaded = Loaded::read(&*disk, &paths.root)?;
        if loaded.number == 0 && holds_data(&*disk, &paths, &logs)? {
            return Err(Error::NoManifest(paths.root));
        }
        let mut open = Open::new(disk, paths, options, logs, metrics, loaded.state.clone());
        open.open_parts()?;
        let found = open.find()?;
        if loaded.number > 0 {
            let reserve = Reserve::new(Arc::clone(&open.disk), open.paths.reserve());
            reserve.within(|| loaded.write_anew(&*open.disk, &open.paths.root))?;
        }
        open.logs.claim(&*open.disk, &open.paths)?;
        open.quarantine_strays(loaded.clean, &found)?;
        open.recover(found, lock)
    }
}

impl Open {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        paths: Paths,
        options: Options,
        logs: LogDirs,
        metrics: Arc<Metrics>,
        state: State,
    ) -> Self {
        let memtable = Memtable {
            catalogue: Catalogue::default(),
            pool: ArenaPool::new(arena_options(&options)),
            // Several generations must fit: one that is written, and one or more that are being flushed.
            generation_size: options.generation_size.min(options.memory_size_max / 4),
        };
        Self {
            disk,
            paths,
            options,
            logs,
            metrics,
            clock: Clock::start(),
            recovery: Recovery::default(),
            index: Arc::new(Index::new(SchemaLimits::default(), fastrand::u64(..))),
            memtable: Arc::new(memtable),
            days: Days::default(),
            parts: Parts::default(),
            last_file: state.reserved_files.saturating_sub(1),
            last_stream: 0,
            lost_parts: Vec::new(),
            lost_index: Vec::new(),
            refilled: Vec::new(),
            unread: Unread::default(),
            notices: Vec::new(),
            state,
        }
    }

    /// Recovers the stage, makes the new start durable, and puts the engine together.
    fn recover(mut self, found: Found, lock: Box<dyn crate::disk::Lock>) -> Result<Arc<Engine>, Error> {
        let Found { mut stage, verdict, plan, damaged, lost, nameless, reindexed, flushed, dropped, here, .. } = found;
        self.unread.numbers = found.unread;
        self.state.flushed = flushed;
        self.leave_out(&dropped);
        let samples = stage.samples_at(verdict.end).map_or(0, |(_, samples)| samples).max(self.state.samples);
        self.tell_lost_parts(&plan, &verdict)?;
        self.keep_refilled(&plan);
        let replaced = self.write_reindexed(&reindexed)?;
        let is_told = |range: &&(SeqNo, SeqNo)| lost.contains(range) || self.unread.numbers.contains(range);
        let of_stage: Vec<_> = damaged.iter().filter(|range| !is_told(range)).copied().collect();
        if !of_stage.is_empty() {
            // The last frame of a file looks like one that a crash tore, also where it was whole once.
            stage.files.iter_mut().for_each(|file| file.is_damaged = true);
        }
        self.tell_batches(&of_stage, "had been safe and are damaged: what they held is left out")?;
        self.tell_batches(&nameless, "hold series that nothing names any more: these are left out")?;
        let manifest = self.begin(&verdict, &lost, stage.largest, stage.largest_stream, samples)?;
        for part in &dropped {
            self.quarantine(&self.paths.part(part.day, part.id))?;
        }
        for (path, target) in replaced {
            self.move_aside(&path, target)?;
        }
        // What it told is in the manifest now, so the ledger can be used again.
        let marks = Watermarks { visible: verdict.end, process_safe: verdict.end, power_safe: verdict.end };
        let first = LedgerRecord::first(self.state.incarnation(), here, marks, samples);
        let first = LedgerRecord { clock: wall_clock(), ..first };
        let path = self.paths.ledger();
        let ledger = Ledger::create(&*self.disk, &path, &first).map_err(io_error("begin the ledger", &path))?;
        let opened = Opened::new(&stage, &plan, &verdict, &self.state.dropped, &self.index)?;
        self.parts.change(&opened.pages, &[]);
        self.recovery.end = verdict.end;
        self.recovery.damaged = damaged;
        self.recovery.unread_files.extend(stage.unread.iter().cloned());
        self.recovery.damaged_bytes = stage.damage.iter().map(|(.., bytes)| bytes).sum::<u64>() + stage.torn_bytes;
        self.recovery.replayed_batches = plan.batches(&stage.commits, flushed);
        let engine = self.assemble(stage, plan, opened.fields, manifest, (ledger, first), lock)?;
        if engine.recovery.replayed_batches == 0 {
            engine.remove_leftovers();
        }
        Ok(engine)
    }

    /// Says which lost parts are not put back as a whole: in this start, and in later ones.
    fn tell_lost_parts(&mut self, plan: &Plan, verdict: &Verdict) -> Result<(), Error> {
        // What lies behind the end is told as a whole.
        for part in self.lost_parts.clone().iter().filter(|part| part.numbers.0 <= verdict.end) {
            let path = self.paths.part(part.day, part.id);
            if plan.is_put_back(part, verdict) {
                self.unmark(part, &path)?;
            } else {
                self.mark_missing(part.day, &path)?;
                let consequence = "what the log does not hold of it is left out";
                self.tell(part, &path, "part", "is damaged or missing", consequence);
            }
        }
        Ok(())
    }

    /// Of the lost parts those go on counting of which the log still holds something.
    fn keep_refilled(&mut self, plan: &Plan) {
        self.refilled = plan.refilled(&self.lost_parts);
        for part in &self.lost_parts {
            match self.refilled.iter().any(|(id, _)| *id == part.id) {
                true => tracing::warn!("what the log still holds of part {}/{} is put back", part.day, part.id),
                false => drop(self.state.parts.remove(&part.id)),
            }
        }
    }

    /// Parts behind the end do not count any more.
    fn leave_out(&mut self, dropped: &[FileEntry]) {
        self.state.parts.retain(|id, _| dropped.iter().all(|part| part.id != *id));
        let set = self.parts.load();
        let is_dropped = |stored: &&Arc<StoredPart>| {
            stored.own_file().is_some_and(|(id, _)| dropped.iter().any(|part| part.id == id))
        };
        let stored: Vec<_> = set.iter().filter(is_dropped).cloned().collect();
        self.parts.change(&[], &stored);
    }

    /// On a small disk segments are smaller: several must fit, beside the parts that take over what they hold.
    fn segment_size_max(&self) -> u64 {
        let total = |dir| self.disk.space(dir).map_or(u64::MAX, |space| space.total);
        let smallest = self.logs.written().map(|(_, dir)| total(dir)).min().unwrap_or(u64::MAX);
        (smallest / 64).max(SEGMENT_SIZE_MIN)
    }

    /// Writes the manifest of the new start: from here on, what was cut off stays cut off.
    fn begin(
        &mut self,
        verdict: &Verdict,
        lost: &[(SeqNo, SeqNo)],
        largest: SeqNo,
        largest_stream: u32,
        samples: u64,
    ) -> Result<Manifest, Error> {
        let state = &mut self.state;
        let first = state.reserved.max(largest.next()).max(verdict.end.next());
        state.incarnations.clone_from(&verdict.incarnations);
        let number = state.incarnation() + 1;
        state.incarnations.push(Incarnation { number, first, end: None });
        // Of a batch that spans several parts, some may be left; to whoever asks it is lost.
        state.lost = [&verdict.voids[..], &verdict.damaged, lost].concat();
        state.lost.sort_unstable();
        state.losses.extend(self.recovery.loss);
        state.forget();
        state.reserved = SeqNo(first.0 + NUMBERS_AHEAD);
        state.reserved_streams = state.reserved_streams.max(largest_stream.max(self.last_stream) + 1);
        state.reserved_files = self.last_file + 1 + FILES_AHEAD;
        state.samples = samples;
        let create = || Manifest::create(Arc::clone(&self.disk), &self.paths.root, state.clone());
        let manifest = Reserve::new(Arc::clone(&self.disk), self.paths.reserve()).within(create)?;
        manifest.remove_older()?;
        Ok(manifest)
    }

    fn assemble(
        mut self,
        stage: StageContents,
        plan: Plan,
        page_fields: BTreeMap<Day, NewFields>,
        manifest: Manifest,
        ledger: (Ledger, LedgerRecord),
        lock: Box<dyn crate::disk::Lock>,
    ) -> Result<Arc<Engine>, Error> {
        let start = *self.state.incarnations.last().expect("`begin` pushed one");
        let manifest = Arc::new(Mutex::new(manifest));
        let limits = Limits {
            inbox_size_max: (self.options.memory_size_max / 4).min(256 << 20),
            memory_size_max: self.options.memory_size_max,
            tick_size_max: self.options.generation_size / 2,
            // By then the flush that is forced at half of it is far behind.
            log_size_max: self.options.log_size_max.saturating_mul(2),
            ack_min: self.options.ack_min,
        };
        let (mode, end) = (self.options.mode, self.recovery.end);
        let durability = Durability::new(mode, limits, end, Generations::default(), Arc::clone(&self.metrics));
        let renew = renew_ledger(&self.disk, self.paths.ledger());
        durability.keep_ledger(ledger.0, ledger.1, renew, self.clock.now());
        durability.note_behind(note_behind(&self.disk, &self.paths, &self.logs));
        let committer_start = Start {
            incarnation: start.number,
            next: start.first,
            limit: self.state.reserved,
            record: Box::new(Recorder(Arc::clone(&manifest))),
            samples: self.state.samples,
            next_segment: stage.last_ids[0] + 1,
            log_dirs: self.logs.written().map(|(_, dir)| dir.to_owned()).collect(),
            log_copies_needed: self.logs.needed,
            log_compression: self.options.wal_compression,
            segment_size: self.options.segment_size,
            segment_size_max: self.segment_size_max(),
        };
        let committer = Committer::new(
            Arc::clone(&durability),
            Arc::clone(&self.disk),
            Arc::clone(&self.index),
            Arc::clone(&self.memtable),
            committer_start,
        );
        let syncer = Syncer::new(
            Arc::clone(&durability),
            Arc::clone(&self.disk),
            Arc::clone(&self.index),
            encode_pages(&self.index, &self.memtable),
            self.paths.containers(),
            start.number,
            stage.last_ids[1] + 1,
        );
        let leftovers = stage.files.iter().map(|file| (file.path.clone(), file.is_damaged)).collect();
        let replay = ReplayState::new(stage, plan, self.state.dropped.clone());
        if replay.floor() <= end {
            durability.hold_back(SeqNo(replay.floor().0 - 1));
        }
        let workers = Workers::new(Arc::clone(&durability), committer, syncer);
        let reserve = Reserve::new(Arc::clone(&self.disk), self.paths.reserve());
        let watch = Watch::new(self.logs.clone(), &self.metrics);
        self.recovery.duration = self.clock.now();
        self.report(start.number);
        Ok(Arc::new(Engine {
            disk: self.disk,
            paths: self.paths,
            options: self.options,
            metrics: self.metrics,
            incarnation: start.number,
            first_number: start.first,
            recovery: self.recovery,
            probe: OnceLock::new(),
            durability,
            index: self.index,
            memtable: self.memtable,
            stream_ids: StreamIds::new(self.state.reserved_streams),
            days: self.days,
            page_fields: Mutex::new(page_fields),
            parts: self.parts,
            manifest,
            refilled: Mutex::new(self.refilled),
            next_file: AtomicU64::new(self.last_file + 1),
            leftovers: Mutex::new(leftovers),
            replay,
            workers,
            threads: Threads::default(),
            clock: self.clock,
            lock,
            reserve,
            retention: Retention::default(),
            watch,
            unread: self.unread,
            abandoned: Mutex::default(),
            notices: Mutex::new(self.notices),
        }))
    }
}

/// How it is noted that a copy of the log failed: on a full disk, in the space kept for what must be recorded.
fn note_behind(disk: &Arc<dyn Disk>, paths: &Paths, logs: &LogDirs) -> NoteBehind {
    let (disk, paths, logs) = (Arc::clone(disk), paths.clone(), logs.clone());
    Box::new(move |lane| {
        let note = || logs.note_behind(&*disk, &paths, lane);
        let reserve = Reserve::new(Arc::clone(&disk), paths.reserve());
        Ok(note().or_else(|error| if error.is_full() && reserve.release() { note() } else { Err(error) })?)
    })
}

/// How a ledger that failed is made anew.
fn renew_ledger(disk: &Arc<dyn Disk>, path: PathBuf) -> RenewLedger {
    let disk = Arc::clone(disk);
    Box::new(move |record| Ledger::create(&*disk, &path, record))
}

#[allow(clippy::disallowed_methods)] // the engine is where clocks are read
pub(super) fn wall_clock() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

fn arena_options(options: &Options) -> ArenaOptions {
    let spare_size_max = ArenaOptions::default().spare_size_max.min(options.memory_size_max / 2);
    ArenaOptions { chunk_size: options.chunk_size, spare_size_max }
}
