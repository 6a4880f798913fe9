//! Functions of windows that need not see every sample: what the index knows of a block is enough for them.

use crate::{
    promql::{
        eval::{Result, window::Windows},
        functions::{
            Function,
            rate::{self, Growth},
        },
        kahan::Sum,
    },
    select::Digest,
};

/// What samples of a window come to, at least one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Summary {
    /// The window is `(start, end]`, in nanoseconds.
    pub start: i64,
    /// See `start`.
    pub end: i64,
    /// How many there are.
    pub count: f64,
    /// Their sum.
    pub sum: Sum,
    /// The least of them.
    pub least: f64,
    /// The greatest of them.
    pub greatest: f64,
    /// Time and value of the first one.
    pub first: (i64, f64),
    /// Time and value of the last one.
    pub last: (i64, f64),
    /// The sum of those that a fall came after.
    pub lost: f64,
}

/// A function's value in a window.
pub(crate) type Of = fn(&Summary) -> Option<f64>;

/// What a function makes of a summary; `None` for functions that must see every sample.
pub(crate) fn of_window(function: &Function) -> Option<Of> {
    Some(match function.name {
        "avg_over_time" => |summary| Some(summary.sum.value() / summary.count),
        "count_over_time" => |summary| Some(summary.count),
        "delta" => |summary| rate::growth_of(summary, Growth { counter: false, per_second: false }),
        "first_over_time" => |summary| Some(summary.first.1),
        "increase" => |summary| rate::growth_of(summary, Growth { counter: true, per_second: false }),
        "last_over_time" => |summary| Some(summary.last.1),
        "max_over_time" => |summary| Some(summary.greatest),
        "min_over_time" => |summary| Some(summary.least),
        "present_over_time" => |_| Some(1.0),
        "rate" => |summary| rate::growth_of(summary, Growth { counter: true, per_second: true }),
        "sum_over_time" => |summary| Some(summary.sum.value()),
        _ => return None,
    })
}

/// Fills a column: what `of` makes of each window that has samples; absent elsewhere.
pub(crate) fn each(windows: &Windows<'_>, of: Of, out: &mut [f64]) -> Result<()> {
    windows.each_with_digests(out, |(start, end), samples, digests| {
        let mut summary: Option<Summary> = None;
        let mut add = |more: Summary| match &mut summary {
            Some(summary) => summary.join(&more),
            None => summary = Some(more),
        };
        let sample = |index: usize| {
            let (time, value) = (windows.times[index], windows.values[index]);
            Summary::of_sample((start, end), time, value)
        };
        let mut next = samples.start;
        for digest in digests {
            let upto = samples.start + windows.times[samples.clone()].partition_point(|&time| time < digest.first_time);
            (next..upto).for_each(|index| add(sample(index)));
            add(Summary::of_digest((start, end), digest));
            next = upto;
        }
        (next..samples.end).for_each(|index| add(sample(index)));
        of(&summary?)
    })
}

impl Summary {
    fn of_sample((start, end): (i64, i64), time: i64, value: f64) -> Self {
        let sum = Sum { total: value, lost: 0.0 };
        let at = (time, value);
        Self { start, end, count: 1.0, sum, least: value, greatest: value, first: at, last: at, lost: 0.0 }
    }

    fn of_digest((start, end): (i64, i64), digest: &Digest) -> Self {
        Self {
            start,
            end,
            count: digest.of.count.into(),
            sum: Sum { total: digest.of.sum, lost: 0.0 },
            least: digest.of.min,
            greatest: digest.of.max,
            first: (digest.first_time, digest.of.first),
            last: (digest.last_time, digest.of.last),
            lost: digest.of.correction,
        }
    }

    /// Adds what comes behind. NaN is the least and the greatest only where all values are.
    fn join(&mut self, behind: &Self) {
        self.count += behind.count;
        self.sum.join(behind.sum);
        self.least = self.least.min(behind.least);
        self.greatest = self.greatest.max(behind.greatest);
        if behind.first.1 < self.last.1 {
            self.lost += self.last.1;
        }
        self.lost += behind.lost;
        self.last = behind.last;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::functions::FUNCTIONS;

    #[test]
    fn every_name_is_that_of_a_function() {
        assert_eq!(FUNCTIONS.iter().filter(|function| of_window(function).is_some()).count(), 11);
    }
}
