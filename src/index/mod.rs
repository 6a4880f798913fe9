//! Names and labels: which tables, fields and layouts there are, and which streams match a query.
//!
//! ```text
//! Schema    table names, field names, layouts <-> numbers of this process; only grows, numbers are read without locks
//! Streams   stream id <-> key; label pair -> streams; per table its streams, and those that ever had each layout
//! select    matchers -> tables, fields and streams
//! part      index parts: stream id -> key in immutable files
//! ```
//!
//! What is selected is pairs of a field and a stream, since that is a series. Matchers on the metric name say nothing
//! about a stream alone (`{__name__!="cpu_usage_user",host="a"}` keeps `cpu_usage_idle` of the same stream), so they
//! are evaluated on the fields of the tables, and the others on the streams.
//!
//! Always: what a selection names exists: each of its streams was seen with each of its fields. A tag called
//! `__name__` is no label; the metric name takes its place.
//!
//! Locks: [`Streams`] has one. A writer holds it for one stream, 1–3 µs, and its hash tables grow in 64 pieces so
//! that the unlucky one waits for a 64th. A reader that walks much lets writers pass every 1,024 values or streams,
//! and still answers as of its beginning: the streams that were there then are the only ones it considers, and what
//! the index says about a stream's labels never changes.

mod keys;
mod part;
mod postings;
mod schema;
mod select;
mod streams;

#[cfg(test)]
mod tests;

pub use keys::KEY_SIZE_MAX;
pub use part::{
    INDEX_VERSION, IndexPart, IndexPartBuilder, IndexPartError, IndexPartName, IndexPartPiece, IndexSummary,
};
pub use schema::{Layout, Schema, SchemaError, SchemaLimits};
pub use select::Selection;
pub use streams::Streams;
