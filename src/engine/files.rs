//! The files that a manifest names, opened; those that are damaged, or that it does not name, set aside.

use std::{io, path::Path, sync::Arc};

use super::{Error, FileEntry, Open, Paths, RecoveryPolicy, StoredPart, directory::list, io_error};
use crate::{index::IndexPart, parts::Part};

impl Open {
    /// Opens what the manifest names. A file that cannot be read is set aside, and the rest is served.
    pub(crate) fn open_parts(&mut self) -> Result<(), Error> {
        for entry in self.state.index_parts.values().copied().collect::<Vec<_>>() {
            let path = self.paths.index_part(entry.day, entry.id);
            if let Err(error) = self.open_index_part(&entry, &path) {
                self.set_aside_damage(&path, error)?;
                self.state.index_parts.remove(&entry.id);
            }
        }
        let mut opened = Vec::new();
        for entry in self.state.parts.values().copied().collect::<Vec<_>>() {
            let path = self.paths.part(entry.day, entry.id);
            match self.open_part(&entry, &path) {
                Ok(part) => opened.push(part),
                Err(error) => {
                    self.set_aside_damage(&path, error)?;
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
        // All of it first: of a part that is set aside nothing may stay known.
        let entries =
            IndexPart::open(file).map_err(failed)?.entries().collect::<Result<Vec<_>, _>>().map_err(failed)?;
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

    fn open_part(&self, entry: &FileEntry, path: &Path) -> Result<Arc<StoredPart>, Error> {
        let file = self.disk.open(path).map_err(io_error("open", path))?;
        let size = file.size().map_err(io_error("measure", path))?;
        let failed = |source| Error::Part { action: "open part", path: path.to_owned(), source };
        let part = Arc::new(Part::open(file, 0, size).map_err(failed)?);
        let file = Some((entry.id, path.to_owned()));
        Ok(Arc::new(StoredPart { part, day: entry.day, numbers: entry.numbers, file }))
    }

    /// Moves a damaged file to quarantine, with a word about it. A disk that cannot be read now may be read tomorrow, and a
    /// newer version's file by a newer program: such an error ends the start instead.
    fn set_aside_damage(&mut self, path: &Path, error: Error) -> Result<(), Error> {
        if !error.is_damage() {
            return Err(error);
        }
        if self.options.recovery == RecoveryPolicy::Strict {
            let why = crate::durability::error_chain(&error);
            return Err(Error::Damaged(format!("{} is damaged or missing: {why}", path.display())));
        }
        tracing::error!("{} is set aside: {}", path.display(), crate::durability::error_chain(&error));
        self.recovery.damaged_files.push(path.to_owned());
        self.quarantine(path)
    }

    fn quarantine(&mut self, path: &Path) -> Result<(), Error> {
        let name = path.file_name().expect("files have names").to_string_lossy();
        let parent = path.parent().expect("files are in directories");
        let day = parent.file_name().unwrap_or_default().to_string_lossy();
        let target = self.paths.quarantine().join(format!("{}-{day}-{name}", self.state.incarnation()));
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

    /// Moves what no record names to quarantine; removes what was replaced durably.
    pub(crate) fn quarantine_strays(&mut self, manifest_is_clean: bool) -> Result<(), Error> {
        let mut strays = Vec::new();
        for partition in list(&*self.disk, &self.paths.partitions())?.into_iter().filter(|entry| entry.is_dir) {
            for file in list(&*self.disk, &partition.path)? {
                let Some(id) = Paths::number(&file.path) else { continue };
                self.last_file = self.last_file.max(id.0);
                if !self.state.parts.contains_key(&id) && !self.state.index_parts.contains_key(&id) {
                    strays.push((id, file.path));
                }
            }
        }
        for (id, path) in strays {
            let was_replaced = manifest_is_clean && self.state.removed.contains(&id);
            if !was_replaced {
                tracing::warn!("{} is named by no manifest record: it belongs into quarantine", path.display());
                self.quarantine(&path)?;
            } else if self.options.recovery != RecoveryPolicy::DryRun {
                self.disk.remove(&path).map_err(io_error("remove", &path))?;
            }
        }
        Ok(())
    }
}
