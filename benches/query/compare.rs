//! Whether two servers gave the same answer.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::queries::Agreement;

/// Samples of an answer: seconds and values.
type Samples = Vec<(f64, f64)>;

/// An answer: series by their labels, or names without samples.
pub(crate) struct Answer(BTreeMap<String, Samples>);

impl Answer {
    /// Reads what a server sent.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, String> {
        let body: Value = serde_json::from_slice(body).map_err(|error| format!("the answer is not JSON: {error}"))?;
        let data = &body["data"];
        let entries = data["result"].as_array().or_else(|| data.as_array());
        let entries = entries.ok_or_else(|| format!("there is no result in {body}"))?;
        let series = entries.iter().map(|entry| (labels(entry), samples(entry)));
        // VictoriaMetrics lists a series without a sample in the range; a query of PromQL never does.
        let is_query = !data["result"].is_null();
        Ok(Self(series.filter(|(_, samples)| !is_query || !samples.is_empty()).collect()))
    }

    /// How many series or names.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// What is different, the first that is.
    pub(crate) fn difference(&self, other: &Self, agreement: Agreement) -> Option<String> {
        match agreement {
            Agreement::Series(tolerance) => self.series_difference(other, tolerance),
            Agreement::Values => difference(&self.values(), &other.values(), 1e-9),
        }
    }

    fn series_difference(&self, other: &Self, tolerance: f64) -> Option<String> {
        let only = |one: &Self, two: &Self| one.0.keys().find(|labels| !two.0.contains_key(*labels)).cloned();
        if let Some(labels) = only(self, other) {
            return Some(format!("{labels} is only in the first ({} series to {})", self.len(), other.len()));
        }
        if let Some(labels) = only(other, self) {
            return Some(format!("{labels} is only in the second ({} series to {})", self.len(), other.len()));
        }
        let mut pairs = self.0.iter().zip(other.0.values());
        pairs.find_map(|((labels, mine), theirs)| {
            difference(mine, theirs, tolerance).map(|what| format!("{labels}: {what}"))
        })
    }

    /// All samples by time and then by value, whoever's they are.
    fn values(&self) -> Samples {
        let mut all: Samples = self.0.values().flatten().copied().collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        all
    }
}

fn difference(mine: &Samples, theirs: &Samples, tolerance: f64) -> Option<String> {
    if mine.len() != theirs.len() {
        return Some(format!("{} values to {}", mine.len(), theirs.len()));
    }
    let is_same =
        |a: f64, b: f64| a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= tolerance * a.abs().max(b.abs());
    let differs = |(a, b): &(&(f64, f64), &(f64, f64))| a.0 != b.0 || !is_same(a.1, b.1);
    let (a, b) = mine.iter().zip(theirs).find(differs)?;
    Some(format!("{} at {}, to {} at {}", a.1, a.0, b.1, b.0))
}

/// A series' labels in order. The name of a field counts as the label `field`, which queries of several fields have
/// elsewhere.
fn labels(entry: &Value) -> String {
    const FIELD_PREFIX: &str = "cpu_";
    let metric = if entry["metric"].is_object() { &entry["metric"] } else { entry };
    let Some(metric) = metric.as_object() else { return metric.to_string() };
    let pairs = metric.iter().map(|(name, value)| {
        let value = value.as_str().unwrap_or_default();
        match (name.as_str(), value.strip_prefix(FIELD_PREFIX)) {
            ("__name__", Some(field)) => format!("field={field}"),
            _ => format!("{name}={value}"),
        }
    });
    let mut pairs: Vec<_> = pairs.collect();
    pairs.sort_unstable();
    format!("{{{}}}", pairs.join(","))
}

fn samples(entry: &Value) -> Samples {
    let many = entry["values"].as_array().into_iter().flatten();
    let one = Some(&entry["value"]).filter(|value| value.is_array());
    let number = |value: &Value| value.as_str().map_or(value.as_f64(), |text| text.parse().ok()).unwrap_or(f64::NAN);
    many.chain(one).map(|pair| (number(&pair[0]), number(&pair[1]))).collect()
}
