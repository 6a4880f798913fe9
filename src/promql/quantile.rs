//! Quantiles of values, and of observations in classic histograms.

use std::cmp::Ordering;

use crate::promql::eval::Patience;

/// What a value costs in [`quantile`], in samples that are only added up.
pub(crate) const COST: usize = 8;

/// The `q`-quantile of values, which it reorders; NaN counts as the least. Between two values it lies on the line through
/// them. NaN of nothing; below 0 and above 1 `q` gives the infinities.
pub(crate) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if !(0.0..=1.0).contains(&q) {
        return if q < 0.0 { f64::NEG_INFINITY } else { f64::INFINITY };
    }
    values.iter_mut().for_each(|value| *value = least_if_nan(*value));
    let rank = q * (values.len() - 1) as f64;
    let (lower, weight) = (rank.floor() as usize, rank - rank.floor());
    let (_, &mut low, above) = values.select_nth_unstable_by(lower, f64::total_cmp);
    // The next greater value is the least of what is above.
    let high = above.iter().copied().min_by(f64::total_cmp).unwrap_or(low);
    low * (1.0 - weight) + high * weight
}

/// As [`quantile`], of values that may be so many that it is asked meanwhile whether to go on; where not, what is given
/// means nothing. `scratch` is kept for the next time.
pub(crate) fn in_turns(q: f64, values: &[f64], scratch: &mut Vec<f64>, patience: &Patience<'_>) -> f64 {
    if values.len() <= FEW || !(0.0..=1.0).contains(&q) {
        scratch.clear();
        scratch.extend_from_slice(&values[..values.len().min(FEW)]);
        return quantile(q, scratch);
    }
    let rank = q * (values.len() - 1) as f64;
    let (lower, weight) = (rank.floor() as usize, rank - rank.floor());
    let low = nth(values, lower, patience);
    let (mut upto, mut high) = (0, f64::INFINITY);
    patience.each(values, |value| match least_if_nan(value).total_cmp(&low) {
        Ordering::Greater => high = high.min(value),
        Ordering::Less | Ordering::Equal => upto += 1,
    });
    // Behind `low` there may be others that are as great.
    let high = if upto > lower + 1 || upto == values.len() { low } else { high };
    low * (1.0 - weight) + high * weight
}

/// So many values are put in order at once: some 0.2 ms.
const FEW: usize = 16 << 10;

/// The value that would have an index among the sorted values, more than [`FEW`]. They are narrowed down, in passes that can
/// end early: with the value of about that rank among some of them, to those below it or above it.
fn nth(values: &[f64], index: usize, patience: &Patience<'_>) -> f64 {
    const SAMPLE: usize = 1024;
    let (mut index, mut narrowed) = (index, None::<Vec<f64>>);
    loop {
        let left = narrowed.as_deref().unwrap_or(values);
        let mut sample: Vec<f64> = left.iter().step_by(left.len() / SAMPLE).map(|&value| least_if_nan(value)).collect();
        let place = (index as u128 * sample.len() as u128 / left.len() as u128) as usize;
        let (_, &mut pivot, _) = sample.select_nth_unstable_by(place, f64::total_cmp);
        let (mut below, mut equal) = (0, 0);
        patience.each(left, |value| {
            let order = least_if_nan(value).total_cmp(&pivot);
            below += usize::from(order == Ordering::Less);
            equal += usize::from(order == Ordering::Equal);
        });
        if patience.check().is_err() || (below..below + equal).contains(&index) {
            return pivot;
        }
        let side = if index < below { Ordering::Less } else { Ordering::Greater };
        if side == Ordering::Greater {
            index -= below + equal;
        }
        let mut kept = Vec::new();
        patience.each(left, |value| {
            let value = least_if_nan(value);
            if value.total_cmp(&pivot) == side {
                kept.push(value);
            }
        });
        if patience.check().is_err() {
            return pivot;
        }
        if kept.len() <= FEW {
            let (_, &mut found, _) = kept.select_nth_unstable_by(index, f64::total_cmp);
            return found;
        }
        narrowed = Some(kept);
    }
}

/// The value; for NaN, what is least in the total order.
fn least_if_nan(value: f64) -> f64 {
    if value.is_nan() { -f64::NAN.abs() } else { value }
}

/// A bucket of a classic histogram: how many observations were at most `upper`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bucket {
    pub upper: f64,
    pub count: f64,
}

/// What had to be repaired for counts to rise with the bounds, rounding errors aside.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Repair {
    /// The first and the last bound of a bucket whose count was raised.
    pub buckets: (f64, f64),
    /// The most that a count fell.
    pub fall_max: f64,
}

/// Sorts buckets by bound, adds up those of equal bounds, and repairs counts that fall: by less than a share of 1e-12
/// they are rounding errors, by more the histogram was scraped or summed at different times. Gives what was repaired, if
/// anything; `None` where the last bound is not +Inf.
pub(crate) fn prepare(buckets: &mut Vec<Bucket>) -> Option<Option<Repair>> {
    buckets.sort_by(|a, b| a.upper.total_cmp(&b.upper));
    if buckets.last()?.upper != f64::INFINITY {
        return None;
    }
    buckets.dedup_by(|next, kept| {
        let same = next.upper == kept.upper;
        if same {
            kept.count += next.count;
        }
        same
    });
    let mut repair: Option<Repair> = None;
    let mut previous = buckets[0].count;
    for bucket in &mut buckets[1..] {
        let delta = (bucket.count - previous).abs();
        if delta == 0.0 {
            continue;
        }
        if delta / (bucket.count.abs() + previous.abs()) < 1e-12 {
            bucket.count = previous;
        } else if bucket.count < previous {
            bucket.count = previous;
            let before = repair.unwrap_or(Repair { buckets: (bucket.upper, bucket.upper), fall_max: delta });
            let fall_max = before.fall_max.max(delta);
            repair = Some(Repair { buckets: (before.buckets.0, bucket.upper), fall_max });
        } else {
            previous = bucket.count;
        }
    }
    Some(repair)
}

/// The `q`-quantile of the observations in prepared buckets, taken to lie evenly within each. In the last bucket it is that
/// bucket's lower bound; the first one starts at 0 unless its upper bound is not above that. NaN of a single bucket.
pub(crate) fn bucket_quantile(q: f64, buckets: &[Bucket]) -> f64 {
    let last = buckets.len() - 1;
    if last == 0 || buckets[last].count == 0.0 || buckets[last].count.is_nan() {
        return f64::NAN;
    }
    let rank = q * buckets[last].count;
    let found = buckets[..last].partition_point(|bucket| bucket.count < rank);
    if found == last {
        return buckets[last - 1].upper;
    }
    if found == 0 && buckets[0].upper <= 0.0 {
        return buckets[0].upper;
    }
    let (lower, below) = match found.checked_sub(1) {
        Some(before) => (buckets[before].upper, buckets[before].count),
        None => (0.0, 0.0),
    };
    lower + (buckets[found].upper - lower) * ((rank - below) / (buckets[found].count - below))
}

/// The share of observations between two values, taken to lie evenly within each prepared bucket; those of an infinitely
/// wide bucket lie at its infinite end.
pub(crate) fn bucket_fraction(lower: f64, upper: f64, buckets: &[Bucket]) -> f64 {
    let count = buckets[buckets.len() - 1].count;
    if count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    (rank_of(upper, buckets) - rank_of(lower, buckets)) / count
}

/// How many observations are at most `value`.
fn rank_of(value: f64, buckets: &[Bucket]) -> f64 {
    let mut from = if buckets[0].upper > 0.0 { 0.0 } else { f64::NEG_INFINITY };
    let mut below = 0.0;
    for bucket in buckets {
        if value <= from {
            return below;
        }
        if value < bucket.upper {
            let width = bucket.upper - from;
            return match width.is_finite() {
                true => below + (bucket.count - below) * ((value - from) / width),
                false if from == f64::NEG_INFINITY => bucket.count,
                false => below,
            };
        }
        (from, below) = (bucket.upper, bucket.count);
    }
    below
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{FEW, in_turns, quantile};
    use crate::promql::eval::{Guard, Meter, Patience};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn a_quantile_in_turns_is_the_quantile(
            seed in any::<u64>(),
            count in FEW / 2..5 * FEW,
            kinds in 1..2000_u32,
            q in prop_oneof![Just(0.0), Just(1.0), Just(0.5), 0.0..1.0, Just(-1.0), Just(2.0), Just(f64::NAN)],
        ) {
            let meter = Meter::default();
            let most = u64::MAX;
            let guard = Guard { meter: &meter, samples_max: most, series_max: most, memory_max: most, interrupt: None };
            let mut random = fastrand::Rng::with_seed(seed);
            let mut value = || match random.u32(..kinds) {
                0 => f64::NAN,
                1 => f64::INFINITY,
                kind if kinds > 1000 => f64::from(kind) + random.f64(),
                kind => f64::from(kind),
            };
            let mut values: Vec<f64> = (0..count).map(|_| value()).collect();
            let in_turns = in_turns(q, &values, &mut Vec::new(), &Patience::new(guard));
            let at_once = quantile(q, &mut values);
            prop_assert!(in_turns == at_once || in_turns.is_nan() && at_once.is_nan(), "{} for {}", in_turns, at_once);
        }
    }
}
