//! The servers: ours in each mode, and two peers, each a child process with a data directory of its own.

use std::{
    collections::BTreeMap,
    fmt,
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::process::{data_parent, free_address, process_cpu_seconds, quiet, start_plimsoll};

/// What is measured.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// Ours, in a durability mode; `mode@program` is another build of it.
    Plimsoll(String),
    /// VictoriaMetrics as Debian packages it: no log at all.
    VictoriaMetrics,
    /// InfluxDB 1.6: an fsync before every answer, shared by who waits. As Debian packages it, or without its logs of
    /// requests and of itself.
    Influx {
        /// As it is packaged.
        is_default: bool,
    },
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plimsoll(mode) => f.write_str(mode),
            Self::VictoriaMetrics => f.write_str("VictoriaMetrics (no log)"),
            Self::Influx { is_default: true } => f.write_str("InfluxDB 1.6 (as packaged; answers after an fsync)"),
            Self::Influx { is_default: false } => f.write_str("InfluxDB 1.6 (its logs off; answers after an fsync)"),
        }
    }
}

/// A peer's package and its program, which may not be installed.
pub(crate) const PEERS: [(Target, &str, &str); 3] = [
    (Target::VictoriaMetrics, "victoria-metrics", "/usr/bin/victoria-metrics"),
    (Target::Influx { is_default: true }, "influxdb", "/usr/bin/influxd"),
    (Target::Influx { is_default: false }, "influxdb", "/usr/bin/influxd"),
];

/// Longest time any server may take to start or to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server; killed when it goes out of scope.
pub(crate) struct Server {
    target: Target,
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    agent: ureq::Agent,
}

impl Server {
    /// Starts a server on a directory, and waits until it answers.
    pub(crate) fn start(target: &Target, dir: &Path, more: &[&str]) -> Self {
        let (child, address) = match target {
            Target::Plimsoll(mode) => {
                let (mode, program) = mode.split_once('@').unwrap_or((mode, env!("CARGO_BIN_EXE_plimsoll")));
                start_plimsoll(program, dir, &[&["--durability", mode], more].concat())
            }
            Target::VictoriaMetrics => start_victoria_metrics(dir),
            Target::Influx { is_default } => start_influx(dir, *is_default),
        };
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).build();
        let server = Self { target: target.clone(), child, address, agent: config.into() };
        server.wait_until_ready();
        if matches!(target, Target::Influx { .. }) {
            server.get("/query?q=CREATE+DATABASE+bench");
        }
        server
    }

    fn wait_until_ready(&self) {
        let path = match self.target {
            Target::Plimsoll(_) => "/-/ready",
            Target::VictoriaMetrics => "/health",
            Target::Influx { .. } => "/ping",
        };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(self.address).is_err() || self.try_get(path).is_none() {
            assert!(Instant::now() < deadline, "{} does not answer", self.target);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The body of an answer of the 200s.
    pub(crate) fn try_get(&self, path: &str) -> Option<String> {
        let mut answer = self.agent.get(format!("http://{}{path}", self.address)).call().ok()?;
        let text = answer.body_mut().with_config().limit(u64::MAX).read_to_string().ok()?;
        answer.status().is_success().then_some(text)
    }

    fn get(&self, path: &str) -> String {
        self.try_get(path).unwrap_or_else(|| panic!("{} does not answer {path}", self.target))
    }

    /// Our metrics by name and labels, as they are written; empty for a peer.
    pub(crate) fn metrics(&self) -> BTreeMap<String, f64> {
        if !matches!(self.target, Target::Plimsoll(_)) {
            return BTreeMap::new();
        }
        let text = self.get("/metrics");
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines
            .filter_map(|line| line.rsplit_once(' '))
            .filter_map(|(k, v)| Some((k.to_owned(), v.parse().ok()?)))
            .collect()
    }

    /// What our server says is at risk: (samples, seconds) for a process crash and for a power cut.
    pub(crate) fn at_risk(&self) -> Option<[(f64, f64); 2]> {
        let answer: Value = serde_json::from_str(&self.try_get("/api/v1/durability")?).ok()?;
        let of = |failure: &str| {
            let at_risk = &answer["data"]["at_risk"][failure];
            (at_risk["samples"].as_f64().unwrap_or(0.0), at_risk["age_seconds"].as_f64().unwrap_or(0.0))
        };
        Some([of("process"), of("power")])
    }

    /// How many samples of a field the server finds in a window that ends now, or at a time.
    pub(crate) fn count(&self, field: &str, window: &str, at_millis: Option<u64>) -> u64 {
        match self.target {
            Target::Influx { .. } => {
                let answer = self.get(&format!("/query?db=bench&q=SELECT+count({field})+FROM+cpu"));
                let answer: Value = serde_json::from_str(&answer).expect("InfluxDB answers JSON");
                answer["results"][0]["series"][0]["values"][0][1].as_u64().unwrap_or(0)
            }
            Target::VictoriaMetrics => {
                // What was taken in the last second is not searched yet.
                self.get("/internal/force_flush");
                self.count_prometheus(field, window, at_millis)
            }
            Target::Plimsoll(_) => self.count_prometheus(field, window, at_millis),
        }
    }

    fn count_prometheus(&self, field: &str, window: &str, at_millis: Option<u64>) -> u64 {
        let time = at_millis.map_or_else(String::new, |at| format!("&time={}.{:03}", at / 1000, at % 1000));
        let query = format!("/api/v1/query?query=sum(count_over_time(cpu_{field}%5B{window}%5D)){time}");
        let answer: Value = serde_json::from_str(&self.get(&query)).expect("the answer is JSON");
        let number = answer["data"]["result"][0]["value"][1].as_str().and_then(|text| text.parse::<f64>().ok());
        number.map_or(0, |number| number as u64)
    }

    /// User and system time of the process so far.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        process_cpu_seconds(&self.child.id().to_string())
    }

    /// Bytes of pages the process has made dirty, less what it took back; the kernel writes them to the device.
    pub(crate) fn disk_bytes(&self) -> f64 {
        let io = std::fs::read_to_string(format!("/proc/{}/io", self.child.id())).unwrap_or_default();
        let value = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
        value.and_then(|bytes| bytes.parse().ok()).unwrap_or(f64::NAN)
    }

    /// SIGKILL, as the out-of-memory killer sends it.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// A directory that goes with the measurement.
pub(crate) fn data_dir() -> TempDir {
    let parent = data_parent();
    tempfile::tempdir_in(&parent).unwrap_or_else(|error| panic!("make a directory in {}: {error}", parent.display()))
}

fn start_victoria_metrics(dir: &Path) -> (Child, SocketAddr) {
    let address = free_address();
    let mut command = Command::new(PEERS[0].2);
    command.arg(format!("-storageDataPath={}", dir.display())).arg(format!("-httpListenAddr={address}"));
    command.args(["-retentionPeriod=1y", "-loggerLevel=ERROR"]);
    (quiet(command), address)
}

fn start_influx(dir: &Path, is_default: bool) -> (Child, SocketAddr) {
    let (address, rpc) = (free_address(), free_address());
    let dir = dir.display();
    // What it writes about requests and itself goes nowhere here; it costs it half of its time all the same.
    let more = match is_default {
        true => "",
        false => "log-enabled = false\n[monitor]\nstore-enabled = false\n[logging]\nlevel = \"error\"\n",
    };
    let config = format!(
        "reporting-disabled = true\nbind-address = \"{rpc}\"\n[meta]\ndir = \"{dir}/meta\"\n[data]\ndir = \"{dir}/data\"\n\
         wal-dir = \"{dir}/wal\"\n[http]\nbind-address = \"{address}\"\n{more}"
    );
    let path = format!("{dir}/influxdb.conf");
    std::fs::write(&path, config).expect("the directory is there");
    let mut command = Command::new(PEERS[1].2);
    command.args(["-config", &path]);
    (quiet(command), address)
}
