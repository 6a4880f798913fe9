//! A directory and its clients: what they sent, what they were told, and in [`checks`] what is held against it.

mod checks;

use std::{sync::Arc, time::Duration};

use fastrand::Rng;

use crate::{
    disk::{CrashKind, Disk, Errno, Fault, OpKind, SimDisk},
    durability::{Ack, AckLevel, Failure, Mode, Ticket, survives},
    engine::{Engine, Options, Receipt},
    metrics::Metrics,
    model::{Batch, Position, Rows, SeqNo, StreamKey},
    stage::RowsEncoder,
};

use super::{
    liars::{Lie, LyingDisk},
    log_of, modes,
    samples::{self, Sent},
};

/// A batch and what became of it.
pub(super) struct Tracked {
    /// 0 until it has one.
    pub(super) number: SeqNo,
    /// The start that numbered it.
    incarnation: u32,
    samples: Vec<Sent>,
    ticket: Option<Ticket>,
    acked: Option<Ack>,
    /// It was refused after it had got its number.
    is_void: bool,
}

/// How a run is crashed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crash {
    pub(super) kind: CrashKind,
    /// How many disk operations from the opening on.
    pub(super) after: u64,
    /// How many operations into the recovery it crashes again.
    pub(super) again: Option<u64>,
}

pub(super) struct World {
    pub(super) disk: SimDisk,
    pub(super) mode: Mode,
    pub(super) rng: Rng,
    now: Duration,
    /// All batches that wait for a number, or got one and whose loss was not found out yet, in order.
    pub(super) batches: Vec<Tracked>,
    /// Batches that are gone for good: cut off by a crash, or refused after they had their numbers.
    gone: Vec<Position>,
    counter: u64,
    /// The mode changes while the engine runs.
    pub(super) switches: bool,
    /// What of the options the seed chooses.
    log: Options,
    /// Whatever must have survived the last crash is at or below this number.
    pub(super) must_have: SeqNo,
    /// The start that was crashed last, and whether every record of its ledger was followed by its answers.
    crashed: Option<(u32, bool)>,
    /// Something has failed in this life.
    is_troubled: bool,
    /// What is told falsely on purpose, to see that it is found out.
    lie: Option<Lie>,
}

const TABLES: [&str; 2] = ["cpu", "disk"];
const FIELDS: [&str; 3] = ["a", "b", "value"];
const DAY: i64 = 86_400_000_000_000;

impl Tracked {
    fn position(&self) -> Position {
        Position { incarnation: self.incarnation, number: self.number }
    }
}

impl World {
    pub(super) fn new(seed: u64, mode: Mode) -> Self {
        let (rng, now) = (Rng::with_seed(seed), Duration::ZERO);
        let (disk, batches) = (SimDisk::new(seed), Vec::new());
        Self {
            disk,
            mode,
            rng,
            now,
            batches,
            gone: Vec::new(),
            counter: 0,
            switches: false,
            log: log_of(seed),
            must_have: SeqNo(0),
            crashed: None,
            is_troubled: false,
            lie: None,
        }
    }

    /// One that is lied to.
    pub(super) fn with_lie(seed: u64, mode: Mode, lie: Lie) -> Self {
        Self { lie: Some(lie), ..Self::new(seed, mode) }
    }

    fn options(&self) -> Options {
        Options {
            mode: self.mode,
            generation_size: 256 << 10,
            chunk_size: 16 << 10,
            segment_size: 4 << 10,
            memory_size_max: 16 << 20,
            ..self.log.clone()
        }
    }

    fn open(&self) -> Result<Arc<Engine>, crate::engine::Error> {
        let disk: Arc<dyn Disk> = match self.lie {
            Some(Lie::Sync) => Arc::new(LyingDisk(self.disk.clone())),
            _ => Arc::new(self.disk.clone()),
        };
        let engine = Engine::open(disk, self.options(), Metrics::new())?;
        engine.finish_replay()?;
        Ok(engine)
    }

    /// A batch as ingest would make it: a few rows of a few streams, with duplicates now and then.
    ///
    /// `None` where the disk is down and no id can be reserved.
    fn make_batch(&mut self, engine: &Engine) -> Option<(Batch, Vec<Sent>)> {
        let mut batch = Batch::default();
        let mut sent = Vec::new();
        for place in 0..self.rng.u32(1..12) {
            let table = TABLES[self.rng.usize(..TABLES.len())];
            let fields: Vec<&'static str> = match self.rng.u8(..3) {
                0 => vec![FIELDS[self.rng.usize(..3)]],
                1 => vec!["a", "b"],
                _ => FIELDS.to_vec(),
            };
            let (layout, order) = engine.layout(table, &fields).unwrap();
            let host = self.rng.u32(..5);
            let key = StreamKey::new(table, [("host", host.to_string().as_str())]).unwrap();
            let (stream, slot) = engine.stream(&key).ok()?;
            let time = DAY * self.rng.i64(0..2) + self.rng.i64(0..40) * 1_000_000_000;
            let group = batch.groups.iter().position(|rows| rows.layout == layout).unwrap_or_else(|| {
                batch.groups.push(Rows { layout, width: fields.len(), ..Rows::default() });
                batch.groups.len() - 1
            });
            let rows = &mut batch.groups[group];
            rows.places.push(place);
            rows.streams.push(stream);
            rows.slots.push(slot);
            rows.times.push(time);
            for place in &order {
                let field = fields[usize::from(*place)];
                self.counter += 1;
                let value = samples::value(&mut self.rng, self.counter);
                rows.values.push(value);
                sent.push(Sent { table, host, field, time, value });
            }
        }
        Some((batch, sent))
    }

    fn write(&mut self, engine: &Engine) {
        let Some((batch, samples)) = self.make_batch(engine) else { return };
        let mut payload = Vec::new();
        if engine.durability().wants_payload() {
            RowsEncoder::default().encode(&batch, &mut payload);
        }
        let level = match self.rng.u8(..6) {
            0 => Some(AckLevel::Memory),
            1 => Some(AckLevel::Os),
            2 => Some(AckLevel::Disk),
            _ => None,
        };
        if let Ok(ticket) = engine.durability().submit(batch, payload, level, self.now) {
            let ticket = Some(ticket);
            self.batches.push(Tracked {
                number: SeqNo(0),
                incarnation: engine.incarnation(),
                samples,
                ticket,
                acked: None,
                is_void: false,
            });
        }
    }

    /// What waited got its numbers, all or none.
    pub(super) fn commit(&mut self, engine: &Engine) {
        let before = engine.next_number();
        engine.commit_step(self.now);
        let mut next = before;
        for batch in self.batches.iter_mut().filter(|batch| batch.number == SeqNo(0)) {
            if next < engine.next_number() {
                batch.number = next;
                next = next.next();
            }
        }
        assert_eq!(next, engine.next_number(), "a group gets all its numbers");
    }

    /// Takes the answers that have come.
    pub(super) fn take_answers(&mut self, engine: &Engine) {
        for batch in &mut self.batches {
            let Some(ticket) = &mut batch.ticket else { continue };
            match ticket.try_recv() {
                Ok(Ok(ack)) => {
                    assert_eq!(ack.number, batch.number, "batches are numbered in the order they came");
                    batch.acked =
                        Some(if self.lie == Some(Lie::Level) { Ack { level: AckLevel::Disk, ..ack } } else { ack });
                    batch.ticket = None;
                }
                Ok(Err(_)) => {
                    batch.is_void = batch.number == SeqNo(0) || engine.receipt(batch.position()) == Receipt::Lost;
                    batch.ticket = None;
                }
                Err(tokio::sync::oneshot::error::TryRecvError::Closed) => batch.ticket = None,
                Err(tokio::sync::oneshot::error::TryRecvError::Empty) => {}
            }
        }
        // Refused before they were anything; or refused, and said to be void before writes went on.
        let goes_on = engine.durability().stopped().is_none();
        self.forget(|batch| match batch.number {
            SeqNo(0) => batch.ticket.is_some(),
            _ => !(batch.is_void && goes_on),
        });
    }

    /// Keeps those that pass; the others are gone for good.
    fn forget(&mut self, is_kept: impl Fn(&Tracked) -> bool) {
        let gone = self.batches.iter().filter(|batch| batch.number != SeqNo(0) && !is_kept(batch));
        self.gone.extend(gone.map(Tracked::position));
        self.batches.retain(is_kept);
    }

    /// Does random things until the machine is down or `steps` are done.
    pub(super) fn run(&mut self, engine: &Arc<Engine>, steps: usize) {
        for _ in 0..steps {
            if self.disk.is_down() {
                break;
            }
            self.now += Duration::from_millis(self.rng.u64(0..400));
            let now = self.now;
            // Errors are what a crash looks like from inside.
            match self.rng.u8(..42) {
                0..16 => self.write(engine),
                16..26 => self.commit(engine),
                26..34 => drop(engine.sync_step(now)),
                34..36 => engine.durability().request_rotation(),
                36..39 => drop(engine.flush_step(now)),
                39..41 => drop(engine.compact_step()),
                _ => self.switch(engine),
            }
            self.take_answers(engine);
            self.check_at_risk(engine);
        }
    }

    /// Changes the mode of the running engine, where the test is about that.
    fn switch(&mut self, engine: &Engine) {
        if self.switches {
            drop(engine.switch(modes()[self.rng.usize(..modes().len())]));
        }
    }

    /// Crashes as told, and notes what must survive it.
    fn note_crash(&mut self, crash: Crash, engine: &Engine) {
        let failure = if crash.kind == CrashKind::Process { Failure::Process } else { Failure::Power };
        let survivors =
            self.batches.iter().filter(|batch| batch.acked.is_some_and(|ack| ack.level >= survives(failure)));
        let acked = survivors.map(|batch| batch.number).max().unwrap_or_default();
        // A watermark that was shown is a promise too.
        self.must_have = self.must_have.max(acked).max(engine.watermarks().of(survives(failure)));
    }

    /// Now and then, an operation of some kind fails once or twice, without a crash. Whether it will.
    fn inject_fault(&mut self) -> bool {
        const KINDS: [OpKind; 7] = [
            OpKind::Create,
            OpKind::Mkdir,
            OpKind::Write,
            OpKind::Allocate,
            OpKind::SyncData,
            OpKind::SyncDir,
            OpKind::Remove,
        ];
        let is_due = self.rng.u8(..3) == 0;
        if is_due {
            let errno = if self.rng.bool() { Errno::IO } else { Errno::NOSPC };
            let kind = KINDS[self.rng.usize(..KINDS.len())];
            let fault = Fault::new(errno).of(kind).after(self.rng.u64(0..12)).times(self.rng.u64(1..3));
            self.disk.inject(fault);
        }
        is_due
    }

    /// Whether the operation that the crash came in was on a file of that name.
    fn died_in(&self, name: &str) -> bool {
        let trace = self.disk.trace();
        let before_crash = trace.lines().rev().skip_while(|line| !line.starts_with("-- crash")).nth(1);
        before_crash.is_some_and(|operation| operation.contains(name))
    }

    /// Now and then, a start in which a sync fails; it is killed, or refuses. The next one may find in the page cache what no
    /// sync brings to the disk any more.
    fn start_in_vain(&mut self) {
        if self.rng.u8(..4) == 0 {
            self.disk.inject(Fault::new(Errno::IO).of(OpKind::SyncData).after(self.rng.u64(0..10)));
            drop(self.open());
            self.disk.clear_faults();
            self.disk.crash(CrashKind::Process);
            self.disk.restart();
        }
    }

    /// One life: open, run, crash, and now and then crash while opening again.
    pub(super) fn live(&mut self, crash: Crash, steps: usize, context: &str) {
        let engine = self.check(context);
        self.is_troubled = false;
        // A write that fails, and one in a power cut, may leave a record of answers that were never given.
        self.crashed = Some((engine.incarnation(), !self.inject_fault() && crash.kind != CrashKind::PowerRandom));
        self.disk.crash_at(self.disk.ops() + crash.after, crash.kind);
        self.run(&engine, steps);
        let died = self.disk.is_down();
        if !died {
            self.disk.crash(crash.kind);
        }
        self.take_answers(&engine);
        self.check_live_receipts(&engine);
        self.note_crash(crash, &engine);
        drop(engine);
        if died && self.died_in("LEDGER") {
            // The record may be there as a whole, and the answers it tells of were never given.
            self.crashed = self.crashed.map(|(incarnation, _)| (incarnation, false));
        }
        self.disk.restart();
        self.start_in_vain();
        if let Some(again) = crash.again {
            self.disk.crash_at(self.disk.ops() + again, crash.kind);
            drop(self.open());
            if !self.disk.is_down() {
                self.disk.crash(crash.kind);
            }
            self.disk.restart();
        }
    }
}
