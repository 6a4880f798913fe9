//! Operators between numbers, and between a vector and a number.

use crate::promql::{
    ast::{Binary, BinaryOp, Span, ValueType},
    eval::{
        Eval, Patience, Result,
        points::Points,
        series::{ABSENT, Sink},
        steps::Steps,
    },
};

/// What an operator makes of two numbers.
#[derive(Clone, Copy)]
pub(super) enum Operation {
    /// A number.
    Arithmetic(fn(f64, f64) -> f64),
    /// Keeps the left number, or not.
    Filter(fn(&f64, &f64) -> bool),
    /// 1 or 0.
    Bool(fn(&f64, &f64) -> bool),
    /// Nothing: the operator is for histograms.
    Nothing,
}

impl Operation {
    pub(super) fn of(op: BinaryOp, return_bool: bool) -> Self {
        match op {
            BinaryOp::TrimUpper | BinaryOp::TrimLower => Self::Nothing,
            op if op.is_comparison() && return_bool => Self::Bool(comparison(op)),
            op if op.is_comparison() => Self::Filter(comparison(op)),
            op => Self::Arithmetic(arithmetic(op)),
        }
    }

    /// The result for two present values; `ABSENT` for none.
    #[inline]
    pub(super) fn apply(self, left: f64, right: f64) -> f64 {
        match self {
            Self::Arithmetic(function) => function(left, right),
            Self::Filter(holds) if holds(&left, &right) => left,
            Self::Bool(holds) => f64::from(u8::from(holds(&left, &right))),
            Self::Filter(_) | Self::Nothing => ABSENT,
        }
    }

    /// Whether the result is another quantity than the operand, and so loses its name.
    pub(super) fn drops_name(self) -> bool {
        !matches!(self, Self::Filter(_))
    }
}

impl<'a> Eval<'a> {
    pub(super) fn stream_binary(
        &self,
        binary: &'a Binary,
        span: Span,
        steps: Steps,
        sink: &mut Sink<'_>,
    ) -> Result<()> {
        match (&binary.matching, binary.left.value_type()) {
            (Some(_), _) if binary.op.is_set() => self.stream_set(binary, steps, sink),
            (Some(matching), _) => self.stream_matched(binary, matching, span, steps, sink),
            (None, ValueType::Scalar) => self.stream_with_scalar(binary, true, span, steps, sink),
            (None, _) => self.stream_with_scalar(binary, false, span, steps, sink),
        }
    }

    fn stream_with_scalar(
        &self,
        binary: &'a Binary,
        scalar_left: bool,
        span: Span,
        steps: Steps,
        sink: &mut Sink<'_>,
    ) -> Result<()> {
        let (number, vector) = if scalar_left { (&binary.left, &binary.right) } else { (&binary.right, &binary.left) };
        let numbers = self.scalars(number, steps)?;
        let operation = Operation::of(binary.op, binary.return_bool);
        let change = |points: &mut Points, patience: &Patience<'_>| match (operation, scalar_left) {
            // A comparison keeps the vector's value, whichever side it is on.
            (Operation::Filter(holds), true) => {
                points.map(patience, |step, value| if holds(&numbers.at(step), &value) { value } else { ABSENT })
            }
            (operation, true) => points.map(patience, |step, value| operation.apply(numbers.at(step), value)),
            (operation, false) => points.map(patience, |step, value| operation.apply(value, numbers.at(step))),
        };
        match operation {
            Operation::Nothing => self.stream(vector, steps, &mut |_| {
                self.inform_of_types(binary.op, span);
                Ok(())
            }),
            operation if operation.drops_name() => self.stream_renamed(vector, steps, sink, change),
            _ => {
                let patience = self.patience();
                self.stream(vector, steps, &mut |row| {
                    change(row.points, &patience)?;
                    sink(row)
                })
            }
        }
    }

    /// Says that an operator has nothing to do with numbers.
    pub(super) fn inform_of_types(&self, op: BinaryOp, span: Span) {
        let symbol = op.symbol();
        let remark = "incompatible sample types encountered for binary operator";
        self.inform(format!("{remark} {symbol:?}: float {symbol} float"), span);
    }
}

/// The function of an operator between two scalars, where comparisons give 1 or 0.
pub(super) fn scalar_function(op: BinaryOp) -> impl Fn(f64, f64) -> f64 {
    let operation = Operation::of(op, true);
    move |left, right| operation.apply(left, right)
}

/// The function of an arithmetic operator.
pub(super) fn arithmetic(op: BinaryOp) -> fn(f64, f64) -> f64 {
    match op {
        BinaryOp::Add => |a, b| a + b,
        BinaryOp::Sub => |a, b| a - b,
        BinaryOp::Mul => |a, b| a * b,
        BinaryOp::Div => |a, b| a / b,
        BinaryOp::Mod => |a, b| a % b,
        BinaryOp::Pow => f64::powf,
        BinaryOp::Atan2 => f64::atan2,
        op => unreachable!("{} is not arithmetic", op.symbol()),
    }
}

fn comparison(op: BinaryOp) -> fn(&f64, &f64) -> bool {
    match op {
        BinaryOp::Equal => f64::eq,
        BinaryOp::NotEqual => f64::ne,
        BinaryOp::Greater => f64::gt,
        BinaryOp::Less => f64::lt,
        BinaryOp::GreaterOrEqual => f64::ge,
        BinaryOp::LessOrEqual => f64::le,
        op => unreachable!("{} does not compare", op.symbol()),
    }
}
