//! Ingest end to end: line protocol over HTTP on loopback into a server process of its own.
//!
//! The work: bodies of 1,000 lines (one per stream) with 10 integer fields and 10 tags, as the devops set of TSBS has them,
//! over 4 connections that send the next body when the last is answered. Reported: samples per second, and the server
//! process's CPU-seconds (user and system) per million samples.
//!
//! A server is loaded several times and only the later loads count: its memory is warm then. The modes' loads are
//! interleaved, so that a slow phase of the machine meets all of them.

#[allow(unreachable_pub)] // shared by benches, each of them a crate
#[path = "common/devops.rs"]
mod devops;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    time::Instant,
};

use devops::FIELD_NAMES;

const MODES: [&str; 2] = ["parts=1s", "wal-sync"];
const STREAMS: usize = 1_000;
const FIELDS: usize = FIELD_NAMES.len();
const CONNECTIONS: usize = 4;
const BODIES_PER_LOAD: usize = 1_000;
const WARM_UP_LOADS: usize = 2;
const COUNTED_LOADS: usize = 5;
/// Digits of a timestamp in seconds.
const TIME_DIGITS: usize = 10;
const START: usize = 1_795_154_400;

fn main() {
    let servers: Vec<_> = MODES.iter().map(|mode| Server::start(mode)).collect();
    let mut loads = vec![Vec::new(); MODES.len()];
    let body = Body::new();
    println!("{} bytes a body, {} bytes a sample", body.text.len(), body.text.len() / (STREAMS * FIELDS));
    for round in 0..WARM_UP_LOADS + COUNTED_LOADS {
        for (server, loads) in servers.iter().zip(&mut loads) {
            let load = server.load(&body, round);
            if round >= WARM_UP_LOADS {
                loads.push(load);
            }
        }
    }
    for (server, mode) in servers.iter().zip(MODES) {
        let sent = (WARM_UP_LOADS + COUNTED_LOADS) * BODIES_PER_LOAD * STREAMS * FIELDS;
        assert_eq!(server.count(), sent, "samples found of those sent in {mode}");
    }
    println!("ingest over HTTP, {CONNECTIONS} connections (median of {COUNTED_LOADS} loads, min-max)");
    for (mode, loads) in MODES.iter().zip(&loads) {
        let cpu = spread(loads.iter().map(|load| load.cpu_seconds));
        let rate = spread(loads.iter().map(|load| load.samples_per_second / 1e6));
        println!(
            "  {mode:<12} {:.4} CPU-s/M samples [{:.4}-{:.4}]  {:6.2} M samples/s [{:.2}-{:.2}]",
            cpu[0], cpu[1], cpu[2], rate[0], rate[1], rate[2]
        );
    }
}

/// Median, least and greatest.
fn spread(values: impl Iterator<Item = f64>) -> [f64; 3] {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    [values[values.len() / 2], values[0], values[values.len() - 1]]
}

#[derive(Clone, Copy)]
struct Load {
    /// Per million samples.
    cpu_seconds: f64,
    samples_per_second: f64,
}

/// A body whose timestamps can be replaced where they stand.
#[derive(Clone)]
struct Body {
    text: Vec<u8>,
    times: Vec<usize>,
}

impl Body {
    fn new() -> Self {
        let mut body = Self { text: Vec::new(), times: Vec::new() };
        let mut random = fastrand::Rng::with_seed(1);
        for host in 0..STREAMS {
            write!(body.text, "cpu,{} ", devops::tags(host)).expect("a Vec takes all bytes");
            for (index, name) in FIELD_NAMES.iter().enumerate() {
                let comma = if index > 0 { "," } else { "" };
                write!(body.text, "{comma}{name}={}i", random.u32(0..100)).expect("a Vec takes all bytes");
            }
            body.text.push(b' ');
            body.times.push(body.text.len());
            body.text.extend_from_slice(&[b'0'; TIME_DIGITS]);
            body.text.push(b'\n');
        }
        body
    }

    fn set_time(&mut self, seconds: usize) {
        let digits = format!("{seconds:0TIME_DIGITS$}");
        for &place in &self.times {
            self.text[place..place + TIME_DIGITS].copy_from_slice(digits.as_bytes());
        }
    }
}

struct Server {
    child: Child,
    address: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Server {
    fn start(mode: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--durability", mode, "--data"]).arg(dir.path());
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the server starts");
        let mut log = BufReader::new(child.stderr.take().expect("it is piped"));
        let mut line = String::new();
        let address = loop {
            line.clear();
            assert!(log.read_line(&mut line).expect("the log is text") > 0, "the server ended early");
            if let Some(rest) = line.split("address=").nth(1) {
                break rest.split_whitespace().next().and_then(|a| a.parse().ok()).expect("an address is there");
            }
        };
        // Read on, or the server would block on a full pipe.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::stderr()));
        Self { child, address, _dir: dir }
    }

    /// One load: every connection sends its share of the bodies, each with the next seconds of all streams.
    #[allow(clippy::disallowed_methods)] // a bench is where the clock is read
    fn load(&self, body: &Body, round: usize) -> Load {
        let (cpu, started) = (self.cpu_seconds(), Instant::now());
        std::thread::scope(|scope| {
            for connection in 0..CONNECTIONS {
                let mut body = body.clone();
                scope.spawn(move || {
                    let mut stream = Connection::open(self.address);
                    for index in (connection..BODIES_PER_LOAD).step_by(CONNECTIONS) {
                        body.set_time(START + 10 * (round * BODIES_PER_LOAD + index));
                        stream.write(&body.text);
                    }
                });
            }
        });
        let samples = (BODIES_PER_LOAD * STREAMS * FIELDS) as f64;
        let seconds = started.elapsed().as_secs_f64();
        Load { cpu_seconds: (self.cpu_seconds() - cpu) / samples * 1e6, samples_per_second: samples / seconds }
    }

    /// How many samples the server finds of all that were sent.
    fn count(&self) -> usize {
        FIELD_NAMES.iter().map(|field| self.count_of(field)).sum()
    }

    fn count_of(&self, field: &str) -> usize {
        let end = START + 10 * (WARM_UP_LOADS + COUNTED_LOADS) * BODIES_PER_LOAD;
        let query = format!("sum(count_over_time(cpu_{field}[1y]))");
        let mut stream = TcpStream::connect(self.address).expect("the server listens");
        let head = format!("GET /api/v1/query?query={query}&time={end} HTTP/1.0\r\n\r\n");
        stream.write_all(head.as_bytes()).expect("the server reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the server answers");
        let number = answer.rsplit('"').find_map(|piece| piece.parse().ok());
        number.unwrap_or_else(|| panic!("no number in {answer}"))
    }

    /// User and system time of the process so far.
    #[allow(clippy::disallowed_methods)] // not the database's own files
    fn cpu_seconds(&self) -> f64 {
        const TICKS_PER_SECOND: f64 = 100.0;
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("the server runs");
        let after_name = stat.rsplit(')').next().expect("there is a name in parentheses");
        let ticks = after_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok());
        ticks.sum::<f64>() / TICKS_PER_SECOND
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Connection(TcpStream);

impl Connection {
    fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_nodelay(true).expect("it is a TCP socket");
        Self(stream)
    }

    fn write(&mut self, body: &[u8]) {
        let head = format!(
            "POST /write?db=bench&precision=s HTTP/1.1\r\nHost: bench\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.0.write_all(head.as_bytes()).and_then(|()| self.0.write_all(body)).expect("the server reads");
        let (mut answer, mut length) = ([0; 4096], 0);
        while !answer[..length].ends_with(b"\r\n\r\n") {
            let read = self.0.read(&mut answer[length..]).expect("the server answers");
            assert!(read > 0, "the server closed the connection");
            length += read;
        }
        assert!(answer.starts_with(b"HTTP/1.1 204 "), "{}", String::from_utf8_lossy(&answer[..length]));
    }
}
