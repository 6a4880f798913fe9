//! What windows that move forward have in common need not be worked out again.
//!
//! The trick is that of a queue made of two stacks: [`Sliding`] keeps the total of every suffix of an older part of the
//! samples, and one total of the newer part. Samples leave at the front by taking the next shorter suffix, and come in at
//! the back by one addition; when the front is used up, the back becomes the front. So a sample is added twice, however
//! many windows it lies in.

use std::ops::Range;

use crate::promql::{
    eval::{
        Patience, Result,
        window::{Window, Windows},
    },
    kahan::Sum,
};

/// Windows that have more samples than this many times those of the series are not worked out one by one.
const SHARED: usize = 4;

/// Totals that can be put together from those of parts. The default is the total of nothing.
pub(super) trait Total: Copy + Default {
    /// The total of some values.
    fn of(values: &[f64]) -> Self {
        let mut total = Self::default();
        values.iter().for_each(|&value| total.add(value));
        total
    }
    /// The totals of two rows of values.
    fn of_two(rows: [&[f64]; 2]) -> [Self; 2] {
        rows.map(Self::of)
    }
    /// Takes in the next sample behind.
    fn add(&mut self, value: f64);
    /// Takes in the total of all that is behind.
    fn join(&mut self, behind: Self);
}

impl Total for Sum {
    fn of_two(rows: [&[f64]; 2]) -> [Self; 2] {
        Sum::of_two(rows)
    }

    fn add(&mut self, value: f64) {
        Sum::add(self, value);
    }

    fn join(&mut self, behind: Self) {
        Sum::join(self, behind);
    }
}

/// The least of some values; NaN only where all are.
#[derive(Clone, Copy)]
pub(super) struct Least(pub f64);

impl Default for Least {
    fn default() -> Self {
        Self(f64::NAN)
    }
}

impl Total for Least {
    fn add(&mut self, value: f64) {
        if value <= self.0 || self.0.is_nan() {
            self.0 = value;
        }
    }

    fn join(&mut self, behind: Self) {
        self.add(behind.0);
    }
}

/// The greatest of some values; NaN only where all are.
#[derive(Clone, Copy)]
pub(super) struct Greatest(pub f64);

impl Default for Greatest {
    fn default() -> Self {
        Self(f64::NAN)
    }
}

impl Total for Greatest {
    fn add(&mut self, value: f64) {
        if value >= self.0 || self.0.is_nan() {
            self.0 = value;
        }
    }

    fn join(&mut self, behind: Self) {
        self.add(behind.0);
    }
}

/// Fills a column with what `value_of` makes of each window and the total of its values.
pub(super) fn each_total<T: Total>(
    windows: &Windows<'_>,
    out: &mut [f64],
    value_of: impl Fn(&Window<'_>, T) -> f64,
) -> Result<()> {
    let in_windows: usize = windows.bounds.iter().map(|&(from, to)| (to - from) as usize).sum();
    if in_windows <= SHARED * windows.values.len() {
        let values = |&(from, to): &(u32, u32)| &windows.values[from as usize..to as usize];
        let mut totals = Vec::with_capacity(windows.bounds.len() + 1);
        for pair in windows.bounds.chunks(2) {
            let length = pair.iter().map(|(from, to)| (to - from) as usize).sum();
            if length > Patience::WORK {
                totals.extend(pair.iter().map(|bounds| total::<T>(windows.patience, values(bounds))));
                windows.patience.check()?;
                continue;
            }
            windows.patience.spend(length)?;
            totals.extend(T::of_two([values(&pair[0]), pair.get(1).map_or(&[][..], values)]));
        }
        return windows.each(out, |window| Some(value_of(window, totals[window.step])));
    }
    let mut totals = Sliding::<T>::new(windows.values, windows.patience);
    windows.each(out, |window| Some(value_of(window, totals.of(window.indices()))))
}

/// The total of values that may be many.
pub(super) fn total<T: Total>(patience: &Patience<'_>, values: &[f64]) -> T {
    let mut total = T::default();
    patience.each(values, |value| total.add(value));
    total
}

/// Totals of windows over some values.
struct Sliding<'v, T> {
    values: &'v [f64],
    patience: &'v Patience<'v>,
    /// Totals of `values[index..split]`, that of the shortest first.
    front: Vec<T>,
    split: usize,
    /// The total of `values[split..end]`.
    back: T,
    end: usize,
}

impl<'v, T: Total> Sliding<'v, T> {
    fn new(values: &'v [f64], patience: &'v Patience<'v>) -> Self {
        Self { values, patience, front: Vec::new(), split: 0, back: T::default(), end: 0 }
    }

    /// The total of a window, neither end of which is before that of the last one.
    fn of(&mut self, window: Range<usize>) -> T {
        if window.start >= self.split {
            self.turn(window.start);
        }
        let (values, patience) = (self.values, self.patience);
        patience.each(&values[self.end..window.end], |value| self.back.add(value));
        self.end = window.end;
        if window.start == self.split {
            return self.back;
        }
        // Where the front was left unfinished, the total is not asked for any more.
        let mut total = self.front.get(self.split - 1 - window.start).copied().unwrap_or_default();
        total.join(self.back);
        total
    }

    /// Makes what there is from `start` on the front.
    fn turn(&mut self, start: usize) {
        self.front.clear();
        self.back = T::default();
        self.end = self.end.max(start);
        self.split = self.end;
        for turn in self.values[start..self.end].rchunks(Patience::WORK) {
            if self.values.len() > Patience::WORK && self.patience.spend(turn.len()).is_err() {
                return;
            }
            for &value in turn.iter().rev() {
                let mut total = T::default();
                total.add(value);
                if let Some(&shorter) = self.front.last() {
                    total.join(shorter);
                }
                self.front.push(total);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Greatest, Least, Sliding, Total};
    use crate::promql::{
        eval::{Guard, Meter, Patience},
        kahan::Sum,
    };

    proptest! {
        #[test]
        fn a_sliding_total_is_that_of_the_window(
            values in proptest::collection::vec(-1e9..1e9f64, 1..60),
            moves in proptest::collection::vec((0..7usize, 0..7usize), 1..40),
        ) {
            let meter = Meter::default();
            let most = u64::MAX;
            let guard = Guard { meter: &meter, samples_max: most, series_max: most, memory_max: most, interrupt: None };
            let patience = Patience::new(guard);
            let mut sums = Sliding::<Sum>::new(&values, &patience);
            let mut least = Sliding::<Least>::new(&values, &patience);
            let mut greatest = Sliding::<Greatest>::new(&values, &patience);
            let (mut start, mut end) = (0, 0);
            for (by_start, by_end) in moves {
                end = (end + by_end).min(values.len());
                start = (start + by_start).min(end);
                if start < end {
                    let window = &values[start..end];
                    let sum = sums.of(start..end).value();
                    prop_assert!((sum - <Sum as Total>::of(window).value()).abs() <= 1e-15 * window.iter().map(|v| v.abs()).sum::<f64>());
                    prop_assert_eq!(least.of(start..end).0, window.iter().copied().fold(f64::INFINITY, f64::min));
                    prop_assert_eq!(greatest.of(start..end).0, window.iter().copied().fold(f64::NEG_INFINITY, f64::max));
                }
            }
        }
    }
}
