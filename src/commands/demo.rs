//! `plimsoll demo`: a server on a temporary directory, six hours of 24 hosts, three questions, and what a crash would
//! have taken while they were loaded.

use std::{
    io::{IsTerminal, Read, Write},
    path::PathBuf,
    time::{Duration, Instant},
};

use crate::{
    commands::{
        Failed, chart,
        client::{Client, Series},
        serve::{self, Running},
        table,
    },
    config::{DemoFlags, Listen, ServeFlags},
};
use flate2::read::GzDecoder;

/// Six hours of metrics, as `examples/generate_demo.rs` makes them. Timestamps are seconds.
const DATA: &[u8] = include_bytes!("../../testdata/demo.lp.gz");
/// The hours in it.
const FROM: &str = "2026-11-20T06:30:00Z";
const TO: &str = "2026-11-20T12:00:00Z";
/// Seconds of data in one write, as an agent for all hosts would send it.
const WRITE_SECONDS: i64 = 120;
/// Time from one write to the next: slow enough to watch, and several times the window that is at risk.
const PACE: Duration = Duration::from_millis(25);
/// Rows of the table of losses.
const LOSS_ROWS: usize = 16;

struct Question {
    title: &'static str,
    query: &'static str,
    has_chart: bool,
}

const QUESTIONS: [Question; 3] = [
    Question {
        title: "How busy is the busiest host of each role? (CPU, percent)",
        query: "max by (role) (avg_over_time(cpu_usage_user[30m]))",
        has_chart: true,
    },
    Question {
        title: "How much does each region send? (bytes per second; counters reset when a host restarts)",
        query: "sum by (region) (rate(net_bytes_sent[10m]))",
        has_chart: false,
    },
    Question {
        title: "Which disks are filling up? (percent)",
        query: "max by (host, path) (disk_used_percent) > 80",
        has_chart: false,
    },
];

pub(super) fn run(flags: &DemoFlags) -> Result<(), Failed> {
    serve::log_to_stderr("warn")?;
    let dir = Temporary::new();
    let server = start(flags, &dir)?;
    println!("Plimsoll {} on {}, durability mode {}\n", env!("CARGO_PKG_VERSION"), server.url(), flags.durability);
    let client = Client::new(&server.url());
    let moments = load(&client)?;
    for question in &QUESTIONS {
        ask(&client, question)?;
    }
    println!("{}", losses(&moments));
    if !flags.exit {
        println!("The server stays up at {} (Ctrl-C ends it and removes its data). Try:\n", server.url());
        println!("  curl '{}/api/v1/durability'", server.url());
        println!("  plimsoll query 'topk(3, cpu_usage_user)' --end {TO} --url {}", server.url());
        server.wait_for_signal()?;
    }
    server.stop()
}

/// Listens where it is told; else on the usual port, or on any if that is taken.
fn start(flags: &DemoFlags, dir: &Temporary) -> Result<Running, Failed> {
    let start = |listen: &Listen| {
        let mut serve = ServeFlags::default();
        (serve.data, serve.durability) = (dir.0.clone(), flags.durability);
        Running::start(listen, serve.engine(), serve.ingest(), serve.http(Vec::new()))
    };
    match &flags.listen {
        Some(listen) => start(listen),
        None => start(&local(8086)).or_else(|_| start(&local(0))),
    }
}

fn local(port: u16) -> Listen {
    Listen(vec![([127, 0, 0, 1], port).into()])
}

/// What the server said between two writes.
struct Moment {
    /// Since the first write.
    elapsed: Duration,
    /// Samples acknowledged until then.
    acknowledged: u64,
    /// Samples that a process crash, a power cut would have taken.
    process: u64,
    power: u64,
}

/// Writes all lines, a few minutes of data at a time, and asks each time what is at risk.
#[allow(clippy::disallowed_methods)] // the edge: the pace of the load
fn load(client: &Client) -> Result<Vec<Moment>, Failed> {
    let mut text = String::new();
    GzDecoder::new(DATA).read_to_string(&mut text).map_err(|error| Failed::new("unpack the demo's data", &error))?;
    let writes = split(&text);
    let mut progress = Progress::new(writes.len());
    let (started, mut moments, mut acknowledged) = (Instant::now(), Vec::new(), 0);
    for (index, lines) in writes.iter().enumerate() {
        std::thread::sleep((PACE * index as u32).saturating_sub(started.elapsed()));
        client.write("db=demo&precision=s", lines.as_bytes())?;
        acknowledged += samples(lines);
        moments.push(moment(client, started.elapsed(), acknowledged)?);
        progress.show(index + 1, acknowledged);
    }
    wait_until_safe(client, started, acknowledged, &mut moments)?;
    let seconds = started.elapsed().as_secs_f64();
    println!("Loaded {} lines, {acknowledged} samples of 24 hosts, in {seconds:.1} s.\n", text.lines().count());
    Ok(moments)
}

/// Follows the watermarks until the last sample is safe from a power cut.
#[allow(clippy::disallowed_methods)] // the edge: the pace of the load
fn wait_until_safe(
    client: &Client,
    started: Instant,
    acknowledged: u64,
    moments: &mut Vec<Moment>,
) -> Result<(), Failed> {
    const PATIENCE: Duration = Duration::from_secs(60);
    let since = Instant::now();
    loop {
        let moment = moment(client, started.elapsed(), acknowledged)?;
        let is_safe = moment.power == 0;
        moments.push(moment);
        if is_safe {
            return Ok(());
        }
        if since.elapsed() > PATIENCE {
            return Err(Failed("the last samples are still at risk after a minute".to_owned()));
        }
        std::thread::sleep(PACE);
    }
}

/// Runs of lines whose times, the last word of each, lie in one span of [`WRITE_SECONDS`].
fn split(text: &str) -> Vec<&str> {
    let span =
        |line: &str| line.rsplit(' ').next().and_then(|t| t.trim().parse::<i64>().ok()).map(|t| t / WRITE_SECONDS);
    let (mut writes, mut start, mut offset, mut current) = (Vec::new(), 0, 0, None);
    for line in text.split_inclusive('\n') {
        let span = span(line);
        if offset > start && span != current {
            writes.push(&text[start..offset]);
            start = offset;
        }
        current = span;
        offset += line.len();
    }
    writes.push(&text[start..]);
    writes
}

/// Fields have an equals sign each, as have tags; in this data the fields stand between the only two spaces.
fn samples(lines: &str) -> u64 {
    let fields = lines.lines().filter_map(|line| line.split(' ').nth(1));
    fields.map(|fields| fields.matches('=').count() as u64).sum()
}

fn moment(client: &Client, elapsed: Duration, acknowledged: u64) -> Result<Moment, Failed> {
    let answer = client.json("/api/v1/durability", &[])?;
    let at_risk = |failure: &str| answer["data"]["at_risk"][failure]["samples"].as_u64();
    let missing = || Failed(format!("the server does not say what is at risk: {answer}"));
    Ok(Moment {
        elapsed,
        acknowledged,
        process: at_risk("process").ok_or_else(missing)?,
        power: at_risk("power").ok_or_else(missing)?,
    })
}

fn ask(client: &Client, question: &Question) -> Result<(), Failed> {
    println!("{}\n  {}\n", question.title, question.query);
    let range = |step| {
        let parameters = [("query", question.query), ("start", FROM), ("end", TO), ("step", step)];
        client.query("query_range", &parameters)
    };
    println!("{}", table::render(&range("30m")?.series));
    if question.has_chart {
        let clock = |seconds: f64| table::time((seconds * 1000.0) as i64);
        println!("{}", chart::render(&range("5m")?.series, clock));
    }
    Ok(())
}

/// What would have been lost at each moment: some rows, and all of them as a chart.
fn losses(moments: &[Moment]) -> String {
    let mut lines = vec![["after", "acknowledged", "lost by kill -9", "lost by power cut"].map(str::to_owned).to_vec()];
    let stride = moments.len().div_ceil(LOSS_ROWS);
    let last = moments.len().saturating_sub(1);
    let shown = moments.iter().enumerate().filter(|(index, _)| index % stride == 0 || *index == last);
    lines.extend(shown.map(|(_, m)| {
        let after = format!("{:.2} s", m.elapsed.as_secs_f64());
        vec![after, m.acknowledged.to_string(), m.process.to_string(), m.power.to_string()]
    }));
    let series = |name: &str, samples: fn(&Moment) -> u64| Series {
        name: name.to_owned(),
        points: moments.iter().map(|m| (m.elapsed.as_secs_f64(), samples(m) as f64)).collect(),
    };
    let chart = [series("samples a power cut would have taken", |m| m.power)];
    format!(
        "What a crash would have taken at each moment of the load (acknowledged samples):\n\n{}\n{}",
        table::align(&lines),
        chart::render(&chart, |seconds| format!("{seconds:.2} s"))
    )
}

/// The load's progress: one line that moves on a terminal, else a line per quarter.
struct Progress {
    total: usize,
    is_terminal: bool,
}

impl Progress {
    fn new(total: usize) -> Self {
        Self { total, is_terminal: std::io::stderr().is_terminal() }
    }

    fn show(&mut self, done: usize, samples: u64) {
        let mut err = std::io::stderr().lock();
        let (percent, is_quarter) = (done * 100 / self.total, done * 4 % self.total < 4);
        // Progress that cannot be shown is no reason to stop.
        let _ = match (self.is_terminal, is_quarter) {
            (true, _) => {
                write!(err, "\rloading: {percent:3} %, {samples} samples").and_then(|()| match done == self.total {
                    true => writeln!(err),
                    false => err.flush(),
                })
            }
            (false, true) => writeln!(err, "loading: {percent} %, {samples} samples"),
            (false, false) => Ok(()),
        };
    }
}

/// A directory that goes when the demo does.
struct Temporary(PathBuf);

impl Temporary {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("plimsoll-demo-{}", std::process::id())))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // What cannot be removed is in the system's temporary directory, which is cleaned anyway.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
