//! Judges results.

use std::collections::BTreeMap;

use crate::{
    model::Labels,
    promql::{Annotation, MatrixSeries, STALE_MARKER, Sample, Value},
    tests::promqltest::{
        Written,
        expect::{Expectation, Remarks, Times},
    },
};

/// Whether two numbers are as good as equal.
pub(super) fn almost_equal(a: f64, b: f64) -> bool {
    let stale = |value: f64| value.to_bits() == STALE_MARKER;
    if stale(a) || stale(b) {
        return stale(a) && stale(b);
    }
    if (a.is_nan() && b.is_nan()) || a == b {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < 1e-6 * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < 1e-6
}

/// Judges warnings or infos.
pub(super) fn remarks(kind: &str, wanted: &Remarks, remarks: &[Annotation], query: &str) -> Result<(), String> {
    let texts: Vec<String> = remarks.iter().map(|remark| remark.text(query)).collect();
    if wanted.none && !texts.is_empty() {
        return Err(format!("unexpected {kind}: {texts:?}"));
    }
    if wanted.wanted.is_empty() {
        return Ok(());
    }
    let matched = wanted.wanted.iter().all(|wanted| texts.iter().any(|text| wanted.accepts(text)));
    let covered = texts.iter().all(|text| wanted.wanted.iter().any(|wanted| wanted.accepts(text)));
    match matched && covered && !texts.is_empty() {
        true => Ok(()),
        false => Err(format!("{kind} {texts:?}, expected {:?}", wanted.wanted)),
    }
}

/// Judges the result of an instant query.
pub(super) fn instant(expect: &Expectation, value: &Value) -> Result<(), String> {
    if let Some(wanted) = &expect.string {
        return match value {
            Value::String(_, text) if **text == **wanted => Ok(()),
            other => Err(format!("{other:?}, expected the string {wanted:?}")),
        };
    }
    if let Some(times) = expect.range_vector {
        return range(expect, value, times);
    }
    match (value, expect.scalar) {
        (Value::Scalar(_, value), Some(wanted)) if almost_equal(*value, wanted) => Ok(()),
        (value, Some(wanted)) => Err(format!("{value:?}, expected the number {wanted}")),
        (Value::Vector(samples), None) => {
            let samples: Vec<(Labels, Sample)> =
                samples.iter().map(|sample| (sample.labels.clone(), sample.sample.clone())).collect();
            vector(expect, &samples)
        }
        (other, None) => Err(format!("{other:?}, expected a vector")),
    }
}

/// Judges an instant vector.
pub(super) fn vector(expect: &Expectation, samples: &[(Labels, Sample)]) -> Result<(), String> {
    let shown = || format!("{samples:?}");
    if samples.len() != expect.series.len() {
        return Err(format!("{} series, expected {}: {}", samples.len(), expect.series.len(), shown()));
    }
    for (place, line) in expect.series.iter().enumerate() {
        let found = samples.iter().position(|(labels, _)| *labels == line.labels);
        let found = found.ok_or_else(|| format!("{} is missing in {}", line.labels, shown()))?;
        if expect.ordered && found != place {
            return Err(format!("{} is at place {found}, expected {place}", line.labels));
        }
        if !same(&line.values[0], &samples[found].1) {
            return Err(format!("{} is {:?}, expected {:?}", line.labels, samples[found].1, line.values[0]));
        }
    }
    Ok(())
}

fn same(wanted: &Written, sample: &Sample) -> bool {
    match (wanted, sample) {
        (Written::Float(wanted), Sample::Float(value)) => almost_equal(*wanted, *value),
        (Written::Histogram(wanted), Sample::Histogram(histogram)) => **wanted == **histogram,
        _ => false,
    }
}

/// Judges the result of a range query, or a range vector.
pub(super) fn range(expect: &Expectation, value: &Value, times: Times) -> Result<(), String> {
    let Value::Matrix(matrix) = value else { return Err(format!("{value:?}, expected a matrix")) };
    if !matrix.is_sorted_by(|a, b| a.labels <= b.labels) {
        return Err("the series are not sorted by labels".to_owned());
    }
    let mut left: BTreeMap<&Labels, &MatrixSeries> = matrix.iter().map(|series| (&series.labels, series)).collect();
    for line in &expect.series {
        let series = left.remove(&line.labels).ok_or_else(|| format!("{} is missing in {matrix:?}", line.labels))?;
        let at = |index: usize| times.start + times.step * index as i64;
        if line.values.len() > 1 && at(line.values.len() - 1) > times.end {
            return Err(format!("more values than steps for {}", line.labels));
        }
        let wanted: Vec<(i64, f64)> = (line.values.iter().enumerate())
            .filter_map(|(index, value)| match value {
                Written::Float(value) => Some((at(index), *value)),
                _ => None,
            })
            .collect();
        let equal = wanted.len() == series.floats.len()
            && wanted.iter().zip(&series.floats).all(|(a, b)| a.0 == b.0 && almost_equal(a.1, b.1));
        let histograms = line.values.iter().filter(|value| matches!(value, Written::Histogram(_))).count();
        if !equal || histograms != series.histograms.len() {
            return Err(format!("{} is {:?}, expected {wanted:?}", line.labels, series.floats));
        }
    }
    match left.is_empty() {
        true => Ok(()),
        false => Err(format!("unexpected series: {:?}", left.values())),
    }
}
