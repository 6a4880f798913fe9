//! What an index part told that is damaged or missing: told again, from the parts of its day.
//!
//! Parts know their streams by id and their fields by name. The keys of streams are in the log, in containers and in the
//! index parts of other days as well; with those the day gets a new index part. What nothing names is lost, and the
//! batches it was in are said to be.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use super::{Error, FileEntry, Open, flushing::NewFields, io_error, pages::read_fields};
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
    unread: Vec<FileEntry>,
}

impl Reindexed {
    /// The numbers of parts with streams that nothing names, of some days.
    pub(super) fn nameless(&self, is_wanted: impl Fn(Day) -> bool) -> Vec<(SeqNo, SeqNo)> {
        self.nameless.iter().filter(|(day, _)| is_wanted(*day)).map(|(_, numbers)| *numbers).collect()
    }

    /// Whether the parts of a day were all looked through.
    fn is_whole(&self, day: Day) -> bool {
        self.unread.iter().all(|entry| entry.day != day)
    }

    fn is_nameless(&self, day: Day) -> bool {
        self.nameless.iter().any(|(of, _)| *of == day)
    }
}

impl Open {
    /// Reads the parts of days of which an index part is damaged or missing; once everything that names streams was read.
    pub(super) fn reindex(&self) -> Result<Reindexed, Error> {
        let days: BTreeSet<Day> = self.lost_index.iter().map(|entry| entry.day).collect();
        let mut reindexed = Reindexed::default();
        for stored in self.parts.load().iter().filter(|stored| days.contains(&stored.day)) {
            let Some((id, path)) = stored.own_file() else { continue };
            let mut fields = NewFields::new();
            let read = stored.part().map_err(|damage| damage.error);
            let read = read.and_then(|part| read_fields(part, &self.index, &mut fields));
            match read.map_err(|source| Error::Part { action: "read", path: path.to_owned(), source }) {
                Ok(true) => {}
                Ok(false) => reindexed.nameless.push((stored.day, stored.numbers)),
                // Of a part with a damaged block the streams in it stay unknown; that does not keep the rest from being served.
                Err(error) if (error.is_unreadable() || error.is_damage()) && !self.options.recovery.refuses() => {
                    reindexed.unread.push(FileEntry { id, day: stored.day, numbers: stored.numbers });
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

    /// Writes the index parts, durably, for the manifest of the new start to name, and notes what they tell. A damaged file
    /// of which some pages were whole is not needed any more then: all that is known of its day is in the new one.
    ///
    /// Returns those files, each with the place in quarantine where it goes once the manifest does not name it.
    pub(super) fn write_reindexed(&mut self, reindexed: &Reindexed) -> Result<Vec<(PathBuf, PathBuf)>, Error> {
        let mut replaced = Vec::new();
        let days: BTreeSet<Day> = self.lost_index.iter().map(|entry| entry.day).collect();
        for day in days {
            let of_day: Vec<_> = self.lost_index.iter().filter(|entry| entry.day == day).copied().collect();
            // What cannot be read now may tell more tomorrow, and may need what a damaged file tells of.
            let is_settled = reindexed.is_whole(day) && !self.unread.is_of(day);
            let mut fields = reindexed.fields.get(&day).cloned().unwrap_or_default();
            let is_named = |entry: &&FileEntry| is_settled && self.state.index_parts.contains_key(&entry.id);
            let in_place: Vec<_> = of_day.iter().filter(is_named).map(|entry| entry.id).collect();
            if !in_place.is_empty() {
                self.days.add_fields(day, &mut fields);
            }
            if !fields.is_empty() {
                self.write_index(day, &fields)?;
            }
            for entry in of_day {
                let path = self.paths.index_part(day, entry.id);
                let is_in_place = in_place.contains(&entry.id);
                let is_gone = !is_settled || reindexed.is_nameless(day);
                match (is_gone, is_in_place) {
                    (false, _) => self.unmark(&entry, &path)?,
                    (true, true) => self.mark(day, &path)?,
                    (true, false) => self.mark_missing(day, &path)?,
                }
                if is_in_place {
                    self.state.index_parts.remove(&entry.id);
                    let damaged = self.paths.damaged(self.state.incarnation(), day, &path);
                    replaced.push((path, if is_gone { damaged } else { damaged.with_extension("") }));
                }
            }
            for (stream, fields) in &fields {
                fields.iter().for_each(|field| self.days.note(day, *stream, *field));
            }
        }
        for entry in &reindexed.unread {
            let path = self.paths.part(entry.day, entry.id);
            self.tell(
                entry,
                &path,
                "part",
                "cannot be read to its end",
                "series of it that nothing else tells are left out",
            );
        }
        Ok(replaced)
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
}
