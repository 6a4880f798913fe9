//! What is made of some samples or values.

/// The result of a function of a window, whose samples are given with seconds from some time, as are its edges.
pub(super) fn value(function: &str, param: f64, samples: &[(f64, f64)], edges: (f64, f64)) -> Option<f64> {
    let values: Vec<f64> = samples.iter().map(|(_, value)| *value).collect();
    let (first, last) = (*samples.first()?, *samples.last()?);
    let pairs = || values.windows(2).map(|pair| (pair[0], pair[1]));
    let two = values.len() >= 2;
    Some(match function {
        "first_over_time" => first.1,
        "last_over_time" => last.1,
        "present_over_time" => 1.0,
        "changes" => pairs().filter(|(a, b)| a != b && !(a.is_nan() && b.is_nan())).count() as f64,
        "resets" => pairs().filter(|(a, b)| b < a).count() as f64,
        "quantile_over_time" => quantile(param, &values),
        "idelta" if two => last.1 - samples[samples.len() - 2].1,
        "irate" if two => {
            let before = samples[samples.len() - 2];
            (if last.1 < before.1 { last.1 } else { last.1 - before.1 }) / (last.0 - before.0)
        }
        "deriv" if two => line(samples).0,
        "predict_linear" if two => {
            // Times are from the evaluation on.
            let (slope, now) = line(samples);
            slope * param + now
        }
        "rate" if two => growth(samples, edges, true) / (edges.1 - edges.0),
        "increase" if two => growth(samples, edges, true),
        "delta" if two => growth(samples, edges, false),
        "idelta" | "irate" | "deriv" | "predict_linear" | "rate" | "increase" | "delta" => return None,
        over => aggregated(over.strip_suffix("_over_time")?, &values),
    })
}

/// The difference of last and first sample, resets made up for, extrapolated to the edges.
fn growth(samples: &[(f64, f64)], edges: (f64, f64), counter: bool) -> f64 {
    let (first, last) = (samples[0], samples[samples.len() - 1]);
    let mut grown = last.1 - first.1;
    for pair in samples.windows(2) {
        if counter && pair[1].1 < pair[0].1 {
            grown += pair[0].1;
        }
    }
    let sampled = last.0 - first.0;
    let distance = sampled / (samples.len() - 1) as f64;
    let mut before = first.0 - edges.0;
    if before >= distance * 1.1 {
        before = distance / 2.0;
    }
    if counter && grown > 0.0 && first.1 >= 0.0 {
        before = before.min(sampled * (first.1 / grown));
    }
    let mut after = edges.1 - last.0;
    if after >= distance * 1.1 {
        after = distance / 2.0;
    }
    grown * ((sampled + before + after) / sampled)
}

/// Slope and value at 0 of the line of least squares; a level one where all values are the same.
fn line(samples: &[(f64, f64)]) -> (f64, f64) {
    if samples.iter().all(|(_, value)| *value == samples[0].1) {
        return (0.0, samples[0].1);
    }
    let count = samples.len() as f64;
    let (x_mean, y_mean) =
        (samples.iter().map(|(x, _)| x).sum::<f64>() / count, samples.iter().map(|(_, y)| y).sum::<f64>() / count);
    let covariance: f64 = samples.iter().map(|(x, y)| (x - x_mean) * (y - y_mean)).sum();
    let variance: f64 = samples.iter().map(|(x, _)| (x - x_mean).powi(2)).sum();
    (covariance / variance, y_mean - covariance / variance * x_mean)
}

/// What an aggregation makes of values, at least one.
pub(super) fn aggregated(operation: &str, values: &[f64]) -> f64 {
    let count = values.len() as f64;
    let mean = || values.iter().sum::<f64>() / count;
    let variance = || values.iter().map(|value| (value - mean()).powi(2)).sum::<f64>() / count;
    match operation {
        "sum" => values.iter().sum(),
        "avg" => mean(),
        "count" => count,
        "group" => 1.0,
        "min" => values.iter().copied().fold(f64::NAN, f64::min),
        "max" => values.iter().copied().fold(f64::NAN, f64::max),
        "stdvar" => variance(),
        "stddev" => variance().sqrt(),
        other => panic!("no operation {other}"),
    }
}

/// Between the two values of the nearest ranks; NaN is the least value.
pub(super) fn quantile(q: f64, values: &[f64]) -> f64 {
    if !(0.0..=1.0).contains(&q) {
        return f64::INFINITY.copysign(q);
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| a.partial_cmp(b).unwrap_or(b.is_nan().cmp(&a.is_nan())));
    let rank = q * (values.len() - 1) as f64;
    let (low, high) = (sorted[rank.floor() as usize], sorted[rank.ceil() as usize]);
    let weight = rank - rank.floor();
    low * (1.0 - weight) + high * weight
}

/// The greater number; NaN where either is.
pub(super) fn greater(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}
