//! The checks: pure functions from what was promised and what was found to what is broken.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    time::Duration,
};

use crate::{
    commands::crashtest::{
        found::Found,
        history::{Answer, Fate, Position, Receipt, Sent},
        millis,
    },
    durability::{AckLevel, Failure, Policy, StageKind, survives},
    metrics::Label,
};

/// What a server promises, whatever its mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Promise {
    /// What was acknowledged at a level that survives is there.
    Survives,
    /// What was acknowledged below that is lost only within the window its receipt stated.
    Window,
    /// A batch is there with all its samples or with none.
    Whole,
    /// Every value is the one that was sent.
    Exact,
    /// Nothing is there that was not sent.
    OnlySent,
    /// If a batch is there, so is every batch before it.
    Prefix,
    /// What one start found, and what it did not find, is so for every later start.
    Stays,
    /// An answer is no weaker than what was asked for, and says what was taken.
    Answers,
    /// The receipt of a position says what became of it.
    Receipts,
    /// The loss report holds the true number of lost samples.
    LossReport,
    /// The server starts again, and becomes ready and complete.
    Restart,
}

/// A promise that was broken, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Broken {
    pub(super) promise: Promise,
    pub(super) what: String,
}

impl Broken {
    pub(super) fn new(promise: Promise, what: impl fmt::Display) -> Self {
        Self { promise, what: what.to_string() }
    }
}

/// What the last crash took of the batches before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lost {
    /// Samples that were acknowledged.
    pub(super) samples: u64,
    /// The same by the level that their answers named, in the order of the levels.
    pub(super) by_level: [u64; AckLevel::ALL.len()],
    /// Samples that were on their way, which the server may or may not have counted as acknowledged.
    pub(super) in_flight: u64,
    /// How long before the crash the oldest acknowledged one was answered.
    pub(super) age: Duration,
}

/// Holds all that was sent against all that is there now, after a crash at `crashed`.
pub(super) fn check(row: Policy, history: &[Sent], found: &Found, crashed: Duration) -> Vec<Broken> {
    let each = history.iter().flat_map(|sent| {
        let samples = found.samples(sent.batch);
        whole(sent, samples).into_iter().chain(stays(sent, samples)).chain(answers(row, sent)).chain(match samples {
            0 => missing(row, sent, crashed),
            _ => None,
        })
    });
    let mut broken = found.broken.clone();
    broken.extend(each);
    broken.extend(prefix(history, found));
    broken.extend(never_sent(history, found));
    broken
}

/// What the crash took; to be asked before the fates are settled.
pub(super) fn lost(history: &[Sent], found: &Found, crashed: Duration) -> Lost {
    let mut lost = Lost::default();
    for sent in history.iter().filter(|sent| sent.fate == Fate::Open && found.samples(sent.batch) == 0) {
        match sent.receipt() {
            Some((receipt, at)) => {
                lost.samples += sent.samples;
                lost.by_level[receipt.level.index()] += sent.samples;
                lost.age = lost.age.max(crashed.saturating_sub(at));
            }
            None => lost.in_flight += sent.samples,
        }
    }
    lost
}

/// Writes down what became of the batches that no start had shown yet.
pub(super) fn settle(history: &mut [Sent], found: &Found) {
    for sent in history.iter_mut().filter(|sent| sent.fate == Fate::Open) {
        sent.fate = if found.samples(sent.batch) == 0 { Fate::Lost } else { Fate::Survived };
    }
}

fn whole(sent: &Sent, samples: u64) -> Option<Broken> {
    let is_torn = samples != 0 && samples != sent.samples;
    is_torn.then(|| Broken::new(Promise::Whole, format!("{samples} of {} samples of {}", sent.samples, sent.batch)))
}

fn stays(sent: &Sent, samples: u64) -> Option<Broken> {
    match (sent.fate, samples) {
        (Fate::Survived, 0) => Some(Broken::new(Promise::Stays, format!("{} was there, and is gone", sent.batch))),
        (Fate::Lost, 1..) => Some(Broken::new(Promise::Stays, format!("{} was lost, and is back", sent.batch))),
        _ => None,
    }
}

/// What an answer says of itself, looked at once.
fn answers(row: Policy, sent: &Sent) -> Option<Broken> {
    let broken = |what: String| Some(Broken::new(Promise::Answers, format!("{}: {what}", sent.batch)));
    match &sent.answer {
        _ if sent.fate != Fate::Open => None,
        Answer::Unreadable(why) => broken(why.clone()),
        Answer::Acknowledged(receipt, _) if receipt.samples != sent.samples => {
            broken(format!("{} of {} samples are said to be taken", receipt.samples, sent.samples))
        }
        Answer::Acknowledged(receipt, _) if receipt.level < sent.asked.unwrap_or(row.ack) => {
            broken(format!("the answer's level is lower than asked for: {}", describe(receipt)))
        }
        _ => None,
    }
}

/// Whether a batch that is not there may be missing.
fn missing(row: Policy, sent: &Sent, crashed: Duration) -> Option<Broken> {
    let (receipt, at) = sent.receipt().filter(|_| sent.fate == Fate::Open)?;
    let age = crashed.saturating_sub(at);
    let (batch, receipt_text) = (sent.batch, describe(&receipt));
    if reached(row, receipt.level) >= survives(Failure::Process) || receipt.window == Some(Duration::ZERO) {
        return Some(Broken::new(Promise::Survives, format!("{batch} is lost: {receipt_text}")));
    }
    let is_late = receipt.window.is_some_and(|window| age > window);
    is_late.then(|| {
        Broken::new(Promise::Window, format!("{batch} is lost {} after its answer: {receipt_text}", millis(age)))
    })
}

/// The level a batch has reached when it is answered at `level`: with a log it is in the kernel's hands before that.
fn reached(row: Policy, level: AckLevel) -> AckLevel {
    match row.stage {
        StageKind::Log => level.max(AckLevel::Os),
        StageKind::Container => level,
    }
}

fn describe(receipt: &Receipt) -> String {
    let window = receipt.window.map_or_else(|| "no bound".to_owned(), millis);
    format!("acknowledged at level {:?} as {}, window {window}", receipt.level, receipt.position)
}

/// Of each incarnation, the first number that is missing must lie above the last one that is there.
fn prefix(history: &[Sent], found: &Found) -> Vec<Broken> {
    let mut ends: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    // Where there was a hole before, it has been told.
    for sent in history.iter().filter(|sent| sent.fate == Fate::Open) {
        let Some((Receipt { position, .. }, _)) = sent.receipt() else { continue };
        let (missing, there) = ends.entry(position.incarnation).or_insert((u64::MAX, 0));
        match found.samples(sent.batch) {
            0 => *missing = position.number.min(*missing),
            _ => *there = position.number.max(*there),
        }
    }
    let holes = ends.iter().filter(|(_, (missing, there))| missing < there);
    holes
        .map(|(start, (missing, there))| {
            Broken::new(Promise::Prefix, format!("{start}/{missing} is lost, but {start}/{there} is there"))
        })
        .collect()
}

fn never_sent(history: &[Sent], found: &Found) -> Vec<Broken> {
    let sent: HashSet<_> = history.iter().map(|sent| sent.batch).collect();
    let others = found.batches().filter(|batch| !sent.contains(batch));
    others.map(|batch| Broken::new(Promise::OnlySent, format!("{batch} is there"))).collect()
}

/// Whether the receipt of a position tells what became of it. `expired` is an honest answer: it claims nothing.
pub(super) fn receipt(position: Position, fate: Fate, said: &str) -> Option<Broken> {
    let is_true = match fate {
        Fate::Survived => matches!(said, "safe" | "pending" | "expired"),
        Fate::Lost => matches!(said, "lost" | "expired"),
        Fate::Open => true,
    };
    let truth = if fate == Fate::Lost { "lost" } else { "there" };
    (!is_true)
        .then(|| Broken::new(Promise::Receipts, format!("the receipt of {position} says {said:?}; it is {truth}")))
}

/// What the server reports to have lost in the last crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LossReport {
    pub(super) min: u64,
    /// `None` is no bound.
    pub(super) max: Option<u64>,
    pub(super) is_exact: bool,
}

/// Whether the report agrees with what is lost: answers that the crash ate count for the server, not for us.
pub(super) fn loss_report(report: LossReport, lost: Lost) -> Option<Broken> {
    let (least, most) = (lost.samples, lost.samples + lost.in_flight);
    let LossReport { min, max, is_exact } = report;
    let agrees = min <= most && max.is_none_or(|max| max >= least && max >= min) && (!is_exact || max == Some(min));
    let what = format!("{report:?}, but {least} acknowledged samples are lost, and {} in flight", lost.in_flight);
    (!agrees).then(|| Broken::new(Promise::LossReport, what))
}
