//! What queries cost: the devops queries of TSBS and others, here and at two peers that hold the same samples.
//!
//! ```text
//! cargo bench --bench query                                      1,000 hosts, 24 hours: 95 M samples; some ten minutes
//! cargo bench --bench query -- --hosts 100 --hours 6             a smoke check
//! cargo bench --bench query -- --data DIR --load-only            load, and keep what is loaded
//! cargo bench --bench query -- --data DIR --write                measure what is there, keep it in benches/QUERY.md
//! cargo bench --bench query -- --data DIR --only groupby --no-prometheus
//! ```
//!
//! A server whose subdirectory of DIR is removed, together with its `.loaded` file, is loaded again.
//! Peers are measured where Debian's packages `victoria-metrics` and `prometheus` are installed.

#![allow(clippy::disallowed_methods)] // a bench reads the clock, /proc, and files that are not the database's

mod compare;
mod data;
#[allow(unreachable_pub)] // shared by benches, each of them a crate
#[path = "../common/devops.rs"]
mod devops;
mod load;
#[allow(unreachable_pub)] // the same
#[path = "../common/markdown.rs"]
mod markdown;
mod measure;
#[allow(unreachable_pub)] // the same
#[path = "../common/process.rs"]
mod process;
mod queries;
mod remote_write;
mod report;
mod servers;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use clap::Parser;

use crate::{
    data::{COUNTER, DataSet, fields},
    markdown::Markdown,
    measure::Cell,
    process::{cpus, data_parent, machine_cpu_seconds, process_cpu_seconds},
    queries::QUERIES,
    servers::{Kind, Server},
};

#[derive(Parser, Debug)]
#[command(about = "What queries cost, measured")]
struct Options {
    /// Hosts, with eleven series each
    #[arg(long, default_value_t = 1_000)]
    hosts: usize,
    /// Hours of data, a sample every ten seconds; at least two
    #[arg(long, default_value_t = 24)]
    hours: i64,
    /// Of all random numbers
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Time each query is asked at each server
    #[arg(long, default_value_t = 1.5)]
    seconds: f64,
    /// Only queries whose name contains this
    #[arg(long, default_value = "")]
    only: String,
    /// Directory that keeps what is loaded, for the next run; hosts, hours and seed are those it was made with
    #[arg(long)]
    data: Option<PathBuf>,
    /// Load and ask nothing
    #[arg(long, requires = "data")]
    load_only: bool,
    /// Leave Prometheus out, which takes longest to load
    #[arg(long)]
    no_prometheus: bool,
    /// Leave both peers out
    #[arg(long)]
    no_peers: bool,
    /// Keep the result in benches/QUERY.md
    #[arg(long)]
    write: bool,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    assert!(options.hours >= 2, "windows reach back an hour, so that two hours are the least");
    let temporary = tempfile::tempdir_in(data_parent()).expect("the target directory can be written to");
    let dir = options.data.as_deref().unwrap_or(temporary.path());
    let set = options.data_set(dir);
    let (kinds, missing): (Vec<_>, Vec<_>) = Kind::ALL.into_iter().partition(|kind| options.is_wanted(*kind));
    for &kind in &kinds {
        load_once(kind, dir, &set);
    }
    if options.load_only {
        return ExitCode::SUCCESS;
    }
    let servers: Vec<_> = kinds.iter().map(|kind| Server::start(*kind, &dir.join(kind.package()))).collect();
    for server in &servers {
        server.settle();
        // All were counted after the load; this tells whether the restart, or somebody since, took anything.
        verify(server, &set, COUNTER);
    }
    let mut report = Markdown::default();
    report.preface(&command(), &set, &servers, &missing);
    let (started, before) = (Instant::now(), others_cpu_seconds(&servers));
    let queries = QUERIES.iter().filter(|query| query.name.contains(&options.only));
    let cells: Vec<Cell> = queries
        .map(|query| {
            eprintln!("{}", query.name);
            measure::run(query, &set, &servers, options.seconds)
        })
        .collect();
    let others = (others_cpu_seconds(&servers) - before) / started.elapsed().as_secs_f64() / cpus() as f64;
    report.others(others.max(0.0));
    report.speed(&cells);
    report.cost(&cells);
    report.notes(&cells);
    if options.write {
        report.write(&Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/QUERY.md"));
    }
    if cells.iter().all(Cell::is_sound) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Options {
    fn is_wanted(&self, kind: Kind) -> bool {
        let is_asked_for = match kind {
            Kind::Plimsoll => true,
            Kind::VictoriaMetrics => !self.no_peers,
            Kind::Prometheus => !self.no_peers && !self.no_prometheus,
        };
        is_asked_for && kind.program().exists()
    }

    /// What the directory holds, or what it will hold.
    fn data_set(&self, dir: &Path) -> DataSet {
        const HOUR: i64 = 3600;
        let path = dir.join("set");
        if let Some(set) = DataSet::read(&path) {
            return set;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs() as i64;
        let end = (now / HOUR - 1) * HOUR;
        let set = DataSet { hosts: self.hosts, hours: self.hours, seed: self.seed, end };
        std::fs::create_dir_all(dir).expect("the directory can be made");
        std::fs::write(path, set.to_string()).expect("the directory can be written to");
        set
    }
}

/// Loads a server that was not, and leaves it stopped: its memory while it is asked is what queries take then.
fn load_once(kind: Kind, dir: &Path, set: &DataSet) {
    let (data, loaded) = (dir.join(kind.package()), dir.join(format!("{}.loaded", kind.package())));
    if loaded.exists() {
        return;
    }
    let server = Server::start(kind, &data);
    let started = Instant::now();
    load::load(&server, set);
    let seconds = started.elapsed().as_secs_f64();
    let (rate, cpu) = (set.samples() as f64 / seconds / 1e6, server.cpu_seconds());
    eprintln!("{kind}: loaded in {seconds:.1} s, {rate:.2} M samples/s, {cpu:.1} s of its CPU time");
    server.settle();
    fields().for_each(|field| verify(&server, set, field));
    eprintln!("{kind}: at rest after {:.1} s, {:.1} s of CPU", started.elapsed().as_secs_f64(), server.cpu_seconds());
    server.stop();
    std::fs::write(loaded, "").expect("the directory can be written to");
}

/// Refuses what did not arrive: no figure would mean anything.
fn verify(server: &Server, set: &DataSet, field: &str) {
    let found = server.count(&format!("cpu_{field}"), set.hours, set.end);
    assert_eq!(found, set.rows() * set.hosts, "samples of {field} at {}", server.kind);
}

/// CPU time of whatever is neither a server nor this process.
fn others_cpu_seconds(servers: &[Server]) -> f64 {
    machine_cpu_seconds() - process_cpu_seconds("self") - servers.iter().map(Server::cpu_seconds).sum::<f64>()
}

/// How this run can be had again.
fn command() -> String {
    let mut given = std::env::args().skip(1).filter(|argument| argument != "--bench").peekable();
    let mut arguments = Vec::new();
    while let Some(argument) = given.next() {
        match argument.as_str() {
            // Where somebody keeps data is theirs.
            "--data" => arguments.extend([argument, given.next().map_or(String::new(), |_| "DIR".to_owned())]),
            text if text.starts_with("--data=") => arguments.push("--data=DIR".to_owned()),
            _ => arguments.push(argument),
        }
    }
    format!("cargo bench --bench query -- {}", arguments.join(" ")).trim_end_matches(" -- ").trim_end().to_owned()
}
