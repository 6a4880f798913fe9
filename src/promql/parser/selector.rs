//! Selectors, and what may follow an expression: `[…]`, `offset`, `@`, `anchored`, `smoothed`.

use std::sync::Arc;

use crate::{
    model::{METRIC_NAME, MatchOp, Matcher, NANOS_PER_MILLI},
    promql::{
        ast::{
            At, BinaryOp, DurationExpr, Expr, MatrixSelector, Node, RangeExtension, Span, Subquery, TimeShift,
            VectorSelector,
        },
        format,
        lexer::{Keyword, Kind, Token},
        parser::{Parser, Result},
    },
};

impl Parser<'_> {
    /// An operand and the modifiers behind it.
    pub(super) fn postfix(&mut self) -> Result<Expr> {
        let mut expr = self.primary()?;
        loop {
            match self.peek().kind {
                Kind::LeftBracket => expr = self.range(expr)?,
                Kind::Keyword(Keyword::Offset) => self.offset(&mut expr)?,
                Kind::At => self.at_time(&mut expr)?,
                Kind::Keyword(Keyword::Anchored) => self.extend(&mut expr, RangeExtension::Anchored)?,
                Kind::Keyword(Keyword::Smoothed) => self.extend(&mut expr, RangeExtension::Smoothed)?,
                _ => return Ok(expr),
            }
        }
    }

    /// `name{a="b"}`, either part optional.
    pub(super) fn vector_selector(&mut self) -> Result<(VectorSelector, Span)> {
        let start = self.peek();
        let mut selector =
            VectorSelector { matchers: Vec::new(), name: None, at: TimeShift::default(), extension: None };
        if start.is_metric_name() {
            let name: Arc<str> = self.advance().text.into();
            selector.matchers.push(Matcher::equal(METRIC_NAME, Arc::clone(&name)));
            selector.name = Some(name);
        } else if start.kind != Kind::LeftBrace {
            return Err(self.unexpected("", ""));
        }
        if self.eat(Kind::LeftBrace).is_some() {
            self.matchers(&mut selector.matchers)?;
        }
        Ok((selector, Span { start: start.span.start, end: self.end() }))
    }

    /// What stands in braces, the closing one included.
    fn matchers(&mut self, matchers: &mut Vec<Matcher>) -> Result<()> {
        while self.eat(Kind::RightBrace).is_none() {
            let matcher = self.matcher()?;
            matchers.push(matcher);
            if self.peek().kind != Kind::RightBrace {
                self.expect(Kind::Comma, CONTEXT, "\",\" or \"}\"")?;
            }
        }
        Ok(())
    }

    /// `label="value"`, `"label"="value"`, or `"metric name"`.
    fn matcher(&mut self) -> Result<Matcher> {
        let token = self.peek();
        let name: Arc<str> = match token.kind {
            Kind::Identifier => self.advance().text.into(),
            Kind::String => self.string()?,
            _ => return Err(self.unexpected(CONTEXT, "identifier or \"}\"")),
        };
        let op = match self.peek().kind {
            Kind::Assign => MatchOp::Equal,
            Kind::Operator(BinaryOp::NotEqual) => MatchOp::NotEqual,
            Kind::RegexMatch => MatchOp::Regex,
            Kind::RegexMismatch => MatchOp::NotRegex,
            _ if token.kind == Kind::String => return Ok(Matcher::equal(METRIC_NAME, name)),
            _ => return Err(self.unexpected(CONTEXT, "label matching operator")),
        };
        self.advance();
        self.matcher_value(&token, name, op)
    }

    fn matcher_value(&mut self, label: &Token<'_>, name: Arc<str>, op: MatchOp) -> Result<Matcher> {
        if self.peek().kind != Kind::String {
            return Err(self.unexpected(CONTEXT, "string"));
        }
        let value = self.string()?;
        let span = Span { start: label.span.start, end: self.end() };
        Matcher::new(name, op, value).map_err(|error| self.error(span, error.to_string()))
    }

    /// `[5m]` or `[1h:5m]`.
    fn range(&mut self, expr: Expr) -> Result<Expr> {
        const DURATION: &str = "number, duration, step(), or range()";
        let open = self.advance().span.start;
        let range = self.positive_duration("subquery or range selector", DURATION)?;
        if self.eat(Kind::RightBracket).is_some() {
            return self.matrix(expr, range, open);
        }
        self.expect(Kind::Colon, "subquery or range", "\":\" or \"]\"")?;
        let step = match self.peek().kind {
            Kind::RightBracket => None,
            _ => Some(self.positive_duration("subquery selector", "number, duration, step(), range(), or \"]\"")?),
        };
        self.expect(Kind::RightBracket, "subquery selector", "\"]\"")?;
        let span = Span { start: expr.span.start, end: self.end() };
        self.grow(0, span)?;
        let subquery = Subquery { expr, range, step, at: TimeShift::default() };
        Ok(Expr { node: Node::Subquery(Box::new(subquery)), span })
    }

    fn matrix(&mut self, expr: Expr, range: DurationExpr, open: usize) -> Result<Expr> {
        let brackets = Span { start: open, end: self.end() };
        let selector = match expr.node {
            Node::Vector(selector) => selector,
            _ => return Err(self.error(brackets, "ranges only allowed for vector selectors")),
        };
        // As in Prometheus, these two are refused, while a computed offset and the query's bounds are taken over.
        if matches!(selector.at.offset, Some(DurationExpr::Literal(_) | DurationExpr::Number(_))) {
            return Err(self.error(brackets, "no offset modifiers allowed before range"));
        }
        if matches!(selector.at.at, Some(At::Time(_))) {
            return Err(self.error(brackets, "no @ modifiers allowed before range"));
        }
        let span = Span { start: expr.span.start, end: brackets.end };
        Ok(Expr { node: Node::Matrix(MatrixSelector { selector, selector_span: expr.span, range }), span })
    }

    fn offset(&mut self, expr: &mut Expr) -> Result<()> {
        self.advance();
        let offset = self.offset_duration()?;
        let Some(shift) = shift_of(&mut expr.node) else {
            return Err(self.error(expr.span, format!("offset {NOT_SHIFTABLE}")));
        };
        if shift.offset.is_some() {
            return Err(self.error(expr.span, "offset may not be set multiple times"));
        }
        shift.offset = offset;
        expr.span.end = self.end();
        Ok(())
    }

    fn at_time(&mut self, expr: &mut Expr) -> Result<()> {
        self.advance();
        let at = match self.peek().kind {
            Kind::Keyword(Keyword::Start) => self.at_bound(At::Start)?,
            Kind::Keyword(Keyword::End) => self.at_bound(At::End)?,
            _ => {
                let seconds = self.signed_seconds(AT.0, AT.1)?;
                At::Time(nanos_of_timestamp(seconds).ok_or_else(|| {
                    let shown = if seconds.is_finite() { format!("{seconds:.6}") } else { format::plain(seconds) };
                    self.error(expr.span, format!("timestamp out of bounds for @ modifier: {shown}"))
                })?)
            }
        };
        let Some(shift) = shift_of(&mut expr.node) else {
            return Err(self.error(expr.span, format!("@ {NOT_SHIFTABLE}")));
        };
        if shift.at.replace(at).is_some() {
            return Err(self.error(expr.span, "@ <timestamp> may not be set multiple times"));
        }
        expr.span.end = self.end();
        Ok(())
    }

    /// `start()` or `end()`.
    fn at_bound(&mut self, at: At) -> Result<At> {
        self.advance();
        self.expect(Kind::LeftParen, AT.0, AT.1)?;
        self.expect(Kind::RightParen, AT.0, AT.1)?;
        Ok(at)
    }

    fn extend(&mut self, expr: &mut Expr, extension: RangeExtension) -> Result<()> {
        let word = extension.name();
        self.advance();
        self.require(self.features.extended_range_selectors, expr.span, || {
            format!("{word} modifier is experimental and not enabled")
        })?;
        let selector = match &mut expr.node {
            Node::Vector(selector) => selector,
            Node::Matrix(matrix) => &mut matrix.selector,
            Node::Subquery(_) => {
                return Err(self.error(expr.span, format!("{word} modifier is not supported for subqueries")));
            }
            _ => return Err(self.error(expr.span, format!("{word} modifier not implemented"))),
        };
        if selector.extension.replace(extension).is_some_and(|before| before != extension) {
            return Err(self.error(expr.span, "anchored and smoothed modifiers cannot be used together"));
        }
        expr.span.end = self.end();
        Ok(())
    }
}

const CONTEXT: &str = "label matching";
const NOT_SHIFTABLE: &str =
    "modifier must be preceded by an instant vector selector or range vector selector or a subquery";
/// Where an error about `@` is, and what may stand there.
const AT: (&str, &str) = ("@", "timestamp");

/// Where an expression keeps its `offset` and `@`, if it may have them.
fn shift_of(node: &mut Node) -> Option<&mut TimeShift> {
    match node {
        Node::Vector(selector) => Some(&mut selector.at),
        Node::Matrix(matrix) => Some(&mut matrix.selector.at),
        Node::Subquery(subquery) => Some(&mut subquery.at),
        _ => None,
    }
}

/// Seconds to nanoseconds, rounded to milliseconds as in Prometheus; `None` where that is no time.
fn nanos_of_timestamp(seconds: f64) -> Option<i64> {
    let millis = (seconds * 1e3).round();
    let millis_max = (i64::MAX / NANOS_PER_MILLI) as f64;
    (millis.abs() < millis_max).then(|| millis as i64 * NANOS_PER_MILLI)
}
