//! The syntax tree: what a query says, with the place of every part in its text.

use std::sync::Arc;

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

/// A node and its place.
#[derive(Clone, Debug)]
pub struct Expr {
    /// What it is.
    pub node: Node,
    /// Where it stands in the query text.
    pub span: Span,
}

/// The kinds of expression.
#[derive(Clone, Debug)]
pub enum Node {
    /// `1`, `0x1f`, `Inf`, `NaN`, `5m` (seconds)
    Number(f64),
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

/// Selects series by name and labels, one sample each per step.
#[derive(Clone, Debug)]
pub struct VectorSelector {
    /// All conditions, the one on `__name__` included.
    pub matchers: Vec<Matcher>,
    /// The metric name where it was written outside the braces; only for printing.
    pub name: Option<Arc<str>>,
    /// `offset` and `@`.
    pub at: TimeShift,
    /// `anchored` or `smoothed`.
    pub extension: Option<RangeExtension>,
}

/// `offset` and `@` of a selector or subquery.
#[derive(Clone, Debug, Default)]
pub struct TimeShift {
    /// How far back to look.
    pub offset: Option<DurationExpr>,
    /// A fixed evaluation time.
    pub at: Option<At>,
}

/// The argument of `@`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum At {
    /// Unix nanoseconds.
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

/// An expression evaluated at steps of its own over a window.
#[derive(Clone, Debug)]
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

/// A duration: a constant, or (experimental) an expression over constants and the query's own times.
#[derive(Clone, Debug, PartialEq)]
pub enum DurationExpr {
    /// Nanoseconds, written as a duration (`5m`) .
    Literal(i64),
    /// Seconds, written as a number.
    Number(f64),
    /// `step()`: the query's step; 0 for instant queries.
    Step,
    /// `range()`: end minus start of the query.
    Range,
    /// `-d`
    Negate(Box<DurationExpr>),
    /// `(d)`
    Paren(Box<DurationExpr>),
    /// `a + b` and the other arithmetic operators.
    Binary {
        /// One of `+ - * / % ^`.
        op: BinaryOp,
        /// Left side.
        left: Box<DurationExpr>,
        /// Right side.
        right: Box<DurationExpr>,
    },
    /// `min_of(a, b)`
    MinOf(Box<DurationExpr>, Box<DurationExpr>),
    /// `max_of(a, b)`
    MaxOf(Box<DurationExpr>, Box<DurationExpr>),
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

/// Two expressions and an operator.
#[derive(Clone, Debug)]
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
#[derive(Clone, Debug, PartialEq)]
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

/// An aggregation.
#[derive(Clone, Debug)]
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
#[derive(Clone, Debug)]
pub struct Call {
    /// The function's row.
    pub function: &'static Function,
    /// Its arguments, as many and of such types as the row allows.
    pub args: Vec<Expr>,
}
