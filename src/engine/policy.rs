//! What a start does about damage.

use std::{fmt, str::FromStr};

/// What to do where something that had been safe is damaged or missing. A crash alone damages nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RecoveryPolicy {
    /// Keep everything that is whole, set the rest aside, and say what is missing.
    #[default]
    Salvage,
    /// The same; and what the disk does not read of the log and of containers is given up for good. The other policies
    /// refuse there, since it may be readable again.
    SalvageReadable,
    /// Refuse to start.
    Strict,
    /// Let the sequence of batches end before the first that is missing, so that what is there is a state that was.
    PointInTime,
    /// Change nothing: say what is there and what a start would do, and end.
    DryRun,
}

impl RecoveryPolicy {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Salvage, Self::SalvageReadable, Self::Strict, Self::PointInTime, Self::DryRun];

    /// Whether a start ends where a file that counts cannot be read. Of what may be whole tomorrow nothing is cut off.
    pub(super) fn refuses(self) -> bool {
        matches!(self, Self::Strict | Self::PointInTime)
    }

    /// As the flag has it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Salvage => "salvage",
            Self::SalvageReadable => "salvage-readable",
            Self::Strict => "strict",
            Self::PointInTime => "point-in-time",
            Self::DryRun => "dry-run",
        }
    }
}

impl fmt::Display for RecoveryPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// A text is no policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown recovery policy {0:?}; known are salvage, salvage-readable, strict, point-in-time and dry-run")]
pub struct PolicyError(String);

impl FromStr for RecoveryPolicy {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        Self::ALL.into_iter().find(|policy| policy.text() == text).ok_or_else(|| PolicyError(text.to_owned()))
    }
}
