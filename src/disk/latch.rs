//! Remembers that a write or sync failed, and refuses those that follow.

use std::{io, sync::OnceLock};

/// Closed by the first failure, for good; one per file handle.
#[derive(Debug, Default)]
pub(super) struct Latch {
    cause: OnceLock<String>,
}

impl Latch {
    /// An error that names the first failure, where there was one.
    pub(super) fn check(&self) -> io::Result<()> {
        match self.cause.get() {
            None => Ok(()),
            Some(cause) => Err(io::Error::other(format!("refused, since an earlier write or sync failed: {cause}"))),
        }
    }

    /// Calls unless closed; closes if the call fails.
    pub(super) fn guard<T>(&self, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.check()?;
        call().inspect_err(|error| {
            self.cause.get_or_init(|| error.to_string());
        })
    }
}
