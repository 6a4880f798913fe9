use crate::promql::{
    HEIGHT_MAX, QUERY_BYTES_MAX,
    ast::{
        At, BinaryOp, Cardinality, DurationExpr, Expr, Matching, Node, Number, RangeExtension, Span, VectorSelector,
    },
    parse, parse_selector, pretty,
};

const SECOND: i64 = 1_000_000_000;

fn node(text: &str) -> Node {
    parse(text).unwrap_or_else(|error| panic!("{}", error.render())).node
}

/// The tree with every operator in parentheses.
fn grouped(text: &str) -> String {
    fn group(expr: &Expr) -> String {
        match &expr.node {
            Node::Binary(binary) => {
                format!("({} {} {})", group(&binary.left), binary.op.symbol(), group(&binary.right))
            }
            Node::Unary { negate, expr } => format!("({}{})", if *negate { '-' } else { '+' }, group(expr)),
            Node::Paren(inner) => group(inner),
            _ => expr.to_string(),
        }
    }
    group(&parse(text).unwrap())
}

fn selector(text: &str) -> VectorSelector {
    match node(text) {
        Node::Vector(selector) => selector,
        Node::Matrix(matrix) => matrix.selector,
        other => panic!("{text} is {other:?}"),
    }
}

fn matching(text: &str) -> Option<Matching> {
    match node(text) {
        Node::Binary(binary) => binary.matching,
        other => panic!("{text} is {other:?}"),
    }
}

#[test]
fn operators_bind_as_in_prometheus() {
    for (text, expected) in [
        ("a + b * c", "(a + (b * c))"),
        ("a - b - c", "((a - b) - c)"),
        ("a ^ b ^ c", "(a ^ (b ^ c))"),
        ("-a ^ b", "(-(a ^ b))"),
        ("-a * b", "((-a) * b)"),
        ("a ^ -b * c", "((a ^ (-b)) * c)"),
        ("a ^ -b ^ c", "(a ^ (-(b ^ c)))"),
        ("a or b and c unless d", "(a or ((b and c) unless d))"),
        ("a == b + c > d", "((a == (b + c)) > d)"),
        ("a atan2 b % c", "((a atan2 b) % c)"),
        ("a </ b + c", "(a </ (b + c))"),
        ("a and b </ c >/ d", "(a and ((b </ c) >/ d))"),
        ("--a", "(-(-a))"),
    ] {
        assert_eq!(grouped(text), expected, "{text}");
    }
}

#[test]
fn a_sign_before_a_number_is_part_of_it() {
    assert_eq!(node("-1"), Node::Number((-1.0).into()));
    assert_eq!(node("--1"), Node::Number(1.0.into()));
    assert_eq!(node("-Inf"), Node::Number(f64::NEG_INFINITY.into()));
    assert_eq!(node("-5m"), Node::Number(Number { value: -300.0, duration: true }));
    assert!(matches!(node("-2 ^ 2"), Node::Unary { negate: true, .. }));
}

#[test]
fn durations_are_numbers_and_numbers_are_durations() {
    assert_eq!(node("1h30m"), Node::Number(Number { value: 5400.0, duration: true }));
    let Node::Matrix(matrix) = node("m[1800] offset 20") else { panic!() };
    assert_eq!(matrix.range, DurationExpr::Literal(1800 * SECOND));
    assert_eq!(matrix.selector.at.offset, Some(DurationExpr::Literal(20 * SECOND)));
    assert_eq!(selector("m[0.0015]"), selector("m[1ms]"));
    let Node::Matrix(matrix) = node("m[0.0015]") else { panic!() };
    assert_eq!(matrix.range, DurationExpr::Number(0.0015), "milliseconds cannot say it");
    assert_eq!(selector("m @ 1m40s").at.at, Some(At::Time(100 * SECOND)));
}

#[test]
fn at_takes_times_and_bounds() {
    assert_eq!(selector("m @ 1.2345").at.at, Some(At::Time(1_235_000_000)));
    assert_eq!(selector("m @ -5").at.at, Some(At::Time(-5 * SECOND)));
    assert_eq!(selector("m @ start()").at.at, Some(At::Start));
    assert_eq!(selector("m[5m] @ END()").at.at, Some(At::End));
    assert_eq!(selector("m offset 5m @ 1").at, selector("m @ 1 offset 5m").at);
}

#[test]
fn an_offset_ends_where_its_first_part_does() {
    for (text, expected) in [
        ("m offset 100 + 2", "(m offset 1m40s + 2)"),
        ("m offset -2 ^ 2", "(m offset -2s ^ 2)"),
        ("m offset -step() * 2", "(m offset -step() * 2)"),
        ("m offset min_of(step(), 1s) + 8", "(m offset min_of(step(), 1s) + 8)"),
        ("m offset -(2s - 5) + 8", "(m offset -(2s - 5) + 8)"),
    ] {
        assert_eq!(grouped(text), expected, "{text}");
    }
    assert!(matches!(selector("m offset (5m) * 2").at.offset, Some(DurationExpr::Binary { op: BinaryOp::Mul, .. })));
}

#[test]
fn durations_in_brackets_are_expressions() {
    for text in [
        "m[2m * (10 + 5)]",
        "m[-5m + 35m]",
        "m[1h / 2]",
        "m[step()]",
        "m[max_of(min_of(step() + 1, 1h), 1ms)]",
        "m[29s + 1s:20 * 500ms]",
        "m[2 ^ 3 ^ 2s]",
        "m[range()]",
        "m[-step() + 1h]",
    ] {
        assert_eq!(parse(text).unwrap().to_string(), text);
    }
    assert_eq!(parse("m[1+(STep()-5)*2]").unwrap().to_string(), "m[1 + (step() - 5) * 2]");
}

#[test]
fn keywords_name_metrics_and_labels_where_no_keyword_can_stand() {
    for text in
        "sum by without offset and or unless start end step range min_of max_of anchored smoothed fill fill_left topk"
            .split(' ')
    {
        assert_eq!(selector(text).name.as_deref(), Some(text));
        assert_eq!(selector(&format!("{text}{{a=\"b\"}}")).matchers.len(), 2, "{text}");
        assert!(parse(&format!("sum by ({text}) (x)")).is_ok(), "{text}");
        assert!(parse(&format!("x{{{text}=\"y\"}}")).is_ok(), "{text}");
    }
    for text in ["on", "ignoring", "group_left", "group_right", "bool", "atan2"] {
        assert!(parse(text).is_err(), "{text}");
        assert!(parse(&format!("sum by ({text}) (x)")).is_ok(), "{text}");
        assert!(parse(&format!("x{{{text}=\"y\"}}")).is_ok(), "{text}");
    }
    assert_eq!(grouped("fill + fill(0) fill"), "(fill + fill)");
    assert_eq!(grouped("sum + sum(by)"), "(sum + sum(by))");
}

#[test]
fn names_in_quotes_may_be_any_text() {
    assert_eq!(selector("{\"my.metric\", \"a.b\"='c'}").to_string_for_test(), "{\"a.b\"=\"c\",__name__=\"my.metric\"}");
    assert_eq!(parse("sum by (\"a b\", c) (x)").unwrap().to_string(), "sum by (\"a b\", c) (x)");
}

impl VectorSelector {
    fn to_string_for_test(&self) -> String {
        Node::Vector(self.clone()).to_string()
    }
}

#[test]
fn vectors_are_matched_as_written() {
    let plain = matching("a + b").unwrap();
    assert_eq!((plain.cardinality, plain.on, plain.labels.len()), (Cardinality::OneToOne, false, 0));
    let grouped = matching("a * on (x, y) group_left (z) b").unwrap();
    assert_eq!((grouped.cardinality, grouped.on, grouped.labels.len()), (Cardinality::ManyToOne, true, 2));
    assert_eq!(&*grouped.include[0], "z");
    assert_eq!(matching("a / ignoring (x) group_right b").unwrap().cardinality, Cardinality::OneToMany);
    assert_eq!(matching("a and on () b").unwrap().cardinality, Cardinality::ManyToMany);
    assert_eq!(matching("a + 1"), None);
    assert_eq!(matching("1 + 1"), None);
}

#[test]
fn fill_sets_one_side_or_both() {
    let values = |text| matching(text).map(|matching| (matching.fill_left, matching.fill_right)).unwrap();
    assert_eq!(values("a + fill(-1) b"), (Some(-1.0), Some(-1.0)));
    assert_eq!(values("a + fill_right (7) fill_left(5m) b"), (Some(300.0), Some(7.0)));
    assert_eq!(values("a == bool on (x) group_left fill_left(0) b"), (Some(0.0), None));
    assert_ne!(matching("a + fill(1) b"), matching("a + fill_left(1) fill_right(1) b"), "as it was written");
    assert!(parse("a + fill_left(1) fill_left(2) b").is_err());
    assert!(parse("a + fill(1) fill_left(2) b").is_err());
}

#[test]
fn extensions_stand_behind_selectors() {
    assert_eq!(selector("m[5m] anchored").extension, Some(RangeExtension::Anchored));
    assert_eq!(selector("m offset -100 smoothed").extension, Some(RangeExtension::Smoothed));
    assert_eq!(grouped("m @ 100 smoothed + 0"), "(m @ 100.000 smoothed + 0)");
}

#[test]
fn grouping_stands_before_or_behind() {
    assert_eq!(parse("sum by (a) (x)").unwrap(), parse("SUM(x) BY (a,)").unwrap());
    assert_eq!(parse("sum by () (x)").unwrap(), parse("sum(x)").unwrap());
    assert_ne!(parse("sum without () (x)").unwrap(), parse("sum(x)").unwrap());
}

#[test]
fn spans_cover_modifiers() {
    let text = "  rate( m{a=\"b\"}[5m]  offset 1m ) ";
    let Expr { node: Node::Call(call), span } = parse(text).unwrap() else { panic!() };
    assert_eq!(&text[span.start..span.end], "rate( m{a=\"b\"}[5m]  offset 1m )");
    let Expr { node: Node::Matrix(matrix), span } = &call.args[0] else { panic!() };
    assert_eq!(&text[span.start..span.end], "m{a=\"b\"}[5m]  offset 1m");
    let Span { start, end } = matrix.selector_span;
    assert_eq!(&text[start..end], "m{a=\"b\"}");
}

#[test]
fn a_lone_selector_may_be_empty() {
    assert_eq!(parse_selector("{}").unwrap().len(), 0);
    assert_eq!(parse_selector("up{job=~\"a.*\",}").unwrap().len(), 2);
    assert_eq!(parse_selector("up[5m]").unwrap_err().to_string(), "1:3: parse error: unexpected \"[\"");
    assert!(parse_selector("").is_err());
    assert!(parse_selector("1").is_err());
}

#[test]
fn deep_and_long_texts_are_refused_before_the_stack_ends() {
    for text in [
        "(".repeat(100_000),
        "-".repeat(100_000),
        "abs(".repeat(100_000),
        "a[".repeat(100_000),
        format!("a[{}", "(".repeat(100_000)),
        format!("a[{}", "-".repeat(100_000)),
        format!("a[1m{}]", "+1m".repeat(10_000)),
        "1^".repeat(100_000),
        format!("a{}", "[1m:]".repeat(100_000)),
        format!("1{}", "+1".repeat(100_000)),
        "x".repeat(2_000_000),
    ] {
        assert!(parse(&text).is_err());
    }
    assert!(parse(&format!("1{}", "+1".repeat(HEIGHT_MAX - 1))).is_ok());
    assert!(parse(&format!("1{}", "+1".repeat(HEIGHT_MAX))).is_err());
    assert!(parse(&format!("{}1{}", "(".repeat(200), ")".repeat(200))).is_ok());
    let highest = parse(&format!("a{}", " or a".repeat(HEIGHT_MAX - 1))).unwrap();
    assert_eq!(highest.to_string().matches("or").count(), HEIGHT_MAX - 1);
    // Its indented text would be longer than a query may be, so a lower one has to do.
    assert!(pretty(&highest).len() > QUERY_BYTES_MAX);
    let high = parse(&format!("a{}", " or a".repeat(HEIGHT_MAX / 4))).unwrap();
    assert_eq!(parse(&pretty(&high)).unwrap(), high);
}
