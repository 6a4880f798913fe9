//! `status/self_metrics`: our own metrics as JSON, in the shape Prometheus gives its own.

use prometheus::proto::{Metric, MetricFamily, MetricType};
use serde_json::{Value, json};

use crate::{
    http::{error::Error, reply::Reply, routes::Call, status::success},
    model::{MatchOp, Matcher},
};

/// The families whose whole name matches `metric_name_pattern`; all without one.
pub(super) async fn families(call: Call) -> Result<Reply, Error> {
    let params = call.url_params()?;
    let pattern = params.non_empty("metric_name_pattern").unwrap_or(".*");
    let matcher = Matcher::new("name", MatchOp::Regex, pattern)
        .map_err(|error| Error::parameter("metric_name_pattern", error))?;
    call.server.engine.refresh_metrics();
    call.server.queries.refresh_metrics();
    let families = call.server.metrics.families();
    let found: Value = families.iter().filter(|family| matcher.matches(family.name())).map(family).collect();
    success(&call, &found)
}

fn family(family: &MetricFamily) -> Value {
    let kind = family.get_field_type();
    let name = match kind {
        MetricType::COUNTER => "COUNTER",
        MetricType::GAUGE => "GAUGE",
        MetricType::SUMMARY => "SUMMARY",
        MetricType::UNTYPED => "UNTYPED",
        MetricType::HISTOGRAM => "HISTOGRAM",
    };
    let metrics: Value = family.get_metric().iter().map(|one| metric(one, kind)).collect();
    json!({ "name": family.name(), "help": family.help(), "type": name, "metric": metrics })
}

/// We have counters, gauges and histograms.
fn metric(metric: &Metric, kind: MetricType) -> Value {
    let label = |label: &prometheus::proto::LabelPair| json!({ "name": label.name(), "value": label.value() });
    let (member, value) = match kind {
        MetricType::COUNTER => ("counter", json!({ "value": metric.get_counter().get_value() })),
        MetricType::HISTOGRAM => {
            let histogram = metric.get_histogram();
            let buckets = histogram.get_bucket().iter().map(|bucket| {
                // Integers of 64 bits are strings in JSON made from protocol buffers, and infinity has a name.
                let bound = bucket.upper_bound();
                let bound = if bound.is_finite() { bound.into() } else { Value::from("Infinity") };
                json!({ "upperBound": bound, "cumulativeCount": bucket.cumulative_count().to_string() })
            });
            let count = histogram.get_sample_count().to_string();
            let buckets: Value = buckets.collect();
            ("histogram", json!({ "sampleCount": count, "sampleSum": histogram.get_sample_sum(), "bucket": buckets }))
        }
        _ => ("gauge", json!({ "value": metric.get_gauge().get_value() })),
    };
    let mut out = json!({ member: value });
    if !metric.get_label().is_empty() {
        out["label"] = metric.get_label().iter().map(label).collect();
    }
    out
}
