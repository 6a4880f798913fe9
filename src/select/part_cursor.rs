//! Reading one part image stream by stream, in order, each block decoded once.

use std::{collections::VecDeque, ops::Range, sync::Arc};

use roaring::RoaringBitmap;

use super::{View, columns::Columns};
use crate::{
    engine::StoredPart,
    model::{Allowance, Stopped, StreamId, TimeRange},
    parts::{Aggregates, BlockReader, BlockRef, FieldRef, Part, Run},
};

/// A part image and the asked fields that it has.
pub(super) struct PartFields<'v> {
    pub(super) stored: &'v StoredPart,
    pub(super) part: &'v Part,
    pub(super) fields: Vec<FieldRef>,
    /// For each asked field its place among `fields`, where the image has it.
    pub(super) places: Arc<[Option<usize>]>,
}

impl<'v> PartFields<'v> {
    /// `None` where the image has none of the fields.
    pub(super) fn new(stored: &'v StoredPart, part: &'v Part, names: &[&str]) -> Option<Self> {
        let mut fields = Vec::new();
        let place = |name: &&str| {
            fields.push(part.field(name)?);
            Some(fields.len() - 1)
        };
        let places = names.iter().map(place).collect();
        (!fields.is_empty()).then_some(Self { stored, part, fields, places })
    }
}

/// A block that is wanted.
#[derive(Clone)]
pub(super) struct Wanted {
    pub(super) block: BlockRef,
    /// As a whole: it is one stream's, and all wanted fields have digests.
    pub(super) digest: bool,
}

impl Wanted {
    /// Whether the index knows enough of these fields to tell the block as a whole.
    pub(super) fn has_digests(&self, fields: &[FieldRef]) -> bool {
        let rows = self.block.rows();
        // Fewer values than rows are stale markers, and an infinite sum depends on the order.
        let known = |of: Aggregates| of.count == rows && of.sum.is_finite();
        let has_digest = |field: &FieldRef| !self.block.has(*field) || self.block.aggregates(*field).is_some_and(known);
        self.block.single().is_some() && fields.iter().all(has_digest)
    }
}

/// Decoded rows of streams that are still to be asked for.
struct Kept {
    /// The block's timestamp column, or the times of the runs where these are few of it.
    times: Arc<Vec<i64>>,
    /// Those of the runs, one run after the other; one list for each field of the reader, where the block has it.
    values: Vec<Option<Vec<f64>>>,
    /// The runs to come.
    runs: VecDeque<KeptRun>,
}

/// The rows of one stream among [`Kept`] ones.
struct KeptRun {
    stream: StreamId,
    /// Which of the timestamp column are theirs.
    times: Range<u32>,
    /// Where their values begin.
    first: u32,
}

impl Kept {
    fn of(block: &[Run<'_>], fields: usize) -> Self {
        let values_of = |field: usize| {
            let values: Option<Vec<&[f64]>> = block.iter().map(|run| run.values(field)).collect();
            Some(values?.concat())
        };
        let column = block.first().map(|run| Arc::clone(run.column().0)).unwrap_or_default();
        let are_few = block.iter().map(|run| run.times.len()).sum::<usize>() < column.len() / 2;
        let own = are_few.then(|| block.iter().map(|run| run.times).collect::<Vec<_>>().concat());
        let mut rows = 0;
        let run = |run: &Run<'_>| {
            let first = rows as u32;
            let times = if own.is_some() { rows..rows + run.times.len() } else { run.column().1 };
            rows += run.times.len();
            KeptRun { stream: run.stream, times: times.start as u32..times.end as u32, first }
        };
        let runs = block.iter().map(run).collect();
        Self { times: own.map_or(column, Arc::new), runs, values: (0..fields).map(values_of).collect() }
    }

    /// The rows of a stream, if it is the next one here.
    fn take(&mut self, stream: StreamId) -> Option<KeptRun> {
        self.runs.pop_front_if(|run| run.stream == stream)
    }

    fn times_of(&self, run: &KeptRun) -> (&Arc<Vec<i64>>, Range<usize>) {
        (&self.times, run.times.start as usize..run.times.end as usize)
    }

    fn values_of(&self, run: &KeptRun, field: usize) -> Option<&[f64]> {
        let first = run.first as usize;
        Some(&self.values[field].as_ref()?[first..first + run.times.len()])
    }

    /// Bytes it takes.
    fn size(&self) -> usize {
        let values: usize = self.values.iter().flatten().map(Vec::len).sum();
        size_of::<Self>() + (self.times.len() + values) * size_of::<f64>() + self.runs.capacity() * size_of::<KeptRun>()
    }
}

/// A part image's samples of some fields of one table, in a range. What cannot be read is left out, and told.
pub(super) struct PartCursor<'p> {
    view: &'p View,
    stored: &'p StoredPart,
    range: TimeRange,
    /// For each asked field its place among those of the reader, where the image has it.
    places: Arc<[Option<usize>]>,
    reader: BlockReader<'p>,
    /// The blocks to come, by first stream.
    blocks: VecDeque<Wanted>,
    /// Of blocks that hold several streams.
    kept: Vec<Kept>,
    /// Bytes of them.
    kept_size: usize,
    /// Values of the largest block so far, whose decoded columns the reader keeps.
    block_count: usize,
}

impl<'p> PartCursor<'p> {
    pub(super) fn new(view: &'p View, part: &PartFields<'p>, blocks: VecDeque<Wanted>, range: TimeRange) -> Self {
        Self {
            view,
            stored: part.stored,
            range,
            places: Arc::clone(&part.places),
            reader: part.part.reader(&part.fields),
            blocks,
            kept: Vec::new(),
            kept_size: 0,
            block_count: 0,
        }
    }

    /// The first stream it may have something of that was not asked for yet.
    pub(super) fn next_stream(&self) -> Option<StreamId> {
        let to_come = self.blocks.front().map(|next| next.block.stream_bounds().0);
        let kept = self.kept.iter().filter_map(|kept| Some(kept.runs.front()?.stream));
        kept.chain(to_come).min()
    }

    /// Adds the stream's rows to `columns`. Streams are asked for in ascending order, all from `streams`.
    pub(super) fn take(
        &mut self,
        stream: StreamId,
        streams: &RoaringBitmap,
        columns: &mut Columns,
        allowance: &dyn Allowance,
    ) -> Result<(), Stopped> {
        // Blocks of one stream and field come in ascending time, so those of one part make one run.
        let mut is_done = false;
        for kept in &mut self.kept {
            let Some(run) = kept.take(stream) else { continue };
            columns.push_shared(kept.times_of(&run), |field| kept.values_of(&run, self.places[field]?), allowance)?;
            is_done |= kept.runs.is_empty();
        }
        if is_done {
            let done = self.kept.extract_if(.., |kept| kept.runs.is_empty());
            self.kept_size -= done.map(|kept| kept.size()).sum::<usize>();
        }
        let asked = self.reader.fields().len();
        while let Some(Wanted { block, digest }) =
            self.blocks.pop_front_if(|next| next.block.stream_bounds().0 <= stream)
        {
            if digest {
                let fields = self.reader.fields();
                columns.push_digest(block.times(), |field| block.aggregates(fields[self.places[field]?]));
                continue;
            }
            allowance.check()?;
            self.block_count = self.block_count.max(block.rows() as usize * (asked + 1));
            let (samples, bytes) = block.cost(self.reader.fields());
            self.view.counters().block(samples, bytes);
            let mut damage = Vec::new();
            let rows = self.reader.read(&block, &mut damage);
            self.view.leave_out(self.stored, &damage);
            let mut runs = rows.select(streams, self.range).peekable();
            if let Some(run) = runs.next_if(|run| run.stream == stream) {
                columns.push_shared(run.column(), |field| run.values(self.places[field]?), allowance)?;
            }
            if runs.peek().is_some() {
                let kept = Kept::of(&runs.collect::<Vec<_>>(), asked);
                self.kept_size += kept.size();
                self.kept.push(kept);
            }
        }
        if self.blocks.is_empty() && self.block_count > 0 {
            self.reader.release();
            self.block_count = 0;
        }
        Ok(())
    }

    /// Bytes of decoded values that it keeps.
    pub(super) fn size(&self) -> usize {
        self.kept_size + self.block_count * size_of::<f64>()
    }
}
