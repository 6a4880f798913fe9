use std::collections::HashSet;

use super::*;

#[test]
fn names_are_unique_and_follow_the_conventions() {
    let mut seen = HashSet::new();
    for row in Metrics::TABLE {
        assert!(row.name.starts_with(PREFIX) && seen.insert(row.name), "{}", row.name);
        assert_eq!(row.name.ends_with("_total"), row.kind.starts_with("counter"), "{}", row.name);
        assert!(row.help.trim().ends_with('.') && row.help.len() > 8, "{} has no sentence of help", row.name);
        for unit in ["_ms", "_millis", "_kb", "_mb", "_ns"] {
            assert!(!row.name.contains(unit), "{} is not in base units", row.name);
        }
    }
}

#[test]
fn every_value_of_a_closed_label_is_there_from_the_start() {
    let text = Metrics::new().render();
    for line in [
        r#"plimsoll_fsync_duration_seconds_count{file="directory"} 0"#,
        r#"plimsoll_at_risk_samples{failure="power"} 0"#,
        r#"plimsoll_acknowledged_samples_total{level="os"} 0"#,
        r#"plimsoll_queries_total{result="timeout"} 0"#,
        "# TYPE plimsoll_at_risk_age_seconds gauge",
        "# HELP plimsoll_streams Streams (a table and one set of tags) that are known.",
    ] {
        assert!(text.lines().any(|l| l == line), "no line {line:?} in\n{text}");
    }
}

#[test]
fn an_observation_goes_to_its_own_child() {
    let metrics = Metrics::new();
    metrics.fsync_duration[FileKind::Wal].observe(0.0001);
    metrics.fsync_failures[FileKind::Manifest].inc();
    metrics.http_requests.with_label_values(&["write", "204"]).inc();
    let text = metrics.render();
    assert!(text.contains(r#"plimsoll_fsync_duration_seconds_count{file="wal"} 1"#));
    assert!(text.contains(r#"plimsoll_fsync_duration_seconds_bucket{file="wal",le="0.0001"} 1"#));
    assert!(text.contains(r#"plimsoll_fsync_duration_seconds_count{file="part"} 0"#));
    assert!(text.contains(r#"plimsoll_fsync_failures_total{file="manifest"} 1"#));
    assert!(text.contains(r#"plimsoll_http_requests_total{code="204",handler="write"} 1"#));
}
