//! Tree to its canonical text, on one line.
//!
//! Always: reading the text again gives an equal tree, for every tree that came from a text.

use std::{fmt, sync::Arc};

use crate::{
    model::{Matcher, NANOS_PER_MILLI},
    promql::{
        ast::{
            Aggregate, At, Binary, BinaryOp, Cardinality, DurationExpr, Expr, Matching, MatrixSelector, Node, Number,
            Subquery, TimeShift, VectorSelector,
        },
        format,
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
            Self::Number(number) => number.fmt(f),
            Self::String(text) => f.write_str(&quote(text)),
            Self::Vector(selector) => {
                write!(f, "{}{}{}{}", Series(selector), Time(&selector.at), Extension(selector), Offset(&selector.at))
            }
            Self::Matrix(MatrixSelector { selector, range, .. }) => {
                write!(f, "{}[{range}]{}{}", Series(selector), Extension(selector), selector.at)
            }
            Self::Subquery(subquery) => write!(f, "{}{}", subquery.expr, Window(subquery)),
            Self::Unary { negate, expr } => write!(f, "{}{expr}", sign(*negate)),
            Self::Binary(binary) => write!(f, "{} {} {}", Left(binary), Operator(binary), binary.right),
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

impl fmt::Display for Number {
    fn fmt(&self, f: Formatter<'_, '_>) -> fmt::Result {
        match self.duration {
            true => {
                let sign = if self.value.is_sign_negative() { "-" } else { "" };
                f.write_str(sign)?;
                duration((self.value.abs() * 1e3).round() as u64, f)
            }
            false => f.write_str(&format::plain(self.value)),
        }
    }
}

/// The left side of an operator.
pub(super) struct Left<'a>(pub(super) &'a Binary);

impl fmt::Display for Left<'_> {
    fn fmt(&self, f: Formatter<'_, '_>) -> fmt::Result {
        match self.0.left.node {
            // Its sign would bind weaker than the `^` behind it, and so take in the power.
            Node::Number(Number { value: f64::INFINITY, .. }) if self.0.op == BinaryOp::Pow => f.write_str("Inf"),
            _ => self.0.left.fmt(f),
        }
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
        let mut texts: Vec<String> = matchers.iter().map(condition).collect();
        texts.sort();
        write!(f, "{{{}}}", texts.join(","))
    }
}

/// `a="b"`
fn condition(Matcher { name, op, value, .. }: &Matcher) -> String {
    let quoted = if is_word(name) { name.to_string() } else { quote(name) };
    format!("{quoted}{op}{}", quote(value))
}

/// Whether a name may stand without quotes in braces.
fn is_word(name: &str) -> bool {
    let word = |(index, c): (usize, char)| c == '_' || c.is_ascii_alphabetic() || index > 0 && c.is_ascii_digit();
    !name.is_empty() && name.chars().enumerate().all(word)
}

/// A label's name in a list, in quotes where it needs them.
struct Label<'a>(&'a str);

impl fmt::Display for Label<'_> {
    fn fmt(&self, f: Formatter<'_, '_>) -> fmt::Result {
        // Outside of braces these two are numbers.
        let special = self.0.eq_ignore_ascii_case("inf") || self.0.eq_ignore_ascii_case("nan");
        match is_word(self.0) && !special {
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

/// ` anchored`
struct Extension<'a>(&'a VectorSelector);

impl fmt::Display for Extension<'_> {
    fn fmt(&self, f: Formatter<'_, '_>) -> fmt::Result {
        self.0.extension.map_or(Ok(()), |extension| write!(f, " {}", extension.name()))
    }
}

impl fmt::Display for TimeShift {
    fn fmt(&self, f: Formatter<'_, '_>) -> fmt::Result {
        write!(f, "{}{}", Time(self), Offset(self))
    }
}

/// ` @ 1.500`
struct Time<'a>(&'a TimeShift);

impl fmt::Display for Time<'_> {
    fn fmt(&self, f: Formatter<'_, '_>) -> fmt::Result {
        match self.0.at {
            Some(At::Start) => f.write_str(" @ start()"),
            Some(At::End) => f.write_str(" @ end()"),
            Some(At::Time(nanos)) => {
                let millis = nanos / NANOS_PER_MILLI;
                let (seconds, rest) = (millis.abs() / 1_000, millis.abs() % 1_000);
                write!(f, " @ {}{seconds}.{rest:03}", if millis < 0 { "-" } else { "" })
            }
            None => Ok(()),
        }
    }
}

/// ` offset 5m`
struct Offset<'a>(&'a TimeShift);

impl fmt::Display for Offset<'_> {
    fn fmt(&self, f: Formatter<'_, '_>) -> fmt::Result {
        self.0.offset.as_ref().map_or(Ok(()), |offset| write!(f, " offset {offset}"))
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
        let fills = match self.fill_both {
            true => [("fill", self.fill_left), ("", None)],
            false => [("fill_left", self.fill_left), ("fill_right", self.fill_right)],
        };
        fills.into_iter().try_for_each(|(word, value)| {
            value.map_or(Ok(()), |value| write!(f, " {word} ({})", format::shortest(value)))
        })
    }
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
            Self::Literal(nanos) => {
                f.write_str(if *nanos < 0 { "-" } else { "" })?;
                duration(nanos.unsigned_abs() / NANOS_PER_MILLI.unsigned_abs(), f)
            }
            Self::Number(seconds) => f.write_str(&format::plain(*seconds)),
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
fn duration(millis: u64, f: Formatter<'_, '_>) -> fmt::Result {
    if millis == 0 {
        return f.write_str("0s");
    }
    let mut millis = millis;
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
