//! Sizes, against a count of every series.

use std::collections::BTreeMap;

use super::{World, key};
use crate::model::{METRIC_NAME, Unlimited};

/// Streams with few and many values, some seen with several layouts.
fn world(seed: u64) -> World {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut world = World::new();
    for _ in 0..300 {
        let (table, host) = (random.choice(["cpu", "mem", "cpu_usage"]).unwrap(), format!("h{}", random.u32(..200)));
        let region = format!("r{}", random.u32(..4));
        let mut tags = vec![("host", host.as_str())];
        if random.bool() {
            tags.push(("region", region.as_str()));
        }
        let fields: Vec<_> = ["user", "idle", "usage_user", "value"].into_iter().filter(|_| random.bool()).collect();
        if !fields.is_empty() {
            world.add(&key(table, &tags), &fields);
        }
    }
    world
}

fn sorted(counts: &BTreeMap<String, u64>, limit: usize) -> Vec<(String, u64)> {
    let mut list: Vec<_> = counts.iter().map(|(name, count)| (name.clone(), *count)).collect();
    list.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    list.truncate(limit);
    list
}

#[test]
fn sizes_are_those_of_a_count_of_every_series() {
    let seed = fastrand::u64(..);
    let world = world(seed);
    let (mut metrics, mut pairs) = (BTreeMap::new(), BTreeMap::new());
    let (mut values, mut bytes) = (BTreeMap::new(), BTreeMap::new());
    let mut series = 0;
    for (_, key, fields) in &world.list {
        for field in fields {
            series += 1;
            for (name, value) in key.labels(field).iter() {
                *bytes.entry(name.to_owned()).or_default() += value.len() as u64;
                *pairs.entry(format!("{name}={value}")).or_default() += 1;
                if name == METRIC_NAME {
                    *metrics.entry(value.to_owned()).or_default() += 1;
                }
            }
        }
    }
    for pair in pairs.keys() {
        *values.entry(pair.split_once('=').unwrap().0.to_owned()).or_default() += 1;
    }
    for limit in [1, 7, 10_000] {
        let sizes = world.streams.cardinality(&world.schema, limit, &Unlimited).unwrap();
        assert_eq!((sizes.series, sizes.label_pairs), (series, pairs.len() as u64), "seed {seed}");
        assert_eq!(sizes.series_by_metric, sorted(&metrics, limit), "seed {seed}");
        assert_eq!(sizes.values_by_label, sorted(&values, limit), "seed {seed}");
        assert_eq!(sizes.bytes_by_label, sorted(&bytes, limit), "seed {seed}");
        assert_eq!(sizes.series_by_pair, sorted(&pairs, limit), "seed {seed}");
    }
}
