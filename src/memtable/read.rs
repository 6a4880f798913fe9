//! Reading a generation while it may be written.

use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use super::{
    Generation,
    arena::Words,
    writer::{FIRST_ROWS, Link, ROW_HEAD, RUN_HEAD, RUN_LAYOUT, RUN_MARK, RUN_NEXT, RUN_ROWS, first_run},
};
use crate::model::{LayoutId, SeqNo, Slot, TimeRange};

/// One row as it was written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row<'a> {
    /// Its fields, in the layout's order.
    pub layout: LayoutId,
    /// The batch it came with.
    pub seq: SeqNo,
    /// Unix nanoseconds.
    pub time: i64,
    /// One value per field.
    pub values: &'a [f64],
}

impl Generation {
    /// Calls `sink` with the rows of a slot that have a number up to `upto` and a time in `range`: run by run, in the
    /// order of insertion, duplicates included.
    pub fn read(&self, slot: Slot, upto: SeqNo, range: TimeRange, mut sink: impl FnMut(Row<'_>)) {
        let Some(offset_max) = self.offset_max(upto) else {
            return;
        };
        let mut values = Vec::new();
        for run in self.runs(slot) {
            for row in run.pieces(0).flat_map(|piece| piece.words.chunks_exact(run.stride())) {
                let (offset, time) = (row_offset(row), row_time(row));
                if offset > offset_max {
                    break;
                }
                if range.contains(time) {
                    values.clear();
                    values.extend(row[ROW_HEAD..].iter().map(|word| f64::from_bits(word.load(Relaxed))));
                    let seq = SeqNo(self.first().0 + u64::from(offset));
                    sink(Row { layout: run.layout, seq, time, values: &values });
                }
            }
        }
    }

    /// The layouts a slot has rows of, in the order of their first row.
    pub fn layouts(&self, slot: Slot) -> impl Iterator<Item = LayoutId> {
        self.runs(slot).map(|run| run.layout)
    }

    /// The greatest row offset a view up to `upto` sees; `None` where the view ends before this generation.
    pub(super) fn offset_max(&self, upto: SeqNo) -> Option<u32> {
        let offset = upto.0.checked_sub(self.first().0)?;
        Some(offset.min(u64::from(u32::MAX)) as u32)
    }

    /// The runs of a slot that have rows.
    pub(super) fn runs(&self, slot: Slot) -> impl Iterator<Item = Run<'_>> {
        let mut address = first_run(self, slot);
        std::iter::from_fn(move || {
            let run = (address != 0).then(|| Run::at(&self.rows, address))?;
            address = self.rows.at(address)[RUN_NEXT].load(Acquire);
            Some(run)
        })
        .filter(|run| run.rows > 0)
    }
}

/// A prefix of a run: the rows that were published when it was looked up.
pub(super) struct Run<'a> {
    words: &'a Words,
    head: &'a [AtomicU64],
    pub(super) layout: LayoutId,
    pub(super) width: usize,
    rows: u64,
    first: Link,
    mark: Option<Link>,
}

/// A stretch of a run: one whole number of rows.
pub(super) struct Piece<'a> {
    link: Link,
    pub(super) words: &'a [AtomicU64],
}

impl<'a> Run<'a> {
    fn at(words: &'a Words, address: u64) -> Self {
        let head = words.at(address);
        let layout_and_width = head[RUN_LAYOUT].load(Relaxed);
        // Before the count of rows: whoever left the mark saw rows there, and then so does this count.
        let mark = head[RUN_MARK].load(Acquire);
        Self {
            words,
            head,
            layout: LayoutId(layout_and_width as u32),
            width: (layout_and_width >> 32) as usize,
            rows: head[RUN_ROWS].load(Acquire),
            first: Link { address: address + RUN_HEAD, rows: FIRST_ROWS },
            mark: (mark != 0).then(|| Link::unpack(mark)),
        }
    }

    /// Words of a row.
    pub(super) fn stride(&self) -> usize {
        ROW_HEAD + self.width
    }

    /// Its rows, stretch by stretch; without those before the mark where none of them can have the offset `start`.
    pub(super) fn pieces(&self, start: u64) -> impl Iterator<Item = Piece<'a>> + use<'a> {
        let (words, stride) = (self.words, self.stride());
        let (mut next, mut rest) = self.beginning(start);
        std::iter::from_fn(move || {
            let rows = (rest > 0).then(|| rest.min(next.rows))?;
            let (link, stretch) = (next, words.at(next.address));
            let len = rows as usize * stride;
            rest -= rows;
            if rest > 0 {
                next = Link::unpack(stretch[len].load(Relaxed));
            }
            Some(Piece { link, words: &stretch[..len] })
        })
    }

    /// The first piece to look at for rows from offset `start` on, and how many rows there are from it on.
    fn beginning(&self, start: u64) -> (Link, u64) {
        let marked = self.mark.map(|mark| (mark, self.words.at(mark.address - 1)));
        match marked.filter(|(_, words)| u64::from(row_offset(&words[1..])) < start) {
            Some((mark, words)) => (mark, self.rows - words[0].load(Relaxed)),
            None => (self.first, self.rows),
        }
    }

    /// Leaves the mark at a piece. Of several readers who do, any may win: what is right for nobody is not used.
    pub(super) fn mark(&self, piece: &Piece<'_>) {
        if piece.link.address != self.first.address {
            self.head[RUN_MARK].store(piece.link.pack(), Release);
        }
    }
}

/// The order of a row among all rows of its stream: sequence number, then place in the batch.
#[inline]
pub(super) fn row_order(row: &[AtomicU64]) -> u64 {
    row[0].load(Relaxed)
}

/// How far the row's sequence number is from the generation's first.
#[inline]
pub(super) fn row_offset(row: &[AtomicU64]) -> u32 {
    (row_order(row) >> 32) as u32
}

/// The row's time.
#[inline]
pub(super) fn row_time(row: &[AtomicU64]) -> i64 {
    row[1].load(Relaxed) as i64
}
