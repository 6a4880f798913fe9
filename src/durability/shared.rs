//! What requests, the committer, the syncer and the flusher share.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use crate::{
    disk::Disk,
    durability::{
        Ack, AckLevel, AtRisk, Bell, Failure, Ledger, LedgerRecord, Mode, Policy, RenewLedger, StageKind, Ticket,
        Watermarks,
        answers::{Answers, Waiter},
        committer::error_chain,
        due::{Due, Pending},
        spares::Spares,
        work::Work,
        workers::Roles,
    },
    memtable::Generation,
    metrics::Metrics,
    model::{Batch, SeqNo},
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

/// The server acknowledges nothing now, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("writes have stopped: {0}")]
pub struct Stopped(pub Arc<str>);

/// Why the mode is still the old one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SwitchError {
    /// Writes have stopped, so what the old mode left cannot be made safe.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The manifest could not record it.
    #[error("the new mode could not be recorded: {0}")]
    Record(String),
    /// Another switch is under way.
    #[error("another switch of the mode is under way")]
    Busy,
}

/// Tells when the mode has changed.
pub type Switched = oneshot::Receiver<Result<(), SwitchError>>;

/// A batch on its way to a number.
pub(crate) struct Submission {
    pub(crate) batch: Batch,
    /// The frame's payload; may be empty where the stage was no log when it was made.
    pub(crate) payload: Vec<u8>,
    pub(crate) level: AckLevel,
    pub(crate) since: Duration,
    pub(crate) reply: oneshot::Sender<Result<Ack, Stopped>>,
}

impl Submission {
    pub(crate) fn size(&self) -> usize {
        self.batch.size() + self.payload.len()
    }
}

/// A mode to change to, and who asked.
pub(crate) struct Switch {
    pub(crate) mode: Mode,
    pub(crate) reply: oneshot::Sender<Result<(), SwitchError>>,
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
    /// The flusher asks whether writes can go on.
    pub(crate) heal: bool,
    pub(crate) switch: Option<Switch>,
    pub(crate) roles: Roles,
}

/// The memtable's generations, oldest first; only the last is written.
#[derive(Default)]
pub struct Generations(ArcSwap<Vec<Arc<Generation>>>);

impl Generations {
    /// All of them, oldest first.
    pub fn load(&self) -> Arc<Vec<Arc<Generation>>> {
        self.0.load_full()
    }

    /// Adds one in its place: the newest, or one that is replayed.
    pub fn push(&self, generation: &Arc<Generation>) {
        self.0.rcu(|all| {
            let place = all.partition_point(|other| other.first() <= generation.first());
            let (older, newer) = all.split_at(place);
            older.iter().chain([generation]).chain(newer).cloned().collect::<Vec<_>>()
        });
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
    mode: ArcSwap<Mode>,
    policy: ArcSwap<Policy>,
    pub(crate) limits: Limits,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) inbox: Mutex<Inbox>,
    pub(crate) inbox_changed: Condvar,
    pub(crate) work: Mutex<Work>,
    /// A sync is running: who only waits for the next one need not hurry the committer.
    pub(crate) syncing: AtomicBool,
    /// When the next sync is overdue, in nanoseconds; `u64::MAX` where none is.
    pub(crate) overdue_at: AtomicU64,
    /// The longest sync of the log and commit of a container so far, in nanoseconds; 0 before the first.
    longest: [AtomicU64; 2],
    pub(crate) generations: Generations,
    pub(crate) spares: Arc<Spares>,
    pub(crate) answers: Mutex<Answers>,
    /// Bytes of log segments that wait for a flush.
    log_size: AtomicU64,
    visible: AtomicU64,
    /// What `visible` would be, were nothing held back.
    inserted: AtomicU64,
    /// Older batches are on their way back to memory: nothing more is shown until they are there.
    replaying: AtomicBool,
    process_safe: AtomicU64,
    power_safe: AtomicU64,
    stopped: ArcSwapOption<Stopped>,
    /// Numbers that were given out and rejected. Each stop of writes adds one range at most.
    pub(crate) voids: Mutex<Vec<(SeqNo, SeqNo)>>,
    flusher: Bell,
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
            voids: Mutex::default(),
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

    /// Whether batches need a log payload.
    pub fn wants_payload(&self) -> bool {
        self.policy.load().stage == StageKind::Log
    }

    /// Takes a batch to be numbered, or refuses it. From here on the batch no longer depends on who sent it.
    pub fn submit(
        &self,
        batch: Batch,
        payload: Vec<u8>,
        level: Option<AckLevel>,
        now: Duration,
    ) -> Result<Ticket, Refused> {
        let policy = self.policy();
        self.check_loss(&policy, now)?;
        let (reply, ticket) = oneshot::channel();
        let level = level.unwrap_or(policy.ack).max(self.limits.ack_min);
        let submission = Submission { batch, payload, level, since: now, reply };
        let size = submission.size();
        let in_memory = self.generations.allocated();
        let mut inbox = self.inbox.lock();
        if let Some(stopped) = self.stopped() {
            return Err(stopped.into());
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
        if self.log_size() > self.limits.log_size_max {
            return Err(Refused::Overloaded("the log is full and waits for the memtable to be flushed"));
        }
        inbox.size += size;
        inbox.hurried |= submission.level < AckLevel::Disk;
        inbox.submissions.push(submission);
        // Who is committing looks again before it rests.
        let wake = !inbox.roles.is_committing && self.may_commit(&inbox, now);
        drop(inbox);
        if wake {
            self.inbox_changed.notify_one();
        }
        Ok(ticket)
    }

    /// Refuses where the oldest batch at risk has used up most of what a power cut may take.
    fn check_loss(&self, policy: &Policy, now: Duration) -> Result<(), Refused> {
        let Some(max) = policy.loss_max else { return Ok(()) };
        // A quarter is left for the batches that are on their way to their answers.
        match self.at_risk(Failure::Power, now).age > max * 3 / 4 {
            true => Err(Refused::Overloaded("the disk is too slow to keep the loss of a power cut within max_loss")),
            false => Ok(()),
        }
    }

    /// Whether the committer has something to do. While a sync runs, a group that only waits for the next one gathers:
    /// it will cost one write and one sync, however many join it. While a sync is overdue, nothing more is put at risk.
    pub(crate) fn may_commit(&self, inbox: &Inbox, now: Duration) -> bool {
        if inbox.rotate || inbox.heal {
            return true;
        }
        if inbox.switch.is_some() {
            return self.is_all_safe() || self.stopped().is_some();
        }
        if inbox.submissions.is_empty() {
            return false;
        }
        let is_syncing = self.syncing.load(Ordering::Acquire);
        let is_overdue = is_syncing && now.as_nanos() as u64 >= self.overdue_at.load(Ordering::Acquire);
        let policy = self.policy.load();
        let gathers = is_syncing
            && policy.stage == StageKind::Log
            && policy.ack == AckLevel::Disk
            && !inbox.hurried
            && inbox.size < self.limits.inbox_size_max / 2;
        !gathers && !is_overdue
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
        policy.window(delivered, failure, (longest > 0).then(|| Duration::from_nanos(longest)))
    }

    /// From `time` on the next sync is overdue, unless one begins.
    pub(crate) fn set_overdue(&self, time: Duration) {
        self.overdue_at.store(time.as_nanos() as u64, Ordering::Release);
    }

    /// Has a worker look again; for changes that are not made under the lock of the inbox.
    pub(crate) fn wake_worker(&self) {
        // With the lock in between, a worker about to wait sees the change, or gets this notice.
        drop(self.inbox.lock());
        self.inbox_changed.notify_one();
    }

    /// What the syncer has to do.
    pub(crate) fn due(&self, now: Duration) -> Due {
        self.work.lock().due(&self.policy.load(), now)
    }

    /// Whether everything that has a number is safe from a power cut.
    pub(crate) fn is_all_safe(&self) -> bool {
        let work = self.work.lock();
        work.pending.upto <= work.pending.safe && work.broken.is_none()
    }

    /// Asks the committer to close the open generation, so that it can be flushed.
    pub fn request_rotation(&self) {
        self.inbox.lock().rotate = true;
        self.inbox_changed.notify_one();
    }

    /// Asks the committer whether writes that have stopped can go on.
    pub fn request_healing(&self) {
        self.inbox.lock().heal = true;
        self.inbox_changed.notify_one();
    }

    /// Changes the mode: everything the old one left is made safe, then the new one is recorded and in force. Writes
    /// wait meanwhile. On failure the old mode stays.
    pub fn switch(&self, mode: Mode) -> Switched {
        let (reply, switched) = oneshot::channel();
        let mut inbox = self.inbox.lock();
        let problem = match (self.stopped(), &inbox.switch) {
            (Some(stopped), _) => Some(stopped.into()),
            (None, Some(_)) => Some(SwitchError::Busy),
            (None, None) => None,
        };
        if let Some(problem) = problem {
            // Nobody else holds the other end.
            let _ = reply.send(Err(problem));
            return switched;
        }
        inbox.switch = Some(Switch { mode, reply });
        drop(inbox);
        self.work.lock().pending.forced = true;
        self.wake_worker();
        switched
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
        self.answers.lock().at_risk(failure, now)
    }

    /// Why nothing is acknowledged now, if so.
    pub fn stopped(&self) -> Option<Stopped> {
        self.stopped.load().as_deref().cloned()
    }

    /// Refuses new batches; the committer still works off what it has.
    pub fn close(&self) {
        self.inbox.lock().closed = true;
        self.inbox_changed.notify_all();
    }

    /// Stops acknowledging until the disk works again, and tells everybody who waits.
    pub fn stop(&self, why: &str) -> Stopped {
        let stopped = self.stopped().unwrap_or_else(|| {
            tracing::error!("writes stop: {why}");
            self.metrics.write_stops.inc();
            self.metrics.writes_stopped.set(1);
            Stopped(why.into())
        });
        self.stopped.store(Some(Arc::new(stopped.clone())));
        let (abandoned, switch) = {
            let mut inbox = self.inbox.lock();
            // What is in memory is made safe the other way: by flushing it at once.
            inbox.rotate = true;
            inbox.size = 0;
            (std::mem::take(&mut inbox.submissions), inbox.switch.take())
        };
        let waiting = self.answers.lock().take_all();
        for submission in abandoned {
            // The client may have hung up, which changes nothing.
            let _ = submission.reply.send(Err(stopped.clone()));
        }
        waiting.for_each(|waiter| waiter.refuse(&stopped));
        if let Some(switch) = switch {
            let _ = switch.reply.send(Err(stopped.clone().into()));
        }
        self.inbox_changed.notify_all();
        stopped
    }

    /// Writes go on.
    pub(crate) fn resume(&self) {
        if self.stopped.swap(None).is_some() {
            self.metrics.writes_stopped.set(0);
            tracing::info!("writes go on");
        }
    }

    /// The stage failed: what it holds is made safe by flushing the generations it is of. Until then nothing it is given
    /// counts as safe, for a crash could leave a gap before it.
    pub(crate) fn break_stage(&self, why: &str, segment: u64) {
        tracing::error!("{why}; what is in memory is written to parts instead");
        self.work.lock().break_stage(segment);
        self.metrics.stage_failures.inc();
        self.request_rotation();
        self.flusher.ring();
    }

    /// Whether the safety of some batches depends on a flush.
    pub fn is_broken(&self) -> bool {
        self.work.lock().broken.is_some()
    }

    /// Parks those who wait for more than to be visible; before the watermarks of their group move.
    pub(crate) fn park(&self, waiters: impl Iterator<Item = Waiter>) {
        let mut answers = self.answers.lock();
        // `stop` sets this before it takes the lock and empties the queues: nobody is left in them.
        let stopped = self.stopped();
        for waiter in waiters {
            match &stopped {
                Some(stopped) => waiter.refuse(stopped),
                None => answers.park(waiter),
            }
        }
    }

    /// Waits until everything up to `number` is as safe as `level` says, and has it made so. At once where it is.
    pub fn wait(&self, number: SeqNo, level: AckLevel, now: Duration) -> Ticket {
        let (reply, ticket) = oneshot::channel();
        let waiter = Waiter { number, level, samples: 0, bytes: 0, total: 0, reply };
        let mut answers = self.answers.lock();
        // Under the lock: a watermark that moves later finds the waiter there.
        match (self.watermarks().of(level) >= number, self.stopped()) {
            (true, _) => drop(waiter.reply.send(Ok(Ack { number, level }))),
            (false, Some(stopped)) => waiter.refuse(&stopped),
            (false, None) => answers.watch(waiter),
        }
        drop(answers);
        let mut work = self.work.lock();
        work.pending.ask(number, level, now, 0);
        drop(work);
        self.wake_worker();
        ticket
    }

    /// Answers at once those who only wait to be visible. They are exposed from now on.
    pub(crate) fn answer_visible(&self, waiters: Vec<Waiter>, now: Duration) {
        self.release(AckLevel::Memory, SeqNo(0), waiters, now);
    }

    /// Raises the `visible` watermark.
    pub(crate) fn set_visible(&self, mark: SeqNo) {
        // First the mark, then the flag; `show_replayed` has it the other way round, so one of the two shows the mark.
        self.inserted.fetch_max(mark.0, Ordering::SeqCst);
        if !self.replaying.load(Ordering::SeqCst) {
            self.visible.fetch_max(mark.0, Ordering::AcqRel);
            self.metrics.visible_sequence.set(mark.0 as i64);
        }
    }

    /// Nothing behind `mark` is shown before [`Durability::show_replayed`]. Before any thread runs.
    pub fn hold_back(&self, mark: SeqNo) {
        self.replaying.store(true, Ordering::SeqCst);
        self.visible.store(mark.0, Ordering::SeqCst);
    }

    /// Everything older is back: shows it, and what was inserted meanwhile.
    pub fn show_replayed(&self) {
        self.replaying.store(false, Ordering::SeqCst);
        self.set_visible(SeqNo(self.inserted.load(Ordering::SeqCst)));
    }

    /// The highest number in memory, shown or not.
    pub fn inserted(&self) -> SeqNo {
        SeqNo(self.inserted.load(Ordering::SeqCst))
    }

    /// Raises the watermark of `level`, and of what it implies, and answers who waited for it; how many that were.
    pub(crate) fn advance(&self, level: AckLevel, mark: SeqNo, now: Duration) -> usize {
        if level == AckLevel::Disk {
            self.power_safe.fetch_max(mark.0, Ordering::AcqRel);
            self.metrics.power_safe_sequence.set(self.power_safe.load(Ordering::Acquire) as i64);
        }
        self.process_safe.fetch_max(mark.0, Ordering::AcqRel);
        self.metrics.process_safe_sequence.set(self.process_safe.load(Ordering::Acquire) as i64);
        self.release(level, mark, Vec::new(), now)
    }

    /// Answers `ready` and whoever waited for `level` up to `mark`: counted first, promised in the ledger, then said. How
    /// many got their answer.
    fn release(&self, level: AckLevel, mark: SeqNo, ready: Vec<Waiter>, now: Duration) -> usize {
        let mut answers = self.answers.lock();
        answers.release(level, mark, now, &self.metrics);
        let mut reached = ready;
        reached.extend(answers.reached(level, mark));
        // Read under the lock: a watermark that moves later finds the exposure there and releases it.
        let marks = self.watermarks();
        answers.expose(&reached, &marks, now);
        let promised = answers.promise(&reached, &marks, now);
        if promised.is_err() {
            answers.retract(&reached, &marks);
        }
        drop(answers);
        if let Err(error) = promised {
            let stopped = self.stop(&format!("write the ledger: {error}"));
            reached.into_iter().for_each(|waiter| waiter.refuse(&stopped));
            return 0;
        }
        let count = reached.len();
        for waiter in reached {
            self.metrics.acknowledged_samples[waiter.level].inc_by(waiter.samples);
            // The client may have hung up, which changes nothing: the batch is in.
            let _ = waiter.reply.send(Ok(Ack { number: waiter.number, level: waiter.level }));
        }
        count
    }

    /// From now on answers are promised in this ledger, which begins with `record`.
    pub fn keep_ledger(&self, ledger: Ledger, record: LedgerRecord, renew: RenewLedger, now: Duration) {
        self.answers.lock().keep_ledger(ledger, record, renew, now);
    }

    /// The server ends, and everything is safe.
    pub fn finish_ledger(&self, now: Duration) -> io::Result<()> {
        self.answers.lock().finish_ledger(&self.watermarks(), now)
    }

    /// Everything up to `upto` is in durable parts: whoever waited for its safety is answered, and what the stage holds
    /// of it may go: the containers to be removed. A commit that was under way meanwhile may name a removed one again.
    pub fn flushed(&self, upto: SeqNo, now: Duration) -> Vec<PathBuf> {
        let mut work = self.work.lock();
        work.pending.safe = work.pending.safe.max(upto);
        work.pending.written = work.pending.written.max(upto);
        work.ticks.retain(|tick| tick.upto > upto);
        let containers = work.retire(upto);
        self.note_log_size(&work);
        let is_mended = work.broken.take_if(|broken| *broken <= upto).is_some();
        let staged = work.pending.upto;
        drop(work);
        self.advance(AckLevel::Disk, upto, now);
        if is_mended && self.policy().stage == StageKind::Log {
            // What came meanwhile is in a segment that works, and behind no gap any more.
            self.advance(AckLevel::Os, staged, now);
        }
        self.wake_worker();
        containers
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
        for file in work.files.drain(..kept).chain(work.retired.drain(..)) {
            if let Err(error) = file.copies.remove(disk) {
                tracing::warn!("{}", error_chain(&error));
            }
        }
    }

    /// The numbers that were given out and rejected since the start: ranges, first and last.
    pub fn voids(&self) -> Vec<(SeqNo, SeqNo)> {
        self.voids.lock().clone()
    }

    /// Whether a number was given out and rejected.
    pub fn is_void(&self, number: SeqNo) -> bool {
        self.voids.lock().iter().any(|(first, last)| (*first..=*last).contains(&number))
    }
}
