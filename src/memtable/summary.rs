//! What a generation holds, in numbers.

use std::collections::BTreeMap;

use crate::model::{Day, Rows, SeqNo};

/// What a generation holds. Moves once per batch, behind the batch's rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The greatest sequence number inserted; 0 before the first batch.
    pub last: SeqNo,
    /// Rows, duplicates included.
    pub rows: u64,
    /// Values, duplicates included.
    pub samples: u64,
    /// Values per UTC day: the partitions a flush will touch.
    pub days: BTreeMap<Day, u64>,
    /// The smallest and greatest timestamp; `None` before the first row.
    pub times: Option<(i64, i64)>,
}

impl Summary {
    pub(super) fn add(&mut self, rows: &Rows) {
        let (Some(&first), Some(&last)) = (rows.times.iter().min(), rows.times.iter().max()) else {
            return;
        };
        self.rows += rows.len() as u64;
        self.samples += rows.values.len() as u64;
        self.times = Some(self.times.map_or((first, last), |(min, max)| (min.min(first), max.max(last))));
        if Day::of(first) == Day::of(last) {
            *self.days.entry(Day::of(first)).or_default() += rows.values.len() as u64;
            return;
        }
        for same_day in rows.times.chunk_by(|a, b| Day::of(*a) == Day::of(*b)) {
            *self.days.entry(Day::of(same_day[0])).or_default() += (same_day.len() * rows.width) as u64;
        }
    }
}
