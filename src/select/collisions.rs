//! Series that several (table, field) pairs can carry, through a coincidence of names.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Series, columns::starts_at};
use crate::{
    index::{Schema, Selection},
    model::{
        Allowance, FieldId, Labels, Samples, Stopped, StreamId, TableId, metric_name, start_bits,
        turns::{self, mapped},
    },
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

    pub(super) fn take(&mut self, allowance: &dyn Allowance) -> Result<Option<Series>, Stopped> {
        let Some((labels, mut held)) = self.held.pop_first() else { return Ok(None) };
        self.size -= held.iter().map(|(_, series)| series.size()).sum::<usize>();
        held.sort_by_key(|(stream, _)| *stream);
        // A sample that wins brings its start along, or that it has none.
        let starts = |series: &Series| {
            let mut values = mapped(&series.starts, allowance, |&start| start_bits(start))?;
            let without = &series.times[values.len()..];
            turns::extend_mapped(&mut values, without, allowance, |_| start_bits(0))?;
            Ok(Samples { times: mapped(&series.times, allowance, |&time| time)?, values })
        };
        let starts = match held.iter().all(|(_, series)| series.starts.is_empty()) {
            true => Samples::default(),
            false => {
                let runs = held.iter().map(|(_, series)| starts(series)).collect::<Result<_, _>>()?;
                Samples::allowed_merge(runs, allowance)?
            }
        };
        let runs = held.into_iter().map(|(_, series)| {
            Ok(Samples { times: mapped(&series.times, allowance, |&time| time)?, values: series.values })
        });
        let samples = Samples::allowed_merge(runs.collect::<Result<_, _>>()?, allowance)?;
        let starts = starts_at(&samples.times, &starts, allowance)?;
        let Samples { times, values } = samples;
        Ok(Some(Series { labels, times: times.into(), values, starts, digests: Vec::new() }))
    }
}
