//! Carries scripts out.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    model::{Labels, METRIC_NAME, NANOS_PER_SECOND},
    promql::{self, Answer, Features, Options, Sample, Value, ast::Expr},
    select::{Series, Source},
    tests::promqltest::{
        Loader, Written, compare,
        expect::Expectation,
        pin,
        script::{Action, Case, When, parse},
        series::SeriesLine,
    },
};

/// How a case went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::tests) enum Outcome {
    Passed,
    /// Its samples or its result are native histograms, which the engine has not yet.
    NeedsHistograms,
    Failed(String),
}

/// Runs a script over what `loader` makes of its samples, and tells how each case went, with the number of its line. An
/// error says why it is no script.
pub(in crate::tests) fn run(text: &str, loader: &Loader) -> Result<Vec<(usize, Outcome)>, String> {
    let mut data = Data::default();
    let mut source = loader(&[]);
    let mut report = Vec::new();
    for command in parse(text)? {
        match command.action {
            Action::Clear => {
                data = Data::default();
                source = loader(&[]);
            }
            Action::Load { step, series, with_nhcb } => {
                data.load(step, &series, with_nhcb);
                source = loader(&data.series());
            }
            Action::Eval(case) => {
                let expr = promql::parse(&case.query).map_err(|error| format!("line {}: {error}", command.line))?;
                let outcome = match data.needs_histograms(&case, &expr) {
                    true => Outcome::NeedsHistograms,
                    false => match case_holds(&*source, &case, &expr) {
                        Ok(()) => Outcome::Passed,
                        Err(reason) => Outcome::Failed(format!("{}: {reason}", case.query)),
                    },
                };
                report.push((command.line, outcome));
            }
        }
    }
    Ok(report)
}

/// What has been loaded.
#[derive(Default)]
struct Data {
    /// By time: value, and start timestamp, which is 0 where there is none.
    floats: BTreeMap<Labels, BTreeMap<i64, (f64, i64)>>,
    /// Series that have native histograms too, or only.
    histograms: BTreeSet<Labels>,
}

impl Data {
    fn load(&mut self, step: i64, series: &[SeriesLine], with_nhcb: bool) {
        for line in series {
            let name = line.labels.metric();
            let suffix = ["_bucket", "_count", "_sum"].iter().find(|suffix| name.ends_with(**suffix));
            if let (true, Some(suffix)) = (with_nhcb, suffix) {
                let mut base = line.labels.to_builder();
                base.set(METRIC_NAME, name.strip_suffix(suffix).unwrap()).remove("le");
                self.histograms.insert(base.build());
            }
            for (index, value) in line.values.iter().enumerate() {
                match value {
                    Written::Nothing => {}
                    Written::Float(value) => {
                        let time = step * index as i64;
                        let start = line.starts.get(index).copied().flatten().map_or(0, |offset| time + offset);
                        self.floats.entry(line.labels.clone()).or_default().insert(time, (*value, start));
                    }
                    Written::Histogram(_) => {
                        self.histograms.insert(line.labels.clone());
                    }
                }
            }
        }
    }

    fn series(&self) -> Vec<Series> {
        let series = self.floats.iter().map(|(labels, samples)| Series {
            labels: labels.clone(),
            times: samples.keys().copied().collect::<Vec<_>>().into(),
            values: samples.values().map(|(value, _)| *value).collect(),
            starts: match samples.values().any(|(_, start)| *start != 0) {
                true => samples.values().map(|(_, start)| *start).collect(),
                false => Vec::new(),
            },
            digests: Vec::new(),
        });
        series.collect()
    }

    /// Whether a result or anything selected is a native histogram.
    fn needs_histograms(&self, case: &Case, expr: &Expr) -> bool {
        let mut needs =
            case.expect.series.iter().flat_map(|line| &line.values).any(|value| matches!(value, Written::Histogram(_)));
        pin::each_selector(expr, &mut |matchers| {
            needs |= self.histograms.iter().any(|labels| matchers.iter().all(|m| m.matches(labels.get(&m.name))));
        });
        needs
    }
}

fn options() -> Options<'static> {
    let features = Features { delayed_name_removal: true, start_timestamps: true, ..Features::SYNTAX };
    Options { samples_max: 10_000, features, ..Options::default() }
}

fn case_holds(source: &dyn Source, case: &Case, expr: &Expr) -> Result<(), String> {
    match case.when {
        When::Range(times) => {
            let answer = promql::range(source, expr, times.start, times.end, times.step, &options());
            judge(case, answer, |expect, value| compare::range(expect, value, times))
        }
        When::At(time) => {
            let answer = promql::instant(source, expr, time, &options());
            judge(case, answer, compare::instant)?;
            holds_when_pinned(source, case, expr, time)?;
            holds_in_range(source, case, expr, time)
        }
    }
}

fn judge(
    case: &Case,
    answer: Result<Answer, promql::Error>,
    compare: impl Fn(&Expectation, &Value) -> Result<(), String>,
) -> Result<(), String> {
    let expect = &case.expect;
    match (answer, &expect.fail) {
        (Err(error), Some(wanted)) if wanted.accepts(&error.to_string()) => Ok(()),
        (Err(error), Some(wanted)) => Err(format!("failed with {error}, expected {wanted:?}")),
        (Err(error), None) => Err(format!("failed: {error}")),
        (Ok(answer), Some(_)) => Err(format!("expected to fail, gave {:?}", answer.value)),
        (Ok(answer), None) => {
            compare::remarks("warnings", &expect.warnings, &answer.warnings, &case.query)?;
            compare::remarks("infos", &expect.infos, &answer.infos, &case.query)?;
            compare(expect, &answer.value)
        }
    }
}

/// A query all of whose selectors are pinned to the time gives the same at any other.
fn holds_when_pinned(source: &dyn Source, case: &Case, expr: &Expr, time: i64) -> Result<(), String> {
    const ASK_THE_TIME: [&str; 15] = [
        "time",
        "timestamp",
        "year",
        "month",
        "hour",
        "minute",
        "day_of_month",
        "day_of_week",
        "day_of_year",
        "days_in_month",
        "predict_linear",
        "start",
        "end",
        "range",
        "step",
    ];
    if pin::calls(expr, &ASK_THE_TIME) || asks_for_query_times(&case.query) {
        return Ok(());
    }
    let mut pinned = expr.clone();
    pin::pin(&mut pinned, time);
    let times: &[i64] = match time {
        0 => &[-NANOS_PER_SECOND, 0, NANOS_PER_SECOND],
        time => &[time, -10 * time, 0, time / 5, 10 * time],
    };
    for &at in times {
        judge(case, promql::instant(source, &pinned, at, &options()), compare::instant)
            .map_err(|reason| format!("pinned, at {at} ns: {reason}"))?;
    }
    Ok(())
}

/// A range query around the time gives the same at that time.
fn holds_in_range(source: &dyn Source, case: &Case, expr: &Expr, time: i64) -> Result<(), String> {
    let expect = &case.expect;
    let other = expect.string.is_some() || expect.range_vector.is_some() || expect.ordered;
    if other || asks_for_query_times(&case.query) {
        return Ok(());
    }
    let minute = 60 * NANOS_PER_SECOND;
    let answer = promql::range(source, expr, time - minute, time + minute, minute, &options());
    let within = |expect: &Expectation, value: &Value| {
        let Value::Matrix(matrix) = value else { return Err(format!("{value:?}, expected a matrix")) };
        let at_time = matrix.iter().filter_map(|series| {
            let float = series.floats.iter().find(|(at, _)| *at == time).map(|(_, value)| Sample::Float(*value));
            float.map(|sample| (series.labels.clone(), sample))
        });
        let samples: Vec<(Labels, Sample)> = at_time.collect();
        match expect.scalar {
            Some(scalar) => match &samples[..] {
                [(labels, Sample::Float(value))] if labels.is_empty() && compare::almost_equal(scalar, *value) => {
                    Ok(())
                }
                _ => Err(format!("{samples:?}, expected {scalar}")),
            },
            None => compare::vector(expect, &samples),
        }
    };
    // Neighbouring steps may have remarks of their own.
    let judged = Case { when: case.when, query: case.query.clone(), expect: without_remarks(expect) };
    judge(&judged, answer, within).map_err(|reason| format!("in a range query: {reason}"))
}

fn without_remarks(expect: &Expectation) -> Expectation {
    Expectation {
        warnings: crate::tests::promqltest::expect::Remarks::default(),
        infos: crate::tests::promqltest::expect::Remarks::default(),
        ..expect.clone()
    }
}

/// Whether the text asks for the times of the query, in durations too.
fn asks_for_query_times(query: &str) -> bool {
    let query = query.to_lowercase();
    ["start()", "end()", "range()", "step()"].iter().any(|call| query.contains(call))
}
