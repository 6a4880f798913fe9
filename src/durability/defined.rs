//! Which streams and layouts a file of the stage has named already.

use std::collections::HashSet;

use crate::{
    index::Index,
    model::{Batch, Day, LayoutId, StreamId},
    stage::{Definitions, LayoutDefinition, StreamDefinition},
};

/// Streams by slot, layouts by id; and in a container, which stream has which layout on which day.
#[derive(Default)]
pub struct Defined {
    streams: Bits,
    layouts: Bits,
    uses: HashSet<(Day, StreamId, LayoutId)>,
}

impl Defined {
    /// Forgets all: a new file begins.
    pub fn clear(&mut self) {
        self.streams.0.clear();
        self.layouts.0.clear();
        self.uses.clear();
    }

    /// What `batch` uses and the file has not named, which from now on it has.
    pub fn missing(&mut self, batch: &Batch, index: &Index) -> Definitions {
        let mut missing = Definitions::default();
        for rows in &batch.groups {
            if self.layouts.insert(rows.layout.0) {
                let (table, fields) = index.layout_names(rows.layout);
                missing.layouts.push(LayoutDefinition { id: rows.layout, table, fields });
            }
            for (slot, stream) in rows.slots.iter().zip(&rows.streams) {
                if self.streams.insert(slot.0) {
                    missing.streams.push(StreamDefinition { id: *stream, key: index.key(*stream) });
                }
            }
        }
        missing
    }

    /// The streams of `slots` that the file has not named, which from now on it has.
    pub fn missing_streams(
        &mut self,
        streams: impl Iterator<Item = (crate::model::Slot, StreamId)>,
        index: &Index,
    ) -> Definitions {
        let unnamed = streams.filter(|(slot, _)| self.streams.insert(slot.0));
        let streams = unnamed.map(|(_, id)| StreamDefinition { id, key: index.key(id) }).collect();
        Definitions { streams, layouts: Vec::new() }
    }

    /// Those uses, by day, that the file has not named, which from now on it has; layouts it had not are defined.
    pub fn missing_uses(
        &mut self,
        days: impl Iterator<Item = (Day, Vec<(StreamId, LayoutId)>)>,
        index: &Index,
        definitions: &mut Definitions,
    ) -> Vec<Vec<(StreamId, LayoutId)>> {
        let of_day = |(day, mut uses): (Day, Vec<(StreamId, LayoutId)>)| {
            uses.retain(|(stream, layout)| self.uses.insert((day, *stream, *layout)));
            for (_, id) in uses.iter().filter(|(_, layout)| self.layouts.insert(layout.0)) {
                let (table, fields) = index.layout_names(*id);
                definitions.layouts.push(LayoutDefinition { id: *id, table, fields });
            }
            uses
        };
        days.map(of_day).collect()
    }
}

/// A growing set of small numbers.
#[derive(Default)]
struct Bits(Vec<u64>);

impl Bits {
    /// Adds a number; whether it was not there.
    fn insert(&mut self, number: u32) -> bool {
        let (word, bit) = (number as usize / 64, 1_u64 << (number % 64));
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        let new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        new
    }
}
