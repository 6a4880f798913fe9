//! What was asked, what was answered, and when: all that a client knows.

use std::{fmt, str::FromStr, time::Duration};

use crate::{commands::crashtest::batch::BatchId, durability::AckLevel, metrics::Label};

/// A batch's place in the order of all, as a receipt gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) incarnation: u64,
    pub(super) number: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.incarnation, self.number)
    }
}

impl FromStr for Position {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/').and_then(|(start, number)| Some((start.parse().ok()?, number.parse().ok()?)));
        let (incarnation, number) = parts.ok_or_else(|| format!("{text:?} is no position"))?;
        Ok(Self { incarnation, number })
    }
}

/// What the answer to a write promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Receipt {
    pub(super) level: AckLevel,
    pub(super) position: Position,
    /// For so long a process crash may still take the batch; `None` is for ever.
    pub(super) window: Option<Duration>,
    pub(super) samples: u64,
}

impl Receipt {
    /// Reads it from the headers of an answer.
    pub(super) fn parse<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Result<Self, String> {
        let text = |name: &str| header(name).ok_or_else(|| format!("no header {name}"));
        let level = text("durability-level")?;
        let known = AckLevel::ALL.iter().copied().find(|known| known.text() == level);
        let whole = |name| text(name)?.parse().map_err(|_| format!("{name} is no number"));
        Ok(Self {
            level: known.ok_or_else(|| format!("{level:?} is no ack level"))?,
            position: text("durability-position")?.parse()?,
            window: match text("durability-window-process-ms")? {
                "inf" => None,
                _ => Some(Duration::from_millis(whole("durability-window-process-ms")?)),
            },
            samples: whole("accepted-samples")?,
        })
    }
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It was taken, and the whole answer was here at that time since the test's start.
    Acknowledged(Receipt, Duration),
    /// The server took it but its receipt makes no sense.
    Unreadable(String),
    /// The server would not have it (such as 503).
    Refused(u16),
    /// The server died first.
    None,
}

/// What became of a batch, as the first start after it showed. No later start may show anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Not looked at yet.
    Open,
    Survived,
    Lost,
}

/// A request, its answer, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) batch: BatchId,
    pub(super) samples: u64,
    /// The level it asked for, if it asked.
    pub(super) asked: Option<AckLevel>,
    pub(super) answer: Answer,
    pub(super) fate: Fate,
}

impl Sent {
    /// The receipt, if it has one, and when it came.
    pub(super) fn receipt(&self) -> Option<(Receipt, Duration)> {
        match self.answer {
            Answer::Acknowledged(receipt, at) => Some((receipt, at)),
            _ => None,
        }
    }
}
