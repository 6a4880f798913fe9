//! Batches of the stage back to memory, in steps, while the server serves what it has.
//!
//! Replay fills generations older than the committer's first one, oldest first. A closed one is flushed like any other,
//! so that what comes back may be larger than memory; no later generation and no later page is flushed before. Until all
//! is back, `visible` stays below it: a query sees what parts and pages hold, and then everything.

use std::{
    collections::{BTreeSet, HashMap},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;

use super::{
    Edit, Engine, Error,
    loss::batches,
    plan::{Piece, Plan},
    recover::StageContents,
    retention::is_dropped,
};
use crate::{
    durability::Generations,
    index::Index,
    memtable::{Memtable, Writer},
    model::{Batch, Day, LayoutId, Rows, SeqNo, Slot, StreamId, counted},
    stage::{Found, Kind, LayoutDefinition, RowsDecoder, Scan, decode_batch},
};

/// Frames that one step reads at most: some milliseconds of work.
const STEP_FRAMES: usize = 1_000;
/// How often progress is logged.
const REPORT_EVERY: Duration = Duration::from_secs(5);

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replaying {
    /// It put batches back; there may be more.
    More,
    /// Nothing, as memory is half full: a flush must make room first.
    Waits,
    /// Everything is back.
    Done,
}

/// How far replay is, in numbers of log segments, as Prometheus tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplayProgress {
    /// The first segment.
    pub min: u64,
    /// The last segment.
    pub max: u64,
    /// The last one that was read whole; before the first was, the number below it.
    pub current: u64,
}

/// The engine's side of it.
pub(crate) struct ReplayState {
    job: Mutex<Option<Job>>,
    /// Numbers from here on are not in closed generations yet; beyond all numbers once everything is back.
    floor: AtomicU64,
    segments: (u64, u64),
    current: AtomicU64,
}

/// A replay under way.
struct Job {
    stage: StageContents,
    plan: Plan,
    /// The piece that is read.
    piece: usize,
    reader: Option<Reader>,
    writer: Option<Writer>,
    /// The slots of streams seen so far: one look instead of two, and no lock.
    slots: HashMap<StreamId, Slot>,
    batches: u64,
    orphaned_rows: u64,
    /// Rows of days before this are gone, in batches up to this number.
    dropped: Vec<(Day, SeqNo)>,
    /// Batches that were there when the start read the stage, and are not now.
    vanished: Vanished,
    reported: Duration,
}

/// Numbers, first and last, and the files they were in.
#[derive(Default)]
struct Vanished {
    numbers: Vec<(SeqNo, SeqNo)>,
    files: BTreeSet<PathBuf>,
}

/// Where in a piece the job is.
struct Reader {
    scan: Scan,
    /// The number of the frame that is to come.
    next: SeqNo,
    layouts: Layouts,
}

/// A file's layout ids: this process's layout, and where each of its fields stands in the file's rows.
type Layouts = HashMap<LayoutId, (LayoutId, Vec<u16>)>;

impl ReplayState {
    /// What the plan leaves to be done behind an open port.
    pub(crate) fn new(stage: StageContents, plan: Plan, dropped: Vec<(Day, SeqNo)>) -> Self {
        let segment = |piece: &Piece| stage.files[stage.runs[piece.run].file].id;
        let ids = || plan.pieces.iter().map(segment);
        let segments = (ids().min().unwrap_or_default(), ids().max().unwrap_or_default());
        let floor = plan.pieces.first().map_or(u64::MAX, |piece| piece.numbers.0.0);
        let job = Job {
            stage,
            plan,
            piece: 0,
            reader: None,
            writer: None,
            slots: HashMap::new(),
            batches: 0,
            orphaned_rows: 0,
            dropped,
            vanished: Vanished::default(),
            reported: Duration::ZERO,
        };
        let job = (floor < u64::MAX).then_some(job);
        Self {
            job: Mutex::new(job),
            floor: AtomicU64::new(floor),
            segments,
            current: AtomicU64::new(segments.0.saturating_sub(1)),
        }
    }

    /// The first number that may not be flushed yet.
    pub(crate) fn floor(&self) -> SeqNo {
        SeqNo(self.floor.load(Ordering::Acquire))
    }
}

impl Engine {
    /// Puts some batches back, in place of the replay thread.
    pub fn replay_step(&self) -> Result<Replaying, Error> {
        let mut slot = self.replay.job.lock();
        let Some(job) = slot.as_mut() else { return Ok(Replaying::Done) };
        let generations = self.durability.generations();
        let is_flushable = generations.load().first().is_some_and(|oldest| oldest.first() < self.replay.floor());
        if is_flushable && generations.allocated() > self.options.memory_size_max / 2 {
            return Ok(Replaying::Waits);
        }
        let has_more = job.step(&self.index, &self.memtable, generations)?;
        // Where it fails, the next step tries it again.
        self.give_up_vanished(&job.vanished)?;
        job.vanished = Vanished::default();
        self.tell_progress(job);
        if has_more {
            self.replay.floor.store(job.floor().0, Ordering::Release);
            return Ok(Replaying::More);
        }
        let orphaned = job.orphaned_rows;
        tracing::info!("replay is done: {} back {:?} after the start", batches(job.batches), self.clock.now());
        if orphaned > 0 {
            let rows = counted(orphaned, "row", "rows");
            tracing::error!("damage: {rows} of the log with streams or layouts that nothing defines");
        }
        *slot = None;
        self.replay.floor.store(u64::MAX, Ordering::Release);
        self.durability.show_replayed();
        self.metrics.recovery_duration.set(self.clock.now().as_secs_f64());
        self.durability.flusher().ring();
        Ok(Replaying::Done)
    }

    /// Records what was damaged since the start read it: its receipts say so, and its file is kept.
    fn give_up_vanished(&self, vanished: &Vanished) -> Result<(), Error> {
        if vanished.numbers.is_empty() {
            return Ok(());
        }
        let notice = self.mark_lost(&vanished.numbers)?;
        self.record(&Edit { lost: vanished.numbers.clone(), ..Edit::default() })?;
        let mut leftovers = self.leftovers.lock();
        leftovers.iter_mut().filter(|(path, _)| vanished.files.contains(path)).for_each(|left| left.1 = true);
        drop(leftovers);
        self.note_lost(&vanished.numbers, notice);
        Ok(())
    }

    /// Puts everything back, and flushes where memory is short.
    pub fn finish_replay(&self) -> Result<(), Error> {
        loop {
            match self.replay_step()? {
                Replaying::Done => return Ok(()),
                Replaying::More => {}
                Replaying::Waits => drop(self.flush_step(self.clock.now())?),
            }
        }
    }

    /// Whether everything that was recovered can be seen.
    pub fn is_replayed(&self) -> bool {
        self.replay.floor().0 == u64::MAX
    }

    /// How far replay is.
    pub fn replay_progress(&self) -> ReplayProgress {
        let (min, max) = self.replay.segments;
        ReplayProgress {
            min,
            max,
            current: if self.is_replayed() { max } else { self.replay.current.load(Ordering::Relaxed) },
        }
    }

    fn tell_progress(&self, job: &mut Job) {
        self.replay.current.store(job.segment().saturating_sub(1), Ordering::Relaxed);
        let now = self.clock.now();
        if now > job.reported + REPORT_EVERY {
            job.reported = now;
            let (segment, last) = (job.segment(), self.replay.segments.1);
            let (done, all) = (job.batches, self.recovery.replayed_batches);
            tracing::info!("replay: {done} of {} back, segment {segment} of up to {last}", batches(all));
        }
    }
}

impl Job {
    /// Reads on; whether there is more.
    fn step(&mut self, index: &Index, memtable: &Memtable, generations: &Generations) -> Result<bool, Error> {
        let (mut decoder, mut size) = (RowsDecoder::default(), 0);
        for _ in 0..STEP_FRAMES {
            // Memory is looked at between steps.
            if size > memtable.generation_size / 8 {
                break;
            }
            let Some(piece) = self.plan.pieces.get(self.piece).copied() else { return Ok(false) };
            if self.reader.is_none() {
                self.reader = Some(self.open(&piece, index)?);
                // The numbers of generations and of pages never interleave.
                self.writer.take_if(|_| piece.is_apart);
            }
            let reader = self.reader.as_mut().expect("opened above");
            let Some(found) = reader.scan.next()? else {
                self.end_piece();
                continue;
            };
            let Found::Frame(frame) = found else { continue };
            let number = frame.header.number;
            if number > piece.numbers.1 {
                self.end_piece();
                continue;
            }
            if number > reader.next {
                self.vanished.add(&self.stage, &piece, (reader.next, SeqNo(number.0 - 1)));
            }
            reader.next = reader.next.max(number.next());
            if frame.header.kind == Kind::Batch && (piece.numbers.0..=piece.numbers.1).contains(&number) {
                let batch = decoder.decode(decode_batch(&frame.payload)?.1)?;
                let (batch, orphaned) =
                    localize(batch, &reader.layouts, |stream| slot(&mut self.slots, stream, index, memtable));
                self.orphaned_rows += orphaned;
                let batch = match piece.gap {
                    Some(gap) => of_days(batch, |day| self.plan.gaps[gap].days.contains(&day)),
                    None => batch,
                };
                let batch = match self.dropped.iter().any(|(_, upto)| number <= *upto) {
                    true => of_days(batch, |day| !is_dropped(&self.dropped, day, number)),
                    false => batch,
                };
                size += batch.size();
                self.insert(number, &batch, index, memtable, generations);
            }
            if number >= piece.numbers.1 {
                self.end_piece();
            }
        }
        Ok(true)
    }

    fn open(&self, piece: &Piece, index: &Index) -> Result<Reader, Error> {
        let run = &self.stage.runs[piece.run];
        let leftover = &self.stage.files[run.file];
        let scan = Scan::starting_at(Arc::clone(&leftover.file), &leftover.path, leftover.id, run.offset)?;
        Ok(Reader { scan, next: piece.numbers.0, layouts: layouts(leftover.layouts.values(), index) })
    }

    /// Goes on to the next piece. Whatever of this one has not come by now is gone.
    fn end_piece(&mut self) {
        let (piece, reader) = (self.plan.pieces[self.piece], self.reader.take());
        if let Some(reader) = reader.filter(|reader| reader.next <= piece.numbers.1) {
            self.vanished.add(&self.stage, &piece, (reader.next, piece.numbers.1));
        }
        self.piece += 1;
    }

    /// Appends a batch to the open generation, or to a new one where there is none or it is full.
    fn insert(&mut self, number: SeqNo, batch: &Batch, index: &Index, memtable: &Memtable, generations: &Generations) {
        if self.writer.as_ref().is_none_or(|writer| writer.is_full(number)) {
            let (writer, generation) = memtable.generation(number);
            generations.push(&generation);
            self.writer = Some(writer);
        }
        let writer = self.writer.as_mut().expect("set above if it was not");
        writer.insert(number, batch, |stream, layout| {
            index.streams.note_layout(stream, index.schema.layout(layout));
        });
        self.batches += 1;
    }

    /// The first number that is not in a closed generation.
    fn floor(&self) -> SeqNo {
        let next = self.plan.pieces.get(self.piece).map_or(SeqNo(u64::MAX), |piece| piece.numbers.0);
        self.writer.as_ref().map_or(next, |writer| writer.generation().first())
    }

    /// The segment that is read.
    fn segment(&self) -> u64 {
        let piece = self.plan.pieces.get(self.piece).or(self.plan.pieces.last());
        piece.map_or(0, |piece| self.stage.files[self.stage.runs[piece.run].file].id)
    }
}

impl Vanished {
    fn add(&mut self, stage: &StageContents, piece: &Piece, numbers: (SeqNo, SeqNo)) {
        self.numbers.push(numbers);
        self.files.insert(stage.files[stage.runs[piece.run].file].path.clone());
    }
}

/// A file's layouts in this process's numbers.
fn layouts<'d>(defined: impl Iterator<Item = &'d LayoutDefinition>, index: &Index) -> Layouts {
    let mut layouts = Layouts::new();
    for layout in defined {
        let fields: Vec<&str> = layout.fields.iter().map(|field| &**field).collect();
        // This process numbers names in an order of its own, so a layout's fields may come in another order here.
        if let Ok(local) = index.layout(&layout.table, &fields) {
            layouts.insert(layout.id, local);
        }
    }
    layouts
}

/// A stream's slot; `None` where nothing defines the stream any more.
fn slot(slots: &mut HashMap<StreamId, Slot>, stream: StreamId, index: &Index, memtable: &Memtable) -> Option<Slot> {
    if let Some(slot) = slots.get(&stream) {
        return Some(*slot);
    }
    let slot = memtable.catalogue.enter(index.streams.table(stream)?, stream);
    slots.insert(stream, slot);
    Some(slot)
}

/// A batch in this process's layouts and slots, and how many rows nothing defines any more: only damage can do that.
fn localize(batch: Batch, layouts: &Layouts, mut slot: impl FnMut(StreamId) -> Option<Slot>) -> (Batch, u64) {
    let (mut local, mut orphaned) = (Batch::default(), 0);
    for rows in batch.groups {
        let Some((layout, order)) = layouts.get(&rows.layout).filter(|(_, order)| order.len() == rows.width) else {
            orphaned += rows.len() as u64;
            continue;
        };
        let slots: Vec<Option<Slot>> = rows.streams.iter().map(|stream| slot(*stream)).collect();
        let unknown = slots.iter().filter(|slot| slot.is_none()).count();
        orphaned += unknown as u64;
        // Mostly every stream is known, and the fields stand in the order they have here: then the columns stay.
        local.groups.push(match unknown == 0 && order.is_sorted() {
            true => Rows { layout: *layout, slots: slots.into_iter().flatten().collect(), ..rows },
            false => reordered(&rows, &slots, *layout, order),
        });
    }
    (local, orphaned)
}

/// The rows of some days.
fn of_days(batch: Batch, is_wanted: impl Fn(Day) -> bool) -> Batch {
    let groups = batch.groups.into_iter().map(|rows| {
        let slots = rows.times.iter().zip(&rows.slots).map(|(time, slot)| is_wanted(Day::of(*time)).then_some(*slot));
        let (slots, order): (Vec<_>, Vec<_>) = (slots.collect(), (0..rows.width as u16).collect());
        reordered(&rows, &slots, rows.layout, &order)
    });
    Batch { groups: groups.filter(|rows| !rows.is_empty()).collect() }
}

/// The rows that have slots, their values in another order.
fn reordered(rows: &Rows, slots: &[Option<Slot>], layout: LayoutId, order: &[u16]) -> Rows {
    let mut group = Rows { layout, width: rows.width, ..Rows::default() };
    for (place, slot) in slots.iter().enumerate() {
        let Some(slot) = slot else { continue };
        group.places.extend(rows.places.get(place));
        group.streams.push(rows.streams[place]);
        group.slots.push(*slot);
        group.times.push(rows.times[place]);
        let values = rows.row(place);
        group.values.extend(order.iter().map(|field| values[usize::from(*field)]));
    }
    group
}
