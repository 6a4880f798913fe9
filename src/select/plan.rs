//! What a selection needs, cut into batches that threads can read independently.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use roaring::RoaringBitmap;

use super::{
    Batch, Request, View,
    collisions::shared_names,
    digests,
    part_cursor::{PartFields, Wanted},
    walk::{self, LOOK, Place, Portion, fields_and_starts},
};
use crate::{
    index::Selection,
    memtable::Generation,
    model::{Allowance, SeqNo, Stopped, TimeRange, sort_copies_by, turns::Pace},
};

/// Rows of a batch. Reading them takes some 0.7 ms, which is worth handing to a thread and what a batch alone decodes, such
/// as timestamps; and where blocks hold many streams, few of them are cut in two and so read by two batches.
const ROWS_MIN: f64 = 262_144.0;
/// Batches that are enough where rows are in blocks of many streams. Each decodes every such block that has one of its
/// streams, and where many small images hold the same streams, as commits do that were not folded yet, these are all blocks.
const BATCHES_ENOUGH: f64 = 4.0;
/// Values that such a batch may have decoded for the streams to come: 64 MiB.
const VALUES_MAX: f64 = 8_388_608.0;
/// What a stream in memory is taken to have: some rows, and a look-up.
const ROWS_IN_MEMORY: f64 = 128.0;

/// The batches of what was selected.
pub(super) fn batches<'v>(
    view: &'v View,
    selections: Vec<Selection>,
    request: &Request<'v>,
) -> Result<Vec<Batch<'v>>, Stopped> {
    let names = shared_names(&view.index().schema, &selections);
    // Where the samples of several streams make one series, which of them count is known sample by sample.
    let request = &Request { digestible: request.digestible.filter(|_| names.is_empty()), ..*request };
    let mut portions = Vec::new();
    for selection in selections {
        portions.extend(cut(view, &Arc::new(selection), request)?);
    }
    let batch = |portions, names| Ok(Box::new(walk::series(view, portions, request, names)?) as Batch<'v>);
    if !names.is_empty() {
        return Ok(vec![batch(portions, names)?]);
    }
    portions.into_iter().map(|portion| batch(vec![portion], HashSet::new())).collect()
}

/// A place of a whole selection.
pub(super) enum Source<'v> {
    Part(Arc<PartFields<'v>>, Vec<Wanted>),
    Memory(&'v Generation),
}

impl Source<'_> {
    /// The first and last time of all it has, of whatever streams; `None` of nothing.
    pub(super) fn span(&self) -> Option<(i64, i64)> {
        match self {
            Self::Part(part, _) => {
                let summary = &part.stored.summary;
                Some((summary.min_time, summary.max_time))
            }
            Self::Memory(generation) => generation.summary().times,
        }
    }
}

/// Cuts a selection by streams.
fn cut<'v>(view: &'v View, selection: &Arc<Selection>, request: &Request<'_>) -> Result<Vec<Portion<'v>>, Stopped> {
    let allowance = request.allowance;
    let mut sources = sources(view, selection, request.range, allowance)?;
    if let Some(digestible) = request.digestible
        && selection.starts.is_none()
    {
        digests::mark(&mut sources, digestible, allowance)?;
    }
    let streams_max = (request.series_max / selection.fields.len()).max(1);
    let columns = fields_and_starts(selection).count() + 1;
    let bounds = bounds(&selection.streams, &sources, columns, streams_max, allowance)?;
    let mut portions: Vec<Portion<'v>> = Vec::with_capacity(bounds.len());
    for &(first, last) in &bounds {
        allowance.check()?;
        let streams = RoaringBitmap::from_sorted_iter(selection.streams.range(first..=last));
        let streams = streams.expect("a bitmap is in order");
        portions.push(Portion { selection: Arc::clone(selection), streams, places: Vec::new() });
    }
    let mut pace = Pace::default();
    for source in sources {
        allowance.check()?;
        match source {
            Source::Memory(generation) => {
                portions.iter_mut().for_each(|portion| portion.places.push(Place::Memory(generation)));
            }
            Source::Part(part, blocks) => {
                let mut lists = vec![VecDeque::new(); bounds.len()];
                for block in blocks {
                    let (first, last) = block.block.stream_bounds();
                    let from = bounds.partition_point(|&(_, bound)| bound < first.0);
                    let to = bounds.partition_point(|&(bound, _)| bound <= last.0);
                    pace.step(LOOK + to - from, allowance)?;
                    for list in &mut lists[from..to] {
                        // Mostly it is the only one.
                        list.reserve_exact(usize::from(list.is_empty()));
                        list.push_back(block.clone());
                    }
                }
                for (portion, blocks) in portions.iter_mut().zip(lists).filter(|(_, blocks)| !blocks.is_empty()) {
                    portion.places.push(Place::Part(Arc::clone(&part), blocks));
                }
            }
        }
    }
    Ok(portions)
}

/// Where the samples of a selection may be, in sequence order. What cannot be read is left out, and told.
fn sources<'v>(
    view: &'v View,
    selection: &Selection,
    range: TimeRange,
    allowance: &dyn Allowance,
) -> Result<Vec<Source<'v>>, Stopped> {
    let schema = &view.index().schema;
    let table = schema.table_name(selection.table);
    let names: Vec<&str> = fields_and_starts(selection).map(|field| schema.field_name(field)).collect();
    let mut sources: Vec<(SeqNo, Source<'v>)> = Vec::new();
    for stored in view.parts_in(range) {
        allowance.check()?;
        let part = match stored.part() {
            Ok(part) => PartFields::new(stored, part, &names),
            Err(damage) => {
                view.leave_out(stored, std::slice::from_ref(&*damage));
                None
            }
        };
        let Some(part) = part else { continue };
        let mut damage = Vec::new();
        let blocks = part.part.blocks(table, &selection.streams, Some(&part.fields), range, &mut damage);
        view.leave_out(stored, &damage);
        if !blocks.is_empty() {
            let blocks = blocks.into_iter().map(|block| Wanted { block, digest: false }).collect();
            sources.push((stored.numbers.0, Source::Part(Arc::new(part), blocks)));
        }
    }
    for generation in view.generations_in(range) {
        sources.push((generation.first(), Source::Memory(generation)));
    }
    sources.sort_by_key(|(first, _)| *first);
    Ok(sources.into_iter().map(|(_, source)| source).collect())
}

/// How many more rows are to be read from a stream on.
#[derive(Clone, Copy)]
struct Change {
    stream: u32,
    /// Of this stream alone.
    rows: f64,
    /// Of this one and each behind it.
    rate: f64,
}

/// The first and last stream of each batch, ascending. `columns` are decoded of each block, that of timestamps among them.
fn bounds(
    streams: &RoaringBitmap,
    sources: &[Source<'_>],
    columns: usize,
    streams_max: usize,
    allowance: &dyn Allowance,
) -> Result<Vec<(u32, u32)>, Stopped> {
    let in_memory = sources.iter().filter(|source| matches!(source, Source::Memory(_))).count() as f64 * ROWS_IN_MEMORY;
    let blocks = sources.iter().filter_map(|source| match source {
        Source::Part(_, blocks) => Some(blocks),
        Source::Memory(_) => None,
    });
    let (mut changes, mut gathered, mut total) = (Vec::new(), 0.0, streams.len() as f64 * in_memory);
    let mut pace = Pace::default();
    for Wanted { block, digest } in blocks.flatten() {
        pace.step(LOOK, allowance)?;
        let rows = if *digest { 1.0 } else { f64::from(block.rows()) };
        total += rows;
        let (first, last) = block.stream_bounds();
        if first == last {
            changes.push(Change { stream: first.0, rows, rate: 0.0 });
            continue;
        }
        // Its rows are taken to be evenly among its streams.
        gathered += rows;
        let rate = rows / streams.range_cardinality(first.0..=last.0).max(1) as f64;
        changes.push(Change { stream: first.0, rows: 0.0, rate });
        changes.push(Change { stream: last.0.saturating_add(1), rows: 0.0, rate: -rate });
    }
    sort_copies_by(&mut changes, |a, b| a.stream.cmp(&b.stream), |_| allowance.check())?;
    let rows_max = ROWS_MIN.max((gathered / BATCHES_ENOUGH).min(VALUES_MAX / columns as f64));
    // Of no rows it is no number, and all streams are one batch.
    let rows_each = total / (total / rows_max).ceil();
    let mut changes = changes.into_iter().peekable();
    let mut bounds = Vec::new();
    let (mut first, mut count, mut rows, mut rate) = (None, 0, 0.0, in_memory);
    for stream in streams {
        pace.step(1, allowance)?;
        count += 1;
        while let Some(change) = changes.next_if(|change| change.stream <= stream) {
            rows += change.rows;
            rate += change.rate;
        }
        rows += rate;
        let start = *first.get_or_insert(stream);
        if count >= streams_max || rows >= rows_each {
            bounds.push((start, stream));
            (first, count, rows) = (None, 0, 0.0);
        }
    }
    if let Some(start) = first {
        bounds.push((start, streams.max().expect("there is a stream")));
    }
    Ok(bounds)
}
