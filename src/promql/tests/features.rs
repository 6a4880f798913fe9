use crate::promql::{Features, parse, parse_with};

/// A feature, a query that needs it, and what is said without it.
const GATED: &[(&str, &str, &str)] = &[
    (
        "promql-experimental-functions",
        "abs(mad_over_time(m[5m]))",
        "1:5: parse error: function \"mad_over_time\" is not enabled",
    ),
    ("promql-experimental-functions", "start()", "1:1: parse error: function \"start\" is not enabled"),
    ("promql-experimental-functions", "max_of(1, 2)", "1:1: parse error: function \"max_of\" is not enabled"),
    (
        "promql-experimental-functions",
        "1 + limitk(1, m)",
        "1:5: parse error: limitk() is experimental and must be enabled with \
         --enable-feature=promql-experimental-functions",
    ),
    (
        "promql-experimental-functions",
        "limit_ratio(1, m)",
        "1:1: parse error: limit_ratio() is experimental and must be enabled with \
         --enable-feature=promql-experimental-functions",
    ),
    ("promql-duration-expr", "rate(m[1m+30])", "1:8: parse error: experimental duration expression is not enabled"),
    ("promql-duration-expr", "m[5m+step()]", "1:6: parse error: experimental duration expression is not enabled"),
    ("promql-duration-expr", "m[(5m)]", "1:3: parse error: experimental duration expression is not enabled"),
    ("promql-duration-expr", "m offset -(5m)", "1:11: parse error: experimental duration expression is not enabled"),
    (
        "promql-duration-expr",
        "m offset min_of(1,2)",
        "1:10: parse error: experimental duration expression is not enabled",
    ),
    (
        "promql-extended-range-selectors",
        "rate(m[5m] anchored)",
        "1:6: parse error: anchored modifier is experimental and not enabled",
    ),
    (
        "promql-extended-range-selectors",
        "m smoothed",
        "1:1: parse error: smoothed modifier is experimental and not enabled",
    ),
    (
        "promql-binop-fill-modifiers",
        "(a + fill(0) b)",
        "1:2: parse error: binop fill modifiers are experimental and not enabled",
    ),
    (
        "promql-binop-fill-modifiers",
        "a + fill_left(0) b",
        "1:1: parse error: binop fill modifiers are experimental and not enabled",
    ),
];

#[test]
fn what_is_experimental_needs_its_feature_and_no_other() {
    for &(name, query, message) in GATED {
        let error = parse_with(query, Features::default()).unwrap_err();
        assert_eq!(error.to_string(), message, "{query}");
        let needed: Features = name.parse().unwrap();
        assert_eq!(parse_with(query, needed), parse(query), "{query}");
        let others = Features::default().iter().map(|(other, _)| other).filter(|other| *other != name);
        let others: Features = others.collect::<Vec<_>>().join(",").parse().unwrap();
        assert!(parse_with(query, others).is_err(), "{query}");
    }
}

#[test]
fn what_is_not_experimental_needs_no_feature() {
    for query in [
        "rate(m[300] offset -5m @ start())",
        "m offset -4",
        "first_over_time(m[5m:30s])",
        "fill + anchored + smoothed",
        "a + on (x) group_left (y) b",
        "predict_linear(m[1h], 1h)",
        "{\"a.b\", \"c d\"=\"e\"}",
    ] {
        assert_eq!(parse_with(query, Features::default()), parse(query), "{query}");
    }
}

#[test]
fn features_have_prometheus_names() {
    let features: Features = "promql-duration-expr, use-start-timestamps".parse().unwrap();
    let enabled: Vec<_> = features.iter().filter(|(_, enabled)| *enabled).map(|(name, _)| name).collect();
    assert_eq!(enabled, ["promql-duration-expr", "use-start-timestamps"]);
    assert_eq!("".parse(), Ok(Features::default()));
    let error = "promql-durations".parse::<Features>().unwrap_err().to_string();
    assert!(
        error.starts_with("unknown feature \"promql-durations\"; there are promql-binop-fill-modifiers, "),
        "{error}"
    );
}
