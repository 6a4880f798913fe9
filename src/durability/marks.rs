//! The watermarks and what lies above each: the loss window, measured.

use std::{collections::VecDeque, time::Duration};

use crate::{
    metrics::{AckLevel, Failure},
    model::SeqNo,
};

/// Every batch up to each of these numbers …
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watermarks {
    /// … is seen by queries.
    pub visible: SeqNo,
    /// … survives the end of the process.
    pub process_safe: SeqNo,
    /// … survives a power cut.
    pub power_safe: SeqNo,
}

impl Watermarks {
    /// The watermark a level waits for.
    pub fn of(&self, level: AckLevel) -> SeqNo {
        match level {
            AckLevel::Memory => self.visible,
            AckLevel::Os => self.process_safe,
            AckLevel::Disk => self.power_safe,
        }
    }
}

/// The level that survives a failure.
pub fn survives(failure: Failure) -> AckLevel {
    match failure {
        Failure::Process => AckLevel::Os,
        Failure::Power => AckLevel::Disk,
    }
}

/// What a crash would take now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AtRisk {
    /// Batches.
    pub batches: u64,
    /// Samples.
    pub samples: u64,
    /// Bytes, as the memtable counts them.
    pub bytes: u64,
    /// How long ago the oldest of them was acknowledged.
    pub age: Duration,
}

/// Batches that were acknowledged together.
#[derive(Clone, Copy, Debug)]
struct Group {
    last: SeqNo,
    /// Of this group alone.
    batches: u64,
    samples: u64,
    bytes: u64,
    at: Duration,
}

/// The groups above one watermark, oldest first.
///
/// Bounded: beyond [`GROUPS_MAX`] the two newest are counted as one, as old as the older, so age never reads too low.
#[derive(Debug, Default)]
pub(crate) struct Exposure {
    groups: VecDeque<Group>,
    total: AtRisk,
}

/// 64 KiB of groups; at one group a millisecond, exact over the last second.
const GROUPS_MAX: usize = 1_024;

impl Exposure {
    /// `batches` up to `last` were acknowledged at `at`.
    pub(crate) fn add(&mut self, last: SeqNo, batches: u64, samples: u64, bytes: u64, at: Duration) {
        if batches == 0 {
            return;
        }
        self.total.batches += batches;
        self.total.samples += samples;
        self.total.bytes += bytes;
        let is_full = self.groups.len() >= GROUPS_MAX;
        match self.groups.back_mut() {
            Some(group) if is_full => {
                group.last = group.last.max(last);
                group.batches += batches;
                group.samples += samples;
                group.bytes += bytes;
            }
            _ => {
                let place = self.groups.partition_point(|group| group.last <= last);
                self.groups.insert(place, Group { last, batches, samples, bytes, at });
            }
        }
    }

    /// Every batch up to `mark` is safe now; tells `(how long, samples)` for each group that became so.
    pub(crate) fn release(&mut self, mark: SeqNo, now: Duration, mut safe: impl FnMut(Duration, u64)) {
        while let Some(group) = self.groups.pop_front_if(|group| group.last <= mark) {
            self.total.batches -= group.batches;
            self.total.samples -= group.samples;
            self.total.bytes -= group.bytes;
            safe(now.saturating_sub(group.at), group.samples);
        }
    }

    /// What lies above the watermark.
    pub(crate) fn at_risk(&self, now: Duration) -> AtRisk {
        let age = self.groups.front().map_or(Duration::ZERO, |group| now.saturating_sub(group.at));
        AtRisk { age, ..self.total }
    }
}
