//! The loader: connections that each send the next request when the last is answered.
//!
//! It shares the machine's cores with the server it loads, so it has to be cheap: requests are built beforehand and only
//! their timestamps and values are replaced, and a thread waits for many connections at once (epoll) instead of sleeping in each.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    ops::Range,
    sync::atomic::{AtomicU8, Ordering},
    time::Instant,
};

use fastrand::Rng;
use rustix::{
    buffer::spare_capacity,
    event::epoll::{self, Event, EventData, EventFlags},
};

use crate::devops::{self, FIELD_NAMES};

/// Series of tags that are written to.
pub(crate) const STREAMS: usize = 1_000;
/// Distance of a stream's timestamps: a day has room for 864 million lines.
pub(crate) const STEP_MILLIS: u64 = 100;
/// Digits of a timestamp in milliseconds.
const TIME_DIGITS: usize = 13;

/// What to send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// The server.
    pub(crate) address: SocketAddr,
    /// Connections.
    pub(crate) connections: usize,
    /// Lines a request: 1, or one for each of the streams.
    pub(crate) lines: usize,
    /// Threads that the connections are dealt to.
    pub(crate) threads: usize,
    /// Requests a connection sends at most.
    pub(crate) requests_each: u64,
    /// The first timestamp.
    pub(crate) start_millis: u64,
}

/// What a load is doing; set by whoever measures.
#[derive(Default)]
pub(crate) struct Phase(AtomicU8);

// Zero, where it begins, is the warm-up: requests are sent, and their answers do not count.
const MEASURE: u8 = 1;
const STOP: u8 = 2;

impl Phase {
    /// From here on answers count.
    pub(crate) fn measure(&self) {
        self.0.store(MEASURE, Ordering::Release);
    }

    /// No further request is sent.
    pub(crate) fn stop(&self) {
        self.0.store(STOP, Ordering::Release);
    }

    /// Whether `stop` was called.
    pub(crate) fn has_stopped(&self) -> bool {
        self.0.load(Ordering::Acquire) == STOP
    }
}

/// What came of a load.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// Nanoseconds from a request's first byte to its answer's last, for each that was measured.
    pub(crate) latencies: Vec<u32>,
    /// Requests answered 204, measured or not.
    pub(crate) accepted: u64,
    /// Requests answered otherwise (503 where the server asks for patience), measured or not.
    pub(crate) refused: u64,
    /// CPU time of the loader's threads.
    pub(crate) cpu_seconds: f64,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.latencies.extend_from_slice(&other.latencies);
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.cpu_seconds += other.cpu_seconds;
    }
}

/// Loads a server until the phase says stop or enough is sent; every request that was sent is answered when this returns.
pub(crate) fn run(plan: Plan, phase: &Phase) -> io::Result<Tally> {
    let threads = plan.threads.clamp(1, plan.connections);
    std::thread::scope(|scope| {
        let loaders: Vec<_> = (0..threads)
            .map(|thread| {
                let connections = (thread..plan.connections).step_by(threads);
                scope.spawn(move || load(plan, connections, phase))
            })
            .collect();
        let mut sum = Tally::default();
        for loader in loaders {
            sum.add(&loader.join().expect("a loader gives an error instead of panicking")?);
        }
        Ok(sum)
    })
}

fn load(plan: Plan, connections: impl Iterator<Item = usize>, phase: &Phase) -> io::Result<Tally> {
    let mut connections: Vec<_> = connections.map(|index| Connection::open(plan, index)).collect::<io::Result<_>>()?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    for (index, connection) in connections.iter_mut().enumerate() {
        let changes = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
        epoll::add(&epoll, &connection.socket, EventData::new_u64(index as u64), changes)?;
    }
    let (mut tally, mut open) = (Tally::default(), connections.len());
    for connection in &mut connections {
        connection.begin()?;
    }
    let mut events: Vec<Event> = Vec::with_capacity(connections.len());
    while open > 0 {
        events.clear();
        epoll::wait(&epoll, spare_capacity(&mut events), None)?;
        for event in &events {
            let connection = &mut connections[event.data.u64() as usize];
            open -= usize::from(connection.advance(phase, &mut tally)? == Next::Done);
        }
    }
    tally.cpu_seconds = thread_cpu_seconds();
    Ok(tally)
}

#[derive(PartialEq, Eq)]
enum Next {
    Wait,
    Done,
}

/// A connection with its own streams (where a request is one line) or its own timestamps (where it is all streams).
struct Connection {
    socket: TcpStream,
    requests: Vec<Request>,
    /// The request that is under way: its place, and how much of it is sent.
    current: usize,
    sent: usize,
    started: Instant,
    time_millis: u64,
    /// Added to the time when all requests were sent once.
    step_millis: u64,
    /// Requests that may still be begun.
    left: u64,
    random: Rng,
    answer: [u8; 2048],
    received: usize,
    done: bool,
}

impl Connection {
    fn open(plan: Plan, index: usize) -> io::Result<Self> {
        let socket = TcpStream::connect(plan.address)?;
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        let (requests, shift, step): (Vec<_>, _, _) = if plan.lines == 1 {
            ((index..STREAMS).step_by(plan.connections).map(|s| Request::new(s..s + 1)).collect(), 0, 1)
        } else {
            (vec![Request::new(0..plan.lines)], index as u64, plan.connections as u64)
        };
        Ok(Self {
            socket,
            current: requests.len() - 1,
            requests,
            sent: 0,
            started: Instant::now(),
            time_millis: plan.start_millis + shift * STEP_MILLIS - step * STEP_MILLIS,
            step_millis: step * STEP_MILLIS,
            left: plan.requests_each,
            random: Rng::with_seed(index as u64),
            answer: [0; 2048],
            received: 0,
            done: false,
        })
    }

    /// Sends the next request, as far as the socket takes it.
    fn begin(&mut self) -> io::Result<()> {
        self.left -= 1;
        self.current = (self.current + 1) % self.requests.len();
        if self.current == 0 {
            self.time_millis += self.step_millis;
        }
        self.requests[self.current].renew(self.time_millis, &mut self.random);
        (self.sent, self.received, self.started) = (0, 0, Instant::now());
        self.send()
    }

    fn send(&mut self) -> io::Result<()> {
        let bytes = &self.requests[self.current].bytes;
        while self.sent < bytes.len() {
            match self.socket.write(&bytes[self.sent..]) {
                Ok(written) => self.sent += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Goes on after the socket has changed.
    fn advance(&mut self, phase: &Phase, tally: &mut Tally) -> io::Result<Next> {
        if self.done {
            return Ok(Next::Wait);
        }
        self.send()?;
        if self.sent < self.requests[self.current].bytes.len() {
            return Ok(Next::Wait);
        }
        let Some(status) = self.receive()? else { return Ok(Next::Wait) };
        if status == 204 {
            tally.accepted += 1;
        } else {
            tally.refused += 1;
        }
        let phase = phase.0.load(Ordering::Acquire);
        if phase == MEASURE && status == 204 {
            tally.latencies.push(u32::try_from(self.started.elapsed().as_nanos()).unwrap_or(u32::MAX));
        }
        if phase == STOP || self.left == 0 {
            self.done = true;
            return Ok(Next::Done);
        }
        self.begin()?;
        Ok(Next::Wait)
    }

    /// The status, once the whole answer is there.
    fn receive(&mut self) -> io::Result<Option<u16>> {
        match self.socket.read(&mut self.answer[self.received..]) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => self.received += read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        }
        Ok(whole_answer(&self.answer[..self.received]))
    }
}

/// The status of an answer that is all there: a head, and as many bytes as it announces.
fn whole_answer(bytes: &[u8]) -> Option<u16> {
    let head = memchr::memmem::find(bytes, b"\r\n\r\n")?;
    let status = std::str::from_utf8(bytes.get(9..12)?).ok()?.parse().ok()?;
    let size = if status == 204 { 0 } else { content_length(&bytes[..head]) };
    (bytes.len() >= head + 4 + size).then_some(status)
}

fn content_length(head: &[u8]) -> usize {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let value = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    value.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// A whole request whose timestamps and values can be replaced where they stand.
struct Request {
    bytes: Vec<u8>,
    times: Vec<usize>,
    values: Vec<usize>,
}

impl Request {
    fn new(streams: Range<usize>) -> Self {
        let (mut body, mut times, mut values) = (Vec::new(), Vec::new(), Vec::new());
        for stream in streams {
            put_line(&mut body, stream, &mut values);
            times.push(body.len());
            body.extend_from_slice(&[b'0'; TIME_DIGITS]);
            body.push(b'\n');
        }
        let mut bytes = format!(
            "POST /write?db=bench&precision=ms HTTP/1.1\r\nHost: bench\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        times.iter_mut().chain(&mut values).for_each(|place| *place += bytes.len());
        bytes.append(&mut body);
        Self { bytes, times, values }
    }

    /// Makes it the next one: another time, other values.
    fn renew(&mut self, millis: u64, random: &mut Rng) {
        let digits = format!("{millis:0TIME_DIGITS$}");
        for &place in &self.times {
            self.bytes[place..place + TIME_DIGITS].copy_from_slice(digits.as_bytes());
        }
        for &place in &self.values {
            let value = random.u8(10..100);
            self.bytes[place] = b'0' + value / 10;
            self.bytes[place + 1] = b'0' + value % 10;
        }
    }
}

/// A line without its timestamp: 10 tags and 10 integer fields of two digits, as the devops set of TSBS has them.
fn put_line(body: &mut Vec<u8>, host: usize, values: &mut Vec<usize>) {
    body.extend_from_slice(format!("cpu,{}", devops::tags(host)).as_bytes());
    for (index, name) in FIELD_NAMES.iter().enumerate() {
        body.push(if index == 0 { b' ' } else { b',' });
        body.extend_from_slice(format!("{name}=").as_bytes());
        values.push(body.len());
        body.extend_from_slice(b"00i");
    }
    body.push(b' ');
}

/// CPU time of the calling thread.
fn thread_cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos: f64 = stat.split_whitespace().next().and_then(|nanos| nanos.parse().ok()).unwrap_or(f64::NAN);
    nanos / 1e9
}
