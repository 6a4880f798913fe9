//! Servers as child processes, and what the kernel says about them.

use std::{
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// Starts a build of our server on a directory and any free port, and answers where it listens.
pub fn start_plimsoll(program: &str, dir: &Path, more: &[&str]) -> (Child, SocketAddr) {
    let mut command = Command::new(program);
    command.args(["serve", "--listen", "127.0.0.1:0", "--log", "info", "--data"]).arg(dir);
    let mut child = command.args(more).stderr(Stdio::piped()).spawn().expect("the server starts");
    let mut log = BufReader::new(child.stderr.take().expect("it is piped"));
    let mut said = String::new();
    let address = loop {
        let before = said.len();
        let read = log.read_line(&mut said).expect("the log is text");
        assert!(read > 0, "the server ended early with {more:?}: {said}");
        if let Some(rest) = said[before..].split("address=").nth(1) {
            break rest.split_whitespace().next().and_then(|a| a.parse().ok()).expect("an address is there");
        }
    };
    // Read on, or the server would block on a full pipe; show what should not happen.
    std::thread::spawn(move || {
        for line in log.lines().map_while(Result::ok).filter(|line| line.contains("ERROR")) {
            eprintln!("{line}");
        }
    });
    (child, address)
}

/// Starts a program that says nothing.
pub fn quiet(mut command: Command) -> Child {
    let spawned = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    spawned.expect("the program is there")
}

/// A port that is free now.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("it is bound")
}

/// Where data directories are made: under `target`, so that it is on the disk that is reported.
pub fn data_parent() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
}

/// The kernel's unit of CPU time in /proc.
const TICKS_PER_SECOND: f64 = 100.0;

/// User and system time of a process so far.
pub fn process_cpu_seconds(process: &str) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("the process runs");
    let after_name = stat.rsplit(')').next().expect("there is a name in parentheses");
    ticks(after_name.split_whitespace().skip(11).take(2))
}

/// User and system time of all processes so far, niced ones included.
pub fn machine_cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/stat").expect("this is Linux");
    ticks(stat.split_whitespace().skip(1).take(3))
}

fn ticks<'a>(words: impl Iterator<Item = &'a str>) -> f64 {
    words.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / TICKS_PER_SECOND
}

/// How many cores there are.
pub fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
