//! The files that a manifest names, opened; those that are damaged, set aside.

use std::{
    error::Error as StdError,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Error, FileEntry, Open, RecoveryPolicy, StoredPart, damage::Notice, io_error};
use crate::{disk::File, durability::error_chain, index::IndexPart, model::Day, parts::Part};

impl Open {
    /// Opens what the manifest names. A file that cannot be read is set aside, and the rest is served.
    pub(crate) fn open_parts(&mut self) -> Result<(), Error> {
        self.note_damaged_before()?;
        for entry in self.state.index_parts.values().copied().collect::<Vec<_>>() {
            let path = self.paths.index_part(entry.day, entry.id);
            if let Err(error) = self.open_index_part(&entry, &path) {
                if error.is_unreadable() {
                    self.pass_over_index(&entry, &path, error)?;
                    continue;
                }
                self.set_aside_damage(entry.day, &path, error)?;
                self.state.index_parts.remove(&entry.id);
                let consequence = "series that only it names are left out";
                self.tell(&entry, &path, "index part", "is damaged or missing", consequence);
                self.lost_index.push(entry);
            }
        }
        let mut opened = Vec::new();
        for entry in self.state.parts.values().copied().collect::<Vec<_>>() {
            let path = self.paths.part(entry.day, entry.id);
            match self.open_part(&entry, &path) {
                Ok(part) => opened.push(part),
                Err(error) if error.is_unreadable() => {
                    self.pass_over(&entry, "part", &path, error)?;
                    self.unread.parts.push(entry);
                }
                Err(error) => {
                    self.set_aside_damage(entry.day, &path, error)?;
                    self.lost_parts.push(entry);
                }
            }
        }
        self.parts.change(&opened, &[]);
        Ok(())
    }

    fn open_index_part(&mut self, entry: &FileEntry, path: &Path) -> Result<(), Error> {
        let file = self.disk.open(path).map_err(io_error("open", path))?;
        let failed = |source| Error::Index { action: "read index part", path: path.to_owned(), source };
        let part = IndexPart::open(&file).map_err(failed)?;
        // All of it first: of a part that cannot be read nothing may stay known.
        let (mut entries, mut damage, mut unread) = (Vec::with_capacity(part.entry_count()), None, None);
        for entry_of in part.entries() {
            match entry_of.map_err(failed) {
                Ok(entry_of) => entries.push(entry_of),
                Err(error) if error.is_damage() => damage = Some(error),
                Err(error) if error.is_unreadable() => unread = Some(error),
                Err(error) => return Err(error),
            }
        }
        self.mend(&*file, path, part.faults().map(|fault| (fault.offset, fault.bytes, fault.error)));
        if let Some(error) = damage {
            self.pass_over_pages(entry, path, part.entry_count() - entries.len(), &error)?;
        }
        if let Some(error) = unread {
            self.pass_over_index(entry, path, error)?;
        }
        for entry_of in entries {
            let names: Vec<&str> = entry_of.fields.iter().map(|name| &**name).collect();
            let Ok((layout, _)) = self.index.layout(entry_of.key.measurement(), &names) else { continue };
            let layout = self.index.schema.layout(layout);
            self.index.streams.add(entry_of.stream, &entry_of.key, layout.table);
            self.index.streams.note_layout(entry_of.stream, layout);
            layout.fields.iter().for_each(|field| self.days.note(entry.day, entry_of.stream, *field));
            self.last_stream = self.last_stream.max(entry_of.stream.0);
        }
        Ok(())
    }

    /// Writes again what is damaged of a file and stands in it twice: where each piece begins, what belongs there, and what
    /// is wrong with it. Where that fails, the other copy is still there.
    fn mend(&mut self, file: &dyn File, path: &Path, faults: impl Iterator<Item = (u64, Vec<u8>, impl StdError)>) {
        let mut faults = faults.peekable();
        let Some((.., first)) = faults.peek() else { return };
        tracing::warn!("of {} something is damaged that stands in it twice: {}", path.display(), error_chain(first));
        self.recovery.mended_files.push(path.to_owned());
        if self.options.recovery == RecoveryPolicy::DryRun {
            return;
        }
        let mended = faults.try_for_each(|(offset, bytes, _)| file.write_at(&bytes, offset));
        if let Err(error) = mended.and_then(|()| file.sync_data()) {
            tracing::warn!("{} is not mended: {error}", path.display());
        }
    }

    /// A file whose frame is whole, but not all of its pages: it stays where it is, since what is whole has no other place.
    fn pass_over_pages(&mut self, entry: &FileEntry, path: &Path, entries: usize, error: &Error) -> Result<(), Error> {
        self.refuse_if_strict(path, error)?;
        tracing::error!("of {} a page is passed over: {}", path.display(), error_chain(error));
        self.recovery.damaged_files.push(path.to_owned());
        self.tell(entry, path, "index part", "is damaged", &format!("up to {entries} series are left out"));
        self.lost_index.push(*entry);
        Ok(())
    }

    fn pass_over_index(&mut self, entry: &FileEntry, path: &Path, error: Error) -> Result<(), Error> {
        self.pass_over(entry, "index part", path, error)?;
        self.unread.index_days.insert(entry.day);
        self.lost_index.push(*entry);
        Ok(())
    }

    /// What queries about a file's day are told: once, whatever was told of it before.
    pub(super) fn tell(&mut self, entry: &FileEntry, path: &Path, kind: &str, what: &str, consequence: &str) {
        let name = path.file_name().expect("files have names").to_string_lossy();
        self.notices.retain(|notice| !notice.is_of(entry.day, &name));
        let what = format!("{kind} {}/{:08} {what}", entry.day, entry.id.0);
        self.notices.push(Notice::of_file(entry.day, &name, &what, consequence));
    }

    fn refuse_if_strict(&self, path: &Path, error: &Error) -> Result<(), Error> {
        if self.options.recovery != RecoveryPolicy::Strict {
            return Ok(());
        }
        let why = error_chain(error);
        Err(Error::Damaged(format!("{} is damaged or missing: {why}", path.display())))
    }

    fn open_part(&mut self, entry: &FileEntry, path: &Path) -> Result<Arc<StoredPart>, Error> {
        let file = self.disk.open(path).map_err(io_error("open", path))?;
        let size = file.size().map_err(io_error("measure", path))?;
        let failed = |source| Error::Part { action: "open part", path: path.to_owned(), source };
        let part = Part::open(Arc::clone(&file), 0, size).map_err(failed)?;
        let faults = part.faults().map_err(failed)?;
        self.mend(&*file, path, faults.into_iter().map(|fault| (fault.offset, fault.bytes, fault.error)));
        Ok(Arc::new(StoredPart::opened(part, file, entry.day, entry.numbers, entry.id, path.to_owned())))
    }

    /// Moves a damaged file to quarantine, with a word about it. A newer version's file may be read by a newer program: such
    /// an error ends the start instead.
    fn set_aside_damage(&mut self, day: Day, path: &Path, error: Error) -> Result<(), Error> {
        if !error.is_damage() {
            return Err(error);
        }
        self.refuse_if_strict(path, &error)?;
        tracing::error!("{} is set aside: {}", path.display(), error_chain(&error));
        self.recovery.damaged_files.push(path.to_owned());
        let target = self.paths.damaged(self.state.incarnation(), day, path);
        self.move_aside(path, target)
    }

    pub(super) fn quarantine(&mut self, path: &Path) -> Result<(), Error> {
        self.move_aside(path, self.quarantined(path))
    }

    /// Where a file goes that is not said to be damaged.
    pub(super) fn quarantined(&self, path: &Path) -> PathBuf {
        let name = path.file_name().expect("files have names").to_string_lossy();
        let day = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
        self.paths.quarantine().join(format!("{}-{day}-{name}", self.state.incarnation()))
    }

    pub(super) fn move_aside(&mut self, path: &Path, target: PathBuf) -> Result<(), Error> {
        let parent = path.parent().expect("files are in directories");
        if self.options.recovery == RecoveryPolicy::DryRun {
            self.recovery.quarantined.push(path.to_owned());
            return Ok(());
        }
        match self.disk.rename(path, &target) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            moved => moved.map_err(io_error("move to quarantine", path))?,
        }
        self.disk.sync_dir(&self.paths.quarantine()).map_err(io_error("sync directory", &self.paths.quarantine()))?;
        self.disk.sync_dir(parent).map_err(io_error("sync directory", parent))?;
        self.recovery.quarantined.push(target);
        Ok(())
    }
}
