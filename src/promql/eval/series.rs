//! Series on their way through a query: a column with one place per step.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::{
    model::{Labels, METRIC_NAME},
    promql::{
        eval::{Error, Patience, error::Result},
        value::{Histogram, STALE_MARKER, is_stale},
    },
};

/// Stands where a series has no sample. Selectors let no stale marker through, so no value of a result is one.
pub(crate) const ABSENT: f64 = f64::from_bits(STALE_MARKER);

/// Places of a column that are gone through between two questions whether to go on.
pub(crate) const TURN: usize = 16 << 10;

/// Whether a place of a column holds a number.
#[inline]
pub(crate) fn is_present(value: f64) -> bool {
    !is_stale(value)
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

/// What a series has at each step: a number, a histogram, or nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Points {
    /// One place per step, [`ABSENT`] where there is no number.
    pub floats: Vec<f64>,
    /// Step and histogram, ascending; never where there is a number. Empty for series of numbers, at no cost.
    pub histograms: Vec<(u32, Arc<Histogram>)>,
}

impl Points {
    /// Nothing at any step.
    pub(crate) fn absent(steps: usize) -> Self {
        Self::floats(vec![ABSENT; steps])
    }

    /// Numbers only.
    pub(crate) fn floats(floats: Vec<f64>) -> Self {
        Self { floats, histograms: Vec::new() }
    }

    /// Whether there is nothing at any step.
    pub(crate) fn is_empty(&self) -> bool {
        self.histograms.is_empty() && !self.floats.iter().any(|&value| is_present(value))
    }

    /// Replaces every number; histograms go, as for all functions of numbers.
    #[inline]
    pub(crate) fn map(&mut self, patience: &Patience<'_>, mut change: impl FnMut(usize, f64) -> f64) -> Result<()> {
        self.histograms.clear();
        for (turn, values) in self.floats.chunks_mut(TURN).enumerate() {
            patience.spend(values.len())?;
            for (place, value) in values.iter_mut().enumerate() {
                if is_present(*value) {
                    *value = change(turn * TURN + place, *value);
                }
            }
        }
        Ok(())
    }

    /// Bytes it takes in memory.
    pub(crate) fn size(&self) -> usize {
        let histograms: usize = self.histograms.iter().map(|(_, histogram)| histogram.size()).sum();
        self.floats.capacity() * size_of::<f64>() + histograms
    }

    /// Takes away what is at a step where `keep` says no.
    pub(crate) fn retain(&mut self, keep: impl Fn(usize) -> bool) {
        for (step, value) in self.floats.iter_mut().enumerate() {
            if !keep(step) {
                *value = ABSENT;
            }
        }
        self.histograms.retain(|&(step, _)| keep(step as usize));
    }

    /// Whether there is a number or a histogram at a step.
    pub(crate) fn has(&self, step: usize) -> bool {
        is_present(self.floats[step]) || self.histograms.binary_search_by_key(&step, |&(at, _)| at as usize).is_ok()
    }

    /// Sets `mask` where there is something.
    pub(crate) fn mark(&self, mask: &mut [bool]) {
        for (mask, &value) in mask.iter_mut().zip(&self.floats) {
            *mask |= is_present(value);
        }
        self.histograms.iter().for_each(|&(step, _)| mask[step as usize] = true);
    }

    /// Takes over what `other` has; false where both have something at one step.
    fn absorb(&mut self, other: &Self) -> bool {
        if (0..self.floats.len()).any(|step| self.has(step) && other.has(step)) {
            return false;
        }
        for (mine, &theirs) in self.floats.iter_mut().zip(&other.floats) {
            if is_present(theirs) {
                *mine = theirs;
            }
        }
        self.histograms.extend(other.histograms.iter().cloned());
        self.histograms.sort_by_key(|&(step, _)| step);
        true
    }

    /// The one step of `self` at each of `steps` steps.
    pub(crate) fn broadcast(&self, steps: usize, patience: &Patience<'_>) -> Result<Self> {
        let floats = column(steps, patience, |_| self.floats[0])?;
        let histograms = match self.histograms.first() {
            None => Vec::new(),
            Some((_, histogram)) => column(steps, patience, |step| (step as u32, Arc::clone(histogram)))?,
        };
        Ok(Self { floats, histograms })
    }
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
                patience.spend(kept.points.floats.len())?;
                let first: &mut Kept = &mut merged[place];
                if !first.points.absorb(&kept.points) {
                    return Err(conflict());
                }
            }
        }
    }
    Ok(merged)
}
