//! Reading a batch: stream by stream, from parts and memory, to series.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use roaring::RoaringBitmap;

use super::{
    Error, Series, View,
    collisions::Collisions,
    columns::Columns,
    part_cursor::{PartCursor, PartFields},
};
use crate::{
    index::Selection,
    memtable::{Generation, Merge},
    model::{SeqNo, StreamId, TimeRange},
    parts::BlockRef,
};

/// Some streams of a selection, and where their samples are.
pub(super) struct Portion<'v> {
    pub(super) selection: Arc<Selection>,
    pub(super) streams: RoaringBitmap,
    /// In sequence order.
    pub(super) places: Vec<Place<'v>>,
}

/// Where samples may be.
pub(super) enum Place<'v> {
    /// In these blocks of a part image, which are by first stream.
    Part(Arc<PartFields<'v>>, VecDeque<BlockRef>),
    /// In memory.
    Memory(&'v Generation),
}

/// Reads the series of some portions, one portion after the other. Series whose metric name is in `shared_names` are put
/// together and come last.
pub(super) fn series<'v>(
    view: &'v View,
    portions: Vec<Portion<'v>>,
    range: TimeRange,
    shared_names: HashSet<String>,
) -> impl Iterator<Item = Result<Series, Error>> + Send + 'v {
    let mut portions = portions.into_iter();
    let mut walk: Option<Walk<'v>> = None;
    let mut ready: Vec<Series> = Vec::new();
    let mut collisions = Collisions::default();
    std::iter::from_fn(move || {
        loop {
            if let Some(series) = ready.pop() {
                return Some(Ok(series));
            }
            if let Some(current) = &mut walk {
                let more = current.next_stream(|stream, series| {
                    if shared_names.contains(series.labels.metric()) {
                        collisions.hold(stream, series);
                    } else {
                        ready.push(series);
                    }
                });
                if more {
                    continue;
                }
            }
            walk = portions.next().map(|portion| Walk::new(view, portion, range));
            if walk.is_none() {
                return collisions.take().map(Ok);
            }
        }
    })
}

/// Where samples may be, on the way through it.
enum Cursor<'v> {
    Part(Box<PartCursor<'v>>),
    Memory(&'v Generation),
}

/// The streams of a portion, in order.
struct Walk<'v> {
    view: &'v View,
    selection: Arc<Selection>,
    /// All of them.
    wanted: RoaringBitmap,
    /// Those to come.
    streams: roaring::bitmap::IntoIter,
    range: TimeRange,
    cursors: Vec<Cursor<'v>>,
    merge: Merge,
    columns: Columns,
}

impl<'v> Walk<'v> {
    fn new(view: &'v View, portion: Portion<'v>, range: TimeRange) -> Self {
        let cursor = |place| match place {
            Place::Part(part, blocks) => Cursor::Part(Box::new(PartCursor::new(&part, blocks, range))),
            Place::Memory(generation) => Cursor::Memory(generation),
        };
        Self {
            view,
            selection: portion.selection,
            streams: portion.streams.clone().into_iter(),
            wanted: portion.streams,
            range,
            cursors: portion.places.into_iter().map(cursor).collect(),
            merge: Merge::default(),
            columns: Columns::default(),
        }
    }

    /// Reads the next stream's series, if any. Whether there was a stream.
    fn next_stream(&mut self, mut sink: impl FnMut(StreamId, Series)) -> bool {
        let Some(stream) = self.streams.next().map(StreamId) else { return false };
        self.columns.begin(self.selection.fields.len());
        for cursor in &mut self.cursors {
            match cursor {
                Cursor::Part(cursor) => cursor.take(stream, &self.wanted, &mut self.columns),
                Cursor::Memory(generation) => {
                    let (merge, columns) = (&mut self.merge, &mut self.columns);
                    read_memory(self.view, generation, &self.selection, stream, self.range, merge, columns);
                }
            }
        }
        let index = self.view.index();
        let mut key = None;
        self.columns.finish(|field, times, values| {
            let key = key.get_or_insert_with(|| index.key(stream));
            let labels = key.labels(index.schema.field_name(self.selection.fields[field]));
            sink(stream, Series { labels, times, values });
        });
        true
    }
}

fn read_memory(
    view: &View,
    generation: &Generation,
    selection: &Selection,
    stream: StreamId,
    range: TimeRange,
    merge: &mut Merge,
    columns: &mut Columns,
) {
    let Some(slot) = view.slot(selection.table, stream) else { return };
    let schema = &view.index().schema;
    let fields_of = |layout| &*schema.layout(layout).fields;
    for group in merge.columns(generation, slot, (SeqNo(0), view.last()), range, fields_of) {
        columns.push(&group.times, |field| {
            let field = selection.fields[field];
            let place = group.fields.binary_search_by_key(&field, |(other, _)| *other).ok()?;
            Some(&group.fields[place].1)
        });
    }
}
