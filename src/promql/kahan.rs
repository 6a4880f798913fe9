//! Sums that keep the digits plain addition loses.
//!
//! Compensated summation: what an addition rounds away is collected apart and added at the end, as in Neumaier's variant
//! of Kahan's (A. Neumaier, "Rundungsfehleranalyse einiger Verfahren zur Summation endlicher Summen", 1974), here
//! found without a branch by D. Knuth's two-sum (The Art of Computer Programming, vol. 2, 4.2.2).

/// A sum and what rounding took from it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sum {
    /// The sum as rounded.
    pub total: f64,
    /// What is missing from it.
    pub lost: f64,
}

impl Sum {
    /// Adds a number.
    #[inline]
    pub(crate) fn add(&mut self, value: f64) {
        let total = self.total + value;
        let added = total - self.total;
        self.lost += (self.total - (total - added)) + (value - added);
        self.total = total;
    }

    /// Adds another sum.
    #[inline]
    pub(crate) fn join(&mut self, other: Self) {
        self.add(other.total);
        self.lost += other.lost;
    }

    /// The sum. One that is not finite has lost nothing.
    pub(crate) fn value(self) -> f64 {
        if self.total.is_finite() { self.total + self.lost } else { self.total }
    }

    /// The sums of two rows of values, each in its order. Neither waits for the other, which takes half the time.
    pub(crate) fn of_two(rows: [&[f64]; 2]) -> [Self; 2] {
        let shorter = rows[0].len().min(rows[1].len());
        let (mut totals, mut lost) = ([0.0; 2], [0.0; 2]);
        for (&a, &b) in rows[0][..shorter].iter().zip(&rows[1][..shorter]) {
            for (lane, value) in [a, b].into_iter().enumerate() {
                let total = totals[lane] + value;
                let added = total - totals[lane];
                lost[lane] += (totals[lane] - (total - added)) + (value - added);
                totals[lane] = total;
            }
        }
        [0, 1].map(|lane| {
            let mut sum = Self { total: totals[lane], lost: lost[lane] };
            rows[lane][shorter..].iter().for_each(|&value| sum.add(value));
            sum
        })
    }
}

/// An arithmetic mean that survives sums beyond the largest number.
///
/// It divides a compensated sum by the count; from the value at which the sum overflows it carries the mean itself on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mean {
    sum: Sum,
    count: f64,
    running: bool,
}

impl Mean {
    /// Adds a value.
    #[inline]
    pub(crate) fn add(&mut self, value: f64) {
        self.count += 1.0;
        if !self.running {
            let mut sum = self.sum;
            sum.add(value);
            if self.count == 1.0 || !sum.total.is_infinite() {
                self.sum = sum;
                return;
            }
            self.running = true;
            self.sum.total /= self.count - 1.0;
            self.sum.lost /= self.count - 1.0;
        }
        let weight = (self.count - 1.0) / self.count;
        self.sum.total *= weight;
        self.sum.lost *= weight;
        self.sum.add(value / self.count);
    }

    /// The mean; NaN of nothing.
    pub(crate) fn value(self) -> f64 {
        match self.sum {
            sum if self.running => sum.value(),
            // What an infinity has lost is no number.
            sum if sum.total.is_infinite() => sum.total,
            sum => sum.total / self.count + sum.lost / self.count,
        }
    }
}

/// A variance by Welford's method (B. P. Welford, Technometrics 4, 1962), with compensated mean and sum of squares.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Variance {
    count: f64,
    mean: Sum,
    squares: Sum,
}

impl Variance {
    /// Adds a value.
    #[inline]
    pub(crate) fn add(&mut self, value: f64) {
        self.count += 1.0;
        let delta = value - self.mean.value();
        self.mean.add(delta / self.count);
        self.squares.add(delta * (value - self.mean.value()));
    }

    /// The population variance; NaN of nothing, and where any value was not finite.
    pub(crate) fn value(self) -> f64 {
        self.squares.value() / self.count
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Sum;

    fn total(values: &[f64]) -> Sum {
        let mut total = Sum::default();
        values.iter().for_each(|&value| total.add(value));
        total
    }

    proptest! {
        #[test]
        fn two_sums_at_once_are_those_one_by_one(
            a in proptest::collection::vec(proptest::num::f64::NORMAL, 0..40),
            b in proptest::collection::vec(-1e9..1e9f64, 0..40),
        ) {
            for (sum, alone) in Sum::of_two([&a, &b]).into_iter().zip([total(&a), total(&b)]) {
                prop_assert_eq!(sum.value().to_bits(), alone.value().to_bits());
            }
        }
    }
}
