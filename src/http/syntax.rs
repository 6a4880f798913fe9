//! A query's syntax tree as JSON, in the shape that Prometheus's user interface draws.
//!
//! Durations and timestamps are milliseconds. Of durations that are expressions Prometheus shows 0, for they have no value
//! before the query runs; so do we.

use serde_json::{Value, json};

use crate::{
    http::json::plain,
    model::{Matcher, NANOS_PER_MILLI},
    promql::{
        ast::{
            Aggregate, At, Binary, Call, Cardinality, DurationExpr, Expr, Matching, Node, RangeExtension, Subquery,
            TimeShift, ValueType, VectorSelector,
        },
        functions::VARIADIC,
    },
};

/// The tree of an expression. As deep as that, which the parser bounds.
pub(super) fn tree(expr: &Expr) -> Value {
    match &expr.node {
        Node::Number(number) => json!({ "type": "numberLiteral", "val": plain(number.value) }),
        Node::String(text) => json!({ "type": "stringLiteral", "val": **text }),
        Node::Paren(inner) => json!({ "type": "parenExpr", "expr": tree(inner) }),
        Node::Unary { negate, expr } => {
            json!({ "type": "unaryExpr", "op": if *negate { "-" } else { "+" }, "expr": tree(expr) })
        }
        Node::Vector(vector) => selector("vectorSelector", vector, None),
        Node::Matrix(matrix) => selector("matrixSelector", &matrix.selector, Some(&matrix.range)),
        Node::Subquery(inner) => subquery(inner),
        Node::Aggregate(inner) => aggregate(inner),
        Node::Binary(inner) => binary(inner),
        Node::Call(inner) => call(inner),
    }
}

fn selector(kind: &str, selector: &VectorSelector, range: Option<&DurationExpr>) -> Value {
    // Prometheus adds the matcher of a name outside the braces behind the others; with us it is the first.
    let (named, others) = selector.matchers.split_at(usize::from(selector.name.is_some()));
    let mut node = json!({
        "type": kind,
        "name": selector.name.as_deref().unwrap_or(""),
        "offset": offset(&selector.at),
        "matchers": others.iter().chain(named).map(matcher).collect::<Value>(),
        "timestamp": timestamp(&selector.at),
        "startOrEnd": start_or_end(&selector.at),
        "anchored": selector.extension == Some(RangeExtension::Anchored),
        "smoothed": selector.extension == Some(RangeExtension::Smoothed),
    });
    if let Some(range) = range {
        node["range"] = millis(range).into();
    }
    node
}

fn matcher(matcher: &Matcher) -> Value {
    json!({ "name": *matcher.name, "value": *matcher.value, "type": matcher.op.to_string() })
}

fn offset(shift: &TimeShift) -> i64 {
    shift.offset.as_ref().map_or(0, millis)
}

fn timestamp(shift: &TimeShift) -> Option<i64> {
    match shift.at {
        Some(At::Time(nanos)) => Some(nanos / NANOS_PER_MILLI),
        _ => None,
    }
}

fn start_or_end(shift: &TimeShift) -> Option<&'static str> {
    match shift.at {
        Some(At::Start) => Some("start"),
        Some(At::End) => Some("end"),
        _ => None,
    }
}

fn millis(duration: &DurationExpr) -> i64 {
    match duration {
        DurationExpr::Literal(nanos) => nanos / NANOS_PER_MILLI,
        DurationExpr::Number(seconds) => (seconds * 1e3) as i64,
        DurationExpr::Negate(inner, _) if matches!(**inner, DurationExpr::Literal(_) | DurationExpr::Number(_)) => {
            -millis(inner)
        }
        _ => 0,
    }
}

fn subquery(subquery: &Subquery) -> Value {
    json!({
        "type": "subquery",
        "expr": tree(&subquery.expr),
        "range": millis(&subquery.range),
        "offset": offset(&subquery.at),
        "step": subquery.step.as_ref().map_or(0, millis),
        "timestamp": timestamp(&subquery.at),
        "startOrEnd": start_or_end(&subquery.at),
    })
}

fn aggregate(aggregate: &Aggregate) -> Value {
    json!({
        "type": "aggregation",
        "op": aggregate.op.name(),
        "expr": tree(&aggregate.expr),
        "param": aggregate.param.as_ref().map(tree),
        "grouping": names(&aggregate.grouping),
        "without": aggregate.without,
    })
}

fn names(names: &[std::sync::Arc<str>]) -> Value {
    names.iter().map(|name| &**name).collect()
}

fn binary(binary: &Binary) -> Value {
    json!({
        "type": "binaryExpr",
        "op": binary.op.symbol(),
        "lhs": tree(&binary.left),
        "rhs": tree(&binary.right),
        "matching": binary.matching.as_ref().map(matching),
        "bool": binary.return_bool,
    })
}

fn matching(matching: &Matching) -> Value {
    let cardinality = match matching.cardinality {
        Cardinality::OneToOne => "one-to-one",
        Cardinality::ManyToOne => "many-to-one",
        Cardinality::OneToMany => "one-to-many",
        Cardinality::ManyToMany => "many-to-many",
    };
    json!({
        "card": cardinality,
        "labels": names(&matching.labels),
        "on": matching.on,
        "include": names(&matching.include),
        "fillValues": { "lhs": matching.fill_left, "rhs": matching.fill_right },
    })
}

fn call(call: &Call) -> Value {
    let function = call.function;
    let variadic = if function.optional == VARIADIC { -1 } else { function.optional as i64 };
    // Prometheus lists the arguments a call must have, and the type of those it may have.
    let listed = function.args.len().min(function.args_min() + 1);
    json!({
        "type": "call",
        "func": {
            "name": function.name,
            "argTypes": function.args[..listed].iter().map(|kind| type_name(*kind)).collect::<Value>(),
            "variadic": variadic,
            "returnType": type_name(function.returns),
        },
        "args": call.args.iter().map(tree).collect::<Value>(),
    })
}

fn type_name(kind: ValueType) -> &'static str {
    match kind {
        ValueType::Scalar => "scalar",
        ValueType::String => "string",
        ValueType::Vector => "vector",
        ValueType::Matrix => "matrix",
    }
}
