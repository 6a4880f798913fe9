//! The controller of the adaptive modes: what the log does next, from what syncs took and how many batches come.
//!
//! [`choose`] is pure; [`Controller`] keeps what it looks at. A batch waits at worst for the sync that runs and for its
//! own, so twice the slowest of the last hundred syncs is what an answer at `disk` costs.

use std::{collections::VecDeque, time::Duration};

use crate::{
    durability::{Asked, Mode, Policy, Target, Unasked, mode::RELAXED_MAX},
    metrics::AckLevel,
};

/// Syncs it looks back on: at 100 µs each, the last 13 ms; on a slow disk, seconds.
const SYNCS: usize = 128;
/// How often it decides anew: often enough for a disk that stalls, too seldom to flap.
const INTERVAL: Duration = Duration::from_millis(100);
/// A sync that took longer than this ago says nothing about the disk of now.
const MEMORY: Duration = Duration::from_secs(60);

/// What a choice is made from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Observed {
    /// Nearly the longest of the recent syncs: 99 of 100 took no longer.
    pub(crate) slow: Duration,
    /// The median sync.
    pub(crate) usual: Duration,
    /// Batches a second.
    pub(crate) arrivals: f64,
}

/// The policy that holds a target best.
pub(crate) fn choose(target: Target, observed: &Observed, current: &Policy) -> Policy {
    match target {
        Target::P99Ack(limit) => within_ack(limit, observed, current),
        Target::MaxLoss(max) => within_loss(max, observed),
    }
}

/// Synced before the answer where that is fast enough; else written, and synced as often as the disk can bear.
fn within_ack(limit: Duration, observed: &Observed, current: &Policy) -> Policy {
    // Where a sync runs in one of a hundred moments at most, 99 of 100 batches find none to wait for but their own.
    let is_busy = observed.arrivals * observed.usual.as_secs_f64() > 0.01;
    let worst = if is_busy { 2 * observed.slow } else { observed.slow };
    // Back to the stronger promise only where there is room to spare, so that it does not change all the time.
    let bound = if current.ack == AckLevel::Disk { limit } else { limit * 4 / 5 };
    if worst > bound {
        let window = (10 * observed.usual).clamp(Duration::from_millis(100), RELAXED_MAX);
        return Mode::WalInterval(window).policy();
    }
    // Never a window before the sync: groups form by themselves while the one before runs, and with 64 connections a
    // window of 2 ms left 24,000 of 63,000 requests a second.
    Mode::WalSync.policy()
}

/// Synced so early that the window, the sync that runs and the own one fit; where they cannot, synced before the answer.
fn within_loss(max: Duration, observed: &Observed) -> Policy {
    let room = max.saturating_sub(2 * observed.slow);
    let base = if room < max / 4 {
        Mode::WalSync.policy()
    } else {
        Policy { synced: Unasked::After((room / 2).min(max / 4)), ..Mode::WalInterval(max).policy() }
    };
    Policy { loss_max: Some(max), asked: Asked::AtOnce, ..base }
}

/// Remembers the last syncs and counts batches.
#[derive(Default)]
pub(crate) struct Controller {
    /// When each ended, and how long it took.
    syncs: VecDeque<(Duration, Duration)>,
    decided: Option<(Duration, u64)>,
}

impl Controller {
    /// A sync ended at `now`.
    pub(crate) fn note(&mut self, took: Duration, now: Duration) {
        if self.syncs.len() == SYNCS {
            self.syncs.pop_front();
        }
        self.syncs.push_back((now, took));
    }

    /// What to do from now on; `batches` is how many came since the start.
    pub(crate) fn choose(&mut self, target: Target, current: &Policy, batches: u64, now: Duration) -> Policy {
        let (since, before) = *self.decided.get_or_insert((now, batches));
        if now < since + INTERVAL {
            return *current;
        }
        self.decided = Some((now, batches));
        let arrivals = (batches - before) as f64 / (now - since).as_secs_f64();
        self.syncs.retain(|(ended, _)| *ended + MEMORY >= now);
        let mut took: Vec<Duration> = self.syncs.iter().map(|(_, took)| *took).collect();
        took.sort_unstable();
        let Some(longest) = took.len().checked_sub(1) else { return *current };
        let observed = Observed { slow: took[longest * 99 / 100], usual: took[longest / 2], arrivals };
        choose(target, &observed, current)
    }
}
