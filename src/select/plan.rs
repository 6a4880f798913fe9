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
    walk::{self, Place, Portion, fields_and_starts},
};
use crate::{
    index::Selection,
    memtable::Generation,
    model::{Allowance, SeqNo, Stopped, TimeRange},
};

/// Rows of a batch. Reading them takes some 0.7 ms, which is worth handing to a thread and what a batch alone decodes, such
/// as timestamps; and where blocks hold many streams, few of them are cut in two and so read by two batches.
const ROWS_MIN: u64 = 256 << 10;
/// What a stream in memory is taken to have: some rows, and a look-up.
const ROWS_IN_MEMORY: u64 = 128;

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
    let batch = |portions, names| Box::new(walk::series(view, portions, request, names)) as Batch<'v>;
    if !names.is_empty() {
        return Ok(vec![batch(portions, names)]);
    }
    Ok(portions.into_iter().map(|portion| batch(vec![portion], HashSet::new())).collect())
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
    let bounds = bounds(&selection.streams, &sources, streams_max, allowance)?;
    let mut portions: Vec<Portion<'v>> = Vec::with_capacity(bounds.len());
    for &(first, last) in &bounds {
        allowance.check()?;
        let streams = RoaringBitmap::from_sorted_iter(selection.streams.range(first..=last));
        let streams = streams.expect("a bitmap is in order");
        portions.push(Portion { selection: Arc::clone(selection), streams, places: Vec::new() });
    }
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
                    lists[from..to].iter_mut().for_each(|list| list.push_back(block.clone()));
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

/// The first and last stream of each batch, ascending.
fn bounds(
    streams: &RoaringBitmap,
    sources: &[Source<'_>],
    streams_max: usize,
    allowance: &dyn Allowance,
) -> Result<Vec<(u32, u32)>, Stopped> {
    let in_memory = sources.iter().filter(|source| matches!(source, Source::Memory(_))).count() as u64;
    let blocks = sources.iter().filter_map(|source| match source {
        Source::Part(_, blocks) => Some(blocks),
        Source::Memory(_) => None,
    });
    let rows = |wanted: &Wanted| if wanted.digest { 1 } else { u64::from(wanted.block.rows()) };
    let weight = |wanted: &Wanted| (wanted.block.stream_bounds().0.0, rows(wanted));
    let mut weights: Vec<(u32, u64)> = blocks.flatten().map(weight).collect();
    weights.sort_unstable_by_key(|&(stream, _)| stream);
    let mut weights = weights.into_iter().peekable();
    let mut bounds = Vec::new();
    let (mut first, mut count, mut rows) = (None, 0, 0);
    for stream in streams {
        count += 1;
        rows += in_memory * ROWS_IN_MEMORY;
        while let Some((_, more)) = weights.next_if(|&(from, _)| from <= stream) {
            rows += more;
        }
        let start = *first.get_or_insert(stream);
        if count >= streams_max || rows >= ROWS_MIN {
            allowance.check()?;
            bounds.push((start, stream));
            (first, count, rows) = (None, 0, 0);
        }
    }
    if let Some(start) = first {
        bounds.push((start, streams.max().expect("there is a stream")));
    }
    Ok(bounds)
}
