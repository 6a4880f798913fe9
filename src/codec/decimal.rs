//! Doubles as decimals: `value = integer / 10^exponent`, exactly.
//!
//! Most measurements were decimals before they were doubles; as integers they are small and close together. An exponent
//! is guessed from a few values, then one pass without branches converts and checks all: divided by the power of ten
//! (multiplying by its inverse would not be exact), each integer must give back the very bits. Values that do not are
//! exceptions. (The idea of ALP: Afroozeh, Kuffó and Boncz, SIGMOD 2024.)
//!
//! Sums and averages of decimals are often a few units in the last place beside one (51.846000000000004). Such columns
//! are taken as the nearest decimals, and how far beside them each value is.

/// 10^22 is the last power of ten that is a double; beyond 10^18 nothing is won.
pub(super) const EXPONENT_MAX: u8 = 18;

const POWERS: [f64; EXPONENT_MAX as usize + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18];

/// 1.5 × 2^52: adding it rounds a double to an integer, which then stands in the low bits of the sum.
const MAGIC: f64 = 6_755_399_441_055_744.0;
/// How far from 0 that works.
const MAGIC_RANGE: f64 = 2_251_799_813_685_248.0;

/// How often a larger exponent is tried when a value needs one.
const RAISES_MAX: usize = 6;

/// How far beside a decimal a double may be, in units in the last place.
const NEAR_MAX: u64 = 15;

/// What counts as a decimal.
#[derive(Clone, Copy)]
struct Rule {
    /// The integer that stands for a value at an exponent, if there is one.
    int: fn(f64, u8) -> Option<i64>,
    /// An exponent is sought for a value up to this integer only: with more digits than that, every double is close to
    /// some decimal by accident.
    range: f64,
}

const EXACT: Rule = Rule { int: exact, range: 1e15 };
const NEAR: Rule = Rule { int: near, range: 1e14 };

/// A column of doubles as integers.
#[derive(Default)]
pub(super) struct Decimals {
    /// Equal to the one before (or 0) at exceptions.
    pub(super) ints: Vec<i64>,
    pub(super) exponent: u8,
    /// Index and bits of the values that are no such decimals.
    pub(super) exceptions: Vec<(u32, u64)>,
}

impl Decimals {
    /// Converts `values`, looking at `samples` of them first; false where more than a tenth would be exceptions.
    pub(super) fn fit(&mut self, values: &[f64], samples: usize) -> bool {
        self.fit_by(EXACT, Self::convert, values, samples)
    }

    /// The same to the nearest decimals; `beside` tells how far off the values are.
    pub(super) fn fit_near(&mut self, values: &[f64], samples: usize) -> bool {
        self.fit_by(NEAR, |_, _| false, values, samples)
    }

    fn fit_by(
        &mut self,
        rule: Rule,
        convert_all: fn(&mut Self, &[f64]) -> bool,
        values: &[f64],
        samples: usize,
    ) -> bool {
        let Some(mut exponent) = guess_exponent(values, samples, rule) else { return false };
        self.exceptions.clear();
        for _ in 0..=RAISES_MAX {
            self.exponent = exponent;
            if convert_all(self, values) {
                self.exceptions.clear();
                return true;
            }
            match self.convert_with_exceptions(values, rule) {
                Some(larger) => exponent = larger,
                None => break,
            }
        }
        self.exceptions.len() <= values.len() / 10 + 1
    }

    /// How many units in the last place each value is beside its decimal; 0 at exceptions.
    pub(super) fn beside(&self, values: &[f64], out: &mut Vec<i64>) {
        let power = POWERS[usize::from(self.exponent)];
        let pairs = values.iter().zip(&self.ints);
        out.clear();
        out.extend(pairs.map(|(&value, &int)| units_between(to_double(int, power), value)));
        for &(index, _) in &self.exceptions {
            out[index as usize] = 0;
        }
    }

    /// The usual case: no exceptions. Leaves garbage and returns false if there are any.
    fn convert(&mut self, values: &[f64]) -> bool {
        let power = POWERS[usize::from(self.exponent)];
        let mut wrong = 0;
        self.ints.clear();
        self.ints.extend(values.iter().map(|&value| {
            let rounded = value * power + MAGIC;
            let int = rounded.to_bits().wrapping_sub(MAGIC.to_bits()) as i64;
            let back = (rounded - MAGIC) / power;
            wrong |= back.to_bits() ^ value.to_bits();
            wrong |= (int.wrapping_add(1 << 51) as u64) >> 52;
            int
        }));
        wrong == 0
    }

    /// Returns a larger exponent instead where an exception has one and all others can bear it.
    fn convert_with_exceptions(&mut self, values: &[f64], rule: Rule) -> Option<u8> {
        self.ints.clear();
        self.exceptions.clear();
        let (mut before, mut larger) = (0, None);
        for (index, &value) in values.iter().enumerate() {
            match (rule.int)(value, self.exponent) {
                Some(int) => before = int,
                None => {
                    self.exceptions.push((index as u32, value.to_bits()));
                    larger = larger.or_else(|| find_exponent(value, self.exponent + 1, rule));
                }
            }
            self.ints.push(before);
        }
        let widest = self.ints.iter().fold(0, |widest, int| int.unsigned_abs().max(widest));
        larger.filter(|larger| widest as f64 * POWERS[usize::from(larger - self.exponent)] < MAGIC_RANGE)
    }
}

/// The smallest exponent that suits most of a few spread values; none where an eighth of them have none.
fn guess_exponent(values: &[f64], samples: usize, rule: Rule) -> Option<u8> {
    let (mut exponent, mut seen, mut bad) = (0, 0, 0);
    for &value in values.iter().step_by((values.len() / samples).max(1)) {
        if !value.is_finite() || value.to_bits() == (-0.0f64).to_bits() {
            continue;
        }
        seen += 1;
        if (rule.int)(value, exponent).is_none() {
            match find_exponent(value, exponent + 1, rule) {
                Some(larger) => exponent = larger,
                None => bad += 1,
            }
        }
        // Noise shows early.
        if bad >= 4 && bad * 2 > seen {
            return None;
        }
    }
    (bad * 8 <= seen).then_some(exponent)
}

fn find_exponent(value: f64, from: u8, rule: Rule) -> Option<u8> {
    let fits = |exponent: &u8| (rule.int)(value, *exponent).is_some();
    let within = POWERS.partition_point(|power| value.abs() * power < rule.range) as u8;
    // What is a decimal at one exponent is one at every larger, so a miss at the largest settles it.
    let largest = within.checked_sub(1).filter(fits)?;
    (from..=largest).find(fits)
}

/// The integer that `value` is at this exponent, where that is exact.
fn exact(value: f64, exponent: u8) -> Option<i64> {
    let power = POWERS[usize::from(exponent)];
    let scaled = value * power;
    let int = if scaled.abs() < MAGIC_RANGE {
        (scaled + MAGIC).to_bits().wrapping_sub(MAGIC.to_bits()) as i64
    } else if exponent == 0 && value.abs() < i64::MAX as f64 {
        value as i64
    } else {
        return None;
    };
    (to_double(int, power).to_bits() == value.to_bits()).then_some(int)
}

/// The integer that `value` is next to at this exponent, where that is near enough.
fn near(value: f64, exponent: u8) -> Option<i64> {
    let power = POWERS[usize::from(exponent)];
    let scaled = value * power;
    if scaled.is_nan() || scaled.abs() >= NEAR.range {
        return None;
    }
    let int = (scaled + MAGIC).to_bits().wrapping_sub(MAGIC.to_bits()) as i64;
    (units_between(to_double(int, power), value).unsigned_abs() <= NEAR_MAX).then_some(int)
}

/// From `a` to `b` in units in the last place, away from 0 being positive.
fn units_between(a: f64, b: f64) -> i64 {
    b.to_bits().wrapping_sub(a.to_bits()) as i64
}

/// Moves each value by units in the last place.
pub(super) fn move_beside(units: &[i64], values: &mut [f64]) {
    for (value, &units) in values.iter_mut().zip(units) {
        *value = f64::from_bits(value.to_bits().wrapping_add(units as u64));
    }
}

fn to_double(int: i64, power: f64) -> f64 {
    int as f64 / power
}

/// Appends the doubles that `ints` are at `exponent`, which is at most `EXPONENT_MAX`.
pub(super) fn to_doubles(ints: &[i64], exponent: u8, out: &mut Vec<f64>) {
    match exponent {
        0 => out.extend(ints.iter().map(|&int| int as f64)),
        _ => {
            let power = POWERS[usize::from(exponent)];
            out.extend(ints.iter().map(|&int| to_double(int, power)));
        }
    }
}
