//! What edits add up to, and what of it is forgotten in time.

use std::collections::{BTreeMap, BTreeSet};

use super::{Edit, FileEntry, Incarnation};
use crate::{
    engine::{Loss, Span},
    model::{Day, PartId, SeqNo},
};

/// Starts whose positions get receipts: at one a day, of three years.
const STARTS_MAX: usize = 1_000;
/// Ranges of lost numbers that are remembered, so that the manifest stays small whatever a disk does.
const LOST_MAX: usize = 10_000;
/// Ends of starts whose loss is told.
const LOSSES_MAX: usize = 100;

/// What all edits so far add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The last starts, and those before whose numbers are not all in parts. Oldest first.
    pub incarnations: Vec<Incarnation>,
    /// Every batch up to here is in parts.
    pub flushed: SeqNo,
    /// Samples accepted up to `flushed` or the end of the last incarnation, whichever is later.
    pub samples: u64,
    /// Numbers below this may have been given out.
    pub reserved: SeqNo,
    /// Stream ids below this may have been given out.
    pub reserved_streams: u32,
    /// File numbers below this may have been given out.
    pub reserved_files: u64,
    /// The parts that count.
    pub parts: BTreeMap<PartId, FileEntry>,
    /// The index parts that count.
    pub index_parts: BTreeMap<PartId, FileEntry>,
    /// Parts that counted once and whose files may go. Not carried into the next manifest.
    pub removed: BTreeSet<PartId>,
    /// Numbers that do not count though their start got further: rejected, or damaged. Ranges, first and last, in order.
    pub lost: Vec<(SeqNo, SeqNo)>,
    /// Numbers that count, and of which rows are gone with what was damaged of a part. Ranges, first and last, in order and
    /// apart.
    pub given_up: Vec<(SeqNo, SeqNo)>,
    /// What the ends of the last starts took, oldest first.
    pub losses: Vec<Loss>,
    /// Rows of days before this are gone, in batches up to this number; as long as some of those are not in parts.
    pub dropped: Vec<(Day, SeqNo)>,
}

impl State {
    /// The state after one more edit.
    pub fn apply(mut self, edit: &Edit) -> Self {
        for incarnation in &edit.incarnations {
            match self.incarnations.iter_mut().find(|known| known.number == incarnation.number) {
                Some(known) => *known = *incarnation,
                None => self.incarnations.push(*incarnation),
            }
        }
        self.flushed = self.flushed.max(edit.flushed.unwrap_or_default());
        self.samples = edit.samples.unwrap_or(self.samples);
        self.reserved = self.reserved.max(edit.reserved.unwrap_or_default());
        self.reserved_streams = self.reserved_streams.max(edit.reserved_streams.unwrap_or_default());
        self.reserved_files = self.reserved_files.max(edit.reserved_files.unwrap_or_default());
        self.parts.extend(edit.add_parts.iter().map(|part| (part.id, *part)));
        self.index_parts.extend(edit.add_index_parts.iter().map(|part| (part.id, *part)));
        for id in &edit.remove_parts {
            self.parts.remove(id);
            self.index_parts.remove(id);
            self.removed.insert(*id);
        }
        for id in &edit.set_aside_parts {
            self.parts.remove(id);
        }
        self.lost.extend(&edit.lost);
        self.lost.sort_unstable();
        self.lost.dedup();
        self.given_up.extend(&edit.given_up);
        self.given_up = joined(std::mem::take(&mut self.given_up));
        self.losses.extend(&edit.losses);
        for (day, upto) in &edit.dropped {
            // A later horizon stands for all before it, but for one that was higher.
            self.dropped.retain(|(before, _)| before > day);
            self.dropped.push((*day, *upto));
        }
        let flushed = self.flushed;
        self.dropped.retain(|(_, upto)| *upto > flushed);
        self
    }

    /// Forgets what is beyond the bounds of memory: the oldest starts, unless numbers of theirs are not in parts yet, the
    /// oldest losses, and the oldest ranges of lost numbers with the starts they belong to, of which nothing true could be
    /// told any more.
    pub fn forget(&mut self) {
        self.losses.drain(..self.losses.len().saturating_sub(LOSSES_MAX));
        let oldest = |ranges: &mut Vec<(SeqNo, SeqNo)>| {
            let forgotten = ranges.len().saturating_sub(LOST_MAX);
            ranges.drain(..forgotten).next_back().map_or(SeqNo(0), |(_, last)| last.next())
        };
        let told_from = oldest(&mut self.lost).max(oldest(&mut self.given_up));
        let count = self.incarnations.len();
        let mut index = 0;
        self.incarnations.retain(|start| {
            index += 1;
            let is_last = index == count;
            let is_remembered = index + STARTS_MAX > count && start.first >= told_from;
            is_last || is_remembered || start.end.is_none_or(|end| end > self.flushed)
        });
        let first = self.incarnations.first().map_or(SeqNo(0), |start| start.first);
        self.lost.retain(|(_, last)| *last >= first);
        self.given_up.retain(|(_, last)| *last >= first);
    }

    /// One edit that makes this state from nothing.
    pub fn to_edit(&self) -> Edit {
        Edit {
            incarnations: self.incarnations.clone(),
            flushed: Some(self.flushed),
            samples: Some(self.samples),
            reserved: Some(self.reserved),
            reserved_streams: Some(self.reserved_streams),
            reserved_files: Some(self.reserved_files),
            add_parts: self.parts.values().copied().collect(),
            remove_parts: Vec::new(),
            set_aside_parts: Vec::new(),
            add_index_parts: self.index_parts.values().copied().collect(),
            lost: self.lost.clone(),
            given_up: self.given_up.clone(),
            losses: self.losses.clone(),
            dropped: self.dropped.clone(),
            mode: None,
        }
    }

    /// What of a run of batches is left by the end that an earlier start found.
    pub(crate) fn before_end(&self, run: Span) -> Option<Span> {
        let start = self.incarnations.iter().find(|start| start.number == run.incarnation);
        let to = start.and_then(|start| start.end).map_or(run.to, |end| run.to.min(end));
        (run.from <= to).then_some(Span { to, ..run })
    }

    /// A range of numbers as spans, one for each start that has some of them.
    pub(crate) fn spans(&self, from: SeqNo, to: SeqNo) -> impl Iterator<Item = Span> {
        let next = self.incarnations.iter().skip(1).map(|next| SeqNo(next.first.0 - 1));
        let starts = self.incarnations.iter().zip(next.chain([SeqNo(u64::MAX)]));
        let span = move |(start, last): (&Incarnation, SeqNo)| {
            let (from, to) = (from.max(start.first), to.min(last));
            (from <= to).then_some(Span { incarnation: start.number, from, to })
        };
        starts.filter_map(span)
    }

    /// The start in force.
    pub fn incarnation(&self) -> u32 {
        self.incarnations.last().map_or(0, |last| last.number)
    }
}

/// Ranges in order, those that overlap or touch made one.
fn joined(mut ranges: Vec<(SeqNo, SeqNo)>) -> Vec<(SeqNo, SeqNo)> {
    ranges.sort_unstable();
    ranges.dedup_by(|next, before| {
        let is_one = next.0 <= before.1.next();
        before.1 = if is_one { before.1.max(next.1) } else { before.1 };
        is_one
    });
    ranges
}
