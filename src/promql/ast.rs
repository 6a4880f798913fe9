//! The syntax tree: what a query says, with the place of every part in its text.

use std::{fmt, sync::Arc};

pub use crate::promql::duration::{DurationExpr, Place};
use crate::{model::Matcher, promql::functions::Function};

/// Byte range of a part of the query text, half open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// First byte behind.
    pub end: usize,
}

/// The type an expression evaluates to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// A number.
    Scalar,
    /// A text.
    String,
    /// One sample per series.
    Vector,
    /// A run of samples per series.
    Matrix,
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scalar => "scalar",
            Self::String => "string",
            Self::Vector => "instant vector",
            Self::Matrix => "range vector",
        })
    }
}

/// A node and its place. Two are equal where they say the same, wherever it stands.
#[derive(Clone, Debug)]
pub struct Expr {
    /// What it is.
    pub node: Node,
    /// Where it stands in the query text.
    pub span: Span,
}

impl PartialEq for Expr {
    fn eq(&self, other: &Self) -> bool {
        self.node == other.node
    }
}

/// Whether two numbers would be written the same: here `NaN` equals itself, and `0` is not `-0`.
fn same_number(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

impl Expr {
    /// The type it evaluates to.
    pub fn value_type(&self) -> ValueType {
        match &self.node {
            Node::Number(_) => ValueType::Scalar,
            Node::String(_) => ValueType::String,
            Node::Vector(_) | Node::Aggregate(_) => ValueType::Vector,
            Node::Matrix(_) | Node::Subquery(_) => ValueType::Matrix,
            Node::Unary { expr, .. } | Node::Paren(expr) => expr.value_type(),
            Node::Binary(binary) => match (binary.left.value_type(), binary.right.value_type()) {
                (ValueType::Scalar, ValueType::Scalar) => ValueType::Scalar,
                _ => ValueType::Vector,
            },
            Node::Call(call) => call.function.returns,
        }
    }
}

/// The kinds of expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// `1`, `0x1f`, `Inf`, `NaN`, `5m`
    Number(Number),
    /// `"text"`
    String(Arc<str>),
    /// `up{job="a"} offset 5m @ 123`
    Vector(VectorSelector),
    /// `up[5m]`; the selector carries the offset and `@`
    Matrix(MatrixSelector),
    /// `expr[1h:5m] offset 1m`
    Subquery(Box<Subquery>),
    /// `-x`, `+x`
    Unary {
        /// Whether the operator is `-`.
        negate: bool,
        /// What it applies to.
        expr: Box<Expr>,
    },
    /// `a + on (x) group_left b`
    Binary(Box<Binary>),
    /// `sum by (x) (expr)`
    Aggregate(Box<Aggregate>),
    /// `rate(m[5m])`
    Call(Call),
    /// `(expr)`
    Paren(Box<Expr>),
}

/// A number as it was written.
#[derive(Clone, Copy, Debug)]
pub struct Number {
    /// The number; of a duration, its seconds.
    pub value: f64,
    /// Whether it was written as a duration, such as `5m`; only for printing.
    pub duration: bool,
}

impl From<f64> for Number {
    fn from(value: f64) -> Self {
        Self { value, duration: false }
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        same_number(self.value, other.value) && self.duration == other.duration
    }
}

/// Selects series by name and labels, one sample each per step. Two are equal whatever order their conditions stand in.
#[derive(Clone, Debug)]
pub struct VectorSelector {
    /// All conditions, the one on `__name__` included; first of all where it was written outside the braces.
    pub matchers: Vec<Matcher>,
    /// The metric name where it was written outside the braces; only for printing.
    pub name: Option<Arc<str>>,
    /// `offset` and `@`.
    pub at: TimeShift,
    /// `anchored` or `smoothed`.
    pub extension: Option<RangeExtension>,
}

impl PartialEq for VectorSelector {
    fn eq(&self, other: &Self) -> bool {
        let conditions = |selector: &Self| {
            let mut conditions: Vec<_> =
                selector.matchers.iter().map(|m| (Arc::clone(&m.name), m.op, Arc::clone(&m.value))).collect();
            conditions.sort();
            conditions
        };
        (&self.name, &self.at, self.extension) == (&other.name, &other.at, other.extension)
            && conditions(self) == conditions(other)
    }
}

/// `offset` and `@` of a selector or subquery.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TimeShift {
    /// How far back to look; never a literal zero, which is as if none was written.
    pub offset: Option<DurationExpr>,
    /// A fixed evaluation time.
    pub at: Option<At>,
}

/// The argument of `@`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum At {
    /// Unix nanoseconds, a whole number of milliseconds.
    Time(i64),
    /// `@ start()`: the start of the range query.
    Start,
    /// `@ end()`: its end.
    End,
}

/// Experimental modifiers of range and instant selectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeExtension {
    /// `anchored`: the window also takes the sample just before it.
    Anchored,
    /// `smoothed`: values at the window's edges are interpolated.
    Smoothed,
}

impl RangeExtension {
    /// How it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Anchored => "anchored",
            Self::Smoothed => "smoothed",
        }
    }
}

/// A vector selector and a window.
#[derive(Clone, Debug)]
pub struct MatrixSelector {
    /// The series.
    pub selector: VectorSelector,
    /// Where the selector without its range stands in the text.
    pub selector_span: Span,
    /// The window's length.
    pub range: DurationExpr,
}

impl PartialEq for MatrixSelector {
    fn eq(&self, other: &Self) -> bool {
        self.selector == other.selector && self.range == other.range
    }
}

/// An expression evaluated at steps of its own over a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Subquery {
    /// What is evaluated.
    pub expr: Expr,
    /// The window's length.
    pub range: DurationExpr,
    /// The distance of evaluations; the engine's default where absent.
    pub step: Option<DurationExpr>,
    /// `offset` and `@`.
    pub at: TimeShift,
}

/// Operators between two expressions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // each is its symbol
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Atan2,
    Equal,
    NotEqual,
    Greater,
    Less,
    GreaterOrEqual,
    LessOrEqual,
    And,
    Or,
    Unless,
    /// `</`: trims a histogram's buckets above a value.
    TrimUpper,
    /// `>/`: trims a histogram's buckets below a value.
    TrimLower,
}

impl BinaryOp {
    /// How it is written.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Mod => "%",
            Self::Pow => "^",
            Self::Atan2 => "atan2",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Greater => ">",
            Self::Less => "<",
            Self::GreaterOrEqual => ">=",
            Self::LessOrEqual => "<=",
            Self::And => "and",
            Self::Or => "or",
            Self::Unless => "unless",
            Self::TrimUpper => "</",
            Self::TrimLower => ">/",
        }
    }

    /// Whether it compares; only these take `bool`.
    pub fn is_comparison(self) -> bool {
        use BinaryOp::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
        matches!(self, Equal | NotEqual | Greater | Less | GreaterOrEqual | LessOrEqual)
    }

    /// Whether it combines sets of series: `and`, `or`, `unless`.
    pub fn is_set(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Unless)
    }

    /// Whether it may stand in a duration expression.
    pub fn is_arithmetic(self) -> bool {
        matches!(self, Self::Add | Self::Sub | Self::Mul | Self::Div | Self::Mod | Self::Pow)
    }

    /// How strongly it binds, from 1 for `or` to 6 for `^`; all but `^` bind to the left.
    pub fn precedence(self) -> u8 {
        match self {
            Self::Or => 1,
            Self::And | Self::Unless => 2,
            Self::TrimUpper | Self::TrimLower => 3,
            op if op.is_comparison() => 3,
            Self::Add | Self::Sub => 4,
            Self::Pow => 6,
            _ => 5, // the multiplications
        }
    }
}

/// Two expressions and an operator.
#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    /// The operator.
    pub op: BinaryOp,
    /// Left side.
    pub left: Expr,
    /// Right side.
    pub right: Expr,
    /// `bool`: a comparison gives 0 or 1 instead of filtering.
    pub return_bool: bool,
    /// How series of two vectors are paired; `None` unless both sides are vectors.
    pub matching: Option<Matching>,
}

/// Which series of two vectors belong together.
#[derive(Clone, Debug)]
pub struct Matching {
    /// How many of each side may share a signature.
    pub cardinality: Cardinality,
    /// Whether `on` was written (`labels` are those compared) or `ignoring`/nothing (`labels` are left out).
    pub on: bool,
    /// The labels of `on` or `ignoring`.
    pub labels: Vec<Arc<str>>,
    /// The labels of `group_left (…)` or `group_right (…)`, taken from the "one" side.
    pub include: Vec<Arc<str>>,
    /// `fill` / `fill_left`: the value of a missing left side.
    pub fill_left: Option<f64>,
    /// `fill` / `fill_right`: the value of a missing right side.
    pub fill_right: Option<f64>,
    /// Whether `fill` set both of these; only for printing.
    pub fill_both: bool,
}

impl PartialEq for Matching {
    fn eq(&self, other: &Self) -> bool {
        let fill = |a: Option<f64>, b: Option<f64>| match (a, b) {
            (Some(a), Some(b)) => same_number(a, b),
            (a, b) => a == b,
        };
        self.cardinality == other.cardinality
            && (self.on, &self.labels, &self.include) == (other.on, &other.labels, &other.include)
            && self.fill_both == other.fill_both
            && fill(self.fill_left, other.fill_left)
            && fill(self.fill_right, other.fill_right)
    }
}

/// How many series of either side may share a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cardinality {
    /// One of each.
    OneToOne,
    /// Many left for one right: `group_left`.
    ManyToOne,
    /// One left for many right: `group_right`.
    OneToMany,
    /// The set operators.
    ManyToMany,
}

/// Aggregation operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // each is its name
pub enum AggregateOp {
    Sum,
    Avg,
    Count,
    Min,
    Max,
    Group,
    Stddev,
    Stdvar,
    Topk,
    Bottomk,
    Quantile,
    CountValues,
    Limitk,
    LimitRatio,
}

impl AggregateOp {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Sum,
        Self::Avg,
        Self::Count,
        Self::Min,
        Self::Max,
        Self::Group,
        Self::Stddev,
        Self::Stdvar,
        Self::Topk,
        Self::Bottomk,
        Self::Quantile,
        Self::CountValues,
        Self::Limitk,
        Self::LimitRatio,
    ];

    /// How it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Count => "count",
            Self::Min => "min",
            Self::Max => "max",
            Self::Group => "group",
            Self::Stddev => "stddev",
            Self::Stdvar => "stdvar",
            Self::Topk => "topk",
            Self::Bottomk => "bottomk",
            Self::Quantile => "quantile",
            Self::CountValues => "count_values",
            Self::Limitk => "limitk",
            Self::LimitRatio => "limit_ratio",
        }
    }

    /// Whether Prometheus has it behind a feature flag.
    pub fn is_experimental(self) -> bool {
        matches!(self, Self::Limitk | Self::LimitRatio)
    }

    /// The type of its first argument where it takes two.
    pub fn param(self) -> Option<ValueType> {
        match self {
            Self::Topk | Self::Bottomk | Self::Quantile | Self::Limitk | Self::LimitRatio => Some(ValueType::Scalar),
            Self::CountValues => Some(ValueType::String),
            _ => None,
        }
    }
}

/// An aggregation.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// The operator.
    pub op: AggregateOp,
    /// The vector.
    pub expr: Expr,
    /// The first argument of `topk`, `quantile` and their like.
    pub param: Option<Expr>,
    /// Whether `without` was written.
    pub without: bool,
    /// The labels of `by` or `without`.
    pub grouping: Vec<Arc<str>>,
}

/// A function call.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The function's row.
    pub function: &'static Function,
    /// Its arguments, as many and of such types as the row allows.
    pub args: Vec<Expr>,
}
