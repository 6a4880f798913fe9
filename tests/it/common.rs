//! A server as users have it: the binary, a directory, a port; and HTTP by hand, so that odd requests can be sent.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread::JoinHandle,
    time::Duration,
};

use serde_json::Value;

/// The program under test.
pub(crate) const PLIMSOLL: &str = env!("CARGO_BIN_EXE_plimsoll");
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// A running `plimsoll serve` on a port of its own. Dropped, it is killed.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    log: Option<JoinHandle<String>>,
}

impl Server {
    /// Starts on a directory, with further flags, and waits until it is ready.
    pub(crate) fn start(dir: &Path, flags: &[&str]) -> Self {
        let mut command = Command::new(PLIMSOLL);
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(dir).args(flags);
        let mut child = command.stderr(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut before = String::new();
        let address = loop {
            let mut line = String::new();
            assert!(stderr.read_line(&mut line).unwrap() > 0, "the server ended before it was ready:\n{before}");
            if let Some(rest) = line.split("address=").nth(1) {
                break rest.split_whitespace().next().unwrap().parse().unwrap();
            }
            before += &line;
        };
        // The log is read on, or the server would block on a full pipe.
        let log = std::thread::spawn(move || {
            let mut rest = String::new();
            stderr.read_to_string(&mut rest).unwrap();
            rest
        });
        Self { child, address, log: Some(log) }
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; the exit code and what it logged.
    pub(crate) fn terminate(mut self) -> (Option<i32>, String) {
        let kill = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(kill.success());
        let code = self.child.wait().unwrap().code();
        (code, self.log.take().unwrap().join().unwrap())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn get(&self, path: &str) -> Response {
        self.send("GET", path, &[], b"")
    }

    pub(crate) fn post(&self, path: &str, body: &[u8]) -> Response {
        self.send("POST", path, &[], body)
    }

    /// One request on a connection of its own.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n");
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!("Content-Length: {}\r\n\r\n", body.len());
        self.raw(&[head.as_bytes(), body].concat(), method == "HEAD")
    }

    /// Sends bytes as they are and reads an answer.
    pub(crate) fn raw(&self, bytes: &[u8], is_head: bool) -> Response {
        let mut stream = TcpStream::connect(self.address).unwrap();
        // A server may answer and close before it has read all; what counts is the answer.
        let _ = stream.write_all(bytes);
        Response::parse(&Self::read_all(stream), is_head)
    }

    /// What comes until the connection is closed.
    pub(crate) fn read_all(mut stream: TcpStream) -> Vec<u8> {
        stream.set_read_timeout(Some(READ_TIMEOUT)).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        answer
    }

    /// A PromQL query's `data.result`.
    pub(crate) fn query(&self, expr: &str, time: &str) -> Value {
        let response = self.get(&format!("/api/v1/query?query={}&time={time}", encode(expr)));
        assert_eq!(response.status, 200, "{expr}: {}", response.text());
        response.json()["data"]["result"].clone()
    }

    /// The value of a query that gives one number.
    pub(crate) fn number(&self, expr: &str, time: &str) -> f64 {
        let result = self.query(expr, time);
        let value = if result[0].is_object() { &result[0]["value"][1] } else { &result[1] };
        value.as_str().map_or(f64::NAN, |text| text.parse().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    fn parse(answer: &[u8], is_head: bool) -> Self {
        let end = answer.windows(4).position(|w| w == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no head in {:?}", String::from_utf8_lossy(answer)));
        let head = std::str::from_utf8(&answer[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: HashMap<_, _> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let body = &answer[end + 4..];
        let is_chunked = headers.get("transfer-encoding").is_some_and(|value| value == "chunked");
        let body = if is_chunked && !is_head { unchunk(body) } else { body.to_vec() };
        Self { status, headers, body }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

fn unchunk(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(end) = body.windows(2).position(|w| w == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&body[..end]).unwrap(), 16).unwrap();
        whole.extend_from_slice(&body[end + 2..][..size]);
        body = &body[end + 2 + size + 2..];
    }
    whole
}

/// Percent-encodes all that is not a letter or digit.
pub(crate) fn encode(text: &str) -> String {
    let byte = |b: u8| if b.is_ascii_alphanumeric() { (b as char).to_string() } else { format!("%{b:02X}") };
    text.bytes().map(byte).collect()
}

/// Unix seconds at which what tests write begins.
pub(crate) const T: i64 = 1_795_154_400;

/// A server on a directory of its own.
pub(crate) fn server(flags: &[&str]) -> (Server, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    (Server::start(dir.path(), flags), dir)
}

/// Three hosts, four minutes, one sample each ten seconds.
pub(crate) fn with_data() -> (Server, tempfile::TempDir) {
    let (server, dir) = server(&[]);
    let lines: String = (0..24)
        .flat_map(|i| ["a", "b", "c"].map(|host| format!("cpu,host={host} usage={}.5,idle={i}i {}\n", i, T + i * 10)))
        .collect();
    let response = server.post("/write?db=test&precision=s", lines.as_bytes());
    assert_eq!(response.status, 204, "{}", response.text());
    (server, dir)
}

/// Packs with gzip.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}
