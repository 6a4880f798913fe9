//! Which streams, with which fields, have parts on which days.

use std::collections::{BTreeMap, HashMap};

use parking_lot::RwLock;
use roaring::RoaringBitmap;

use crate::model::{Day, FieldId, StreamId, TimeRange};

/// Streams by day and field. What a day's index parts say, in memory.
#[derive(Default)]
pub struct Days(RwLock<BTreeMap<Day, HashMap<FieldId, RoaringBitmap>>>);

impl Days {
    /// Notes that a stream has a field on a day.
    pub(crate) fn note(&self, day: Day, stream: StreamId, field: FieldId) {
        self.0.write().entry(day).or_default().entry(field).or_default().insert(stream.0);
    }

    /// Whether it is known that a stream has a field on a day.
    pub(crate) fn knows(&self, day: Day, stream: StreamId, field: FieldId) -> bool {
        let days = self.0.read();
        days.get(&day).and_then(|fields| fields.get(&field)).is_some_and(|streams| streams.contains(stream.0))
    }

    /// The first day that is known.
    pub(crate) fn first(&self) -> Option<Day> {
        self.0.read().keys().next().copied()
    }

    /// Forgets a day.
    pub(crate) fn forget(&self, day: Day) {
        self.0.write().remove(&day);
    }

    /// The streams that have parts on a day that `range` touches.
    pub fn streams_in(&self, range: TimeRange) -> RoaringBitmap {
        let mut streams = RoaringBitmap::new();
        if range.start < range.end {
            let days = self.0.read();
            for fields in days.range(Day::of(range.start)..=Day::of(range.end - 1)).map(|(_, fields)| fields) {
                fields.values().for_each(|of_field| streams |= of_field);
            }
        }
        streams
    }
}
