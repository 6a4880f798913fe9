//! Which streams, with which fields, have parts on which days.

use std::collections::{BTreeMap, HashMap};

use parking_lot::RwLock;
use roaring::RoaringBitmap;

use super::flushing::NewFields;
use crate::model::{Day, FieldId, StreamId, TimeRange};

/// Streams by day and field. What a day's index parts say, in memory.
#[derive(Default)]
pub struct Days(RwLock<BTreeMap<Day, OnDay>>);

/// What is known of a day.
#[derive(Default)]
struct OnDay {
    /// The streams of all fields: mostly the same in each of them, and the union of dozens of fields is not made anew for
    /// every question.
    all: RoaringBitmap,
    by_field: HashMap<FieldId, RoaringBitmap>,
}

impl Days {
    /// Notes that a stream has a field on a day.
    pub(crate) fn note(&self, day: Day, stream: StreamId, field: FieldId) {
        let mut days = self.0.write();
        let on_day = days.entry(day).or_default();
        on_day.all.insert(stream.0);
        on_day.by_field.entry(field).or_default().insert(stream.0);
    }

    /// Whether it is known that a stream has a field on a day.
    pub(crate) fn knows(&self, day: Day, stream: StreamId, field: FieldId) -> bool {
        let days = self.0.read();
        days.get(&day).and_then(|on_day| on_day.by_field.get(&field)).is_some_and(|streams| streams.contains(stream.0))
    }

    /// Adds what is known of a day.
    pub(super) fn add_fields(&self, day: Day, fields: &mut NewFields) {
        for (field, streams) in self.0.read().get(&day).into_iter().flat_map(|on_day| &on_day.by_field) {
            for stream in streams {
                fields.entry(StreamId(stream)).or_default().insert(*field);
            }
        }
    }

    /// The first day that is known.
    pub(crate) fn first(&self) -> Option<Day> {
        self.0.read().keys().next().copied()
    }

    /// Forgets a day.
    pub(crate) fn forget(&self, day: Day) {
        self.0.write().remove(&day);
    }

    /// The days that `range` touches and that have streams, the latest first.
    pub fn in_range(&self, range: TimeRange) -> Vec<Day> {
        if range.start >= range.end {
            return Vec::new();
        }
        let days = self.0.read();
        days.range(Day::of(range.start)..=Day::of(range.end - 1)).rev().map(|(day, _)| *day).collect()
    }

    /// The streams that have parts on a day.
    pub fn streams(&self, day: Day) -> RoaringBitmap {
        self.0.read().get(&day).map(|on_day| on_day.all.clone()).unwrap_or_default()
    }
}
