//! Opening a data directory.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicU64},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;

use super::{
    Clock, Engine, Error, FileEntry, Incarnation, Loss, Options, Paths, RecoveryPolicy, State, StoredPart, Verdict,
    days::Days,
    io_error,
    logdirs::LogDirs,
    loss::Evidence,
    manifest::{self, Loaded, Manifest},
    names::StreamIds,
    partset::Parts,
    probe::probe,
    recover::StageContents,
    replay::{Plan, Replay, Replayed},
    reserve::Reserve,
    threads::Threads,
};
use crate::{
    codec::Level,
    disk::{Disk, Probe},
    durability::{
        Committer, Durability, EncodePages, Ledger, LedgerRecord, Limits, Pages, RenewLedger, Start, Syncer, Tick,
        Watermarks,
    },
    flush,
    index::{Index, IndexPart, SchemaLimits},
    memtable::{ArenaOptions, ArenaPool, Catalogue, Memtable, Merge},
    metrics::Metrics,
    model::{PartId, SeqNo},
    parts::{self, Builder, Footer, Part},
    stage::{FileKind, list_files},
};

/// Sequence numbers reserved with one manifest record: minutes at the highest rate, so that it costs nothing.
const NUMBERS_AHEAD: u64 = 1 << 24;
/// File numbers skipped at a start: more than one start can write without recording any.
const FILES_AHEAD: u64 = 1 << 10;

/// What opening a directory found.
#[derive(Clone, Debug, Default)]
pub struct Recovery {
    /// The last number that survived.
    pub end: SeqNo,
    /// Batches taken from the stage.
    pub replayed_batches: u64,
    /// Numbers that had been safe and are gone: damage. Ranges, first and last.
    pub damaged: Vec<(SeqNo, SeqNo)>,
    /// Bytes of the stage that hold something but no valid frame.
    pub damaged_bytes: u64,
    /// Rows whose stream nothing defines any more.
    pub orphaned_rows: u64,
    /// Parts and index parts that are damaged or missing; what was in them is gone from the answers.
    pub damaged_files: Vec<PathBuf>,
    /// What the end of the start before took of what it had acknowledged; `None` at the first start.
    pub loss: Option<Loss>,
    /// Files that were moved to quarantine.
    pub quarantined: Vec<PathBuf>,
    /// How long it took.
    pub duration: Duration,
}

/// A directory on its way to being open.
pub struct Open {
    disk: Arc<dyn Disk>,
    paths: Paths,
    options: Options,
    logs: LogDirs,
    pub(crate) metrics: Arc<Metrics>,
    clock: Clock,
    pub(crate) recovery: Recovery,
    probe: Option<Probe>,
    index: Arc<Index>,
    memtable: Arc<Memtable>,
    days: Days,
    parts: Parts,
    pub(crate) state: State,
    /// The highest file number seen anywhere.
    last_file: u64,
    last_stream: u32,
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
        let loaded = Loaded::read(&*disk, &paths.root)?;
        if loaded.number == 0 && holds_data(&*disk, &paths, &logs)? {
            return Err(Error::NoManifest(paths.root));
        }
        let mut open = Open::new(disk, paths, options, logs, metrics, loaded.state);
        open.open_parts()?;
        let found = open.examine()?;
        open.logs.claim(&*open.disk, &open.paths)?;
        open.quarantine_strays(loaded.clean)?;
        open.recover(found, loaded.number, lock)
    }
}

/// What a start finds in the stage, and decides.
pub(crate) struct Found {
    pub(crate) stage: StageContents,
    pub(crate) verdict: Verdict,
    /// Numbers that had been safe and are missing, whatever the policy makes of it.
    pub(crate) damaged: Vec<(SeqNo, SeqNo)>,
    boot: u128,
}

pub(crate) fn take_lock(disk: &dyn Disk, paths: &Paths) -> Result<Box<dyn crate::disk::Lock>, Error> {
    disk.lock(&paths.lock()).map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => Error::Locked(paths.root.clone()),
        _ => io_error("lock", &paths.lock())(source),
    })
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
        let probe = options.probe.then(|| probe(&*disk, &paths.root, &metrics)).flatten();
        Self {
            disk,
            paths,
            options,
            logs,
            metrics,
            clock: Clock::start(),
            recovery: Recovery::default(),
            probe,
            index: Arc::new(Index::new(SchemaLimits::default(), fastrand::u64(..))),
            memtable: Arc::new(memtable),
            days: Days::default(),
            parts: Parts::default(),
            last_file: state.reserved_files.saturating_sub(1),
            last_stream: 0,
            state,
        }
    }

    /// Opens what the manifest names. A file that cannot be read is set aside, and the rest is served.
    pub(crate) fn open_parts(&mut self) -> Result<(), Error> {
        for entry in self.state.index_parts.values().copied().collect::<Vec<_>>() {
            let path = self.paths.index_part(entry.day, entry.id);
            if let Err(error) = self.open_index_part(&entry, &path) {
                self.set_aside_damage(&path, error)?;
                self.state.index_parts.remove(&entry.id);
            }
        }
        let mut opened = Vec::new();
        for entry in self.state.parts.values().copied().collect::<Vec<_>>() {
            let path = self.paths.part(entry.day, entry.id);
            match self.open_part(&entry, &path) {
                Ok(part) => opened.push(part),
                Err(error) => {
                    self.set_aside_damage(&path, error)?;
                    self.state.parts.remove(&entry.id);
                }
            }
        }
        self.parts.change(&opened, &[]);
        Ok(())
    }

    fn open_index_part(&mut self, entry: &FileEntry, path: &Path) -> Result<(), Error> {
        let file = self.disk.open(path).map_err(io_error("open", path))?;
        let failed = |source| Error::Index { action: "read index part", path: path.to_owned(), source };
        // All of it first: of a part that is set aside nothing may stay known.
        let entries =
            IndexPart::open(file).map_err(failed)?.entries().collect::<Result<Vec<_>, _>>().map_err(failed)?;
        for entry_of in entries {
            let names: Vec<&str> = entry_of.fields.iter().map(|name| &**name).collect();
            let Ok((layout, _)) = self.index.layout(entry_of.key.measurement(), &names) else { continue };
            let layout = self.index.schema.layout(layout);
            self.index.streams.add(entry_of.stream, &entry_of.key, layout.table);
            self.index.streams.note_layout(entry_of.stream, layout);
            layout.fields.iter().for_each(|field| self.days.note(entry.day, entry_of.stream, *field));
            self.last_stream = self.last_stream.max(entry_of.stream.0);
        }
        Ok(())
    }

    fn open_part(&self, entry: &FileEntry, path: &Path) -> Result<Arc<StoredPart>, Error> {
        let file = self.disk.open(path).map_err(io_error("open", path))?;
        let size = file.size().map_err(io_error("measure", path))?;
        let failed = |source| Error::Part { action: "open part", path: path.to_owned(), source };
        let part = Arc::new(Part::open(file, 0, size).map_err(failed)?);
        let file = Some((entry.id, path.to_owned()));
        Ok(Arc::new(StoredPart { part, day: entry.day, numbers: entry.numbers, file }))
    }

    /// Moves a damaged file to quarantine, with a word about it. A disk that cannot be read now may be read tomorrow, and a
    /// newer version's file by a newer program: such an error ends the start instead.
    fn set_aside_damage(&mut self, path: &Path, error: Error) -> Result<(), Error> {
        if !error.is_damage() {
            return Err(error);
        }
        if self.options.recovery == RecoveryPolicy::Strict {
            let why = crate::durability::error_chain(&error);
            return Err(Error::Damaged(format!("{} is damaged or missing: {why}", path.display())));
        }
        tracing::error!("{} is set aside: {}", path.display(), crate::durability::error_chain(&error));
        self.recovery.damaged_files.push(path.to_owned());
        self.quarantine(path)
    }

    fn quarantine(&mut self, path: &Path) -> Result<(), Error> {
        let name = path.file_name().expect("files have names").to_string_lossy();
        let parent = path.parent().expect("files are in directories");
        let day = parent.file_name().unwrap_or_default().to_string_lossy();
        let target = self.paths.quarantine().join(format!("{}-{day}-{name}", self.state.incarnation()));
        if self.options.recovery == RecoveryPolicy::DryRun {
            self.recovery.quarantined.push(path.to_owned());
            return Ok(());
        }
        match self.disk.rename(path, &target) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            moved => moved.map_err(io_error("move to quarantine", path))?,
        }
        self.disk.sync_dir(&self.paths.quarantine()).map_err(io_error("sync directory", &self.paths.quarantine()))?;
        self.disk.sync_dir(parent).map_err(io_error("sync directory", parent))?;
        self.recovery.quarantined.push(target);
        Ok(())
    }

    /// Moves what no record names to quarantine; removes what was replaced durably.
    pub(crate) fn quarantine_strays(&mut self, manifest_is_clean: bool) -> Result<(), Error> {
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
        for (id, path) in strays {
            let was_replaced = manifest_is_clean && self.state.removed.contains(&id);
            if !was_replaced {
                tracing::warn!("{} is named by no manifest record: it belongs into quarantine", path.display());
                self.quarantine(&path)?;
            } else if self.options.recovery != RecoveryPolicy::DryRun {
                self.disk.remove(&path).map_err(io_error("remove", &path))?;
            }
        }
        Ok(())
    }

    /// Reads the stage and decides what counts. Changes nothing; a strict start ends here where there is damage.
    pub(crate) fn examine(&mut self) -> Result<Found, Error> {
        let stage = StageContents::read(&*self.disk, &self.logs.read, &self.paths.containers(), &self.index)?;
        let mut verdict = stage.verdict(&self.state);
        let damaged = verdict.damaged.clone();
        if self.options.recovery == RecoveryPolicy::PointInTime {
            verdict.cut_before_damage(self.state.flushed);
        }
        let boot = self.boot();
        self.recovery.loss = self.assess_loss(&stage, &verdict, boot)?;
        let found = Found { stage, verdict, damaged, boot };
        match found.damage() {
            Some(damage) if self.options.recovery == RecoveryPolicy::Strict => Err(Error::Damaged(damage)),
            _ => Ok(found),
        }
    }

    /// Recovers the stage, makes the new start durable, and puts the engine together.
    fn recover(
        mut self,
        found: Found,
        manifest_number: u64,
        lock: Box<dyn crate::disk::Lock>,
    ) -> Result<Arc<Engine>, Error> {
        let Found { stage, verdict, damaged, boot } = found;
        let flushed = self.state.flushed;
        // What is served from now on must not be lost to a power cut: it may be in the page cache only.
        stage.sync()?;
        let samples = stage.samples_at(verdict.end).map_or(0, |(_, samples)| samples).max(self.state.samples);
        let manifest = self.begin(manifest_number, &verdict, stage.largest, stage.largest_stream, samples)?;
        // What it told is in the manifest now, so the ledger can be used again.
        let marks = Watermarks { visible: verdict.end, process_safe: verdict.end, power_safe: verdict.end };
        let first = LedgerRecord::first(self.state.incarnation(), boot, marks, samples);
        let first = LedgerRecord { clock: wall_clock(), ..first };
        let path = self.paths.ledger();
        let ledger = Ledger::create(&*self.disk, &path, &first).map_err(io_error("begin the ledger", &path))?;
        let generations = crate::durability::Generations::default();
        let replay = Replay { index: &self.index, memtable: &self.memtable, generations: &generations };
        let plan = Plan::new(&stage.runs, &stage.commits, &verdict, flushed);
        let replayed = replay.run(&stage, &plan)?;
        self.parts.change(&replayed.pages, &[]);
        self.recovery.end = verdict.end;
        self.recovery.damaged = damaged;
        self.recovery.damaged_bytes = stage.damage.iter().map(|(.., bytes)| bytes).sum();
        self.recovery.orphaned_rows = replayed.orphaned_rows;
        self.recovery.replayed_batches = plan.batches(&stage.commits, flushed);
        let engine = self.assemble(stage, replayed, generations, manifest, (ledger, first), lock)?;
        if engine.recovery.replayed_batches == 0 {
            engine.remove_leftovers()?;
        }
        Ok(engine)
    }

    /// This boot of the machine. Where that cannot be known, a number no other start has: then a ledger never counts as of
    /// the same boot, and losses are told as bounds.
    fn boot(&self) -> u128 {
        self.disk.boot_id().unwrap_or_else(|error| {
            tracing::warn!("the machine does not tell its boot id ({error}): a loss is told as after a power cut");
            fastrand::u128(1..)
        })
    }

    /// What the end of the start before took.
    fn assess_loss(&self, stage: &StageContents, verdict: &Verdict, boot: u128) -> Result<Option<Loss>, Error> {
        let Some(last) = verdict.incarnations.last() else { return Ok(None) };
        let path = self.paths.ledger();
        let ledger = Ledger::read(&*self.disk, &path).map_err(io_error("read", &path))?;
        let end = last.end.expect("the verdict ends every start");
        // Where nothing of it survived, the count is the one it began with.
        let recorded = (end == self.state.flushed || end < last.first).then_some(self.state.samples);
        let told = stage.samples_at(end).filter(|(number, _)| *number == end).map(|(_, samples)| samples);
        let is_ours = |(from, _): &&(SeqNo, SeqNo)| *from >= last.first;
        Ok(Some(Loss::assess(Evidence {
            incarnation: last.number,
            first: last.first,
            ledger: ledger.as_ref(),
            same_boot: ledger.is_some_and(|record| record.boot == boot),
            end,
            samples: told.or(recorded),
            damaged_batches: verdict.damaged.iter().filter(is_ours).map(|(from, to)| to.0 - from.0 + 1).sum(),
        })))
    }

    /// Writes the manifest of the new start: from here on, what was cut off stays cut off.
    fn begin(
        &mut self,
        manifest_number: u64,
        verdict: &Verdict,
        largest: SeqNo,
        largest_stream: u32,
        samples: u64,
    ) -> Result<Manifest, Error> {
        let state = &mut self.state;
        let first = state.reserved.max(largest.next()).max(verdict.end.next());
        state.incarnations.clone_from(&verdict.incarnations);
        let number = state.incarnation() + 1;
        state.incarnations.push(Incarnation { number, first, end: None });
        state.lost = [&verdict.voids[..], &verdict.damaged].concat();
        state.lost.sort_unstable();
        state.losses.extend(self.recovery.loss);
        state.forget();
        state.reserved = SeqNo(first.0 + NUMBERS_AHEAD);
        state.reserved_streams = state.reserved_streams.max(largest_stream.max(self.last_stream) + 1);
        state.reserved_files = self.last_file + 1 + FILES_AHEAD;
        state.samples = samples;
        let manifest = Manifest::create(Arc::clone(&self.disk), &self.paths.root, manifest_number + 1, state.clone())?;
        manifest::remove_older(&*self.disk, &self.paths.root, manifest_number + 1)?;
        Ok(manifest)
    }

    fn assemble(
        mut self,
        stage: StageContents,
        replayed: Replayed,
        generations: crate::durability::Generations,
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
        let durability = Durability::new(mode, limits, end, generations, Arc::clone(&self.metrics));
        let renew = renew_ledger(&self.disk, self.paths.ledger());
        durability.keep_ledger(ledger.0, ledger.1, renew, self.clock.now());
        let committer_start = Start {
            incarnation: start.number,
            next: start.first,
            limit: self.state.reserved,
            reserve: reserve(&manifest),
            record_mode: record_mode(&manifest),
            samples: self.state.samples,
            next_segment: stage.last_ids[0] + 1,
            log_dirs: self.logs.written.clone(),
            log_mirror: self.options.wal_mirror,
            log_compression: self.options.wal_compression,
            segment_size: self.options.segment_size,
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
        let reserve = Reserve::new(Arc::clone(&self.disk), self.paths.reserve());
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
            probe: self.probe,
            durability,
            index: self.index,
            memtable: self.memtable,
            stream_ids: StreamIds::new(self.state.reserved_streams),
            days: self.days,
            page_fields: Mutex::new(replayed.page_fields),
            parts: self.parts,
            manifest,
            next_file: AtomicU64::new(self.last_file + 1),
            leftovers: Mutex::new(stage.files),
            committer: Mutex::new(Some(committer)),
            syncer: Mutex::new(Some(syncer)),
            threads: Threads::default(),
            clock: self.clock,
            lock,
            reserve,
            abandoned: Mutex::default(),
        }))
    }
}

fn list(disk: &dyn Disk, dir: &Path) -> Result<Vec<crate::disk::Entry>, Error> {
    disk.list(dir).map_err(io_error("list", dir))
}

/// Whether there is anything that a manifest should tell of. Without one, parts would be strays, and batches of the stage
/// of no known start: rather than move or drop them, say so.
fn holds_data(disk: &dyn Disk, paths: &Paths, logs: &LogDirs) -> Result<bool, Error> {
    let is_current = |entry: &crate::disk::Entry| entry.path == paths.root.join("CURRENT");
    let dirs = [paths.partitions(), paths.wal(), paths.containers()];
    let is_filled = dirs.iter().map(|dir| list(disk, dir).map(|entries| !entries.is_empty()));
    let has_segments = logs.read.iter().map(|dir| Ok(!list_files(disk, dir, FileKind::Log)?.is_empty()));
    let any = is_filled.chain(has_segments).collect::<Result<Vec<_>, Error>>()?.contains(&true);
    Ok(any || list(disk, &paths.root)?.iter().any(is_current))
}

fn make_dirs(disk: &dyn Disk, paths: &Paths) -> Result<(), Error> {
    let dirs = [paths.root.clone(), paths.wal(), paths.containers(), paths.partitions(), paths.quarantine()];
    for dir in &dirs {
        crate::disk::make_dir(disk, dir).map_err(io_error("create directory", dir))?;
    }
    Ok(())
}

/// How a ledger that failed is made anew.
fn renew_ledger(disk: &Arc<dyn Disk>, path: PathBuf) -> RenewLedger {
    let disk = Arc::clone(disk);
    Box::new(move |record| Ledger::create(&*disk, &path, record))
}

#[allow(clippy::disallowed_methods)] // the engine is where clocks are read
fn wall_clock() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

fn arena_options(options: &Options) -> ArenaOptions {
    let spare_size_max = ArenaOptions::default().spare_size_max.min(options.memory_size_max / 2);
    ArenaOptions { chunk_size: options.chunk_size, spare_size_max }
}

fn reserve(manifest: &Arc<Mutex<Manifest>>) -> crate::durability::Reserve {
    let manifest = Arc::clone(manifest);
    Box::new(move || {
        let mut manifest = manifest.lock();
        let limit = SeqNo(manifest.state().reserved.0 + NUMBERS_AHEAD);
        manifest.record(&super::Edit { reserved: Some(limit), ..super::Edit::default() })?;
        Ok(limit)
    })
}

fn record_mode(manifest: &Arc<Mutex<Manifest>>) -> crate::durability::RecordMode {
    let manifest = Arc::clone(manifest);
    Box::new(move |mode, first| {
        let edit = super::Edit { mode: Some((mode.to_string(), first)), ..super::Edit::default() };
        Ok(manifest.lock().record(&edit)?)
    })
}

/// How the syncer turns a tick into pages.
fn encode_pages(index: &Arc<Index>, memtable: &Arc<Memtable>) -> EncodePages {
    let (index, memtable) = (Arc::clone(index), Arc::clone(memtable));
    let mut merge = Merge::default();
    Box::new(move |tick: &Tick| Ok(pages_of(tick, &index, &memtable, &mut merge)?))
}

fn pages_of(tick: &Tick, index: &Index, memtable: &Memtable, merge: &mut Merge) -> Result<Pages, parts::Error> {
    let stream_of = |slot| memtable.catalogue.stream_at(slot).expect("rows come with slots of the catalogue");
    let mut streams: Vec<_> = tick.slots.iter().map(|slot| (stream_of(*slot).0, stream_of(*slot).1, *slot)).collect();
    flush::sort_streams(&mut streams, index);
    let mut pages =
        Pages { streams: streams.iter().map(|(_, stream, slot)| (*slot, *stream)).collect(), ..Pages::default() };
    let rows = flush::Rows { generation: &tick.generation, after: tick.after, upto: tick.upto, streams: &streams };
    for day in tick.days.iter().copied() {
        let mut image = Vec::new();
        let mut out = Builder::new(&mut image, parts::Options { level: Level::Light })?;
        flush::push_day(&rows, day, index, merge, &mut out, |_, _, _, _| {})?;
        let footer = Footer {
            part: PartId(0),
            day,
            seq_min: tick.after.next(),
            seq_max: tick.upto,
            replaces: Vec::new(),
            index_parts: Vec::new(),
            tombstone: 0,
        };
        out.finish(footer)?;
        pages.push(day, &image);
    }
    Ok(pages)
}
