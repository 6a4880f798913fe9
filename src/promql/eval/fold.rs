//! Aggregations that need one pass: series are folded into their group's column as they come.

use crate::promql::{
    ast::AggregateOp,
    eval::{
        Patience, Result,
        points::{Grown, Points},
        series::{ABSENT, column, is_present},
    },
    kahan::{Mean, Sum, Variance},
};

/// A group's state, with a place for each step from the first to the last that any of its series has.
pub(super) trait Fold {
    /// Takes a series in.
    fn add(&mut self, points: &Points, patience: &Patience<'_>) -> Result<()>;
    /// The group's values.
    fn finish(&self, patience: &Patience<'_>) -> Result<Points>;
    /// At how many steps it has something.
    fn count(&self) -> usize;
    /// Bytes it takes in memory.
    fn size(&self) -> usize;
}

/// An empty state for an aggregation that folds; `None` for the others.
pub(super) fn fold_for(op: AggregateOp) -> Option<Box<dyn Fold>> {
    Some(match op {
        AggregateOp::Sum => states(Sum::add, Sum::value),
        AggregateOp::Avg => states(Mean::add, Mean::value),
        AggregateOp::Stdvar => states(Variance::add, Variance::value),
        AggregateOp::Stddev => states(Variance::add, |variance: Variance| variance.value().sqrt()),
        AggregateOp::Count => numbers(|_| 1.0, |count, _| count + 1.0),
        AggregateOp::Group => numbers(|_| 1.0, |one, _| one),
        AggregateOp::Min => numbers(|value| value, |a, b| if b < a || a.is_nan() { b } else { a }),
        AggregateOp::Max => numbers(|value| value, |a, b| if b > a || a.is_nan() { b } else { a }),
        _ => return None,
    })
}

/// A state of several numbers per step.
struct States<S, A, V> {
    states: Grown<Option<S>>,
    count: usize,
    add: A,
    value: V,
}

fn states<S, A, V>(add: A, value: V) -> Box<dyn Fold>
where
    S: Copy + Default + 'static,
    A: Fn(&mut S, f64) + 'static,
    V: Fn(S) -> f64 + 'static,
{
    Box::new(States { states: Grown::default(), count: 0, add, value })
}

impl<S: Copy + Default, A: Fn(&mut S, f64), V: Fn(S) -> f64> Fold for States<S, A, V> {
    fn add(&mut self, points: &Points, patience: &Patience<'_>) -> Result<()> {
        self.states.grow(points.reach(), None, patience)?;
        for turn in points.turns(patience) {
            let (first, run) = turn?;
            let states = self.states.reach(first, run.len());
            for (state, &value) in states.iter_mut().zip(run).filter(|(_, value)| is_present(**value)) {
                self.count += usize::from(state.is_none());
                (self.add)(state.get_or_insert_default(), value);
            }
        }
        Ok(())
    }

    fn finish(&self, patience: &Patience<'_>) -> Result<Points> {
        let states = self.states.places();
        let floats = column(states.len(), patience, |place| states[place].map_or(ABSENT, &self.value))?;
        Ok(Points::starting_at(self.states.first(), floats))
    }

    fn count(&self) -> usize {
        self.count
    }

    fn size(&self) -> usize {
        self.states.size()
    }
}

/// A state of one number per step.
struct Numbers<F, N> {
    column: Grown<f64>,
    count: usize,
    first: F,
    next: N,
}

fn numbers<F, N>(first: F, next: N) -> Box<dyn Fold>
where
    F: Fn(f64) -> f64 + 'static,
    N: Fn(f64, f64) -> f64 + 'static,
{
    Box::new(Numbers { column: Grown::default(), count: 0, first, next })
}

impl<F: Fn(f64) -> f64, N: Fn(f64, f64) -> f64> Fold for Numbers<F, N> {
    fn add(&mut self, points: &Points, patience: &Patience<'_>) -> Result<()> {
        self.column.grow(points.reach(), ABSENT, patience)?;
        for turn in points.turns(patience) {
            let (first, run) = turn?;
            let column = self.column.reach(first, run.len());
            for (state, &value) in column.iter_mut().zip(run) {
                if is_present(value) {
                    let is_new = !is_present(*state);
                    self.count += usize::from(is_new);
                    *state = if is_new { (self.first)(value) } else { (self.next)(*state, value) };
                }
            }
        }
        Ok(())
    }

    fn finish(&self, patience: &Patience<'_>) -> Result<Points> {
        Ok(Points::starting_at(self.column.first(), patience.copied(self.column.places())?))
    }

    fn count(&self) -> usize {
        self.count
    }

    fn size(&self) -> usize {
        self.column.size()
    }
}
