//! Reading one part image stream by stream, in order, each block decoded once.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use roaring::RoaringBitmap;

use super::{Error, reads::Counters};
use crate::{
    engine::StoredPart,
    model::{Samples, StreamId, TimeRange},
    parts::{BlockReader, BlockRef},
};

/// A part image's samples of some fields of one table, in a range.
pub(crate) struct PartCursor<'p> {
    stored: &'p Arc<StoredPart>,
    table: String,
    range: TimeRange,
    /// For each field of the reader, its place in the question.
    places: Vec<usize>,
    reader: Option<BlockReader<'p>>,
    /// The blocks to come, by first stream; `None` until the first stream is asked for.
    blocks: Option<VecDeque<BlockRef>>,
    /// Decoded rows of streams that are still to be asked for: place and samples.
    decoded: BTreeMap<StreamId, Vec<(usize, Samples)>>,
    counters: &'p Counters,
}

impl<'p> PartCursor<'p> {
    pub(super) fn new(
        stored: &'p Arc<StoredPart>,
        table: &str,
        fields: &[&str],
        range: TimeRange,
        counters: &'p Counters,
    ) -> Self {
        let known = fields.iter().enumerate().filter_map(|(place, name)| Some((place, stored.part.field(name)?)));
        let (places, refs): (Vec<_>, Vec<_>) = known.unzip();
        let reader = (!refs.is_empty()).then(|| stored.part.reader(&refs));
        let (table, blocks, decoded) = (table.to_owned(), None, BTreeMap::new());
        Self { stored, table, range, places, reader, blocks, decoded, counters }
    }

    /// Adds the stream's samples to `runs`, by place. Streams are asked for in ascending order, all from `streams`.
    pub(crate) fn take(
        &mut self,
        stream: StreamId,
        streams: &RoaringBitmap,
        runs: &mut [Vec<Samples>],
    ) -> Result<(), Error> {
        let Some(reader) = &mut self.reader else { return Ok(()) };
        if self.blocks.is_none() {
            let blocks = self.stored.part.blocks(&self.table, streams, Some(reader.fields()), self.range);
            self.blocks = Some(blocks.map_err(|error| Error::Storage(Box::new(error)))?.into());
        }
        let blocks = self.blocks.as_mut().expect("set just above");
        while let Some(block) = blocks.pop_front_if(|block| block.stream_bounds().0 <= stream) {
            let (samples, bytes) = block.cost(reader.fields());
            self.counters.block(samples, bytes);
            let rows = match reader.read(&block) {
                Ok(rows) => rows,
                Err(error) => {
                    // The rest is served: one bad block must not take a whole query with it.
                    tracing::error!("a block is passed over: {error}");
                    continue;
                }
            };
            for run in rows.select(streams, self.range) {
                let held = self.decoded.entry(run.stream).or_default();
                for (asked, place) in self.places.iter().enumerate() {
                    if let Some(values) = run.values(asked) {
                        held.push((*place, Samples { times: run.times.to_vec(), values: values.to_vec() }));
                    }
                }
            }
        }
        for (place, samples) in self.decoded.remove(&stream).into_iter().flatten() {
            // Blocks of one stream and field come in ascending time, so those of one part make one run.
            runs[place].push(samples);
        }
        Ok(())
    }
}
