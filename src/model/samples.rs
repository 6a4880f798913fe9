//! Runs of samples, and putting several together.
//!
//! A counter's sample may say since when it counts: its *start timestamp*. It is a property of the row, and travels with it
//! as one more column, under a field name that no client can write ([`START_FIELD`]): through log, memtable, pages, parts
//! and compaction like any value, and at no cost to streams without. The column holds Unix nanoseconds as the bits of a
//! double ([`start_bits`]), which the codec keeps exactly and stores as integers; 0 is a row without a start. Whoever writes
//! rows with starts writes the column in all of them, so that a row written again takes its start along.

use super::{
    Allowance, Stopped, Unlimited,
    turns::{self, Pace, TURN},
};

/// The field that holds start timestamps. Fields of clients have no NUL in their names.
pub const START_FIELD: &str = "\0start";

/// A start timestamp (Unix nanoseconds, 0 for none) as its column holds it.
pub fn start_bits(start: i64) -> f64 {
    f64::from_bits(start as u64)
}

/// The start timestamp that a value of the column stands for.
pub fn start_of_bits(value: f64) -> i64 {
    value.to_bits() as i64
}

/// Samples of one series: times (Unix nanoseconds) ascending and unique, one value each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples {
    /// Unix nanoseconds.
    pub times: Vec<i64>,
    /// One per time.
    pub values: Vec<f64>,
}

impl Samples {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// Adds a sample behind all others.
    pub fn push(&mut self, time: i64, value: f64) {
        self.times.push(time);
        self.values.push(value);
    }

    /// Adds a run behind all others.
    pub fn extend(&mut self, times: &[i64], values: &[f64]) {
        self.times.extend_from_slice(times);
        self.values.extend_from_slice(values);
    }

    /// Several runs of one series in one. Where two hold the same time, the later in `runs` wins.
    pub fn merge(runs: Vec<Self>) -> Self {
        Self::allowed_merge(runs, &Unlimited).expect("nobody stops it")
    }

    /// As [`Self::merge`], for whom that may take too long.
    pub fn allowed_merge(mut runs: Vec<Self>, allowance: &dyn Allowance) -> Result<Self, Stopped> {
        runs.retain(|run| !run.is_empty());
        let mut pace = Pace::default();
        // Halving keeps the cost at n log(runs) comparisons, and the order of precedence.
        while runs.len() > 1 {
            let mut pairs = runs.into_iter();
            let merged = std::iter::from_fn(|| {
                let older = pairs.next()?;
                Some(match pairs.next() {
                    Some(newer) => pace
                        .step(older.len() + newer.len(), allowance)
                        .and_then(|()| older.merged_with(&newer, allowance)),
                    None => Ok(older),
                })
            });
            runs = merged.collect::<Result<_, _>>()?;
        }
        Ok(runs.pop().unwrap_or_default())
    }

    fn merged_with(mut self, newer: &Self, allowance: &dyn Allowance) -> Result<Self, Stopped> {
        if self.times.last() < newer.times.first() {
            self.allowed_extend(newer, 0, allowance)?;
            return Ok(self);
        }
        let most = self.len() + newer.len();
        let mut merged = Self { times: Vec::with_capacity(most), values: Vec::with_capacity(most) };
        let (mut i, mut j) = (0, 0);
        while i < self.len() && j < newer.len() {
            let turn = merged.len() + TURN;
            while i < self.len() && j < newer.len() && merged.len() < turn {
                if self.times[i] < newer.times[j] {
                    merged.push(self.times[i], self.values[i]);
                    i += 1;
                } else {
                    i += usize::from(self.times[i] == newer.times[j]);
                    merged.push(newer.times[j], newer.values[j]);
                    j += 1;
                }
            }
            if merged.len() == turn {
                allowance.check()?;
            }
        }
        merged.allowed_extend(&self, i, allowance)?;
        merged.allowed_extend(newer, j, allowance)?;
        Ok(merged)
    }

    /// Adds the samples of a run from an index on.
    fn allowed_extend(&mut self, run: &Self, from: usize, allowance: &dyn Allowance) -> Result<(), Stopped> {
        turns::extend(&mut self.times, &run.times[from..], allowance)?;
        turns::extend(&mut self.values, &run.values[from..], allowance)
    }
}
