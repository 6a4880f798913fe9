//! What a person reads in the end.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use crate::{
    commands::{
        crashtest::{
            check::{Broken, Lost, Promise},
            history::{Answer, Sent},
            millis,
        },
        table,
    },
    durability::{AckLevel, Mode, StageKind},
    metrics::Label,
};

/// Breaches of one promise that are told in full, of each mode.
const SHOWN_MAX: usize = 3;

/// Samples that were answered at one level.
#[derive(Clone, Copy, Debug, Default)]
struct OfLevel {
    acknowledged: u64,
    lost: u64,
}

impl fmt::Display for OfLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.acknowledged {
            0 => f.write_str("-"),
            acknowledged => write!(f, "{} of {acknowledged}", self.lost),
        }
    }
}

/// What came of one mode.
#[derive(Clone, Debug)]
pub(super) struct ModeReport {
    pub(super) mode: Mode,
    pub(super) dir: PathBuf,
    pub(super) rounds: u32,
    requests: u64,
    refused: u64,
    acknowledged_samples: u64,
    levels: [OfLevel; AckLevel::ALL.len()],
    oldest_lost: Duration,
    /// The widest window that a receipt stated; `None` is no bound.
    window: Option<Duration>,
    ready: Duration,
    complete: Duration,
    replayed: u64,
    pub(super) receipts_checked: u64,
    pub(super) loss_reports_checked: u64,
    pub(super) broken: Vec<Broken>,
}

impl ModeReport {
    pub(super) fn new(mode: Mode, dir: PathBuf) -> Self {
        Self {
            mode,
            dir,
            rounds: 0,
            requests: 0,
            refused: 0,
            acknowledged_samples: 0,
            levels: Default::default(),
            oldest_lost: Duration::ZERO,
            window: Some(Duration::ZERO),
            ready: Duration::ZERO,
            complete: Duration::ZERO,
            replayed: 0,
            receipts_checked: 0,
            loss_reports_checked: 0,
            broken: Vec::new(),
        }
    }

    /// Counts what one round sent.
    pub(super) fn add_load(&mut self, sent: &[Sent]) {
        self.rounds += 1;
        self.requests += sent.len() as u64;
        self.refused += sent.iter().filter(|sent| matches!(sent.answer, Answer::Refused(_))).count() as u64;
        for (sent, (receipt, _)) in sent.iter().filter_map(|sent| Some((sent, sent.receipt()?))) {
            self.acknowledged_samples += sent.samples;
            self.levels[receipt.level.index()].acknowledged += sent.samples;
            self.window = self.window.zip(receipt.window).map(|(widest, window)| widest.max(window));
        }
    }

    /// Counts what a crash took.
    pub(super) fn add_lost(&mut self, lost: Lost) {
        self.levels.iter_mut().zip(lost.by_level).for_each(|(level, samples)| level.lost += samples);
        self.oldest_lost = self.oldest_lost.max(lost.age);
    }

    /// Notes how long a start took and what it did; the slowest and the most are shown.
    pub(super) fn add_restart(&mut self, ready: Duration, complete: Duration, replayed: u64) {
        self.ready = self.ready.max(ready);
        self.complete = self.complete.max(ready + complete);
        self.replayed = self.replayed.max(replayed);
    }

    /// How long a start takes here, until it is known from one.
    pub(super) fn usual_start(&self) -> Duration {
        self.complete.max(Duration::from_millis(20))
    }

    /// Whether it kept its promises, and made any: where nothing was acknowledged, nothing was tested.
    pub(super) fn is_ok(&self) -> bool {
        self.broken.is_empty() && self.acknowledged_samples > 0
    }

    /// Samples lost that had been acknowledged at `memory`, which a crash may take where there is no log; and all others.
    fn lost(&self) -> (u64, u64) {
        let lost = self.levels.each_ref().map(|level| level.lost);
        let allowed = match self.mode.policy().stage {
            StageKind::Log => 0,
            StageKind::Container => lost[AckLevel::Memory.index()],
        };
        (allowed, lost.iter().sum::<u64>() - allowed)
    }

    fn row(&self) -> Vec<String> {
        let of_level = |level: AckLevel| self.levels[level.index()].to_string();
        vec![
            self.mode.to_string(),
            self.rounds.to_string(),
            self.requests.to_string(),
            self.refused.to_string(),
            of_level(AckLevel::Memory),
            of_level(AckLevel::Os),
            of_level(AckLevel::Disk),
            millis(self.oldest_lost),
            self.window.map_or_else(|| "no bound".to_owned(), millis),
            millis(self.ready),
            millis(self.complete),
            self.replayed.to_string(),
            self.verdict(),
        ]
    }

    fn verdict(&self) -> String {
        let promises: Vec<_> = self.by_promise().keys().map(|promise| format!("{promise:?}")).collect();
        match (promises.as_slice(), self.acknowledged_samples) {
            ([], 0) => "NOT TESTED".to_owned(),
            ([], _) => "ok".to_owned(),
            (promises, _) => format!("BROKEN: {}", promises.join(", ")),
        }
    }

    /// What is broken, sentence by sentence: the first ones of each promise.
    fn failures(&self) -> String {
        if self.is_ok() {
            return String::new();
        }
        let mut out = format!("\n{} (its files: {}):\n", self.mode, self.dir.display());
        for (promise, whats) in self.by_promise() {
            out.extend(whats.iter().take(SHOWN_MAX).map(|what| format!("  {promise:?}: {what}\n")));
            if whats.len() > SHOWN_MAX {
                out += &format!("  {promise:?}: and {} more\n", whats.len() - SHOWN_MAX);
            }
        }
        if self.acknowledged_samples == 0 {
            out += "  nothing was acknowledged, so nothing was tested\n";
        }
        out
    }

    fn by_promise(&self) -> BTreeMap<Promise, Vec<&str>> {
        let mut promises: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for Broken { promise, what } in &self.broken {
            promises.entry(*promise).or_default().push(what.as_str());
        }
        promises
    }
}

/// The whole report.
pub(super) fn render(reports: &[ModeReport], seed: u64) -> String {
    let head = [
        "mode",
        "crashes",
        "requests",
        "refused",
        "memory",
        "os",
        "disk",
        "oldest lost",
        "window",
        "ready",
        "complete",
        "replayed",
        "verdict",
    ];
    let lines: Vec<_> =
        std::iter::once(head.map(str::to_owned).to_vec()).chain(reports.iter().map(ModeReport::row)).collect();
    let failures: String = reports.iter().map(ModeReport::failures).collect();
    format!("{}\n{LEGEND}{failures}{}{}", table::align(&lines), skipped(reports), conclusion(reports, seed))
}

const LEGEND: &str = "memory, os, disk: samples a crash took, of those answered 204 at that level. At memory that is \
allowed within the\nwindow where there is no log; everything else breaks a promise. oldest lost: the longest time from an \
answer to the\ncrash that took it. window: the longest time any receipt allowed for that. ready, complete: the slowest \
start until\nit answered, and until all was there.\n";

/// Checks that could not be made, so that nobody takes silence for success.
fn skipped(reports: &[ModeReport]) -> String {
    let line = |what: &str, is_skipped: fn(&ModeReport) -> bool| {
        let modes: Vec<_> = reports.iter().filter(|r| is_skipped(r)).map(|r| r.mode.to_string()).collect();
        match modes.len() {
            0 => String::new(),
            all if all == reports.len() => format!("\nSKIPPED: {what} were not checked: the server gave none\n"),
            _ => format!("\nSKIPPED: {what} were not checked in {}: the server gave none\n", modes.join(", ")),
        }
    };
    line("receipts", |report| report.receipts_checked == 0)
        + &line("loss reports", |report| report.loss_reports_checked == 0)
}

fn conclusion(reports: &[ModeReport], seed: u64) -> String {
    let crashes: u32 = reports.iter().map(|report| report.rounds).sum();
    let (allowed, others) =
        reports.iter().map(ModeReport::lost).fold((0, 0), |sum, lost| (sum.0 + lost.0, sum.1 + lost.1));
    let lost =
        format!("{allowed} samples acknowledged at memory alone were lost, and {others} that were promised more");
    let broken = reports.iter().filter(|report| !report.is_ok()).count();
    match broken {
        0 => format!("\nEvery mode kept its promise through {crashes} crashes: {lost} (seed {seed}).\n"),
        _ => format!(
            "\n{broken} of {} modes BROKE a promise in {crashes} crashes: {lost} (seed {seed}).\n",
            reports.len()
        ),
    }
}
