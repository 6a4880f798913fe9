//! The server under test: our own executable as a child process.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, ChildStderr, Command, Stdio},
    sync::mpsc,
    thread::JoinHandle,
    time::Duration,
};

use crate::{
    commands::{Failed, client::Client},
    durability::Mode,
};

/// For so long a start may take; what takes longer counts as failed.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// How often is asked whether it is ready, and whether all is there.
const POLL: Duration = Duration::from_millis(2);
/// Small, so that crashes meet flushes and manifests, too.
const MEMTABLE_SIZE: &str = "8MiB";
/// The last lines of its log, for the case that it fails.
const LOG_LINES_MAX: usize = 20;

/// A running server. Dropped, it is killed.
pub(super) struct Server {
    child: Child,
    log: Option<JoinHandle<VecDeque<String>>>,
    pub(super) url: String,
    pub(super) client: Client,
    /// From the start of the process until it was ready.
    pub(super) ready: Duration,
    /// From there until everything it had recovered could be seen.
    pub(super) complete: Duration,
}

/// Starts a server on a directory and kills it again after a while, ready or not.
pub(super) fn start_and_kill(dir: &Path, mode: Mode, after: Duration) -> Result<(), Failed> {
    let mut child = spawn(dir, mode, Stdio::null())?;
    std::thread::sleep(after);
    kill(&mut child)
}

impl Server {
    /// Starts one and waits until it is ready and shows all it has.
    pub(super) fn start(dir: &Path, mode: Mode) -> Result<Self, Failed> {
        let started = super::clock();
        let mut child = spawn(dir, mode, Stdio::piped())?;
        let stderr = child.stderr.take().expect("it was asked to be piped");
        let (ready, is_ready) = mpsc::channel();
        let log = std::thread::spawn(move || read_log(stderr, &ready));
        let address = is_ready.recv_timeout(START_PATIENCE);
        let url = format!("http://{}", address.as_deref().unwrap_or_default());
        let client = Client::new(&url);
        let mut server = Self { child, log: Some(log), url, client, ready: Duration::ZERO, complete: Duration::ZERO };
        let is_up = address.is_ok() && wait_for(started, || server.client.text("/-/ready").is_ok());
        server.ready = started.elapsed();
        if !is_up {
            return Err(server.autopsy("the server does not become ready"));
        }
        if !wait_for(started, || server.is_complete()) {
            return Err(server.autopsy("the server does not show all it has recovered"));
        }
        server.complete = started.elapsed() - server.ready;
        Ok(server)
    }

    /// Whether queries see everything that survived.
    fn is_complete(&self) -> bool {
        let Ok(answer) = self.client.json("/api/v1/durability", &[]) else { return false };
        let mark = |name: &str| answer["data"]["watermarks"][name].as_u64();
        mark("visible").zip(mark("process_safe")).is_some_and(|(visible, safe)| visible >= safe)
    }

    /// Batches the start took from the stage.
    pub(super) fn replayed_batches(&self) -> u64 {
        let metrics = self.client.text("/metrics").unwrap_or_default();
        let line = metrics.lines().find_map(|line| line.strip_prefix("plimsoll_recovery_replayed_batches "));
        line.and_then(|number| number.parse().ok()).unwrap_or(0)
    }

    /// SIGKILL, and nothing before it. An error if it had ended by itself.
    pub(super) fn kill(mut self) -> Result<(), Failed> {
        match self.child.try_wait() {
            Ok(None) => kill(&mut self.child),
            Ok(Some(status)) => Err(self.autopsy(&format!("the server ended by itself ({status})"))),
            Err(error) => Err(Failed::new("look after the server", &error)),
        }
    }

    /// What went wrong, with the last lines the server logged.
    fn autopsy(&mut self, what: &str) -> Failed {
        // It may have ended already.
        let _ = kill(&mut self.child);
        let lines = self.log.take().and_then(|log| log.join().ok()).unwrap_or_default();
        let lines: Vec<_> = lines.iter().map(|line| format!("\n    | {line}")).collect();
        Failed(format!("{what}; its log ends with:{}", lines.concat()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = kill(&mut self.child);
    }
}

fn spawn(dir: &Path, mode: Mode, stderr: Stdio) -> Result<Child, Failed> {
    let program = std::env::current_exe().map_err(|error| Failed::new("find our own executable", &error))?;
    let mut command = Command::new(&program);
    command.args(["serve", "--listen", "127.0.0.1:0", "--log", "info", "--memtable-size", MEMTABLE_SIZE]);
    command.arg("--durability").arg(mode.to_string()).arg("--data").arg(dir);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
    command.spawn().map_err(|error| Failed::new(format!("start {}", program.display()), &error))
}

/// SIGKILL; back when the process is gone, and its lock on the directory with it.
fn kill(child: &mut Child) -> Result<(), Failed> {
    child.kill().and_then(|()| child.wait()).map(drop).map_err(|error| Failed::new("kill the server", &error))
}

/// Reads the log to its end, or the server would block on a full pipe; sends the address once it says that it is ready.
fn read_log(stderr: ChildStderr, ready: &mpsc::Sender<String>) -> VecDeque<String> {
    let mut last = VecDeque::new();
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        if let Some(rest) = line.split("address=").nth(1) {
            // Nobody may be waiting any more.
            let _ = ready.send(rest.split_whitespace().next().unwrap_or_default().to_owned());
        }
        if last.len() == LOG_LINES_MAX {
            last.pop_front();
        }
        last.push_back(line);
    }
    last
}

fn wait_for(started: std::time::Instant, is_so: impl Fn() -> bool) -> bool {
    while started.elapsed() < START_PATIENCE {
        if is_so() {
            return true;
        }
        std::thread::sleep(POLL);
    }
    false
}
