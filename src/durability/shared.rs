//! What requests, the committer, the syncer and the flusher share.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::{Condvar, Mutex};

use crate::{
    disk::Disk,
    durability::{
        AckLevel, Bell, Failure, Generations, Mode, Policy, StageKind, Stopped,
        answers::Answers,
        behind::{Behind, NoteBehind},
        due::{Due, Pending},
        inbox::Inbox,
        spares::Spares,
        work::Work,
    },
    metrics::Metrics,
    model::SeqNo,
    stage,
};

/// Caps on what may wait in memory, and floors under what clients may ask for.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of batches that have no number yet. One committer empties it in milliseconds, so this is a burst.
    pub inbox_size_max: usize,
    /// Bytes of batches and of all generations together.
    pub memory_size_max: usize,
    /// Bytes of rows that one commit of a container may cover; more starts it early.
    pub tick_size_max: usize,
    /// Bytes of log segments that wait for a flush; more refuses writes until it is done.
    pub log_size_max: u64,
    /// The level below which nobody is answered, whatever the request or the mode says.
    pub ack_min: AckLevel,
}

/// The desk between requests and the two threads.
pub struct Durability {
    pub(super) mode: ArcSwap<Mode>,
    pub(super) policy: ArcSwap<Policy>,
    pub(super) limits: Limits,
    pub(super) metrics: Arc<Metrics>,
    pub(super) inbox: Mutex<Inbox>,
    pub(super) inbox_changed: Condvar,
    pub(super) work: Mutex<Work>,
    /// A sync is running: who only waits for the next one need not hurry the committer.
    pub(super) syncing: AtomicBool,
    /// When the next sync is overdue, in nanoseconds; `u64::MAX` where none is.
    pub(super) overdue_at: AtomicU64,
    /// The longest sync of the log and commit of a container so far, in nanoseconds; 0 before the first.
    pub(super) longest: [AtomicU64; 2],
    pub(super) generations: Generations,
    pub(super) spares: Arc<Spares>,
    pub(super) behind: Arc<Behind>,
    pub(super) answers: Mutex<Answers>,
    /// Bytes of log segments that wait for a flush.
    pub(super) log_size: AtomicU64,
    pub(super) visible: AtomicU64,
    /// What `visible` would be, were nothing held back.
    pub(super) inserted: AtomicU64,
    /// Older batches are on their way back to memory: nothing more is shown until they are there.
    pub(super) replaying: AtomicBool,
    pub(super) process_safe: AtomicU64,
    pub(super) power_safe: AtomicU64,
    pub(super) stopped: ArcSwapOption<Stopped>,
    /// Numbers that were given out and rejected, until that is recorded. No write is taken meanwhile, so it is one range.
    pub(super) void: Mutex<Option<(SeqNo, SeqNo)>>,
    pub(super) flusher: Bell,
}

impl Durability {
    /// A desk whose batches up to `recovered` are safe already.
    pub fn new(
        mode: Mode,
        limits: Limits,
        recovered: SeqNo,
        generations: Generations,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        let pending = Pending { upto: recovered, written: recovered, safe: recovered, ..Pending::default() };
        Arc::new(Self {
            mode: ArcSwap::from_pointee(mode),
            policy: ArcSwap::from_pointee(mode.policy()),
            limits,
            behind: Arc::new(Behind::new(Arc::clone(&metrics))),
            metrics,
            inbox: Mutex::default(),
            inbox_changed: Condvar::new(),
            work: Mutex::new(Work { pending, ..Work::default() }),
            syncing: AtomicBool::new(false),
            overdue_at: AtomicU64::new(u64::MAX),
            longest: [AtomicU64::new(0), AtomicU64::new(0)],
            generations,
            spares: Arc::default(),
            answers: Mutex::default(),
            log_size: AtomicU64::new(0),
            visible: AtomicU64::new(recovered.0),
            inserted: AtomicU64::new(recovered.0),
            replaying: AtomicBool::new(false),
            process_safe: AtomicU64::new(recovered.0),
            power_safe: AtomicU64::new(recovered.0),
            stopped: ArcSwapOption::empty(),
            void: Mutex::default(),
            flusher: Bell::default(),
        })
    }

    /// The mode in force.
    pub fn mode(&self) -> Mode {
        **self.mode.load()
    }

    /// What the mode does now; that of an adaptive one changes.
    pub fn policy(&self) -> Policy {
        **self.policy.load()
    }

    pub(crate) fn set_mode(&self, mode: Mode) {
        self.mode.store(Arc::new(mode));
        self.set_policy(mode.policy());
    }

    pub(crate) fn set_policy(&self, policy: Policy) {
        self.policy.store(Arc::new(policy));
    }

    /// The generations in memory.
    pub fn generations(&self) -> &Generations {
        &self.generations
    }

    /// Wakes whoever writes generations to parts.
    pub fn flusher(&self) -> &Bell {
        &self.flusher
    }

    /// A sync of the log or a commit of a container took so long.
    pub(crate) fn note_duration(&self, stage: StageKind, duration: Duration) {
        self.longest[stage as usize].fetch_max(duration.as_nanos() as u64, Ordering::Relaxed);
    }

    /// A sync of this disk has taken so long.
    pub fn expect(&self, duration: Duration) {
        [StageKind::Log, StageKind::Container].iter().for_each(|stage| self.note_duration(*stage, duration));
    }

    /// How long after its answer a write of this level may still be taken by a failure; see [`Policy::window`].
    pub fn window(&self, delivered: AckLevel, failure: Failure) -> Option<Duration> {
        let policy = self.policy();
        let longest = self.longest[policy.stage as usize].load(Ordering::Relaxed);
        policy.window(delivered, failure, Duration::from_nanos(longest))
    }

    /// What the syncer has to do.
    pub(crate) fn due(&self, now: Duration) -> Due {
        self.work.lock().due(&self.policy.load(), now)
    }

    /// Where it is remembered over a crash that a copy of the log is behind the other. Before any thread runs.
    pub fn note_behind(&self, note: NoteBehind) {
        self.behind.remember_by(note);
    }

    /// Calls `act` with the log's directories, by their place, whose copies lack something that is in no part yet and in
    /// the other copy. Meanwhile none comes and none goes.
    pub fn with_behind<T>(&self, act: impl FnOnce(&[usize]) -> T) -> T {
        self.behind.with(act)
    }

    /// Bytes of log segments that wait for a flush.
    pub fn log_size(&self) -> u64 {
        self.log_size.load(Ordering::Acquire)
    }

    /// To be called where the segments have changed.
    pub(crate) fn note_log_size(&self, work: &Work) {
        self.log_size.store(work.log_size(), Ordering::Release);
    }

    /// The directories and the size of a segment that should be made ahead, if any.
    pub fn wanted_spare(&self) -> Option<(Vec<PathBuf>, u64)> {
        self.spares.wanted()
    }

    /// Makes the segment that is wanted, so that the committer need not.
    pub fn make_spare(&self, disk: &dyn Disk) -> Result<(), stage::Error> {
        self.spares.make(disk)
    }

    /// After the end: removes the segments whose numbers parts cover, and the spares. What cannot be removed, the next
    /// start looks at and removes.
    pub fn remove_log(&self, disk: &dyn Disk, flushed: SeqNo) {
        self.spares.clear(disk);
        let mut work = self.work.lock();
        let work = &mut *work;
        let kept = work.files.iter().position(|file| file.last > flushed).unwrap_or(work.files.len());
        let all = work.files.drain(..kept).chain(work.retired.drain(..)).chain(work.unremoved.drain(..));
        all.for_each(|mut file| _ = file.remove(disk));
    }

    /// Removes the log segments that nobody will write to: all they hold is in parts, and writes have stopped, or the mode
    /// has no log; those made ahead, too. In any case those that could not be removed before.
    pub fn remove_unused(&self, disk: &dyn Disk) {
        let has_log = self.stopped().is_none() && self.policy().stage == StageKind::Log;
        let mut work = self.work.lock();
        let mut unused = std::mem::take(&mut work.unremoved);
        if !has_log {
            unused.append(&mut work.retired);
        }
        drop(work);
        if !has_log {
            self.spares.clear(disk);
        }
        unused.retain_mut(|file| !file.remove(disk));
        if !unused.is_empty() {
            self.work.lock().keep_unremoved(unused);
        }
    }
}
