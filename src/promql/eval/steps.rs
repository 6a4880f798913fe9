//! The times a part of a query is evaluated at.

use crate::model::NANOS_PER_SECOND;

/// Evenly spaced times in Unix nanoseconds. An instant is one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Steps {
    /// The first time.
    pub start: i64,
    /// The distance of times, at least 0.
    pub step: i64,
    /// How many times; 0 for none.
    pub count: usize,
}

impl Steps {
    /// One time only.
    pub(crate) fn instant(time: i64) -> Self {
        Self { start: time, step: 0, count: 1 }
    }

    /// From `start` by `step` (at least 1) up to `end`, which is included when a step falls on it.
    pub(crate) fn range(start: i64, end: i64, step: i64) -> Self {
        let span = i128::from(end) - i128::from(start);
        let count = if span < 0 { 0 } else { span / i128::from(step) + 1 };
        Self { start, step, count: usize::try_from(count).unwrap_or(usize::MAX) }
    }

    /// The time of step `index`.
    #[inline]
    pub(crate) fn time(self, index: usize) -> i64 {
        self.start.saturating_add(self.step.saturating_mul(index as i64))
    }

    /// The time of step `index` in Unix seconds.
    pub(crate) fn seconds(self, index: usize) -> f64 {
        seconds(self.time(index))
    }

    /// The last time; the first one where there is none. Not where a query ends: see [`super::Eval::end`].
    pub(crate) fn last(self) -> i64 {
        self.time(self.count.saturating_sub(1))
    }
}

/// Nanoseconds as seconds; of whole milliseconds the number nearest to them, as in Prometheus.
pub(crate) fn seconds(nanos: i64) -> f64 {
    // In two parts, each of which a float holds: as one number the nanoseconds of today are too many for it, and .101 came
    // out as .1009998 at times.
    (nanos / NANOS_PER_SECOND) as f64 + (nanos % NANOS_PER_SECOND) as f64 / NANOS_PER_SECOND as f64
}

/// Seconds as nanoseconds, to the nearest; cut at the ends of what an `i64` holds.
pub(crate) fn nanos(seconds: f64) -> i64 {
    // A float-to-integer cast saturates, and takes NaN for 0.
    (seconds * NANOS_PER_SECOND as f64).round() as i64
}
