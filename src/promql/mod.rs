//! Text to plan to values: PromQL.
//!
//! [`parse`] turns a text into a checked tree ([`ast`]), `Display` turns a tree into its canonical text, and
//! [`pretty()`] into an indented one. [`instant`] and [`range`] evaluate a tree over a [`Source`](crate::select::Source).
//! The language is that of Prometheus 3.14 with all its experimental parts, which [`Features`] enables one by one.
//!
//! Always: a tree that `parse` returns is well typed, at most [`HEIGHT_MAX`] nodes high (so that recursion over it is
//! safe on a thread's usual stack), and `parse(&tree.to_string())` gives an equal tree.
//! Not here: which samples there are, which is `select`.

mod annotations;
pub mod ast;
mod check;
mod duration;
mod error;
mod eval;
mod features;
mod format;
pub mod functions;
mod kahan;
mod lexer;
mod parser;
mod pretty;
mod printer;
mod quantile;
mod value;
mod walk;

#[cfg(test)]
mod tests;

pub use annotations::{Annotation, Severity};
pub use error::ParseError;
pub use eval::{Answer, Error, Guard, Interrupt, Meter, Options, Pool, Stats, Stop, Threads, Watch, instant, range};
pub use features::{Features, UnknownFeature};
pub use lexer::{is_utf8, quote};
pub use parser::{HEIGHT_MAX, QUERY_BYTES_MAX, parse, parse_selector, parse_with};
pub use pretty::pretty;
pub use value::{Buckets, Histogram, MatrixSeries, ResetHint, STALE_MARKER, Sample, Value, VectorSample};
