//! Numbers: expressions of scalar type.

use std::sync::Arc;

use crate::promql::{
    ast::{Expr, Node},
    eval::{Eval, Result, Site, binary, steps::Steps},
    functions::Body,
};

/// A number at each step.
#[derive(Clone, Debug)]
pub(crate) enum Scalars {
    /// The same at all.
    Const(f64),
    /// One per step.
    Each(Vec<f64>),
}

impl Scalars {
    /// A number from each step's index.
    pub(crate) fn each(steps: Steps, number: impl FnMut(usize) -> f64) -> Self {
        Self::Each((0..steps.count).map(number).collect())
    }

    /// The number at a step.
    #[inline]
    pub(crate) fn at(&self, step: usize) -> f64 {
        match self {
            Self::Const(value) => *value,
            Self::Each(values) => values[step],
        }
    }

    /// All numbers there are; a constant once.
    pub(crate) fn values(&self) -> &[f64] {
        match self {
            Self::Const(value) => std::slice::from_ref(value),
            Self::Each(values) => values,
        }
    }

    fn map(self, change: impl Fn(f64) -> f64) -> Self {
        match self {
            Self::Const(value) => Self::Const(change(value)),
            Self::Each(values) => Self::Each(values.into_iter().map(change).collect()),
        }
    }

    /// Two numbers to one at each step.
    pub(crate) fn zip(&self, other: &Self, steps: Steps, merge: impl Fn(f64, f64) -> f64) -> Self {
        match (self, other) {
            (Self::Const(a), Self::Const(b)) => Self::Const(merge(*a, *b)),
            _ => Self::each(steps, |step| merge(self.at(step), other.at(step))),
        }
    }
}

impl<'a> Eval<'a> {
    /// The value of a scalar expression.
    pub(crate) fn scalars(&self, expr: &'a Expr, steps: Steps) -> Result<Scalars> {
        match &expr.node {
            Node::Number(number) => Ok(Scalars::Const(number.value)),
            Node::Paren(inner) | Node::Unary { negate: false, expr: inner } => self.scalars(inner, steps),
            Node::Unary { negate: true, expr: inner } => Ok(self.scalars(inner, steps)?.map(|value| -value)),
            Node::Binary(node) => {
                let (left, right) = (self.scalars(&node.left, steps)?, self.scalars(&node.right, steps)?);
                Ok(left.zip(&right, steps, binary::scalar_function(node.op)))
            }
            Node::Call(call) => match call.function.body {
                Body::Scalar(body) => body(self, Site { call, span: expr.span }, steps),
                _ => unreachable!("a function that returns a number has such a body"),
            },
            _ => unreachable!("the parser's type check lets only numbers stand here"),
        }
    }
}

/// The text of a string expression.
pub(crate) fn text(expr: &Expr) -> &Arc<str> {
    match &expr.node {
        Node::String(text) => text,
        Node::Paren(inner) => text(inner),
        _ => unreachable!("the parser's type check lets only texts stand here"),
    }
}
