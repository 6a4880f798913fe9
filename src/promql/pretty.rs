//! Tree to indented text, for `/api/v1/format_query`: what fits on a line stays on it, the rest is split at its parts.

use crate::promql::{
    ast::{Expr, Node},
    printer::{Head, Operator, Window, sign},
};

/// What is longer is split, as in Prometheus.
const LINE_CHARS_MAX: usize = 100;

/// The text of a tree over as many lines as it takes, indented by two blanks a level.
pub fn pretty(expr: &Expr) -> String {
    lines(expr, 0)
}

fn lines(expr: &Expr, level: usize) -> String {
    let indent = "  ".repeat(level);
    let flat = expr.to_string();
    if flat.chars().count() <= LINE_CHARS_MAX {
        return format!("{indent}{flat}");
    }
    match &expr.node {
        Node::Number(_) | Node::String(_) | Node::Vector(_) | Node::Matrix(_) => format!("{indent}{flat}"),
        Node::Subquery(subquery) => format!("{}{}", lines(&subquery.expr, level), Window(subquery)),
        // The operand's own indent would stand between the sign and it.
        Node::Unary { negate, expr } => format!("{indent}{}{}", sign(*negate), lines(expr, level).trim_start()),
        Node::Binary(binary) => {
            let (left, right) = (lines(&binary.left, level + 1), lines(&binary.right, level + 1));
            format!("{left}\n{indent}{}\n{right}", Operator(binary))
        }
        Node::Aggregate(aggregate) => {
            let args = aggregate.param.iter().chain([&aggregate.expr]);
            format!("{indent}{}{}", Head(aggregate), split(args, level))
        }
        Node::Call(call) => format!("{indent}{}{}", call.function.name, split(call.args.iter(), level)),
        Node::Paren(inner) => format!("{indent}{}", split([&**inner], level)),
    }
}

/// Expressions in parentheses, each on lines of its own.
fn split<'a>(exprs: impl IntoIterator<Item = &'a Expr>, level: usize) -> String {
    let inner: Vec<String> = exprs.into_iter().map(|expr| lines(expr, level + 1)).collect();
    format!("(\n{}\n{})", inner.join(",\n"), "  ".repeat(level))
}
