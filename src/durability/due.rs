//! When to write and when to sync: a pure function of the policy and of what is waiting.

use std::time::Duration;

use crate::{
    durability::{AckLevel, Asked, Policy, StageKind, Unasked, mode::GATHERED_SIZE_MAX},
    model::SeqNo,
};

/// What a syncer should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Write what is not written, and sync it, now.
    Sync,
    /// Write what is not written, now.
    Write,
    /// Look after copies of the log that lag behind their twins, now.
    CatchUp,
    /// Look again at this time, unless something changes before.
    At(Duration),
    /// Wait for something to change.
    Idle,
}

/// What decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pending {
    /// The highest number that is staged, or waits in memory for a container's next commit.
    pub(crate) upto: SeqNo,
    /// The number up to which all is written.
    pub(crate) written: SeqNo,
    /// The number up to which all is safe from a power cut.
    pub(crate) safe: SeqNo,
    /// The highest number somebody waits to be written.
    pub(crate) wanted_written: SeqNo,
    /// The highest number somebody waits to be synced.
    pub(crate) wanted_synced: SeqNo,
    /// When the batch came that somebody waits for longest, and the bytes that wait with it.
    pub(crate) waiting: Option<(Duration, u64)>,
    /// When the oldest batch came that is not written.
    pub(crate) unwritten_since: Option<Duration>,
    /// When the oldest batch came that is not synced.
    pub(crate) unsynced_since: Option<Duration>,
    /// When the last write or sync began.
    pub(crate) last: Option<Duration>,
    /// A cap, or a full segment, calls for what the policy does unasked.
    pub(crate) full: bool,
    /// When to look after copies of the log that lag behind their twins, if any do.
    pub(crate) catch_up_at: Option<Duration>,
    /// Everything is to be safe as soon as possible, whatever the policy says.
    pub(crate) forced: bool,
}

impl Pending {
    /// A sync begins: what comes from now on is for the next one.
    pub(crate) fn begin(&mut self, now: Duration, sync: bool) {
        self.waiting = None;
        self.unwritten_since = None;
        self.full = false;
        self.last = Some(now);
        if sync {
            self.unsynced_since = None;
        }
    }

    /// Somebody waits for `number`, with a batch of `size` bytes.
    pub(crate) fn ask(&mut self, number: SeqNo, level: AckLevel, since: Duration, size: u64) {
        match level {
            AckLevel::Memory => return,
            AckLevel::Os => self.wanted_written = self.wanted_written.max(number),
            AckLevel::Disk => self.wanted_synced = self.wanted_synced.max(number),
        }
        let (oldest, waiting) = self.waiting.unwrap_or((since, 0));
        self.waiting = Some((oldest.min(since), waiting + size));
    }
}

/// What is due.
pub(crate) fn due(policy: &Policy, pending: &Pending, now: Duration) -> Due {
    let (sync, write, catch_up) = (sync_at(policy, pending), write_at(policy, pending), pending.catch_up_at);
    let is_due = |at: Option<Duration>| at.is_some_and(|at| at <= now);
    match earliest([sync, write, catch_up]) {
        _ if is_due(sync) => Due::Sync,
        _ if is_due(write) => Due::Write,
        _ if is_due(catch_up) => Due::CatchUp,
        Some(at) => Due::At(at),
        None => Due::Idle,
    }
}

fn sync_at(policy: &Policy, pending: &Pending) -> Option<Duration> {
    if pending.upto <= pending.safe {
        return None;
    }
    if pending.forced {
        return Some(Duration::ZERO);
    }
    let asked = (pending.wanted_synced > pending.safe).then(|| asked_at(policy, pending));
    let full = (pending.full && policy.synced != Unasked::Never).then_some(Duration::ZERO);
    earliest([asked, full, unasked_at(policy.synced, pending.unsynced_since)])
}

/// A log is written by the committer, so there is nothing to write here.
fn write_at(policy: &Policy, pending: &Pending) -> Option<Duration> {
    if policy.stage == StageKind::Log || pending.upto <= pending.written {
        return None;
    }
    let asked = (pending.wanted_written > pending.written).then(|| asked_at(policy, pending));
    let full = pending.full.then_some(Duration::ZERO);
    earliest([asked, full, unasked_at(policy.written, pending.unwritten_since)])
}

fn asked_at(policy: &Policy, pending: &Pending) -> Duration {
    match (policy.asked, pending.waiting) {
        (Asked::AtOnce, _) | (Asked::Gathered(_), None) => Duration::ZERO,
        (Asked::Spaced(distance), _) => pending.last.map_or(Duration::ZERO, |last| last + distance),
        (Asked::Gathered(_), Some((_, size))) if size >= GATHERED_SIZE_MAX => Duration::ZERO,
        (Asked::Gathered(window), Some((since, _))) => since + window,
    }
}

fn unasked_at(unasked: Unasked, since: Option<Duration>) -> Option<Duration> {
    match unasked {
        Unasked::After(window) => since.map(|since| since + window),
        Unasked::Never | Unasked::Full(_) => None,
    }
}

fn earliest(times: [Option<Duration>; 3]) -> Option<Duration> {
    times.into_iter().flatten().min()
}
