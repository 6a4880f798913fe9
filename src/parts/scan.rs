//! A part from front to back, for compaction.

use std::vec;

use crate::{
    model::StreamId,
    parts::{
        Damage, Error, FieldRef, Part, Place, Run,
        page::Entry,
        read::{Decoded, Fetcher},
    },
};

/// Walks all aligned groups in (table, stream) order; within a stream each field's groups ascend in time. A long group
/// comes back in the pieces its blocks were cut into. What is damaged is left out, and told by [`Scan::into_damage`].
///
/// Memory: one index page, one block of a single stream, and one or two gathered blocks per set of fields that streams
/// around the current one have.
pub struct Scan<'p> {
    part: &'p Part,
    fetcher: Fetcher<'p>,
    next_page: usize,
    /// What is left of the current page, and the place of its first entry there.
    entries: vec::IntoIter<Entry>,
    next_entry: usize,
    /// Decoded blocks; those with no rows left are retired at the next step.
    open: Vec<Open>,
    /// Buffers of retired blocks.
    spare: Vec<Decoded>,
    damage: Vec<Damage>,
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
    /// The fields' names, ascending, and values, as many as times; without those whose column is damaged.
    pub fn fields(&self) -> impl Iterator<Item = (&'a str, &'a [f64])> {
        let (part, run) = (self.part, self.run.clone());
        let columns = self.entry.fields.iter().enumerate();
        columns
            .filter_map(move |(index, column)| Some((&**part.field_name(FieldRef(column.field)), run.values(index)?)))
    }
}

/// Table, stream, and first time of a run. A gathered block not yet open stands where its first run would at the
/// earliest.
type Key = (u32, StreamId, i64);

impl<'p> Scan<'p> {
    pub(super) fn new(part: &'p Part) -> Self {
        Self {
            part,
            fetcher: Fetcher::new(part),
            next_page: 0,
            entries: Vec::new().into_iter(),
            next_entry: 0,
            open: Vec::new(),
            spare: Vec::new(),
            damage: Vec::new(),
        }
    }

    /// What was found damaged on the way.
    pub fn into_damage(self) -> Vec<Damage> {
        self.damage
    }

    /// Table and stream of the next group; `None` at the end.
    pub fn peek(&mut self) -> Result<Option<(&'p str, StreamId)>, Error> {
        let next = self.settle()?;
        Ok(next.map(|((table, stream, _), _)| (&*self.part.tables()[table as usize].name, stream)))
    }

    /// The next group; `None` at the end.
    pub fn next_group(&mut self) -> Result<Option<Group<'_>>, Error> {
        let Some((_, place)) = self.settle()? else { return Ok(None) };
        self.open[place].next_run += 1;
        Ok(Some(self.group(place)))
    }

    fn group(&self, place: usize) -> Group<'_> {
        let Open { entry, decoded, next_run } = &self.open[place];
        let run = decoded.run(next_run - 1);
        let table = &self.part.tables()[entry.table as usize].name;
        Group { table, stream: run.stream, times: run.times, part: self.part, entry, run }
    }

    /// Opens blocks until the next run is in an open one, and says which. Only then it is known: a block may be damaged.
    fn settle(&mut self) -> Result<Option<(Key, usize)>, Error> {
        loop {
            self.retire();
            self.turn_page()?;
            match (self.smallest_run(), self.next_key()) {
                (None, None) => return Ok(None),
                (Some((key, place)), entry) if entry.is_none_or(|entry| key <= entry) => return Ok(Some((key, place))),
                _ => self.open_next_entry()?,
            }
        }
    }

    fn smallest_run(&self) -> Option<(Key, usize)> {
        let key = |open: &Open| {
            let run = open.decoded.run(open.next_run);
            (open.entry.table, run.stream, run.times[0])
        };
        self.open.iter().map(key).zip(0..).min()
    }

    fn next_key(&self) -> Option<Key> {
        let entry = self.entries.as_slice().first()?;
        Some((entry.table, entry.streams.first(), entry.min_time))
    }

    fn open_next_entry(&mut self) -> Result<(), Error> {
        let entry = self.entries.next().expect("next_key saw it");
        let place = Place::Block(self.next_page - 1, self.next_entry);
        self.next_entry += 1;
        let mut decoded = self.spare.pop().unwrap_or_default();
        self.fetcher.load(place, &entry, entry.fields.iter().map(Some), &mut decoded, &mut self.damage);
        self.open.push(Open { entry, decoded, next_run: 0 });
        self.check()
    }

    /// Puts the buffers of blocks without rows left aside.
    fn retire(&mut self) {
        while let Some(done) = self.open.iter().position(|open| open.next_run == open.decoded.len()) {
            self.spare.push(self.open.swap_remove(done).decoded);
        }
    }

    /// Turns to the next page that can be read, where this one is used up.
    fn turn_page(&mut self) -> Result<(), Error> {
        while self.entries.as_slice().is_empty() && self.next_page < self.part.page_count() {
            self.next_page += 1;
            let number = self.next_page - 1;
            match self.part.read_page(number) {
                Ok(entries) => (self.entries, self.next_entry) = (entries.into_iter(), 0),
                Err(error) => self.damage.push(self.part.page_damage(number, error)),
            }
        }
        self.check()
    }

    /// Fails where something could not be read: that may be otherwise tomorrow.
    fn check(&mut self) -> Result<(), Error> {
        match self.damage.iter().position(|damage| !damage.error.is_damage()) {
            Some(place) => Err(self.damage.swap_remove(place).error),
            None => Ok(()),
        }
    }
}
