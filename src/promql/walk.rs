//! From an expression to those it is made of.

use crate::promql::ast::{Expr, Node};

impl Expr {
    /// The expressions it is made of, in the order of the text.
    pub fn children(&self) -> impl Iterator<Item = &Self> {
        let (first, second, rest): (Option<&Self>, Option<&Self>, &[Self]) = match &self.node {
            Node::Number(_) | Node::String(_) | Node::Vector(_) | Node::Matrix(_) => (None, None, &[]),
            Node::Unary { expr, .. } | Node::Paren(expr) => (Some(expr), None, &[]),
            Node::Subquery(subquery) => (Some(&subquery.expr), None, &[]),
            Node::Binary(binary) => (Some(&binary.left), Some(&binary.right), &[]),
            Node::Aggregate(aggregate) => (aggregate.param.as_ref(), Some(&aggregate.expr), &[]),
            Node::Call(call) => (None, None, &call.args),
        };
        first.into_iter().chain(second).chain(rest)
    }
}
