//! Quantiles of values, and of observations in classic histograms.

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
    for value in values.iter_mut().filter(|value| value.is_nan()) {
        *value = -f64::NAN.abs(); // the least in the total order
    }
    let rank = q * (values.len() - 1) as f64;
    let (lower, weight) = (rank.floor() as usize, rank - rank.floor());
    let (_, &mut low, above) = values.select_nth_unstable_by(lower, f64::total_cmp);
    // The next greater value is the least of what is above.
    let high = above.iter().copied().min_by(f64::total_cmp).unwrap_or(low);
    low * (1.0 - weight) + high * weight
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
