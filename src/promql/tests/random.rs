//! Any text, any tree, and texts of trees with mistakes in them.

use std::sync::Arc;

use proptest::{collection::vec, option, prelude::*, sample::select, test_runner::FileFailurePersistence};

use crate::{
    model::{METRIC_NAME, MatchOp, Matcher},
    promql::{
        ast::{
            Aggregate, AggregateOp, At, Binary, BinaryOp, Call, Cardinality, DurationExpr, Expr, Matching,
            MatrixSelector, Node, Number, Place, RangeExtension, Span, Subquery, TimeShift, ValueType, VectorSelector,
        },
        functions::{self, FUNCTIONS},
        parse, parse_selector, pretty,
    },
};

const PIECES: &[&str] = &[
    "a",
    "sum",
    "rate",
    "topk",
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "bool",
    "offset",
    "@",
    "start",
    "step",
    "fill",
    "min_of",
    "anchored",
    "and",
    "or",
    "atan2",
    "inf",
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "=",
    "=~",
    "!~",
    "!=",
    "==",
    "</",
    ">/",
    "<",
    "+",
    "-",
    "*",
    "/",
    "%",
    "^",
    "1",
    "0x1f",
    "5m",
    "1h30m",
    "0",
    "\"x\"",
    "'\\n'",
    "`(`",
    "#",
    "\n",
    " ",
    "ä",
    "\\",
    "!",
    ".",
    "_",
];

fn expr(node: Node) -> Expr {
    Expr { node, span: Span::default() }
}

/// What stands beside an operator: in parentheses unless nothing can reach into it.
fn operand(inner: Expr) -> Expr {
    match &inner.node {
        Node::Binary(_) | Node::Unary { .. } => expr(Node::Paren(Box::new(inner))),
        Node::Number(number) if number.value.is_sign_negative() => expr(Node::Paren(Box::new(inner))),
        // Behind `offset (…)` an operator goes on with the duration.
        Node::Vector(VectorSelector { at: TimeShift { offset: Some(DurationExpr::Paren(_)), .. }, .. }) => {
            expr(Node::Paren(Box::new(inner)))
        }
        _ => inner,
    }
}

fn text() -> impl Strategy<Value = Arc<str>> {
    "[ -~äß\\n\\t]{0,6}".prop_map(Arc::from)
}

fn label() -> impl Strategy<Value = Arc<str>> {
    prop_oneof![
        select(vec!["job", "le", "by", "on", "inf", "a.b", "x y", "fill"]).prop_map(Arc::from),
        "[a-zäA-Z0-9_:.]{1,6}".prop_map(Arc::from)
    ]
}

fn labels() -> impl Strategy<Value = Vec<Arc<str>>> {
    vec(label(), 0..3)
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>(),
        (-1000..1000).prop_map(f64::from),
        select(vec![f64::INFINITY, f64::NEG_INFINITY, 1e300, 0.1])
    ]
    .prop_map(|value| if value.is_nan() { 0.5 } else { value })
}

fn literal() -> impl Strategy<Value = Expr> {
    let duration = (-1_000_000..1_000_000_i64).prop_map(|millis| Number { value: millis as f64 / 1e3, duration: true });
    prop_oneof![number().prop_map(Number::from), duration].prop_map(|number| expr(Node::Number(number)))
}

fn duration() -> impl Strategy<Value = DurationExpr> {
    let leaf = prop_oneof![
        (1..10_000_000_000_i64).prop_map(|millis| DurationExpr::Literal(millis * 1_000_000)),
        // A whole number of milliseconds would be read as a duration where it stands alone.
        (1..1_000_000_000_i64).prop_map(|half| DurationExpr::Number((2 * half + 1) as f64 / 2e3)),
        Just(DurationExpr::Step(Place::default())),
        Just(DurationExpr::Range(Place::default())),
    ];
    leaf.prop_recursive(3, 8, 2, |inner| {
        let paren = |duration| Box::new(DurationExpr::Paren(Box::new(duration)));
        let ops =
            select(vec![BinaryOp::Add, BinaryOp::Sub, BinaryOp::Mul, BinaryOp::Div, BinaryOp::Mod, BinaryOp::Pow]);
        prop_oneof![
            inner.clone().prop_map(move |inner| DurationExpr::Negate(paren(inner), Place::default())),
            (ops, inner.clone(), inner.clone()).prop_map(move |(op, left, right)| DurationExpr::Binary {
                op,
                left: paren(left),
                right: paren(right),
                place: Place::default(),
            }),
            (inner.clone(), inner, any::<bool>()).prop_map(|(left, right, least)| {
                let build = if least { DurationExpr::MinOf } else { DurationExpr::MaxOf };
                build(Box::new(left), Box::new(right), Place::default())
            }),
        ]
    })
}

fn shift() -> impl Strategy<Value = TimeShift> {
    let at = prop_oneof![
        Just(At::Start),
        Just(At::End),
        (-10_000_000_000..10_000_000_000_i64).prop_map(|millis| At::Time(millis * 1_000_000))
    ];
    // A binary behind `offset` is read to its first part only, so it goes in parentheses.
    let offset = (duration(), any::<bool>()).prop_map(|(duration, back)| match duration {
        DurationExpr::Binary { .. } => DurationExpr::Paren(Box::new(duration)),
        DurationExpr::Literal(nanos) if back => DurationExpr::Literal(-nanos),
        other => other,
    });
    (option::weighted(0.2, offset), option::weighted(0.2, at)).prop_map(|(offset, at)| TimeShift { offset, at })
}

fn selector() -> impl Strategy<Value = VectorSelector> {
    let ops = select(vec![MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex]);
    let matcher = (label(), ops, text()).prop_map(|(name, op, value)| {
        let value = if matches!(op, MatchOp::Regex | MatchOp::NotRegex) { regex::escape(&value).into() } else { value };
        Matcher::new(name, op, value).unwrap()
    });
    let names = option::of(select(vec!["up", "sum", "a:b", "offset", "fill"]));
    let extension = option::weighted(0.1, select(vec![RangeExtension::Anchored, RangeExtension::Smoothed]));
    (names, vec(matcher, 0..3), shift(), extension).prop_map(|(name, mut matchers, at, extension)| {
        matchers.retain(|matcher| &*matcher.name != METRIC_NAME);
        let equal = Matcher::equal(METRIC_NAME, name.unwrap_or("any name"));
        matchers.insert(0, equal);
        VectorSelector { matchers, name: name.map(Arc::from), at, extension }
    })
}

fn matching() -> impl Strategy<Value = Matching> {
    let group = select(vec![Cardinality::OneToOne, Cardinality::ManyToOne, Cardinality::OneToMany]);
    let fills = prop_oneof![
        (option::of(number()), option::of(number())).prop_map(|(left, right)| (left, right, false)),
        number().prop_map(|both| (Some(both), Some(both), true)),
    ];
    (group, any::<bool>(), labels(), labels(), fills).prop_map(
        |(cardinality, on, labels, mut include, (fill_left, fill_right, fill_both))| {
            include.retain(|label| cardinality != Cardinality::OneToOne && !(on && labels.contains(label)));
            Matching { cardinality, on, labels, include, fill_left, fill_right, fill_both }
        },
    )
}

fn binary_op() -> impl Strategy<Value = BinaryOp> {
    use BinaryOp::{Add, And, Atan2, Div, Equal, Greater, LessOrEqual, Or, Pow, Sub, TrimLower, TrimUpper, Unless};
    select(vec![Add, Sub, Div, Pow, Atan2, Equal, Greater, LessOrEqual, And, Or, Unless, TrimUpper, TrimLower])
}

fn binary(op: BinaryOp, return_bool: bool, matching: Matching, left: Expr, right: Expr) -> Expr {
    let scalar = left.value_type() == ValueType::Scalar || right.value_type() == ValueType::Scalar;
    let op = if scalar && op.is_set() { BinaryOp::Add } else { op };
    let both = left.value_type() == right.value_type();
    let return_bool = op.is_comparison() && (return_bool || (scalar && both));
    let set = Matching {
        cardinality: Cardinality::ManyToMany,
        include: vec![],
        fill_left: None,
        fill_right: None,
        fill_both: false,
        ..matching.clone()
    };
    let matching = (!scalar).then_some(if op.is_set() { set } else { matching });
    let (left, right) = (operand(left), operand(right));
    expr(Node::Binary(Box::new(Binary { op, left, right, return_bool, matching })))
}

fn aggregate(op: AggregateOp, vector: Expr, value: f64, without: bool, grouping: Vec<Arc<str>>) -> Expr {
    let param = op.param().map(|param| match param {
        ValueType::String => expr(Node::String("value".into())),
        _ => expr(Node::Number(value.into())),
    });
    expr(Node::Aggregate(Box::new(Aggregate { op, expr: vector, param, without, grouping })))
}

fn call(name: &str, args: Vec<Expr>) -> Expr {
    expr(Node::Call(Call { function: functions::find(name).unwrap(), args }))
}

/// A call of any function, with as many arguments as it takes at least, and some that may be left out.
fn any_call(vector: impl Strategy<Value = Expr> + Clone + 'static) -> impl Strategy<Value = Expr> {
    let scalar = prop_oneof![literal(), vector.clone().prop_map(|vector| call("scalar", vec![vector]))];
    let matrix = (selector(), duration()).prop_map(|(selector, range)| {
        expr(Node::Matrix(MatrixSelector { selector, selector_span: Span::default(), range }))
    });
    let arguments = (vec(vector, 4), vec(scalar, 12), vec(text(), 6), vec(matrix, 1));
    (select(FUNCTIONS.iter().collect::<Vec<_>>()), 0..3usize, arguments).prop_map(
        |(function, more, (vectors, scalars, texts, matrices))| {
            let more = if function.optional == 0 || function.name == "info" { 0 } else { more };
            let count = function.args_max().unwrap_or(usize::MAX).min(function.args_min() + more);
            let argument = |index: usize| match function.arg(index) {
                ValueType::Vector => vectors[index % vectors.len()].clone(),
                ValueType::Scalar => scalars[index % scalars.len()].clone(),
                ValueType::String => expr(Node::String(texts[index % texts.len()].clone())),
                ValueType::Matrix => matrices[0].clone(),
            };
            expr(Node::Call(Call { function, args: (0..count).map(argument).collect() }))
        },
    )
}

/// Scalars and instant vectors of all kinds.
pub(super) fn tree() -> impl Strategy<Value = Expr> {
    let leaf = prop_oneof![
        literal(),
        selector().prop_map(|selector| expr(Node::Vector(selector))),
        Just(call("time", vec![])),
        (selector(), duration()).prop_map(|(selector, range)| {
            let matrix = MatrixSelector { selector, selector_span: Span::default(), range };
            call("rate", vec![expr(Node::Matrix(matrix))])
        }),
    ];
    leaf.prop_recursive(5, 40, 3, |inner| {
        let vector = inner.clone().prop_map(|inner| match inner.value_type() {
            ValueType::Vector => inner,
            _ => call("vector", vec![inner]),
        });
        let window = (vector.clone(), duration(), option::of(duration()), shift());
        prop_oneof![
            (binary_op(), any::<bool>(), matching(), inner.clone(), inner.clone())
                .prop_map(|(op, return_bool, matching, left, right)| binary(op, return_bool, matching, left, right)),
            (any::<bool>(), vector.clone())
                .prop_map(|(negate, inner)| expr(Node::Unary { negate, expr: Box::new(operand(inner)) })),
            inner.prop_map(|inner| expr(Node::Paren(Box::new(inner)))),
            (select(AggregateOp::ALL.to_vec()), vector.clone(), number(), any::<bool>(), labels())
                .prop_map(|(op, vector, value, without, grouping)| aggregate(op, vector, value, without, grouping)),
            any_call(vector),
            window.prop_map(|(inner, range, step, at)| {
                let subquery = Subquery { expr: operand(inner), range, step, at };
                call("last_over_time", vec![expr(Node::Subquery(Box::new(subquery)))])
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2_000,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("testdata/promql/random.seeds"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_pieces_in_any_order_are_read_without_panic(pieces in vec(select(PIECES), 0..40), glue in select(vec!["", " "])) {
        let text = pieces.join(glue);
        match parse(&text) {
            Ok(tree) => prop_assert_eq!(parse(&tree.to_string()), Ok(tree)),
            Err(error) => prop_assert!(error.render().to_string().contains('^')),
        }
        let _ = parse_selector(&text);
    }

    #[test]
    fn any_text_is_read_without_panic(text in any::<String>()) {
        if let Err(error) = parse(&text) {
            prop_assert!(error.render().to_string().contains('^'));
        }
    }

    #[test]
    fn queries_with_mistakes_are_read_without_panic(
        tree in tree(),
        mistakes in vec((any::<proptest::sample::Index>(), 0..6usize, select(PIECES)), 1..6),
    ) {
        let mut text = tree.to_string();
        for (place, length, piece) in mistakes {
            let start = text.floor_char_boundary(place.index(text.len() + 1));
            let end = text.ceil_char_boundary((start + length).min(text.len()));
            text.replace_range(start..end, piece);
        }
        match parse(&text) {
            Ok(tree) => {
                prop_assert_eq!(&parse(&tree.to_string()), &Ok(tree.clone()), "{}", text);
                prop_assert_eq!(&parse(&pretty(&tree)), &Ok(tree), "{}", text);
            }
            Err(error) => prop_assert!(error.render().to_string().contains('^')),
        }
    }

    #[test]
    fn any_tree_survives_printing(tree in tree()) {
        let text = tree.to_string();
        let parsed = parse(&text).map_err(|error| TestCaseError::fail(error.render().to_string()))?;
        prop_assert_eq!(&parsed, &tree, "{}", text);
        prop_assert_eq!(&parse(&pretty(&tree)).unwrap(), &tree, "{}", pretty(&tree));
    }
}
