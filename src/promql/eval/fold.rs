//! Aggregations that need one pass: series are folded into their group's column as they come.

use crate::promql::{
    ast::AggregateOp,
    eval::series::{ABSENT, is_present},
    kahan::{Mean, Sum, Variance},
};

/// A group's state, one place per step.
pub(super) trait Fold {
    /// Takes a series in.
    fn add(&mut self, column: &[f64]);
    /// The group's values, [`ABSENT`] where no series had one.
    fn finish(&self) -> Vec<f64>;
    /// Bytes it takes in memory.
    fn size(&self) -> usize;
}

/// An empty state for an aggregation that folds; `None` for the others.
pub(super) fn fold_for(op: AggregateOp, steps: usize) -> Option<Box<dyn Fold>> {
    Some(match op {
        AggregateOp::Sum => states(steps, Sum::add, Sum::value),
        AggregateOp::Avg => states(steps, Mean::add, Mean::value),
        AggregateOp::Stdvar => states(steps, Variance::add, Variance::value),
        AggregateOp::Stddev => states(steps, Variance::add, |variance: Variance| variance.value().sqrt()),
        AggregateOp::Count => numbers(steps, |_| 1.0, |count, _| count + 1.0),
        AggregateOp::Group => numbers(steps, |_| 1.0, |one, _| one),
        AggregateOp::Min => numbers(steps, |value| value, |a, b| if b < a || a.is_nan() { b } else { a }),
        AggregateOp::Max => numbers(steps, |value| value, |a, b| if b > a || a.is_nan() { b } else { a }),
        _ => return None,
    })
}

/// A state of several numbers per step.
struct States<S, A, V> {
    states: Vec<Option<S>>,
    add: A,
    value: V,
}

fn states<S, A, V>(steps: usize, add: A, value: V) -> Box<dyn Fold>
where
    S: Copy + Default + 'static,
    A: Fn(&mut S, f64) + 'static,
    V: Fn(S) -> f64 + 'static,
{
    Box::new(States { states: vec![None; steps], add, value })
}

impl<S: Copy + Default, A: Fn(&mut S, f64), V: Fn(S) -> f64> Fold for States<S, A, V> {
    fn add(&mut self, column: &[f64]) {
        for (state, &value) in self.states.iter_mut().zip(column) {
            if is_present(value) {
                (self.add)(state.get_or_insert_default(), value);
            }
        }
    }

    fn finish(&self) -> Vec<f64> {
        self.states.iter().map(|state| state.map_or(ABSENT, &self.value)).collect()
    }

    fn size(&self) -> usize {
        size_of_val(&*self.states)
    }
}

/// A state of one number per step.
struct Numbers<F, N> {
    column: Vec<f64>,
    first: F,
    next: N,
}

fn numbers<F, N>(steps: usize, first: F, next: N) -> Box<dyn Fold>
where
    F: Fn(f64) -> f64 + 'static,
    N: Fn(f64, f64) -> f64 + 'static,
{
    Box::new(Numbers { column: vec![ABSENT; steps], first, next })
}

impl<F: Fn(f64) -> f64, N: Fn(f64, f64) -> f64> Fold for Numbers<F, N> {
    fn add(&mut self, column: &[f64]) {
        for (state, &value) in self.column.iter_mut().zip(column) {
            if is_present(value) {
                *state = if is_present(*state) { (self.next)(*state, value) } else { (self.first)(value) };
            }
        }
    }

    fn finish(&self) -> Vec<f64> {
        self.column.clone()
    }

    fn size(&self) -> usize {
        size_of_val(&*self.column)
    }
}
