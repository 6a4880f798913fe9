//! The servers: ours and two peers, each a child process with a data directory of its own.

use std::{
    fmt,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::process::{free_address, process_cpu_seconds, quiet, start_plimsoll};

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Plimsoll,
    VictoriaMetrics,
    Prometheus,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plimsoll => "Plimsoll",
            Self::VictoriaMetrics => "VictoriaMetrics",
            Self::Prometheus => "Prometheus",
        })
    }
}

impl Kind {
    /// In the order of the report.
    pub(crate) const ALL: [Self; 3] = [Self::Plimsoll, Self::VictoriaMetrics, Self::Prometheus];

    /// Debian's package, and the directory that data is in.
    pub(crate) fn package(self) -> &'static str {
        match self {
            Self::Plimsoll => "plimsoll",
            Self::VictoriaMetrics => "victoria-metrics",
            Self::Prometheus => "prometheus",
        }
    }

    /// A peer's program, which may not be installed.
    pub(crate) fn program(self) -> PathBuf {
        match self {
            Self::Plimsoll => env!("CARGO_BIN_EXE_plimsoll").into(),
            Self::VictoriaMetrics | Self::Prometheus => Path::new("/usr/bin").join(self.package()),
        }
    }
}

/// Longest time any server may take to start, to stop, to answer, or to come to rest.
const PATIENCE: Duration = Duration::from_secs(600);
/// A server that has used less than [`REST_CPU_SECONDS`] for so long has finished flushing and compacting.
const REST: Duration = Duration::from_secs(5);
const REST_CPU_SECONDS: f64 = 0.1;
/// Time between two looks at a server.
const PAUSE: Duration = Duration::from_millis(100);

/// A running server; killed when it goes out of scope.
pub(crate) struct Server {
    pub(crate) kind: Kind,
    dir: PathBuf,
    child: Child,
    address: SocketAddr,
    agent: ureq::Agent,
}

impl Server {
    /// Starts a server on a directory, and waits until it answers.
    pub(crate) fn start(kind: Kind, dir: &Path) -> Self {
        std::fs::create_dir_all(dir).unwrap_or_else(|error| panic!("make {}: {error}", dir.display()));
        let (child, address) = match kind {
            Kind::Plimsoll => {
                start_plimsoll(env!("CARGO_BIN_EXE_plimsoll"), dir, &["--enable-feature=promql-delayed-name-removal"])
            }
            Kind::VictoriaMetrics => start_victoria_metrics(dir),
            Kind::Prometheus => start_prometheus(dir),
        };
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).build();
        let server = Self { kind, dir: dir.to_owned(), child, address, agent: config.into() };
        let path = if kind == Kind::VictoriaMetrics { "/health" } else { "/-/ready" };
        let is_ready = || TcpStream::connect(server.address).is_ok() && server.get(path).is_ok();
        wait_until(&format!("{kind} answers"), is_ready);
        server
    }

    /// Asks it to stop, and waits until it has; what it holds is on disk then.
    pub(crate) fn stop(mut self) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).expect("the process runs");
        let child = &mut self.child;
        wait_until("the server stops", || child.try_wait().is_ok_and(|status| status.is_some()));
    }

    /// Waits until everything taken is in the files where queries will find it, and nothing is going on.
    pub(crate) fn settle(&self) {
        if self.kind == Kind::VictoriaMetrics {
            // What was taken in the last seconds is not searched yet.
            self.get("/internal/force_flush").unwrap_or_else(|error| panic!("flush {}: {error}", self.kind));
        }
        wait_until("the server comes to rest", || {
            let before = self.cpu_seconds();
            std::thread::sleep(REST);
            self.cpu_seconds() - before < REST_CPU_SECONDS
        });
    }

    /// Sends a body; again and again where the server asks for patience.
    pub(crate) fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) {
        wait_until(&format!("{} takes a write", self.kind), || {
            let request = self.agent.post(self.url(path));
            let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
            let mut answer = request.send(body).unwrap_or_else(|error| panic!("write to {}: {error}", self.kind));
            let text = answer.body_mut().read_to_string().unwrap_or_default();
            let status = answer.status();
            assert!(status.is_success() || status == 503, "{} answered a write with {status}: {text}", self.kind);
            status.is_success()
        });
    }

    /// The body of an answer of the 200s, or why there is none.
    pub(crate) fn get(&self, path: &str) -> Result<Vec<u8>, String> {
        read(self.agent.get(self.url(path)).call())
    }

    /// The answer to a form.
    pub(crate) fn ask(&self, path: &str, form: &str) -> Result<Vec<u8>, String> {
        let request = self.agent.post(self.url(path)).header("Content-Type", "application/x-www-form-urlencoded");
        read(request.send(form))
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// How many samples of a metric there are in the hours before a time.
    pub(crate) fn count(&self, metric: &str, hours: i64, at: i64) -> usize {
        let form = format!("query=sum(count_over_time({metric}%5B{hours}h%5D))&time={at}");
        let answer = self.ask("/api/v1/query", &form).unwrap_or_else(|error| panic!("count in {}: {error}", self.kind));
        let answer: Value = serde_json::from_slice(&answer).expect("the answer is JSON");
        let number = answer["data"]["result"][0]["value"][1].as_str().and_then(|text| text.parse::<f64>().ok());
        number.map_or(0, |number| number as usize)
    }

    /// User and system time of the process so far.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        process_cpu_seconds(&self.child.id().to_string())
    }

    /// Makes the most memory seen so far what it has now.
    pub(crate) fn forget_peak(&self) {
        const PEAK: &str = "5"; // proc_pid_clear_refs(5)
        // Where it is not allowed, the peak is that since the start.
        let _ = std::fs::write(format!("/proc/{}/clear_refs", self.child.id()), PEAK);
    }

    /// The most memory it had, mapped files included; MiB.
    pub(crate) fn peak_mib(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        kib.map_or(f64::NAN, |kib| kib / 1024.0)
    }

    /// The most memory that a query of the last while held at once, by the account of our server; look-ups of names and
    /// series are not listed there.
    pub(crate) fn held_bytes(&self, last: Duration) -> Option<u64> {
        if self.kind != Kind::Plimsoll {
            return None;
        }
        let path = format!("/api/v1/status/top_queries?topN=1&maxLifetime={}", last.as_secs_f64());
        let answer = self.get(&path).unwrap_or_else(|error| panic!("the top queries: {error}"));
        let answer: Value = serde_json::from_slice(&answer).expect("the answer is JSON");
        answer["data"]["topByAvgMemoryUsage"][0]["avgMemoryBytes"].as_u64()
    }

    /// Bytes of its files, without those that we keep empty for a full disk.
    pub(crate) fn disk_bytes(&self) -> u64 {
        bytes_below(&self.dir)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Vec<u8>, String> {
    let mut answer = answer.map_err(|error| error.to_string())?;
    let body = answer.body_mut().with_config().limit(u64::MAX).read_to_vec().map_err(|error| error.to_string())?;
    match answer.status() {
        status if status.is_success() => Ok(body),
        status => Err(format!("{status}: {}", String::from_utf8_lossy(&body))),
    }
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} until {what}");
        std::thread::sleep(PAUSE);
    }
}

fn bytes_below(dir: &Path) -> u64 {
    let is_reserve = |name: &str| name == "RESERVE" || name.starts_with("spare-");
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let used = entries.filter(|entry| !is_reserve(&entry.file_name().to_string_lossy()));
    let sizes = used.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0, // removed meanwhile
    });
    sizes.sum()
}

/// With its caches of results off: a dashboard that asks the same again is not what is measured.
fn start_victoria_metrics(dir: &Path) -> (Child, SocketAddr) {
    let address = free_address();
    let mut command = Command::new(Kind::VictoriaMetrics.program());
    command.arg(format!("-storageDataPath={}", dir.display())).arg(format!("-httpListenAddr={address}"));
    command.args(["-retentionPeriod=10y", "-loggerLevel=ERROR", "-search.disableCache"]);
    (quiet(command), address)
}

fn start_prometheus(dir: &Path) -> (Child, SocketAddr) {
    let address = free_address();
    let config = dir.join("prometheus.yml");
    std::fs::write(&config, "scrape_configs: []\n").expect("the directory is there");
    let mut command = Command::new(Kind::Prometheus.program());
    command.arg(format!("--config.file={}", config.display()));
    command.arg(format!("--storage.tsdb.path={}", dir.join("data").display()));
    command.arg(format!("--web.listen-address={address}"));
    command.args(["--storage.tsdb.retention.time=10y", "--web.enable-remote-write-receiver", "--log.level=error"]);
    (quiet(command), address)
}
