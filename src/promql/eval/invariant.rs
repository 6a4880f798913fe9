//! Which parts of a query have the same value at every step.

use crate::promql::{
    ast::{Expr, Node},
    functions::Body,
};

/// Whether the value does not depend on the evaluation time: every selector and subquery is pinned by `@`, and no function
/// asks what time it is.
pub(super) fn is_invariant(expr: &Expr) -> bool {
    match &expr.node {
        Node::Number(_) | Node::String(_) => true,
        Node::Vector(selector) => selector.at.at.is_some(),
        Node::Matrix(matrix) => matrix.selector.at.at.is_some(),
        Node::Subquery(subquery) => subquery.at.at.is_some(),
        Node::Unary { expr, .. } | Node::Paren(expr) => is_invariant(expr),
        Node::Binary(binary) => is_invariant(&binary.left) && is_invariant(&binary.right),
        Node::Aggregate(aggregate) => {
            is_invariant(&aggregate.expr) && aggregate.param.as_ref().is_none_or(is_invariant)
        }
        Node::Call(call) => {
            let asks = match call.function.body {
                Body::Calendar(_) => call.args.is_empty(),
                _ => matches!(call.function.name, "time" | "timestamp" | "predict_linear"),
            };
            !asks && call.args.iter().all(is_invariant)
        }
    }
}
