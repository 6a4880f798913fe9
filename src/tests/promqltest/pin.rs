//! Looks into queries: which selectors they have, and what they are with all of them pinned to a time.

use crate::{
    model::Matcher,
    promql::ast::{At, Expr, Node, TimeShift},
};

/// Calls `see` for the conditions of every selector.
pub(super) fn each_selector(expr: &Expr, see: &mut dyn FnMut(&[Matcher])) {
    match &expr.node {
        Node::Number(_) | Node::String(_) => {}
        Node::Vector(selector) => see(&selector.matchers),
        Node::Matrix(matrix) => see(&matrix.selector.matchers),
        Node::Subquery(subquery) => each_selector(&subquery.expr, see),
        Node::Unary { expr, .. } | Node::Paren(expr) => each_selector(expr, see),
        Node::Binary(binary) => {
            each_selector(&binary.left, see);
            each_selector(&binary.right, see);
        }
        Node::Aggregate(aggregate) => {
            aggregate.param.iter().for_each(|param| each_selector(param, see));
            each_selector(&aggregate.expr, see);
        }
        Node::Call(call) => call.args.iter().for_each(|arg| each_selector(arg, see)),
    }
}

/// Whether any function called has one of these names.
pub(super) fn calls(expr: &Expr, names: &[&str]) -> bool {
    match &expr.node {
        Node::Number(_) | Node::String(_) | Node::Vector(_) | Node::Matrix(_) => false,
        Node::Subquery(subquery) => calls(&subquery.expr, names),
        Node::Unary { expr, .. } | Node::Paren(expr) => calls(expr, names),
        Node::Binary(binary) => calls(&binary.left, names) || calls(&binary.right, names),
        Node::Aggregate(aggregate) => {
            aggregate.param.as_ref().is_some_and(|param| calls(param, names)) || calls(&aggregate.expr, names)
        }
        Node::Call(call) => names.contains(&call.function.name) || call.args.iter().any(|arg| calls(arg, names)),
    }
}

/// Adds `@ time` to every selector and subquery that has none, but inside subqueries that have one.
pub(super) fn pin(expr: &mut Expr, time: i64) {
    let pin_shift = |shift: &mut TimeShift| shift.at = shift.at.or(Some(At::Time(time)));
    match &mut expr.node {
        Node::Number(_) | Node::String(_) => {}
        Node::Vector(selector) => pin_shift(&mut selector.at),
        Node::Matrix(matrix) => pin_shift(&mut matrix.selector.at),
        Node::Subquery(subquery) => pin_shift(&mut subquery.at),
        Node::Unary { expr, .. } | Node::Paren(expr) => pin(expr, time),
        Node::Binary(binary) => {
            pin(&mut binary.left, time);
            pin(&mut binary.right, time);
        }
        Node::Aggregate(aggregate) => {
            aggregate.param.iter_mut().for_each(|param| pin(param, time));
            pin(&mut aggregate.expr, time);
        }
        Node::Call(call) => call.args.iter_mut().for_each(|arg| pin(arg, time)),
    }
}

#[test]
fn pinning_leaves_what_is_pinned() {
    let mut expr = crate::promql::parse("a + b @ 5 + sum_over_time(c[1m:1s])").unwrap();
    pin(&mut expr, 7_000_000_000);
    assert_eq!(expr.to_string(), "a @ 7.000 + b @ 5.000 + sum_over_time(c[1m:1s] @ 7.000)");
}
