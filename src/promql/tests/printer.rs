use crate::promql::{parse, pretty};

/// What goes in, and what comes out.
const PRINTED: &[(&str, &str)] = &[
    ("1e3", "1000"),
    ("-inf", "-Inf"),
    ("Inf", "+Inf"),
    ("2 ^ Inf", "2 ^ +Inf"),
    ("Inf ^ 2", "Inf ^ 2"), // a sign would take in the power
    ("foo + 5m", "foo + 5m"),
    ("-5m", "-5m"),
    ("0s", "0s"),
    ("1h30m", "1h30m"),
    ("90m + 300", "1h30m + 300"),
    ("1.5e3", "1500"),
    ("'it''s'", ""),
    ("'say \"hi\"\\n'", "\"say \\\"hi\\\"\\n\""),
    ("up { b = 'x' , a =~ `\\d+` }", "up{a=~\"\\\\d+\",b=\"x\"}"),
    ("{a='x', __name__='up'}", "{__name__=\"up\",a=\"x\"}"),
    ("m{a!='x',a='x'}", "m{a!=\"x\",a=\"x\"}"),
    ("{\"my metric\"}", "{__name__=\"my metric\"}"),
    ("{'inf'='x'}", "{inf=\"x\"}"),
    ("sum by('inf')(a)", "sum by (\"inf\") (a)"),
    ("{'a b'='x'}", "{\"a b\"=\"x\"}"),
    ("m offset 90s @ 1.5", "m @ 1.500 offset 1m30s"),
    ("m offset -1w", "m offset -1w"),
    ("m @ -0.001", "m @ -0.001"),
    ("m[400d]", "m[400d]"),
    ("m[365d]", "m[1y]"),
    ("m[1m0s]", "m[1m]"),
    ("m[2h:] offset 1m", "m[2h:] offset 1m"),
    ("m[300]", "m[5m]"),
    ("m[1.5]", "m[1s500ms]"),
    ("m[0.0015]", "m[0.0015]"),
    ("m[60 + 5m]", "m[60 + 5m]"),
    ("m[5m:60]", "m[5m:1m]"),
    ("m offset 60", "m offset 1m"),
    ("m offset -1.5", "m offset -1s500ms"),
    ("m offset 0s", "m"),
    ("m[5m] offset -0", "m[5m]"),
    ("m[5m:] offset 0", "m[5m:]"),
    ("m offset 0s offset 1m", "m offset 1m"),
    ("m anchored offset 1m @ 5", "m @ 5.000 anchored offset 1m"),
    ("m[5m] @ 5 smoothed offset 1m", "m[5m] smoothed @ 5.000 offset 1m"),
    ("sum(a)by(b,c)", "sum by (b, c) (a)"),
    ("topk without()(5,a)", "topk without () (5, a)"),
    ("a>bool on(x)group_right b", "a > bool on (x) group_right () b"),
    ("a+ignoring()b", "a + b"),
    ("a+on()b", "a + on () b"),
    ("a+fill(1)b", "a + fill (1) b"),
    ("a+fill(1e6)b", "a + fill (1e+06) b"),
    ("a+fill_right(1)fill_left(1)b", "a + fill_left (1) fill_right (1) b"),
    ("a+fill_left(5m)b", "a + fill_left (300) b"),
    ("a+fill_right(-Inf)b", "a + fill_right (-Inf) b"),
    ("- ( 1+2 )", "-(1 + 2)"),
    ("pi ( )", "pi()"),
];

#[test]
fn trees_print_canonically() {
    for (text, expected) in PRINTED {
        let got = parse(text).map_or_else(|_| String::new(), |expr| expr.to_string());
        assert_eq!(got, *expected, "{text}");
    }
}

#[test]
fn what_fits_on_a_line_stays_on_it() {
    assert_eq!(pretty(&parse("sum(rate(m[5m]))").unwrap()), "sum(rate(m[5m]))");
}

#[test]
fn what_is_too_long_is_split_at_its_parts() {
    let text = "histogram_quantile(0.99, sum by (le) (rate(a_rather_long_metric_name_bucket{cluster=\"one\",job=\"api\"}[5m]))) \
                / on (job) (clamp_min(another_metric{cluster=\"one\"}, 1))";
    let expected = "  histogram_quantile(
    0.99,
    sum by (le) (rate(a_rather_long_metric_name_bucket{cluster=\"one\",job=\"api\"}[5m]))
  )
/ on (job)
  (clamp_min(another_metric{cluster=\"one\"}, 1))";
    let tree = parse(text).unwrap();
    assert_eq!(pretty(&tree), expected);
    assert_eq!(parse(&pretty(&tree)).unwrap(), tree);
}

/// What goes in, and how it is split.
const SPLIT: &[(&str, &str)] = &[
    // 99 characters, 101 bytes.
    (
        "abs(m{a=\"éé3456789012345678901234567890123456789012345678901234567890123456789012345678901234567890\"})",
        "abs(
  m{a=\"éé3456789012345678901234567890123456789012345678901234567890123456789012345678901234567890\"}
)",
    ),
    // As in Prometheus, a short subquery is not indented.
    (
        "predict_linear(foo[5m:1m], scalar(a_metric_of_a_name_that_is_long_enough_to_split_the_call_{b=\"c\",d=\"e\"}))",
        "predict_linear(
foo[5m:1m],
  scalar(a_metric_of_a_name_that_is_long_enough_to_split_the_call_{b=\"c\",d=\"e\"})
)",
    ),
    (
        "-(a_metric_of_a_name_that_is_long_enough + another_metric_of_a_name_that_is_long_enough_to_split_iiit)^2",
        "-(
    a_metric_of_a_name_that_is_long_enough + another_metric_of_a_name_that_is_long_enough_to_split_iiit
  )
^
  2",
    ),
    (
        "Inf ^ (a_metric_of_a_name_that_is_long_enough + another_metric_of_a_name_that_is_long_enough_to_split_iiit)",
        "  Inf
^
  (
    a_metric_of_a_name_that_is_long_enough + another_metric_of_a_name_that_is_long_enough_to_split_iiit
  )",
    ),
];

#[test]
fn lines_are_split_where_prometheus_splits_them() {
    for (text, expected) in SPLIT {
        let tree = parse(text).unwrap();
        assert_eq!(pretty(&tree), *expected, "{text}");
        assert_eq!(parse(&pretty(&tree)).unwrap(), tree);
    }
}
