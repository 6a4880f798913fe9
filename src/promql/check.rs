//! The types of a tree, and the rules that go beyond its grammar.

use crate::{
    model::METRIC_NAME,
    promql::{
        ast::{Aggregate, Binary, Call, Cardinality, Expr, Node, Span, ValueType, VectorSelector},
        error::ParseError,
        functions::Function,
        lexer::quote,
    },
};

/// Checks a tree, settles how the vectors of its binary expressions are paired, and gives its type.
pub(super) fn check(expr: &mut Expr, text: &str) -> Result<ValueType, ParseError> {
    Checker { text }.expr(expr)
}

struct Checker<'a> {
    text: &'a str,
}

type Result<T, E = ParseError> = std::result::Result<T, E>;

impl Checker<'_> {
    /// Checks an expression and gives its type.
    fn expr(&self, expr: &mut Expr) -> Result<ValueType> {
        let span = expr.span;
        match &mut expr.node {
            Node::Number(_) => Ok(ValueType::Scalar),
            Node::String(_) => Ok(ValueType::String),
            Node::Vector(selector) => self.selector(selector, span).map(|()| ValueType::Vector),
            Node::Matrix(matrix) => self.selector(&matrix.selector, matrix.selector_span).map(|()| ValueType::Matrix),
            Node::Subquery(subquery) => match self.expr(&mut subquery.expr)? {
                ValueType::Vector => Ok(ValueType::Matrix),
                ValueType::Matrix => self.fail(span, "subquery is only allowed on instant vector, got matrix instead"),
                got => self.fail(span, format!("subquery is only allowed on instant vector, got {got} instead")),
            },
            Node::Unary { expr, .. } => self.unary(expr, span),
            Node::Binary(binary) => self.binary(binary, span),
            Node::Aggregate(aggregate) => self.aggregate(aggregate).map(|()| ValueType::Vector),
            Node::Call(call) => self.call(call, span).map(|()| call.function.returns),
            Node::Paren(inner) => self.expr(inner),
        }
    }

    fn expect(&self, expr: &mut Expr, expected: ValueType, context: &str) -> Result<()> {
        match self.expr(expr)? {
            got if got == expected => Ok(()),
            got => self.fail(expr.span, format!("expected type {expected} in {context}, got {got}")),
        }
    }

    fn unary(&self, expr: &mut Expr, span: Span) -> Result<ValueType> {
        match self.expr(expr)? {
            of @ (ValueType::Scalar | ValueType::Vector) => Ok(of),
            got => {
                let rule = "unary expression only allowed on expressions of type scalar or instant vector";
                self.fail(span, format!("{rule}, got \"{got}\""))
            }
        }
    }

    fn aggregate(&self, aggregate: &mut Aggregate) -> Result<()> {
        self.expect(&mut aggregate.expr, ValueType::Vector, "aggregation expression")?;
        match (&mut aggregate.param, aggregate.op.param()) {
            (Some(param), Some(expected)) => self.expect(param, expected, "aggregation parameter"),
            _ => Ok(()),
        }
    }

    /// A selector with only empty conditions would silently select everything.
    fn selector(&self, selector: &VectorSelector, span: Span) -> Result<()> {
        if let Some(name) = &selector.name {
            // The first matcher is the name's own.
            return match selector.matchers[1..].iter().find(|matcher| &*matcher.name == METRIC_NAME) {
                Some(second) => {
                    let (name, second) = (quote(name), quote(&second.value));
                    self.fail(span, format!("metric name must not be set twice: {name} or {second}"))
                }
                None => Ok(()),
            };
        }
        match selector.matchers.iter().all(|matcher| matcher.matches_empty()) {
            true => self.fail(span, "vector selector must contain at least one non-empty matcher"),
            false => Ok(()),
        }
    }

    fn binary(&self, binary: &mut Binary, span: Span) -> Result<ValueType> {
        let left = self.expr(&mut binary.left)?;
        let right = self.expr(&mut binary.right)?;
        self.modifiers(binary, left, right)?;
        for (side, found) in [(&binary.left, left), (&binary.right, right)] {
            if !matches!(found, ValueType::Scalar | ValueType::Vector) {
                return self.fail(side.span, "binary expression must contain only scalar and instant vector types");
            }
        }
        match (left, right) {
            (ValueType::Vector, ValueType::Vector) if binary.op.is_set() => self.set_operator(binary, span)?,
            (ValueType::Vector, ValueType::Vector) => {}
            _ => self.with_scalar(binary, span)?,
        }
        Ok(if left == right { left } else { ValueType::Vector })
    }

    /// The rules about `bool`, and about labels in two lists.
    fn modifiers(&self, binary: &Binary, left: ValueType, right: ValueType) -> Result<()> {
        let comparison = binary.op.is_comparison();
        if binary.return_bool && !comparison {
            return self.fail(self.operator(binary), "bool modifier can only be used on comparison operators");
        }
        if comparison && !binary.return_bool && (left, right) == (ValueType::Scalar, ValueType::Scalar) {
            return self.fail(self.operator(binary), "comparisons between scalars must use BOOL modifier");
        }
        let twice = binary
            .matching
            .as_ref()
            .filter(|matching| matching.on)
            .and_then(|matching| matching.labels.iter().find(|label| matching.include.contains(label)));
        match twice {
            Some(label) => {
                let message = format!("label {} must not occur in ON and GROUP clause at once", quote(label));
                self.fail(self.operator(binary), message)
            }
            None => Ok(()),
        }
    }

    fn set_operator(&self, binary: &mut Binary, span: Span) -> Result<()> {
        let op = binary.op.symbol();
        let Some(matching) = &mut binary.matching else {
            return Ok(());
        };
        if matching.cardinality != Cardinality::OneToOne {
            return self.fail(span, format!("no grouping allowed for \"{op}\" operation"));
        }
        if matching.fill_left.or(matching.fill_right).is_some() {
            return self.fail(span, "filling in missing series not allowed for set operators");
        }
        matching.cardinality = Cardinality::ManyToMany;
        Ok(())
    }

    /// There is nothing to pair where one side is a scalar.
    fn with_scalar(&self, binary: &mut Binary, span: Span) -> Result<()> {
        if let Some(matching) = binary.matching.take() {
            if !matching.labels.is_empty() {
                return self.fail(span, "vector matching only allowed between instant vectors");
            }
            if matching.fill_left.or(matching.fill_right).is_some() {
                return self.fail(span, "filling in missing series only allowed between instant vectors");
            }
        }
        match binary.op.is_set() {
            true => {
                let op = binary.op.symbol();
                self.fail(span, format!("set operator \"{op}\" not allowed in binary scalar expression"))
            }
            false => Ok(()),
        }
    }

    fn call(&self, call: &mut Call, span: Span) -> Result<()> {
        let function = call.function;
        self.count(function, call.args.len(), span)?;
        let context = format!("call to function {}", quote(function.name));
        let labels = if function.name == "info" { call.args.get(1) } else { None };
        labels.map_or(Ok(()), |labels| self.info_selector(labels, span, &context))?;
        let checked = labels.map(|_| 1);
        let mut args = call.args.iter_mut().enumerate().filter(|(index, _)| checked != Some(*index));
        args.try_for_each(|(index, arg)| self.expect(arg, function.arg(index), &context))
    }

    fn count(&self, function: &Function, got: usize, span: Span) -> Result<()> {
        let name = quote(function.name);
        let (min, max) = (function.args_min(), function.args_max());
        let expected = match max {
            Some(max) if min == max && got != max => format!("{max}"),
            _ if got < min => format!("at least {min}"),
            Some(max) if got > max => format!("at most {max}"),
            _ => return Ok(()),
        };
        self.fail(span, format!("expected {expected} argument(s) in call to {name}, got {got}"))
    }

    /// The second argument of `info` lists labels in the form of a selector, which may be empty.
    fn info_selector(&self, arg: &Expr, call: Span, context: &str) -> Result<()> {
        match &arg.node {
            _ if arg.value_type() != ValueType::Vector => {
                self.fail(call, format!("expected type {} in {context}, got {}", ValueType::Vector, arg.value_type()))
            }
            Node::Vector(selector) if selector.name.is_none() => Ok(()),
            Node::Vector(_) => self.fail(arg.span, "expected label selectors only, got vector selector instead"),
            _ => self.fail(arg.span, "expected label selectors only"),
        }
    }

    /// Where the operator and its modifiers stand.
    fn operator(&self, binary: &Binary) -> Span {
        let (start, end) = (binary.left.span.end, binary.right.span.start);
        let between = &self.text[start..end];
        let start = start + (between.len() - between.trim_start().len());
        Span { start, end: end - (between.len() - between.trim_end().len()) }
    }

    fn fail<T>(&self, span: Span, message: impl Into<String>) -> Result<T> {
        Err(ParseError::new(self.text, span, message))
    }
}
