//! What an index part told that is damaged or missing: told again, from the parts of its day.
//!
//! Parts know their streams by id and their fields by name. The keys of streams are in the log, in containers and in the
//! index parts of other days as well; with those the day gets a new index part. What nothing names is lost, and the
//! batches it was in are said to be.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use super::{Error, FileEntry, Open, damage::Notice, flushing::NewFields, io_error, pages::read_fields};
use crate::{
    index::IndexPartBuilder,
    model::{Day, PartId, SeqNo},
};

/// What the parts of some days tell.
#[derive(Default)]
pub(crate) struct Reindexed {
    /// Fields of streams that no index part of the day tells.
    fields: BTreeMap<Day, NewFields>,
    /// Parts with streams that nothing names: the day, and the numbers they cover.
    nameless: Vec<(Day, (SeqNo, SeqNo))>,
    /// Parts that cannot be read to their end.
    unread: Vec<(Day, String)>,
}

impl Reindexed {
    /// The numbers of parts with streams that nothing names, of some days.
    pub(super) fn nameless(&self, is_wanted: impl Fn(Day) -> bool) -> Vec<(SeqNo, SeqNo)> {
        self.nameless.iter().filter(|(day, _)| is_wanted(*day)).map(|(_, numbers)| *numbers).collect()
    }

    /// What queries are told of parts that could not be looked through.
    pub(super) fn notices(&self) -> impl Iterator<Item = Notice> {
        let text = |name: &str| format!("{name} cannot be read now: series of it that nothing else tells are left out");
        self.unread.iter().map(move |(day, name)| Notice::of_day(*day, text(name)))
    }
}

impl Open {
    /// Reads the parts of days of which an index part is damaged or missing; once everything that names streams was read.
    pub(super) fn reindex(&self) -> Result<Reindexed, Error> {
        let days: BTreeSet<Day> = self.lost_index.iter().map(|entry| entry.day).collect();
        let mut reindexed = Reindexed::default();
        for stored in self.parts.load().iter().filter(|stored| days.contains(&stored.day)) {
            let Some((_, path)) = stored.own_file() else { continue };
            let mut fields = NewFields::new();
            let read = stored.part().map_err(|damage| damage.error);
            let read = read.and_then(|part| read_fields(part, &self.index, &mut fields));
            match read.map_err(|source| Error::Part { action: "read", path: path.to_owned(), source }) {
                Ok(true) => {}
                Ok(false) => reindexed.nameless.push((stored.day, stored.numbers)),
                Err(error) if error.is_unreadable() && !self.options.recovery.refuses() => {
                    reindexed.unread.push((stored.day, stored.name()));
                }
                Err(error) => return Err(error),
            }
            let of_day = reindexed.fields.entry(stored.day).or_default();
            for (stream, mut fields) in fields {
                fields.retain(|field| !self.days.knows(stored.day, stream, *field));
                if !fields.is_empty() {
                    of_day.entry(stream).or_default().extend(fields);
                }
            }
        }
        Ok(reindexed)
    }

    /// Writes the index parts, durably, for the manifest of the new start to name, and notes what they tell.
    pub(super) fn write_reindexed(&mut self, reindexed: &Reindexed) -> Result<(), Error> {
        for (day, fields) in reindexed.fields.iter().filter(|(_, fields)| !fields.is_empty()) {
            self.write_index(*day, fields)?;
            for (stream, fields) in fields {
                fields.iter().for_each(|field| self.days.note(*day, *stream, *field));
            }
        }
        for (day, _) in &reindexed.nameless {
            let is_lost = |entry: &&FileEntry| entry.day == *day && !self.state.index_parts.contains_key(&entry.id);
            let missing: Vec<_> = self.lost_index.iter().filter(is_lost).copied().collect();
            missing.iter().try_for_each(|entry| self.mark_missing(entry))?;
        }
        Ok(())
    }

    fn write_index(&mut self, day: Day, fields: &NewFields) -> Result<(), Error> {
        self.last_file += 1;
        let id = PartId(self.last_file);
        let path = self.paths.index_part(day, id);
        let mut builder = IndexPartBuilder::default();
        for (stream, fields) in fields {
            let names: Vec<&str> = fields.iter().map(|field| self.index.schema.field_name(*field)).collect();
            builder.push(*stream, &self.index.key(*stream), &names);
        }
        let file = self.disk.create(&path).map_err(io_error("create index part", &path))?;
        file.write_at(&builder.finish(id, day), 0).map_err(io_error("write index part", &path))?;
        file.sync_data().map_err(io_error("sync index part", &path))?;
        let partition = self.paths.partition(day);
        self.disk.sync_dir(&partition).map_err(io_error("sync directory", &partition))?;
        let numbers = (SeqNo(0), SeqNo(0));
        self.state.index_parts.insert(id, FileEntry { id, day, numbers });
        tracing::warn!("{} tells again of {} series what a lost index part told", path.display(), fields.len());
        Ok(())
    }

    /// Leaves an empty file in the place of one that is not even damaged, so that later starts tell of it, too.
    fn mark_missing(&self, entry: &FileEntry) -> Result<(), Error> {
        let path = self.paths.index_part(entry.day, entry.id);
        let mark = self.paths.damaged(self.state.incarnation(), entry.day, &path);
        let is_absent = |path| match self.disk.open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            opened => opened.map(|_| false).map_err(io_error("look for", path)),
        };
        if is_absent(&path)? && is_absent(&mark)? {
            self.disk.create(&mark).map_err(io_error("create", &mark))?;
            let dir = self.paths.quarantine();
            self.disk.sync_dir(&dir).map_err(io_error("sync directory", &dir))?;
        }
        Ok(())
    }
}
