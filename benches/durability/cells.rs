//! A cell: one server, freshly started on an empty directory, under one shape of load.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crate::{
    cores::{OnServerCores, keep_to_loader_core},
    devops::FIELD_NAMES,
    load::{self, Phase, Plan, Tally},
    process::{cpus, machine_cpu_seconds, process_cpu_seconds},
    servers::{Server, Target, data_dir},
};

/// A shape of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Shape {
    /// Lines a request.
    pub(crate) lines: usize,
    /// Connections.
    pub(crate) connections: usize,
    /// Whether the loader has a core of its own, and the server the others.
    pub(crate) apart: bool,
}

/// How long and with what a cell is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Time before the first answer that counts.
    pub(crate) warm_up: Duration,
    /// Time that counts.
    pub(crate) measured: Duration,
    /// The loader's threads.
    pub(crate) threads: usize,
}

/// Time between two looks at what is at risk.
const RISK_INTERVAL: Duration = Duration::from_millis(10);
/// Files whose syncs are told apart.
pub(crate) const FILES: [&str; 5] = ["wal", "container", "part", "manifest", "directory"];

/// What one run of a cell gave.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    /// Requests acknowledged in a second.
    pub(crate) requests: f64,
    /// Samples acknowledged in a second.
    pub(crate) samples: f64,
    /// Median time from request to answer, in milliseconds.
    pub(crate) p50: f64,
    /// The same for the slowest hundredth.
    pub(crate) p99: f64,
    /// The server's CPU-seconds for a million samples.
    pub(crate) cpu_per_million: f64,
    /// The server's CPU time for a request, in microseconds.
    pub(crate) cpu_per_request: f64,
    /// The loader's CPU time for a request, in microseconds.
    pub(crate) loader_per_request: f64,
    /// Syncs in a second, in the order of `FILES`.
    pub(crate) fsyncs: [f64; FILES.len()],
    /// Requests that shared a sync of the log or of a container.
    pub(crate) requests_per_fsync: f64,
    /// Bytes written to the log or to containers, for a sample.
    pub(crate) stage_bytes: f64,
    /// Bytes the process has written in all, for a sample.
    pub(crate) disk_bytes: f64,
    /// The most that was seen at risk of a process crash and of a power cut: samples and seconds.
    pub(crate) at_risk: [(f64, f64); 2],
    /// Syncs of log and container by the upper bound of their bucket, in seconds; not cumulative.
    pub(crate) histogram: Vec<(f64, f64)>,
    /// Requests that were answered 503.
    pub(crate) refused: f64,
    /// The share of all cores that other processes took meanwhile.
    pub(crate) others: f64,
}

/// Measures a cell; an error where the server does not have what it acknowledged.
pub(crate) fn run(target: &Target, shape: Shape, pace: Pace) -> Result<Figures, String> {
    let dir = data_dir();
    let on_server_cores = shape.apart.then(OnServerCores::keep);
    let server = Server::start(target, dir.path(), &[]);
    drop(on_server_cores);
    let beside = || {
        if shape.apart {
            keep_to_loader_core();
        }
    };
    let (phase, start_millis) = (Phase::default(), yesterday_millis());
    let plan = Plan {
        address: server.address,
        connections: shape.connections,
        lines: shape.lines,
        threads: pace.threads,
        requests_each: u64::MAX,
        start_millis,
    };
    std::thread::scope(|scope| {
        let loader = scope.spawn(|| {
            beside();
            load::run(plan, &phase)
        });
        let risk = scope.spawn(|| {
            beside();
            watch_risk(&server, &phase)
        });
        std::thread::sleep(pace.warm_up);
        let before = Snapshot::take(&server);
        phase.measure();
        let started = Instant::now();
        std::thread::sleep(pace.measured);
        phase.stop();
        let (seconds, after) = (started.elapsed().as_secs_f64(), Snapshot::take(&server));
        let loaded = loader.join().expect("the loader gives an error instead of panicking");
        let mut tally = loaded.map_err(|error| format!("the loader failed: {error}"))?;
        verify(&server, shape, tally.accepted)?;
        let mut figures = figures(shape, seconds, &mut tally, &before, &after);
        figures.at_risk = risk.join().expect("nothing in it panics");
        Ok(figures)
    })
}

/// Midnight before the last, UTC: a day with room for every timestamp, and in nobody's future.
pub(crate) fn yesterday_millis() -> u64 {
    const DAY: u64 = 86_400_000;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_millis() as u64;
    (now / DAY - 1) * DAY
}

/// Refuses what did not arrive: a figure for it would mean nothing.
fn verify(server: &Server, shape: Shape, requests: u64) -> Result<(), String> {
    let lines = requests * shape.lines as u64;
    let found = server.count(FIELD_NAMES[0], "3d", None);
    if found != lines {
        return Err(format!("{lines} lines were acknowledged, a query finds {found}"));
    }
    let samples = (lines * FIELD_NAMES.len() as u64) as f64;
    let acknowledged = |metrics: &BTreeMap<String, f64>| -> Option<f64> {
        metrics
            .iter()
            .filter(|(name, _)| name.starts_with("plimsoll_acknowledged_samples_total{"))
            .map(|(_, n)| *n)
            .reduce(|a, b| a + b)
    };
    match acknowledged(&server.metrics()) {
        Some(counted) if counted != samples => {
            Err(format!("{samples} samples were acknowledged, the server counted {counted}"))
        }
        _ => Ok(()),
    }
}

/// The most that is at risk until the load ends, for each kind of failure; a peer cannot say.
fn watch_risk(server: &Server, phase: &Phase) -> [(f64, f64); 2] {
    let mut most = [(0.0, 0.0); 2];
    while !phase.has_stopped() {
        let Some(now) = server.at_risk() else { return [(f64::NAN, f64::NAN); 2] };
        for ((samples, age), now) in most.iter_mut().zip(now) {
            *samples = f64::max(*samples, now.0);
            *age = f64::max(*age, now.1);
        }
        std::thread::sleep(RISK_INTERVAL);
    }
    most
}

/// A server's counters at one time.
struct Snapshot {
    cpu_seconds: f64,
    /// CPU time of whatever is neither the server nor the loader.
    others_seconds: f64,
    disk_bytes: f64,
    metrics: BTreeMap<String, f64>,
}

impl Snapshot {
    fn take(server: &Server) -> Self {
        let (cpu_seconds, disk_bytes) = (server.cpu_seconds(), server.disk_bytes());
        let others_seconds = machine_cpu_seconds() - cpu_seconds - process_cpu_seconds("self");
        Self { cpu_seconds, others_seconds, disk_bytes, metrics: server.metrics() }
    }

    fn metric(&self, name: &str) -> f64 {
        self.metrics.get(name).copied().unwrap_or(0.0)
    }
}

fn figures(shape: Shape, seconds: f64, tally: &mut Tally, before: &Snapshot, after: &Snapshot) -> Figures {
    let requests = tally.latencies.len() as f64;
    let samples = requests * (shape.lines * FIELD_NAMES.len()) as f64;
    let grown = |name: &str| after.metric(name) - before.metric(name);
    let fsyncs = FILES.map(|file| grown(&format!("plimsoll_fsync_duration_seconds_count{{file=\"{file}\"}}")));
    let stage = grown("plimsoll_wal_written_bytes_total") + grown("plimsoll_container_written_bytes_total");
    let cpu = after.cpu_seconds - before.cpu_seconds;
    tally.latencies.sort_unstable();
    let all = (tally.accepted + tally.refused) as f64;
    Figures {
        requests: requests / seconds,
        samples: samples / seconds,
        p50: quantile_millis(&tally.latencies, 0.5),
        p99: quantile_millis(&tally.latencies, 0.99),
        cpu_per_million: cpu / samples * 1e6,
        cpu_per_request: cpu / requests * 1e6,
        loader_per_request: tally.cpu_seconds / all * 1e6,
        fsyncs: fsyncs.map(|count| count / seconds),
        requests_per_fsync: requests / (fsyncs[0] + fsyncs[1]),
        stage_bytes: stage / samples,
        disk_bytes: (after.disk_bytes - before.disk_bytes) / samples,
        histogram: histogram(before, after),
        refused: tally.refused as f64,
        // Ticks are coarse, so that the difference may be a little below zero.
        others: ((after.others_seconds - before.others_seconds) / seconds / cpus() as f64).max(0.0),
        ..Figures::default()
    }
}

/// Of sorted nanoseconds.
fn quantile_millis(sorted: &[u32], q: f64) -> f64 {
    let rank = ((sorted.len() as f64 * q) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(rank).map_or(f64::NAN, |nanos| f64::from(*nanos) / 1e6)
}

/// Syncs of log and container between two snapshots, by the upper bound of their bucket.
fn histogram(before: &Snapshot, after: &Snapshot) -> Vec<(f64, f64)> {
    let mut cumulative = BTreeMap::new();
    for (name, count) in &after.metrics {
        let labels = name.strip_prefix("plimsoll_fsync_duration_seconds_bucket{");
        let staged = labels.is_some_and(|labels| FILES[..2].iter().any(|f| labels.contains(&format!("\"{f}\""))));
        let bound = labels.and_then(|labels| labels.split(",le=\"").nth(1)?.split('"').next()?.parse::<f64>().ok());
        if let (true, Some(bound)) = (staged, bound) {
            *cumulative.entry(bound.to_bits()).or_insert(0.0) += count - before.metric(name);
        }
    }
    let mut below = 0.0;
    let own = cumulative
        .into_iter()
        .map(|(bound, count)| (f64::from_bits(bound), count - std::mem::replace(&mut below, count)));
    own.collect()
}
