//! Series that several (table, field) pairs can carry, through a coincidence of names.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::Series;
use crate::{
    index::{Schema, Selection},
    model::{FieldId, Labels, Samples, StreamId, TableId, metric_name},
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
    held: BTreeMap<Labels, Vec<(StreamId, Samples)>>,
}

impl Collisions {
    pub(super) fn hold(&mut self, stream: StreamId, series: Series) {
        let samples = Samples { times: series.times.to_vec(), values: series.values };
        self.held.entry(series.labels).or_default().push((stream, samples));
    }

    pub(super) fn take(&mut self) -> Option<Series> {
        let (labels, mut runs) = self.held.pop_first()?;
        runs.sort_by_key(|(stream, _)| *stream);
        let samples = Samples::merge(runs.into_iter().map(|(_, samples)| samples).collect());
        Some(Series { labels, times: samples.times.into(), values: samples.values })
    }
}
