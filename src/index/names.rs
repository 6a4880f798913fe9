//! What a selection's series are called: their label names, the values of a label, and their label sets.

use std::collections::BTreeSet;

use parking_lot::RwLockReadGuard;
use roaring::RoaringBitmap;

use super::{
    Schema, Streams,
    postings::StreamSet,
    select::{Found, STRIDE, each_stream, each_value},
    streams::Inner,
};
use crate::model::{
    Allowance, FieldId, Holding, Labels, METRIC_NAME, Matcher, START_FIELD, Stopped, StreamId, TableId, metric_name,
    sort_by,
};

impl Streams {
    /// The names of all labels of the selected series, sorted.
    pub fn label_names(
        &self,
        schema: &Schema,
        matchers: &[Matcher],
        within: Option<&RoaringBitmap>,
        allowance: &dyn Allowance,
    ) -> Result<Vec<String>, Stopped> {
        let Found { guard, tables, streams } = self.find(schema, matchers, within, allowance)?;
        let used = with_fields(&guard, &tables, &streams);
        let labels = guard.postings.labels().iter().filter(|label| !used.is_disjoint(&label.streams));
        let mut names: Vec<_> = labels.map(|label| label.name.to_string()).collect();
        if fields_in_use(&guard, &tables, &streams).any(|(table, field)| is_named(schema, table, field)) {
            names.push(METRIC_NAME.to_owned());
        }
        names.sort_unstable();
        Ok(names)
    }

    /// The names of all labels of the series of some streams, sorted. The streams come in portions, of which no more are
    /// asked for once every name there is was found: mostly after the first.
    pub fn label_names_among(
        &self,
        schema: &Schema,
        portions: impl Iterator<Item = RoaringBitmap>,
        allowance: &dyn Allowance,
    ) -> Result<Vec<String>, Stopped> {
        let starts = schema.field(START_FIELD);
        let mut missing: Vec<_> = (0..self.read().postings.labels().len()).collect();
        let (mut names, mut has_metric_name) = (Vec::new(), false);
        for streams in portions {
            let mut guard = self.read();
            for (index, number) in std::mem::take(&mut missing).into_iter().enumerate() {
                if index % STRIDE == 0 {
                    allowance.check()?;
                    RwLockReadGuard::bump(&mut guard);
                }
                let label = &guard.postings.labels()[number];
                let mut having = (&streams & &label.streams).into_iter();
                match having.any(|stream| guard.fields(StreamId(stream)).any(|(_, field)| Some(field) != starts)) {
                    true => names.push(label.name.to_string()),
                    false => missing.push(number),
                }
            }
            let fields = |stream| guard.fields(StreamId(stream)).filter(|(_, field)| Some(*field) != starts);
            let is_named = |stream| fields(stream).any(|(table, field)| is_named(schema, table, field));
            has_metric_name = has_metric_name || streams.iter().any(is_named);
            if missing.is_empty() && has_metric_name {
                break;
            }
        }
        names.extend(has_metric_name.then(|| METRIC_NAME.to_owned()));
        names.sort_unstable();
        Ok(names)
    }

    /// The values of one label of the selected series, sorted, each once.
    pub fn label_values(
        &self,
        schema: &Schema,
        name: &str,
        matchers: &[Matcher],
        within: Option<&RoaringBitmap>,
        allowance: &dyn Allowance,
    ) -> Result<Vec<String>, Stopped> {
        let Found { mut guard, tables, streams } = self.find(schema, matchers, within, allowance)?;
        if name == METRIC_NAME {
            let fields = fields_in_use(&guard, &tables, &streams);
            let names = fields.map(|(table, field)| metric_name(schema.table_name(table), schema.field_name(field)));
            return Ok(names.filter(|name| !name.is_empty()).collect::<BTreeSet<_>>().into_iter().collect());
        }
        let Some(label) = guard.postings.number(name) else {
            return Ok(Vec::new());
        };
        let streams = with_fields(&guard, &tables, &streams);
        let mut values = Vec::new();
        let (mut held, mut size) = (Holding::new(allowance), 0);
        each_value(&mut guard, label, allowance, |value, set| {
            let is_used = match set {
                StreamSet::One(stream) => streams.contains(stream),
                StreamSet::Many(set) => !streams.is_disjoint(set),
            };
            if is_used {
                values.push(value.to_owned());
                size += size_of::<String>() + value.len();
                held.set(size)?;
            }
            Ok(())
        })?;
        sort_by(&mut values, String::cmp, |_| allowance.check())?;
        Ok(values)
    }

    /// The label sets of the selected series, sorted, each once.
    pub fn series(
        &self,
        schema: &Schema,
        matchers: &[Matcher],
        within: Option<&RoaringBitmap>,
        allowance: &dyn Allowance,
    ) -> Result<Vec<Labels>, Stopped> {
        let selections = self.select(schema, matchers, within, allowance)?;
        let mut guard = self.read();
        let mut series: Vec<Labels> = Vec::new();
        let (mut held, mut size) = (Holding::new(allowance), 0);
        for selection in &selections {
            each_stream(&mut guard, &selection.streams, allowance, |inner, stream| {
                let key = inner.key(stream).expect("selected streams were added");
                for field in &selection.fields {
                    let labels = key.labels(schema.field_name(*field));
                    size += size_of::<Labels>() + labels.size();
                    series.push(labels);
                }
                held.set(size)
            })?;
        }
        drop(guard);
        sort_by(&mut series, Labels::cmp, |_| allowance.check())?;
        // Few selections have a series twice, and to see that takes a while where there are many.
        let mut is_twice = false;
        for first in (0..series.len()).step_by(STRIDE) {
            allowance.check()?;
            let turn = &series[first..series.len().min(first + STRIDE + 1)];
            is_twice |= turn.windows(2).any(|pair| pair[0] == pair[1]);
        }
        if is_twice {
            series.dedup();
        }
        Ok(series)
    }
}

/// Those of `streams` that were seen with one of their table's fields.
fn with_fields(inner: &Inner, tables: &[(TableId, Vec<FieldId>)], streams: &RoaringBitmap) -> RoaringBitmap {
    let mut found = RoaringBitmap::new();
    for (table, passing) in tables {
        let layouts = inner.tables[table.0 as usize].layouts.iter();
        let layouts = layouts.filter(|(fields, _)| fields.iter().any(|field| passing.binary_search(field).is_ok()));
        layouts.for_each(|(_, having)| found |= having & streams);
    }
    found
}

/// Those of the fields that one of `streams` was seen with.
fn fields_in_use<'a>(
    inner: &'a Inner,
    tables: &'a [(TableId, Vec<FieldId>)],
    streams: &'a RoaringBitmap,
) -> impl Iterator<Item = (TableId, FieldId)> + 'a {
    tables.iter().flat_map(move |(table, passing)| {
        let layouts = inner.tables[table.0 as usize].layouts.iter();
        let in_use = layouts.filter(|(_, having)| !having.is_disjoint(streams));
        let fields: BTreeSet<_> = in_use.flat_map(|(fields, _)| fields).copied().collect();
        passing.iter().filter(move |field| fields.contains(field)).map(|field| (*table, *field))
    })
}

/// Whether the series of a field have a metric name.
fn is_named(schema: &Schema, table: TableId, field: FieldId) -> bool {
    !metric_name(schema.table_name(table), schema.field_name(field)).is_empty()
}
