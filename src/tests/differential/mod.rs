//! The same data and the same queries given to a real Prometheus, where one is installed.
//!
//! [`data`] makes the samples, [`queries`] the questions, both from fixed seeds; [`reference`] runs Prometheus. Version 2.42,
//! which Debian has, differs in places from version 3, whose language ours is. The data and the questions keep out of these:
//!
//! - windows are open on the left in 3: no sample and no step of a subquery lies on the edge of a window;
//! - `stddev`, `stdvar` and `avg` treat NaN and infinities in another way: they are not asked of series that have them;
//! - a counter near 0 behind a gap is extrapolated in another way: counters restart far above 0;
//! - rounding errors in classic histograms, functions and modifiers that 2.42 has not, names after `atan2`.

mod data;
mod queries;
mod reference;

use std::collections::BTreeMap;

use crate::{
    model::{Labels, NANOS_PER_MILLI},
    promql::{self, Options, Sample, Value},
    select::Source,
    tests::stored::{Kept, source},
};
use queries::{Query, When};
use reference::{Answer, Prometheus};

/// How far two numbers may be apart, relative to the greater.
const TOLERANCE: f64 = 1e-9;
/// Queries asked.
const QUERIES: usize = 1200;

#[test]
fn prometheus_gives_the_same_answers() {
    let series = data::series();
    let Some(prometheus) = Prometheus::start(&series) else {
        println!("skipped: prometheus and promtool are not installed, so nothing is compared with them");
        return;
    };
    // Whole blocks lie in the long windows of some queries; spread out, none is alone in its time.
    let stored = [source(Kept::Spread, &series), source(Kept::InParts, &series)];
    let (mut wrong, mut filled, mut failed) = (Vec::new(), 0, 0);
    for query in queries::all(QUERIES) {
        let theirs = prometheus.ask(&query);
        filled += usize::from(matches!(&theirs, Answer::Series(series) if !series.is_empty()));
        if let Answer::Failed(reason) = &theirs {
            failed += 1;
            println!("refused: {}: {reason}", query.text);
        }
        for stored in &stored {
            if let Err(difference) = same(&ask(&**stored, &query), &theirs) {
                wrong.push(format!("{query:?}\n    {difference}"));
            }
        }
    }
    println!("{QUERIES} queries: {filled} with results, {failed} refused, {} differ", wrong.len());
    assert!(
        wrong.is_empty(),
        "{} answers of {QUERIES} queries differ from Prometheus's:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(failed > 0 && filled > QUERIES / 2, "only {filled} queries have results: they show too little");
}

/// Our answer.
fn ask(source: &dyn Source, query: &Query) -> Answer {
    let expr = match promql::parse(&query.text) {
        Ok(expr) => expr,
        Err(error) => return Answer::Failed(error.to_string()),
    };
    let options = Options::default();
    let answer = match query.when {
        When::At(time) => promql::instant(source, &expr, time, &options),
        When::Range(start, end, step) => promql::range(source, &expr, start, end, step, &options),
    };
    let value = match answer {
        Ok(answer) => answer.value,
        Err(error) => return Answer::Failed(error.to_string()),
    };
    let mut series: BTreeMap<Labels, BTreeMap<i64, f64>> = BTreeMap::new();
    match value {
        Value::Scalar(time, value) => {
            series.entry(Labels::default()).or_default().insert(time / NANOS_PER_MILLI, value);
        }
        Value::Vector(samples) => {
            for sample in samples {
                let Sample::Float(value) = sample.sample else { panic!("there are no histograms") };
                series.entry(sample.labels).or_default().insert(sample.time / NANOS_PER_MILLI, value);
            }
        }
        Value::Matrix(matrix) => {
            for run in matrix {
                let samples = run.floats.into_iter().map(|(time, value)| (time / NANOS_PER_MILLI, value));
                series.insert(run.labels, samples.collect());
            }
        }
        Value::String(..) => panic!("no query gives a text"),
    }
    Answer::Series(series)
}

/// Says where two answers differ.
fn same(ours: &Answer, theirs: &Answer) -> Result<(), String> {
    let (ours, theirs) = match (ours, theirs) {
        (Answer::Failed(_), Answer::Failed(_)) => return Ok(()),
        (Answer::Series(ours), Answer::Series(theirs)) => (ours, theirs),
        (ours, theirs) => return Err(format!("ours: {ours:?}\n    theirs: {theirs:?}")),
    };
    if !ours.keys().eq(theirs.keys()) {
        return Err(format!("series ours: {:?}\n    theirs: {:?}", ours.keys(), theirs.keys()));
    }
    for (labels, samples) in ours {
        let others = &theirs[labels];
        if !samples.keys().eq(others.keys()) {
            return Err(format!("times of {labels} ours: {samples:?}\n    theirs: {others:?}"));
        }
        if let Some((time, value)) = samples.iter().find(|(time, value)| !close(**value, others[*time])) {
            return Err(format!("{labels} at {time} ms ours: {value:?}, theirs: {:?}", others[time]));
        }
    }
    Ok(())
}

fn close(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= TOLERANCE * a.abs().max(b.abs())
}

#[test]
fn a_difference_is_seen() {
    let labels = |i| Labels::from([("i", i)]);
    let answer = |i, time, value| Answer::Series(BTreeMap::from([(labels(i), BTreeMap::from([(time, value)]))]));
    let ours = answer("a", 1, 1.0);
    assert_eq!(same(&ours, &answer("a", 1, 1.0 + 1e-10)), Ok(()));
    for other in [answer("a", 1, 1.0 + 1e-8), answer("a", 2, 1.0), answer("b", 1, 1.0), answer("a", 1, f64::NAN)] {
        assert!(same(&ours, &other).is_err(), "{other:?}");
    }
    assert!(same(&ours, &Answer::Failed(String::new())).is_err());
}
