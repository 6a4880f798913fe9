//! `features`: what this server can do, as maps of names to whether they are on.
//!
//! Names and categories are those of Prometheus, so that a client which looks for one finds it. Of what Prometheus has and
//! we have not at all (scraping, service discovery, templates), nothing is listed.

use serde_json::{Map, Value, json};

use crate::{
    http::{error::Error, reply::Reply, routes::Call, status::success},
    promql::{
        Options,
        ast::{AggregateOp, BinaryOp},
        functions::FUNCTIONS,
    },
};

/// Keywords and other parts of the language; all of them are there, those that Prometheus calls experimental too.
const LANGUAGE: [&str; 18] = [
    "anchored",
    "at_modifier",
    "bool",
    "by",
    "duration_expr",
    "fill",
    "fill_left",
    "fill_right",
    "group_left",
    "group_right",
    "ignoring",
    "negative_offset",
    "offset",
    "on",
    "per_query_lookback_delta",
    "smoothed",
    "subqueries",
    "without",
];

/// Operators between expressions.
const OPERATORS: [BinaryOp; 18] = [
    BinaryOp::Add,
    BinaryOp::Sub,
    BinaryOp::Mul,
    BinaryOp::Div,
    BinaryOp::Mod,
    BinaryOp::Pow,
    BinaryOp::Atan2,
    BinaryOp::Equal,
    BinaryOp::NotEqual,
    BinaryOp::Greater,
    BinaryOp::Less,
    BinaryOp::GreaterOrEqual,
    BinaryOp::LessOrEqual,
    BinaryOp::And,
    BinaryOp::Or,
    BinaryOp::Unless,
    BinaryOp::TrimUpper,
    BinaryOp::TrimLower,
];

/// Operators of selectors, which stand beside those between expressions.
const SELECTOR_OPERATORS: [&str; 3] = ["=~", "!~", "@"];

/// The answer.
pub(super) async fn features(call: Call) -> Result<Reply, Error> {
    success(&call, &all())
}

fn all() -> Value {
    let binary = OPERATORS.iter().map(|op| op.symbol());
    let operators = binary.chain(AggregateOp::ALL.iter().map(|op| op.name())).chain(SELECTOR_OPERATORS);
    let mut language = enabled(LANGUAGE.into_iter());
    let options = Options::default();
    language.insert("delayed_name_removal".to_owned(), options.delayed_name_removal.into());
    language.insert("per_step_stats".to_owned(), true.into());
    language.insert("type_and_unit_labels".to_owned(), false.into());
    json!({
        "api": {
            "admin": false, "exclude_alerts": true, "label_values_match": true, "lifecycle": false,
            "openapi_3.1": false, "openapi_3.2": false, "otlp_write_receiver": false, "query_stats": true,
            "query_warnings": true, "remote_write_receiver": false, "time_range_labels": true,
            "time_range_series": true,
        },
        "prometheus": { "agent_mode": false, "auto_reload_config": false, "server_mode": true },
        "promql": language,
        "promql_functions": enabled(FUNCTIONS.iter().map(|function| function.name)),
        "promql_operators": enabled(operators),
        "rules": { "concurrent_rule_eval": false, "keep_firing_for": false, "query_offset": false },
        "tsdb": {
            "delayed_compaction": false, "exemplar_storage": false, "isolation": true, "native_histograms": false,
            "use_uncached_io": false,
        },
        "ui": { "ui_v2": false, "ui_v3": false },
    })
}

fn enabled<'a>(names: impl Iterator<Item = &'a str>) -> Map<String, Value> {
    names.map(|name| (name.to_owned(), true.into())).collect()
}
