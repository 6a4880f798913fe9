//! Loading: line protocol to Plimsoll and VictoriaMetrics, remote write to Prometheus, by two connections.

use std::io::Write;

use crate::{
    data::{DataSet, Row, Walk, fields},
    devops,
    remote_write::Encoder,
    servers::{Kind, Server},
};

/// Connections, each with its share of the hosts.
const CONNECTIONS: usize = 2;
/// Rows of all hosts that are sent before any later row: ten minutes, as Prometheus refuses what is much older than the
/// newest it has.
const ROWS_PER_TURN: usize = 60;
/// Lines of one request: a few MiB.
const LINES_PER_REQUEST: usize = 8_000;
/// Hosts of one remote-write request, all rows of a turn: a few MiB, too.
const HOSTS_PER_REQUEST: usize = 100;

/// Sends all samples of a set to a server.
pub(crate) fn load(server: &Server, set: &DataSet) {
    let hosts_each = set.hosts.div_ceil(CONNECTIONS);
    let mut shares: Vec<_> = (0..set.hosts)
        .step_by(hosts_each)
        .map(|first| (first..(first + hosts_each).min(set.hosts)).map(|host| Host::new(set, host)).collect::<Vec<_>>())
        .collect();
    for first in (0..set.rows()).step_by(ROWS_PER_TURN) {
        let times: Vec<_> = (first..(first + ROWS_PER_TURN).min(set.rows())).map(|row| set.millis(row)).collect();
        std::thread::scope(|scope| {
            for hosts in &mut shares {
                let times = &times;
                scope.spawn(move || send(server, hosts, times));
            }
        });
    }
}

/// A host, and its rows of the turn.
struct Host {
    tags: String,
    walk: Walk,
    rows: Vec<Row>,
}

impl Host {
    fn new(set: &DataSet, host: usize) -> Self {
        Self { tags: devops::tags(host), walk: Walk::new(set, host), rows: Vec::new() }
    }
}

fn send(server: &Server, hosts: &mut [Host], times: &[i64]) {
    for host in hosts.iter_mut() {
        host.rows = times.iter().map(|_| host.walk.step()).collect();
    }
    match server.kind {
        Kind::Prometheus => send_remote(server, hosts, times),
        Kind::Plimsoll | Kind::VictoriaMetrics => send_lines(server, hosts, times),
    }
}

/// All hosts at a time, then at the next. The servers make a label of `db`.
fn send_lines(server: &Server, hosts: &[Host], times: &[i64]) {
    const PATH: &str = "/write?db=bench&precision=ms";
    let (mut body, mut lines) = (Vec::new(), 0);
    for (index, millis) in times.iter().enumerate() {
        for host in hosts {
            put_line(&mut body, &host.tags, &host.rows[index], *millis);
            lines += 1;
            if lines % LINES_PER_REQUEST == 0 {
                server.post(PATH, &[], &body);
                body.clear();
            }
        }
    }
    if !body.is_empty() {
        server.post(PATH, &[], &body);
    }
}

fn put_line(body: &mut Vec<u8>, tags: &str, row: &Row, millis: i64) {
    let mut put = |text: std::fmt::Arguments<'_>| body.write_fmt(text).expect("a Vec takes all bytes");
    put(format_args!("cpu,{tags}"));
    for ((index, name), value) in fields().enumerate().zip(row) {
        let separator = if index == 0 { ' ' } else { ',' };
        match (value / 100, value % 100) {
            (whole, 0) => put(format_args!("{separator}{name}={whole}")),
            (whole, rest) => put(format_args!("{separator}{name}={whole}.{rest:02}")),
        }
    }
    put(format_args!(" {millis}\n"));
}

fn send_remote(server: &Server, hosts: &[Host], times: &[i64]) {
    const HEADERS: [(&str, &str); 3] = [
        ("Content-Type", "application/x-protobuf"),
        ("Content-Encoding", "snappy"),
        ("X-Prometheus-Remote-Write-Version", "0.1.0"),
    ];
    let mut encoder = Encoder::default();
    for hosts in hosts.chunks(HOSTS_PER_REQUEST) {
        for host in hosts {
            let tags = format!("{},db=bench", host.tags);
            for (index, name) in fields().enumerate() {
                let values = host.rows.iter().map(|row| row[index] as f64 / 100.0);
                encoder.series(&format!("cpu_{name}"), &tags, times.iter().copied().zip(values));
            }
        }
        server.post("/api/v1/write", &HEADERS, &encoder.finish());
    }
}
