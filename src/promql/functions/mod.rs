//! The functions of PromQL: one row each, read by the parser's type check and by the evaluator alike.

use crate::promql::ast::ValueType;

/// A function's row.
#[derive(Debug)]
pub struct Function {
    /// Its name in queries.
    pub name: &'static str,
    /// The types of its arguments.
    pub args: &'static [ValueType],
    /// How many of the last arguments may be left out; `VARIADIC` lets the last one repeat any number of times, or none.
    pub optional: usize,
    /// The type of its result.
    pub returns: ValueType,
    /// Whether Prometheus has it behind a feature flag.
    pub experimental: bool,
    /// One line for people.
    pub help: &'static str,
}

/// `Function::optional` of a function whose last argument may repeat.
pub const VARIADIC: usize = usize::MAX;
