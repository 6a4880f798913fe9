//! Durability modes: rows of one table, and what each promises.

use std::{fmt, ops::RangeInclusive, str::FromStr, time::Duration};

use crate::{
    durability::survives,
    metrics::{AckLevel, Failure},
};

/// Where batches are made safe until their parts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StageKind {
    /// A log of batches, written before they become visible.
    Log,
    /// A container of sorted pages, written a tick at a time.
    Container,
}

/// When something is done though nobody waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unasked {
    /// Never.
    Never,
    /// So long after the first batch that needs it: no free-running tick, so the window is a true worst case.
    After(Duration),
    /// When a log segment of so many bytes is full.
    Full(u64),
}

/// When those who wait are served; one sync serves all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// At once: others gather while the sync before runs.
    AtOnce,
    /// At once, but so long after the last time at the earliest.
    Spaced(Duration),
    /// When the one who waits longest has waited so long, or a mebibyte waits.
    Gathered(Duration),
}

/// Bytes of waiting batches for which nobody waits longer: a write this large costs more than the sync behind it.
pub(crate) const GATHERED_SIZE_MAX: u64 = 1 << 20;

/// What a mode does and promises; everything else in the layer follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Where batches go first.
    pub stage: StageKind,
    /// When a container's pages are written. A log is written with every batch, before anybody sees it.
    pub written: Unasked,
    /// When the stage is synced.
    pub synced: Unasked,
    /// When a request that waits for either is served.
    pub asked: Asked,
    /// What a request waits for that does not say.
    pub ack: AckLevel,
    /// Where the stage cannot keep an acknowledged batch's risk of a power cut below this, writes are refused.
    pub loss_max: Option<Duration>,
}

impl Policy {
    /// How long after its answer a write of this level may still be taken by a failure: zero where it is safe already,
    /// `None` where nothing bounds it. The window runs out, then the sync or commit that is running ends, then our own;
    /// `longest` is how long one has taken at most, zero where none has ended yet. So this is a bound as far as syncs have
    /// shown: one that is slower than all before widens it, and nothing holds answers back for that, but with `loss_max`.
    pub fn window(&self, delivered: AckLevel, failure: Failure, longest: Duration) -> Option<Duration> {
        // In the log's modes a batch is in the kernel's hands before anybody hears of it.
        let delivered = if self.stage == StageKind::Log { delivered.max(AckLevel::Os) } else { delivered };
        if delivered >= survives(failure) {
            return Some(Duration::ZERO);
        }
        let unasked = match failure {
            Failure::Process => self.written,
            Failure::Power => self.synced,
        };
        match (self.loss_max, unasked) {
            (Some(max), _) => Some(max),
            (None, Unasked::After(window)) => Some(window + 2 * longest),
            (None, Unasked::Never | Unasked::Full(_)) => None,
        }
    }
}

impl fmt::Display for StageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Log => "log",
            Self::Container => "container",
        })
    }
}

impl fmt::Display for Unasked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("never"),
            Self::After(window) => write!(f, "{} after the first batch that needs it", Window(*window)),
            Self::Full(size) => write!(f, "when a segment of {} is full", Size(*size)),
        }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtOnce => f.write_str("at once"),
            Self::Spaced(distance) => write!(f, "at once, but {} apart at least", Window(*distance)),
            Self::Gathered(window) => {
                write!(f, "when the first has waited {}, or {} wait", Window(*window), Size(GATHERED_SIZE_MAX))
            }
        }
    }
}

/// What an adaptive mode holds; its controller chooses between the log's rows (see `adaptive`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Ninety-nine of a hundred answers within this; as safe as that allows.
    P99Ack(Duration),
    /// No more than this much time's worth of acknowledged batches is lost to a power cut.
    MaxLoss(Duration),
}

/// What moves the watermarks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Write-ahead log; answer after an fsync shared by all who wait (group commit).
    WalSync,
    /// Write-ahead log; answer after an fsync that waits so long for company.
    WalGroup(Duration),
    /// Write-ahead log; answer after write(2), fsync so long after the first unsynced write.
    WalInterval(Duration),
    /// Write-ahead log; answer after write(2), fsync when a segment of so many bytes is full.
    WalSegment(u64),
    /// Write-ahead log; answer after write(2), leave the rest to the kernel.
    WalOs,
    /// No log; answer from memory, write and fsync sorted pages so long after the first uncommitted row.
    Parts(Duration),
    /// No log; answer from memory, write sorted pages so long after the first uncommitted row, no fsync.
    PartsOs(Duration),
    /// No log; answer after sorted pages are fsynced, which wait so long for company.
    PartsSync(Duration),
    /// No log; answer after sorted pages and a commit record are fsynced, one commit in flight (write-behind logging).
    WriteBehind,
    /// Write-ahead log; a controller chooses when to fsync from measured latency and load, to hold a target.
    Adaptive(Target),
}

const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Longer windows would keep a tick's rows uncommitted past every memory cap.
const WINDOWS: RangeInclusive<Duration> = millis(1)..=millis(3_600_000);
/// Smaller segments would be all header and definitions; larger ones take minutes to prepare.
const SEGMENT_SIZES: RangeInclusive<u64> = (64 << 10)..=(4 << 30);
/// A commit of a container makes at least a page a day: not more often than this because somebody waits.
const COMMIT_DISTANCE: Duration = millis(10);

/// The longest window an adaptive mode takes that is to hold the time of its answers.
pub(crate) const RELAXED_MAX: Duration = millis(1_000);

impl Mode {
    /// One of each, with its default parameters.
    pub const ALL: [Self; 11] = [
        Self::WalSync,
        Self::WalGroup(millis(2)),
        Self::WalInterval(millis(1_000)),
        Self::WalSegment(128 << 20),
        Self::WalOs,
        Self::Parts(millis(1_000)),
        Self::PartsOs(millis(1_000)),
        Self::PartsSync(millis(10)),
        Self::WriteBehind,
        Self::Adaptive(Target::P99Ack(millis(20))),
        Self::Adaptive(Target::MaxLoss(millis(500))),
    ];

    /// What it does. For an adaptive mode: what it begins with.
    pub fn policy(self) -> Policy {
        use Asked::{AtOnce, Gathered, Spaced};
        use Unasked::{After, Full, Never};
        let log =
            |synced, asked, ack| Policy { stage: StageKind::Log, written: Never, synced, asked, ack, loss_max: None };
        let container = |written, synced, asked, ack| Policy {
            stage: StageKind::Container,
            written,
            synced,
            asked,
            ack,
            loss_max: None,
        };
        match self {
            Self::WalSync | Self::Adaptive(Target::P99Ack(_)) => log(Never, AtOnce, AckLevel::Disk),
            Self::WalGroup(window) => log(Never, Gathered(window), AckLevel::Disk),
            Self::WalInterval(window) => log(After(window), AtOnce, AckLevel::Os),
            Self::WalSegment(size) => log(Full(size), AtOnce, AckLevel::Os),
            Self::WalOs => log(Never, AtOnce, AckLevel::Os),
            Self::Parts(t) => container(After(t), After(t), Spaced(COMMIT_DISTANCE), AckLevel::Memory),
            Self::PartsOs(t) => container(After(t), Never, Spaced(COMMIT_DISTANCE), AckLevel::Memory),
            Self::PartsSync(window) => container(Never, Never, Gathered(window), AckLevel::Disk),
            Self::WriteBehind => container(Never, Never, AtOnce, AckLevel::Disk),
            Self::Adaptive(Target::MaxLoss(max)) => {
                Policy { loss_max: Some(max), ..log(After(max / 4), AtOnce, AckLevel::Os) }
            }
        }
    }

    /// The lowest level at which a request is answered that does not say: an adaptive mode may leave the disk to the
    /// kernel.
    pub fn ack_min(self) -> AckLevel {
        match self {
            Self::Adaptive(_) => AckLevel::Os,
            _ => self.policy().ack,
        }
    }

    /// How it is called, without its parameter.
    pub fn name(self) -> &'static str {
        match self {
            Self::WalSync => "wal-sync",
            Self::WalGroup(_) => "wal-group",
            Self::WalInterval(_) => "wal-interval",
            Self::WalSegment(_) => "wal-segment",
            Self::WalOs => "wal-os",
            Self::Parts(_) => "parts",
            Self::PartsOs(_) => "parts-os",
            Self::PartsSync(_) => "parts-sync",
            Self::WriteBehind => "write-behind",
            Self::Adaptive(_) => "adaptive",
        }
    }

    /// What it is, in one line.
    pub fn help(self) -> &'static str {
        match self {
            Self::WalSync => "log; answers after an fsync shared by all who wait (group commit)",
            Self::WalGroup(_) => "log; the same, but an fsync waits this long for company",
            Self::WalInterval(_) => "log; answers after write(2), fsyncs this long after the first unsynced write",
            Self::WalSegment(_) => "log; answers after write(2), fsyncs when a segment of this size is full",
            Self::WalOs => "log; answers after write(2), never fsyncs unasked",
            Self::Parts(_) => "no log; answers from memory, fsyncs sorted pages this long after the first new row",
            Self::PartsOs(_) => "no log; answers from memory, writes sorted pages this often, never fsyncs unasked",
            Self::PartsSync(_) => "no log; answers after an fsync of sorted pages, which waits this long for company",
            Self::WriteBehind => "no log; answers after an fsync of sorted pages and a commit record, one at a time",
            Self::Adaptive(Target::P99Ack(_)) => "log; as safe as it can be while 99 of 100 answers come within this",
            Self::Adaptive(Target::MaxLoss(_)) => {
                "log; answers after write(2); a power cut takes this much time's worth at most, or writes are refused"
            }
        }
    }

    /// What a failure takes at most of what was answered at the mode's own level, in words.
    pub fn takes(self, failure: Failure) -> String {
        let policy = self.policy();
        let two = if policy.stage == StageKind::Log { "two syncs" } else { "two commits" };
        match (policy.window(policy.ack, failure, Duration::ZERO), policy.synced) {
            (Some(Duration::ZERO), _) if self.may_relax() && failure == Failure::Power => {
                format!("nothing; {} and {two}, once the disk is too slow", Window(RELAXED_MAX))
            }
            (Some(Duration::ZERO), _) => "nothing".to_owned(),
            (Some(window), _) if policy.loss_max.is_some() => Window(window).to_string(),
            (Some(window), _) => format!("{} and {two}", Window(window)),
            (None, Unasked::Full(size)) => format!("{} of log and {two}", Size(size)),
            (None, _) => "what the kernel has not written".to_owned(),
        }
    }

    /// Whether a slow disk makes it answer before the sync.
    fn may_relax(self) -> bool {
        matches!(self, Self::Adaptive(Target::P99Ack(_)))
    }

    /// The same mode with another parameter.
    fn with(self, text: &str) -> Result<Self, ModeError> {
        Ok(match self {
            Self::WalSync | Self::WalOs | Self::WriteBehind => return Err(ModeError::Parameter(self.name())),
            Self::WalGroup(_) => Self::WalGroup(window(text)?),
            Self::WalInterval(_) => Self::WalInterval(window(text)?),
            Self::WalSegment(_) => Self::WalSegment(size(text)?),
            Self::Parts(_) => Self::Parts(window(text)?),
            Self::PartsOs(_) => Self::PartsOs(window(text)?),
            Self::PartsSync(_) => Self::PartsSync(window(text)?),
            Self::Adaptive(_) => Self::Adaptive(match text.split_once('=') {
                Some(("p99_ack", text)) => Target::P99Ack(window(text)?),
                Some(("max_loss", text)) => Target::MaxLoss(window(text)?),
                _ => return Err(ModeError::Target(text.to_owned())),
            }),
        })
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name();
        match self {
            Self::WalSync | Self::WalOs | Self::WriteBehind => f.write_str(name),
            Self::WalGroup(window)
            | Self::WalInterval(window)
            | Self::Parts(window)
            | Self::PartsOs(window)
            | Self::PartsSync(window) => write!(f, "{name}={}", Window(*window)),
            Self::WalSegment(size) => write!(f, "{name}={}", Size(*size)),
            Self::Adaptive(Target::P99Ack(time)) => write!(f, "{name}(p99_ack={})", Window(*time)),
            Self::Adaptive(Target::MaxLoss(time)) => write!(f, "{name}(max_loss={})", Window(*time)),
        }
    }
}

/// Units of windows, in milliseconds, and of sizes, in bytes; the smallest first.
const TIME_UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
const SIZE_UNITS: [(&str, u64); 3] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// A window as it is parsed: a whole number of the largest unit that does.
struct Window(Duration);

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis() as u64;
        let fits = |(_, unit): &&(&str, u64)| millis >= *unit && millis.is_multiple_of(*unit);
        let (name, unit) = TIME_UNITS.iter().rev().find(fits).unwrap_or(&TIME_UNITS[0]);
        write!(f, "{}{name}", millis / unit)
    }
}

/// A size as it is parsed: a whole number of the largest unit that does.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, unit) =
            SIZE_UNITS.iter().rev().find(|(_, unit)| self.0.is_multiple_of(*unit)).unwrap_or(&SIZE_UNITS[0]);
        write!(f, "{}{name}", self.0 / unit)
    }
}

/// A mode's text is not one we know.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModeError {
    /// No such mode.
    #[error("unknown durability mode {0:?}; known are {known}", known = known())]
    Unknown(String),
    /// The mode has no parameter.
    #[error("durability mode {0} takes no parameter")]
    Parameter(&'static str),
    /// The window is no duration.
    #[error("{0:?} is not a window of time; write it as 500ms, 1s or 2m, between 1ms and 1h")]
    Window(String),
    /// The size is no size.
    #[error("{0:?} is not a size of a log segment; write it as 64KiB, 128MiB or 1GiB, between 64KiB and 4GiB")]
    Size(String),
    /// The target is none.
    #[error("{0:?} is not a target; write it as adaptive(p99_ack=20ms) or adaptive(max_loss=500ms)")]
    Target(String),
}

/// All modes with their default parameters, in one line.
fn known() -> String {
    Mode::ALL.map(|mode| mode.to_string()).join(", ")
}

impl FromStr for Mode {
    type Err = ModeError;

    fn from_str(text: &str) -> Result<Self, ModeError> {
        // Shells treat parentheses as their own, so `adaptive=max_loss=1s` will do.
        let (name, parameter) = match text.strip_suffix(')').and_then(|text| text.split_once('(')) {
            Some((name, parameter)) => (name, Some(parameter)),
            None => text.split_once('=').map_or((text, None), |(name, parameter)| (name, Some(parameter))),
        };
        let mode = Self::ALL.into_iter().find(|mode| mode.name() == name);
        let mode = mode.ok_or_else(|| ModeError::Unknown(text.to_owned()))?;
        parameter.map_or(Ok(mode), |parameter| mode.with(parameter))
    }
}

fn window(text: &str) -> Result<Duration, ModeError> {
    let window = number(text, &TIME_UNITS).map(Duration::from_millis).filter(|window| WINDOWS.contains(window));
    window.ok_or_else(|| ModeError::Window(text.to_owned()))
}

fn size(text: &str) -> Result<u64, ModeError> {
    let size = number(text, &SIZE_UNITS).filter(|size| SEGMENT_SIZES.contains(size));
    size.ok_or_else(|| ModeError::Size(text.to_owned()))
}

/// A whole number with a unit, in the smallest of the units.
fn number(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    digits.parse::<u64>().ok()?.checked_mul(*factor)
}
