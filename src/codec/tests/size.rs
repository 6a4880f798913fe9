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

#[test]
fn full_columns_keep_to_their_sizes() {
    let limits = [
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
    for ((name, values), (same_name, limit)) in data::all_values(ROWS).into_iter().zip(limits) {
        assert_eq!(name, same_name);
        check(name, limit, bytes_a_row(|encoder, out| encoder.values(&values, out), Level::Full));
    }
    let limits = [("regular", 0.002), ("scraped", 0.474), ("events", 3.12)];
    for ((name, times), (same_name, limit)) in data::all_times(ROWS).into_iter().zip(limits) {
        assert_eq!(name, same_name);
        check(name, limit, bytes_a_row(|encoder, out| encoder.times(&times, out), Level::Full));
    }
}
