//! `features`: what this server can do, as maps of names to whether they are on.
//!
//! Names and categories are those of Prometheus, so that a client which looks for one finds it. Of what Prometheus has and
//! we have not at all (scraping, service discovery, templates), nothing is listed.

use serde_json::{Map, Value, json};

use crate::{
    http::{error::Error, reply::Reply, routes::Call, status::success},
    promql::{
        Features,
        ast::{AggregateOp, BinaryOp},
        functions::FUNCTIONS,
    },
};

/// Keywords and other parts of the language, those aside that are experimental.
const LANGUAGE: [&str; 12] = [
    "at_modifier",
    "bool",
    "by",
    "group_left",
    "group_right",
    "ignoring",
    "negative_offset",
    "offset",
    "on",
    "per_query_lookback_delta",
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
    success(&call, &all(call.server.options.features))
}

fn all(features: Features) -> Value {
    let experimental = features.experimental_functions;
    let binary = OPERATORS.iter().map(|op| (op.symbol(), true));
    let aggregations = AggregateOp::ALL.iter().map(|op| (op.name(), experimental || !op.is_experimental()));
    let operators = binary.chain(aggregations).chain(SELECTOR_OPERATORS.map(|name| (name, true)));
    let functions = FUNCTIONS.iter().map(|function| (function.name, experimental || !function.experimental));
    let language = LANGUAGE.into_iter().map(|name| (name, true)).chain([
        ("anchored", features.extended_range_selectors),
        ("delayed_name_removal", features.delayed_name_removal),
        ("duration_expr", features.duration_expr),
        ("fill", features.binop_fill_modifiers),
        ("fill_left", features.binop_fill_modifiers),
        ("fill_right", features.binop_fill_modifiers),
        ("per_step_stats", true),
        ("smoothed", features.extended_range_selectors),
        ("type_and_unit_labels", features.type_and_unit_labels),
    ]);
    json!({
        "api": {
            "admin": false, "exclude_alerts": true, "label_values_match": true, "lifecycle": false,
            "openapi_3.1": false, "openapi_3.2": false, "otlp_write_receiver": false, "query_stats": true,
            "query_warnings": true, "remote_write_receiver": false, "time_range_labels": true,
            "time_range_series": true,
        },
        "prometheus": { "agent_mode": false, "auto_reload_config": false, "server_mode": true },
        "promql": named(language),
        "promql_functions": named(functions),
        "promql_operators": named(operators),
        "rules": { "concurrent_rule_eval": false, "keep_firing_for": false, "query_offset": false },
        "tsdb": {
            "delayed_compaction": false, "exemplar_storage": false, "isolation": true, "native_histograms": false,
            "use_uncached_io": false,
        },
        "ui": { "ui_v2": false, "ui_v3": false },
    })
}

fn named<'a>(features: impl Iterator<Item = (&'a str, bool)>) -> Map<String, Value> {
    features.map(|(name, enabled)| (name.to_owned(), enabled.into())).collect()
}
