//! Tree to its canonical text, on one line.
//!
//! Always: reading the text again gives an equal tree, for every tree that came from a text.

use std::{fmt, sync::Arc};

use crate::{
    model::{MatchOp, Matcher, NANOS_PER_MILLI},
    promql::{
        ast::{
            Aggregate, At, Binary, Cardinality, DurationExpr, Expr, Matching, Node, Subquery, TimeShift, VectorSelector,
        },
        lexer::{UNITS, quote},
    },
};

type Formatter<'a, 'b> = &'a mut fmt::Formatter<'b>;

impl fmt::Display for Expr {
    fn fmt(&self, f: Formatter<'_, '_>) -> fmt::Result {
        self.node.fmt(f)
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: Formatter<'_, '_>) -> fmt::Result {
        match self {
            Self::Number(value) => number(*value, f),
            Self::String(text) => f.write_str(&quote(text)),
            Self::Vector(selector) => write!(f, "{}{}", Series(selector), Suffix(selector)),
            Self::Matrix(matrix) => {
                write!(f, "{}[{}]{}", Series(&matrix.selector), matrix.range, Suffix(&matrix.selector))
            }
            Self::Subquery(subquery) => write!(f, "{}{}", subquery.expr, Window(subquery)),
            Self::Unary { negate, expr } => write!(f, "{}{expr}", sign(*negate)),
            Self::Binary(binary) => write!(f, "{} {} {}", binary.left, Operator(binary), binary.right),
            Self::Aggregate(aggregate) => {
                write!(f, "{}(", Head(aggregate))?;
                if let Some(param) = &aggregate.param {
                    write!(f, "{param}, ")?;
                }
                write!(f, "{})", aggregate.expr)
            }
            Self::Call(call) => {
                write!(f, "{}(", call.function.name)?;
                list(&call.args, f)?;
                f.write_str(")")
            }
            Self::Paren(expr) => write!(f, "({expr})"),
        }
    }
}

/// `+` or `-`
pub(super) fn sign(negate: bool) -> char {
    if negate { '-' } else { '+' }
}

fn number(value: f64, f: Formatter<'_, '_>) -> fmt::Result {
    match value {
        // Without a sign, which would bind weaker than a `^` behind it.
        f64::INFINITY => f.write_str("Inf"),
        f64::NEG_INFINITY => f.write_str("-Inf"),
        _ => write!(f, "{value}"),
    }
}

fn list<T: fmt::Display>(items: &[T], f: Formatter<'_, '_>) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        write!(f, "{}{item}", if index == 0 { "" } else { ", " })?;
    }
    Ok(())
}

/// The name and the braces of a selector.
struct Series<'a>(&'a VectorSelector);

impl fmt::Display for Series<'_> {
    fn fmt(&self, f: Formatter<'_, '_>) -> fmt::Result {
        let matchers = match &self.0.name {
            Some(name) => {
                f.write_str(name)?;
                &self.0.matchers[1..] // the first is the name's own
            }
            None => &self.0.matchers[..],
        };
        if matchers.is_empty() && self.0.name.is_some() {
            return Ok(());
        }
        f.write_str("{")?;
        for (index, Matcher { name, op, value, .. }) in matchers.iter().enumerate() {
            let symbol: &MatchOp = op;
            write!(f, "{}{}{symbol}{}", if index == 0 { "" } else { "," }, Label(name), quote(value))?;
        }
        f.write_str("}")
    }
}

/// A label's name, in quotes where it needs them.
struct Label<'a>(&'a str);

impl fmt::Display for Label<'_> {
    fn fmt(&self, f: Formatter<'_, '_>) -> fmt::Result {
        let word = self.0.chars().enumerate().all(|(index, c)| match c {
            '0'..='9' => index > 0,
            _ => c.is_ascii_alphabetic() || c == '_',
        });
        // Outside of braces these two would be numbers.
        let special = self.0.is_empty() || self.0.eq_ignore_ascii_case("inf") || self.0.eq_ignore_ascii_case("nan");
        match word && !special {
            true => f.write_str(self.0),
            false => f.write_str(&quote(self.0)),
        }
    }
}

/// `(a, b)`
struct Labels<'a>(&'a [Arc<str>]);

impl fmt::Display for Labels<'_> {
    fn fmt(&self, f: Formatter<'_, '_>) -> fmt::Result {
        let labels: Vec<Label<'_>> = self.0.iter().map(|label| Label(label)).collect();
        f.write_str("(")?;
        list(&labels, f)?;
        f.write_str(")")
    }
}

/// What follows a selector and its range.
struct Suffix<'a>(&'a VectorSelector);

impl fmt::Display for Suffix<'_> {
    fn fmt(&self, f: Formatter<'_, '_>) -> fmt::Result {
        if let Some(extension) = self.0.extension {
            write!(f, " {}", extension.name())?;
        }
        self.0.at.fmt(f)
    }
}

impl fmt::Display for TimeShift {
    fn fmt(&self, f: Formatter<'_, '_>) -> fmt::Result {
        match self.at {
            Some(At::Start) => f.write_str(" @ start()")?,
            Some(At::End) => f.write_str(" @ end()")?,
            Some(At::Time(nanos)) => {
                let millis = nanos / NANOS_PER_MILLI;
                let (seconds, rest) = (millis.abs() / 1_000, millis.abs() % 1_000);
                write!(f, " @ {}{seconds}.{rest:03}", if millis < 0 { "-" } else { "" })?;
            }
            None => {}
        }
        match &self.offset {
            Some(offset) => write!(f, " offset {offset}"),
            None => Ok(()),
        }
    }
}

/// `[1h:5m] offset 1m`
pub(super) struct Window<'a>(pub(super) &'a Subquery);

impl fmt::Display for Window<'_> {
    fn fmt(&self, f: Formatter<'_, '_>) -> fmt::Result {
        write!(f, "[{}:", self.0.range)?;
        if let Some(step) = &self.0.step {
            write!(f, "{step}")?;
        }
        write!(f, "]{}", self.0.at)
    }
}

/// An operator and its modifiers.
pub(super) struct Operator<'a>(pub(super) &'a Binary);

impl fmt::Display for Operator<'_> {
    fn fmt(&self, f: Formatter<'_, '_>) -> fmt::Result {
        f.write_str(self.0.op.symbol())?;
        if self.0.return_bool {
            f.write_str(" bool")?;
        }
        self.0.matching.as_ref().map_or(Ok(()), |matching| matching.fmt(f))
    }
}

impl fmt::Display for Matching {
    fn fmt(&self, f: Formatter<'_, '_>) -> fmt::Result {
        let group = match self.cardinality {
            Cardinality::ManyToOne => Some("group_left"),
            Cardinality::OneToMany => Some("group_right"),
            Cardinality::OneToOne | Cardinality::ManyToMany => None,
        };
        if self.on || !self.labels.is_empty() || group.is_some() {
            write!(f, " {} {}", if self.on { "on" } else { "ignoring" }, Labels(&self.labels))?;
        }
        if let Some(group) = group {
            write!(f, " {group} {}", Labels(&self.include))?;
        }
        match (self.fill_left, self.fill_right) {
            (Some(left), Some(right)) if left.to_bits() == right.to_bits() => fill("fill", left, f),
            (left, right) => {
                left.map_or(Ok(()), |value| fill("fill_left", value, f))?;
                right.map_or(Ok(()), |value| fill("fill_right", value, f))
            }
        }
    }
}

fn fill(name: &str, value: f64, f: Formatter<'_, '_>) -> fmt::Result {
    write!(f, " {name} (")?;
    number(value, f)?;
    f.write_str(")")
}

/// An aggregation up to its parenthesis.
pub(super) struct Head<'a>(pub(super) &'a Aggregate);

impl fmt::Display for Head<'_> {
    fn fmt(&self, f: Formatter<'_, '_>) -> fmt::Result {
        f.write_str(self.0.op.name())?;
        match (self.0.without, self.0.grouping.is_empty()) {
            (true, _) => write!(f, " without {} ", Labels(&self.0.grouping)),
            (false, false) => write!(f, " by {} ", Labels(&self.0.grouping)),
            (false, true) => Ok(()),
        }
    }
}

impl fmt::Display for DurationExpr {
    fn fmt(&self, f: Formatter<'_, '_>) -> fmt::Result {
        match self {
            Self::Literal(nanos) => duration(*nanos, f),
            Self::Number(seconds) => number(*seconds, f),
            Self::Step(_) => f.write_str("step()"),
            Self::Range(_) => f.write_str("range()"),
            Self::Negate(inner, _) => write!(f, "-{inner}"),
            Self::Paren(inner) => write!(f, "({inner})"),
            Self::Binary { op, left, right, .. } => write!(f, "{left} {} {right}", op.symbol()),
            Self::MinOf(left, right, _) => write!(f, "min_of({left}, {right})"),
            Self::MaxOf(left, right, _) => write!(f, "max_of({left}, {right})"),
        }
    }
}

/// `1h30m`. Years and weeks only where they leave nothing over, as Prometheus has it.
fn duration(nanos: i64, f: Formatter<'_, '_>) -> fmt::Result {
    let mut millis = nanos.unsigned_abs() / NANOS_PER_MILLI.unsigned_abs();
    if millis == 0 {
        return f.write_str("0s");
    }
    if nanos < 0 {
        f.write_str("-")?;
    }
    for (unit, scale) in UNITS {
        let scale = scale.unsigned_abs();
        let exact = unit != "y" && unit != "w" || millis.is_multiple_of(scale);
        if millis >= scale && exact {
            write!(f, "{}{unit}", millis / scale)?;
            millis %= scale;
        }
    }
    Ok(())
}
