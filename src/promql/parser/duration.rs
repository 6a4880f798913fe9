//! Durations of ranges, steps and offsets: literals, and arithmetic over them.

use crate::{
    model::{NANOS_PER_MILLI, NANOS_PER_SECOND},
    promql::{
        ast::{BinaryOp, DurationExpr, Place, Span},
        lexer::{Keyword, Kind, duration_nanos, number_value},
        parser::{Parser, Result},
    },
};

/// What an error says may follow `offset`.
const OFFSET: (&str, &str) = ("offset", "number, duration, step(), or range()");

/// The longest chain of operators in a duration.
const TERMS_MAX: usize = 100;

/// What an error says where a duration is missing: the construct it is in, and what may stand there.
type Context<'a> = (&'a str, &'a str);

/// A duration, and where it is without parentheses around it.
type Spanned = (DurationExpr, Span);

impl Parser<'_> {
    /// A duration in brackets; a literal must be above zero.
    pub(super) fn positive_duration(&mut self, construct: &str, expected: &str) -> Result<DurationExpr> {
        let (duration, span) = self.duration(0, (construct, expected))?;
        let mut inner = &duration;
        while let DurationExpr::Paren(duration) = inner {
            inner = duration;
        }
        let positive = match *inner {
            DurationExpr::Literal(nanos) => nanos > 0,
            DurationExpr::Number(seconds) => seconds > 0.0,
            _ => true,
        };
        match positive {
            true => Ok(alone(duration)),
            false => Err(self.error(span, "duration must be greater than 0")),
        }
    }

    /// A duration behind `offset`; `None` for a literal zero, which is as if nothing was written. It ends where one part
    /// ends, so that `a offset 5m + b` is a sum; behind `)` it goes on as in brackets, which is what Prometheus's grammar
    /// comes to.
    pub(super) fn offset_duration(&mut self) -> Result<Option<DurationExpr>> {
        let start = self.peek().span.start;
        let (duration, _) = match (self.peek().kind, self.sign()) {
            (_, Some((negate, start))) => {
                let part = self.duration_part(OFFSET)?;
                self.signed(negate, part, start)?
            }
            (Kind::LeftParen, None) => {
                let part = self.duration_part(OFFSET)?;
                self.duration_from(part, start, 0, OFFSET)?
            }
            _ => self.duration_part(OFFSET)?,
        };
        Ok(Some(alone(duration)).filter(|offset| *offset != DurationExpr::Literal(0)))
    }

    /// Arithmetic whose operators bind at least as strongly as `precedence_min`.
    fn duration(&mut self, precedence_min: u8, context: Context<'_>) -> Result<Spanned> {
        self.nested(|parser| {
            let start = parser.peek().span.start;
            let left = match parser.sign() {
                Some((negate, _)) => {
                    let operand = parser.duration(BinaryOp::Pow.precedence(), context)?;
                    parser.signed(negate, operand, start)?
                }
                None => parser.duration_part(context)?,
            };
            parser.duration_from(left, start, precedence_min, context)
        })
    }

    /// The operators behind `left`, which starts at byte `start`.
    fn duration_from(
        &mut self,
        left: Spanned,
        start: usize,
        precedence_min: u8,
        context: Context<'_>,
    ) -> Result<Spanned> {
        let (mut left, mut span) = left;
        let mut terms = 0;
        while let Kind::Operator(op) = self.peek().kind {
            if !op.is_arithmetic() || op.precedence() < precedence_min {
                break;
            }
            let token = self.advance();
            let (right, behind) = self.duration(op.precedence() + u8::from(op != BinaryOp::Pow), context)?;
            if let (BinaryOp::Div | BinaryOp::Mod, DurationExpr::Literal(0) | DurationExpr::Number(0.0)) = (op, &right)
            {
                let what = if op == BinaryOp::Div { "division" } else { "modulo" };
                return Err(self.error(token.span, format!("{what} by zero")));
            }
            self.require_duration_expr(start)?;
            span.end = behind.end;
            left = DurationExpr::Binary { op, left: Box::new(left), right: Box::new(right), place: Place(span) };
            terms += 1;
            if terms > TERMS_MAX {
                return Err(self.error(token.span, format!("duration has more than {TERMS_MAX} terms")));
            }
        }
        Ok((left, span))
    }

    /// A literal, `step()`, `range()`, `min_of(a, b)`, `max_of(a, b)` or something in parentheses.
    fn duration_part(&mut self, context: Context<'_>) -> Result<Spanned> {
        let start = self.peek().span.start;
        let part = match self.peek().kind {
            Kind::Number | Kind::Duration => return self.duration_literal(),
            Kind::LeftParen => {
                self.advance();
                let (inner, span) = self.duration(0, context)?;
                self.expect(Kind::RightParen, context.0, context.1)?;
                (DurationExpr::Paren(Box::new(inner)), span)
            }
            Kind::Keyword(Keyword::Step) => self.query_duration(DurationExpr::Step, context)?,
            Kind::Keyword(Keyword::Range) => self.query_duration(DurationExpr::Range, context)?,
            Kind::Keyword(Keyword::MinOf) => self.of_two(DurationExpr::MinOf, context)?,
            Kind::Keyword(Keyword::MaxOf) => self.of_two(DurationExpr::MaxOf, context)?,
            _ => return Err(self.unexpected(context.0, context.1)),
        };
        self.require_duration_expr(start)?;
        Ok(part)
    }

    /// Puts a sign that stands at byte `start` before a duration, into it where it is a literal.
    fn signed(&self, negate: bool, (duration, span): Spanned, start: usize) -> Result<Spanned> {
        let with_sign = Span { start, ..span };
        Ok(match duration {
            DurationExpr::Literal(nanos) => {
                (DurationExpr::Literal(if negate { -nanos } else { nanos }), with_sign) // at least -i64::MAX
            }
            DurationExpr::Number(seconds) => (DurationExpr::Number(if negate { -seconds } else { seconds }), with_sign),
            duration if !negate => (duration, span),
            duration => {
                self.require_duration_expr(start)?;
                (DurationExpr::Negate(Box::new(duration), Place(with_sign)), with_sign)
            }
        })
    }

    /// Fails where durations may only be literals; what was read since byte `start` is more.
    fn require_duration_expr(&self, start: usize) -> Result<()> {
        let span = Span { start, end: self.end() };
        let message = || "experimental duration expression is not enabled".to_owned();
        self.require(self.features.duration_expr, span, message)
    }

    fn duration_literal(&mut self) -> Result<Spanned> {
        let token = self.advance();
        let duration = match token.kind {
            Kind::Number => number_value(token.text).and_then(|seconds| {
                let limit = i64::MAX as f64 / NANOS_PER_SECOND as f64;
                let fits = seconds.abs() < limit;
                fits.then_some(DurationExpr::Number(seconds)).ok_or_else(|| "duration out of range".to_owned())
            }),
            _ => duration_nanos(token.text).map(DurationExpr::Literal),
        };
        duration.map(|duration| (duration, token.span)).map_err(|message| self.error(token.span, message))
    }

    /// `step()` or `range()`.
    fn query_duration(&mut self, build: fn(Place) -> DurationExpr, context: Context<'_>) -> Result<Spanned> {
        let start = self.advance().span.start;
        self.expect(Kind::LeftParen, context.0, context.1)?;
        self.expect(Kind::RightParen, context.0, context.1)?;
        let span = Span { start, end: self.end() };
        Ok((build(Place(span)), span))
    }

    /// `min_of(a, b)` or `max_of(a, b)`.
    fn of_two(
        &mut self,
        build: fn(Box<DurationExpr>, Box<DurationExpr>, Place) -> DurationExpr,
        context: Context<'_>,
    ) -> Result<Spanned> {
        self.advance();
        self.expect(Kind::LeftParen, context.0, context.1)?;
        let (left, first) = self.duration(0, context)?;
        self.expect(Kind::Comma, context.0, context.1)?;
        let (right, last) = self.duration(0, context)?;
        self.expect(Kind::RightParen, context.0, context.1)?;
        let span = Span { start: first.start, end: last.end };
        Ok((build(Box::new(left), Box::new(right), Place(span)), span))
    }
}

/// A range, step or offset: a lone number is a duration like any other where milliseconds can say it.
fn alone(duration: DurationExpr) -> DurationExpr {
    let DurationExpr::Number(seconds) = duration else { return duration };
    let nanos = (seconds * NANOS_PER_SECOND as f64).round() as i64;
    if nanos % NANOS_PER_MILLI == 0 { DurationExpr::Literal(nanos) } else { duration }
}
