//! A part from front to back, for compaction.

use std::vec;

use crate::{
    model::StreamId,
    parts::{
        Error, FieldRef, Part, Run,
        page::Entry,
        read::{Decoded, Fetcher},
    },
};

/// Walks all aligned groups in (table, stream) order; within a stream each field's groups ascend in time. A long group
/// comes back in the pieces its blocks were cut into. After an error the walk goes on behind what is damaged.
///
/// Memory: one index page, one block of a single stream, and one or two gathered blocks per set of fields that streams
/// around the current one have.
pub struct Scan<'p> {
    part: &'p Part,
    fetcher: Fetcher<'p>,
    next_page: usize,
    /// What is left of the current page.
    entries: vec::IntoIter<Entry>,
    /// Decoded blocks; those with no rows left are retired at the next step.
    open: Vec<Open>,
    /// Buffers of retired blocks.
    spare: Vec<Decoded>,
}

struct Open {
    entry: Entry,
    decoded: Decoded,
    next_run: usize,
}

/// An aligned group: fields of one stream that share their timestamps.
pub struct Group<'a> {
    /// The table's name.
    pub table: &'a str,
    /// The stream.
    pub stream: StreamId,
    /// Ascending and unique.
    pub times: &'a [i64],
    part: &'a Part,
    entry: &'a Entry,
    run: Run<'a>,
}

impl<'a> Group<'a> {
    /// The fields' names, ascending, and values, as many as times.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = (&'a str, &'a [f64])> {
        let (part, run) = (self.part, self.run.clone());
        self.entry.fields.iter().enumerate().map(move |(index, column)| {
            let values = run.values(index).expect("a scan decodes every field of a block");
            (&**part.field_name(FieldRef(column.field)), values)
        })
    }
}

/// Table, stream, and first time of a run. A gathered block not yet open stands where its first run would at the
/// earliest.
type Key = (u32, StreamId, i64);

impl<'p> Scan<'p> {
    pub(super) fn new(part: &'p Part) -> Self {
        let (open, spare) = (Vec::new(), Vec::new());
        Self { part, fetcher: Fetcher::new(part), next_page: 0, entries: Vec::new().into_iter(), open, spare }
    }

    /// Table and stream of the next group; `None` at the end.
    pub fn peek(&mut self) -> Result<Option<(&'p str, StreamId)>, Error> {
        self.settle()?;
        let run = self.smallest_run().map(|(key, _)| key);
        let next = run.into_iter().chain(self.next_entry()).min();
        Ok(next.map(|(table, stream, _)| (&*self.part.tables()[table as usize].name, stream)))
    }

    /// The next group; `None` at the end.
    pub fn next_group(&mut self) -> Result<Option<Group<'_>>, Error> {
        loop {
            self.settle()?;
            match (self.smallest_run(), self.next_entry()) {
                (None, None) => return Ok(None),
                (Some((key, place)), entry) if entry.is_none_or(|entry| key <= entry) => {
                    self.open[place].next_run += 1;
                    return Ok(Some(self.group(place)));
                }
                _ => self.open_next_entry()?,
            }
        }
    }

    fn group(&self, place: usize) -> Group<'_> {
        let Open { entry, decoded, next_run } = &self.open[place];
        let run = decoded.run(next_run - 1);
        let table = &self.part.tables()[entry.table as usize].name;
        Group { table, stream: run.stream, times: run.times, part: self.part, entry, run }
    }

    fn smallest_run(&self) -> Option<(Key, usize)> {
        let key = |open: &Open| {
            let run = open.decoded.run(open.next_run);
            (open.entry.table, run.stream, run.times[0])
        };
        self.open.iter().map(key).zip(0..).min()
    }

    fn next_entry(&self) -> Option<Key> {
        let entry = self.entries.as_slice().first()?;
        Some((entry.table, entry.streams.first(), entry.min_time))
    }

    fn open_next_entry(&mut self) -> Result<(), Error> {
        let entry = self.entries.next().expect("next_entry saw it");
        let mut decoded = self.spare.pop().unwrap_or_default();
        self.fetcher.load(&entry, entry.fields.iter().map(Some), &mut decoded)?;
        self.open.push(Open { entry, decoded, next_run: 0 });
        Ok(())
    }

    /// Retires blocks without rows left, and turns to the next page where this one is used up.
    fn settle(&mut self) -> Result<(), Error> {
        while let Some(done) = self.open.iter().position(|open| open.next_run == open.decoded.len()) {
            self.spare.push(self.open.swap_remove(done).decoded);
        }
        while self.entries.as_slice().is_empty() && self.next_page < self.part.page_count() {
            self.next_page += 1;
            self.entries = self.part.read_page(self.next_page - 1)?.into_iter();
        }
        Ok(())
    }
}
