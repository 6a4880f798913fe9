//! Series on their way through a query: labels, and what they have at each step.

use hashbrown::HashMap;

use crate::{
    model::{Labels, METRIC_NAME},
    promql::{
        eval::{Error, Patience, error::Result, points::Points},
        value::{STALE_MARKER, is_stale},
    },
};

/// Stands where a series has no sample. Selectors let no stale marker through, so no value of a result is one.
pub(crate) const ABSENT: f64 = f64::from_bits(STALE_MARKER);

/// Places of a column that are gone through between two questions whether to go on.
pub(crate) use crate::model::turns::TURN;

/// Whether a place of a column holds a number.
#[inline]
pub(crate) fn is_present(value: f64) -> bool {
    !is_stale(value)
}

/// How many of `times` are not behind a limit. From one step to the next these are mostly few, which are quicker to pass one
/// by one than to search.
pub(crate) fn passed(times: &[i64], limit: i64) -> usize {
    const FEW: usize = 64;
    match times.iter().take(FEW).take_while(|&&time| time <= limit).count() {
        FEW => FEW + times[FEW..].partition_point(|&time| time <= limit),
        few => few,
    }
}

/// A column of what is at each step.
pub(crate) fn column<T>(steps: usize, patience: &Patience<'_>, mut at: impl FnMut(usize) -> T) -> Result<Vec<T>> {
    let mut column = Vec::with_capacity(steps);
    while column.len() < steps {
        let first = column.len();
        let turn = first..steps.min(first + TURN);
        patience.spend(turn.len())?;
        column.extend(turn.map(&mut at));
    }
    Ok(column)
}

/// A series handed from node to node. The receiver may change the points; they are scratch space of the sender.
pub(crate) struct Row<'r> {
    /// The labels, with the name even where it is to be dropped.
    pub labels: Labels,
    /// Whether name, type and unit go at the end of the query.
    pub drop_name: bool,
    /// What it has.
    pub points: &'r mut Points,
}

/// Receives series one by one.
pub(crate) type Sink<'s> = dyn FnMut(Row<'_>) -> Result<()> + 's;

/// A series kept.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    /// See [`Row::labels`].
    pub labels: Labels,
    /// See [`Row::drop_name`].
    pub drop_name: bool,
    /// What it has.
    pub points: Points,
}

impl Kept {
    /// Bytes it takes in memory.
    pub(crate) fn size(&self) -> usize {
        size_of::<Self>() + self.labels.size() + self.points.size()
    }

    /// Lends it to a sink.
    pub(crate) fn send(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        sink(Row { labels: self.labels.clone(), drop_name: self.drop_name, points: &mut self.points })
    }
}

/// Whether a label goes wherever the name goes.
pub(crate) fn is_metadata(label: &str) -> bool {
    matches!(label, METRIC_NAME | "__type__" | "__unit__")
}

/// The labels without name, type and unit.
pub(crate) fn without_metadata(labels: &Labels) -> Labels {
    if labels.iter().any(|(name, _)| is_metadata(name)) {
        labels.filtered(|name| !is_metadata(name))
    } else {
        labels.clone()
    }
}

/// Makes one series of those that are the same in the end, as long as they are never there at the same time.
pub(crate) fn merge_equal(
    series: Vec<Kept>,
    patience: &Patience<'_>,
    conflict: impl Fn() -> Error,
) -> Result<Vec<Kept>> {
    let mut places = HashMap::with_capacity(series.len());
    let mut merged: Vec<Kept> = Vec::with_capacity(series.len());
    for kept in series {
        patience.spend_series()?;
        let key = (kept.labels.clone(), kept.drop_name);
        match places.get(&key) {
            None => {
                places.insert(key, merged.len());
                merged.push(kept);
            }
            Some(&place) => {
                patience.spend(kept.points.reach().len())?;
                let first: &mut Kept = &mut merged[place];
                if !first.points.absorb(&kept.points, patience)? {
                    return Err(conflict());
                }
            }
        }
    }
    Ok(merged)
}
