//! Durability modes: rows of one table, and what each promises.

use std::{fmt, str::FromStr, time::Duration};

use crate::metrics::AckLevel;

/// Where batches are made safe until their parts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StageKind {
    /// A log of batches, written before they become visible.
    Log,
    /// A container of sorted pages, written a tick at a time.
    Container,
}

/// What starts a sync, besides nothing at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// As soon as somebody waits; one sync serves all who wait.
    SomebodyWaits,
    /// So long after the first write that is not safe yet. Who waits meanwhile is served at once.
    After(Duration),
}

/// What a mode does and promises; everything else in the layer follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Where batches go first.
    pub stage: StageKind,
    /// When they are synced unasked.
    pub sync: When,
    /// What a request waits for that does not say.
    pub ack: AckLevel,
}

/// What moves the watermarks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Write-ahead log; acknowledge after a sync shared with everyone who was waiting (group commit).
    WalSync,
    /// No log; acknowledge from memory, and commit sorted pages with a sync so long after the first uncommitted row.
    Parts(Duration),
}

impl Mode {
    /// One of each, with its default parameters.
    pub const ALL: [Self; 2] = [Self::WalSync, Self::Parts(Duration::from_secs(1))];

    /// What it does.
    pub fn policy(self) -> Policy {
        match self {
            Self::WalSync => Policy { stage: StageKind::Log, sync: When::SomebodyWaits, ack: AckLevel::Disk },
            Self::Parts(window) => {
                Policy { stage: StageKind::Container, sync: When::After(window), ack: AckLevel::Memory }
            }
        }
    }

    /// What it is, in one line.
    pub fn help(self) -> &'static str {
        match self {
            Self::WalSync => "write-ahead log; answer after an fsync shared by all who wait (group commit)",
            Self::Parts(_) => "no log; answer from memory, write sorted pages and fsync them on a timer",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WalSync => f.write_str("wal-sync"),
            Self::Parts(window) => write!(f, "parts={window:?}"),
        }
    }
}

/// A mode's text is not one we know.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModeError {
    /// No such mode.
    #[error("unknown durability mode {0:?}; known are wal-sync and parts=<window>, as in parts=1s")]
    Unknown(String),
    /// The window is no duration.
    #[error("{0:?} is not a window of time; write it as 500ms, 1s or 2m, between 1ms and 1h")]
    Window(String),
}

impl FromStr for Mode {
    type Err = ModeError;

    fn from_str(text: &str) -> Result<Self, ModeError> {
        match (text, text.split_once('=')) {
            ("wal-sync", _) => Ok(Self::WalSync),
            ("parts", _) => Ok(Self::ALL[1]),
            (_, Some(("parts", window))) => parse_window(window).map(Self::Parts),
            _ => Err(ModeError::Unknown(text.to_owned())),
        }
    }
}

fn parse_window(text: &str) -> Result<Duration, ModeError> {
    let error = || ModeError::Window(text.to_owned());
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(error)?;
    let number: u64 = text[..digits].parse().map_err(|_| error())?;
    let millis = match &text[digits..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(error()),
    };
    let window = Duration::from_millis(number.checked_mul(millis).ok_or_else(error)?);
    // Longer windows would keep a tick's rows uncommitted past every memory cap.
    let sensible = Duration::from_millis(1)..=Duration::from_secs(3_600);
    if sensible.contains(&window) { Ok(window) } else { Err(error()) }
}
