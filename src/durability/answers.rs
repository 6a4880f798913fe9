//! Who waits for which watermark, and what was answered above it.

use std::{collections::VecDeque, time::Duration};

use tokio::sync::oneshot;

use crate::{
    durability::{AckLevel, AtRisk, Failure, Stopped, Watermarks, marks::Exposure, survives},
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
}

impl Answers {
    /// Queues somebody who waits for more than to be visible.
    pub(crate) fn park(&mut self, waiter: Waiter) {
        let queue = if waiter.level == AckLevel::Disk { &mut self.disk } else { &mut self.os };
        let place = queue.partition_point(|other| other.number <= waiter.number);
        queue.insert(place, waiter);
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
            let mark = marks.of(survives(failure));
            let exposed = answered.iter().filter(|waiter| waiter.number > mark && waiter.samples > 0);
            let batches = exposed.map(|waiter| (waiter.number, waiter.samples, waiter.bytes));
            self.exposed[failure.index()].add(batches, now);
        }
    }

    /// What was exposed up to `mark` is no longer; how long it was is measured.
    pub(crate) fn release(&mut self, level: AckLevel, mark: SeqNo, now: Duration, metrics: &Metrics) {
        for failure in Failure::ALL.iter().copied().filter(|failure| survives(*failure) <= level) {
            let histogram = &metrics.acknowledged_to_safe[failure];
            self.exposed[failure.index()].release(mark, now, |age, _| histogram.observe(age.as_secs_f64()));
        }
    }

    /// What a crash would take now.
    pub(crate) fn at_risk(&self, failure: Failure, now: Duration) -> AtRisk {
        self.exposed[failure.index()].at_risk(now)
    }
}
