//! One consistent view of the data: a set of part images, the generations in memory, and a sequence number.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use roaring::RoaringBitmap;

use super::{Error, Reads, Series, Source, part_cursor::PartCursor, reads::Counters};
use crate::{
    engine::{Engine, PartSet},
    index::Selection,
    memtable::{Generation, Merge},
    model::{FieldId, Labels, Matcher, Samples, SeqNo, StreamId, TimeRange, metric_name, start_bits, start_of_bits},
};

/// What a query sees: every batch up to a number, whatever is written meanwhile.
pub struct View {
    engine: Arc<Engine>,
    upto: SeqNo,
    generations: Arc<Vec<Arc<Generation>>>,
    parts: Arc<PartSet>,
    counters: Counters,
}

impl View {
    /// A view of everything that is visible now.
    pub fn new(engine: &Arc<Engine>) -> Self {
        let upto = engine.watermarks().visible;
        Self::upto(engine, upto)
    }

    /// A view of what is visible now and a power cut would leave.
    pub fn durable(engine: &Arc<Engine>) -> Self {
        let marks = engine.watermarks();
        // What was just made safe may not be shown yet, after a start above all.
        Self::upto(engine, marks.power_safe.min(marks.visible))
    }

    /// What its queries took so far.
    pub fn reads(&self) -> Reads {
        self.counters.reads()
    }

    /// The order matters: rows go from generations to parts, so whoever looks at generations first finds a row that
    /// moves meanwhile in one or in both. Found twice, it is the same row.
    fn upto(engine: &Arc<Engine>, upto: SeqNo) -> Self {
        let generations = engine.generations();
        let parts = engine.parts();
        Self { engine: Arc::clone(engine), upto, generations, parts, counters: Counters::default() }
    }

    /// The names of all labels of the series that pass the matchers and may have samples in the range; sorted.
    pub fn label_names(&self, matchers: &[Matcher], range: TimeRange) -> Vec<String> {
        let within = self.streams_in(range);
        let index = self.engine.index();
        index.streams.label_names(&index.schema, matchers, within.as_ref())
    }

    /// The values of a label of the series that pass the matchers and may have samples in the range; sorted.
    pub fn label_values(&self, name: &str, matchers: &[Matcher], range: TimeRange) -> Vec<String> {
        let within = self.streams_in(range);
        let index = self.engine.index();
        index.streams.label_values(&index.schema, name, matchers, within.as_ref())
    }

    /// The label sets of the series that pass the matchers and may have samples in the range; sorted.
    pub fn series(&self, matchers: &[Matcher], range: TimeRange) -> Vec<Labels> {
        let within = self.streams_in(range);
        let index = self.engine.index();
        index.streams.series(&index.schema, matchers, within.as_ref())
    }

    /// The streams that may have samples in a range, to the day; `None` for all.
    fn streams_in(&self, range: TimeRange) -> Option<RoaringBitmap> {
        if range == TimeRange::ALL {
            return None;
        }
        let mut streams = self.engine.days().streams_in(range);
        for stored in self.parts.in_range(range).filter(|stored| stored.file.is_none()) {
            // Pages that an earlier incarnation left are in no index part yet; they are few and soon become parts.
            streams |= self.engine.page_streams(stored.day);
        }
        for generation in self.generations.iter() {
            if generation.summary().times.is_some_and(|(first, last)| range.overlaps(first, last)) {
                let catalogue = self.engine.catalogue();
                let slots = generation.touched_slots().filter_map(|slot| catalogue.stream_at(slot));
                streams.extend(slots.map(|(_, stream)| stream.0));
            }
        }
        Some(streams)
    }
}

impl Source for View {
    fn select<'a>(
        &'a self,
        matchers: &'a [Matcher],
        range: TimeRange,
    ) -> Result<Box<dyn Iterator<Item = Result<Series, Error>> + 'a>, Error> {
        let index = self.engine.index();
        self.counters.begin(self.parts.iter().map(|stored| stored.part.summary().blocks).sum());
        let selections = index.streams.select(&index.schema, matchers, None);
        let mut collisions = Collisions::new(self, &selections);
        let mut selections = selections.into_iter();
        let mut walk: Option<Walk<'a>> = None;
        let mut ready: Vec<Series> = Vec::new();
        Ok(Box::new(std::iter::from_fn(move || {
            loop {
                if let Some(series) = ready.pop() {
                    return Some(Ok(series));
                }
                if let Some(current) = &mut walk {
                    match current.next_stream(&mut ready, &mut collisions) {
                        Ok(true) => continue,
                        Ok(false) => walk = None,
                        Err(error) => return Some(Err(error)),
                    }
                }
                match selections.next() {
                    Some(selection) => walk = Some(Walk::new(self, selection, range)),
                    None => match collisions.take() {
                        Some(series) => ready.push(series),
                        None => return None,
                    },
                }
            }
        })))
    }
}

/// Where a stream's samples may be, in sequence order.
enum Place<'v> {
    Part(Box<PartCursor<'v>>),
    Memory(&'v Generation),
}

/// The streams of one selection, in order.
struct Walk<'v> {
    view: &'v View,
    selection: Selection,
    streams: roaring::bitmap::IntoIter,
    range: TimeRange,
    places: Vec<Place<'v>>,
    merge: Merge,
}

impl<'v> Walk<'v> {
    fn new(view: &'v View, selection: Selection, range: TimeRange) -> Self {
        let schema = &view.engine.index().schema;
        let table = schema.table_name(selection.table);
        let fields = selection.fields.iter().chain(&selection.starts);
        let fields: Vec<&str> = fields.map(|field| schema.field_name(*field)).collect();
        let mut places: Vec<(SeqNo, Place<'v>)> = Vec::new();
        for stored in view.parts.in_range(range) {
            let cursor = PartCursor::new(stored, table, &fields, range, &view.counters);
            places.push((stored.numbers.0, Place::Part(Box::new(cursor))));
        }
        for generation in view.generations.iter() {
            if generation.summary().times.is_some_and(|(first, last)| range.overlaps(first, last)) {
                places.push((generation.first(), Place::Memory(generation)));
            }
        }
        places.sort_by_key(|(first, _)| *first);
        let places = places.into_iter().map(|(_, place)| place).collect();
        let streams = selection.streams.clone().into_iter();
        Self { view, selection, streams, range, places, merge: Merge::default() }
    }

    /// Reads the next stream's series. Whether there was one.
    fn next_stream(&mut self, ready: &mut Vec<Series>, collisions: &mut Collisions) -> Result<bool, Error> {
        let Some(stream) = self.streams.next().map(StreamId) else { return Ok(false) };
        // A place for each field, and the last one for start timestamps.
        let mut runs: Vec<Vec<Samples>> = vec![Vec::new(); self.selection.fields.len() + 1];
        for place in &mut self.places {
            match place {
                Place::Part(cursor) => cursor.take(stream, &self.selection.streams, &mut runs)?,
                Place::Memory(generation) => {
                    read_memory(self.view, generation, &self.selection, stream, self.range, &mut self.merge, &mut runs);
                }
            }
        }
        let starts = Samples::merge(runs.pop().expect("the place of start timestamps is the last"));
        if runs.iter().all(Vec::is_empty) {
            return Ok(true);
        }
        let index = self.view.engine.index();
        let key = index.key(stream);
        for (field, runs) in self.selection.fields.iter().zip(runs) {
            let samples = Samples::merge(runs);
            if samples.is_empty() {
                continue;
            }
            let labels = key.labels(index.schema.field_name(*field));
            let starts = starts_at(&samples.times, &starts);
            let series = Series { labels, times: samples.times, values: samples.values, starts };
            ready.extend(collisions.pass(stream, series));
        }
        Ok(true)
    }
}

fn read_memory(
    view: &View,
    generation: &Generation,
    selection: &Selection,
    stream: StreamId,
    range: TimeRange,
    merge: &mut Merge,
    runs: &mut [Vec<Samples>],
) {
    let Some(slot) = view.engine.catalogue().slot(selection.table, stream) else { return };
    let schema = &view.engine.index().schema;
    let fields_of = |layout| &*schema.layout(layout).fields;
    for group in merge.columns(generation, slot, (SeqNo(0), view.upto), range, fields_of) {
        for (field, values) in &group.fields {
            let place = match selection.fields.binary_search(field) {
                Ok(place) => Some(place),
                Err(_) => (selection.starts == Some(*field)).then_some(selection.fields.len()),
            };
            if let Some(place) = place {
                view.counters.memory(values.len());
                runs[place].push(Samples { times: group.times.clone(), values: values.clone() });
            }
        }
    }
}

/// The start timestamps of samples at `times`, 0 where there is none; empty where that is all there is.
fn starts_at(times: &[i64], starts: &Samples) -> Vec<i64> {
    if starts.is_empty() {
        return Vec::new();
    }
    let mut ahead = starts.times.iter().zip(&starts.values).peekable();
    let at = |time: &i64| {
        while ahead.next_if(|(start, _)| *start < time).is_some() {}
        ahead.next_if(|(start, _)| *start == time).map_or(0, |(_, &bits)| start_of_bits(bits))
    };
    let starts: Vec<i64> = times.iter().map(at).collect();
    if starts.iter().all(|&start| start == 0) { Vec::new() } else { starts }
}

/// Series that several (table, field) pairs can carry, through a coincidence of names. They are held back and put
/// together: where two streams have the same time, the greater stream id wins.
struct Collisions {
    names: HashSet<String>,
    held: BTreeMap<Labels, Vec<(StreamId, Series)>>,
}

impl Collisions {
    fn new(view: &View, selections: &[Selection]) -> Self {
        let schema = &view.engine.index().schema;
        let mut pairs: HashMap<String, HashSet<(crate::model::TableId, FieldId)>> = HashMap::new();
        for selection in selections {
            for field in &selection.fields {
                let name = metric_name(schema.table_name(selection.table), schema.field_name(*field));
                pairs.entry(name).or_default().insert((selection.table, *field));
            }
        }
        let names = pairs.into_iter().filter(|(_, pairs)| pairs.len() > 1).map(|(name, _)| name).collect();
        Self { names, held: BTreeMap::new() }
    }

    /// Gives a series back, or holds it if its name is one of those.
    fn pass(&mut self, stream: StreamId, series: Series) -> Option<Series> {
        if !self.names.contains(series.labels.metric()) {
            return Some(series);
        }
        self.held.entry(series.labels.clone()).or_default().push((stream, series));
        None
    }

    fn take(&mut self) -> Option<Series> {
        let (labels, mut held) = self.held.pop_first()?;
        held.sort_by_key(|(stream, _)| *stream);
        // A sample that wins brings its start along, or that it has none.
        let starts = |series: &Series| {
            let none = std::iter::repeat_n(0, series.times.len() - series.starts.len());
            let values = series.starts.iter().copied().chain(none).map(start_bits).collect();
            Samples { times: series.times.clone(), values }
        };
        let starts = match held.iter().all(|(_, series)| series.starts.is_empty()) {
            true => Samples::default(),
            false => Samples::merge(held.iter().map(|(_, series)| starts(series)).collect()),
        };
        let runs = held.into_iter().map(|(_, series)| Samples { times: series.times, values: series.values });
        let samples = Samples::merge(runs.collect());
        let starts = starts_at(&samples.times, &starts);
        Some(Series { labels, times: samples.times, values: samples.values, starts })
    }
}
