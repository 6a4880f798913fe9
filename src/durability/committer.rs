//! The committer: the one thread that numbers batches and appends to the memtable.

use std::{path::PathBuf, sync::Arc, time::Duration};

use crate::{
    disk::Disk,
    durability::{
        AckLevel, Durability, Error, Mode, StageKind, Stopped, SwitchError, Unasked,
        answers::Waiter,
        inbox::{Submission, Switch},
        log::{FrameOf, LogOptions, LogWriter, segment_size},
        syncer::Tick,
    },
    index::Index,
    memtable::{Generation, Memtable, Writer},
    model::SeqNo,
    stage::{Compression, RowsEncoder},
};

/// Where a committer begins.
pub struct Start {
    /// This start of the server.
    pub incarnation: u32,
    /// The first number it gives out.
    pub next: SeqNo,
    /// The first number it may not give out before more are reserved.
    pub limit: SeqNo,
    /// Where that and more is recorded.
    pub record: Box<dyn Record>,
    /// Samples accepted before, since the directory was made.
    pub samples: u64,
    /// The number of the first log segment it opens.
    pub next_segment: u64,
    /// Where log segments go: a copy to each.
    pub log_dirs: Vec<PathBuf>,
    /// How many of the copies must work.
    pub log_copies_needed: usize,
    /// Whether batches in it are compressed.
    pub log_compression: Compression,
    /// Bytes reserved for a log segment.
    pub segment_size: u64,
    /// Bytes of a log segment at most, whatever the mode says.
    pub segment_size_max: u64,
}

/// Why something could not be recorded.
pub type RecordError = Box<dyn std::error::Error + Send + Sync>;

/// What a committer needs to be remembered over a crash. Durable when a call returns.
pub trait Record: Send {
    /// Reserves more numbers: the first number that may not be given out.
    fn reserve(&mut self) -> Result<SeqNo, RecordError>;
    /// A mode is in force from a number on.
    fn mode(&mut self, mode: Mode, first: SeqNo) -> Result<(), RecordError>;
    /// The numbers from the first to the last were rejected.
    fn void(&mut self, first: SeqNo, last: SeqNo) -> Result<(), RecordError>;
}

/// Bytes of batches that one write takes, unless the first alone is larger: more would only make the answers later.
const GROUP_SIZE_MAX: usize = 16 << 20;

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
    record: Box<dyn Record>,
    samples: u64,
    group: Vec<Submission>,
    encoder: RowsEncoder,
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
        let segment_size = segment_size(shared.policy(), start.segment_size, start.segment_size_max);
        let options = LogOptions {
            dirs: start.log_dirs,
            needed: start.log_copies_needed,
            compression: start.log_compression,
            usual_size: start.segment_size,
            size_max: start.segment_size_max,
            segment_size,
        };
        let (spares, behind) = (Arc::clone(&shared.spares), Arc::clone(&shared.behind));
        let log = LogWriter::new(disk, options, spares, behind, start.incarnation, start.next_segment);
        if shared.policy().stage == StageKind::Log {
            log.want_spare();
        }
        Self {
            shared,
            index,
            memtable,
            log,
            writer,
            generation,
            next: start.next,
            limit: start.limit,
            record: start.record,
            samples: start.samples,
            group: Vec::new(),
            encoder: RowsEncoder::default(),
        }
    }

    /// Does what is asked for: closes the generation, lets writes go on, changes the mode, and commits what waits in the
    /// inbox as one group. Whether there was anything.
    pub fn step(&mut self, now: Duration) -> bool {
        let Orders { rotate, heal, switch } = self.take_orders();
        if rotate {
            self.rotate();
        }
        if heal {
            self.heal(now);
        }
        if let Some(switch) = switch {
            self.switch(switch);
        }
        self.take_group();
        if self.group.is_empty() {
            return rotate || heal;
        }
        let committed = match self.shared.stopped() {
            Some(stopped) => Err(stopped),
            None => self.commit(now).map_err(|error| self.shared.stop(&error_chain(&error))),
        };
        if let Err(stopped) = committed {
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
        self.shared.flusher().ring();
    }

    /// The next number to be given out.
    #[cfg(test)]
    pub(crate) fn next(&self) -> SeqNo {
        self.next
    }

    fn take_orders(&self) -> Orders {
        let mut inbox = self.shared.inbox.lock();
        let is_safe = inbox.switch.is_some() && self.shared.is_all_safe();
        let is_over = inbox.closed && !is_safe;
        if let Some(switch) = inbox.switch.take_if(|_| is_over) {
            // What the old mode left is not safe, and nobody waits for that any more.
            self.shared.work.lock().pending.forced = false;
            let _ = switch.reply.send(Err(Stopped("the server is shutting down".into()).into()));
        }
        Orders {
            rotate: std::mem::take(&mut inbox.rotate),
            heal: std::mem::take(&mut inbox.heal),
            switch: inbox.switch.take_if(|_| is_safe),
        }
    }

    /// Takes what is in the inbox, up to a size that one write takes; nothing while the mode is about to change.
    fn take_group(&mut self) {
        let mut inbox = self.shared.inbox.lock();
        if inbox.switch.is_some() && !inbox.closed {
            return;
        }
        let sizes = inbox
            .submissions
            .iter()
            .scan(0, |before, submission| Some(std::mem::replace(before, *before + submission.size())));
        let count = sizes.take_while(|before| *before < GROUP_SIZE_MAX).count();
        if count == inbox.submissions.len() {
            std::mem::swap(&mut self.group, &mut inbox.submissions);
            inbox.size = 0;
            inbox.hurried = false;
        } else {
            self.group.extend(inbox.submissions.drain(..count));
            inbox.size -= self.group.iter().map(Submission::size).sum::<usize>();
        }
    }

    fn commit(&mut self, now: Duration) -> Result<(), Error> {
        let first = self.next;
        while self.next.0 + self.group.len() as u64 > self.limit.0 {
            self.limit = self.record.reserve().map_err(Error::Record)?;
        }
        if self.shared.policy().stage == StageKind::Log {
            self.log()?;
        }
        let mut group = std::mem::take(&mut self.group);
        let mut waiters = Vec::with_capacity(group.len());
        for submission in group.drain(..) {
            waiters.push(self.insert(submission, now));
        }
        // Its memory serves the group after the next.
        self.group = group;
        let last = SeqNo(self.next.0 - 1);
        self.shared.metrics.batches.inc_by(last.0 + 1 - first.0);
        self.publish(waiters, last, now);
        Ok(())
    }

    /// Puts the group's frames in the kernel's hands. Where that fails, in a fresh segment, under the same numbers; where
    /// that fails too, the numbers are void.
    fn log(&mut self) -> Result<(), Error> {
        let mut work = self.shared.work.lock();
        let (retired, bad_segment) = (std::mem::take(&mut work.retired), work.bad_segment);
        drop(work);
        self.log.avoid(bad_segment);
        let unremoved = self.log.retire(retired);
        if !unremoved.is_empty() {
            self.shared.work.lock().keep_unremoved(unremoved);
        }
        let Err(error) = self.write_group() else { return Ok(()) };
        let failed = self.log.seal();
        self.note_files();
        self.shared.break_stage(&error_chain(&error), failed, SeqNo(0));
        self.write_group().inspect_err(|_| {
            self.log.seal();
            self.reject();
        })
    }

    fn write_group(&mut self) -> Result<(), Error> {
        let safe = self.shared.watermarks().power_safe;
        let (mut number, mut samples) = (self.next, self.samples);
        for submission in &mut self.group {
            if submission.payload.is_empty() {
                // It came while the stage was a container.
                self.encoder.encode(&submission.batch, &mut submission.payload);
            }
            samples += submission.batch.samples();
            let head = FrameOf { number, safe, samples };
            self.log.add(head, &submission.batch, &submission.payload, &self.index)?;
            number = number.next();
        }
        self.log.write()?;
        self.shared.metrics.wal_written_bytes.inc_by(self.log.take_written());
        Ok(())
    }

    /// The group's numbers may be on disk, so they are never given to other batches: they are void.
    fn reject(&mut self) {
        let first = self.next;
        self.next = SeqNo(first.0 + self.group.len() as u64);
        let last = SeqNo(self.next.0 - 1);
        let mut void = self.shared.void.lock();
        *void = Some((void.map_or(first, |(first, _)| first), last));
    }

    /// Lets writes go on, if they have stopped: once all that was inserted is in parts, and a fresh segment says which
    /// numbers are void.
    fn heal(&mut self, now: Duration) {
        if self.shared.stopped().is_none() || !self.shared.is_all_safe() {
            return;
        }
        match self.prepare() {
            Ok(()) => {
                let last = SeqNo(self.next.0 - 1);
                self.shared.set_visible(last);
                let mut work = self.shared.work.lock();
                (work.pending.upto, work.pending.written, work.pending.safe) = (last, last, last);
                drop(work);
                // In this order: where the ledger fails again, writes stop again.
                self.shared.resume();
                self.shared.advance(AckLevel::Disk, last, now);
            }
            Err(error) => {
                self.log.seal();
                tracing::warn!("writes cannot go on yet: {}", error_chain(&error));
            }
        }
    }

    /// Mends the ledger; opens a fresh segment, durably, that begins with the void numbers. A container needs no such
    /// record: its numbers are in parts, or never were anywhere.
    fn prepare(&mut self) -> Result<(), Error> {
        self.shared.answers.lock().mend_ledger().map_err(Error::Ledger)?;
        if self.shared.policy().stage == StageKind::Container {
            return Ok(());
        }
        let Some((first, last)) = self.shared.unrecorded_void() else { return Ok(()) };
        let safe = self.shared.watermarks().power_safe;
        self.log.void(first, FrameOf { number: last, safe, samples: self.samples })?;
        self.note_files();
        // The segment goes once it is in parts; what was said of these numbers is remembered.
        self.record.void(first, last).map_err(Error::Record)?;
        *self.shared.void.lock() = None;
        Ok(())
    }

    /// Changes the mode: everything is safe, and each generation has one kind of stage.
    fn switch(&mut self, switch: Switch) {
        let Switch { mode, reply } = switch;
        let (old, first) = (self.shared.mode(), self.next);
        self.rotate();
        let recorded = self.record.mode(mode, first).map_err(|error| SwitchError::Record(error_chain(&*error)));
        if recorded.is_ok() {
            self.shared.set_mode(mode);
            self.log.seal();
            self.log.set_segment_size(mode.policy());
            tracing::info!("durability is {mode} now, was {old}; from batch {first} on");
        }
        self.shared.work.lock().pending.forced = false;
        // Who asked may have gone, which changes nothing.
        let _ = reply.send(recorded);
    }

    /// Appends a batch to the memtable, under the next number.
    fn insert(&mut self, submission: Submission, now: Duration) -> Parked {
        if self.writer.is_full(self.next) {
            self.rotate();
        }
        let Submission { batch, level, reply, since, .. } = submission;
        let number = self.next;
        self.next = number.next();
        let (samples, bytes) = (batch.samples(), batch.size() as u64);
        self.samples += samples;
        let waiter = Waiter { number, level, samples, bytes, total: self.samples, reply };
        self.writer.insert(number, &batch, |stream, layout| {
            self.index.streams.note_layout(stream, self.index.schema.layout(layout));
        });
        if self.shared.policy().stage == StageKind::Container {
            self.add_to_tick(&batch, number, now);
        }
        (waiter, since)
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
        work.pending.unwritten_since.get_or_insert(now);
    }

    /// Moves the watermarks over the group and answers who is served by that; the syncer sees to the others.
    fn publish(&mut self, waiters: Vec<Parked>, last: SeqNo, now: Duration) {
        let policy = self.shared.policy();
        // What a write alone makes safe from the end of the process depends on the stage.
        let served = if policy.stage == StageKind::Log { AckLevel::Os } else { AckLevel::Memory };
        let asks: Vec<_> = waiters
            .iter()
            .filter(|(waiter, _)| waiter.level > served)
            .map(|(waiter, since)| (waiter.number, waiter.level, *since, waiter.bytes))
            .collect();
        let (at_once, later): (Vec<_>, Vec<_>) =
            waiters.into_iter().map(|(waiter, _)| waiter).partition(|waiter| waiter.level == AckLevel::Memory);
        self.shared.park(later.into_iter());
        self.shared.set_visible(last);
        if !at_once.is_empty() {
            self.shared.answer_visible(at_once, now);
        }
        self.note_files();
        let mut work = self.shared.work.lock();
        let pending = &mut work.pending;
        pending.upto = last;
        pending.unsynced_since.get_or_insert(now);
        for (number, level, since, bytes) in asks {
            pending.ask(number, level, since, bytes);
        }
        if policy.stage == StageKind::Log {
            pending.written = last;
        }
        if let (Unasked::After(window), Some(since)) = (policy.synced, pending.unsynced_since) {
            self.shared.set_overdue(Some(since + window));
        }
        let is_written = policy.stage == StageKind::Log && work.broken.is_none();
        drop(work);
        if is_written {
            self.shared.advance(AckLevel::Os, last, now);
        }
    }

    /// Tells the syncer which segments were written to. A mode that syncs full segments asks for that here.
    fn note_files(&mut self) {
        let files = self.log.take_files();
        let mut work = self.shared.work.lock();
        if files.iter().any(|file| work.files.back().is_some_and(|last| last.id() != file.id())) {
            work.pending.full |= matches!(self.shared.policy().synced, Unasked::Full(_));
            // It makes the next spare.
            self.shared.flusher().ring();
        }
        files.into_iter().for_each(|file| work.note_file(file));
        self.shared.note_log_size(&work);
    }
}

/// What the inbox asks for beside committing.
struct Orders {
    rotate: bool,
    heal: bool,
    switch: Option<Switch>,
}

/// Somebody to be answered, and when the batch came.
type Parked = (Waiter, Duration);

/// An error and its causes in one line.
pub fn error_chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
