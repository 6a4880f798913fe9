//! Our trees against those of the `promql-parser` crate, which follows Prometheus 2.45, for all texts that it reads.

use std::{collections::BTreeMap, time::UNIX_EPOCH};

use promql_parser::parser::{
    self as other, AtModifier, LabelModifier, Offset, VectorMatchCardinality, VectorSelector as Selector,
};
use proptest::prelude::*;

use super::{corpus::queries, random::tree};
use crate::promql::{
    ast::{Aggregate, At, Binary, Cardinality, DurationExpr, Expr, Node, TimeShift, VectorSelector},
    parse,
};

/// What both say, in a form of neither: every node in parentheses with all that belongs to it.
fn ours(expr: &Expr) -> Option<String> {
    Some(match &expr.node {
        Node::Number(literal) => number(literal.value),
        Node::String(text) => format!("{text:?}"),
        Node::Vector(selector) => our_selector(selector)?,
        Node::Matrix(matrix) => format!("(range {} {})", our_selector(&matrix.selector)?, literal(&matrix.range)?),
        Node::Subquery(subquery) => {
            let step =
                subquery.step.as_ref().map_or(Some(String::new()), |step| literal(step).map(|s| s.to_string()))?;
            let (inner, range) = (ours(&subquery.expr)?, literal(&subquery.range)?);
            format!("(subquery {inner} {range}:{step}{})", our_shift(&subquery.at)?)
        }
        Node::Unary { negate: true, expr } => format!("(- {})", ours(expr)?),
        // The crate forgets a `+`.
        Node::Unary { negate: false, expr } => ours(expr)?,
        Node::Binary(binary) => our_binary(binary)?,
        Node::Aggregate(aggregate) => our_aggregate(aggregate)?,
        Node::Call(call) => {
            let args: Option<Vec<String>> = call.args.iter().map(ours).collect();
            format!("({} {})", call.function.name, args?.join(" "))
        }
        Node::Paren(inner) => format!("(paren {})", ours(inner)?),
    })
}

fn number(value: f64) -> String {
    format!("{value:?}")
}

fn labels<T: AsRef<str>>(labels: &[T]) -> String {
    format!("{:?}", labels.iter().map(AsRef::as_ref).collect::<Vec<&str>>())
}

/// Milliseconds; the crate knows no duration expressions.
fn literal(duration: &DurationExpr) -> Option<i64> {
    match duration {
        DurationExpr::Literal(nanos) => Some(nanos / 1_000_000),
        _ => None,
    }
}

fn our_shift(shift: &TimeShift) -> Option<String> {
    let offset = match &shift.offset {
        Some(offset) => format!(" offset {}", literal(offset)?),
        None => String::new(),
    };
    let at = match shift.at {
        None => String::new(),
        Some(At::Start) => " @start".to_owned(),
        Some(At::End) => " @end".to_owned(),
        Some(At::Time(nanos)) => format!(" @{}", nanos / 1_000_000),
    };
    Some(offset + &at)
}

/// The matchers, those of the name too, whatever order they stand in.
fn conditions(conditions: impl Iterator<Item = (String, String, String)>) -> String {
    let mut conditions: Vec<_> = conditions.collect();
    conditions.sort();
    conditions.iter().map(|(name, op, value)| format!("{name}{op}{value:?},")).collect()
}

fn our_selector(selector: &VectorSelector) -> Option<String> {
    if selector.extension.is_some() {
        return None;
    }
    let matchers = selector.matchers.iter().map(|m| (m.name.to_string(), m.op.to_string(), m.value.to_string()));
    Some(format!("{{{}}}{}", conditions(matchers), our_shift(&selector.at)?))
}

fn our_binary(binary: &Binary) -> Option<String> {
    let mut text = format!("({}", binary.op.symbol());
    if binary.return_bool {
        text += " bool";
    }
    if let Some(matching) = &binary.matching {
        if matching.fill_left.or(matching.fill_right).is_some() {
            return None;
        }
        let on = if matching.on { "on" } else { "ignoring" };
        if matching.on || !matching.labels.is_empty() {
            text += &format!(" {on}{}", labels(&matching.labels));
        }
        let group = match matching.cardinality {
            Cardinality::ManyToOne => "left",
            Cardinality::OneToMany => "right",
            Cardinality::OneToOne | Cardinality::ManyToMany => "",
        };
        if !group.is_empty() {
            text += &format!(" {group}{}", labels(&matching.include));
        }
    }
    Some(format!("{text} {} {})", ours(&binary.left)?, ours(&binary.right)?))
}

fn our_aggregate(aggregate: &Aggregate) -> Option<String> {
    let param = aggregate.param.as_ref().map_or(Some(String::new()), |param| Some(ours(param)? + " "))?;
    let by = match (aggregate.without, aggregate.grouping.is_empty()) {
        (true, _) => format!("without{}", labels(&aggregate.grouping)),
        (false, false) => format!("by{}", labels(&aggregate.grouping)),
        (false, true) => String::new(),
    };
    Some(format!("({} {by} {param}{})", aggregate.op.name(), ours(&aggregate.expr)?))
}

fn theirs(expr: &other::Expr) -> String {
    match expr {
        other::Expr::NumberLiteral(literal) => number(literal.val),
        other::Expr::StringLiteral(literal) => format!("{:?}", literal.val),
        other::Expr::VectorSelector(selector) => their_selector(selector),
        other::Expr::MatrixSelector(matrix) => {
            format!("(range {} {})", their_selector(&matrix.vs), matrix.range.as_millis())
        }
        other::Expr::Subquery(subquery) => {
            let step = subquery.step.map_or(String::new(), |step| step.as_millis().to_string());
            let shift = their_shift(subquery.offset.as_ref(), subquery.at.as_ref());
            format!("(subquery {} {}:{step}{shift})", theirs(&subquery.expr), subquery.range.as_millis())
        }
        other::Expr::Unary(unary) => format!("(- {})", theirs(&unary.expr)),
        other::Expr::Binary(binary) => their_binary(binary),
        other::Expr::Aggregate(aggregate) => {
            let param = aggregate.param.as_ref().map_or(String::new(), |param| theirs(param) + " ");
            let by = match &aggregate.modifier {
                Some(LabelModifier::Exclude(without)) => format!("without{}", labels(&without.labels)),
                Some(LabelModifier::Include(by)) if !by.labels.is_empty() => format!("by{}", labels(&by.labels)),
                _ => String::new(),
            };
            format!("({} {by} {param}{})", aggregate.op, theirs(&aggregate.expr))
        }
        other::Expr::Call(call) => {
            let args: Vec<String> = call.args.args.iter().map(|arg| theirs(arg)).collect();
            format!("({} {})", call.func.name, args.join(" "))
        }
        other::Expr::Paren(paren) => format!("(paren {})", theirs(&paren.expr)),
        other::Expr::Extension(_) => unreachable!("nobody adds any"),
    }
}

fn their_shift(offset: Option<&Offset>, at: Option<&AtModifier>) -> String {
    let offset = match offset {
        Some(Offset::Pos(by)) => format!(" offset {}", by.as_millis()),
        Some(Offset::Neg(by)) => format!(" offset -{}", by.as_millis()),
        None => String::new(),
    };
    let at = match at {
        Some(AtModifier::Start) => " @start".to_owned(),
        Some(AtModifier::End) => " @end".to_owned(),
        Some(AtModifier::At(time)) => match time.duration_since(UNIX_EPOCH) {
            Ok(after) => format!(" @{}", after.as_millis()),
            Err(before) => format!(" @-{}", before.duration().as_millis()),
        },
        None => String::new(),
    };
    offset + &at
}

fn their_selector(selector: &Selector) -> String {
    let name = selector.name.iter().map(|name| ("__name__".to_owned(), "=".to_owned(), name.clone()));
    let matchers = selector.matchers.matchers.iter().map(|m| (m.name.clone(), m.op.to_string(), m.value.clone()));
    let shift = their_shift(selector.offset.as_ref(), selector.at.as_ref());
    format!("{{{}}}{shift}", conditions(name.chain(matchers)))
}

fn their_binary(binary: &other::BinaryExpr) -> String {
    let mut text = format!("({}", binary.op);
    if let Some(modifier) = &binary.modifier {
        if modifier.return_bool {
            text += " bool";
        }
        match &modifier.matching {
            Some(LabelModifier::Include(on)) => text += &format!(" on{}", labels(&on.labels)),
            Some(LabelModifier::Exclude(ignoring)) if !ignoring.labels.is_empty() => {
                text += &format!(" ignoring{}", labels(&ignoring.labels));
            }
            _ => {}
        }
        match &modifier.card {
            VectorMatchCardinality::ManyToOne(include) => text += &format!(" left{}", labels(&include.labels)),
            VectorMatchCardinality::OneToMany(include) => text += &format!(" right{}", labels(&include.labels)),
            VectorMatchCardinality::OneToOne | VectorMatchCardinality::ManyToMany => {}
        }
    }
    format!("{text} {} {})", theirs(&binary.lhs), theirs(&binary.rhs))
}

/// Compares what both make of a text, where both make something of it. Whether they did.
fn compare(text: &str) -> Result<bool, String> {
    if text.contains("\\x") {
        return Ok(false); // bytes that are no UTF-8, which the crate takes for characters
    }
    let (Ok(tree), Ok(other)) = (parse(text), other::parse(text)) else { return Ok(false) };
    let Some(ours) = ours(&tree) else { return Ok(false) };
    let theirs = theirs(&other);
    if ours == theirs { Ok(true) } else { Err(format!("{text}\n  ours:   {ours}\n  theirs: {theirs}")) }
}

#[test]
fn both_parsers_read_the_queries_of_the_conformance_scripts_alike() {
    let mut outcomes = BTreeMap::<bool, usize>::new();
    let mut wrong = Vec::new();
    for query in queries() {
        match compare(&query) {
            Ok(compared) => *outcomes.entry(compared).or_default() += 1,
            Err(difference) => wrong.push(difference),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let (compared, left_out) = (outcomes.get(&true).copied().unwrap_or(0), outcomes.get(&false).copied().unwrap_or(0));
    println!("{compared} queries compared, {left_out} that the other parser does not read");
    assert!(compared > left_out || compared + left_out == 0, "too few are compared to show anything");
}

#[test]
fn a_difference_between_the_parsers_would_be_seen() {
    assert_eq!(compare("sum by (a) (rate(m{b=\"c\"}[5m] offset 1m)) + 1 ^ 2 ^ 3"), Ok(true));
    let tree = parse("a - b - c").unwrap();
    assert_ne!(ours(&tree), Some(theirs(&other::parse("a - (b - c)").unwrap())));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_parsers_read_any_query_alike(tree in tree()) {
        compare(&tree.to_string()).map_err(TestCaseError::fail)?;
    }
}
