//! What the index holds most of: series by metric, values by label, series by label pair.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap},
};

use super::{Schema, Selection, Streams, postings::StreamSet, select::each_value};
use crate::model::{Allowance, METRIC_NAME, Stopped, metric_name};

/// Sizes of an index. Every list is sorted by its numbers, the greatest first, and cut.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cardinality {
    /// Series: a stream has one for each of its fields.
    pub series: u64,
    /// Different pairs of a label and a value, metric names included.
    pub label_pairs: u64,
    /// Series of each metric name.
    pub series_by_metric: Vec<(String, u64)>,
    /// Values of each label.
    pub values_by_label: Vec<(String, u64)>,
    /// Bytes of each label's values, counted once for every series that has them.
    pub bytes_by_label: Vec<(String, u64)>,
    /// Series of each pair, written `label=value`.
    pub series_by_pair: Vec<(String, u64)>,
}

impl Streams {
    /// The sizes of this index, at most `limit` of each kind. Walks all label pairs, letting writers pass now and then;
    /// takes two bytes a stream meanwhile.
    pub fn cardinality(
        &self,
        schema: &Schema,
        limit: usize,
        allowance: &dyn Allowance,
    ) -> Result<Cardinality, Stopped> {
        let selections = self.select(schema, &[], None, allowance)?;
        let fields = FieldCounts::new(&selections);
        let mut sizes = Sizes::new(limit);
        let mut metrics = BTreeMap::<String, u64>::new();
        for selection in &selections {
            for field in &selection.fields {
                let name = metric_name(schema.table_name(selection.table), schema.field_name(*field));
                *metrics.entry(name).or_default() += selection.streams.len();
            }
        }
        sizes.add_label(METRIC_NAME, |pair| {
            metrics.iter().for_each(|(name, series)| pair(name, *series));
            Ok(())
        })?;
        let mut guard = self.read();
        for label in 0..guard.postings.labels().len() {
            let name = guard.postings.labels()[label].name.to_string();
            sizes.add_label(&name, |pair| {
                each_value(&mut guard, label, allowance, |value, set| {
                    pair(value, fields.series(set));
                    Ok(())
                })
            })?;
        }
        drop(guard);
        let mut by_metric = Top::new(limit);
        metrics.iter().for_each(|(name, series)| by_metric.offer(*series, || name.clone()));
        Ok(Cardinality {
            series: metrics.values().sum(),
            label_pairs: sizes.label_pairs,
            series_by_metric: by_metric.into_sorted(),
            values_by_label: sizes.values.into_sorted(),
            bytes_by_label: sizes.bytes.into_sorted(),
            series_by_pair: sizes.pairs.into_sorted(),
        })
    }
}

/// Sizes while labels are walked.
struct Sizes {
    label_pairs: u64,
    values: Top,
    bytes: Top,
    pairs: Top,
}

impl Sizes {
    fn new(limit: usize) -> Self {
        Self { label_pairs: 0, values: Top::new(limit), bytes: Top::new(limit), pairs: Top::new(limit) }
    }

    /// Adds a label, whose values and numbers of series `walk` hands on. Values without a series do not count.
    fn add_label(
        &mut self,
        name: &str,
        walk: impl FnOnce(&mut dyn FnMut(&str, u64)) -> Result<(), Stopped>,
    ) -> Result<(), Stopped> {
        let (mut values, mut bytes) = (0, 0);
        walk(&mut |value, series| {
            if series > 0 {
                values += 1;
                bytes += value.len() as u64 * series;
                self.pairs.offer(series, || format!("{name}={value}"));
            }
        })?;
        self.label_pairs += values;
        if values > 0 {
            self.values.offer(values, || name.to_owned());
            self.bytes.offer(bytes, || name.to_owned());
        }
        Ok(())
    }
}

/// Those with the greatest numbers; of equals, those that come first by name.
struct Top {
    limit: usize,
    /// The least on top.
    heap: BinaryHeap<(Reverse<u64>, String)>,
}

impl Top {
    fn new(limit: usize) -> Self {
        Self { limit, heap: BinaryHeap::new() }
    }

    fn offer(&mut self, number: u64, name: impl FnOnce() -> String) {
        let is_full = self.heap.len() >= self.limit;
        if is_full && self.heap.peek().is_none_or(|(least, _)| number < least.0) {
            return;
        }
        self.heap.push((Reverse(number), name()));
        if is_full {
            self.heap.pop();
        }
    }

    fn into_sorted(self) -> Vec<(String, u64)> {
        self.heap.into_sorted_vec().into_iter().map(|(number, name)| (name, number.0)).collect()
    }
}

/// Streams in a page.
const PAGE: u32 = 1024;

/// How many series each stream has.
struct FieldCounts(HashMap<u32, Box<[u16; PAGE as usize]>>);

impl FieldCounts {
    fn new(selections: &[Selection]) -> Self {
        let mut pages = HashMap::new();
        for selection in selections {
            let count = u16::try_from(selection.fields.len()).unwrap_or(u16::MAX);
            for stream in &selection.streams {
                let page = pages.entry(stream / PAGE).or_insert_with(|| Box::new([0; PAGE as usize]));
                page[(stream % PAGE) as usize] = count;
            }
        }
        Self(pages)
    }

    fn series(&self, streams: StreamSet<'_>) -> u64 {
        let of = |stream: u32| self.0.get(&(stream / PAGE)).map_or(0, |page| page[(stream % PAGE) as usize].into());
        match streams {
            StreamSet::One(stream) => of(stream),
            StreamSet::Many(streams) => streams.iter().map(of).sum(),
        }
    }
}
