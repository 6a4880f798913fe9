//! Start timestamps through the engine.

use std::{sync::Arc, time::Duration};

use crate::{
    disk::SimDisk,
    durability::Mode,
    engine::Engine,
    model::{
        Batch, Labels, METRIC_NAME, MatchOp, Matcher, Rows, START_FIELD, StreamKey, TimeRange, Unlimited, start_bits,
    },
    select::{Series, Source, View},
    stage::RowsEncoder,
    tests::stored::{Kept, open_in, source},
};

/// Odd numbers of nanoseconds, before the epoch too, and the greatest there are.
const STARTS: [i64; 6] = [1_700_000_000_123_456_789, 0, -5, i64::MAX, i64::MIN, 1_700_000_000_123_456_790];

fn everything() -> [Matcher; 1] {
    [Matcher::new(METRIC_NAME, MatchOp::Regex, ".*").unwrap()]
}

fn read(source: &dyn Source) -> Vec<Series> {
    let everything = everything();
    let series = source.select(&everything, TimeRange::ALL).unwrap();
    let mut series: Vec<Series> = series.map(Result::unwrap).collect();
    series.sort_by(|a, b| a.labels.cmp(&b.labels));
    series
}

#[test]
fn start_timestamps_come_back_to_the_nanosecond_wherever_the_samples_are() {
    let labels = |i| Labels::from([(METRIC_NAME, "m"), ("i", i)]);
    let times: Vec<i64> = (0..600).map(|i| 1_700_000_000_000_000_000 + i * 15_000_000_000).collect();
    let values: Vec<f64> = (0..600).map(f64::from).collect();
    let series = |i, starts| Series {
        labels: labels(i),
        times: times.clone().into(),
        values: values.clone(),
        starts,
        digests: Vec::new(),
    };
    let written = [
        series("constant", vec![STARTS[0]; 600]),
        series("delta", times.iter().map(|time| time - 15_000_000_001).collect()),
        series("none", Vec::new()),
        series("odd", STARTS.into_iter().cycle().take(600).collect()),
    ];
    for kept in Kept::ALL {
        assert_eq!(read(&*source(kept, &written)), written, "{kept:?}");
    }
}

fn engine() -> Arc<Engine> {
    open_in(&SimDisk::new(1), Mode::WalSync).unwrap()
}

/// Writes a row of a table without tags.
pub(super) fn write(engine: &Engine, table: &str, fields: &[&str], time: i64, values: &[f64]) {
    let (stream, slot) = engine.stream(&StreamKey::new(table, []).unwrap()).unwrap();
    let (layout, order) = engine.layout(table, fields).unwrap();
    let values = order.iter().map(|&place| values[usize::from(place)]).collect();
    let (streams, slots, times) = (vec![stream], vec![slot], vec![time]);
    let rows = Rows { layout, width: fields.len(), streams, slots, times, values, ..Rows::default() };
    let batch = Batch { groups: vec![rows] };
    let mut payload = Vec::new();
    RowsEncoder::default().encode(&batch, &mut payload);
    drop(engine.submit(batch, payload, None).unwrap());
    engine.commit_step(Duration::from_secs(1));
}

#[test]
fn the_column_of_start_timestamps_is_no_series() {
    let engine = engine();
    write(&engine, "m", &["a", START_FIELD], 1, &[2.0, start_bits(7)]);
    write(&engine, "m", &["b"], 3, &[4.0]);
    let view = View::new(&engine);
    let names = ["m_a", "m_b"].map(|name| Labels::from([(METRIC_NAME, name)]));
    assert_eq!(view.label_values(METRIC_NAME, &[], TimeRange::ALL, &Unlimited).unwrap(), ["m_a", "m_b"]);
    assert_eq!(view.series(&everything(), TimeRange::ALL, &Unlimited).unwrap(), names);
    let starts: Vec<Vec<i64>> = read(&view).into_iter().map(|series| series.starts).collect();
    assert_eq!(starts, [vec![7], Vec::new()]);
}

#[test]
fn where_two_streams_carry_one_series_the_start_is_that_of_the_sample_that_wins() {
    let engine = engine();
    write(&engine, "a", &["b_c", START_FIELD], 1, &[1.0, start_bits(10)]);
    write(&engine, "a", &["b_c", START_FIELD], 2, &[2.0, start_bits(20)]);
    write(&engine, "a_b", &["c"], 2, &[3.0]);
    let labels = Labels::from([(METRIC_NAME, "a_b_c")]);
    let expected =
        Series { labels, times: vec![1, 2].into(), values: vec![1.0, 3.0], starts: vec![10, 0], digests: Vec::new() };
    assert_eq!(read(&View::new(&engine)), [expected]);
}
