//! Tree to indented text, for `/api/v1/format_query`: what fits on a line stays on it, the rest is split at its parts.

use std::fmt::{self, Write};

use crate::promql::{
    ast::{Binary, Expr, Node},
    printer::{Head, Left, Operator, Window, sign},
};

/// What is longer is split, as in Prometheus.
const LINE_BYTES_MAX: usize = 100;

/// The text of a tree over as many lines as it takes, indented by two blanks a level.
pub fn pretty(expr: &Expr) -> String {
    let mut printer = Printer { out: String::new(), begun: false };
    printer.expr(expr, 0).expect("a string takes any text");
    printer.out
}

struct Printer {
    out: String,
    /// Whether the line has something on it, behind which no blanks are wanted.
    begun: bool,
}

impl Printer {
    /// Writes an expression whose lines are indented by at least so many levels.
    fn expr(&mut self, expr: &Expr, level: usize) -> fmt::Result {
        let fits = fits(expr);
        match &expr.node {
            // As in Prometheus, no blanks stand before a subquery that fits on its line.
            Node::Subquery(_) if fits => self.write(0, expr),
            Node::Subquery(subquery) => {
                self.expr(&subquery.expr, level)?;
                write!(self.out, "{}", Window(subquery))
            }
            Node::Unary { negate, expr } => {
                self.write(level, sign(*negate))?;
                self.expr(expr, level)
            }
            Node::Binary(binary) if !fits => self.binary(binary, level),
            Node::Aggregate(aggregate) if !fits => {
                self.write(level, Head(aggregate))?;
                self.split(aggregate.param.iter().chain([&aggregate.expr]), level)
            }
            Node::Call(call) if !fits => {
                self.write(level, call.function.name)?;
                self.split(call.args.iter(), level)
            }
            Node::Paren(inner) if !fits => {
                self.write(level, "")?;
                self.split([&**inner], level)
            }
            _ => self.write(level, expr),
        }
    }

    fn binary(&mut self, binary: &Binary, level: usize) -> fmt::Result {
        match &binary.left.node {
            Node::Number(_) => self.write(level + 1, Left(binary))?,
            _ => self.expr(&binary.left, level + 1)?,
        }
        self.line();
        self.write(level, Operator(binary))?;
        self.line();
        self.expr(&binary.right, level + 1)
    }

    /// Writes expressions in parentheses, each on lines of its own.
    fn split<'a>(&mut self, exprs: impl IntoIterator<Item = &'a Expr>, level: usize) -> fmt::Result {
        for (index, expr) in exprs.into_iter().enumerate() {
            self.out.push(if index == 0 { '(' } else { ',' });
            self.line();
            self.expr(expr, level + 1)?;
        }
        self.line();
        self.write(level, ")")
    }

    /// Writes what belongs on one line, behind the blanks of its level where it is the first there.
    fn write(&mut self, level: usize, text: impl fmt::Display) -> fmt::Result {
        if !self.begun {
            self.out.extend(std::iter::repeat_n("  ", level));
            self.begun = true;
        }
        write!(self.out, "{text}")
    }

    fn line(&mut self) {
        self.out.push('\n');
        self.begun = false;
    }
}

/// Whether an expression is short enough for one line. Stops printing it as soon as it is not, because the same question
/// is asked about each of its parts.
fn fits(expr: &Expr) -> bool {
    write!(Room(LINE_BYTES_MAX), "{expr}").is_ok()
}

/// Takes so many bytes, and keeps none.
struct Room(usize);

impl Write for Room {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = self.0.checked_sub(text.len()).ok_or(fmt::Error)?;
        Ok(())
    }
}
