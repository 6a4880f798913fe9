//! The table a builder is at: its sets of fields, their open gathers, and the entries of its blocks.

use std::{ops::Range, sync::Arc};

use crate::{
    model::StreamId,
    parts::{
        Aggregates, BLOCK_ROWS_MAX, Error, SINGLE_ROWS_MIN, Sink,
        builder::Names,
        gather::Gather,
        page::{Entry, FieldColumn, Streams},
        store::Store,
    },
};

/// Gathers kept at a time, one per set of fields; the fullest is written when there are more. Bounds memory in a table
/// whose streams have no fields in common.
const GATHERS_MAX: usize = 64;

/// Takes the groups of one table.
pub(super) struct TableBuilder {
    number: u32,
    with_aggregates: bool,
    stream: Option<StreamId>,
    /// The sets of fields pushed so far.
    sets: Vec<FieldSet>,
    /// Counts streams, so that `ends` needs no clearing.
    turn: u64,
    /// Per field number: in which turn it was last pushed, and its last timestamp then.
    ends: Vec<(u64, i64)>,
    entries: Vec<Entry>,
}

/// Fields that came together, and the short groups that have them.
struct FieldSet {
    names: Vec<Arc<str>>,
    numbers: Vec<u32>,
    gather: Option<Gather>,
}

impl TableBuilder {
    pub(super) fn new(number: u32, with_aggregates: bool) -> Self {
        let (sets, ends, entries) = (Vec::new(), Vec::new(), Vec::new());
        Self { number, with_aggregates, stream: None, sets, turn: 0, ends, entries }
    }

    /// Whether the stream is a new one; it must not lie before the last.
    pub(super) fn enter_stream(&mut self, stream: StreamId) -> bool {
        if self.stream == Some(stream) {
            return false;
        }
        assert!(self.stream < Some(stream), "streams ascend by id");
        self.stream = Some(stream);
        self.turn += 1;
        true
    }

    /// Takes a group, not empty, of the stream entered last.
    pub(super) fn push<S: Sink>(
        &mut self,
        times: &[i64],
        fields: &[(&str, &[f64])],
        names: &mut Names,
        store: &mut Store<S>,
    ) -> Result<(), Error> {
        let stream = self.stream.expect("a stream was entered");
        let set = self.set(fields, names);
        let continues = self.advance(set, times[0], times[times.len() - 1]);
        // A later group of a field must lie behind the earlier one in the index, where gathered blocks come first.
        if times.len() < SINGLE_ROWS_MIN && !continues {
            return self.gather(set, stream, times, fields, store);
        }
        let numbers = self.sets[set].numbers.clone();
        for rows in cut(times.len()) {
            let columns = numbers.iter().zip(fields).map(|(&field, (_, values))| (field, &values[rows.clone()]));
            self.write_single(stream, &times[rows.clone()], columns, store)?;
        }
        Ok(())
    }

    /// Writes what is still gathered; the entries of all blocks in index order, and the names of all fields.
    pub(super) fn finish<S: Sink>(mut self, store: &mut Store<S>) -> Result<(Vec<Entry>, Vec<Arc<str>>), Error> {
        for set in 0..self.sets.len() {
            self.write_gather(set, store)?;
        }
        self.entries.sort_by_key(|entry| {
            let single = matches!(entry.streams, Streams::One(_));
            (entry.streams.first(), single, entry.min_time)
        });
        let mut fields: Vec<_> = self.sets.into_iter().flat_map(|set| set.names).collect();
        fields.sort_unstable();
        fields.dedup();
        Ok((self.entries, fields))
    }

    /// The place of the set of these fields.
    fn set(&mut self, fields: &[(&str, &[f64])], names: &mut Names) -> usize {
        let same = |set: &FieldSet| set.names.iter().map(|name| &**name).eq(fields.iter().map(|(name, _)| *name));
        if let Some(set) = self.sets.iter().position(same) {
            return set;
        }
        assert!(fields.is_sorted_by(|a, b| a.0 < b.0), "fields ascend by name");
        let (numbers, names) = fields.iter().map(|(name, _)| names.field(name)).unzip();
        self.sets.push(FieldSet { names, numbers, gather: None });
        self.sets.len() - 1
    }

    /// Notes that the stream has these fields from `start` to `end`, which must lie behind what it has of them; whether
    /// it had any of them before.
    fn advance(&mut self, set: usize, start: i64, end: i64) -> bool {
        let mut continues = false;
        for &field in &self.sets[set].numbers {
            let field = field as usize;
            if self.ends.len() <= field {
                self.ends.resize(field + 1, (0, 0));
            }
            let (turn, before) = self.ends[field];
            assert!(turn != self.turn || before < start, "a field's times ascend across the groups of a stream");
            continues |= turn == self.turn;
            self.ends[field] = (self.turn, end);
        }
        continues
    }

    fn gather<S: Sink>(
        &mut self,
        set: usize,
        stream: StreamId,
        times: &[i64],
        fields: &[(&str, &[f64])],
        store: &mut Store<S>,
    ) -> Result<(), Error> {
        match &self.sets[set].gather {
            Some(gather) if !gather.has_room(times.len()) => self.write_gather(set, store)?,
            Some(_) => {}
            None => self.make_room_for_a_gather(store)?,
        }
        let set = &mut self.sets[set];
        set.gather.get_or_insert_with(|| Gather::new(set.numbers.clone())).push(stream, times, fields);
        Ok(())
    }

    fn make_room_for_a_gather<S: Sink>(&mut self, store: &mut Store<S>) -> Result<(), Error> {
        let kept = || self.sets.iter().zip(0..).filter_map(|(set, place)| Some((set.gather.as_ref()?.rows(), place)));
        let fullest = kept().max().filter(|_| kept().count() >= GATHERS_MAX);
        if let Some((_, fullest)) = fullest {
            self.write_gather(fullest, store)?;
            self.sets[fullest].gather = None;
        }
        Ok(())
    }

    /// Writes what a set has gathered, and keeps the memory for more.
    fn write_gather<S: Sink>(&mut self, set: usize, store: &mut Store<S>) -> Result<(), Error> {
        let gather = self.sets[set].gather.take().filter(|gather| gather.rows() > 0);
        let Some(mut gather) = gather else { return Ok(()) };
        match gather.only() {
            Some((stream, times)) => self.write_single(stream, times, gather.columns(), store)?,
            None => self.entries.push(gather.write(self.number, store)?),
        }
        gather.clear();
        self.sets[set].gather = Some(gather);
        Ok(())
    }

    fn write_single<'a, S: Sink>(
        &mut self,
        stream: StreamId,
        times: &[i64],
        columns: impl Iterator<Item = (u32, &'a [f64])>,
        store: &mut Store<S>,
    ) -> Result<(), Error> {
        let stamps = store.times(times)?;
        let mut fields = Vec::with_capacity(columns.size_hint().0);
        for (field, values) in columns {
            let aggregates = if self.with_aggregates { Aggregates::of(values) } else { None };
            fields.push(FieldColumn { field, values: store.values(values)?, aggregates });
        }
        self.entries.push(Entry {
            table: self.number,
            streams: Streams::One(stream),
            rows: times.len() as u32,
            min_time: times[0],
            max_time: times[times.len() - 1],
            times: stamps,
            stamps: times.len() as u32,
            fields,
        });
        Ok(())
    }
}

/// `rows` in even pieces of at most `BLOCK_ROWS_MAX`; equal lengths are cut alike, so that their timestamps stay equal.
fn cut(rows: usize) -> impl Iterator<Item = Range<usize>> {
    let blocks = rows.div_ceil(BLOCK_ROWS_MAX);
    (0..blocks).map(move |block| rows * block / blocks..rows * (block + 1) / blocks)
}
