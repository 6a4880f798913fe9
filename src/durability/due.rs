//! When to sync: a pure function of the policy and of what is waiting.

use std::time::Duration;

use crate::{durability::When, model::SeqNo};

/// What a syncer should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Sync now.
    Now,
    /// Sync at this time, unless something changes before.
    At(Duration),
    /// Wait for something to change.
    Idle,
}

/// What decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pending {
    /// The highest number that a sync now would make safe.
    pub(crate) upto: SeqNo,
    /// The number up to which all is safe.
    pub(crate) safe: SeqNo,
    /// The highest number somebody waits for.
    pub(crate) wanted: SeqNo,
    /// When the oldest batch behind `safe` was written.
    pub(crate) since: Option<Duration>,
    /// Whether a cap calls for a sync whatever the policy says.
    pub(crate) full: bool,
}

/// Whether a sync is due.
pub(crate) fn due(when: When, pending: Pending, now: Duration) -> Due {
    if pending.upto <= pending.safe {
        return Due::Idle;
    }
    if pending.wanted > pending.safe || pending.full {
        return Due::Now;
    }
    match (when, pending.since) {
        (When::SomebodyWaits, _) | (When::After(_), None) => Due::Idle,
        (When::After(window), Some(since)) if since + window <= now => Due::Now,
        (When::After(window), Some(since)) => Due::At(since + window),
    }
}
