//! A query's way in: matchers and a time range to series and samples.
//!
//! What a query selects is cut into batches of streams ([`plan`]), which threads may read at the same time; a batch is
//! walked stream by stream, and each block is decoded once for all fields that were asked for ([`walk`]).

mod collisions;
mod columns;
mod digests;
mod left_out;
mod part_cursor;
mod plan;
mod reads;
mod view;
mod walk;

use std::sync::Arc;

pub use reads::Reads;
pub use view::View;

use crate::{
    model::{Allowance, Labels, Matcher, Stopped, TimeRange, Unlimited},
    parts::Aggregates,
};

/// Why data could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller's [`Allowance`] said so.
    #[error("stopped")]
    Stopped,
    /// Samples could not be read. Of files that are damaged, what can be read is, and the rest is told.
    #[error("read stored samples")]
    Storage(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<Stopped> for Error {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

/// A series and its samples inside the asked range: times ascending and unique, as many values. Stale markers
/// (NaN with the bits 0x7ff0000000000002) are there as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The label set, `__name__` included.
    pub labels: Labels,
    /// Unix nanoseconds, ascending. Series of a batch that have the same times mostly have the same array.
    pub times: Arc<Vec<i64>>,
    /// One value per time.
    pub values: Vec<f64>,
    /// Since when each sample counts, in Unix nanoseconds; 0 for a sample that does not say. Empty where none does, else
    /// one per time.
    pub starts: Vec<i64>,
    /// Stretches of samples that are told as a whole, ascending; none of the samples above lies in one.
    pub digests: Vec<Digest>,
}

impl Series {
    /// A series of samples without start timestamps, all told one by one.
    pub fn new(labels: Labels, times: impl Into<Vec<i64>>, values: Vec<f64>) -> Self {
        Self { labels, times: Arc::new(times.into()), values, starts: Vec::new(), digests: Vec::new() }
    }

    /// Bytes it takes in memory, as if its times were its own.
    pub fn size(&self) -> usize {
        let columns = self.times.capacity() + self.values.capacity() + self.starts.capacity();
        size_of::<Self>()
            + self.labels.size()
            + columns * size_of::<i64>()
            + self.digests.capacity() * size_of::<Digest>()
    }
}

/// Samples of one stretch of time that the caller need not see one by one. No stale marker is among them, nor any NaN.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Digest {
    /// The time of the first one, in Unix nanoseconds.
    pub first_time: i64,
    /// The time of the last one.
    pub last_time: i64,
    /// What they come to.
    pub of: Aggregates,
}

/// What a query asks of a source.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Which series: those that pass all of them.
    pub matchers: &'a [Matcher],
    /// Which of their samples.
    pub range: TimeRange,
    /// About how many series a batch has at most.
    pub series_max: usize,
    /// Whether samples from a first to a last time may be told as a [`Digest`]; those outside the range among them.
    /// `None` for never.
    pub digestible: Option<&'a dyn Fn(i64, i64) -> bool>,
    /// Asked for each block whether to go on, and told what the batches hold beside the series that they handed on.
    pub allowance: &'a dyn Allowance,
}

/// Series that one thread reads, each label set once among all batches of a selection.
pub type Batch<'a> = Box<dyn Iterator<Item = Result<Series, Error>> + Send + 'a>;

/// Where series come from: one consistent view of the data.
pub trait Source: Sync {
    /// The series that are asked for, in batches worth a thread's while. The same data gives the same batches.
    fn batches<'a>(&'a self, request: &Request<'a>) -> Result<Vec<Batch<'a>>, Error>;

    /// All batches, one after the other.
    fn select<'a>(&'a self, matchers: &'a [Matcher], range: TimeRange) -> Result<Batch<'a>, Error> {
        let request = Request { matchers, range, series_max: usize::MAX, digestible: None, allowance: &Unlimited };
        Ok(Box::new(self.batches(&request)?.into_iter().flatten()))
    }

    /// What the answers so far had to leave out because it is damaged, a sentence each.
    fn left_out(&self) -> Vec<String> {
        Vec::new()
    }
}
