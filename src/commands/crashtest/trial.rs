//! One mode's trial: load, crash, start, look; again and again in one directory.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use crate::{
    commands::{
        Failed,
        crashtest::{
            batch::Source,
            check::{self, Broken, LossReport, Lost, Promise},
            child::{self, Server},
            clock,
            found::Found,
            history::{Fate, Sent},
            load::Load,
            report::ModeReport,
        },
    },
    config::CrashtestFlags,
    durability::{Mode, Policy},
};

/// The part of the time that is load; the rest is for starting, reading back and checking.
const LOAD_PART: f64 = 0.7;
/// The shortest round, compared with the longest.
const ROUND_MIN: f64 = 0.1;
/// Longest pause between two requests of a connection.
const PAUSE: Duration = Duration::from_millis(4);
/// Batches of a connection, about, however long the trial is: they are all read back after each crash.
const BATCHES: f64 = 20_000.0;
/// Receipts that are asked for after each crash, of each fate.
const RECEIPTS: usize = 40;
/// One start in so many is killed while it recovers.
const CRASH_IN_RECOVERY: u32 = 3;

/// A mode under test.
pub(super) struct Trial<'a> {
    flags: &'a CrashtestFlags,
    mode: Mode,
    source: Source,
    rng: fastrand::Rng,
    duration: Duration,
    clock: Instant,
    /// Everything sent to this directory.
    history: Vec<Sent>,
    report: ModeReport,
}

impl<'a> Trial<'a> {
    pub(super) fn new(flags: &'a CrashtestFlags, mode: Mode, dir: PathBuf, seed: u64, duration: Duration) -> Self {
        Self {
            flags,
            mode,
            source: Source { seed },
            rng: fastrand::Rng::with_seed(seed),
            duration: duration.mul_f64(LOAD_PART),
            clock: clock(),
            history: Vec::new(),
            report: ModeReport::new(mode, dir),
        }
    }

    /// All rounds. It ends early when the server does not start any more, or ends unasked.
    pub(super) fn run(mut self) -> ModeReport {
        if let Err(Failed(what)) = self.rounds() {
            self.report.broken.push(Broken::new(Promise::Restart, what));
        }
        self.report
    }

    fn rounds(&mut self) -> Result<(), Failed> {
        let mut server = Server::start(&self.report.dir, self.mode)?;
        for (round, duration) in self.durations().into_iter().enumerate() {
            let load = Load {
                source: self.source,
                connections: self.flags.connections,
                first: self.history.iter().map(|sent| sent.batch.number + 1).max().unwrap_or(0),
                duration,
                pause: PAUSE.max(self.duration.div_f64(BATCHES / 2.0)),
                is_mixed: round % 2 == 1,
            };
            let (sent, crashed) = load.run(server, self.clock)?;
            self.report.add_load(&sent);
            self.history.extend(sent);
            let crashes_again = self.rng.u32(..CRASH_IN_RECOVERY) == 0;
            server = self.restart(crashes_again)?;
            self.look(&server, crashed, crashes_again)?;
        }
        server.kill()
    }

    /// How long each round loads: some are long, some short, and together they take the time there is.
    fn durations(&mut self) -> Vec<Duration> {
        let parts: Vec<f64> = (0..self.flags.rounds).map(|_| ROUND_MIN + (1.0 - ROUND_MIN) * self.rng.f64()).collect();
        let sum: f64 = parts.iter().sum();
        parts.iter().map(|part| self.duration.mul_f64(part / sum)).collect()
    }

    /// Starts the server again; where it `crashes_again`, a first start is killed on the way.
    fn restart(&mut self, crashes_again: bool) -> Result<Server, Failed> {
        if crashes_again {
            let after = self.report.usual_start().mul_f64(self.rng.f64());
            child::start_and_kill(&self.report.dir, self.mode, after)?;
        }
        let server = Server::start(&self.report.dir, self.mode)?;
        self.report.add_restart(server.ready, server.complete, server.replayed_batches());
        Ok(server)
    }

    /// Reads all back and holds it against what was sent.
    fn look(&mut self, server: &Server, crashed: Duration, crashed_again: bool) -> Result<(), Failed> {
        let found = Found::ask(&server.client, self.source, self.flags.connections)?;
        let row = Policy { ack: self.mode.ack_min(), ..self.mode.policy() };
        self.report.broken.extend(check::check(row, &self.history, &found, crashed));
        let lost = check::lost(&self.history, &found, crashed);
        self.report.add_lost(lost);
        check::settle(&mut self.history, &found);
        // A start that was killed may have made the report of the crash before it, which nobody saw.
        if !crashed_again {
            self.check_loss_report(server, lost)?;
        }
        self.check_receipts(server)
    }

    fn check_loss_report(&mut self, server: &Server, lost: Lost) -> Result<(), Failed> {
        let answer = server.client.json("/api/v1/durability", &[])?;
        let loss = &answer["data"]["recovery"]["loss"];
        if let (Some(min), Some(is_exact)) = (loss["lost_samples_min"].as_u64(), loss["exact"].as_bool()) {
            let report = LossReport { min, max: loss["lost_samples_max"].as_u64(), is_exact };
            self.report.broken.extend(check::loss_report(report, lost));
            self.report.loss_reports_checked += 1;
        } else if !loss.is_null() {
            self.report.broken.push(Broken::new(Promise::LossReport, format!("it cannot be read: {loss}")));
        }
        Ok(())
    }

    /// Asks for the receipts of some batches that are there and of some that are lost.
    fn check_receipts(&mut self, server: &Server) -> Result<(), Failed> {
        for fate in [Fate::Survived, Fate::Lost] {
            let of_fate = self.history.iter().filter(|sent| sent.fate == fate);
            let positions: Vec<_> = of_fate.filter_map(Sent::receipt).map(|(receipt, _)| receipt.position).collect();
            for position in self.rng.choose_multiple(positions, RECEIPTS) {
                let query = position.to_string();
                let Some(answer) = server.client.find("/api/v1/durability/receipt", &[("position", &query)])? else {
                    return Ok(());
                };
                let said = answer["data"]["receipt"].as_str().unwrap_or_default();
                self.report.broken.extend(check::receipt(position, fate, said));
                self.report.receipts_checked += 1;
            }
        }
        Ok(())
    }
}
