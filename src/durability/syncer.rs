//! The syncer: the thread that makes what the committer staged safe.

use std::{
    collections::{BTreeSet, VecDeque},
    io,
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use crate::{
    disk::{self, Disk, File},
    durability::{
        AckLevel, Defined, Durability, Error, Mode, StageKind,
        adaptive::Controller,
        committer::error_chain,
        copies::{self, Copies, LogCopy},
        due::Due,
        lanes::{Lanes, Note, Segments},
    },
    index::Index,
    memtable::Generation,
    metrics::FileKind as Synced,
    model::{Batch, Day, LayoutId, SeqNo, Slot, StreamId},
    stage::{Commit, FileHeader, FileKind, FrameHeader, Kind, Page, Segment, encode_commit, put_frame},
};

/// Rows of one generation that no commit covers yet.
pub struct Tick {
    /// Where the rows are.
    pub generation: Arc<Generation>,
    /// They have the numbers behind this one …
    pub after: SeqNo,
    /// … up to this one.
    pub upto: SeqNo,
    /// The slots they are in; sorted and unique once it is committed.
    pub slots: Vec<Slot>,
    /// The days their rows are of.
    pub days: BTreeSet<Day>,
    /// Bytes of rows.
    pub(crate) size: usize,
    /// Samples accepted up to `upto`, since the directory was made.
    pub(crate) samples: u64,
}

impl Tick {
    pub(crate) fn new(generation: Arc<Generation>, after: SeqNo) -> Self {
        Self { generation, after, upto: after, slots: Vec::new(), days: BTreeSet::new(), size: 0, samples: 0 }
    }

    pub(crate) fn add(&mut self, batch: &Batch, number: SeqNo, samples: u64) {
        for rows in &batch.groups {
            self.slots.extend_from_slice(&rows.slots);
            self.days.extend(rows.times.chunk_by(|a, b| Day::of(*a) == Day::of(*b)).map(|run| Day::of(run[0])));
        }
        self.size += batch.size();
        self.upto = number;
        self.samples = samples;
    }
}

/// The sorted pages of a tick, one part image a day.
#[derive(Default)]
pub struct Pages {
    /// The images, one behind the other.
    pub bytes: Vec<u8>,
    /// Where each stands in `bytes`.
    pub pages: Vec<Page>,
    /// The streams in them.
    pub streams: Vec<(Slot, StreamId)>,
    /// Per page, its streams and the fields they have there.
    pub uses: Vec<Vec<(StreamId, LayoutId)>>,
}

impl Pages {
    /// Adds a day's image.
    pub fn push(&mut self, day: Day, image: &[u8], uses: Vec<(StreamId, LayoutId)>) {
        self.uses.push(uses);
        self.pages.push(Page { day, offset: self.bytes.len() as u64, size: image.len() as u64 });
        self.bytes.extend_from_slice(image);
    }
}

/// Builds the pages of a tick (`flush` knows how).
pub type EncodePages = Box<dyn FnMut(&Tick) -> Result<Pages, Box<dyn std::error::Error + Send + Sync>> + Send>;

/// Makes staged batches safe: syncs log segments, or writes commits to a container. See the module's picture.
pub struct Syncer {
    shared: Arc<Durability>,
    disk: Arc<dyn Disk>,
    index: Arc<Index>,
    encode: EncodePages,
    dir: PathBuf,
    incarnation: u32,
    next_container: u64,
    /// The open container, and the generation it belongs to.
    container: Option<(Segment, Arc<Generation>)>,
    /// Containers that were written to since they were synced, oldest first.
    unsynced: Vec<Unsynced>,
    defined: Defined,
    controller: Controller,
    /// Bytes written to the stage when it was last synced.
    synced_bytes: u64,
    /// It runs on a thread of its own, and may start others.
    is_threaded: bool,
    /// Where the log has two copies.
    lanes: Option<Lanes>,
}

/// A container that is not synced.
struct Unsynced {
    path: PathBuf,
    file: Arc<dyn File>,
    last: SeqNo,
}

/// How soon a copy of the log that lags behind its twin is looked after: long beside a sync, short beside a power cut.
const CATCH_UP_AFTER: Duration = Duration::from_millis(20);
/// A container's first reservation; it grows by the file system beyond that.
const CONTAINER_SIZE: u64 = 1 << 20;

impl Syncer {
    /// A syncer that writes containers numbered from `next_container` to `dir`.
    pub fn new(
        shared: Arc<Durability>,
        disk: Arc<dyn Disk>,
        index: Arc<Index>,
        encode: EncodePages,
        dir: PathBuf,
        incarnation: u32,
        next_container: u64,
    ) -> Self {
        Self {
            shared,
            disk,
            index,
            encode,
            dir,
            incarnation,
            next_container,
            container: None,
            unsynced: Vec::new(),
            defined: Defined::default(),
            controller: Controller::default(),
            synced_bytes: 0,
            is_threaded: false,
            lanes: None,
        }
    }

    /// From now on it may start threads.
    pub fn set_threaded(&mut self) {
        self.is_threaded = true;
    }

    /// Writes and syncs if that is due now. Whether it was.
    pub fn step(&mut self, now: &impl Fn() -> Duration) -> bool {
        let mut work = self.shared.work.lock();
        let due = work.due(&self.shared.policy(), now());
        match due {
            Due::Sync | Due::Write => {}
            Due::CatchUp => {
                drop(work);
                self.catch_up(now);
                return true;
            }
            Due::At(_) | Due::Idle => return false,
        }
        work.pending.begin(now(), due == Due::Sync);
        self.shared.set_overdue(None);
        let target = work.pending.upto;
        let ticks = std::mem::take(&mut work.ticks);
        // A group that is being inserted may be in a tick already, and its numbers not in `upto`.
        let reach = ticks.back().map_or(target, |tick| tick.upto);
        drop(work);
        self.shared.syncing.store(true, Ordering::Release);
        let result = match self.shared.policy().stage {
            StageKind::Log => self.sync_log(target, now),
            StageKind::Container => self.commit(ticks, target, due == Due::Sync, now),
        };
        self.shared.syncing.store(false, Ordering::Release);
        if let Err((error, segment)) = result {
            self.shared.break_stage(&error_chain(&error), segment, reach);
        }
        true
    }

    /// Syncs what the committer has written. An error comes with the segment it happened to.
    fn sync_log(&mut self, target: SeqNo, now: &impl Fn() -> Duration) -> Result<(), (Error, u64)> {
        let written = self.written_bytes();
        let before = self.shared.work.lock().pending.safe;
        while let Err((error, id)) = self.sync_segments(now) {
            // Where it is retired, what it held is in parts.
            if self.shared.work.lock().files.iter().any(|file| file.id() == id) {
                return Err((error, id));
            }
        }
        let mut work = self.shared.work.lock();
        if work.broken.is_some() {
            // The committer found a segment to fail meanwhile, and it was passed over: a flush makes it safe.
            return Ok(());
        }
        work.pending.safe = work.pending.safe.max(target);
        drop(work);
        let answers = self.shared.advance(AckLevel::Disk, target, now());
        self.note_sync(before..target, answers, written);
        self.control(now());
        self.note_lag(now());
        Ok(())
    }

    /// Has copies of the log synced that nobody waits for, since their twins were enough.
    fn catch_up(&mut self, now: &impl Fn() -> Duration) {
        let lagging = self.shared.work.lock().lagging();
        let Self { shared, controller, lanes, .. } = self;
        if let Some(lanes) = lanes {
            lanes.catch_up(&lagging, &mut |copies, copy, last, synced, duration| {
                note_copy(shared, controller, now(), (copies, copy, last), synced, duration)
            });
        }
        self.note_lag(now());
    }

    /// Where a copy lags behind its twin, it is looked after soon, whether or not another group comes.
    fn note_lag(&self, now: Duration) {
        if self.lanes.is_some() {
            let mut work = self.shared.work.lock();
            work.pending.catch_up_at = (!work.lagging().is_empty()).then_some(now + CATCH_UP_AFTER);
        }
    }

    /// Syncs segments, oldest first: a number is only safe when everything before it is.
    fn sync_segments(&mut self, now: &impl Fn() -> Duration) -> Result<(), (Error, u64)> {
        let work = self.shared.work.lock();
        // What bad files hold is in parts by now.
        let good = work.files.iter().filter(|file| !file.is_bad);
        let unsynced =
            good.filter(|file| !file.copies.is_safe(file.last) || file.copies.unsynced(file.last).count() > 0);
        let segments: Segments = unsynced.map(|file| (Arc::clone(&file.copies), file.last)).collect();
        drop(work);
        let is_mirrored = segments.iter().any(|(copies, _)| copies.is_mirrored());
        if is_mirrored && self.is_threaded && self.lanes.is_none() {
            // Without threads, one copy is synced after the other.
            let started =
                Lanes::start(2).inspect_err(|error| tracing::warn!("start threads for the log's copies: {error}"));
            self.lanes = started.ok();
        }
        let Self { shared, controller, lanes, .. } = self;
        let note = &mut |copies: &Copies, copy: &LogCopy, last, synced: io::Result<()>, duration: Duration| {
            note_copy(shared, controller, now(), (copies, copy, last), synced, duration)
        };
        match lanes {
            Some(lanes) if is_mirrored => lanes.sync(&segments, note),
            _ => segments
                .iter()
                .try_for_each(|(copies, last)| sync_in_turn(copies, *last, note).map_err(|error| (error, copies.id()))),
        }
    }

    /// An adaptive mode follows the disk.
    fn control(&mut self, now: Duration) {
        if let Mode::Adaptive(target) = self.shared.mode() {
            let batches = self.shared.metrics.batches.get();
            let policy = self.shared.policy();
            let chosen = self.controller.choose(target, &policy, batches, now);
            if chosen != policy {
                tracing::debug!("adaptive: {chosen:?}");
                self.shared.set_policy(chosen);
            }
        }
    }

    /// Writes the ticks to containers; and syncs them, if told to.
    fn commit(
        &mut self,
        ticks: VecDeque<Tick>,
        target: SeqNo,
        sync: bool,
        now: &impl Fn() -> Duration,
    ) -> Result<(), (Error, u64)> {
        let start = now();
        for tick in ticks {
            // After a failure the container's end is not known; its rows are in memory, and flushed from there.
            self.commit_tick(tick, target).inspect_err(|_| self.leave_container()).map_err(|error| (error, 0))?;
        }
        let written = self.written_bytes();
        let mut work = self.shared.work.lock();
        work.pending.written = target;
        let before = work.pending.safe;
        drop(work);
        if sync {
            self.sync_containers(now).map_err(|error| (error, 0))?;
            let mut work = self.shared.work.lock();
            work.pending.safe = work.pending.safe.max(target);
            drop(work);
        }
        let took = now() - start;
        self.shared.note_duration(StageKind::Container, took);
        self.shared.metrics.commit_duration.observe(took.as_secs_f64());
        let answers = self.shared.advance(if sync { AckLevel::Disk } else { AckLevel::Os }, target, now());
        if sync {
            self.note_sync(before..target, answers, written);
        }
        Ok(())
    }

    fn written_bytes(&self) -> u64 {
        self.shared.metrics.wal_written_bytes.get() + self.shared.metrics.container_written_bytes.get()
    }

    /// Measures what one sync was worth: batches made safe, answers given, bytes.
    fn note_sync(&mut self, batches: Range<SeqNo>, answers: usize, written: u64) {
        let metrics = &self.shared.metrics;
        metrics.group_commit_batches.observe(batches.end.0.saturating_sub(batches.start.0) as f64);
        metrics.group_commit_answers.observe(answers as f64);
        metrics.group_commit_bytes.observe((written - self.synced_bytes) as f64);
        self.synced_bytes = written;
    }

    fn commit_tick(&mut self, mut tick: Tick, given: SeqNo) -> Result<(), Error> {
        tick.slots.sort_unstable();
        tick.slots.dedup();
        let pages = (self.encode)(&tick).map_err(Error::Pages)?;
        self.open_container(&tick.generation)?;
        let (container, _) = self.container.as_mut().expect("opened above");
        let mut definitions = self.defined.missing_streams(pages.streams.iter().copied(), &self.index);
        let days = pages.pages.iter().map(|page| page.day).zip(pages.uses);
        let uses = self.defined.missing_uses(days, &self.index, &mut definitions);
        let commit = Commit { after: tick.after, given, pages: pages.pages, definitions, uses };
        let mut payload = Vec::with_capacity(pages.bytes.len() + 4096);
        encode_commit(&commit, &pages.bytes, &mut payload);
        let safe = self.shared.watermarks().power_safe;
        let place = container.place(0);
        let header = FrameHeader { place, number: tick.upto, safe, samples: tick.samples, kind: Kind::Commit };
        let mut frame = Vec::with_capacity(payload.len() + 64);
        put_frame(&mut frame, &header, &[&payload]);
        container.append(&frame, tick.upto)?;
        self.defined.frame_ends();
        self.shared.work.lock().note_container(container.path(), tick.upto);
        self.shared.metrics.container_written_bytes.inc_by(frame.len() as u64);
        let (path, file, last) = (container.path(), container.file(), tick.upto);
        match self.unsynced.last_mut().filter(|newest| newest.path == path) {
            Some(newest) => newest.last = last,
            None => self.unsynced.push(Unsynced { path: path.to_owned(), file, last }),
        }
        Ok(())
    }

    /// Oldest first: a number is only safe when everything before it is. What is in parts needs no container.
    fn sync_containers(&mut self, now: &impl Fn() -> Duration) -> Result<(), Error> {
        for Unsynced { path, file, last } in std::mem::take(&mut self.unsynced) {
            if last <= self.shared.watermarks().power_safe {
                continue;
            }
            match self.sync_container(&path, &*file, now) {
                // It was removed under the sync, since what it holds is in parts by now.
                Err(_) if last <= self.shared.watermarks().power_safe => {}
                synced => synced.inspect_err(|_| self.leave_container())?,
            }
        }
        Ok(())
    }

    fn sync_container(&mut self, path: &Path, file: &dyn File, now: &impl Fn() -> Duration) -> Result<(), Error> {
        let (synced, duration) = timed(|| disk::sync_linked(file));
        self.controller.note(duration, now());
        self.shared.metrics.fsync_duration[Synced::Container].observe(duration.as_secs_f64());
        synced.map_err(|source| {
            self.shared.metrics.fsync_failures[Synced::Container].inc();
            Error::Sync { path: path.to_owned(), source }
        })
    }

    /// Nothing more goes to the open container, and what it named may not be there.
    fn leave_container(&mut self) {
        self.container = None;
        self.defined.forget();
    }

    /// Each generation has a container of its own, so that both go together.
    fn open_container(&mut self, generation: &Arc<Generation>) -> Result<(), Error> {
        if self.container.as_ref().is_some_and(|(_, of)| Arc::ptr_eq(of, generation)) {
            return Ok(());
        }
        let header = FileHeader { kind: FileKind::Container, incarnation: self.incarnation, id: self.next_container };
        self.next_container += 1;
        self.defined.clear();
        let segment = Segment::create(&*self.disk, &self.dir, header, CONTAINER_SIZE)?;
        self.container = Some((segment, Arc::clone(generation)));
        Ok(())
    }
}

/// Takes down how the sync of a copy, up to a number, ended. Fails where too few copies are left.
fn note_copy(
    shared: &Durability,
    controller: &mut Controller,
    now: Duration,
    (copies, copy, last): (&Copies, &LogCopy, SeqNo),
    synced: io::Result<()>,
    duration: Duration,
) -> Result<(), Error> {
    controller.note(duration, now);
    shared.note_duration(StageKind::Log, duration);
    shared.metrics.fsync_duration[Synced::Wal].observe(duration.as_secs_f64());
    if synced.is_err() {
        shared.metrics.fsync_failures[Synced::Wal].inc();
    }
    copies::note(copies, copy, last, synced, &shared.behind)
}

/// Syncs the copies of a segment one after the other.
fn sync_in_turn(copies: &Copies, last: SeqNo, note: Note<'_>) -> Result<(), Error> {
    for copy in copies.unsynced(last) {
        let (synced, duration) = timed(|| copy.sync());
        note(copies, copy, last, synced, duration)?;
    }
    copies.check(last)
}

#[allow(clippy::disallowed_methods)] // how long a sync took is measured where it happens
pub(crate) fn timed<T>(act: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = act();
    (result, start.elapsed())
}
