//! The doors alone: a query's result to the text that goes out, 1,000 series of a day at a minute.

#[allow(unreachable_pub)] // as every bench includes it
#[path = "common/mod.rs"]
mod common;

use common::{Case, interleaved};
use plimsoll::{
    http::encoded,
    model::Labels,
    promql::{MatrixSeries, Value},
};

const SERIES: usize = 1_000;
const POINTS: usize = 1_440;

/// The value of the sample with a number.
type Values = Box<dyn Fn(usize) -> f64>;

fn matrix(value: impl Fn(usize) -> f64) -> Value {
    let series = (0..SERIES).map(|host| {
        let (name, region) = (format!("host_{host}"), format!("region_{}", host % 10));
        let labels = [("__name__", "cpu_usage_user"), ("host", &name), ("region", &region)];
        let time = |step: usize| (1_795_154_400 + step as i64 * 60) * 1_000_000_000;
        let floats = (0..POINTS).map(|step| (time(step), value(host * POINTS + step))).collect();
        MatrixSeries { labels: Labels::from(labels), floats, histograms: Vec::new() }
    });
    Value::Matrix(series.collect())
}

fn main() {
    let spread = |index: usize| index.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11;
    let values: [(&str, Values); 4] = [
        ("whole numbers below 100", Box::new(move |index| (spread(index) % 100) as f64)),
        ("two decimals", Box::new(move |index| (spread(index) % 10_000) as f64 / 100.0)),
        ("17 digits", Box::new(move |index| spread(index) as f64 / (1_u64 << 53) as f64)),
        ("counters of bytes", Box::new(move |index| (spread(index) % (1 << 40)) as f64)),
    ];
    let cases = values.map(|(name, value)| {
        let value = matrix(value);
        let bytes: usize = encoded(value.clone()).map(|piece| piece.len()).sum();
        let run = move || {
            for piece in encoded(value.clone()) {
                std::hint::black_box(piece);
            }
        };
        let samples = (SERIES * POINTS) as f64;
        Case { name: name.to_owned(), units: samples, bytes: bytes as f64, run: Box::new(run) as Box<dyn FnMut()> }
    });
    let copied = matrix(|index| index as f64);
    let copy = Case {
        name: "the copy alone".to_owned(),
        units: (SERIES * POINTS) as f64,
        bytes: 0.0,
        run: Box::new(move || drop(std::hint::black_box(copied.clone()))) as Box<dyn FnMut()>,
    };
    interleaved(
        "1.44 M samples to JSON, a copy of them included",
        "sample",
        9,
        cases.into_iter().chain([copy]).collect(),
    );
}
