//! Bytes a row on the usual kinds of columns, so that a loss of compression shows.

use super::data::{self, ROWS};
use crate::codec::{Encoder, Level};

fn bytes_a_row(encode: impl Fn(&mut Encoder, &mut Vec<u8>), level: Level) -> f64 {
    let mut payload = vec![];
    encode(&mut Encoder::new(level), &mut payload);
    payload.len() as f64 / ROWS as f64
}

fn check(name: &str, limit: f64, size: f64) {
    assert!(size <= limit, "{name}: {size:.4} bytes a row, {limit} before");
    assert!(size >= limit * 0.95, "{name}: {size:.4} bytes a row; lower the limit {limit} to keep what was won");
}

type Limits = [(&'static str, f64)];

fn check_all(level: Level, values: &Limits, times: &Limits) {
    for ((name, column), (same_name, limit)) in data::all_values(ROWS).into_iter().zip(values) {
        assert_eq!(name, *same_name);
        check(name, *limit, bytes_a_row(|encoder, out| encoder.values(&column, out), level));
    }
    for ((name, column), (same_name, limit)) in data::all_times(ROWS).into_iter().zip(times) {
        assert_eq!(name, *same_name);
        check(name, *limit, bytes_a_row(|encoder, out| encoder.times(&column, out), level));
    }
}

#[test]
fn full_columns_keep_to_their_sizes() {
    let values = [
        ("const", 0.0011),
        ("int_gauge", 0.288),
        ("two_decimals", 1.1),
        ("counter", 0.524),
        ("booleans", 0.0275),
        ("rarely_changing", 0.0055),
        ("noisy", 6.3),
        ("latencies", 2.11),
        ("few_distinct", 0.331),
        ("slow_counter", 0.263),
        ("sums", 0.912),
    ];
    check_all(Level::Full, &values, &[("regular", 0.002), ("scraped", 0.474), ("events", 3.12)]);
}

#[test]
fn light_columns_keep_to_their_sizes() {
    let values = [
        ("const", 0.0011),
        ("int_gauge", 0.502),
        ("two_decimals", 1.26),
        ("counter", 0.63),
        ("booleans", 0.127),
        ("rarely_changing", 0.63),
        ("noisy", 6.4),
        ("latencies", 2.63),
        ("few_distinct", 2.51),
        ("slow_counter", 1.13),
        ("sums", 7.9),
    ];
    check_all(Level::Light, &values, &[("regular", 0.002), ("scraped", 1.88), ("events", 3.38)]);
}
