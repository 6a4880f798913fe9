//! Opening a data directory.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use parking_lot::Mutex;

use super::{
    Clock, Engine, Error, FileEntry, Incarnation, Options, Paths, State, StoredPart, Verdict,
    days::Days,
    io_error,
    logdirs::LogDirs,
    manifest::{self, Loaded, Manifest},
    names::StreamIds,
    partset::Parts,
    recover::StageContents,
    replay::{Plan, Replay, Replayed},
    reserve::Reserve,
    threads::Threads,
};
use crate::{
    codec::Level,
    disk::Disk,
    durability::{Committer, Durability, EncodePages, Limits, Pages, Start, Syncer, Tick},
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
    metrics: Arc<Metrics>,
    clock: Clock,
    recovery: Recovery,
    index: Arc<Index>,
    memtable: Arc<Memtable>,
    days: Days,
    parts: Parts,
    state: State,
    /// The highest file number seen anywhere.
    last_file: u64,
    last_stream: u32,
}

impl Engine {
    /// Opens a directory, making it where it is missing, and recovers what is in it. No thread runs yet.
    pub fn open(disk: Arc<dyn Disk>, options: Options, metrics: Arc<Metrics>) -> Result<Arc<Self>, Error> {
        let paths = Paths { root: options.dir.clone() };
        make_dirs(&*disk, &paths)?;
        let lock = disk.lock(&paths.lock()).map_err(|source| match source.kind() {
            io::ErrorKind::WouldBlock => Error::Locked(paths.root.clone()),
            _ => io_error("lock", &paths.lock())(source),
        })?;
        let logs = LogDirs::check(&*disk, &paths, &options)?;
        let loaded = Loaded::read(&*disk, &paths.root)?;
        if loaded.number == 0 && holds_data(&*disk, &paths, &logs)? {
            return Err(Error::NoManifest(paths.root));
        }
        logs.claim(&*disk, &paths)?;
        let mut open = Open::new(disk, paths, options, logs, metrics, loaded.state);
        open.open_parts()?;
        open.quarantine_strays(loaded.clean)?;
        open.recover(loaded.number, lock)
    }
}

impl Open {
    fn new(
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
            state,
        }
    }

    /// Opens what the manifest names. A file that cannot be read is set aside, and the rest is served.
    fn open_parts(&mut self) -> Result<(), Error> {
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
        tracing::error!("{} is set aside: {}", path.display(), crate::durability::error_chain(&error));
        self.recovery.damaged_files.push(path.to_owned());
        self.quarantine(path)
    }

    fn quarantine(&mut self, path: &Path) -> Result<(), Error> {
        let name = path.file_name().expect("files have names").to_string_lossy();
        let parent = path.parent().expect("files are in directories");
        let day = parent.file_name().unwrap_or_default().to_string_lossy();
        let target = self.paths.quarantine().join(format!("{}-{day}-{name}", self.state.incarnation()));
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
    fn quarantine_strays(&mut self, manifest_is_clean: bool) -> Result<(), Error> {
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
            if manifest_is_clean && self.state.removed.contains(&id) {
                self.disk.remove(&path).map_err(io_error("remove", &path))?;
            } else {
                tracing::warn!("{} is named by no manifest record, so it is moved to quarantine", path.display());
                self.quarantine(&path)?;
            }
        }
        Ok(())
    }

    /// Recovers the stage, makes the new start durable, and puts the engine together.
    fn recover(mut self, manifest_number: u64, lock: Box<dyn crate::disk::Lock>) -> Result<Arc<Engine>, Error> {
        let stage = StageContents::read(&*self.disk, &self.logs.read, &self.paths.containers(), &self.index)?;
        let verdict = stage.verdict(&self.state);
        let flushed = self.state.flushed;
        // What is served from now on must not be lost to a power cut: it may be in the page cache only.
        stage.sync()?;
        let samples = stage.samples_at(verdict.end).unwrap_or_default().max(self.state.samples);
        let manifest = self.begin(manifest_number, &verdict, stage.largest, stage.largest_stream, samples)?;
        let generations = crate::durability::Generations::default();
        let replay = Replay { index: &self.index, memtable: &self.memtable, generations: &generations };
        let plan = Plan::new(&stage.runs, &stage.commits, &verdict, flushed);
        let replayed = replay.run(&stage, &plan)?;
        self.parts.change(&replayed.pages, &[]);
        self.recovery.end = verdict.end;
        self.recovery.damaged = verdict.damaged.clone();
        self.recovery.damaged_bytes = stage.damaged_bytes;
        self.recovery.orphaned_rows = replayed.orphaned_rows;
        self.recovery.replayed_batches = plan.batches(&stage.commits, flushed);
        let engine = self.assemble(stage, replayed, generations, manifest, lock)?;
        if engine.recovery.replayed_batches == 0 {
            engine.remove_leftovers()?;
        }
        Ok(engine)
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
        lock: Box<dyn crate::disk::Lock>,
    ) -> Result<Arc<Engine>, Error> {
        let start = *self.state.incarnations.last().expect("`begin` pushed one");
        let manifest = Arc::new(Mutex::new(manifest));
        let limits = Limits {
            inbox_size_max: (self.options.memory_size_max / 4).min(256 << 20),
            memory_size_max: self.options.memory_size_max,
            tick_size_max: self.options.generation_size / 2,
            ack_min: self.options.ack_min,
        };
        let (mode, end) = (self.options.mode, self.recovery.end);
        let durability = Durability::new(mode, limits, end, generations, Arc::clone(&self.metrics));
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

    /// Says what was found, in the log and in metrics.
    fn report(&self, incarnation: u32) {
        let (recovery, metrics) = (&self.recovery, &self.metrics);
        metrics.incarnation.set(i64::from(incarnation));
        metrics.recovery_duration.set(recovery.duration.as_secs_f64());
        metrics.recovery_replayed_batches.set(recovery.replayed_batches as i64);
        metrics.recovery_truncated_bytes.set(recovery.damaged_bytes as i64);
        let damaged: u64 = recovery.damaged.iter().map(|(first, last)| last.0 - first.0 + 1).sum();
        metrics.recovery_damaged_numbers.set(damaged as i64);
        metrics.quarantined_files.set(recovery.quarantined.len() as i64);
        if damaged > 0 || recovery.orphaned_rows > 0 {
            let (ranges, orphaned) = (&recovery.damaged, recovery.orphaned_rows);
            tracing::error!(
                "damage: {damaged} safe batches are missing ({ranges:?}), {orphaned} rows without a stream"
            );
        }
        tracing::info!(
            "start {incarnation}: everything up to batch {} is here, {} batches from the stage, in {:?}",
            recovery.end,
            recovery.replayed_batches,
            recovery.duration
        );
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
        disk.create_dir_all(dir).map_err(io_error("create directory", dir))?;
    }
    disk.sync_dir(&paths.root).map_err(io_error("sync directory", &paths.root))?;
    let parent = paths.root.parent().map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent });
    parent.map_or(Ok(()), |parent| disk.sync_dir(parent).map_err(io_error("sync directory", parent)))
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
