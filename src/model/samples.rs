//! Runs of samples, and putting several together.

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
    pub fn merge(mut runs: Vec<Self>) -> Self {
        runs.retain(|run| !run.is_empty());
        // Halving keeps the cost at n log(runs) comparisons, and the order of precedence.
        while runs.len() > 1 {
            let mut pairs = runs.into_iter();
            runs = std::iter::from_fn(|| {
                let older = pairs.next()?;
                Some(match pairs.next() {
                    Some(newer) => older.merged_with(&newer),
                    None => older,
                })
            })
            .collect();
        }
        runs.pop().unwrap_or_default()
    }

    fn merged_with(mut self, newer: &Self) -> Self {
        if self.times.last() < newer.times.first() {
            self.extend(&newer.times, &newer.values);
            return self;
        }
        let mut merged = Self::default();
        let (mut i, mut j) = (0, 0);
        while i < self.len() && j < newer.len() {
            if self.times[i] < newer.times[j] {
                merged.push(self.times[i], self.values[i]);
                i += 1;
            } else {
                i += usize::from(self.times[i] == newer.times[j]);
                merged.push(newer.times[j], newer.values[j]);
                j += 1;
            }
        }
        merged.extend(&self.times[i..], &self.values[i..]);
        merged.extend(&newer.times[j..], &newer.values[j..]);
        merged
    }
}
