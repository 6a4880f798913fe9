//! Short groups on their way to a block of many streams.

use hashbrown::HashTable;

use crate::{
    model::StreamId,
    parts::{
        BLOCK_ROWS_MAX, Error, Sink,
        page::{Entry, FieldColumn, Streams},
        store::{Store, hash_of},
    },
};

/// Samples a gather holds at most, so that a table of thousands of fields does not fill the memory. A power of two
/// beyond what 100 fields need for full blocks.
const SAMPLES_MAX: usize = 1 << 20;

/// Rows of several streams, ascending, that have the same fields.
pub(super) struct Gather {
    /// Numbers of the fields.
    fields: Vec<u32>,
    streams: Vec<StreamId>,
    /// Which of `sequences` each stream has.
    which: Vec<u32>,
    /// Where in `stamps` each distinct sequence of timestamps begins and ends.
    sequences: Vec<(usize, usize)>,
    stamps: Vec<i64>,
    /// Numbers of the sequences by their hash.
    by_hash: HashTable<(u64, u32)>,
    /// Per field, the values of all streams.
    values: Vec<Vec<f64>>,
    rows: usize,
    bytes: Vec<u8>,
}

impl Gather {
    pub(super) fn new(fields: Vec<u32>) -> Self {
        Self {
            values: vec![Vec::new(); fields.len()],
            fields,
            streams: Vec::new(),
            which: Vec::new(),
            sequences: Vec::new(),
            stamps: Vec::new(),
            by_hash: HashTable::new(),
            rows: 0,
            bytes: Vec::new(),
        }
    }

    /// Forgets the rows and keeps their memory.
    pub(super) fn clear(&mut self) {
        self.streams.clear();
        self.which.clear();
        self.sequences.clear();
        self.stamps.clear();
        self.by_hash.clear();
        self.values.iter_mut().for_each(Vec::clear);
        self.rows = 0;
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Whether a group of `rows` may still come in.
    pub(super) fn has_room(&self, rows: usize) -> bool {
        let rows = self.rows + rows;
        rows <= BLOCK_ROWS_MAX && rows * self.fields.len() <= SAMPLES_MAX
    }

    pub(super) fn push(&mut self, stream: StreamId, times: &[i64], fields: &[(&str, &[f64])]) {
        let sequence = self.sequence(times);
        self.streams.push(stream);
        self.which.push(sequence);
        for (column, (_, values)) in self.values.iter_mut().zip(fields) {
            column.extend_from_slice(values);
        }
        self.rows += times.len();
    }

    /// The number of the sequence that equals `times`, added if there is none.
    fn sequence(&mut self, times: &[i64]) -> u32 {
        let same = |&(start, end): &(usize, usize)| self.stamps[start..end] == *times;
        if let Some(&last) = self.which.last()
            && same(&self.sequences[last as usize])
        {
            return last;
        }
        let hash = hash_of(times, &mut self.bytes);
        if let Some(&(_, known)) = self.by_hash.find(hash, |&(_, known)| same(&self.sequences[known as usize])) {
            return known;
        }
        let number = self.sequences.len() as u32;
        self.by_hash.insert_unique(hash, (hash, number), |&(hash, _)| hash);
        self.sequences.push((self.stamps.len(), self.stamps.len() + times.len()));
        self.stamps.extend_from_slice(times);
        number
    }

    /// The one stream and its timestamps, if there is but one.
    pub(super) fn only(&self) -> Option<(StreamId, &[i64])> {
        let &[stream] = self.streams.as_slice() else { return None };
        Some((stream, &self.stamps))
    }

    /// Field numbers and the values of all streams.
    pub(super) fn columns(&self) -> impl Iterator<Item = (u32, &[f64])> {
        self.fields.iter().copied().zip(self.values.iter().map(Vec::as_slice))
    }

    /// Stores the columns of two streams or more; the block's entry.
    pub(super) fn write<S: Sink>(&self, table: u32, store: &mut Store<S>) -> Result<Entry, Error> {
        let ids: Vec<i64> = self.streams.iter().map(|stream| i64::from(stream.0)).collect();
        let which: Vec<i64> = self.which.iter().map(|&which| i64::from(which)).collect();
        let lengths: Vec<i64> = self.sequences.iter().map(|(start, end)| (end - start) as i64).collect();
        let column = store.streams(&ids, &which, &lengths)?;
        let times = store.times(&self.stamps)?;
        let mut fields = Vec::with_capacity(self.fields.len());
        for (field, values) in self.columns() {
            fields.push(FieldColumn { field, values: store.values(values)?, aggregates: None });
        }
        let bounds = self.sequences.iter().map(|&(start, end)| (self.stamps[start], self.stamps[end - 1]));
        let (min_time, max_time) = bounds.fold((i64::MAX, i64::MIN), |(min, max), (a, b)| (min.min(a), max.max(b)));
        let (first, last) = (self.streams[0], self.streams[self.streams.len() - 1]);
        Ok(Entry {
            table,
            streams: Streams::Many { first, last, count: self.streams.len() as u32, column },
            rows: self.rows as u32,
            min_time,
            max_time,
            times,
            stamps: self.stamps.len() as u32,
            fields,
        })
    }
}
