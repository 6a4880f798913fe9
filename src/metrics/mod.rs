//! Every number Plimsoll tells about itself: one table, made once, handed down.
//!
//! A row of `metrics!` below is a metric: its doc comment is its help text, its right side says kind and name. A layer
//! gets the [`Metrics`] in an `Arc` and records at its boundary, in one line: `metrics.flushes.inc()`,
//! `metrics.fsync_duration[FileKind::Wal].observe(seconds)`. Where the label's values are a closed set, the children
//! are resolved when the table is made ([`By`]), so a hot path does no look-up.
//!
//! Always: names start with `plimsoll_`, end in their unit, counters in `_total`; base units (seconds, bytes).
//! Not here: who serves them (`http`), what is drawn from them (`dashboards/`).

mod by;
mod table;

#[cfg(test)]
mod tests;

pub use by::{AckLevel, By, Directory, Failure, FileKind, Label, QueryRejection, QueryResult, Rejection};
pub use table::{Metrics, Row};

/// What every name starts with.
pub const PREFIX: &str = "plimsoll_";
