//! Samples: counters that restart, gauges, odd numbers, classic histograms, some scrapes missed and some series late.

use fastrand::Rng;

use crate::{
    model::{Labels, METRIC_NAME, NANOS_PER_MILLI, NANOS_PER_SECOND},
    select::Series,
};

/// The first scrape: a whole hour. Unix seconds.
pub(super) const START: i64 = 1_700_002_800;
/// The last one is so much later, in seconds.
pub(super) const SPAN: i64 = 2 * 3600;
/// Distance of scrapes in seconds.
const INTERVAL: i64 = 15;

/// The series, each with its samples.
pub(super) fn series() -> Vec<Series> {
    let mut rng = Rng::with_seed(7);
    let mut series = Vec::new();
    for job in ["api", "db", "web"] {
        for instance in ["0", "1", "2"] {
            let base = [("job", job), ("instance", instance)];
            for code in ["200", "404", "500"] {
                series.push(counter(&mut rng, "requests_total", &[base[0], base[1], ("code", code)]));
            }
            series.push(gauge(&mut rng, "temperature", &base));
            series.push(gauge(&mut rng, "temperature_max", &base));
            series.push(odd(&mut rng, &base));
            series.extend(histogram(&mut rng, &base));
        }
        series.push(gauge(&mut rng, "quota", &[("job", job), ("team", if job == "db" { "storage" } else { "front" })]));
    }
    series
}

/// A series whose value at each scrape `next` makes of the one before; `None` where a scrape is missed.
fn scraped(name: &str, labels: &[(&str, &str)], mut rng: Rng, mut next: impl FnMut(&mut Rng) -> Option<f64>) -> Series {
    let labels = label_set(name, labels);
    let (first, last) = lifetime(&mut rng);
    let (mut times, mut values) = (Vec::new(), Vec::new());
    for scrape in first..last {
        let value = next(&mut rng);
        // Not at whole seconds, where the edges of windows are.
        let millis = (START + scrape * INTERVAL) * 1000 + rng.i64(3..900);
        if let Some(value) = value.filter(|_| rng.u32(..40) != 0) {
            times.push(millis * NANOS_PER_MILLI);
            values.push(value);
        }
    }
    Series::new(labels, times, values)
}

fn label_set(name: &str, labels: &[(&str, &str)]) -> Labels {
    let mut set = Labels::from([(METRIC_NAME, name)]).to_builder();
    for (name, value) in labels {
        set.set(*name, *value);
    }
    set.build()
}

/// The first scrape and the one behind the last: all, or not.
fn lifetime(rng: &mut Rng) -> (i64, i64) {
    let scrapes = SPAN / INTERVAL;
    match rng.u32(..5) {
        0 => (rng.i64(20..scrapes / 2), scrapes),
        1 => (0, rng.i64(scrapes / 2..scrapes - 20)),
        _ => (0, scrapes),
    }
}

fn counter(rng: &mut Rng, name: &str, labels: &[(&str, &str)]) -> Series {
    let mut value = 50_000.0 + f64::from(rng.u32(..100_000));
    let speed = rng.u32(1..40);
    scraped(name, labels, rng.fork(), move |rng| {
        value += f64::from(rng.u32(..speed));
        if rng.u32(..150) == 0 {
            value = 9_000.0 + f64::from(rng.u32(..1_000));
        }
        Some(value)
    })
}

fn gauge(rng: &mut Rng, name: &str, labels: &[(&str, &str)]) -> Series {
    let mut value = 20.0 + rng.f64() * 60.0;
    scraped(name, labels, rng.fork(), move |rng| {
        value = (value + rng.f64() * 4.0 - 2.0).clamp(5.0, 120.0);
        // In hundredths, half of the time whole.
        Some(if rng.bool() { value.round() } else { (value * 100.0).round() / 100.0 })
    })
}

/// NaN, infinities, zeros of both signs, and very great and small numbers between usual ones.
fn odd(rng: &mut Rng, labels: &[(&str, &str)]) -> Series {
    const ODD: [f64; 8] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -1.0, 1e300, -1e-300, 3.5];
    let mut value = 1.0;
    scraped("odd", labels, rng.fork(), move |rng| {
        if rng.u32(..4) == 0 {
            value = ODD[rng.usize(..ODD.len())];
        }
        (rng.u32(..30) != 0).then_some(value)
    })
}

/// Buckets, count and sum, scraped together.
fn histogram(rng: &mut Rng, labels: &[(&str, &str)]) -> Vec<Series> {
    const BOUNDS: [&str; 6] = ["0.1", "0.5", "1", "2.5", "10", "+Inf"];
    let scrapes = (SPAN / INTERVAL) as usize;
    let mut series: Vec<Series> = Vec::new();
    let mut counts = vec![[0.0; BOUNDS.len()]; scrapes];
    let mut total = [10_000.0, 22_000.0, 31_000.0, 33_000.0, 34_000.0, 35_000.0];
    for count in &mut counts {
        for _ in 0..rng.u32(1..30) {
            let bucket = rng.usize(..BOUNDS.len());
            total[bucket..].iter_mut().for_each(|count| *count += 1.0);
        }
        *count = total;
    }
    let times: Vec<i64> = (0..scrapes as i64)
        .map(|scrape| (START + scrape * INTERVAL) * NANOS_PER_SECOND + 7 * NANOS_PER_MILLI)
        .collect();
    let mut push = |name: &str, le: Option<&str>, values: Vec<f64>| {
        let pairs = [labels, &[("le", le.unwrap_or_default())]].concat();
        series.push(Series::new(label_set(name, &pairs), times.as_slice(), values));
    };
    for (place, le) in BOUNDS.into_iter().enumerate() {
        push("latency_bucket", Some(le), counts.iter().map(|count| count[place]).collect());
    }
    push("latency_count", None, counts.iter().map(|count| count[BOUNDS.len() - 1]).collect());
    push("latency_sum", None, counts.iter().map(|count| count[BOUNDS.len() - 1] * 0.75).collect());
    series
}
