//! The parts that count now.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use arc_swap::ArcSwap;

use crate::{
    model::{Day, PartId, SeqNo, TimeRange},
    parts::Part,
};

/// A part image that queries read.
pub struct StoredPart {
    /// The image.
    pub part: Arc<Part>,
    /// The day its rows are of.
    pub day: Day,
    /// The sequence numbers it may hold.
    pub numbers: (SeqNo, SeqNo),
    /// Its file, where it is a part of its own; `None` for a page of a container that an earlier incarnation left.
    pub file: Option<(PartId, PathBuf)>,
}

/// All part images, by day; those of a day in sequence order, so that of two equal samples the later one wins.
#[derive(Clone, Default)]
pub struct PartSet {
    days: BTreeMap<Day, Vec<Arc<StoredPart>>>,
}

impl PartSet {
    /// All images.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<StoredPart>> {
        self.days.values().flatten()
    }

    /// The days, each with its images in sequence order.
    pub fn days(&self) -> impl Iterator<Item = (Day, &[Arc<StoredPart>])> {
        self.days.iter().map(|(day, parts)| (*day, &**parts))
    }

    /// The images that may hold rows in a range, by day and then in sequence order.
    pub fn in_range(&self, range: TimeRange) -> impl Iterator<Item = &Arc<StoredPart>> {
        let empty = range.start >= range.end;
        let (first, last) = (Day::of(range.start), Day::of(range.end.saturating_sub(1)));
        let days = (!empty).then(|| self.days.range(first..=last.max(first)));
        days.into_iter().flatten().flat_map(|(_, parts)| parts).filter(move |stored| {
            let summary = stored.part.summary();
            range.overlaps(summary.min_time, summary.max_time)
        })
    }

    fn add(&mut self, part: Arc<StoredPart>) {
        let parts = self.days.entry(part.day).or_default();
        let place = parts.partition_point(|other| other.numbers <= part.numbers);
        parts.insert(place, part);
    }

    fn remove(&mut self, part: &Arc<StoredPart>) {
        if let Some(parts) = self.days.get_mut(&part.day) {
            parts.retain(|other| !Arc::ptr_eq(other, part));
            if parts.is_empty() {
                self.days.remove(&part.day);
            }
        }
    }
}

/// The set, swapped as a whole: a query keeps the one it began with.
#[derive(Default)]
pub(crate) struct Parts(ArcSwap<PartSet>);

impl Parts {
    pub(crate) fn load(&self) -> Arc<PartSet> {
        self.0.load_full()
    }

    /// Adds and removes at once.
    pub(crate) fn change(&self, add: &[Arc<StoredPart>], remove: &[Arc<StoredPart>]) {
        self.0.rcu(|set| {
            let mut set = PartSet::clone(set);
            remove.iter().for_each(|part| set.remove(part));
            add.iter().for_each(|part| set.add(Arc::clone(part)));
            set
        });
    }
}
