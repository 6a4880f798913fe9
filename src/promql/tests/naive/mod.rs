//! The evaluator against one that is slow and plain, on random queries about random samples, from fixed seeds.
//!
//! Most values are whole numbers, so that sums are exact in whatever order they are added up.

mod eval;
mod queries;
mod window;

use std::collections::BTreeMap;

use fastrand::Rng;

use crate::{
    model::{Labels, METRIC_NAME, NANOS_PER_SECOND},
    promql::{self, Options, STALE_MARKER, Sample, Value, ast::Expr},
    select::{Batch, Error, Request, Series, Source},
};
use eval::Naive;

/// Samples of each series are within so many seconds.
const SPAN: i64 = 1800;
/// How far two results may be apart, relative to the greater.
const TOLERANCE: f64 = 1e-12;

type Matrix = BTreeMap<Labels, BTreeMap<i64, f64>>;

/// All series.
struct InMemory(Vec<Series>);

impl Source for InMemory {
    fn batches<'a>(&'a self, request: &Request<'a>) -> Result<Vec<Batch<'a>>, Error> {
        let Request { matchers, range, .. } = *request;
        let passing = |series: &&Series| matchers.iter().all(|m| m.matches(series.labels.get(&m.name)));
        Ok(vec![Box::new(self.0.iter().filter(passing).filter_map(move |series| {
            let inside = |(time, _): &(&i64, &f64)| range.contains(**time);
            let samples = series.times.iter().zip(&series.values).filter(inside);
            let (times, values): (Vec<i64>, Vec<f64>) = samples.unzip();
            let (labels, starts) = (series.labels.clone(), Vec::new());
            (!times.is_empty()).then(|| Ok(Series { starts, ..Series::new(labels, times, values) }))
        }))])
    }
}

/// Counters and gauges of some jobs and instances, with gaps, ends, and here and there a NaN.
fn data(rng: &mut Rng) -> InMemory {
    let mut all = Vec::new();
    for name in ["c", "g", "h"] {
        for (job, instance) in [("a", "0"), ("a", "1"), ("b", "0"), ("b", "1"), ("b", "2")] {
            if rng.u32(..6) == 0 {
                continue;
            }
            let mut labels = Labels::from([(METRIC_NAME, name), ("job", job), ("instance", instance)]).to_builder();
            if rng.bool() {
                labels.set("zone", rng.choice(["x", "y"]).unwrap());
            }
            let (mut times, mut values) = (Vec::new(), Vec::new());
            let (mut time, mut value) = (rng.i64(-600..200), f64::from(rng.u32(..50)));
            while time < SPAN && values.len() < 150 {
                times.push(time * NANOS_PER_SECOND);
                values.push(match rng.u32(..60) {
                    0 => f64::from_bits(STALE_MARKER),
                    1 if name == "g" => f64::NAN,
                    _ => value,
                });
                value = match name {
                    "c" if rng.u32(..12) > 0 => value + f64::from(rng.u32(..9)),
                    "c" => f64::from(rng.u32(..4)),
                    _ => f64::from(rng.i32(-20..20)),
                };
                time += if rng.u32(..15) == 0 { rng.i64(100..500) } else { *rng.choice(&[15, 15, 20, 10]).unwrap() };
            }
            all.push(Series::new(labels.build(), times, values));
        }
    }
    InMemory(all)
}

/// The answer of the engine at some steps; `None` where it fails.
fn engine(data: &InMemory, expr: &Expr, (start, end, step): (i64, i64, i64)) -> Option<Matrix> {
    let options = Options::default();
    let value = match start == end {
        true => promql::instant(data, expr, start, &options),
        false => promql::range(data, expr, start, end, step, &options),
    };
    let mut matrix = Matrix::new();
    match value.ok()?.value {
        Value::Scalar(time, value) => {
            matrix.entry(Labels::default()).or_default().insert(time, value);
        }
        Value::Vector(samples) => {
            for sample in samples {
                let Sample::Float(value) = sample.sample else { panic!("there are no histograms") };
                let other = matrix.entry(sample.labels).or_default().insert(sample.time, value);
                assert_eq!(other, None, "labels are in a result once");
            }
        }
        Value::Matrix(series) => {
            for series in series {
                let other = matrix.insert(series.labels, series.floats.into_iter().collect());
                assert_eq!(other, None, "labels are in a result once");
            }
        }
        Value::String(..) => panic!("no query is a text"),
    }
    Some(matrix)
}

/// The answer by definition.
fn by_definition(data: &InMemory, expr: &Expr, (start, end, step): (i64, i64, i64)) -> Option<Matrix> {
    let naive = Naive { series: &data.0, start, end, lookback: Options::default().lookback };
    let mut matrix = Matrix::new();
    for time in (0..).map(|index| start + index * step).take_while(|time| *time <= end) {
        match naive.eval(expr, time).ok()? {
            eval::Value::Scalar(value) => drop(matrix.entry(Labels::default()).or_default().insert(time, value)),
            eval::Value::Vector(vector) => {
                for (labels, value) in vector {
                    matrix.entry(labels).or_default().insert(time, value);
                }
            }
        }
        if step == 0 {
            break;
        }
    }
    Some(matrix)
}

fn same(a: &Matrix, b: &Matrix) -> bool {
    let close = |a: f64, b: f64| {
        a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= TOLERANCE * a.abs().max(b.abs()).max(1.0)
    };
    let same_run = |a: &BTreeMap<i64, f64>, b: &BTreeMap<i64, f64>| {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && close(*a.1, *b.1))
    };
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && same_run(a.1, b.1))
}

/// Times of a query: one, or some steps, with or without time left over behind the last.
fn times(rng: &mut Rng) -> (i64, i64, i64) {
    let second = NANOS_PER_SECOND;
    let start = rng.i64(-300..SPAN + 300) * second;
    match rng.u32(..3) {
        0 => (start, start, 0),
        _ => {
            let step = rng.choice([10, 15, 60, 97]).unwrap() * second;
            let rest = if rng.bool() { rng.i64(0..step / second) * second } else { 0 };
            (start, start + rng.i64(1..25) * step + rest, step)
        }
    }
}

#[test]
fn random_queries_give_what_their_definition_says() {
    let (mut filled, mut failed, mut wrong) = (0, 0, Vec::new());
    const CASES: u64 = 4_000;
    for seed in 0..CASES {
        let mut rng = Rng::with_seed(seed);
        let (data, times) = (data(&mut rng), times(&mut rng));
        let text = queries::query(&mut rng);
        let expr = promql::parse(&text).unwrap_or_else(|error| panic!("seed {seed}: {}", error.render()));
        let (ours, wanted) = (engine(&data, &expr, times), by_definition(&data, &expr, times));
        match (&ours, &wanted) {
            (None, None) => failed += 1,
            (Some(ours), Some(wanted)) if same(ours, wanted) => filled += usize::from(!ours.is_empty()),
            _ => wrong.push(format!("seed {seed}: {text} at {times:?}\n ours: {ours:?}\nnaive: {wanted:?}")),
        }
    }
    assert!(wrong.is_empty(), "{} of {CASES} differ:\n{}", wrong.len(), wrong.join("\n\n"));
    println!("{CASES} queries: {filled} with results, {failed} with errors");
    assert!(filled as u64 > CASES / 3 && failed > 50, "{filled} with results and {failed} with errors show too little");
}
