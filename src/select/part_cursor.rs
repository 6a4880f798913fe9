//! Reading one part image stream by stream, in order, each block decoded once.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use roaring::RoaringBitmap;

use super::{View, columns::Columns};
use crate::{
    engine::StoredPart,
    model::{Allowance, Stopped, StreamId, TimeRange},
    parts::{Aggregates, BlockReader, BlockRef, FieldRef, Part},
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

/// Decoded rows of a stream that is still to be asked for.
struct Kept {
    times: Vec<i64>,
    /// One for each field of the reader, where the block has it.
    values: Vec<Option<Vec<f64>>>,
}

impl Kept {
    /// How many times and values it has.
    fn count(&self) -> usize {
        self.times.len() * (1 + self.values.iter().flatten().count())
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
    /// Rows of blocks that hold several streams.
    decoded: BTreeMap<StreamId, Vec<Kept>>,
    /// Values in them.
    decoded_count: usize,
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
            decoded: BTreeMap::new(),
            decoded_count: 0,
            block_count: 0,
        }
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
        for kept in self.decoded.remove(&stream).into_iter().flatten() {
            columns.push(&kept.times, |field| kept.values[self.places[field]?].as_deref(), allowance)?;
            self.decoded_count -= kept.count();
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
            for run in rows.select(streams, self.range) {
                if run.stream == stream {
                    columns.push_shared(run.column(), |field| run.values(self.places[field]?), allowance)?;
                } else {
                    let values = (0..asked).map(|field| run.values(field).map(<[f64]>::to_vec)).collect();
                    let kept = Kept { times: run.times.to_vec(), values };
                    self.decoded_count += kept.count();
                    self.decoded.entry(run.stream).or_default().push(kept);
                }
            }
        }
        Ok(())
    }

    /// Bytes of decoded values that it keeps.
    pub(super) fn size(&self) -> usize {
        (self.decoded_count + self.block_count) * size_of::<f64>() + self.decoded.len() * size_of::<Kept>()
    }
}
