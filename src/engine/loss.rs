//! What the end of a start took of what it had acknowledged: a pure function from the ledger and what was recovered.

use std::fmt;

use crate::{
    durability::{Failure, LedgerRecord},
    model::{SeqNo, counted},
};

/// How a start ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// As it should.
    Clean,
    /// Before it took the first batch.
    Unserved,
    /// The process was killed or failed; the machine went on.
    Process,
    /// The machine went down: a power cut, a kernel panic, or a reboot with the server running.
    Power,
    /// No ledger tells.
    Unknown,
    /// The machine went on, but its file system was mounted anew, or cannot tell that it was not: then what was written and
    /// not synced may be gone, the ledger's last records included.
    FileSystem,
}

impl Ending {
    /// In the order of their numbers in the manifest.
    pub(crate) const ALL: [Self; 6] =
        [Self::Clean, Self::Unserved, Self::Process, Self::Power, Self::Unknown, Self::FileSystem];

    /// One word, as the API has it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Unserved => "unserved",
            Self::Process => "process",
            Self::FileSystem => "file_system",
            Self::Power => "power",
            Self::Unknown => "unknown",
        }
    }
}

/// A count that may be known only in part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// At least so many.
    pub min: u64,
    /// At most so many, where something says so.
    pub max: Option<u64>,
}

impl Bounds {
    const NONE: Self = Self { min: 0, max: Some(0) };

    fn exactly(count: u64) -> Self {
        Self { min: count, max: Some(count) }
    }
}

/// What was acknowledged and is gone, by the end of one start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The start that ended.
    pub incarnation: u32,
    /// How.
    pub ending: Ending,
    /// When its last ledger record was written, in nanoseconds since 1970; 0 where there is none.
    pub clock: i64,
    /// The highest number acknowledged, as far as the ledger knows.
    pub acknowledged: SeqNo,
    /// The last of its numbers that survived.
    pub end: SeqNo,
    /// Acknowledged batches above the end.
    pub batches: Bounds,
    /// Samples in them.
    pub samples: Bounds,
    /// Batches up to the end that had been safe and are damaged; they come on top.
    pub damaged_batches: u64,
}

/// What has been up since a ledger's record was written, as far as it can be proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stayed {
    /// The file systems are mounted as they were: their page cache is the same, so the record is the last one written.
    FileSystem,
    /// The machine.
    Machine,
    /// Nothing.
    Nothing,
}

impl Stayed {
    /// By the boot and the mounts that a record names, and those of now; a mount of 0 is one that cannot be told.
    pub(crate) fn between(record: &LedgerRecord, (boot, mount): (u128, u64)) -> Self {
        match record.boot == boot {
            true if mount != 0 && record.mount == mount => Self::FileSystem,
            true => Self::Machine,
            false => Self::Nothing,
        }
    }
}

/// What a start knows of the one before it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Evidence<'a> {
    /// The start that ended, and the first number it could give out.
    pub(crate) incarnation: u32,
    pub(crate) first: SeqNo,
    /// The newest record of the ledger.
    pub(crate) ledger: Option<&'a LedgerRecord>,
    /// What has been up since the record was written.
    pub(crate) stayed: Stayed,
    /// The last of its numbers that survived.
    pub(crate) end: SeqNo,
    /// Samples accepted up to the end, where that is known exactly.
    pub(crate) samples: Option<u64>,
    /// Numbers up to the end that had been safe and are gone.
    pub(crate) damaged_batches: u64,
}

impl Loss {
    /// Exact after a clean end, and after a crash of the process unless only some of what was at risk survived; bounds
    /// otherwise. After a power cut, or with a file system that was mounted anew, they are of what the ledger's last record on
    /// the disk tells: that may be older than the last answers, so the upper bound holds for what had been answered then.
    pub(crate) fn assess(evidence: Evidence<'_>) -> Self {
        let Evidence { incarnation, end, damaged_batches, .. } = evidence;
        let of_it = evidence.ledger.filter(|record| record.incarnation == incarnation);
        let loss = Self {
            incarnation,
            ending: Ending::Unknown,
            clock: of_it.map_or(0, |record| record.clock),
            acknowledged: of_it.map_or(SeqNo(0), LedgerRecord::acknowledged),
            end,
            batches: Bounds::default(),
            samples: Bounds::default(),
            damaged_batches,
        };
        let nothing = |ending| Self { ending, batches: Bounds::NONE, samples: Bounds::NONE, ..loss };
        match (of_it, evidence.ledger) {
            (Some(record), _) if record.is_clean && record.acknowledged() <= end => nothing(Ending::Clean),
            (Some(record), _) => {
                let (ending, failure) = match evidence.stayed {
                    Stayed::FileSystem => (Ending::Process, Failure::Process),
                    Stayed::Machine => (Ending::FileSystem, Failure::Power),
                    Stayed::Nothing => (Ending::Power, Failure::Power),
                };
                let (batches, samples) = beyond(record, failure, evidence);
                Self { ending, batches, samples, ..loss }
            }
            // Each start writes the ledger before it serves.
            (None, Some(older)) if older.incarnation < incarnation => nothing(Ending::Unserved),
            (None, _) => loss,
        }
    }

    /// Whether it is known to the sample.
    pub fn is_exact(&self) -> bool {
        self.is_ledger_last() && self.samples.max == Some(self.samples.min)
    }

    /// Whether nothing is lost, for sure.
    pub fn is_none(&self) -> bool {
        self.is_ledger_last() && self.samples == Bounds::NONE && self.damaged_batches == 0
    }

    /// Whether the ledger's record that was found tells of every answer: losing the page cache may bring back an older one.
    pub fn is_ledger_last(&self) -> bool {
        !matches!(self.ending, Ending::FileSystem | Ending::Power | Ending::Unknown)
    }
}

/// Acknowledged batches and samples above the end, as far as a record knows of them.
fn beyond(record: &LedgerRecord, failure: Failure, evidence: Evidence<'_>) -> (Bounds, Bounds) {
    let before = SeqNo(evidence.first.0 - 1);
    let (end, safe, last) = (evidence.end.max(before), record.safe(failure).max(before), record.acknowledged());
    let at_risk = record.at_risk(failure);
    if last <= end {
        return (Bounds::NONE, Bounds::NONE);
    }
    if end == safe {
        return (Bounds::exactly(at_risk.batches), Bounds::exactly(at_risk.samples));
    }
    let accepted_beyond = evidence.samples.map(|samples| record.samples.saturating_sub(samples));
    if let (true, Some(samples)) = (safe < end && at_risk.batches == last.0 - safe.0, accepted_beyond) {
        // Every number above what was safe had been acknowledged, so all that is missing was.
        return (Bounds::exactly(last.0 - end.0), Bounds::exactly(samples));
    }
    // Any of the batches between the watermark and the end may be acknowledged ones; each has a sample at least.
    let survivors_max = end.0.saturating_sub(safe.0);
    let min = at_risk.batches.saturating_sub(survivors_max);
    // What was safe and is not here any more had perhaps been acknowledged.
    let batches_max = if end < safe { last.0 - end.0 } else { at_risk.batches.min(last.0 - end.0) };
    let samples_min = if end < safe { at_risk.samples } else { min };
    let samples_max = match accepted_beyond {
        _ if end < safe => accepted_beyond,
        Some(accepted) => Some(at_risk.samples.min(accepted)),
        None => Some(at_risk.samples),
    };
    (Bounds { min, max: Some(batches_max) }, Bounds { min: samples_min, max: samples_max })
}

impl Bounds {
    /// "at least 1 batch", "between 1 and 2 batches"
    fn counted(self, one: &str, many: &str) -> String {
        match self.max {
            Some(max) if max == self.min => counted(max, one, many),
            Some(max) => format!("between {} and {}", self.min, counted(max, one, many)),
            None => format!("at least {}", counted(self.min, one, many)),
        }
    }
}

/// "1 batch", "2 batches"
pub(crate) fn batches(count: u64) -> String {
    counted(count, "batch", "batches")
}

/// A moment as people write it.
fn moment(nanos: i64) -> String {
    let time = jiff::Timestamp::from_nanosecond(i128::from(nanos));
    time.map_or_else(|_| format!("{nanos} ns after 1970"), |time| time.to_string())
}

/// One sentence for whoever reads the log after a crash.
impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = self.incarnation;
        match self.ending {
            Ending::Clean => write!(f, "start {start} ended cleanly")?,
            Ending::Unserved => write!(f, "start {start} ended before it took a write")?,
            Ending::Process => write!(f, "start {start} ended with its process, while the machine stayed up")?,
            Ending::FileSystem => write!(
                f,
                "start {start} ended while the machine stayed up, but its file system was mounted anew since, or cannot tell \
                 that it was not"
            )?,
            Ending::Power => write!(f, "start {start} ended with the machine (power cut, kernel panic or reboot)")?,
            Ending::Unknown => write!(f, "how start {start} ended is not known, as its ledger is missing or damaged")?,
        }
        let (end, last) = (self.end, self.acknowledged);
        match (self.samples, self.ending) {
            (Bounds::NONE, _) if self.damaged_batches > 0 => write!(f, ": of what was not safe nothing is lost")?,
            (Bounds::NONE, _) => write!(f, ": nothing acknowledged is lost, the last batch is {end}")?,
            (_, Ending::Unknown) => write!(f, ": what is lost behind batch {end} is not known")?,
            (Bounds { max, .. }, _) => {
                let samples = self.samples.counted("acknowledged sample", "acknowledged samples");
                write!(f, ": lost are {samples} in {} behind {end}", self.batches.counted("batch", "batches"))?;
                if max.is_some() {
                    write!(f, ", up to {last}")?;
                }
            }
        }
        if matches!(self.ending, Ending::FileSystem | Ending::Power) {
            let moment = moment(self.clock);
            write!(
                f,
                "; so by the ledger's last record on the disk, of {moment}: of answers given after it nothing is known"
            )?;
        }
        match self.damaged_batches {
            0 => Ok(()),
            count => write!(f, "; {} that had been safe: damaged and lost", batches(count)),
        }
    }
}
