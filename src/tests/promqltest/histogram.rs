//! Native histograms as scripts write them: `{{schema:0 sum:5 count:4 buckets:[1 2 1]}}`.

use crate::{
    promql::{Buckets, Histogram, ResetHint},
    tests::promqltest::{Written, series::number},
};

/// A histogram, or one and what is added to it again and again, `count` times in all.
pub(super) fn run(text: &str, count: usize) -> Option<Vec<Written>> {
    let (first, rest) = text.strip_prefix("{{")?.split_once("}}")?;
    let first = histogram(first)?;
    let step = match rest.as_bytes().first() {
        None => None,
        Some(b'+') => Some((1.0, step(&rest[1..])?)),
        Some(b'-') => Some((-1.0, step(&rest[1..])?)),
        Some(_) => return None,
    };
    let mut run = vec![Written::Histogram(Box::new(first.clone()))];
    let mut last = first;
    while run.len() < count {
        if let Some((sign, step)) = &step {
            last = added(&last, step, *sign)?;
        }
        run.push(Written::Histogram(Box::new(last.clone())));
    }
    Some(run)
}

fn step(text: &str) -> Option<Histogram> {
    histogram(text.strip_prefix("{{")?.strip_suffix("}}")?)
}

/// A histogram plus another times `sign`, whose resolution must be as fine or finer.
fn added(histogram: &Histogram, step: &Histogram, sign: f64) -> Option<Histogram> {
    let mut sum = histogram.clone();
    let coarser = u32::try_from(step.schema - sum.schema).ok()?;
    sum.count += sign * step.count;
    sum.sum += sign * step.sum;
    sum.zero_count += sign * step.zero_count;
    for (buckets, step) in [(&mut sum.positive, &step.positive), (&mut sum.negative, &step.negative)] {
        add_buckets(buckets, &coarsened(step, coarser), sign);
    }
    Some(sum)
}

/// Buckets of a resolution so many times halved.
fn coarsened(buckets: &Buckets, halvings: u32) -> Buckets {
    let index = |index: i32| ((index - 1) >> halvings) + 1;
    let mut coarse = Buckets { offset: index(buckets.offset), counts: Vec::new() };
    for (place, count) in buckets.counts.iter().enumerate() {
        let place = (index(buckets.offset + place as i32) - coarse.offset) as usize;
        coarse.counts.resize(place + 1, 0.0);
        coarse.counts[place] += count;
    }
    coarse
}

fn add_buckets(buckets: &mut Buckets, step: &Buckets, sign: f64) {
    if step.counts.is_empty() {
        return;
    }
    let end = |buckets: &Buckets| buckets.offset + buckets.counts.len() as i32;
    let (mut from, mut to) = (step.offset, end(step));
    if !buckets.counts.is_empty() {
        (from, to) = (from.min(buckets.offset), to.max(end(buckets)));
    }
    let count = |of: &Buckets, index: i32| {
        let place = usize::try_from(index - of.offset).ok();
        place.and_then(|place| of.counts.get(place)).copied().unwrap_or(0.0)
    };
    let counts = (from..to).map(|index| count(buckets, index) + sign * count(step, index)).collect();
    *buckets = Buckets { offset: from, counts };
}

/// What stands between the braces.
fn histogram(text: &str) -> Option<Histogram> {
    let mut histogram = Histogram::default();
    let mut rest = text.trim();
    let mut seen = Vec::new();
    while !rest.is_empty() {
        let (key, behind) = rest.split_once(':')?;
        let (value, behind) = match behind.strip_prefix('[') {
            Some(list) => list.split_once(']')?,
            None => behind.split_once(char::is_whitespace).unwrap_or((behind, "")),
        };
        if seen.contains(&key) {
            return None;
        }
        seen.push(key);
        set(&mut histogram, key, value)?;
        rest = behind.trim_start();
    }
    Some(histogram)
}

fn set(histogram: &mut Histogram, key: &str, value: &str) -> Option<()> {
    let list = || value.split_whitespace().map(number).collect::<Option<Vec<f64>>>();
    match key {
        "schema" => histogram.schema = value.parse().ok()?,
        "sum" => histogram.sum = number(value)?,
        "count" => histogram.count = number(value)?,
        "z_bucket" => histogram.zero_count = number(value)?,
        "z_bucket_w" => histogram.zero_threshold = number(value)?,
        "buckets" => histogram.positive.counts = list()?,
        "n_buckets" => histogram.negative.counts = list()?,
        "offset" => histogram.positive.offset = value.parse().ok()?,
        "n_offset" => histogram.negative.offset = value.parse().ok()?,
        "custom_values" => histogram.custom_bounds = list()?,
        "counter_reset_hint" => {
            histogram.reset_hint = match value {
                "unknown" => ResetHint::Unknown,
                "reset" => ResetHint::Reset,
                "not_reset" => ResetHint::NotReset,
                "gauge" => ResetHint::Gauge,
                _ => return None,
            };
        }
        _ => return None,
    }
    Some(())
}

#[test]
fn a_run_of_histograms_adds_bucket_by_bucket() {
    let run =
        run("{{sum:1 count:2 buckets:[1 2] offset:1 counter_reset_hint:gauge}}+{{count:1 buckets:[4]}}", 3).unwrap();
    let Written::Histogram(last) = &run[2] else { panic!("not a histogram") };
    assert_eq!(last.positive, Buckets { offset: 0, counts: vec![8.0, 1.0, 2.0] });
    assert_eq!((last.sum, last.count, last.reset_hint), (1.0, 4.0, ResetHint::Gauge));
    assert!(histogram("sum:1 sum:2").is_none() && histogram("what:1").is_none());
}
