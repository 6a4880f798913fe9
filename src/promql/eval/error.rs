//! Why a query has no answer.

use crate::select;

/// A query that failed while it ran. `Display` is the text the API shows.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request cannot be meant: errorType `bad_data`.
    #[error("{0}")]
    BadData(String),
    /// The data does not allow an answer: errorType `execution`.
    #[error("{0}")]
    Execution(String),
    /// The deadline passed: errorType `timeout`.
    #[error("query timed out in expression evaluation")]
    Timeout,
    /// The client went away, or somebody ended the query: errorType `canceled`.
    #[error("query was canceled in expression evaluation")]
    Canceled,
    /// With the other queries that are running it would take too much: errorType `unavailable`.
    #[error("{0}")]
    Overloaded(String),
    /// Samples could not be read: errorType `internal`.
    #[error("{0}")]
    Storage(#[source] select::Error),
}

impl Error {
    /// The API's `errorType`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::BadData(_) => "bad_data",
            Self::Execution(_) => "execution",
            Self::Timeout => "timeout",
            Self::Canceled => "canceled",
            Self::Overloaded(_) => "unavailable",
            Self::Storage(_) => "internal",
        }
    }

    /// The data does not allow an answer, for this reason.
    pub(crate) fn execution(reason: impl Into<String>) -> Self {
        Self::Execution(reason.into())
    }

    /// Two series of a result would have the same labels at the same time.
    pub(crate) fn duplicate_labels() -> Self {
        Self::execution("vector cannot contain metrics with the same labelset")
    }
}

/// Result of evaluating.
pub(crate) type Result<T> = std::result::Result<T, Error>;
