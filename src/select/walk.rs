//! Reading a batch: stream by stream, from parts and memory, to series.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashSet, VecDeque, binary_heap::PeekMut},
    sync::Arc,
};

use roaring::RoaringBitmap;

use super::{
    Error, Request, Series, View,
    collisions::Collisions,
    columns::Columns,
    part_cursor::{PartCursor, PartFields, Wanted},
};
use crate::{
    index::Selection,
    memtable::{Generation, Merge},
    model::{Allowance, FieldId, Holding, SeqNo, Slot, Stopped, StreamId, TableId, TimeRange, turns::Pace},
};

/// What it costs to look at a place for a stream, or to begin with it, in samples copied.
pub(super) const LOOK: usize = 64;

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
    Part(Arc<PartFields<'v>>, VecDeque<Wanted>),
    /// In memory.
    Memory(&'v Generation),
}

impl Portion<'_> {
    /// Bytes that the plan of it takes.
    fn size(&self) -> usize {
        let of = |place: &Place<'_>| match place {
            Place::Part(_, blocks) => blocks.capacity() * size_of::<Wanted>(),
            Place::Memory(_) => 0,
        };
        self.places.iter().map(of).sum::<usize>() + self.places.capacity() * size_of::<Place<'_>>()
    }
}

/// Reads the series of some portions, one portion after the other. Series whose metric name is in `shared_names` are put
/// together and come last.
pub(super) fn series<'v>(
    view: &'v View,
    portions: Vec<Portion<'v>>,
    request: &Request<'v>,
    shared_names: HashSet<String>,
) -> Result<impl Iterator<Item = Result<Series, Error>> + Send + 'v, Stopped> {
    let Request { range, allowance, .. } = *request;
    let mut held = Holding::new(allowance);
    let planned: usize = portions.iter().map(Portion::size).sum();
    held.set(planned)?;
    let mut portions = portions.into_iter();
    let mut walk: Option<Walk<'v>> = None;
    let mut ready: Vec<Series> = Vec::new();
    let mut collisions = Collisions::default();
    Ok(std::iter::from_fn(move || {
        loop {
            if let Some(series) = ready.pop() {
                return Some(Ok(series));
            }
            if let Some(current) = &mut walk {
                let more = current.next_stream(allowance, |stream, series| {
                    if shared_names.contains(series.labels.metric()) {
                        collisions.hold(stream, series);
                    } else {
                        ready.push(series);
                    }
                });
                let waiting: usize = ready.iter().map(Series::size).sum();
                let more = more
                    .and_then(|more| held.set(planned + current.size() + collisions.size() + waiting).map(|()| more));
                match more {
                    Ok(true) => continue,
                    Ok(false) => {}
                    Err(stopped) => return Some(Err(stopped.into())),
                }
            }
            walk = match portions.next().map(|portion| Walk::new(view, portion, range, allowance)).transpose() {
                Ok(Some(walk)) => Some(walk),
                Ok(None) => return collisions.take(allowance).map_err(Error::from).transpose(),
                Err(stopped) => return Some(Err(stopped.into())),
            };
        }
    }))
}

/// Where samples may be, on the way through it.
enum Cursor<'v> {
    Part(Box<PartCursor<'v>>),
    Memory(&'v Generation),
}

/// The streams of a portion, in order.
struct Walk<'v> {
    view: &'v View,
    table: TableId,
    /// That of start timestamps last, where there are any.
    fields: Vec<FieldId>,
    has_starts: bool,
    /// All of them.
    wanted: RoaringBitmap,
    /// Those to come.
    streams: roaring::bitmap::IntoIter,
    range: TimeRange,
    /// In sequence order.
    cursors: Vec<Cursor<'v>>,
    /// The cursors of part images by the next stream that each may have something of: of very many images, each with few
    /// streams, most have nothing to do for a stream.
    next: BinaryHeap<Reverse<(StreamId, usize)>>,
    /// Those in memory, which may have something of any.
    in_memory: Vec<usize>,
    /// Those that may have something of the stream that is read.
    due: Vec<usize>,
    /// Bytes that the cursors keep.
    kept: usize,
    merge: Merge,
    columns: Columns,
    pace: Pace,
}

impl<'v> Walk<'v> {
    fn new(view: &'v View, portion: Portion<'v>, range: TimeRange, allowance: &dyn Allowance) -> Result<Self, Stopped> {
        let (mut cursors, mut pace) = (Vec::with_capacity(portion.places.len()), Pace::default());
        let (mut next, mut in_memory) = (BinaryHeap::new(), Vec::new());
        for (number, place) in portion.places.into_iter().enumerate() {
            pace.step(LOOK, allowance)?;
            cursors.push(match place {
                Place::Part(part, blocks) => {
                    let cursor = Box::new(PartCursor::new(view, &part, blocks, range));
                    next.extend(cursor.next_stream().map(|next| Reverse((next, number))));
                    Cursor::Part(cursor)
                }
                Place::Memory(generation) => {
                    in_memory.push(number);
                    Cursor::Memory(generation)
                }
            });
        }
        Ok(Self {
            view,
            table: portion.selection.table,
            fields: fields_and_starts(&portion.selection).collect(),
            has_starts: portion.selection.starts.is_some(),
            streams: portion.streams.clone().into_iter(),
            wanted: portion.streams,
            range,
            cursors,
            next,
            in_memory,
            due: Vec::new(),
            kept: 0,
            merge: Merge::default(),
            columns: Columns::default(),
            pace,
        })
    }

    /// Reads the next stream's series, if any. Whether there was a stream.
    fn next_stream(
        &mut self,
        allowance: &dyn Allowance,
        mut sink: impl FnMut(StreamId, Series),
    ) -> Result<bool, Stopped> {
        let Some(stream) = self.streams.next().map(StreamId) else { return Ok(false) };
        self.columns.begin(self.fields.len());
        self.find_due(stream);
        self.pace.step(LOOK, allowance)?;
        for &place in &self.due {
            self.pace.step(LOOK, allowance)?;
            match &mut self.cursors[place] {
                Cursor::Part(cursor) => {
                    let before = cursor.size();
                    let taken = cursor.take(stream, &self.wanted, &mut self.columns, allowance);
                    self.kept = self.kept + cursor.size() - before;
                    taken?;
                    self.next.extend(cursor.next_stream().map(|next| Reverse((next, place))));
                }
                Cursor::Memory(generation) => {
                    let (merge, columns) = (&mut self.merge, &mut self.columns);
                    let Some(slot) = self.view.slot(self.table, stream) else { continue };
                    let asked = (&*self.fields, self.range, allowance);
                    read_memory(self.view, generation, slot, asked, merge, columns)?;
                }
            }
        }
        let index = self.view.index();
        let mut key = None;
        self.columns.finish(self.has_starts, allowance, |field, times, values, starts, digests| {
            let key = key.get_or_insert_with(|| index.key(stream));
            let labels = key.labels(index.schema.field_name(self.fields[field]));
            sink(stream, Series { labels, times, values, starts, digests });
        })?;
        Ok(true)
    }

    /// Finds the cursors that may have something of a stream, in sequence order.
    fn find_due(&mut self, stream: StreamId) {
        self.due.clear();
        while let Some(next) = self.next.peek_mut().filter(|next| next.0.0 <= stream) {
            self.due.push(PeekMut::pop(next).0.1);
        }
        self.due.extend(&self.in_memory);
        self.due.sort_unstable();
    }

    /// Bytes of what it keeps from stream to stream.
    fn size(&self) -> usize {
        let cursors = self.cursors.len() * size_of::<PartCursor<'_>>();
        self.columns.size() + self.merge.size() + cursors + self.kept
    }
}

/// The fields of a selection, and behind them that of start timestamps where there are any.
pub(super) fn fields_and_starts(selection: &Selection) -> impl Iterator<Item = FieldId> {
    selection.fields.iter().chain(&selection.starts).copied()
}

fn read_memory(
    view: &View,
    generation: &Generation,
    slot: Slot,
    (fields, range, allowance): (&[FieldId], TimeRange, &dyn Allowance),
    merge: &mut Merge,
    columns: &mut Columns,
) -> Result<(), Stopped> {
    let schema = &view.index().schema;
    let fields_of = |layout| &*schema.layout(layout).fields;
    let numbers = (SeqNo(0), view.last());
    for group in merge.allowed_columns(generation, slot, numbers, range, fields_of, allowance)? {
        allowance.check()?;
        let values = |place: usize| {
            let found = group.fields.binary_search_by_key(&fields[place], |(field, _)| *field).ok()?;
            view.counters().memory(group.times.len());
            Some(&*group.fields[found].1)
        };
        columns.push(&group.times, values, allowance)?;
    }
    allowance.check()
}
