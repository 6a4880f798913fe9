//! The syncer: the thread that makes what the committer staged safe.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use crate::{
    disk::Disk,
    durability::{
        AckLevel, Defined, Durability, Error, StageKind,
        committer::error_chain,
        due::{Due, due},
        shared::Work,
    },
    index::Index,
    memtable::Generation,
    metrics::FileKind as Synced,
    model::{Batch, Day, SeqNo, Slot, StreamId},
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
}

impl Pages {
    /// Adds a day's image.
    pub fn push(&mut self, day: Day, image: &[u8]) {
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
    defined: Defined,
}

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
        let defined = Defined::default();
        Self { shared, disk, index, encode, dir, incarnation, next_container, container: None, defined }
    }

    /// Syncs when the policy says so, until the desk is closed or has failed.
    pub fn run(mut self, now: impl Fn() -> Duration) {
        loop {
            let mut work = self.shared.work.lock();
            match due(self.shared.policy.sync, work.pending, now()) {
                _ if self.shared.stopped().is_some() => return,
                Due::Now => {}
                _ if work.closed => return,
                Due::Idle => {
                    self.shared.work_changed.wait(&mut work);
                    continue;
                }
                Due::At(time) => {
                    self.shared.work_changed.wait_for(&mut work, time.saturating_sub(now()));
                    continue;
                }
            }
            drop(work);
            self.step(&now);
        }
    }

    /// Syncs if that is due now. Whether it was.
    pub fn step(&mut self, now: &impl Fn() -> Duration) -> bool {
        let is_due = due(self.shared.policy.sync, self.shared.work.lock().pending, now()) == Due::Now;
        // After a failure nothing is synced any more: what was being made safe then is lost to a later sync.
        if !is_due || self.shared.stopped().is_some() {
            return false;
        }
        self.sync(now);
        true
    }

    /// Makes everything that is staged safe.
    fn sync(&mut self, now: &impl Fn() -> Duration) {
        self.shared.syncing.store(true, Ordering::Release);
        let result = match self.shared.policy.stage {
            StageKind::Log => self.sync_log(now),
            StageKind::Container => self.commit_ticks(now),
        };
        self.shared.syncing.store(false, Ordering::Release);
        if let Err(error) = result {
            let why = error_chain(&error);
            tracing::error!("writes stop: {why}");
            self.shared.stop(&why);
        }
        // The lock makes sure that a committer about to wait sees the flag, or gets this notice.
        drop(self.shared.inbox.lock());
        self.shared.inbox_changed.notify_one();
    }

    fn sync_log(&mut self, now: &impl Fn() -> Duration) -> Result<(), Error> {
        let mut work = self.shared.work.lock();
        let target = work.begin();
        let before = work.pending.safe;
        let files: Vec<_> = work
            .files
            .iter()
            .filter(|file| file.last > file.synced)
            .map(|file| (file.id, file.last, file.path.clone(), Arc::clone(&file.file)))
            .collect();
        drop(work);
        // Oldest first: a number is only safe when everything before it is.
        for (_, _, path, file) in &files {
            let synced = self.timed(Synced::Wal, || file.sync_data());
            synced.map_err(|source| Error::Sync { path: path.clone(), source })?;
        }
        let mut work = self.shared.work.lock();
        for (id, last, ..) in files {
            if let Some(file) = work.files.iter_mut().find(|file| file.id == id) {
                file.synced = last;
            }
        }
        work.pending.safe = work.pending.safe.max(target);
        drop(work);
        self.shared.metrics.group_commit_batches.observe((target.0 - before.0.min(target.0)) as f64);
        self.shared.advance(AckLevel::Disk, target, now());
        Ok(())
    }

    fn commit_ticks(&mut self, now: &impl Fn() -> Duration) -> Result<(), Error> {
        let mut work = self.shared.work.lock();
        let target = work.begin();
        let ticks = std::mem::take(&mut work.ticks);
        drop(work);
        for tick in ticks {
            self.commit_tick(tick, target)?;
        }
        let mut work = self.shared.work.lock();
        work.pending.safe = work.pending.safe.max(target);
        drop(work);
        self.shared.advance(AckLevel::Disk, target, now());
        Ok(())
    }

    fn commit_tick(&mut self, mut tick: Tick, given: SeqNo) -> Result<(), Error> {
        tick.slots.sort_unstable();
        tick.slots.dedup();
        let pages = (self.encode)(&tick).map_err(Error::Pages)?;
        self.open_container(&tick.generation)?;
        let (container, _) = self.container.as_mut().expect("opened above");
        let definitions = self.defined.missing_streams(pages.streams.iter().copied(), &self.index);
        let commit = Commit { after: tick.after, given, pages: pages.pages, definitions };
        let mut payload = Vec::with_capacity(pages.bytes.len() + 4096);
        encode_commit(&commit, &pages.bytes, &mut payload);
        let safe = self.shared.watermarks().power_safe;
        let place = container.place(0);
        let header = FrameHeader { place, number: tick.upto, safe, samples: tick.samples, kind: Kind::Commit };
        let mut frame = Vec::with_capacity(payload.len() + 64);
        put_frame(&mut frame, &header, &[&payload]);
        container.append(&frame, tick.upto)?;
        self.shared.work.lock().note_container(container.path(), tick.upto);
        self.shared.metrics.container_written_bytes.inc_by(frame.len() as u64);
        let (path, file) = (container.path().to_owned(), container.file());
        let synced = self.timed(Synced::Container, || file.sync_data());
        synced.map_err(|source| Error::Sync { path, source })
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

    #[allow(clippy::disallowed_methods)] // how long a sync took is measured where it happens
    fn timed<T>(&self, kind: Synced, sync: impl FnOnce() -> std::io::Result<T>) -> std::io::Result<T> {
        let start = Instant::now();
        let result = sync();
        self.shared.metrics.fsync_duration[kind].observe(start.elapsed().as_secs_f64());
        if result.is_err() {
            self.shared.metrics.fsync_failures[kind].inc();
        }
        result
    }
}

impl Work {
    /// A sync begins: what is written from now on is for the next one. The number it will make safe.
    fn begin(&mut self) -> SeqNo {
        self.pending.since = None;
        self.pending.full = false;
        self.pending.upto
    }
}
