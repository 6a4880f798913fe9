//! Expressions apart from selectors: operators before an operand, literals, calls, aggregations.

use std::sync::Arc;

use crate::promql::{
    ast::{Aggregate, AggregateOp, BinaryOp, Call, Expr, Node, Number, Span},
    functions,
    lexer::{Keyword, Kind, duration_nanos, is_utf8, number_value, quote, unquote},
    parser::{Parser, Result},
};

impl Parser<'_> {
    /// Any expression.
    pub(super) fn expr(&mut self) -> Result<Expr> {
        self.binary(0)
    }

    /// An operand with the signs before it. A sign binds weaker than `^`, so `-2 ^ 2` is -4.
    pub(super) fn unary(&mut self) -> Result<Expr> {
        let Some((negate, start)) = self.sign() else {
            return self.postfix();
        };
        let expr = self.binary(BinaryOp::Pow.precedence())?;
        let span = Span { start, end: expr.span.end };
        if let Node::Number(number) = expr.node {
            let value = if negate { -number.value } else { number.value };
            return Ok(Expr { node: Node::Number(Number { value, ..number }), span });
        }
        self.grow(0, span)?;
        Ok(Expr { node: Node::Unary { negate, expr: Box::new(expr) }, span })
    }

    /// Takes a `+` or `-`: whether it negates, and where it starts.
    pub(super) fn sign(&mut self) -> Option<(bool, usize)> {
        let negate = match self.peek().kind {
            Kind::Operator(BinaryOp::Add) => false,
            Kind::Operator(BinaryOp::Sub) => true,
            _ => return None,
        };
        Some((negate, self.advance().span.start))
    }

    /// What operators and modifiers apply to.
    pub(super) fn primary(&mut self) -> Result<Expr> {
        let token = self.peek();
        let (node, span) = match token.kind {
            Kind::Number | Kind::Duration => {
                let number = Number { value: self.seconds()?, duration: token.kind == Kind::Duration };
                (Node::Number(number), token.span)
            }
            Kind::String => (Node::String(self.string()?), token.span),
            Kind::LeftParen => return self.parenthesised(),
            Kind::Aggregate(op) if self.starts_aggregation() => return self.aggregation(op),
            Kind::Identifier if self.peek_second() == Kind::LeftParen => return self.call(),
            Kind::Keyword(word) if word.is_function() && self.peek_second() == Kind::LeftParen => return self.call(),
            _ => {
                let (selector, span) = self.vector_selector()?;
                (Node::Vector(selector), span)
            }
        };
        self.height = 1;
        Ok(Expr { node, span })
    }

    /// A number, or a duration in seconds.
    pub(super) fn seconds(&mut self) -> Result<f64> {
        let token = self.advance();
        let value = match token.kind {
            Kind::Number => number_value(token.text),
            _ => duration_nanos(token.text).map(|nanos| nanos as f64 / 1e9),
        };
        value.map_err(|message| self.error(token.span, message))
    }

    /// The text of a string literal.
    pub(super) fn string(&mut self) -> Result<Arc<str>> {
        let token = self.advance();
        unquote(token.text).map(Arc::from).map_err(|message| self.error(token.span, message))
    }

    fn parenthesised(&mut self) -> Result<Expr> {
        let start = self.advance().span.start;
        let inner = self.expr()?;
        self.expect(Kind::RightParen, "", "")?;
        let span = Span { start, end: self.end() };
        self.grow(0, span)?;
        Ok(Expr { node: Node::Paren(Box::new(inner)), span })
    }

    fn call(&mut self) -> Result<Expr> {
        let name = self.advance();
        let args = self.arguments()?;
        let span = Span { start: name.span.start, end: self.end() };
        let Some(function) = functions::find(name.text) else {
            return Err(self.error(name.span, format!("unknown function with name {}", quote(name.text))));
        };
        let enabled = self.features.experimental_functions || !function.experimental;
        self.require(enabled, name.span, || format!("function {} is not enabled", quote(function.name)))?;
        self.grow(0, span)?;
        Ok(Expr { node: Node::Call(Call { function, args }), span })
    }

    /// `(a, b, …)`; the height is then that of the highest.
    fn arguments(&mut self) -> Result<Vec<Expr>> {
        self.expect(Kind::LeftParen, "", "")?;
        let mut args = Vec::new();
        let mut highest = 0;
        while self.eat(Kind::RightParen).is_none() {
            if !args.is_empty() {
                let comma = self.expect(Kind::Comma, "", "")?;
                if !self.peek().starts_expr() {
                    return Err(self.error(comma.span, "trailing commas not allowed in function call args"));
                }
            }
            args.push(self.expr()?);
            highest = self.height.max(highest);
        }
        self.height = highest;
        Ok(args)
    }

    /// Whether the aggregator's name that comes next starts an aggregation, and does not name a metric.
    fn starts_aggregation(&self) -> bool {
        matches!(self.peek_second(), Kind::LeftParen | Kind::Keyword(Keyword::By | Keyword::Without))
    }

    fn aggregation(&mut self, op: AggregateOp) -> Result<Expr> {
        let start = self.advance().span.start;
        let before = self.grouping()?;
        self.aggregations += 1;
        let args = self.arguments()?;
        self.aggregations -= 1;
        let grouping = match before {
            Some(grouping) => Some(grouping),
            None => self.grouping()?,
        };
        let span = Span { start, end: self.end() };
        if args.is_empty() {
            return Err(self.error(span, "no arguments for aggregate expression provided"));
        }
        self.require(self.features.experimental_functions || !op.is_experimental(), span, || {
            let flag = "promql-experimental-functions";
            format!("{}() is experimental and must be enabled with --enable-feature={flag}", op.name())
        })?;
        self.grow(0, span)?;
        let (param, expr) = self.aggregate_arguments(op, args, span)?;
        let (without, grouping) = grouping.unwrap_or_default();
        Ok(Expr { node: Node::Aggregate(Box::new(Aggregate { op, expr, param, without, grouping })), span })
    }

    /// `by (…)` or `without (…)`: whether it is the latter, and the labels.
    fn grouping(&mut self) -> Result<Option<(bool, Vec<Arc<str>>)>> {
        let without = match self.peek().kind {
            Kind::Keyword(Keyword::By) => false,
            Kind::Keyword(Keyword::Without) => true,
            _ => return Ok(None),
        };
        self.advance();
        Ok(Some((without, self.label_list()?)))
    }

    /// Sorts out the parameter and the vector.
    fn aggregate_arguments(&self, op: AggregateOp, args: Vec<Expr>, span: Span) -> Result<(Option<Expr>, Expr)> {
        let expected = 1 + usize::from(op.param().is_some());
        let got = args.len();
        let mut args = args.into_iter();
        match got == expected {
            true => {
                let param = if expected == 2 { args.next() } else { None };
                Ok((param, args.next().expect("as many arguments as expected were counted")))
            }
            false => {
                let what = "wrong number of arguments for aggregate expression provided";
                Err(self.error(span, format!("{what}, expected {expected}, got {got}")))
            }
        }
    }

    /// `(a, b, …)` with a comma at the end if one likes.
    pub(super) fn label_list(&mut self) -> Result<Vec<Arc<str>>> {
        const CONTEXT: &str = "grouping opts";
        self.expect(Kind::LeftParen, CONTEXT, "\"(\"")?;
        let mut labels = Vec::new();
        while self.eat(Kind::RightParen).is_none() {
            labels.push(self.label_in_list()?);
            if self.peek().kind != Kind::RightParen {
                self.expect(Kind::Comma, CONTEXT, "\",\" or \")\"")?;
            }
        }
        Ok(labels)
    }

    fn label_in_list(&mut self) -> Result<Arc<str>> {
        let token = self.peek();
        match token.kind {
            Kind::String => match self.string()? {
                name if is_utf8(&name) && !name.is_empty() => Ok(name),
                name => Err(self.error(token.span, format!("invalid label name for grouping: {}", quote(&name)))),
            },
            _ if token.is_label_name() => Ok(self.advance().text.into()),
            _ => Err(self.unexpected("grouping opts", "label")),
        }
    }
}
