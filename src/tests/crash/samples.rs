//! Samples as they were sent, and as they are found.

use std::{collections::BTreeMap, sync::Arc};

use fastrand::Rng;

use crate::{
    engine::Engine,
    model::{Labels, MatchOp, Matcher, TimeRange, metric_name},
    select::{Source, View},
};

/// Every sample of every series, as the bits of its value.
pub(super) type Contents = BTreeMap<(String, i64), u64>;

/// One sample a client sent.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) table: &'static str,
    pub(super) host: u32,
    pub(super) field: &'static str,
    pub(super) time: i64,
    pub(super) value: f64,
}

/// What all samples add up to: the later one wins.
pub(super) fn expected<'s>(sent: impl Iterator<Item = &'s Sent>) -> Contents {
    let mut contents = Contents::new();
    for sample in sent {
        let name = metric_name(sample.table, sample.field);
        let labels = Labels::from([("__name__", name.as_str()), ("host", sample.host.to_string().as_str())]);
        contents.insert((labels.to_string(), sample.time), sample.value.to_bits());
    }
    contents
}

/// A value that no other sample has, in the shapes the codec treats differently.
pub(super) fn value(rng: &mut Rng, counter: u64) -> f64 {
    let n = counter as f64;
    match rng.u8(..8) {
        0 => n / 100.0,
        1 => f64::from_bits(0x7ff8_0000_0000_0000 | counter),
        2 => n.sqrt(),
        _ => n,
    }
}

/// All that an engine shows.
pub(super) fn contents(engine: &Arc<Engine>) -> Contents {
    let view = View::new(engine);
    let everything = [Matcher::new("__name__", MatchOp::Regex, ".+").unwrap()];
    let mut contents = Contents::new();
    for series in view.select(&everything, TimeRange::ALL).unwrap() {
        let series = series.unwrap();
        assert!(series.times.is_sorted_by(|a, b| a < b), "times ascend");
        for (time, value) in series.times.iter().zip(&series.values) {
            let before = contents.insert((series.labels.to_string(), *time), value.to_bits());
            assert_eq!(before, None, "a series comes once");
        }
    }
    contents
}

/// How two contents differ, in words.
pub(super) fn difference(found: &Contents, expected: &Contents) -> String {
    let missing = expected.iter().filter(|(key, _)| !found.contains_key(*key)).count();
    let extra = found.iter().filter(|(key, _)| !expected.contains_key(*key)).count();
    let changed: Vec<_> =
        expected.iter().filter(|(k, v)| found.get(*k).is_some_and(|other| other != *v)).take(3).collect();
    format!("{missing} missing, {extra} extra, changed: {changed:?}")
}
