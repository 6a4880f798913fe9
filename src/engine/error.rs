//! What can go wrong with a directory.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::manifest;
use crate::disk;

/// Why a directory could not be opened, or a step not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is data, but no manifest that says what of it counts.
    #[error(
        "no manifest in {} can be read, but there is data; restore MANIFEST-* and CURRENT, or move everything away",
        .0.display()
    )]
    NoManifest(PathBuf),
    /// Something that had been safe is damaged or missing, and the recovery policy is strict.
    #[error("{0}; --recovery strict leaves everything as it is, --recovery salvage keeps what is whole")]
    Damaged(String),
    /// A file that counts cannot be read, and the recovery policy gives nothing up for that.
    #[error(
        "{} cannot be read: repair the disk, or bring the file back from a copy; --recovery salvage starts without what \
        it holds, leaves it where it is, and reads it again at the next start",
        .path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: Box<Error>,
    },
    /// A file of the log, or a container, cannot be read. What only it holds is not given up for that.
    #[error(
        "{} cannot be read, and what it holds may be nowhere else: start again once the disk reads it; --recovery \
        salvage-readable gives up for good what cannot be read, and keeps the file in quarantine",
        .path.display()
    )]
    UnreadableStage {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: Box<Error>,
    },
    /// A dry run was asked for where a start was wanted.
    #[error("a dry run opens nothing")]
    DryRun,
    /// The log directory of another data directory.
    #[error("the log directory {} belongs to {owner}", .dir.display())]
    ForeignLog {
        /// The log directory.
        dir: PathBuf,
        /// What its `OWNER` file says of that.
        owner: String,
    },
    /// A directory that held the log is not there, or is another one now.
    #[error(
        "the log directory {dir} is not the one that was used last: is its disk mounted? It may hold writes that are in no \
        part yet; if it is gone for good, remove {note} and {note}.copy and name it no more",
        dir = .dir.display(), note = .note.display()
    )]
    MissingLog {
        /// The log directory.
        dir: PathBuf,
        /// The file that names it.
        note: PathBuf,
    },
    /// A directory that held the log, and still does, is not to be used any more.
    #[error(
        "the log directory {dir} was used last and still holds log segments: start with it, and stop cleanly before it is \
        changed; if what is there is not wanted, remove {note} and {note}.copy",
        dir = .dir.display(), note = .note.display()
    )]
    ForgottenLog {
        /// The log directory.
        dir: PathBuf,
        /// The file that names it.
        note: PathBuf,
    },
    /// A file that says where the log is, or whose, is damaged, and so is its copy.
    #[error(
        "{path} and {path}.copy are damaged: if every directory of the log is mounted, and named as it was by --wal-dir and \
        --wal-mirror-dir, remove both files, and the next start makes them anew",
        path = .0.display()
    )]
    DamagedNote(PathBuf),
    /// Of two copies of the log the one that is there is behind the other.
    #[error(
        "the log in {dir} lacks writes that only {other} holds, which is not there or cannot be read: bring it back; if it \
        is gone for good, --recovery point-in-time starts without these writes and all after them, and without LOGS a start \
        that names {dir} alone keeps what it holds",
        dir = .dir.display(), other = .other.display()
    )]
    StaleLog {
        /// The directory that is there.
        dir: PathBuf,
        /// The one that went on without it.
        other: PathBuf,
    },
    /// A directory of a log in two copies does not work, and both are needed.
    #[error(
        "the log directory {} cannot be used, and both copies of the log are needed: repair it, or go on with the other \
        alone by --wal-mirror 1-of-2",
        .dir.display()
    )]
    Copy {
        /// The log directory.
        dir: PathBuf,
        /// What went wrong there.
        source: Box<Error>,
    },
    /// The log and its mirror would be one.
    #[error("the log and its mirror are the same directory {}", .0.display())]
    SameLog(PathBuf),
    /// Another server has it.
    #[error("data directory {} is in use by another server (its LOCK file is held)", .0.display())]
    Locked(PathBuf),
    /// The disk refused.
    #[error("{action} {path}")]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The disk's answer.
        source: io::Error,
    },
    /// The manifest.
    #[error(transparent)]
    Manifest(#[from] manifest::Error),
    /// A file of the stage.
    #[error(transparent)]
    Stage(#[from] crate::stage::Error),
    /// A part.
    #[error("{action} {path}")]
    Part {
        /// What was attempted.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What went wrong.
        source: crate::parts::Error,
    },
    /// An index part.
    #[error("{action} {path}")]
    Index {
        /// What was attempted.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What went wrong.
        source: crate::index::Error,
    },
    /// A directory was moved away or replaced.
    #[error("the directory {} is gone, or is another one now", .0.display())]
    Gone(PathBuf),
    /// A thread could not be started.
    #[error("start a thread")]
    Thread(#[source] io::Error),
}

impl Error {
    /// The file or directory it is about, where it tells.
    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Self::Io { path, .. } | Self::MissingLog { dir: path, .. } | Self::DamagedNote(path) => Some(path),
            Self::Stage(crate::stage::Error::Io { path, .. }) => Some(path),
            _ => None,
        }
    }

    /// Whether there was no room.
    pub(super) fn is_full(&self) -> bool {
        let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        match self {
            Self::Io { source, .. } => full.contains(&source.kind()),
            Self::Manifest(error) => error.is_full(),
            _ => false,
        }
    }

    /// Whether the disk does not read what is there: it may tomorrow.
    pub(super) fn is_unreadable(&self) -> bool {
        match self {
            Self::Io { source, .. }
            | Self::Stage(crate::stage::Error::Io { source, .. })
            | Self::Part { source: crate::parts::Error::Read { source, .. }, .. } => disk::is_unreadable(source),
            Self::Index { source, .. } => source.is_unreadable(),
            _ => false,
        }
    }

    /// Whether a file is not what was written, or is missing; not where it cannot be read, or is of another version.
    pub(super) fn is_damage(&self) -> bool {
        use crate::index::Error as Index;
        match self {
            Self::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
            Self::Part { source, .. } => source.is_damage(),
            Self::Index { source, .. } => !matches!(source, Index::Version(_) | Index::Read { .. }),
            _ => false,
        }
    }
}
