//! The committer: the one thread that numbers batches and appends to the memtable.

use std::{path::PathBuf, sync::Arc, time::Duration};

use crate::{
    disk::Disk,
    durability::{
        AckLevel, Durability, Error, StageKind,
        log::{FrameOf, LogOptions, LogWriter},
        shared::{Submission, Waiter},
        syncer::Tick,
    },
    index::Index,
    memtable::{Generation, Memtable, Writer},
    model::SeqNo,
};

/// Where a committer begins.
pub struct Start {
    /// This start of the server.
    pub incarnation: u32,
    /// The first number it gives out.
    pub next: SeqNo,
    /// The first number it may not give out before more are reserved.
    pub limit: SeqNo,
    /// Reserves more.
    pub reserve: Reserve,
    /// Samples accepted before, since the directory was made.
    pub samples: u64,
    /// The number of the first log segment it opens.
    pub next_segment: u64,
    /// Where log segments go.
    pub log_dir: PathBuf,
    /// Bytes reserved for a log segment.
    pub segment_size: u64,
}

/// Reserves more numbers, durably: the first number that may not be given out.
pub type Reserve = Box<dyn FnMut() -> Result<SeqNo, Box<dyn std::error::Error + Send + Sync>> + Send>;

/// Numbers, stages and inserts batches. See the module's picture.
pub struct Committer {
    shared: Arc<Durability>,
    index: Arc<Index>,
    memtable: Arc<Memtable>,
    log: LogWriter,
    writer: Writer,
    generation: Arc<Generation>,
    next: SeqNo,
    /// Numbers from here on must be reserved first.
    limit: SeqNo,
    reserve: Reserve,
    samples: u64,
    group: Vec<Submission>,
}

impl Committer {
    /// A committer with a generation of its own, which it adds to the shared ones.
    pub fn new(
        shared: Arc<Durability>,
        disk: Arc<dyn Disk>,
        index: Arc<Index>,
        memtable: Arc<Memtable>,
        start: Start,
    ) -> Self {
        let (writer, generation) = memtable.generation(start.next);
        shared.generations.push(&generation);
        let options = LogOptions { dir: start.log_dir, segment_size: start.segment_size };
        let log = LogWriter::new(disk, options, start.incarnation, start.next_segment);
        Self {
            shared,
            index,
            memtable,
            log,
            writer,
            generation,
            next: start.next,
            limit: start.limit,
            reserve: start.reserve,
            samples: start.samples,
            group: Vec::new(),
        }
    }

    /// Waits for batches and commits them until the desk is closed. Where writes have stopped, generations are still closed.
    pub fn run(&mut self, now: impl Fn() -> Duration) {
        loop {
            let mut inbox = self.shared.inbox.lock();
            while !self.shared.may_commit(&inbox) && !inbox.closed {
                self.shared.inbox_changed.wait(&mut inbox);
            }
            let done = inbox.closed && inbox.submissions.is_empty();
            drop(inbox);
            if done {
                return;
            }
            self.step(now());
        }
    }

    /// Commits all that waits in the inbox as one group. Whether there was anything.
    pub fn step(&mut self, now: Duration) -> bool {
        if self.take_group() {
            self.rotate();
        }
        if self.group.is_empty() {
            return false;
        }
        if let Err(error) = self.commit(now) {
            let why = error_chain(&error);
            tracing::error!("writes stop: {why}");
            let stopped = self.shared.stop(&why);
            for submission in self.group.drain(..) {
                // The client may have hung up, which changes nothing.
                let _ = submission.reply.send(Err(stopped.clone()));
            }
        }
        true
    }

    /// Ends the open generation, so that it can be flushed, and opens the next. Nothing may be in the inbox's group.
    pub fn rotate(&mut self) {
        if self.generation.summary().rows == 0 {
            return;
        }
        let (writer, generation) = self.memtable.generation(self.next);
        self.shared.generations.push(&generation);
        (self.writer, self.generation) = (writer, generation);
    }

    /// Takes what is in the inbox. Whether the open generation is to be closed before.
    fn take_group(&mut self) -> bool {
        let mut inbox = self.shared.inbox.lock();
        std::mem::swap(&mut self.group, &mut inbox.submissions);
        inbox.size = 0;
        inbox.hurried = false;
        std::mem::take(&mut inbox.rotate)
    }

    fn commit(&mut self, now: Duration) -> Result<(), Error> {
        let first = self.next;
        while self.next.0 + self.group.len() as u64 > self.limit.0 {
            self.limit = (self.reserve)().map_err(Error::Reserve)?;
        }
        if self.shared.policy.stage == StageKind::Log {
            self.log()?;
        }
        let group = std::mem::take(&mut self.group);
        let mut waiters = Vec::with_capacity(group.len());
        for submission in group {
            waiters.push(self.insert(submission, now));
        }
        let last = SeqNo(self.next.0 - 1);
        self.shared.metrics.batches.inc_by(last.0 + 1 - first.0);
        self.publish(waiters, last, now);
        Ok(())
    }

    /// Puts the group's frames in the kernel's hands.
    fn log(&mut self) -> Result<(), Error> {
        let safe = self.shared.watermarks().power_safe;
        let retired = std::mem::take(&mut self.shared.work.lock().retired);
        if let Err(error) = self.log.retire(retired) {
            // All they hold is in parts: what stays behind takes space, and the next start removes it.
            tracing::warn!("{}", error_chain(&error));
        }
        let (mut number, mut samples) = (self.next, self.samples);
        for submission in &self.group {
            samples += submission.batch.samples();
            let head = FrameOf { number, safe, samples };
            self.log.add(head, &submission.batch, &submission.payload, &self.index)?;
            number = number.next();
        }
        self.log.write()?;
        self.shared.metrics.wal_written_bytes.inc_by(self.log.take_written());
        Ok(())
    }

    /// Appends a batch to the memtable, under the next number.
    fn insert(&mut self, submission: Submission, now: Duration) -> Waiter {
        if self.writer.is_full(self.next) {
            self.rotate();
        }
        let Submission { batch, level, reply, .. } = submission;
        let number = self.next;
        self.next = number.next();
        let waiter = Waiter { number, level, samples: batch.samples(), bytes: batch.size() as u64, reply };
        self.samples += waiter.samples;
        self.writer.insert(number, &batch, |stream, layout| {
            self.index.streams.note_layout(stream, self.index.schema.layout(layout));
        });
        if self.shared.policy.stage == StageKind::Container {
            self.add_to_tick(&batch, number, now);
        }
        waiter
    }

    /// Remembers which streams the next commit must look at.
    fn add_to_tick(&self, batch: &crate::model::Batch, number: SeqNo, now: Duration) {
        let mut work = self.shared.work.lock();
        let after = SeqNo(number.0 - 1);
        let same = work.ticks.back().is_some_and(|tick| Arc::ptr_eq(&tick.generation, &self.generation));
        if !same {
            work.ticks.push_back(Tick::new(Arc::clone(&self.generation), after));
        }
        let size_max = self.shared.limits.tick_size_max;
        let tick = work.ticks.back_mut().expect("pushed if it was not there");
        tick.add(batch, number, self.samples);
        let full = tick.size > size_max;
        work.pending.full |= full;
        work.pending.since.get_or_insert(now);
    }

    /// Moves the watermarks over the group and answers who is served by that; the syncer sees to the others.
    fn publish(&mut self, waiters: Vec<Waiter>, last: SeqNo, now: Duration) {
        let stage = self.shared.policy.stage;
        // What a write alone makes safe from the end of the process depends on the stage.
        let served = if stage == StageKind::Log { AckLevel::Os } else { AckLevel::Memory };
        let wanted = waiters.iter().filter(|waiter| waiter.level > served).map(|waiter| waiter.number).max();
        let (at_once, later): (Vec<_>, Vec<_>) =
            waiters.into_iter().partition(|waiter| waiter.level == AckLevel::Memory);
        self.shared.park(later.into_iter());
        self.shared.set_visible(last);
        self.shared.answer_visible(at_once, now);
        if stage == StageKind::Log {
            self.shared.advance(AckLevel::Os, last, now);
        }
        let mut work = self.shared.work.lock();
        work.pending.upto = last;
        work.pending.since.get_or_insert(now);
        work.pending.wanted = work.pending.wanted.max(wanted.unwrap_or_default());
        for file in self.log.take_files() {
            work.note_file(file);
        }
        drop(work);
        self.shared.work_changed.notify_one();
    }
}

/// An error and its causes in one line.
pub fn error_chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
