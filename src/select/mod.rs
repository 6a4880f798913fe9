//! A query's way in: matchers and a time range to series and samples.

mod part_cursor;
mod reads;
mod view;

pub use reads::Reads;
pub use view::View;

use crate::model::{Labels, Matcher, TimeRange};

/// Why data could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller's deadline passed or its client went away.
    #[error("query canceled")]
    Canceled,
    /// A file could not be read.
    #[error("read stored samples")]
    Storage(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A series and its samples inside the asked range: times ascending and unique, as many values. Stale markers
/// (NaN with the bits 0x7ff0000000000002) are there as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The label set, `__name__` included.
    pub labels: Labels,
    /// Unix nanoseconds, ascending.
    pub times: Vec<i64>,
    /// One value per time.
    pub values: Vec<f64>,
    /// Since when each sample counts, in Unix nanoseconds; 0 for a sample that does not say. Empty where none does, else
    /// one per time.
    pub starts: Vec<i64>,
}

/// Where series come from: one consistent view of the data.
pub trait Source: Sync {
    /// The series that pass all `matchers` and have a sample in `range`, in any order, each label set once.
    fn select<'a>(
        &'a self,
        matchers: &'a [Matcher],
        range: TimeRange,
    ) -> Result<Box<dyn Iterator<Item = Result<Series, Error>> + 'a>, Error>;
}
