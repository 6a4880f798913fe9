//! The nouns everything else speaks in: ids, times, labels, matchers, stream keys and batches.
//!
//! No files, no threads, no clock. Every type here is plain data with the rules that keep it valid.

mod allowance;
mod append;
mod batch;
mod count;
mod ids;
mod key;
mod labels;
mod matcher;
mod pattern;
mod position;
mod samples;
mod sort;
mod time;
pub mod turns;
mod words;

#[cfg(test)]
mod tests;

pub use allowance::{Allowance, Holding, Stopped, Unlimited};
pub use append::AppendTable;
pub use batch::{Batch, Rows};
pub use count::counted;
pub use ids::{FieldId, LayoutId, PartId, SeqNo, Slot, StreamId, TableId};
pub use key::{KeyError, StreamKey};
pub use labels::{Labels, LabelsBuilder, METRIC_NAME, metric_name};
pub use matcher::{MatchOp, Matcher};
pub use pattern::{PatternError, anchored_regex};
pub use position::{Position, PositionError};
pub use samples::{START_FIELD, Samples, start_bits, start_of_bits};
pub use sort::{sort_by, sort_copies_by};
pub use time::{Day, NANOS_PER_DAY, NANOS_PER_MILLI, NANOS_PER_SECOND, TimeRange};
