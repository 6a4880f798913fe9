//! Text to plan to values: PromQL.

pub mod ast;
pub mod functions;
