//! Durations that are expressions, and what `offset` and `@` make of a time.

use crate::promql::{
    ast::{At, BinaryOp, DurationExpr, Span, TimeShift},
    eval::{
        Error, Eval, Result,
        steps::{Steps, nanos, seconds},
    },
};

/// Where a selector looks from a step.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Shift {
    at: Option<i64>,
    offset: i64,
}

impl Shift {
    /// The time it looks at from `time`.
    #[inline]
    pub(crate) fn apply(self, time: i64) -> i64 {
        self.at.unwrap_or(time).saturating_sub(self.offset)
    }

    /// Whether, from any of some steps, it looks at a time in `[from, upto)`.
    pub(crate) fn looks_between(self, steps: Steps, from: i64, upto: i64) -> bool {
        // Later steps never look earlier.
        let (mut low, mut high) = (0, steps.count);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.apply(steps.time(middle)) < from {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        low < steps.count && self.apply(steps.time(low)) < upto
    }

    /// The shift to times so much earlier.
    pub(crate) fn earlier(self, nanos: i64) -> Self {
        Self { offset: self.offset.saturating_add(nanos), ..self }
    }

    /// One shift after another.
    pub(crate) fn then(self, inner: Self) -> Self {
        match inner.at {
            Some(_) => inner,
            None => Self { at: self.at, offset: self.offset.saturating_add(inner.offset) },
        }
    }
}

impl Eval<'_> {
    /// What a selector's `offset` and `@` say.
    pub(crate) fn shift(&self, shift: &TimeShift) -> Result<Shift> {
        let at = shift.at.map(|at| match at {
            At::Time(time) => time,
            At::Start => self.query.start,
            At::End => self.end,
        });
        let offset = shift.offset.as_ref().map_or(Ok(0), |offset| self.duration(offset))?;
        Ok(Shift { at, offset })
    }

    /// Nanoseconds of a window or a step, which must be more than none.
    pub(crate) fn positive_duration(&self, expr: &DurationExpr) -> Result<i64> {
        match self.duration(expr)? {
            nanos if nanos > 0 => Ok(nanos),
            _ => Err(wrong(expr, "duration must be greater than 0")),
        }
    }

    /// Nanoseconds of a duration.
    pub(crate) fn duration(&self, expr: &DurationExpr) -> Result<i64> {
        match expr {
            DurationExpr::Literal(nanos) => Ok(*nanos),
            DurationExpr::Paren(inner) => self.duration(inner),
            DurationExpr::Negate(inner, _) => Ok(self.duration(inner)?.saturating_neg()),
            expr => match self.duration_seconds(expr)? {
                value if value.abs() < seconds(i64::MAX) => Ok(nanos(value)),
                _ => Err(wrong(expr, "duration is out of range")),
            },
        }
    }

    fn duration_seconds(&self, expr: &DurationExpr) -> Result<f64> {
        Ok(match expr {
            DurationExpr::Literal(nanos) => seconds(*nanos),
            DurationExpr::Number(seconds) => *seconds,
            DurationExpr::Step(_) => seconds(self.query.step),
            DurationExpr::Range(_) => seconds(self.end.saturating_sub(self.query.start)),
            DurationExpr::Paren(inner) => self.duration_seconds(inner)?,
            DurationExpr::Negate(inner, _) => -self.duration_seconds(inner)?,
            DurationExpr::MinOf(a, b, _) => self.duration_seconds(a)?.min(self.duration_seconds(b)?),
            DurationExpr::MaxOf(a, b, _) => self.duration_seconds(a)?.max(self.duration_seconds(b)?),
            DurationExpr::Binary { op, left, right, .. } => {
                match (op, self.duration_seconds(left)?, self.duration_seconds(right)?) {
                    (BinaryOp::Div, _, 0.0) => return Err(wrong(expr, "division by zero")),
                    (BinaryOp::Mod, _, 0.0) => return Err(wrong(expr, "modulo by zero")),
                    (op, left, right) => super::binary::arithmetic(*op)(left, right),
                }
            }
        })
    }
}

/// An error about a duration, with the bytes of the text that it is about, as Prometheus tells it.
fn wrong(expr: &DurationExpr, reason: &str) -> Error {
    let place = expr.span().map_or_else(String::new, |Span { start, end }| format!("{start}:{end}: "));
    Error::BadData(place + reason)
}
