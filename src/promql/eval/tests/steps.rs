//! A range query gives at each of its steps what an instant query gives there.

use std::collections::BTreeMap;

use fastrand::Rng;

use crate::{
    model::Labels,
    promql::{Options, STALE_MARKER, Sample, Value, eval, parse},
    select::{self, Batch, Request, Series, Source},
};

const SECOND: i64 = 1_000_000_000;

struct Memory(Vec<Series>);

impl Source for Memory {
    fn batches<'a>(&'a self, request: &Request<'a>) -> Result<Vec<Batch<'a>>, select::Error> {
        let Request { matchers, range, .. } = *request;
        let passes = |series: &&Series| matchers.iter().all(|m| m.matches(series.labels.get(&m.name)));
        let cut = move |series: &Series| {
            let inside = range.indices_in(&series.times);
            let times = &series.times[inside.clone()];
            let values = series.values[inside].to_vec();
            (!times.is_empty()).then(|| Ok(Series::new(series.labels.clone(), times, values)))
        };
        Ok(self.0.chunks(2).map(|few| Box::new(few.iter().filter(passes).filter_map(cut)) as Batch<'a>).collect())
    }
}

/// Series of counters and gauges with gaps, ends, restarts, and a few odd values, at uneven times over 1,000 s.
fn data(rng: &mut Rng) -> Memory {
    let mut series = Vec::new();
    for (name, i) in [("m", "1"), ("m", "2"), ("m", "3"), ("n", "1"), ("n", "2"), ("n", "4")] {
        let (mut times, mut values) = (Vec::new(), Vec::new());
        let (mut time, mut value) = (rng.i64(-100..100) * SECOND, 0.0);
        while time < 1000 * SECOND {
            value = match rng.u8(..) {
                0..3 => f64::NAN,
                3..6 => f64::from_bits(STALE_MARKER),
                6..8 => f64::INFINITY,
                8..30 => rng.f64(),
                _ if value < 1e9 => value + f64::from(rng.u8(..)),
                _ => 0.0,
            };
            times.push(time);
            values.push(value);
            time += if rng.u8(..) < 5 { 400 * SECOND } else { rng.i64(1..30 * SECOND) };
        }
        let group = if i < "3" { "a" } else { "b" };
        series.push(Series::new(Labels::from([("__name__", name), ("g", group), ("i", i)]), times, values));
    }
    Memory(series)
}

fn one_of<'t>(rng: &mut Rng, texts: &[&'t str]) -> &'t str {
    texts[rng.usize(..texts.len())]
}

/// The text of a vector expression so many levels deep at most.
fn vector(rng: &mut Rng, depth: usize) -> String {
    let arg = |rng: &mut Rng| vector(rng, depth - 1);
    match if depth == 0 { 0 } else { rng.u8(..10) } {
        0 => one_of(rng, &["m", "n", "m offset 33s", "n @ 500", "m{i=\"2\"}", "{g=\"a\"} offset -7s"]).to_owned(),
        1..4 => windowed(rng, depth),
        4 => format!("{}({})", one_of(rng, &["abs", "-", "ceil", "absent", "sort", "timestamp"]), arg(rng)),
        5 => {
            let op = one_of(rng, &["+", "-", "*", "> bool", "<", "!=", "^"]);
            let number = one_of(rng, &["2", "time()", "scalar(m{i=\"1\"})"]);
            if rng.bool() { format!("({} {op} {number})", arg(rng)) } else { format!("({number} {op} {})", arg(rng)) }
        }
        6 => format!("({} {} {})", arg(rng), one_of(rng, &["and", "or", "unless on (i)", "+", "/", ">="]), arg(rng)),
        7 => {
            let op = one_of(rng, &["sum", "avg", "count", "min", "max", "stddev", "group"]);
            format!("{op} {} ({})", one_of(rng, &["by (g)", "without (i)", "", "by (i, g)"]), arg(rng))
        }
        8 => format!("{} by (g) (1, {})", one_of(rng, &["topk", "bottomk", "limitk", "quantile"]), arg(rng)),
        _ => format!("({} * on (g) group_left sum by (g) ({}))", arg(rng), arg(rng)),
    }
}

fn windowed(rng: &mut Rng, depth: usize) -> String {
    let window = match rng.u8(..3) {
        0 => format!("{}[{}s]", one_of(rng, &["m", "n", "{g=\"b\"}"]), rng.u32(1..200)),
        1 => format!("m[1m] {}", one_of(rng, &["offset 11s", "@ 600", "offset -1m"])),
        _ => format!("({})[{}s:{}s]", vector(rng, depth - 1), rng.u32(30..200), rng.u32(5..40)),
    };
    let names =
        "rate increase delta irate idelta sum avg min max count stddev last first present mad changes resets deriv";
    match one_of(rng, &names.split(' ').collect::<Vec<_>>()) {
        name @ ("sum" | "avg" | "min" | "max" | "count" | "stddev" | "last" | "first" | "present" | "mad") => {
            format!("{name}_over_time({window})")
        }
        name => format!("{name}({window})"),
    }
}

/// Equal but for the rounding of sums that were added up in another order.
fn close(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-9 * (a.abs() + b.abs()) || (a - b).abs() < 1e-6
}

/// Checks one query; whether it had an answer with anything in it.
fn check(source: &Memory, query: &str, seed: u64) -> bool {
    let options = Options { features: "promql-delayed-name-removal".parse().unwrap(), ..Options::default() };
    let expr = parse(query).unwrap_or_else(|error| panic!("seed {seed}: {query}: {error}"));
    let (start, step) = (100 * SECOND, 37 * SECOND);
    let Ok(answer) = eval::range(source, &expr, start, 900 * SECOND, step, &options) else { return false };
    let Value::Matrix(matrix) = answer.value else { panic!("{query} is no vector") };
    for time in (0..).map(|index| start + index * step).take_while(|&time| time <= 900 * SECOND) {
        let answer =
            eval::instant(source, &expr, time, &options).unwrap_or_else(|e| panic!("seed {seed}: {query}: {e}"));
        let Value::Vector(samples) = answer.value else { panic!("{query} is no vector") };
        let mut wanted: BTreeMap<Labels, Sample> = samples.into_iter().map(|s| (s.labels, s.sample)).collect();
        for series in &matrix {
            let Some((_, value)) = series.floats.iter().find(|(at, _)| *at == time) else { continue };
            match wanted.remove(&series.labels) {
                Some(Sample::Float(instant)) if close(*value, instant) => {}
                other => panic!("seed {seed}: {query}: {} at {time} is {value}, instant {other:?}", series.labels),
            }
        }
        assert!(wanted.is_empty(), "seed {seed}: {query}: at {time} there is also {wanted:?}");
    }
    !matrix.is_empty()
}

#[test]
fn a_range_query_is_an_instant_query_at_each_step() {
    let base = fastrand::u64(..);
    println!("seeds from {base}");
    let checked = (0..1500).filter(|index| {
        let seed = base.wrapping_add(*index);
        let mut rng = Rng::with_seed(seed);
        let source = data(&mut rng);
        let query = vector(&mut rng, 3);
        check(&source, &query, seed)
    });
    let checked = checked.count();
    assert!(checked > 600, "only {checked} of 1,500 queries had an answer");
}

#[test]
fn whole_milliseconds_are_the_seconds_they_are_in_prometheus() {
    let mut rng = Rng::with_seed(3);
    for _ in 0..100_000 {
        let millis = rng.i64(-4_000_000_000_000..4_000_000_000_000);
        assert_eq!(eval::steps::seconds(millis * 1_000_000), millis as f64 / 1e3, "{millis}");
    }
    assert_eq!(eval::steps::seconds(-1_000_000), -0.001);
}
