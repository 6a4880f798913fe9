//! One committer for every mode: it numbers batches, stages them, makes them visible, and acknowledges.
//!
//! ```text
//! submit ─► inbox ─► committer thread: number │ log: write(2) │ insert │ visible, process_safe ─► answers
//!                         │ unsynced files (log) or a tick of slots (container)
//!                         ▼
//!                    syncer thread: log: fsync, oldest file first │ container: pages + commit, fsync ─► answers
//! ```
//!
//! Always: numbers rise by one, in the order of the log; nothing is answered before the watermark it waits for has
//! passed it; in log modes a batch is in the kernel's hands before a query can see it. A failed write or sync is never
//! repeated on that file: the pages may be gone, and a retry would lie. What the file held is made safe by flushing its
//! generation at once, and a fresh file takes what comes; where that fails too, nothing is acknowledged until the disk
//! works again.
//! Both threads are loops around `step(now)`, where `now` is time since the server's start; tests call it themselves.
//! Not here: what parts a generation becomes (`flush`), and what a start finds (`engine`).

mod adaptive;
mod answers;
mod behind;
mod bell;
mod committer;
mod copies;
mod defined;
mod due;
mod generations;
mod health;
mod inbox;
mod lanes;
mod ledger;
mod log;
mod marks;
mod mode;
mod release;
mod shared;
mod spares;
mod syncer;
mod work;
mod workers;

#[cfg(test)]
mod tests;

pub use answers::{Ack, RenewLedger, Ticket};
pub use behind::NoteBehind;
pub use bell::Bell;
pub use committer::{Committer, Record, RecordError, Start, error_chain};
pub use copies::Mirror;
pub use defined::Defined;
pub use generations::Generations;
pub use health::Stopped;
pub use inbox::{Refused, SwitchError, Switched};
pub use ledger::{Ledger, LedgerRecord, Promised, describe_ledger};
pub use marks::{AtRisk, Watermarks, survives};
pub use mode::{Asked, Mode, ModeError, Policy, StageKind, Target, Unasked};
pub use shared::{Durability, Limits};
pub use spares::remove_spares;
pub use syncer::{EncodePages, Pages, Syncer, Tick};
pub use workers::Workers;

pub use crate::metrics::{AckLevel, Failure};

/// What can go wrong while a batch is made safe.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the stage failed.
    #[error(transparent)]
    Stage(#[from] crate::stage::Error),
    /// A file could not be synced.
    #[error("sync {path}")]
    Sync {
        /// The file.
        path: std::path::PathBuf,
        /// The disk's answer.
        source: std::io::Error,
    },
    /// Sequence numbers could not be recorded: more as reserved, or rejected ones as void.
    #[error("record sequence numbers")]
    Record(#[source] RecordError),
    /// It could not be noted which copy of the log is behind.
    #[error("note that a copy of the log is behind the other")]
    Behind(#[source] RecordError),
    /// The ledger could not be made anew.
    #[error("begin the ledger anew")]
    Ledger(#[source] std::io::Error),
    /// The pages of a tick could not be built.
    #[error("build the pages of a commit")]
    Pages(#[source] Box<dyn std::error::Error + Send + Sync>),
}
