//! Durations of ranges, steps and offsets, as they are written.

use crate::promql::ast::{BinaryOp, Span};

/// A duration: a constant, or (experimental) an expression over constants and the query's own times.
#[derive(Clone, Debug, PartialEq)]
pub enum DurationExpr {
    /// Nanoseconds, written as a duration (`5m`), or as a number of seconds that is all of the range, step or offset.
    Literal(i64),
    /// Seconds, written as a number within arithmetic, or of more digits than milliseconds have.
    Number(f64),
    /// `step()`: the query's step; 0 for instant queries.
    Step(Place),
    /// `range()`: end minus start of the query.
    Range(Place),
    /// `-d`
    Negate(Box<DurationExpr>, Place),
    /// `(d)`
    Paren(Box<DurationExpr>),
    /// `a + b` and the other arithmetic operators.
    Binary {
        /// One of `+ - * / % ^`.
        op: BinaryOp,
        /// Left side.
        left: Box<DurationExpr>,
        /// Right side.
        right: Box<DurationExpr>,
        /// Where both stand.
        place: Place,
    },
    /// `min_of(a, b)`
    MinOf(Box<DurationExpr>, Box<DurationExpr>, Place),
    /// `max_of(a, b)`
    MaxOf(Box<DurationExpr>, Box<DurationExpr>, Place),
}

impl DurationExpr {
    /// Where an error says it is: without parentheses around it, and of `min_of(a, b)` what is between them, as Prometheus
    /// has it. None for a constant, about which errors are found as it is read.
    pub fn span(&self) -> Option<Span> {
        match self {
            Self::Literal(_) | Self::Number(_) => None,
            Self::Paren(inner) => inner.span(),
            Self::Step(place) | Self::Range(place) | Self::Negate(_, place) => Some(place.0),
            Self::Binary { place, .. } | Self::MinOf(_, _, place) | Self::MaxOf(_, _, place) => Some(place.0),
        }
    }
}

/// Where something stands in the text. What is written elsewhere is still the same, so all places are equal.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place(pub Span);

impl PartialEq for Place {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
