//! Matchers to series: tables, fields and streams.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::RwLockReadGuard;
use roaring::RoaringBitmap;

use super::{
    Schema, Streams,
    postings::StreamSet,
    streams::{Inner, TableStreams},
};
use crate::model::{
    Allowance, FieldId, METRIC_NAME, MatchOp, Matcher, START_FIELD, Stopped, StreamId, TableId, metric_name,
    sort_copies_by,
    turns::{keep_last, turns},
};

/// Streams of one table, each of which was seen with all of the fields. A stream is in at most one selection of an
/// answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Selection {
    /// The table.
    pub table: TableId,
    /// The fields whose metric name passes, by id; at least one. Never the one of start timestamps.
    pub fields: Vec<FieldId>,
    /// The field of start timestamps, where any row of the table has one.
    pub starts: Option<FieldId>,
    /// The streams; at least one.
    pub streams: RoaringBitmap,
}

/// What matchers find before it is told which stream has which field.
pub(super) struct Found<'a> {
    pub(super) guard: Guard<'a>,
    /// Tables and those of their fields whose metric name passes, by id.
    pub(super) tables: Vec<(TableId, Vec<FieldId>)>,
    /// Streams whose labels pass, some of them of other tables.
    pub(super) streams: RoaringBitmap,
}

/// After how many values or streams a reader lets writers pass: about 0.1 ms of matching a pattern.
pub(super) const STRIDE: usize = 1024;

/// Looking at a stream's key costs about as much as looking at this many values of a label.
const VALUES_PER_KEY: u64 = 4;

pub(super) type Guard<'a> = RwLockReadGuard<'a, Inner>;

impl Streams {
    /// The series that pass all matchers, of the streams in `within` where that is given (those with samples in the
    /// asked time).
    pub fn select(
        &self,
        schema: &Schema,
        matchers: &[Matcher],
        within: Option<&RoaringBitmap>,
        allowance: &dyn Allowance,
    ) -> Result<Vec<Selection>, Stopped> {
        let Found { guard, tables, streams } = self.find(schema, matchers, within, allowance)?;
        let starts = schema.field(START_FIELD);
        let mut selections = Vec::new();
        for (table, fields) in &tables {
            allowance.check()?;
            selections.extend(split(&guard, *table, fields, starts, &streams));
        }
        Ok(selections)
    }

    /// What the matchers on metric names and those on other labels pass, each on its own.
    pub(super) fn find(
        &self,
        schema: &Schema,
        matchers: &[Matcher],
        within: Option<&RoaringBitmap>,
        allowance: &dyn Allowance,
    ) -> Result<Found<'_>, Stopped> {
        allowance.check()?;
        let mut guard = self.read();
        let (on_names, on_streams): (Vec<_>, Vec<_>) = matchers.iter().partition(|m| &*m.name == METRIC_NAME);
        let tables = passing_fields(&guard, schema, &on_names);
        let streams = match within {
            Some(within) if on_streams.is_empty() => within.clone(),
            within => {
                let mut streams = RoaringBitmap::new();
                tables.iter().for_each(|(table, _)| streams |= &guard.tables[table.0 as usize].all);
                within.into_iter().for_each(|within| streams &= within);
                narrow(&mut guard, streams, on_streams, allowance)?
            }
        };
        Ok(Found { guard, tables, streams })
    }
}

/// The tables and those of their fields whose metric name passes.
fn passing_fields(inner: &Inner, schema: &Schema, matchers: &[&Matcher]) -> Vec<(TableId, Vec<FieldId>)> {
    let exact = matchers.iter().find(|matcher| matcher.op == MatchOp::Equal && !matcher.value.is_empty());
    let tables: Vec<_> = match exact {
        Some(matcher) => tables_of_name(schema, &matcher.value).collect(),
        None => (0..inner.tables.len() as u32).map(TableId).collect(),
    };
    let starts = schema.field(START_FIELD);
    let passes = |table: TableId, field: FieldId| {
        // Without matchers, no name need be made.
        matchers.is_empty() || {
            let name = metric_name(schema.table_name(table), schema.field_name(field));
            matchers.iter().all(|matcher| matcher.matches(&name))
        }
    };
    let fields = |table: TableId| {
        let known = inner.tables.get(table.0 as usize).map(|streams| &streams.fields);
        known
            .into_iter()
            .flatten()
            .copied()
            .filter(|field| Some(*field) != starts && passes(table, *field))
            .collect::<Vec<_>>()
    };
    tables.into_iter().map(|table| (table, fields(table))).filter(|(_, fields)| !fields.is_empty()).collect()
}

/// The tables that may carry a metric of this name: their own name is the whole of it or ends before one of its `_`.
fn tables_of_name(schema: &Schema, name: &str) -> impl Iterator<Item = TableId> {
    let ends = name.match_indices('_').map(|(index, _)| index).chain([name.len()]);
    ends.filter_map(|end| schema.table(&name[..end]))
}

/// Those of `streams` whose labels pass all matchers. What decides by a look-up goes first.
fn narrow(
    guard: &mut Guard<'_>,
    mut streams: RoaringBitmap,
    mut matchers: Vec<&Matcher>,
    allowance: &dyn Allowance,
) -> Result<RoaringBitmap, Stopped> {
    matchers.sort_by_key(|matcher| matches!(Values::wanted_by(matcher), Values::Tested));
    for matcher in matchers {
        if streams.is_empty() {
            break;
        }
        let Some(label) = guard.postings.number(&matcher.name) else {
            // No stream has the label.
            if !matcher.matches_empty() {
                streams.clear();
            }
            continue;
        };
        let value_count = guard.postings.labels()[label].value_count() as u64;
        let wanted = Values::wanted_by(matcher);
        if matches!(wanted, Values::Tested) && streams.len() * VALUES_PER_KEY < value_count {
            streams = narrow_by_key(guard, &streams, matcher, allowance)?;
        } else {
            narrow_by_postings(guard, &mut streams, (label, matcher), &wanted, allowance)?;
        }
    }
    Ok(streams)
}

/// Looks at each stream's key: for few streams and a label of many values.
fn narrow_by_key(
    guard: &mut Guard<'_>,
    streams: &RoaringBitmap,
    matcher: &Matcher,
    allowance: &dyn Allowance,
) -> Result<RoaringBitmap, Stopped> {
    let mut passing = RoaringBitmap::new();
    each_stream(guard, streams, allowance, |inner, stream| {
        let key = inner.key(stream).expect("the index lists added streams");
        if matcher.matches(key.tag(&matcher.name)) {
            passing.insert(stream.0);
        }
        Ok(())
    })?;
    Ok(passing)
}

/// Looks at the label's values. Streams without the label have the empty value, so where that passes the streams of
/// the other values are taken away, and else those of the passing values are kept.
fn narrow_by_postings(
    guard: &mut Guard<'_>,
    streams: &mut RoaringBitmap,
    (label, matcher): (usize, &Matcher),
    wanted: &Values<'_>,
    allowance: &dyn Allowance,
) -> Result<(), Stopped> {
    let mut matched = streams_with(guard, label, wanted, matcher, allowance)?;
    let keeps_absent = matcher.matches_empty();
    // `matched` is what the pattern or value matches; what is kept or taken away may be the others that have the label.
    if is_negated(matcher) != keeps_absent {
        matched = &guard.postings.labels()[label].streams - matched;
    }
    if keeps_absent {
        *streams -= matched;
    } else {
        *streams &= matched;
    }
    Ok(())
}

/// Which values a matcher's value or pattern matches, negation aside.
enum Values<'a> {
    /// These, and no others.
    Listed(Vec<&'a str>),
    /// All that are not empty; and no stored value is.
    All,
    /// Each must be tested.
    Tested,
}

impl<'a> Values<'a> {
    fn wanted_by(matcher: &'a Matcher) -> Self {
        match matcher.listed() {
            Some(values) => Self::Listed(values),
            None if matches!(&*matcher.value, ".*" | ".+") => Self::All,
            None => Self::Tested,
        }
    }
}

fn is_negated(matcher: &Matcher) -> bool {
    matches!(matcher.op, MatchOp::NotEqual | MatchOp::NotRegex)
}

/// The streams whose value of a label is matched, negation aside.
fn streams_with(
    guard: &mut Guard<'_>,
    label: usize,
    values: &Values<'_>,
    matcher: &Matcher,
    allowance: &dyn Allowance,
) -> Result<RoaringBitmap, Stopped> {
    let mut union = Union::default();
    match values {
        Values::All => return Ok(guard.postings.labels()[label].streams.clone()),
        Values::Listed(values) => {
            let found = values.iter().filter_map(|value| guard.postings.find(&guard.keys, guard.seed, label, value));
            found.for_each(|set| union.add(set));
        }
        Values::Tested => each_value(guard, label, allowance, |value, set| {
            if matcher.matches(value) != is_negated(matcher) {
                union.add(set);
            }
            Ok(())
        })?,
    }
    union.finish(allowance)
}

/// A union of very many, mostly tiny sets.
#[derive(Default)]
struct Union {
    singles: Vec<u32>,
    sets: RoaringBitmap,
}

impl Union {
    fn add(&mut self, set: StreamSet<'_>) {
        match set {
            StreamSet::One(stream) => self.singles.push(stream),
            StreamSet::Many(set) => self.sets |= set,
        }
    }

    fn finish(mut self, allowance: &dyn Allowance) -> Result<RoaringBitmap, Stopped> {
        sort_copies_by(&mut self.singles, u32::cmp, |_| allowance.check())?;
        keep_last(&mut self.singles, allowance, |&stream| stream)?;
        let mut singles = RoaringBitmap::new();
        for turn in turns(&self.singles, allowance) {
            singles.append(turn?.iter().copied()).expect("they were just sorted");
        }
        Ok(self.sets | singles)
    }
}

/// Calls `visit` with the values of a label and their streams, letting writers pass now and then.
pub(super) fn each_value(
    guard: &mut Guard<'_>,
    label: usize,
    allowance: &dyn Allowance,
    mut visit: impl FnMut(&str, StreamSet<'_>) -> Result<(), Stopped>,
) -> Result<(), Stopped> {
    let count = guard.postings.labels()[label].value_count();
    for start in (0..count).step_by(STRIDE) {
        allowance.check()?;
        RwLockReadGuard::bump(guard);
        let label = &guard.postings.labels()[label];
        for ordinal in start..count.min(start + STRIDE) {
            visit(guard.keys.str(label.text(ordinal)), label.streams_of(ordinal))?;
        }
    }
    Ok(())
}

/// Calls `visit` with each stream, letting writers pass now and then.
pub(super) fn each_stream(
    guard: &mut Guard<'_>,
    streams: &RoaringBitmap,
    allowance: &dyn Allowance,
    mut visit: impl FnMut(&Inner, StreamId) -> Result<(), Stopped>,
) -> Result<(), Stopped> {
    for (index, stream) in streams.iter().enumerate() {
        if index % STRIDE == 0 {
            allowance.check()?;
            RwLockReadGuard::bump(guard);
        }
        visit(guard, StreamId(stream))?;
    }
    Ok(())
}

/// The selections of one table: its streams by which of the passing fields they have.
fn split(
    inner: &Inner,
    table: TableId,
    passing: &[FieldId],
    starts: Option<FieldId>,
    streams: &RoaringBitmap,
) -> Vec<Selection> {
    let known = &inner.tables[table.0 as usize];
    let starts = starts.filter(|field| known.fields.contains(field));
    let mut by_fields = BTreeMap::from([(Vec::new(), &known.all & streams)]);
    for (fields, having) in layouts_by_passing(known, passing, streams) {
        let mut refined = BTreeMap::<_, RoaringBitmap>::new();
        for (had, group) in by_fields {
            let both: BTreeSet<_> = had.iter().chain(&fields).copied().collect();
            *refined.entry(both.into_iter().collect()).or_default() |= &group & &having;
            *refined.entry(had).or_default() |= group - &having;
        }
        refined.retain(|_, group| !group.is_empty());
        by_fields = refined;
    }
    let selections = by_fields.into_iter().filter(|(fields, streams)| !fields.is_empty() && !streams.is_empty());
    selections.map(|(fields, streams)| Selection { table, fields, starts, streams }).collect()
}

/// The passing fields of each layout that one of `streams` has, with those streams.
fn layouts_by_passing(
    known: &TableStreams,
    passing: &[FieldId],
    streams: &RoaringBitmap,
) -> BTreeMap<Vec<FieldId>, RoaringBitmap> {
    let mut layouts = BTreeMap::<_, RoaringBitmap>::new();
    for (fields, having) in known.layouts.iter().filter(|(_, having)| !having.is_disjoint(streams)) {
        let fields: Vec<_> = fields.iter().copied().filter(|field| passing.binary_search(field).is_ok()).collect();
        if !fields.is_empty() {
            *layouts.entry(fields).or_default() |= having & streams;
        }
    }
    layouts
}
