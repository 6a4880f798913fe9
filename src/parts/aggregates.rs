//! What the index knows about a column without decoding it.

/// The bits of the stale marker: the NaN Prometheus writes where a series ends.
pub const STALE: u64 = 0x7ff0_0000_0000_0002;

/// Sums run in this many independent lanes, so that they do not wait for each other.
const LANES: usize = 8;

/// Whether `value` is the stale marker.
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE
}

/// Aggregates of one field of a block of one stream. Stale markers are left out of all of them; a column with any
/// other NaN has none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Aggregates {
    /// First value in time; NaN when `count` is 0, as are `last`, `min` and `max`.
    pub first: f64,
    /// Last value in time.
    pub last: f64,
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
    /// Sum, with compensation for rounding; 0 when `count` is 0.
    pub sum: f64,
    /// How many values there are. Equal to the block's rows when none is stale: only then are the times of `first` and
    /// `last` the block's bounds.
    pub count: u32,
    /// Sum of the values from which a counter fell: what its resets hid.
    pub correction: f64,
}

impl Aggregates {
    /// The aggregates of a column in time order.
    pub fn of(values: &[f64]) -> Option<Self> {
        // Looks at all of them, which is quicker than stopping at the first.
        if !values.iter().fold(false, |any, value| any | value.is_nan()) {
            return Some(Self::of_numbers(values));
        }
        let fresh: Vec<f64> = values.iter().copied().filter(|&value| !is_stale(value)).collect();
        let all_numbers = !fresh.iter().any(|value| value.is_nan());
        all_numbers.then(|| Self::of_numbers(&fresh))
    }

    /// The aggregates of `rows` times the same value.
    pub fn of_constant(value: f64, rows: u32) -> Option<Self> {
        match value.is_nan() {
            true if is_stale(value) => Some(Self::of_numbers(&[])),
            true => None,
            false => Some(Self { sum: value * f64::from(rows), count: rows, ..Self::of_numbers(&[value]) }),
        }
    }

    /// How much a counter grew from the first to the last value, resets made up for.
    pub fn increase(&self) -> f64 {
        self.last - self.first + self.correction
    }

    fn of_numbers(values: &[f64]) -> Self {
        let (Some(&first), Some(&last)) = (values.first(), values.last()) else {
            let nan = f64::NAN;
            return Self { first: nan, last: nan, min: nan, max: nan, sum: 0.0, count: 0, correction: 0.0 };
        };
        let min = fold(values, first, |min, value| if value < min { value } else { min });
        let max = fold(values, first, |max, value| if value > max { value } else { max });
        let count = values.len() as u32;
        Self { first, last, min, max, sum: sum(values), count, correction: correction(values) }
    }
}

/// Folds in lanes; `f` must not care about order.
fn fold(values: &[f64], start: f64, f: impl Fn(f64, f64) -> f64) -> f64 {
    let (rows, rest) = values.as_chunks::<LANES>();
    let mut lanes = [start; LANES];
    for row in rows {
        for (lane, &value) in lanes.iter_mut().zip(row) {
            *lane = f(*lane, value);
        }
    }
    lanes.iter().chain(rest).fold(start, |all, &value| f(all, value))
}

/// A compensated sum: each lane keeps what its additions rounded away (Knuth's two-sum).
fn sum(values: &[f64]) -> f64 {
    let (rows, rest) = values.as_chunks::<LANES>();
    let (mut sums, mut lost) = ([0.0; LANES], [0.0; LANES]);
    for row in rows {
        for ((sum, lost), &value) in sums.iter_mut().zip(&mut lost).zip(row) {
            let (rounded, error) = two_sum(*sum, value);
            *sum = rounded;
            *lost += error;
        }
    }
    let mut total = 0.0;
    let mut error: f64 = lost.iter().sum();
    for &value in sums.iter().chain(rest) {
        let (rounded, lost) = two_sum(total, value);
        total = rounded;
        error += lost;
    }
    // An infinite sum makes the errors NaN; they are meaningless then.
    if error.is_finite() { total + error } else { total }
}

/// The rounded sum and its exact rounding error.
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let b_there = sum - a;
    (sum, (a - (sum - b_there)) + (b - b_there))
}

fn correction(values: &[f64]) -> f64 {
    let fell = |before: f64, value: f64| if value < before { before } else { 0.0 };
    let (befores, rest_before) = values[..values.len() - 1].as_chunks::<LANES>();
    let (afters, rest_after) = values[1..].as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for (before, after) in befores.iter().zip(afters) {
        for lane in 0..LANES {
            lanes[lane] += fell(before[lane], after[lane]);
        }
    }
    lanes.iter().sum::<f64>() + rest_before.iter().zip(rest_after).map(|(&b, &a)| fell(b, a)).sum::<f64>()
}
