//! Functions of one number and some parameters.

/// 1, 0 or -1 by sign; zeros and NaN as they are.
pub(super) fn sgn(value: f64) -> f64 {
    if value > 0.0 {
        1.0
    } else if value < 0.0 {
        -1.0
    } else {
        value
    }
}

/// To the nearest multiple of the parameter (1 without), halves up. It divides by the inverse, which is exact for more of
/// the fractions people write than multiplying with them.
pub(super) fn round(value: f64, params: &[f64]) -> Option<f64> {
    let inverse = 1.0 / params.first().copied().unwrap_or(1.0);
    Some((value * inverse + 0.5).floor() / inverse)
}

/// Between two bounds; nothing where they are the wrong way round.
pub(super) fn clamp(value: f64, bounds: &[f64]) -> Option<f64> {
    let (low, high) = (bounds[0], bounds[1]);
    let wrong = high < low; // never of NaN, which then comes out
    (!wrong).then(|| greater(low, lesser(high, value)))
}

/// At most a bound.
pub(super) fn clamp_max(value: f64, bounds: &[f64]) -> Option<f64> {
    Some(lesser(bounds[0], value))
}

/// At least a bound.
pub(super) fn clamp_min(value: f64, bounds: &[f64]) -> Option<f64> {
    Some(greater(bounds[0], value))
}

/// The lesser of two numbers; NaN where either is.
pub(super) fn lesser(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.min(b) }
}

/// The greater of two numbers; NaN where either is.
pub(super) fn greater(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}
