//! How long a server needs after SIGKILL, by the volume of data that no part holds yet.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use crate::{
    cells::yesterday_millis,
    devops::FIELD_NAMES,
    load::{self, Phase, Plan, STEP_MILLIS},
    report::Report,
    servers::{Server, Target, data_dir},
};

/// Modes in which a start finds something to do, or should find nothing.
const MODES: [&str; 3] = ["wal-sync", "parts=1s", "write-behind"];
const MIB: f64 = 1_048_576.0;
const LINES: usize = 1_000;
/// Nothing is flushed meanwhile.
const FLAGS: [&str; 6] = ["--memtable-size", "8GiB", "--memory-size-max", "16GiB", "--flush-age", "1h"];

/// What a restart showed.
struct Restart {
    samples: f64,
    stage_mib: f64,
    ready_ms: f64,
    all_ms: f64,
}

/// Kills and restarts every mode with every volume, and reports. Modes that are `asked` for instead of the usual ones may
/// name another build of the server, as in `mode@program`; each round restarts all of them once.
pub(crate) fn run(volumes: &[u64], asked: &[String], rounds: usize, known: &[String], report: &mut Report) {
    let modes: Vec<&str> = match asked {
        [] => MODES.to_vec(),
        asked => asked.iter().map(String::as_str).collect(),
    };
    let rounds = if asked.is_empty() { 1 } else { rounds };
    report.section("Recovery after SIGKILL, by volume of unflushed data");
    report.line(
        "The volume is what the same load leaves in the log in `wal-sync`; every mode gets that load, and the kill comes \
         when nothing is at risk of a process crash any more. `ready`: from the start of the process until `/-/ready` \
         answers. `all data`: until a query sees the last line written. Both include starting the process.\n",
    );
    report.row(&["volume", "mode", "M samples", "stage MiB", "ready ms", "all data ms"]);
    report.rule(6);
    for &volume in volumes {
        let mut requests = None;
        for mode in std::iter::repeat_n(&modes, rounds).flatten() {
            let name = mode.split('@').next().unwrap_or(mode);
            let cells = if known.iter().any(|known| known == name) {
                let restart = measure(mode, volume as f64 * MIB, &mut requests);
                restart.map_or_else(|why| [why, String::new(), String::new(), String::new()], |restart| restart.cells())
            } else {
                ["skipped: no such mode".to_owned(), String::new(), String::new(), String::new()]
            };
            report.row(&[&format!("{volume} MiB"), mode, &cells[0], &cells[1], &cells[2], &cells[3]]);
        }
    }
}

impl Restart {
    fn cells(&self) -> [String; 4] {
        let Self { samples, stage_mib, ready_ms, all_ms } = self;
        [format!("{:.1}", samples / 1e6), format!("{stage_mib:.0}"), format!("{ready_ms:.0}"), format!("{all_ms:.0}")]
    }
}

/// `requests` is how many it takes; the first mode, which has a log, finds out.
fn measure(mode: &str, volume: f64, requests: &mut Option<u64>) -> Result<Restart, String> {
    let dir = data_dir();
    let target = Target::Plimsoll(mode.to_owned());
    let server = Server::start(&target, dir.path(), &FLAGS);
    let start_millis = yesterday_millis();
    let known = *requests;
    let accepted = fill(&server, start_millis, |server, sent| match known {
        Some(requests) => sent >= requests,
        None => stage_bytes(server) >= volume,
    })?;
    requests.get_or_insert(accepted);
    while server.at_risk().is_some_and(|at_risk| at_risk[0].0 > 0.0) {
        sleep(Duration::from_millis(10));
    }
    let stage_mib = stage_bytes(&server) / MIB;
    server.kill();
    let started = Instant::now();
    let server = Server::start(&target, dir.path(), &FLAGS);
    let ready_ms = started.elapsed().as_secs_f64() * 1e3;
    let last = start_millis + (accepted - 1) * STEP_MILLIS;
    while server.count(FIELD_NAMES[0], "100ms", Some(last)) < LINES as u64 {
        if started.elapsed() > Duration::from_secs(120) {
            return Err("the last line is not there after two minutes".to_owned());
        }
    }
    let all_ms = started.elapsed().as_secs_f64() * 1e3;
    let window = format!("{}ms", last + 1 - start_millis);
    let (found, sent) = (server.count(FIELD_NAMES[0], &window, Some(last)), accepted * LINES as u64);
    if found != sent {
        return Err(format!("{sent} lines were acknowledged, a query finds {found}"));
    }
    Ok(Restart { samples: (sent * FIELD_NAMES.len() as u64) as f64, stage_mib, ready_ms, all_ms })
}

fn stage_bytes(server: &Server) -> f64 {
    let metrics = server.metrics();
    let of = |name: &str| metrics.get(name).copied().unwrap_or(0.0);
    of("plimsoll_wal_written_bytes_total") + of("plimsoll_container_written_bytes_total")
}

/// Sends bodies over one connection until there is enough. How many were accepted.
fn fill(server: &Server, start_millis: u64, enough: impl Fn(&Server, u64) -> bool) -> Result<u64, String> {
    const REQUESTS_AT_ONCE: u64 = 20;
    let mut sent = 0;
    while !enough(server, sent) {
        let plan = Plan {
            address: server.address,
            connections: 1,
            lines: LINES,
            threads: 1,
            requests_each: REQUESTS_AT_ONCE,
            start_millis: start_millis + sent * STEP_MILLIS,
        };
        let tally = load::run(plan, &Phase::default()).map_err(|error| format!("the loader failed: {error}"))?;
        if tally.refused > 0 {
            return Err("the server refused writes".to_owned());
        }
        sent += tally.accepted;
    }
    Ok(sent)
}
