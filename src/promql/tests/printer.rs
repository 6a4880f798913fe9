use crate::promql::{parse, pretty};

/// What goes in, and what comes out.
const PRINTED: &[(&str, &str)] = &[
    ("1e3", "1000"),
    ("-inf", "-Inf"),
    ("+Inf", "Inf"),
    ("Inf ^ 2", "Inf ^ 2"),
    ("'it''s'", ""),
    ("'say \"hi\"\\n'", "\"say \\\"hi\\\"\\n\""),
    ("up { b = 'x' , a =~ `\\d+` }", "up{b=\"x\",a=~\"\\\\d+\"}"),
    ("{\"my metric\"}", "{__name__=\"my metric\"}"),
    ("{'inf'='x'}", "{\"inf\"=\"x\"}"),
    ("m offset 90s @ 1.5", "m @ 1.500 offset 1m30s"),
    ("m offset -1w", "m offset -1w"),
    ("m @ -0.001", "m @ -0.001"),
    ("m[400d]", "m[400d]"),
    ("m[365d]", "m[1y]"),
    ("m[1m0s]", "m[1m]"),
    ("m[2h:] offset 1m", "m[2h:] offset 1m"),
    ("sum(a)by(b,c)", "sum by (b, c) (a)"),
    ("topk without()(5,a)", "topk without () (5, a)"),
    ("a>bool on(x)group_right b", "a > bool on (x) group_right () b"),
    ("a+ignoring()b", "a + b"),
    ("a+on()b", "a + on () b"),
    ("a+fill_left(1)fill_right(1)b", "a + fill (1) b"),
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
