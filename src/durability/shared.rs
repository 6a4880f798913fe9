//! What requests, the committer, the syncer and the flusher share.

use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use crate::{
    disk::Disk,
    durability::{
        AckLevel, AtRisk, Failure, Mode, Policy, StageKind, Watermarks, When, due::Pending, log::LogFile,
        marks::Exposure, survives, syncer::Tick,
    },
    memtable::Generation,
    metrics::{Label, Metrics},
    model::{Batch, SeqNo},
};

/// Caps on what may wait in memory.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of batches that have no number yet. One committer empties it in milliseconds, so this is a burst.
    pub inbox_size_max: usize,
    /// Bytes of batches and of all generations together.
    pub memory_size_max: usize,
    /// Bytes of rows that one commit of a container may cover; more starts it early.
    pub tick_size_max: usize,
}

/// A batch was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A cap is reached; it may pass later.
    #[error("{0}")]
    Overloaded(&'static str),
    /// Nothing is taken any more.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// The server acknowledges nothing any more, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("writes have stopped: {0}")]
pub struct Stopped(pub Arc<str>);

/// A batch was made as safe as it asked to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// Its place in the order of all.
    pub number: SeqNo,
    /// The watermark it waited for.
    pub level: AckLevel,
}

/// The answer to come.
pub type Ticket = oneshot::Receiver<Result<Ack, Stopped>>;

/// A batch on its way to a number.
pub(crate) struct Submission {
    pub(crate) batch: Batch,
    /// The frame's payload; empty where the stage is no log.
    pub(crate) payload: Vec<u8>,
    pub(crate) level: AckLevel,
    pub(crate) reply: oneshot::Sender<Result<Ack, Stopped>>,
}

impl Submission {
    fn size(&self) -> usize {
        self.batch.size() + self.payload.len()
    }
}

/// A batch that has its number and waits for a watermark.
pub(crate) struct Waiter {
    pub(crate) number: SeqNo,
    pub(crate) level: AckLevel,
    pub(crate) samples: u64,
    pub(crate) bytes: u64,
    pub(crate) reply: oneshot::Sender<Result<Ack, Stopped>>,
}

#[derive(Default)]
pub(crate) struct Inbox {
    pub(crate) submissions: Vec<Submission>,
    pub(crate) size: usize,
    /// Whether somebody in it waits for less than a sync.
    pub(crate) hurried: bool,
    pub(crate) closed: bool,
    /// The flusher asks for the open generation to be closed.
    pub(crate) rotate: bool,
}

/// What the syncer has before it.
#[derive(Default)]
pub(crate) struct Work {
    /// Log segments that are not retired, oldest first; only the last is still written.
    pub(crate) files: VecDeque<LogFile>,
    /// Retired log segments, for the log's writer to reuse or remove.
    pub(crate) retired: Vec<PathBuf>,
    /// Containers that are not retired, each with the highest number it covers.
    pub(crate) containers: Vec<(PathBuf, SeqNo)>,
    /// Rows that no commit covers, oldest first; only the last still grows.
    pub(crate) ticks: VecDeque<Tick>,
    pub(crate) pending: Pending,
    pub(crate) closed: bool,
}

#[derive(Default)]
struct Answers {
    os: VecDeque<Waiter>,
    disk: VecDeque<Waiter>,
    exposed: [Exposure; 2],
}

/// The memtable's generations, oldest first; only the last is written.
#[derive(Default)]
pub struct Generations(ArcSwap<Vec<Arc<Generation>>>);

impl Generations {
    /// All of them, oldest first.
    pub fn load(&self) -> Arc<Vec<Arc<Generation>>> {
        self.0.load_full()
    }

    /// Adds the newest.
    pub fn push(&self, generation: &Arc<Generation>) {
        self.0.rcu(|all| all.iter().cloned().chain([Arc::clone(generation)]).collect::<Vec<_>>());
    }

    /// Removes one whose parts are committed.
    pub fn remove(&self, generation: &Arc<Generation>) {
        self.0.rcu(|all| all.iter().filter(|other| !Arc::ptr_eq(other, generation)).cloned().collect::<Vec<_>>());
    }

    /// Bytes of memory they hold.
    pub fn allocated(&self) -> usize {
        self.0.load().iter().map(|generation| generation.allocated()).sum()
    }
}

/// The desk between requests and the two threads.
pub struct Durability {
    pub(crate) mode: Mode,
    pub(crate) policy: Policy,
    pub(crate) limits: Limits,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) inbox: Mutex<Inbox>,
    pub(crate) inbox_changed: Condvar,
    pub(crate) work: Mutex<Work>,
    pub(crate) work_changed: Condvar,
    /// A sync is running: who only waits for the next one need not hurry the committer.
    pub(crate) syncing: AtomicBool,
    pub(crate) generations: Generations,
    answers: Mutex<Answers>,
    visible: AtomicU64,
    process_safe: AtomicU64,
    power_safe: AtomicU64,
    stopped: OnceLock<Stopped>,
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
        let pending = Pending { upto: recovered, safe: recovered, ..Pending::default() };
        Arc::new(Self {
            mode,
            policy: mode.policy(),
            limits,
            metrics,
            inbox: Mutex::default(),
            inbox_changed: Condvar::new(),
            work: Mutex::new(Work { pending, ..Work::default() }),
            work_changed: Condvar::new(),
            syncing: AtomicBool::new(false),
            generations,
            answers: Mutex::default(),
            visible: AtomicU64::new(recovered.0),
            process_safe: AtomicU64::new(recovered.0),
            power_safe: AtomicU64::new(recovered.0),
            stopped: OnceLock::new(),
        })
    }

    /// The mode in force.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The generations in memory.
    pub fn generations(&self) -> &Generations {
        &self.generations
    }

    /// Whether batches need a log payload.
    pub fn wants_payload(&self) -> bool {
        self.policy.stage == StageKind::Log
    }

    /// Takes a batch to be numbered, or refuses it. From here on the batch no longer depends on who sent it.
    pub fn submit(&self, batch: Batch, payload: Vec<u8>, level: Option<AckLevel>) -> Result<Ticket, Refused> {
        let (reply, ticket) = oneshot::channel();
        let submission = Submission { batch, payload, level: level.unwrap_or(self.policy.ack), reply };
        let size = submission.size();
        let in_memory = self.generations.allocated();
        let mut inbox = self.inbox.lock();
        if let Some(stopped) = self.stopped.get() {
            return Err(stopped.clone().into());
        }
        if inbox.closed {
            return Err(Stopped("the server is shutting down".into()).into());
        }
        if !inbox.submissions.is_empty() && inbox.size + size > self.limits.inbox_size_max {
            return Err(Refused::Overloaded("too many writes wait to be committed"));
        }
        if in_memory + inbox.size + size > self.limits.memory_size_max {
            return Err(Refused::Overloaded("the memtable is full and waits to be flushed"));
        }
        inbox.size += size;
        inbox.hurried |= submission.level < AckLevel::Disk;
        inbox.submissions.push(submission);
        let wake = self.may_commit(&inbox);
        drop(inbox);
        if wake {
            self.inbox_changed.notify_one();
        }
        Ok(ticket)
    }

    /// Whether the committer has something to do. While a sync runs, a group that only waits for the next one gathers:
    /// it will cost one write and one sync, however many join it.
    pub(crate) fn may_commit(&self, inbox: &Inbox) -> bool {
        let gathers = self.policy.stage == StageKind::Log
            && self.policy.sync == When::SomebodyWaits
            && self.syncing.load(Ordering::Acquire)
            && !inbox.hurried
            && inbox.size < self.limits.inbox_size_max / 2;
        inbox.rotate || (!inbox.submissions.is_empty() && !gathers)
    }

    /// Asks the committer to close the open generation, so that it can be flushed.
    pub fn request_rotation(&self) {
        self.inbox.lock().rotate = true;
        self.inbox_changed.notify_one();
    }

    /// The watermarks, each at least as high as when this was called.
    pub fn watermarks(&self) -> Watermarks {
        let load = |mark: &AtomicU64| SeqNo(mark.load(Ordering::Acquire));
        // Safe before visible: a reader never sees something called safe that was not visible.
        let (power_safe, process_safe) = (load(&self.power_safe), load(&self.process_safe));
        Watermarks { visible: load(&self.visible), process_safe, power_safe }
    }

    /// What a crash would take now of what was acknowledged.
    pub fn at_risk(&self, failure: Failure, now: Duration) -> AtRisk {
        self.answers.lock().exposed[failure.index()].at_risk(now)
    }

    /// Why nothing is acknowledged any more, if so.
    pub fn stopped(&self) -> Option<&Stopped> {
        self.stopped.get()
    }

    /// Refuses new batches; the committer still works off what it has.
    pub fn close(&self) {
        self.inbox.lock().closed = true;
        self.inbox_changed.notify_all();
    }

    /// Tells the syncer to end once it has nothing due.
    pub fn close_syncer(&self) {
        self.work.lock().closed = true;
        self.work_changed.notify_all();
    }

    /// Stops acknowledging, and tells everybody who waits.
    pub(crate) fn stop(&self, why: &str) -> Stopped {
        let stopped = self.stopped.get_or_init(|| Stopped(why.into())).clone();
        let abandoned = {
            let mut inbox = self.inbox.lock();
            // What is in memory is made safe the other way: by flushing it at once.
            inbox.rotate = true;
            std::mem::take(&mut inbox.submissions)
        };
        let waiting = {
            let Answers { os, disk, .. } = &mut *self.answers.lock();
            std::mem::take(os).into_iter().chain(std::mem::take(disk))
        };
        let replies = abandoned.into_iter().map(|submission| submission.reply);
        for reply in replies.chain(waiting.map(|waiter| waiter.reply)) {
            // The client may have hung up, which changes nothing.
            let _ = reply.send(Err(stopped.clone()));
        }
        self.inbox_changed.notify_all();
        stopped
    }

    /// Parks those who wait for more than to be visible; before the watermarks of their group move.
    pub(crate) fn park(&self, waiters: impl Iterator<Item = Waiter>) {
        let mut answers = self.answers.lock();
        // `stop` sets this before it takes the lock and empties the queues: nobody is left in them.
        let stopped = self.stopped.get();
        for waiter in waiters {
            if let Some(stopped) = stopped {
                let _ = waiter.reply.send(Err(stopped.clone()));
                continue;
            }
            match waiter.level {
                AckLevel::Disk => answers.disk.push_back(waiter),
                AckLevel::Os | AckLevel::Memory => answers.os.push_back(waiter),
            }
        }
    }

    /// Answers at once those who only wait to be visible. They are exposed from now on.
    pub(crate) fn answer_visible(&self, waiters: Vec<Waiter>, now: Duration) {
        self.expose(&waiters, AckLevel::Memory, now);
        self.send(waiters);
    }

    /// Raises the `visible` watermark.
    pub(crate) fn set_visible(&self, mark: SeqNo) {
        self.visible.fetch_max(mark.0, Ordering::AcqRel);
        self.metrics.visible_sequence.set(mark.0 as i64);
    }

    /// Raises the watermark of `level`, and of what it implies, and answers who waited for it.
    pub(crate) fn advance(&self, level: AckLevel, mark: SeqNo, now: Duration) {
        if level == AckLevel::Disk {
            self.power_safe.fetch_max(mark.0, Ordering::AcqRel);
            self.metrics.power_safe_sequence.set(self.power_safe.load(Ordering::Acquire) as i64);
        }
        self.process_safe.fetch_max(mark.0, Ordering::AcqRel);
        self.metrics.process_safe_sequence.set(self.process_safe.load(Ordering::Acquire) as i64);
        let mut answers = self.answers.lock();
        for failure in Failure::ALL.iter().copied().filter(|failure| survives(*failure) <= level) {
            let histogram = &self.metrics.acknowledged_to_safe[failure];
            answers.exposed[failure.index()].release(mark, now, |age, _| histogram.observe(age.as_secs_f64()));
        }
        let reached = |queue: &mut VecDeque<Waiter>| -> Vec<Waiter> {
            std::iter::from_fn(|| queue.pop_front_if(|waiter| waiter.number <= mark)).collect()
        };
        let os = reached(&mut answers.os);
        let disk = if level == AckLevel::Disk { reached(&mut answers.disk) } else { Vec::new() };
        drop(answers);
        self.expose(&os, level, now);
        self.send(os);
        self.send(disk);
    }

    /// Counts answers given at `level` as exposed to what that level does not survive.
    fn expose(&self, waiters: &[Waiter], level: AckLevel, now: Duration) {
        let Some(last) = waiters.last().map(|waiter| waiter.number) else { return };
        let mut answers = self.answers.lock();
        // Read under the lock: a watermark that moves later finds the exposure there and releases it.
        let marks = self.watermarks();
        for failure in Failure::ALL.iter().copied().filter(|failure| survives(*failure) > level) {
            if last <= marks.of(survives(failure)) {
                continue;
            }
            let (samples, bytes) = waiters.iter().fold((0, 0), |sum, w| (sum.0 + w.samples, sum.1 + w.bytes));
            answers.exposed[failure.index()].add(last, waiters.len() as u64, samples, bytes, now);
        }
    }

    fn send(&self, waiters: Vec<Waiter>) {
        for waiter in waiters {
            self.metrics.acknowledged_samples[waiter.level].inc_by(waiter.samples);
            // The client may have hung up, which changes nothing: the batch is in.
            let _ = waiter.reply.send(Ok(Ack { number: waiter.number, level: waiter.level }));
        }
    }

    /// Everything up to `upto` is in durable parts: whoever waited for its safety is answered, and what the stage holds
    /// of it may go.
    pub fn flushed(&self, disk: &dyn Disk, upto: SeqNo, now: Duration) -> io::Result<()> {
        let mut work = self.work.lock();
        work.pending.safe = work.pending.safe.max(upto);
        work.ticks.retain(|tick| tick.upto > upto);
        let containers = work.retire(upto);
        drop(work);
        self.advance(AckLevel::Disk, upto, now);
        // A crash may undo a removal; a start sees that parts cover what such a file holds. A commit that was under way
        // while its generation was flushed may have named a removed container again.
        containers.iter().try_for_each(|path| match disk.remove(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        })
    }
}

impl Work {
    /// A log segment was written to.
    pub(crate) fn note_file(&mut self, file: LogFile) {
        match self.files.back_mut().filter(|last| last.id == file.id) {
            Some(last) => last.last = file.last,
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

    /// Takes out the files whose numbers parts cover: segments go to the log's writer, containers are returned. The
    /// open segment stays.
    fn retire(&mut self, upto: SeqNo) -> Vec<PathBuf> {
        while self.files.len() > 1 && self.files[0].last <= upto {
            let file = self.files.pop_front().expect("there are at least two");
            self.retired.push(file.path);
        }
        let (done, kept) = self.containers.drain(..).partition(|(_, last)| *last <= upto);
        self.containers = kept;
        let done: Vec<(PathBuf, SeqNo)> = done;
        done.into_iter().map(|(path, _)| path).collect()
    }
}
