//! Tree to indented text, for `/api/v1/format_query`: what fits on a line stays on it, the rest is split at its parts.

use std::fmt::{self, Write};

use crate::promql::{
    ast::{Expr, Node},
    printer::{Head, Operator, Window, sign},
};

/// What is longer is split, as in Prometheus.
const LINE_CHARS_MAX: usize = 100;

/// The text of a tree over as many lines as it takes, indented by two blanks a level.
pub fn pretty(expr: &Expr) -> String {
    let mut printer = Printer { out: String::new() };
    printer.expr(expr, 0).expect("a string takes any text");
    printer.out
}

struct Printer {
    out: String,
}

impl Printer {
    /// Writes an expression whose first line is indented already.
    fn expr(&mut self, expr: &Expr, level: usize) -> fmt::Result {
        if fits(expr) {
            return write!(self.out, "{expr}");
        }
        match &expr.node {
            Node::Number(_) | Node::String(_) | Node::Vector(_) | Node::Matrix(_) => write!(self.out, "{expr}"),
            Node::Subquery(subquery) => {
                self.expr(&subquery.expr, level)?;
                write!(self.out, "{}", Window(subquery))
            }
            Node::Unary { negate, expr } => {
                self.out.push(sign(*negate));
                self.expr(expr, level)
            }
            Node::Binary(binary) => {
                self.out.push_str("  ");
                self.expr(&binary.left, level + 1)?;
                self.line(level);
                write!(self.out, "{}", Operator(binary))?;
                self.line(level + 1);
                self.expr(&binary.right, level + 1)
            }
            Node::Aggregate(aggregate) => {
                write!(self.out, "{}", Head(aggregate))?;
                self.split(aggregate.param.iter().chain([&aggregate.expr]), level)
            }
            Node::Call(call) => {
                self.out.push_str(call.function.name);
                self.split(call.args.iter(), level)
            }
            Node::Paren(inner) => self.split([&**inner], level),
        }
    }

    /// Writes expressions in parentheses, each on lines of its own.
    fn split<'a>(&mut self, exprs: impl IntoIterator<Item = &'a Expr>, level: usize) -> fmt::Result {
        for (index, expr) in exprs.into_iter().enumerate() {
            self.out.push(if index == 0 { '(' } else { ',' });
            self.line(level + 1);
            self.expr(expr, level + 1)?;
        }
        self.line(level);
        self.out.push(')');
        Ok(())
    }

    fn line(&mut self, level: usize) {
        self.out.push('\n');
        self.out.extend(std::iter::repeat_n("  ", level));
    }
}

/// Whether an expression is short enough for one line. Stops printing it as soon as it is not, because the same question
/// is asked about each of its parts.
fn fits(expr: &Expr) -> bool {
    write!(Room(LINE_CHARS_MAX), "{expr}").is_ok()
}

/// Takes so many characters, and keeps none.
struct Room(usize);

impl Write for Room {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = self.0.checked_sub(text.chars().count()).ok_or(fmt::Error)?;
        Ok(())
    }
}
