//! Operators between two expressions, and their modifiers.

use crate::promql::{
    ast::{Binary, BinaryOp, Cardinality, Expr, Matching, Node, Span},
    lexer::{Keyword, Kind},
    parser::{Parser, Result},
};

impl Parser<'_> {
    /// An expression of operators that bind at least as strongly as `precedence_min`.
    pub(super) fn binary(&mut self, precedence_min: u8) -> Result<Expr> {
        self.nested(|parser| {
            let mut left = parser.unary()?;
            while let Some(op) = parser.operator(precedence_min) {
                left = parser.binary_with(left, op)?;
            }
            Ok(left)
        })
    }

    /// Takes an operator, if one comes and it binds strongly enough.
    fn operator(&mut self, precedence_min: u8) -> Option<BinaryOp> {
        match self.peek().kind {
            Kind::Operator(op) if op.precedence() >= precedence_min => {
                self.advance();
                Some(op)
            }
            _ => None,
        }
    }

    fn binary_with(&mut self, left: Expr, op: BinaryOp) -> Result<Expr> {
        let left_height = self.height;
        let return_bool = self.eat_keyword(Keyword::Bool).is_some();
        let matching = self.matching()?;
        // `^` binds to the right, so it takes its like; the others leave it to the loop.
        let right = self.binary(op.precedence() + u8::from(op != BinaryOp::Pow))?;
        let span = Span { start: left.span.start, end: right.span.end };
        let fills = matching.fill_left.or(matching.fill_right).is_some();
        self.require(self.features.binop_fill_modifiers || !fills, span, || {
            "binop fill modifiers are experimental and not enabled".to_owned()
        })?;
        self.grow(left_height, span)?;
        let binary = Binary { op, left, right, return_bool, matching: Some(matching) };
        Ok(Expr { node: Node::Binary(Box::new(binary)), span })
    }

    /// `on (…) group_left (…) fill (…)`, each part optional.
    fn matching(&mut self) -> Result<Matching> {
        let mut matching = Matching {
            cardinality: Cardinality::OneToOne,
            on: false,
            labels: Vec::new(),
            include: Vec::new(),
            fill_left: None,
            fill_right: None,
            fill_both: false,
        };
        if let Kind::Keyword(word @ (Keyword::On | Keyword::Ignoring)) = self.peek().kind {
            self.advance();
            matching.on = word == Keyword::On;
            matching.labels = self.label_list()?;
            self.group(&mut matching)?;
        }
        self.fill(&mut matching)?;
        Ok(matching)
    }

    fn group(&mut self, matching: &mut Matching) -> Result<()> {
        matching.cardinality = match self.peek().kind {
            Kind::Keyword(Keyword::GroupLeft) => Cardinality::ManyToOne,
            Kind::Keyword(Keyword::GroupRight) => Cardinality::OneToMany,
            _ => return Ok(()),
        };
        self.advance();
        if self.peek().kind == Kind::LeftParen {
            matching.include = self.label_list()?;
        }
        Ok(())
    }

    /// `fill (…)` alone, or `fill_left (…)` and `fill_right (…)` in either order.
    fn fill(&mut self, matching: &mut Matching) -> Result<()> {
        if self.eat_keyword(Keyword::Fill).is_some() {
            let value = self.fill_value()?;
            (matching.fill_left, matching.fill_right, matching.fill_both) = (Some(value), Some(value), true);
            return Ok(());
        }
        loop {
            let side = match self.peek().kind {
                Kind::Keyword(Keyword::FillLeft) => &mut matching.fill_left,
                Kind::Keyword(Keyword::FillRight) => &mut matching.fill_right,
                _ => return Ok(()),
            };
            if side.is_some() {
                return Err(self.unexpected("", ""));
            }
            self.advance();
            *side = Some(self.fill_value()?);
        }
    }

    fn fill_value(&mut self) -> Result<f64> {
        self.expect(Kind::LeftParen, "fill modifier", "\"(\"")?;
        let value = self.signed_seconds("fill modifier", "number")?;
        self.expect(Kind::RightParen, "fill modifier", "\")\"")?;
        Ok(value)
    }

    /// A number or duration, with a sign or without.
    pub(super) fn signed_seconds(&mut self, context: &str, expected: &str) -> Result<f64> {
        let negate = self.sign().is_some_and(|(negate, _)| negate);
        match self.peek().kind {
            Kind::Number | Kind::Duration => self.seconds().map(|value| if negate { -value } else { value }),
            _ => Err(self.unexpected(context, expected)),
        }
    }
}
