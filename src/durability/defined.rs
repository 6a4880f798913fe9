//! Which streams and layouts a file of the stage has named already.

use crate::{
    index::Index,
    model::Batch,
    stage::{Definitions, LayoutDefinition, StreamDefinition},
};

/// Two sets: streams by slot, layouts by id.
#[derive(Default)]
pub struct Defined {
    streams: Bits,
    layouts: Bits,
}

impl Defined {
    /// Forgets all: a new file begins.
    pub fn clear(&mut self) {
        self.streams.0.clear();
        self.layouts.0.clear();
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
        streams: impl Iterator<Item = (crate::model::Slot, crate::model::StreamId)>,
        index: &Index,
    ) -> Definitions {
        let unnamed = streams.filter(|(slot, _)| self.streams.insert(slot.0));
        let streams = unnamed.map(|(_, id)| StreamDefinition { id, key: index.key(id) }).collect();
        Definitions { streams, layouts: Vec::new() }
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
