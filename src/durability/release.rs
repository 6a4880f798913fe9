//! The way out: watermarks rise, and who waited for them is answered.

use std::{
    io,
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::sync::oneshot;

use crate::{
    durability::{
        Ack, AckLevel, AtRisk, Durability, Failure, Ledger, LedgerRecord, RenewLedger, StageKind, Ticket, Watermarks,
        answers::Waiter,
    },
    model::SeqNo,
};

impl Durability {
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
        work.files.front().inspect(|oldest| self.behind.forget_before(oldest.id()));
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
}
