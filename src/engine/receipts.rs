//! What became of a batch, by the position its writer was told; of earlier starts, too.

use super::{Engine, State};
use crate::model::{Position, SeqNo};

/// The answer to "is it safe?".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// It survives a power cut.
    Safe,
    /// It is here, but a power cut could still take it.
    Pending,
    /// It is gone: a crash took it, a file was damaged, or it was rejected after it had its number. Of a file that cannot be
    /// read, as long as it cannot.
    Lost,
    /// A part that it is in is damaged: some of its rows may be gone, or all, or none.
    Damaged,
    /// No such position has been given out.
    Unknown,
    /// It is too long ago: nothing is remembered of that start.
    Expired,
}

impl Receipt {
    /// One word, as the API has it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Safe => "safe",
            Self::Pending => "pending",
            Self::Lost => "lost",
            Self::Damaged => "damaged",
            Self::Unknown => "unknown",
            Self::Expired => "expired",
        }
    }
}

/// What the start in force knows of its own numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Current {
    pub(crate) incarnation: u32,
    pub(crate) first: SeqNo,
    /// The highest number given out and taken.
    pub(crate) given: SeqNo,
    pub(crate) power_safe: SeqNo,
    /// The number that is asked for was given out and rejected.
    pub(crate) is_rejected: bool,
    /// Something of it is in a file that this start could not read.
    pub(crate) is_unread: bool,
    /// Of a part it may be in something is known to be damaged, or cannot be read.
    pub(crate) is_damaged: bool,
}

impl Current {
    fn receipt(&self, number: SeqNo) -> Receipt {
        match number {
            // It may be above what is in memory, where nothing was inserted since.
            _ if self.is_rejected => Receipt::Lost,
            _ if number < self.first || number > self.given => Receipt::Unknown,
            _ if number <= self.power_safe => Receipt::Safe,
            _ => Receipt::Pending,
        }
    }
}

/// Answers for any position, from what the manifest records and what the start in force knows.
pub(crate) fn receipt(state: &State, current: Current, position: Position) -> Receipt {
    let number = position.number;
    if contains(&state.lost, number) || current.is_unread {
        return Receipt::Lost;
    }
    match whereabouts(state, current, position) {
        Receipt::Safe if current.is_damaged || contains(&state.given_up, number) => Receipt::Damaged,
        receipt => receipt,
    }
}

/// The answer where nothing is damaged.
fn whereabouts(state: &State, current: Current, position: Position) -> Receipt {
    let Position { incarnation, number } = position;
    if incarnation == current.incarnation {
        return current.receipt(number);
    }
    let Some(index) = state.incarnations.iter().position(|start| start.number == incarnation) else {
        let is_old = (1..current.incarnation).contains(&incarnation);
        return if is_old { Receipt::Expired } else { Receipt::Unknown };
    };
    let start = state.incarnations[index];
    // Whatever lies below the next start's numbers may have been given out.
    let next = state.incarnations.get(index + 1).map_or(current.first, |next| next.first);
    match number {
        _ if number < start.first || number >= next => Receipt::Unknown,
        _ if start.end.is_some_and(|end| number <= end) => Receipt::Safe,
        _ => Receipt::Lost,
    }
}

fn contains(ranges: &[(SeqNo, SeqNo)], number: SeqNo) -> bool {
    ranges.iter().any(|(first, last)| (*first..=*last).contains(&number))
}

impl Engine {
    /// What became of a batch.
    pub fn receipt(&self, position: Position) -> Receipt {
        let marks = self.watermarks();
        // First what is not recorded, then what is: a range on its way from one to the other is seen in one of them.
        let current = Current {
            incarnation: self.incarnation,
            first: self.first_number,
            given: self.durability.inserted(),
            power_safe: marks.power_safe,
            is_rejected: contains(self.durability.unrecorded_void().as_slice(), position.number),
            is_unread: contains(&self.unread.numbers, position.number),
            is_damaged: self.is_damaged(position.number),
        };
        receipt(self.manifest.lock().state(), current, position)
    }
}
