//! Generations to parts, and what an earlier incarnation left in containers to parts.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{Edit, Engine, Error, FileEntry, Home, LeftOut, StoredPart, io_error};
use crate::{
    codec::Level,
    compaction,
    disk::{self, File},
    flush,
    index::IndexPartBuilder,
    memtable::{Generation, Merge, Summary},
    model::{Day, FieldId, PartId, SeqNo, StreamId},
    parts::{self, Builder, FileSink, Footer, Part},
};

/// The fields of streams that a day's index parts do not tell yet.
pub(crate) type NewFields = BTreeMap<StreamId, BTreeSet<FieldId>>;

/// Merges images, and says what of each is left out since it is damaged.
fn merge(inputs: &[Arc<StoredPart>], out: &mut Builder<FileSink>) -> Result<Vec<LeftOut>, parts::Error> {
    let mut left_out = vec![LeftOut::default(); inputs.len()];
    let (mut places, mut parts) = (Vec::new(), Vec::new());
    for (place, stored) in inputs.iter().enumerate() {
        match stored.part() {
            Ok(part) => {
                places.push(place);
                parts.push(Arc::clone(part));
            }
            Err(damage) if damage.error.is_damage() => left_out[place].note_all([*damage]),
            Err(damage) => return Err(damage.error),
        }
    }
    for (place, found) in places.into_iter().zip(compaction::merge(&parts, out)?) {
        left_out[place].note_all(found);
    }
    Ok(left_out)
}

/// Parts and index parts written but not yet recorded.
#[derive(Default)]
pub(crate) struct Written {
    pub(super) edit: Edit,
    pub(super) parts: Vec<Arc<StoredPart>>,
    pub(super) fields: Vec<(Day, NewFields)>,
    pub(super) files: Vec<(Day, PathBuf)>,
    /// Merged images of which something was damaged and is not in the parts written.
    given_up: Vec<(Arc<StoredPart>, LeftOut)>,
}

impl Engine {
    /// Does the most urgent thing there is to do, if any: pages that an earlier incarnation left, and the oldest closed
    /// generation, become parts, lower numbers first; an aged open generation is closed, and one whose log is too large.
    /// Whether something was written.
    pub(super) fn flush_next(&self, now: Duration) -> Result<bool, Error> {
        let generations = self.generations();
        let (Some(oldest), Some(open)) = (generations.first(), generations.last()) else { return Ok(false) };
        let floor = self.replay.floor();
        if self.fold_pages(oldest.first().min(floor), now)? {
            return Ok(true);
        }
        if !Arc::ptr_eq(oldest, open) {
            // What is replayed goes first, and once no more is added to it.
            return if oldest.first() < floor { self.flush_generation(oldest, now) } else { Ok(false) };
        }
        let is_aged = self.threads.age_of(open.first(), now) > self.options.generation_age;
        if open.summary().rows > 0 && (is_aged || self.durability.log_size() > self.options.log_size_max) {
            self.durability.request_rotation();
        }
        Ok(false)
    }

    /// Writes a closed generation to parts; not yet where a group that ends in it is not visible.
    fn flush_generation(&self, generation: &Arc<Generation>, now: Duration) -> Result<bool, Error> {
        let summary = generation.summary();
        let is_replayed = summary.last <= self.recovery.end;
        if self.watermarks().visible < summary.last && !is_replayed {
            return Ok(false);
        }
        let start = self.clock.now();
        let written = self.write(|written| self.write_generation(generation, &summary, written))?;
        self.publish(written, &[])?;
        self.durability.generations().remove(generation);
        self.flushed(summary.last, now);
        self.metrics.flushes.inc();
        self.metrics.flushed_samples.inc_by(summary.samples);
        self.metrics.flush_duration.observe((self.clock.now() - start).as_secs_f64());
        self.threads.compactor().ring();
        Ok(true)
    }

    fn write_generation(&self, generation: &Generation, summary: &Summary, written: &mut Written) -> Result<(), Error> {
        let mut streams = generation.touched(&self.memtable.catalogue);
        flush::sort_streams(&mut streams, &self.index);
        let rows = flush::Rows { generation, after: SeqNo(0), upto: summary.last, streams: &streams };
        let mut merge = Merge::default();
        let horizon = self.retention.horizon();
        for day in summary.days.keys().copied().filter(|day| *day >= horizon) {
            let mut new = NewFields::new();
            let numbers = (generation.first(), summary.last);
            self.write_part(day, numbers, Vec::new(), written, |out| {
                flush::push_day(&rows, day, &self.index, &mut merge, out, |_, stream, _, field| {
                    if !self.days.knows(day, stream, field) {
                        new.entry(stream).or_default().insert(field);
                    }
                })
            })?;
            self.write_index_part(day, new, written)?;
        }
        written.edit.flushed = Some(summary.last);
        let refilled = self.refilled.lock();
        written.edit.remove_parts.extend(refilled.iter().filter(|(_, last)| *last <= summary.last).map(|(id, _)| *id));
        drop(refilled);
        if generation.first() >= self.first_number {
            // Of what earlier starts accepted, the count was recorded when this one began.
            written.edit.samples = Some(self.manifest.lock().state().samples + summary.samples);
        }
        Ok(())
    }

    /// Writes files that belong together. Where one fails, all are removed: no record names them, and on a full disk their
    /// space is wanted now. Where nothing can be recorded, nothing is written.
    pub(crate) fn write(&self, fill: impl FnOnce(&mut Written) -> Result<(), Error>) -> Result<Written, Error> {
        self.manifest.lock().heal()?;
        let mut written = Written::default();
        let filled = fill(&mut written);
        if filled.is_err() {
            for (_, path) in &written.files {
                // What cannot be removed now, the next start sets aside.
                let _ = self.disk.remove(path);
            }
        }
        filled.map(|()| written)
    }

    /// Writes a part file of what several images hold, without what of them is damaged.
    pub(super) fn write_merged(
        &self,
        day: Day,
        numbers: (SeqNo, SeqNo),
        replaces: Vec<PartId>,
        inputs: &[Arc<StoredPart>],
        written: &mut Written,
    ) -> Result<(), Error> {
        let mut found = Vec::new();
        self.write_part(day, numbers, replaces, written, |out| {
            found = merge(inputs, out)?;
            Ok(())
        })?;
        let given_up = inputs.iter().cloned().zip(found).filter(|(_, left_out)| !left_out.is_empty());
        written.given_up.extend(given_up);
        Ok(())
    }

    /// Writes a part file, durably, and opens it. It counts once its edit is recorded.
    pub(crate) fn write_part(
        &self,
        day: Day,
        numbers: (SeqNo, SeqNo),
        replaces: Vec<PartId>,
        written: &mut Written,
        fill: impl FnOnce(&mut Builder<FileSink>) -> Result<(), parts::Error>,
    ) -> Result<(), Error> {
        let id = self.next_file();
        let path = self.paths.part(day, id);
        self.make_partition(day)?;
        let file = self.disk.create(&path).map_err(io_error("create part", &path))?;
        written.files.push((day, path.clone()));
        let part = self.fill_part(&file, &path, id, day, numbers, replaces, fill)?;
        written.edit.add_parts.push(FileEntry { id, day, numbers });
        written.parts.push(Arc::new(StoredPart::opened(part, file, day, numbers, id, path)));
        Ok(())
    }

    #[allow(clippy::too_many_arguments)] // the fields of a footer, and where it goes
    fn fill_part(
        &self,
        file: &Arc<dyn File>,
        path: &Path,
        id: PartId,
        day: Day,
        numbers: (SeqNo, SeqNo),
        replaces: Vec<PartId>,
        fill: impl FnOnce(&mut Builder<FileSink>) -> Result<(), parts::Error>,
    ) -> Result<Part, Error> {
        let failed = |action| move |source| Error::Part { action, path: path.to_owned(), source };
        let options = parts::Options { level: Level::Full };
        let mut out = Builder::new(FileSink::new(Arc::clone(file), 0), options).map_err(failed("write part"))?;
        fill(&mut out).map_err(failed("write part"))?;
        let footer = Footer {
            part: id,
            day,
            seq_min: numbers.0,
            seq_max: numbers.1,
            replaces,
            index_parts: Vec::new(),
            tombstone: 0,
        };
        let summary = out.finish(footer).map_err(failed("write part"))?;
        self.sync_file(&**file, path)?;
        self.sync_dir(&self.paths.partition(day))?;
        Part::open(Arc::clone(file), 0, summary.len).map_err(failed("open part"))
    }

    /// Writes the index part that tells of streams and fields new on a day, durably; none where there are none.
    pub(super) fn write_index_part(&self, day: Day, new: NewFields, written: &mut Written) -> Result<(), Error> {
        if new.is_empty() {
            return Ok(());
        }
        let id = self.next_file();
        let path = self.paths.index_part(day, id);
        let mut builder = IndexPartBuilder::default();
        for (stream, fields) in &new {
            let names: Vec<&str> = fields.iter().map(|field| self.index.schema.field_name(*field)).collect();
            builder.push(*stream, &self.index.key(*stream), &names);
        }
        let bytes = builder.finish(id, day);
        let file = self.disk.create(&path).map_err(io_error("create index part", &path))?;
        written.files.push((day, path.clone()));
        file.write_at(&bytes, 0).map_err(io_error("write index part", &path))?;
        self.sync_file(&*file, &path)?;
        self.sync_dir(&self.paths.partition(day))?;
        written.edit.add_index_parts.push(FileEntry { id, day, numbers: (SeqNo(0), SeqNo(0)) });
        written.fields.push((day, new));
        Ok(())
    }

    /// Records what was written, then lets queries see it instead of what it replaces. Replaced files are removed; those
    /// that are damaged, set aside.
    pub(crate) fn publish(&self, mut written: Written, replaced: &[Arc<StoredPart>]) -> Result<(), Error> {
        let _publishing = self.retention.publishing();
        let too_old = self.retention.keep(&mut written);
        let is_given_up =
            |part: &Arc<StoredPart>| written.given_up.iter().any(|(given_up, _)| Arc::ptr_eq(given_up, part));
        let (damaged, whole): (Vec<_>, Vec<_>) = replaced.iter().partition(|part| is_given_up(part));
        written.edit.remove_parts.extend(whole.iter().filter_map(|part| Some(part.own_file()?.0)));
        written.edit.set_aside_parts.extend(damaged.iter().filter_map(|part| Some(part.own_file()?.0)));
        // Of their batches rows are left, so they are no holes in the sequence.
        written.edit.given_up.extend(damaged.iter().map(|part| part.numbers));
        // A record that failed may be there after a crash, so its files stay until a later one is durable.
        let recorded = self.mark_damaged(&written.given_up).and_then(|()| self.record(&written.edit));
        recorded.inspect_err(|_| self.abandoned.lock().extend(written.files.drain(..).map(|(_, path)| path)))?;
        self.remove_files(too_old.into_iter());
        self.refilled.lock().retain(|(id, _)| !written.edit.remove_parts.contains(id));
        for (day, fields) in written.fields {
            for (stream, fields) in fields {
                fields.into_iter().for_each(|field| self.days.note(day, stream, field));
            }
        }
        self.parts.change(&written.parts, replaced);
        // Queries that still read them hold them open.
        self.remove_files(whole.into_iter().filter_map(|part| Some(part.own_file()?.1.to_owned())));
        for (part, left_out) in &written.given_up {
            self.give_up(part, left_out);
            self.keep_damaged(part);
        }
        Ok(())
    }

    /// Writes what is given up to where later starts look for what is missing, before the record that gives it up: a crash in
    /// between silences nothing. The file itself takes the place if it has one of its own.
    fn mark_damaged(&self, given_up: &[(Arc<StoredPart>, LeftOut)]) -> Result<(), Error> {
        for (part, left_out) in given_up {
            let file: &Path = match &part.home {
                Home::Part(_, path) => path,
                Home::Page(container, _) => container,
            };
            let path = self.paths.damaged(self.incarnation, part.day, file);
            let text = left_out.text(&part.name(), "dropped") + "\n";
            disk::replace(&*self.disk, &path, text.as_bytes()).map_err(io_error("write", &path))?;
        }
        Ok(())
    }

    /// Keeps the file of a damaged image that nothing needs any more.
    fn keep_damaged(&self, part: &StoredPart) {
        match &part.home {
            Home::Part(_, path) => match self.move_aside(path, &self.paths.damaged(self.incarnation, part.day, path)) {
                Ok(()) => self.metrics.quarantined_files.inc(),
                // No record names it, so the next start does it.
                Err(error) => tracing::warn!("{}", crate::durability::error_chain(&error)),
            },
            Home::Page(container, _) => {
                let mut leftovers = self.leftovers.lock();
                leftovers.iter_mut().filter(|(path, _)| **path == **container).for_each(|left| left.1 = true);
            }
        }
    }

    /// Everything up to `upto` is in parts: the stage lets go of it.
    pub(super) fn flushed(&self, upto: SeqNo, now: Duration) {
        self.remove_files(self.durability.flushed(upto, now).into_iter());
        let end = self.recovery.end;
        let is_gone = |(first, last): &(SeqNo, SeqNo)| *first <= upto.next() && *last >= end;
        if upto >= end || self.manifest.lock().state().lost.iter().any(is_gone) {
            self.remove_leftovers();
        }
        self.note_current_log();
    }

    /// Removes files that nothing needs any more. What cannot be removed now goes after a later record; a crash may undo a
    /// removal, and a start sees that nothing names such a file.
    pub(super) fn remove_files(&self, paths: impl Iterator<Item = PathBuf>) {
        for path in paths {
            match self.disk.remove(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!("{} is not needed, but cannot be removed: {error}", path.display());
                    self.abandoned.lock().push(path);
                }
                _ => {}
            }
        }
    }

    /// Removes the stage's files of earlier incarnations: all that counts in them is in parts. Those in which something was
    /// damaged are set aside instead.
    pub(crate) fn remove_leftovers(&self) {
        let (damaged, whole): (Vec<_>, Vec<_>) =
            std::mem::take(&mut *self.leftovers.lock()).into_iter().partition(|(_, is_damaged)| *is_damaged);
        self.note_current_log();
        self.remove_files(whole.into_iter().map(|(path, _)| path));
        for (path, _) in damaged {
            if let Err(error) = self.set_aside(&path) {
                // The next start finds it again.
                tracing::warn!("{}", crate::durability::error_chain(&error));
            }
        }
    }

    fn set_aside(&self, path: &Path) -> Result<(), Error> {
        let name = path.file_name().expect("files have names").to_string_lossy();
        // A log outside of the data directory may be on another disk, where a rename does not reach.
        let (dir, aside) = match path.parent() {
            Some(dir) if !dir.starts_with(&self.paths.root) => {
                (dir.to_owned(), format!("quarantine-{}-{name}", self.incarnation))
            }
            // Both copies of a segment have one name, each in its directory.
            Some(dir) => {
                let own = [self.paths.wal(), self.paths.containers()].iter().any(|own| own == dir);
                let within = dir.strip_prefix(&self.paths.root).unwrap_or(dir).to_string_lossy().replace('/', "-");
                let within = if own { String::new() } else { within + "-" };
                (self.paths.quarantine(), format!("{}-stage-{within}{name}", self.incarnation))
            }
            None => (self.paths.quarantine(), format!("{}-stage-{name}", self.incarnation)),
        };
        self.move_aside(path, &dir.join(aside))
    }

    fn move_aside(&self, path: &Path, target: &Path) -> Result<(), Error> {
        self.disk.rename(path, target).map_err(io_error("set aside", path))?;
        let parents = [target.parent(), path.parent()];
        parents.into_iter().flatten().try_for_each(|dir| self.sync_dir(dir))
    }

    /// Makes a day's directory, its name durable: also where it is there, since an earlier start may have ended before that.
    fn make_partition(&self, day: Day) -> Result<(), Error> {
        let dir = self.paths.partition(day);
        self.disk.create_dir_all(&dir).map_err(io_error("create directory", &dir))?;
        self.sync_dir(&self.paths.partitions())
    }
}
