//! What durability costs: every mode under every shape of load, beside two peers, and what it saves after a crash.
//!
//! ```text
//! cargo bench --bench durability                          all of it, six to seven minutes
//! cargo bench --bench durability -- --quick               a smoke check
//! cargo bench --bench durability -- --write               and keep it in benches/DURABILITY.md
//! cargo bench --bench durability -- --modes wal-sync,parts=1s --connections 64 --lines 1 --rounds 7 --only cells
//! cargo bench --bench durability -- --modes write-behind,write-behind@PROGRAM --volumes 64 --rounds 5 --only recovery
//! ```
//!
//! Peers are measured where Debian's packages `victoria-metrics` and `influxdb` are installed.

#![allow(clippy::disallowed_methods)] // a bench reads the clock, /proc, and files that are not the database's

mod cells;
mod cores;
mod cwal;
#[allow(unreachable_pub)] // shared by benches, each of them a crate
#[path = "../common/devops.rs"]
mod devops;
mod load;
#[allow(unreachable_pub)] // the same
#[path = "../common/markdown.rs"]
mod markdown;
#[allow(unreachable_pub)] // the same
#[path = "../common/process.rs"]
mod process;
mod recovery;
mod report;
mod servers;

use std::{path::Path, time::Duration};

use clap::{Parser, ValueEnum};
use plimsoll::durability::Mode;

use crate::{
    cells::{Figures, Pace, Shape},
    report::{Report, Results},
    servers::{PEERS, Target},
};

/// What may be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Section {
    Cells,
    Recovery,
    Log,
}

#[derive(Parser, Debug)]
#[command(about = "What durability costs, measured")]
struct Options {
    /// Durability modes; all where nothing is said. MODE@PROGRAM compares with another build of the server
    #[arg(long, value_delimiter = ',')]
    modes: Vec<String>,
    /// Connections
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64])]
    connections: Vec<usize>,
    /// Lines a request: 1 or 1000
    #[arg(long, value_delimiter = ',', default_values_t = [1, 1_000])]
    lines: Vec<usize>,
    /// Runs of each cell
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Time a cell is measured
    #[arg(long, default_value_t = 0.5)]
    seconds: f64,
    /// Time a cell is loaded before
    #[arg(long, default_value_t = 0.2)]
    warm_up: f64,
    /// The loader's threads
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// MiB of log to recover
    #[arg(long, value_delimiter = ',', default_values_t = [16, 64, 256])]
    volumes: Vec<u64>,
    /// Measure a cell again, up to ten times, while other processes take more than a tenth of the cores
    #[arg(long)]
    patient: bool,
    /// Leave the peers out
    #[arg(long)]
    no_peers: bool,
    /// Only this section
    #[arg(long, value_enum)]
    only: Option<Section>,
    /// One short round of few cells
    #[arg(long)]
    quick: bool,
    /// Keep the result in benches/DURABILITY.md
    #[arg(long)]
    write: bool,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let options = Options::parse().shortened();
    let mut report = Report::default();
    report.preface(&command());
    let wanted = |section| options.only.is_none_or(|only| only == section);
    if wanted(Section::Cells) {
        let results = measure(&options, &mut report);
        report.others(&results);
        report.promises(&results);
        report.cells(&results);
        report.histograms(&results);
    }
    if wanted(Section::Recovery) {
        recovery::run(&options.volumes, &options.modes, options.rounds, &all_modes(), &mut report);
    }
    if wanted(Section::Log) {
        cwal::run(2 * options.rounds + 1, &mut report);
    }
    if options.write {
        report.write(&Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/DURABILITY.md"));
    }
}

impl Options {
    fn shortened(mut self) -> Self {
        if self.quick {
            self.rounds = 1;
            (self.seconds, self.warm_up) = (0.3, 0.1);
            self.connections.retain(|connections| *connections != 16);
            self.volumes.truncate(1);
        }
        self
    }

    /// Peers are slow to register what is new to them and to answer the first of 64 large bodies. A mode with a window
    /// is measured for as long as that, so that a window's worth of samples meets one sync.
    fn pace(&self, target: &Target, shape: Shape) -> Pace {
        let (warm_up, measured) = match target {
            Target::Plimsoll(mode) => {
                let window = window_seconds(mode);
                (self.warm_up.max(window * 0.4), self.seconds.max(window))
            }
            _ if shape.lines == 1 => (self.warm_up + 1.0, self.seconds + 0.5),
            _ => (self.warm_up + 1.0, self.seconds + 2.0),
        };
        let seconds = Duration::from_secs_f64;
        Pace { warm_up: seconds(warm_up), measured: seconds(measured), threads: self.threads }
    }

    fn shapes(&self) -> impl Iterator<Item = Shape> {
        let shape = |lines, connections| Shape { lines, connections, apart: false };
        let shared = self.connections.iter().flat_map(move |&n| self.lines.iter().map(move |&lines| shape(lines, n)));
        // Where the loader weighs the most.
        let apart = shared.clone().filter(|shape| (shape.lines, shape.connections) == (1, 64) && cores::are_enough());
        let apart = apart.map(|shape| Shape { apart: true, ..shape });
        shared.chain(apart)
    }

    fn modes(&self) -> Vec<Target> {
        let modes = if self.modes.is_empty() { all_modes() } else { self.modes.clone() };
        modes.into_iter().map(Target::Plimsoll).collect()
    }
}

fn all_modes() -> Vec<String> {
    Mode::ALL.iter().map(ToString::to_string).collect()
}

/// The window in a mode's text, as in `parts=1s`; 0 where it has none.
fn window_seconds(mode: &str) -> f64 {
    let window = mode.split('@').next().and_then(|mode| mode.split_once('=')).map_or("", |(_, window)| window);
    let end = window.find(|c: char| !c.is_ascii_digit()).unwrap_or(window.len());
    let number: f64 = window[..end].parse().unwrap_or(0.0);
    match window[end..].trim_end_matches(')') {
        "ms" => number / 1e3,
        "s" => number,
        _ => 0.0,
    }
}

/// How to get these figures again.
fn command() -> String {
    let given: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    format!("cargo bench --bench durability -- {}", given.join(" "))
}

/// All cells, in rounds: a slow phase of the machine meets every mode and every peer.
fn measure(options: &Options, report: &mut Report) -> Results {
    let mut results = Results::new();
    let peers = peers(options, report);
    for round in 0..options.rounds {
        for shape in options.shapes() {
            let peers = peers.iter().filter(|_| shape.connections == 64).cloned();
            for target in options.modes().into_iter().chain(peers) {
                eprintln!("round {}: {} lines, {} connections, {target}", round + 1, shape.lines, shape.connections);
                let figures = run_cell(options, &target, shape);
                let targets = results.entry(shape).or_default();
                match targets.iter_mut().find(|(other, _)| *other == target) {
                    Some((_, runs)) => runs.push(figures),
                    None => targets.push((target, vec![figures])),
                }
            }
        }
    }
    results
}

fn run_cell(options: &Options, target: &Target, shape: Shape) -> Result<Figures, String> {
    const ATTEMPTS: usize = 10;
    const OTHERS_MAX: f64 = 0.1;
    let mut best: Option<Figures> = None;
    for _ in 0..if options.patient { ATTEMPTS } else { 1 } {
        let figures = cells::run(target, shape, options.pace(target, shape))?;
        if best.as_ref().is_none_or(|best| figures.others < best.others) {
            best = Some(figures);
        }
        if best.as_ref().is_some_and(|best| best.others < OTHERS_MAX) {
            break;
        }
        std::thread::sleep(Duration::from_secs(2));
    }
    Ok(best.expect("there is at least one attempt"))
}

/// The peers that are installed.
fn peers(options: &Options, report: &mut Report) -> Vec<Target> {
    let mut found = Vec::new();
    for (target, package, program) in PEERS {
        match Path::new(program).exists() {
            _ if options.no_peers => {}
            true => found.push(target),
            false => report.line(&format!("- {target}: skipped: Debian's package {package} is not installed")),
        }
    }
    found
}
