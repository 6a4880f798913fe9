//! Who waits for which watermark, and what was answered above it.

use std::{collections::VecDeque, io, time::Duration};

use tokio::sync::oneshot;

use crate::{
    durability::{
        AckLevel, AtRisk, Failure, Ledger, LedgerRecord, Promised, Stopped, Watermarks, marks::Exposure, survives,
    },
    metrics::{Label, Metrics},
    model::SeqNo,
};

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

/// A batch that has its number and waits for a watermark; or somebody who only watches, and brought no samples.
pub(crate) struct Waiter {
    pub(crate) number: SeqNo,
    pub(crate) level: AckLevel,
    pub(crate) samples: u64,
    pub(crate) bytes: u64,
    /// Samples accepted up to and with this batch, since the directory was made.
    pub(crate) total: u64,
    pub(crate) reply: oneshot::Sender<Result<Ack, Stopped>>,
}

impl Waiter {
    /// Tells it that writes have stopped. The client may have hung up, which changes nothing.
    pub(crate) fn refuse(self, stopped: &Stopped) {
        let _ = self.reply.send(Err(stopped.clone()));
    }
}

/// The queues, each in the order of numbers, and what was answered above the watermarks.
#[derive(Default)]
pub(crate) struct Answers {
    os: VecDeque<Waiter>,
    disk: VecDeque<Waiter>,
    exposed: [Exposure; 2],
    promises: Option<Promises>,
}

/// The ledger, and what it says now.
struct Promises {
    ledger: Ledger,
    /// Makes the file anew after a failure.
    renew: RenewLedger,
    record: LedgerRecord,
    /// The wall clock, in nanoseconds since 1970, at zero of the server's own.
    epoch: i64,
    is_failed: bool,
}

/// Makes the ledger's file anew, durably, beginning with a record.
pub type RenewLedger = Box<dyn Fn(&LedgerRecord) -> io::Result<Ledger> + Send>;

impl Answers {
    /// Queues somebody who waits for more than to be visible.
    pub(crate) fn park(&mut self, waiter: Waiter) {
        let queue = if waiter.level == AckLevel::Disk { &mut self.disk } else { &mut self.os };
        let place = queue.partition_point(|other| other.number <= waiter.number);
        queue.insert(place, waiter);
    }

    /// Queues somebody who only watches. Those who have gone meanwhile are forgotten before the queue grows for them, so that
    /// it stays in proportion to who is there, however long a sync takes.
    pub(crate) fn watch(&mut self, waiter: Waiter) {
        let queue = if waiter.level == AckLevel::Disk { &mut self.disk } else { &mut self.os };
        if queue.len() == queue.capacity() {
            queue.retain(|waiter| waiter.samples > 0 || !waiter.reply.is_closed());
        }
        self.park(waiter);
    }

    /// Takes out those whom a watermark of `level` at `mark` serves.
    pub(crate) fn reached(&mut self, level: AckLevel, mark: SeqNo) -> Vec<Waiter> {
        let mut reached = Vec::new();
        let queues = [(AckLevel::Os, &mut self.os), (AckLevel::Disk, &mut self.disk)];
        for (_, queue) in queues.into_iter().filter(|(needed, _)| *needed <= level) {
            let count = queue.partition_point(|waiter| waiter.number <= mark);
            reached.extend(queue.drain(..count));
        }
        reached
    }

    /// Takes out everybody.
    pub(crate) fn take_all(&mut self) -> impl Iterator<Item = Waiter> + use<> {
        std::mem::take(&mut self.os).into_iter().chain(std::mem::take(&mut self.disk))
    }

    /// Counts answers that are about to be given as exposed to what the watermarks do not cover.
    pub(crate) fn expose(&mut self, answered: &[Waiter], marks: &Watermarks, now: Duration) {
        for failure in Failure::ALL.iter().copied() {
            self.exposed[failure.index()].add(exposed(answered, marks, failure), now);
        }
    }

    /// Those answers are not given after all.
    pub(crate) fn retract(&mut self, refused: &[Waiter], marks: &Watermarks) {
        for failure in Failure::ALL.iter().copied() {
            for (number, samples, bytes) in exposed(refused, marks, failure) {
                self.exposed[failure.index()].retract(number, samples, bytes);
            }
        }
    }

    /// What was exposed up to `mark` is no longer; how long it was is measured.
    pub(crate) fn release(&mut self, level: AckLevel, mark: SeqNo, now: Duration, metrics: &Metrics) {
        for failure in Failure::ALL.iter().copied().filter(|failure| survives(*failure) <= level) {
            let histogram = &metrics.acknowledged_to_safe[failure];
            self.exposed[failure.index()].release(mark, now, |age, _| histogram.observe(age.as_secs_f64()));
        }
    }

    /// From now on answers are promised in this ledger, which begins with `record`.
    pub(crate) fn keep_ledger(&mut self, ledger: Ledger, record: LedgerRecord, renew: RenewLedger, now: Duration) {
        let epoch = record.clock - now.as_nanos() as i64;
        self.promises = Some(Promises { ledger, renew, record, epoch, is_failed: false });
    }

    /// Writes down what is about to be answered, and what is at risk then. One write, and none where nothing changed.
    pub(crate) fn promise(&mut self, answered: &[Waiter], marks: &Watermarks, now: Duration) -> io::Result<()> {
        let at_risk = self.promised();
        let Some(promises) = &mut self.promises else { return Ok(()) };
        let mut record =
            LedgerRecord { process_safe: marks.process_safe, power_safe: marks.power_safe, at_risk, ..promises.record };
        for waiter in answered.iter().filter(|waiter| waiter.samples > 0) {
            if waiter.number > record.acknowledged() {
                record.samples = waiter.total;
            }
            let released = &mut record.released[waiter.level.index()];
            *released = (*released).max(waiter.number);
        }
        // A watermark that moved over nobody's batch changes no loss.
        let is_news = record.released != promises.record.released || record.at_risk != promises.record.at_risk;
        if !is_news && !promises.is_failed {
            return Ok(());
        }
        record.clock = promises.epoch + now.as_nanos() as i64;
        promises.record = record;
        let written = promises.ledger.write(&record);
        promises.is_failed |= written.is_err();
        written
    }

    /// A sync failed: a later start must not believe that what it finds in the stage's files is on the disk.
    pub(crate) fn note_trouble(&mut self) {
        if let Some(promises) = &mut self.promises {
            promises.record.is_troubled = true;
            promises.is_failed |= promises.ledger.write(&promises.record).is_err();
        }
    }

    /// Whether the ledger works; where it has failed, it is made anew.
    pub(crate) fn mend_ledger(&mut self) -> io::Result<()> {
        if let Some(promises) = self.promises.as_mut().filter(|promises| promises.is_failed) {
            promises.ledger = (promises.renew)(&promises.record)?;
            promises.is_failed = false;
        }
        Ok(())
    }

    /// The last record of a start that ends with everything safe.
    pub(crate) fn finish_ledger(&mut self, marks: &Watermarks, now: Duration) -> io::Result<()> {
        self.promise(&[], marks, now)?;
        self.promises.as_ref().map_or(Ok(()), |promises| promises.ledger.finish(&promises.record))
    }

    fn promised(&self) -> [Promised; 2] {
        [Failure::Process, Failure::Power].map(|failure| {
            let AtRisk { batches, samples, .. } = self.at_risk(failure, Duration::ZERO);
            Promised { batches, samples }
        })
    }

    /// What a crash would take now.
    pub(crate) fn at_risk(&self, failure: Failure, now: Duration) -> AtRisk {
        self.exposed[failure.index()].at_risk(now)
    }
}

/// Number, samples and bytes of the batches that a failure would take.
fn exposed(answered: &[Waiter], marks: &Watermarks, failure: Failure) -> impl Iterator<Item = (SeqNo, u64, u64)> {
    let mark = marks.of(survives(failure));
    let exposed = answered.iter().filter(move |waiter| waiter.number > mark && waiter.samples > 0);
    exposed.map(|waiter| (waiter.number, waiter.samples, waiter.bytes))
}
