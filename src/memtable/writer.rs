//! The one writer of a generation.

use std::sync::{
    Arc,
    atomic::{
        AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
};

use super::{Generation, arena::Words};
use crate::model::{Batch, LayoutId, Rows, SeqNo, Slot, StreamId};

/// Days from which on a generation is full: each becomes a part, and they are written and recorded together.
const DAYS_MAX: usize = 400;

/// Words of a run before its first piece.
pub(super) const RUN_HEAD: u64 = 5;

/// Word of a run that holds layout and width.
pub(super) const RUN_LAYOUT: usize = 0;

/// Word of a run that counts its published rows.
pub(super) const RUN_ROWS: usize = 1;

/// Word of a run that leads to the stream's next run.
pub(super) const RUN_NEXT: usize = 2;

/// Word of a run that says where its next row goes. For the writer alone.
const RUN_TAIL: usize = 3;

/// Word of a run that leads to a later piece, for readers who want no row before it; 0 where no reader has left one.
pub(super) const RUN_MARK: usize = 4;

/// Rows of a run's first piece: 96 bytes for a stream that gets one row of one value.
pub(super) const FIRST_ROWS: u64 = 2;

/// Words of a piece, about: a page. Longer ones read no faster and leave more unused behind the last row.
const PIECE_LEN: u64 = 512;

/// Words of a piece beside its rows, but for the first one's: what is before it, and what follows.
const PIECE_FRAME: u64 = 2;

/// Words of a row before its values.
pub(super) const ROW_HEAD: usize = 2;

/// The widest layout for chunks of `chunk_len` words: a run's head and first piece must fit.
pub(super) fn width_max(chunk_len: u64) -> usize {
    ((chunk_len - RUN_HEAD - 1) / FIRST_ROWS) as usize - ROW_HEAD
}

/// An address and a number of rows (below 2^16) in one word.
#[derive(Clone, Copy)]
pub(super) struct Link {
    pub(super) address: u64,
    pub(super) rows: u64,
}

impl Link {
    pub(super) fn unpack(word: u64) -> Self {
        Self { address: word >> 16, rows: word & 0xffff }
    }

    pub(super) fn pack(self) -> u64 {
        self.address << 16 | self.rows
    }
}

/// The right to insert into one [`Generation`]. There is one per generation and it cannot be cloned.
#[derive(Debug)]
pub struct Writer {
    generation: Arc<Generation>,
    /// Where the next piece goes.
    cursor: u64,
    last: SeqNo,
    size_max: usize,
}

impl Writer {
    pub(super) fn new(generation: Arc<Generation>, size_max: usize) -> Self {
        // Address 0 means "none", so it is given to nobody.
        Self { generation, cursor: 1, last: SeqNo(0), size_max }
    }

    /// The generation it writes to.
    pub fn generation(&self) -> &Arc<Generation> {
        &self.generation
    }

    /// Whether batch number `next` belongs into another generation: this one has reached its size, or its numbers
    /// would lie 2^32 apart. The size is a mark, not a wall: a batch inserted nevertheless fits.
    pub fn is_full(&self, next: SeqNo) -> bool {
        self.offset(next).is_none()
            || self.generation.allocated() >= self.size_max
            || self.generation.summary.lock().days.len() >= DAYS_MAX
    }

    /// Appends a batch's rows and publishes them row by row; queries go by their own greatest number, so they see none
    /// before `visible` is moved. Panics where `seq` does not rise, or lies 2^32 or more behind the first number, or a
    /// layout is wider than [`super::ArenaPool::width_max`]: the committer numbers batches and ingest bounds them.
    ///
    /// `begins` is told of each stream and layout that has its first row in this generation, before that row is published.
    pub fn insert(&mut self, seq: SeqNo, batch: &Batch, mut begins: impl FnMut(StreamId, LayoutId)) {
        assert!(seq > self.last && seq >= self.generation.first(), "batch {seq} is inserted behind {}", self.last);
        let offset = self.offset(seq).expect("is_full said that this number fits");
        let first = u64::from(offset) << 32;
        let mut order = first;
        for rows in &batch.groups {
            match rows.places.is_empty() {
                true => self.append_rows(order.., rows, &mut begins),
                false => self.append_rows(rows.places.iter().map(|place| first | u64::from(*place)), rows, &mut begins),
            }
            order += rows.len() as u64;
        }
        self.last = seq;
        self.summarize(batch);
    }

    fn summarize(&self, batch: &Batch) {
        let mut summary = self.generation.summary.lock();
        summary.last = self.last;
        batch.groups.iter().for_each(|rows| summary.add(rows));
    }

    fn offset(&self, seq: SeqNo) -> Option<u32> {
        u32::try_from(seq.0 - self.generation.first().0).ok()
    }

    fn append_rows(
        &mut self,
        orders: impl Iterator<Item = u64>,
        rows: &Rows,
        begins: &mut impl FnMut(StreamId, LayoutId),
    ) {
        assert_eq!(rows.values.len(), rows.len() * rows.width, "every row has {} values", rows.width);
        assert_eq!(rows.slots.len(), rows.len(), "every row has a slot");
        assert_eq!(rows.streams.len(), rows.len(), "every row has a stream");
        assert!(rows.places.is_empty() || rows.places.len() == rows.len(), "every row has a place, or none has");
        let columns = rows.streams.iter().zip(&rows.slots).zip(&rows.times).zip(rows.values.chunks_exact(rows.width));
        for (order, (((&stream, &slot), &time), values)) in orders.zip(columns) {
            let run = self.run(slot, rows.layout, rows.width, || begins(stream, rows.layout));
            self.append(run, order, time, values);
        }
    }

    /// Appends a row to the run at address `run` and publishes it.
    #[inline]
    fn append(&mut self, run: u64, order: u64, time: i64, values: &[f64]) {
        let stride = (ROW_HEAD + values.len()) as u64;
        let mut tail = Link::unpack(self.rows().at(run)[RUN_TAIL].load(Relaxed));
        if tail.rows == 0 {
            tail = self.add_piece(run, tail.address, stride);
        }
        let row = &self.rows().at(tail.address)[..stride as usize];
        row[0].store(order, Relaxed);
        row[1].store(time as u64, Relaxed);
        for (word, value) in row[ROW_HEAD..].iter().zip(values) {
            word.store(value.to_bits(), Relaxed);
        }
        let next = Link { address: tail.address + stride, rows: tail.rows - 1 };
        let head = &self.rows().at(run)[..RUN_HEAD as usize];
        head[RUN_TAIL].store(next.pack(), Relaxed);
        head[RUN_ROWS].store(head[RUN_ROWS].load(Relaxed) + 1, Release);
    }

    /// Continues a run whose last piece is full, and whose link lies at `link`.
    #[cold]
    fn add_piece(&mut self, run: u64, link: u64, stride: u64) -> Link {
        let rows_so_far = self.rows().at(run)[RUN_ROWS].load(Relaxed);
        let wanted = rows_so_far.min((PIECE_LEN / stride).max(FIRST_ROWS));
        let fitting = self.chunk_rest().saturating_sub(PIECE_FRAME) / stride;
        let in_a_chunk = (self.rows().chunk_len() - PIECE_FRAME) / stride;
        let rows = wanted.min(if fitting == 0 { in_a_chunk } else { fitting });
        let address = self.allocate(rows * stride + PIECE_FRAME);
        self.rows().at(address)[0].store(rows_so_far, Relaxed);
        let piece = Link { address: address + 1, rows };
        self.rows().at(link)[0].store(piece.pack(), Relaxed);
        piece
    }

    /// The address of a slot's run of `layout`.
    #[inline]
    fn run(&mut self, slot: Slot, layout: LayoutId, width: usize, begins: impl FnOnce()) -> u64 {
        let head = u64::from(layout.0) | (width as u64) << 32;
        let first = self.generation.slots.get(u64::from(slot.0)).map_or(0, |word| word.load(Relaxed));
        let mut run = first;
        let mut last = None;
        while run != 0 {
            let words = self.rows().at(run);
            if words[RUN_LAYOUT].load(Relaxed) == head {
                return run;
            }
            last = Some(run);
            run = words[RUN_NEXT].load(Relaxed);
        }
        begins();
        self.add_run(slot, last, head)
    }

    /// Begins a run behind the run `last` of its slot, or as the slot's first.
    #[cold]
    fn add_run(&mut self, slot: Slot, last: Option<u64>, head: u64) -> u64 {
        let width = (head >> 32) as usize;
        assert!(0 < width && width <= width_max(self.rows().chunk_len()), "a layout has {width} fields");
        let rows_len = FIRST_ROWS * (ROW_HEAD + width) as u64;
        let run = self.allocate(RUN_HEAD + rows_len + 1);
        let words = self.rows().at(run);
        words[RUN_LAYOUT].store(head, Relaxed);
        words[RUN_ROWS].store(0, Relaxed);
        words[RUN_NEXT].store(0, Relaxed);
        words[RUN_MARK].store(0, Relaxed);
        words[RUN_TAIL].store(Link { address: run + RUN_HEAD, rows: FIRST_ROWS }.pack(), Relaxed);
        match last {
            Some(last) => self.rows().at(last)[RUN_NEXT].store(run, Release),
            None => self.begin_slot(slot).store(run, Release),
        }
        run
    }

    /// The word of a slot that has its first row in this generation.
    fn begin_slot(&self, slot: Slot) -> &AtomicU64 {
        self.generation.touch(slot);
        let slots = &self.generation.slots;
        slots.provide_zeroed(u64::from(slot.0));
        &slots.at(u64::from(slot.0))[0]
    }

    /// `len` words inside one chunk, with anything in them.
    fn allocate(&mut self, len: u64) -> u64 {
        if self.chunk_rest() < len {
            self.cursor = self.cursor.next_multiple_of(self.rows().chunk_len());
        }
        self.rows().provide(self.cursor);
        let address = self.cursor;
        self.cursor += len;
        address
    }

    /// Words left in the chunk the cursor is in; a whole chunk where it stands at the beginning of one.
    fn chunk_rest(&self) -> u64 {
        let len = self.rows().chunk_len();
        len - (self.cursor & (len - 1))
    }

    #[inline]
    fn rows(&self) -> &Words {
        &self.generation.rows
    }
}

/// A slot's runs from the address of the first on, for readers: see `read`.
pub(super) fn first_run(generation: &Generation, slot: Slot) -> u64 {
    generation.slots.get(u64::from(slot.0)).map_or(0, |word| word.load(Acquire))
}
