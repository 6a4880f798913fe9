//! Text to plan to values: PromQL.
//!
//! [`parse`] turns a text into a checked tree ([`ast`]), `Display` turns a tree into its canonical text, and
//! [`pretty()`] into an indented one. The language is that of Prometheus 3.14 with all its experimental parts.
//!
//! Always: a tree that `parse` returns is well typed, at most [`HEIGHT_MAX`] nodes high (so that recursion over it is
//! safe on a thread's usual stack), and `parse(&tree.to_string())` gives an equal tree.
//! Not here: access to samples, which is `select`.

pub mod ast;
mod check;
mod error;
pub mod functions;
mod lexer;
mod parser;
mod pretty;
mod printer;

#[cfg(test)]
mod tests;

pub use error::ParseError;
pub use lexer::{is_utf8, quote};
pub use parser::{HEIGHT_MAX, QUERY_BYTES_MAX, parse, parse_selector};
pub use pretty::pretty;
