//! Series that several (table, field) pairs can carry, through a coincidence of names.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Series, columns::starts_at};
use crate::{
    index::{Schema, Selection},
    model::{FieldId, Labels, Samples, StreamId, TableId, metric_name, start_bits},
};

/// Metric names that more than one (table, field) pair of the selections has.
pub(super) fn shared_names(schema: &Schema, selections: &[Selection]) -> HashSet<String> {
    let mut pairs: HashMap<String, HashSet<(TableId, FieldId)>> = HashMap::new();
    for selection in selections {
        for field in &selection.fields {
            let name = metric_name(schema.table_name(selection.table), schema.field_name(*field));
            pairs.entry(name).or_default().insert((selection.table, *field));
        }
    }
    pairs.into_iter().filter(|(_, pairs)| pairs.len() > 1).map(|(name, _)| name).collect()
}

/// Puts such series together: where two streams have the same time, the greater stream id wins.
#[derive(Default)]
pub(super) struct Collisions {
    held: BTreeMap<Labels, Vec<(StreamId, Series)>>,
    size: usize,
}

impl Collisions {
    pub(super) fn hold(&mut self, stream: StreamId, series: Series) {
        self.size += series.size();
        self.held.entry(series.labels.clone()).or_default().push((stream, series));
    }

    /// Bytes of what it holds.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    pub(super) fn take(&mut self) -> Option<Series> {
        let (labels, mut held) = self.held.pop_first()?;
        self.size -= held.iter().map(|(_, series)| series.size()).sum::<usize>();
        held.sort_by_key(|(stream, _)| *stream);
        // A sample that wins brings its start along, or that it has none.
        let starts = |series: &Series| {
            let none = std::iter::repeat_n(0, series.times.len() - series.starts.len());
            let values = series.starts.iter().copied().chain(none).map(start_bits).collect();
            Samples { times: series.times.to_vec(), values }
        };
        let starts = match held.iter().all(|(_, series)| series.starts.is_empty()) {
            true => Samples::default(),
            false => Samples::merge(held.iter().map(|(_, series)| starts(series)).collect()),
        };
        let runs = held.into_iter().map(|(_, series)| Samples { times: series.times.to_vec(), values: series.values });
        let samples = Samples::merge(runs.collect());
        let starts = starts_at(&samples.times, &starts);
        Some(Series { labels, times: samples.times.into(), values: samples.values, starts, digests: Vec::new() })
    }
}
