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

impl Group {
    /// Counts another, younger one with this.
    fn join(&mut self, other: &Self) {
        self.last = self.last.max(other.last);
        self.batches += other.batches;
        self.samples += other.samples;
        self.bytes += other.bytes;
    }
}

/// The groups above one watermark, oldest first.
///
/// A batch is a group of its own while there are few, so that the count is exact. Bounded: from [`GROUPS_EXACT`] on what
/// is answered together is one group, which counts until all of it is safe; beyond [`GROUPS_MAX`] the two newest are
/// counted as one, as old as the older. So neither count nor age ever reads too low.
#[derive(Debug, Default)]
pub(crate) struct Exposure {
    groups: VecDeque<Group>,
    total: AtRisk,
}

const GROUPS_EXACT: usize = 2_048;
/// 160 KiB of groups; at one group a millisecond, exact over the last four seconds.
const GROUPS_MAX: usize = 4_096;

impl Exposure {
    /// Batches (number, samples, bytes) were acknowledged together at `at`.
    pub(crate) fn add(&mut self, batches: impl Iterator<Item = (SeqNo, u64, u64)>, at: Duration) {
        let mut together: Option<Group> = None;
        for (last, samples, bytes) in batches {
            let group = Group { last, batches: 1, samples, bytes, at };
            match &mut together {
                Some(others) if self.groups.len() >= GROUPS_EXACT => others.join(&group),
                _ => {
                    together.replace(group).into_iter().for_each(|group| self.push(group));
                }
            }
        }
        together.into_iter().for_each(|group| self.push(group));
    }

    fn push(&mut self, group: Group) {
        self.total.batches += group.batches;
        self.total.samples += group.samples;
        self.total.bytes += group.bytes;
        let is_full = self.groups.len() >= GROUPS_MAX;
        match self.groups.back_mut() {
            Some(newest) if is_full => newest.join(&group),
            _ => {
                let place = self.groups.partition_point(|other| other.last <= group.last);
                self.groups.insert(place, group);
            }
        }
    }

    /// A batch that was added just now was not acknowledged after all.
    pub(crate) fn retract(&mut self, number: SeqNo, samples: u64, bytes: u64) {
        let place = self.groups.partition_point(|group| group.last < number);
        let Some(group) = self.groups.get_mut(place) else { return };
        for (batches, all_samples, all_bytes) in [
            (&mut group.batches, &mut group.samples, &mut group.bytes),
            (&mut self.total.batches, &mut self.total.samples, &mut self.total.bytes),
        ] {
            *batches -= 1;
            *all_samples -= samples;
            *all_bytes -= bytes;
        }
        if group.batches == 0 {
            self.groups.remove(place);
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
