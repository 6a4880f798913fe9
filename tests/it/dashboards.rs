//! The Grafana dashboards name only metrics there are, and say the unit of everything they draw.

use std::{collections::BTreeSet, path::Path};

use plimsoll::{
    metrics::{Metrics, PREFIX},
    promql,
};
use serde_json::Value;

fn dashboards() -> Vec<(String, Value)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards");
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let parsed = files.map(|path| {
        let text = std::fs::read_to_string(&path).unwrap();
        (path.display().to_string(), serde_json::from_str(&text).unwrap())
    });
    parsed.collect()
}

fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row")
}

fn expressions(panel: &Value) -> impl Iterator<Item = &str> {
    panel["targets"].as_array().unwrap().iter().map(|target| target["expr"].as_str().unwrap())
}

/// The names of series that `/metrics` has, histograms' parts included.
fn series_names() -> BTreeSet<String> {
    let names = Metrics::TABLE.iter().flat_map(|row| match row.kind.starts_with("histogram") {
        true => ["_bucket", "_sum", "_count"].map(|part| format!("{}{part}", row.name)).to_vec(),
        false => vec![row.name.to_owned()],
    });
    names.collect()
}

fn names_in(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices(PREFIX).map(|(start, _)| {
        let rest = &text[start..];
        &rest[..rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len())]
    })
}

#[test]
fn dashboards_name_only_metrics_that_exist() {
    let known = series_names();
    let mut named = BTreeSet::new();
    for (path, dashboard) in dashboards() {
        for name in names_in(&dashboard.to_string()) {
            assert!(known.contains(name), "{path} names {name:?}, which there is not");
            named.insert(name.to_owned());
        }
    }
    assert!(named.len() > 40, "only {} metrics are drawn at all", named.len());
    assert!(names_in("rate(plimsoll_no_such_total[5m])").any(|name| !known.contains(name)), "the check can fail");
}

#[test]
fn every_panel_has_a_unit_a_title_and_queries_that_parse() {
    for (path, dashboard) in dashboards() {
        assert!(panels(&dashboard).count() > 10, "{path}");
        for panel in panels(&dashboard) {
            let title = panel["title"].as_str().filter(|title| !title.is_empty());
            let title = title.unwrap_or_else(|| panic!("a panel of {path} has no title"));
            assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title:?} has no unit");
            for expr in expressions(panel) {
                let filled = expr.replace("$__rate_interval", "1m").replace("$__range", "1h");
                promql::parse(&filled).unwrap_or_else(|error| panic!("{title:?}: {expr}: {error}"));
            }
        }
    }
}

#[test]
fn nothing_is_bound_to_one_installation() {
    for (path, dashboard) in dashboards() {
        for panel in panels(&dashboard) {
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{path}: {}", panel["title"]);
            for expr in expressions(panel).filter(|expr| expr.contains("rate(")) {
                assert!(expr.contains("[$__rate_interval]"), "{path}: {expr}");
            }
        }
    }
}

#[test]
fn durability_comes_first() {
    for (path, dashboard) in dashboards() {
        let first = &dashboard["panels"][0];
        assert_eq!(first["type"], "row", "{path}");
        assert!(first["title"].as_str().unwrap().starts_with("Durability"), "{path}");
    }
}
