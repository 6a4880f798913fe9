//! Numbers as Prometheus writes them in labels and messages.

/// All digits, no exponent: `0.00001`, `+Inf`, `NaN`.
pub(crate) fn plain(value: f64) -> String {
    match value {
        _ if value.is_nan() => "NaN".to_owned(),
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        _ => value.to_string(),
    }
}

/// The shortest form, with an exponent of at least two digits below 1e-4 and from 1e6 on: `1.5`, `1e-05`.
pub(crate) fn shortest(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() || size == 0.0 || (1e-4..1e6).contains(&size) {
        return plain(value);
    }
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').expect("`{:e}` writes an exponent");
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    format!("{digits}e{sign}{exponent:0>2}")
}

/// Two digits that count, with an exponent below 1e-4 and from 100 on: `0.12`, `1.5e+03`.
pub(crate) fn two_digits(value: f64) -> String {
    if !value.is_finite() || value == 0.0 {
        return plain(value);
    }
    let text = format!("{value:.1e}");
    let (digits, exponent) = text.split_once('e').expect("`{:e}` writes an exponent");
    let exponent: i32 = exponent.parse().expect("an exponent is a whole number");
    let trimmed = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    match exponent {
        -4..=1 => trimmed(&format!("{value:.*}", (1 - exponent).unsigned_abs() as usize)),
        _ => format!("{}e{}{:02}", trimmed(digits), if exponent < 0 { '-' } else { '+' }, exponent.unsigned_abs()),
    }
}

/// As OpenMetrics writes numbers in `le` and `quantile`: like [`shortest`], but never without a dot or an exponent.
pub(crate) fn open_metrics(value: f64) -> String {
    let text = shortest(value);
    let whole = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    if whole { text + ".0" } else { text }
}

#[cfg(test)]
mod tests {
    use super::{open_metrics, plain, shortest, two_digits};

    #[test]
    fn numbers_read_as_in_prometheus() {
        assert_eq!([0.5, 8.0, 1e22].map(plain), ["0.5", "8", "10000000000000000000000"]);
        assert_eq!([f64::NAN, f64::INFINITY, f64::NEG_INFINITY].map(plain), ["NaN", "+Inf", "-Inf"]);
        assert_eq!([1.1, -0.1, 2.5e-7, 1234567.0, 0.0].map(shortest), ["1.1", "-0.1", "2.5e-07", "1.234567e+06", "0"]);
        let [a, b, c, d, e, f, g] = [10.0, 9.96, 0.125, 1500.0, 99.6, 0.00001, 3.0].map(two_digits);
        assert_eq!([a, b, c, d, e, f, g], ["10", "10", "0.12", "1.5e+03", "1e+02", "1e-05", "3"]);
        assert_eq!([0.0, 1.0, 0.25, -3.0].map(open_metrics), ["0.0", "1.0", "0.25", "-3.0"]);
    }
}
