//! Numbers: expressions of scalar type.

use std::sync::Arc;

use crate::promql::{
    ast::{Expr, Node},
    eval::{Eval, Patience, Result, Site, binary, series::column, steps::Steps},
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
    pub(crate) fn each(steps: Steps, patience: &Patience<'_>, number: impl FnMut(usize) -> f64) -> Result<Self> {
        Ok(Self::Each(column(steps.count, patience, number)?))
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

    fn map(self, patience: &Patience<'_>, change: impl Fn(f64) -> f64) -> Result<Self> {
        match self {
            Self::Const(value) => Ok(Self::Const(change(value))),
            Self::Each(values) => Ok(Self::Each(column(values.len(), patience, |step| change(values[step]))?)),
        }
    }

    /// Two numbers to one at each step.
    pub(crate) fn zip(
        &self,
        other: &Self,
        steps: Steps,
        patience: &Patience<'_>,
        merge: impl Fn(f64, f64) -> f64,
    ) -> Result<Self> {
        match (self, other) {
            (Self::Const(a), Self::Const(b)) => Ok(Self::Const(merge(*a, *b))),
            _ => Self::each(steps, patience, |step| merge(self.at(step), other.at(step))),
        }
    }
}

impl<'a> Eval<'a> {
    /// The value of a scalar expression.
    pub(crate) fn scalars(&self, expr: &'a Expr, steps: Steps) -> Result<Scalars> {
        match &expr.node {
            Node::Number(number) => Ok(Scalars::Const(number.value)),
            Node::Paren(inner) | Node::Unary { negate: false, expr: inner } => self.scalars(inner, steps),
            Node::Unary { negate: true, expr: inner } => {
                self.scalars(inner, steps)?.map(&self.patience(), |value| -value)
            }
            Node::Binary(node) => {
                let (left, right) = (self.scalars(&node.left, steps)?, self.scalars(&node.right, steps)?);
                left.zip(&right, steps, &self.patience(), binary::scalar_function(node.op))
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
