//! Where everything is in a data directory.

use std::path::{Path, PathBuf};

use crate::model::{Day, PartId};

/// The paths of a data directory.
#[derive(Clone, Debug)]
pub struct Paths {
    /// The directory itself.
    pub root: PathBuf,
}

impl Paths {
    /// Held by the server that uses the directory.
    pub fn lock(&self) -> PathBuf {
        self.root.join("LOCK")
    }

    /// What has been promised.
    pub fn ledger(&self) -> PathBuf {
        self.root.join("LEDGER")
    }

    /// Space kept for the manifest.
    pub fn reserve(&self) -> PathBuf {
        self.root.join("RESERVE")
    }

    /// Log segments, where nothing else is said.
    pub fn wal(&self) -> PathBuf {
        self.root.join("wal")
    }

    /// Which directories outside of this one the log is in.
    pub fn log_note(&self) -> PathBuf {
        self.root.join("LOGS")
    }

    /// Containers.
    pub fn containers(&self) -> PathBuf {
        self.root.join("containers")
    }

    /// One directory a day.
    pub fn partitions(&self) -> PathBuf {
        self.root.join("partitions")
    }

    /// Files that are damaged or that nothing accounts for.
    pub fn quarantine(&self) -> PathBuf {
        self.root.join("quarantine")
    }

    /// Where a damaged part or index part goes that start `incarnation` sets aside. Later starts read off the name that it
    /// is missing, until somebody takes it away.
    pub fn damaged(&self, incarnation: u32, day: Day, file: &Path) -> PathBuf {
        let name = file.file_name().expect("files have names").to_string_lossy();
        self.quarantine().join(format!("{incarnation}-{day}-{name}.damaged"))
    }

    /// What [`Self::damaged`] made a path of: the day, and the file's name.
    pub fn parse_damaged(path: &Path) -> Option<(Day, &str)> {
        let name = path.file_name()?.to_str()?.strip_suffix(".damaged")?;
        let (day, name) = name.split_once('-')?.1.rsplit_once('-')?;
        Some((Day::parse(day)?, name))
    }

    /// Where a damaged file of the stage goes: on the disk it is on, since a rename does not leave it.
    pub fn stage_quarantine(&self, file: &Path) -> PathBuf {
        match file.parent() {
            Some(dir) if !dir.starts_with(&self.root) => dir.join("quarantine"),
            _ => self.quarantine(),
        }
    }

    /// A day's parts.
    pub fn partition(&self, day: Day) -> PathBuf {
        self.partitions().join(day.to_string())
    }

    /// `partitions/2026-11-20/00000031.part`
    pub fn part(&self, day: Day, id: PartId) -> PathBuf {
        self.partition(day).join(format!("{id:08}.part"))
    }

    /// `partitions/2026-11-20/00000031.index`
    pub fn index_part(&self, day: Day, id: PartId) -> PathBuf {
        self.partition(day).join(format!("{id:08}.index"))
    }

    /// The number a part or index part is named after.
    pub fn number(path: &Path) -> Option<PartId> {
        path.file_stem()?.to_str()?.parse().ok().map(PartId)
    }
}
