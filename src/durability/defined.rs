//! Which streams and layouts a file of the stage has named already, and what it is to name once more.
//!
//! Everything behind a definition relies on it, so no definition is in one place alone: what damage to one frame takes,
//! another tells. The frame behind repeats what nothing else tells: layouts, whose ids are those of one start, in each
//! file; streams where this start names them for the first time, as the file before or an index part has them later.

use std::collections::HashSet;

use crate::{
    index::Index,
    model::{Batch, Day, LayoutId, Slot, StreamId},
    stage::{Definitions, LayoutDefinition, StreamDefinition},
};

/// Streams by slot, layouts by id; and in a container, which stream has which layout on which day.
#[derive(Default)]
pub struct Defined {
    streams: Bits,
    layouts: Bits,
    uses: HashSet<(Day, StreamId, LayoutId)>,
    /// Streams by slot that any file of this start has named.
    named: Bits,
    /// What the frame before named and this one repeats.
    due: Definitions,
    /// What the frame behind this one is to repeat.
    next: Definitions,
}

impl Defined {
    /// A new file begins, which has named nothing.
    pub fn clear(&mut self) {
        self.streams.0.clear();
        self.layouts.0.clear();
        self.uses.clear();
        self.next.layouts.clear();
    }

    /// What was named may not be there: all is forgotten, as in a start that has named nothing.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// The frame for which something was missing is put: what it named, the next one repeats.
    pub fn frame_ends(&mut self) {
        self.due = std::mem::take(&mut self.next);
    }

    /// What `batch` uses and the file has not named, which from now on it has; and what the frame before named.
    pub fn missing(&mut self, batch: &Batch, index: &Index) -> Definitions {
        let mut missing = self.due.clone();
        for rows in &batch.groups {
            if self.layouts.insert(rows.layout.0) {
                let (table, fields) = index.layout_names(rows.layout);
                let layout = LayoutDefinition { id: rows.layout, table, fields };
                self.next.layouts.push(layout.clone());
                missing.layouts.push(layout);
            }
            for (slot, stream) in rows.slots.iter().zip(&rows.streams) {
                if self.streams.insert(slot.0) {
                    missing.streams.push(self.name(*slot, *stream, index));
                }
            }
        }
        missing
    }

    /// A stream's definition; one that this start has not named is to be repeated.
    fn name(&mut self, slot: Slot, id: StreamId, index: &Index) -> StreamDefinition {
        let stream = StreamDefinition { id, key: index.key(id) };
        if self.named.insert(slot.0) {
            self.next.streams.push(stream.clone());
        }
        stream
    }

    /// The streams that the file has not named, which from now on it has; and those that the frame before named.
    pub fn missing_streams(&mut self, streams: impl Iterator<Item = (Slot, StreamId)>, index: &Index) -> Definitions {
        let mut missing = self.due.clone();
        for (slot, id) in streams {
            if self.streams.insert(slot.0) {
                missing.streams.push(self.name(slot, id, index));
            }
        }
        missing
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
