//! A query's way in: matchers and a time range to series and samples.
//!
//! What a query selects is cut into batches of streams ([`plan`]), which threads may read at the same time; a batch is
//! walked stream by stream, and each block is decoded once for all fields that were asked for ([`walk`]).

mod collisions;
mod columns;
mod left_out;
mod part_cursor;
mod plan;
mod reads;
mod view;
mod walk;

use std::sync::Arc;

pub use reads::Reads;
pub use view::View;

use crate::model::{Labels, Matcher, TimeRange};

/// Why data could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller's deadline passed or its client went away.
    #[error("query canceled")]
    Canceled,
    /// Samples could not be read. Of files that are damaged, what can be read is, and the rest is told.
    #[error("read stored samples")]
    Storage(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A series and its samples inside the asked range: times ascending and unique, as many values. Stale markers
/// (NaN with the bits 0x7ff0000000000002) are there as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The label set, `__name__` included.
    pub labels: Labels,
    /// Unix nanoseconds, ascending. Series of a batch that have the same times mostly have the same array.
    pub times: Arc<[i64]>,
    /// One value per time.
    pub values: Vec<f64>,
    /// Since when each sample counts, in Unix nanoseconds; 0 for a sample that does not say. Empty where none does, else
    /// one per time.
    pub starts: Vec<i64>,
}

/// Series that one thread reads, each label set once among all batches of a selection.
pub type Batch<'a> = Box<dyn Iterator<Item = Result<Series, Error>> + Send + 'a>;

/// Where series come from: one consistent view of the data.
pub trait Source: Sync {
    /// The series that pass all `matchers` and have a sample in `range`, in batches worth a thread's while, of about
    /// `series_max` series at most. The same data gives the same batches.
    fn batches<'a>(
        &'a self,
        matchers: &'a [Matcher],
        range: TimeRange,
        series_max: usize,
    ) -> Result<Vec<Batch<'a>>, Error>;

    /// All batches, one after the other.
    fn select<'a>(&'a self, matchers: &'a [Matcher], range: TimeRange) -> Result<Batch<'a>, Error> {
        Ok(Box::new(self.batches(matchers, range, usize::MAX)?.into_iter().flatten()))
    }

    /// What the answers so far had to leave out because it is damaged, a sentence each.
    fn left_out(&self) -> Vec<String> {
        Vec::new()
    }
}
