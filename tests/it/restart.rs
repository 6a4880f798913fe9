//! What is there after the server ended: well, and not so well.

use std::{
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
};

use crate::common::{PLIMSOLL, Server, T};

/// Batch `number`: 20 hosts, one line each, all with the batch's number as value.
fn batch(number: u64) -> String {
    (0..20).map(|host| format!("m,host=h{host} value={number} {}\n", T + number as i64)).collect()
}

/// Writes batches until the server is killed; the last that was acknowledged.
fn write_until_killed(server: Server, batches: u64) -> u64 {
    let acknowledged = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let (server, acknowledged) = (&server, &acknowledged);
        let writer = scope.spawn(move || {
            for number in 1.. {
                let Ok(status) = write_quietly(server, &batch(number)) else { return };
                assert_eq!(status, 204);
                acknowledged.store(number, Ordering::SeqCst);
            }
        });
        while acknowledged.load(Ordering::SeqCst) < batches {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let kill = Command::new("kill").args(["-KILL", &server.pid().to_string()]).status().unwrap();
        assert!(kill.success());
        writer.join().unwrap();
    });
    // Until the process is gone its directory stays locked.
    drop(server);
    acknowledged.into_inner()
}

/// The status, or that there is none because the server is gone.
fn write_quietly(server: &Server, lines: &str) -> Result<u16, ()> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(server.address).map_err(drop)?;
    let head = format!(
        "POST /write?db=d&precision=s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        lines.len()
    );
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(lines.as_bytes())).map_err(drop)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(drop)?;
    answer.get(9..12).and_then(|status| status.parse().ok()).ok_or(())
}

/// How many batches are there; each must be whole and none may be missing before the last.
fn surviving(server: &Server, written: u64) -> u64 {
    let at = (T + written as i64 + 200).to_string();
    let window = written + 1000;
    let count = server.number(&format!("max(max_over_time(m[{window}s]))"), &at);
    let batches = if count.is_nan() { 0 } else { count as u64 };
    if batches > 0 {
        let samples = server.number(&format!("sum(count_over_time(m[{window}s]))"), &at);
        let sum = server.number(&format!("sum(sum_over_time(m[{window}s]))"), &at);
        assert_eq!(samples as u64, batches * 20, "each batch is whole and none before the last is missing");
        assert_eq!(sum as u64, 20 * batches * (batches + 1) / 2);
    }
    batches
}

#[test]
fn wal_sync_keeps_every_acknowledged_batch_through_kill_9_again_and_again() {
    let dir = tempfile::tempdir().unwrap();
    let acknowledged = write_until_killed(Server::start(dir.path(), &[]), 300);
    for _ in 0..2 {
        let server = Server::start(dir.path(), &[]);
        let found = surviving(&server, acknowledged + 1);
        assert!(found == acknowledged || found == acknowledged + 1, "{found} of {acknowledged} acknowledged batches");
        server.kill();
    }
}

#[test]
fn parts_mode_keeps_a_prefix_through_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let flags = ["--durability", "parts=50ms"];
    let server = Server::start(dir.path(), &flags);
    // One write that waits for the disk: that much, at least, must be there.
    let safe = server.send("POST", "/write?db=d&precision=s", &[("Durability", "disk")], batch(1).as_bytes());
    assert_eq!(safe.status, 204);
    let acknowledged = write_until_killed(server, 300);
    let server = Server::start(dir.path(), &flags);
    let found = surviving(&server, acknowledged + 1);
    assert!((1..=acknowledged + 1).contains(&found), "{found} of {acknowledged}");
}

/// Hosts, fields and seconds between rows of a day of devops data: 8.64 million samples.
const HOSTS: usize = 100;
const FIELDS: usize = 10;
const INTERVAL: i64 = 10;
const ROWS: i64 = 86_400 / INTERVAL;
/// Rows of all hosts in one write.
const ROWS_PER_WRITE: i64 = 10;

/// Field `f` of row `row` of any host.
fn value(row: i64, field: usize) -> i64 {
    (row * 7 + field as i64 * 13) % 1000
}

fn devops(from: i64) -> String {
    let mut text = String::new();
    for row in from..from + ROWS_PER_WRITE {
        let fields: Vec<_> = (0..FIELDS).map(|field| format!("f{field}={}i", value(row, field))).collect();
        let fields = fields.join(",");
        for host in 0..HOSTS {
            text += &format!("cpu,hostname=host_{host},region=eu-west-1 {fields} {}\n", T + row * INTERVAL);
        }
    }
    text
}

#[test]
fn a_day_of_devops_data_survives_kill_9() {
    for mode in ["wal-sync", "parts=200ms"] {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(dir.path(), &["--durability", mode, "--memtable-size", "16MiB"]);
        let rows: Vec<i64> = (0..ROWS).step_by(ROWS_PER_WRITE as usize).collect();
        for from in rows {
            assert_eq!(server.post("/write?db=d&precision=s", devops(from).as_bytes()).status, 204);
        }
        assert_eq!(rows_there(&server), ROWS, "before the crash, {mode}");
        server.kill();
        let server = Server::start(dir.path(), &["--durability", mode]);
        let found = rows_there(&server);
        match mode {
            "wal-sync" => assert_eq!(found, ROWS),
            // A window of 200 ms and the commits around it: far less than half a day of rows at this pace.
            _ => assert!((ROWS / 2..=ROWS).contains(&found) && found % ROWS_PER_WRITE == 0, "{found} rows"),
        }
    }
}

/// How many rows of the day are there. All hosts and fields must have the same, they must be the first ones, and their
/// values those that were written.
fn rows_there(server: &Server) -> i64 {
    let end = (T + 86_400).to_string();
    let rows = server.number("max(count_over_time(cpu_f0[1d1s]))", &end) as i64;
    for field in 0..FIELDS {
        let expected: i64 = (0..rows).map(|row| value(row, field)).sum();
        let counts = server.query(&format!("count_values(\"rows\", count_over_time(cpu_f{field}[1d1s]))"), &end);
        assert_eq!(counts[0]["metric"]["rows"], rows.to_string(), "field {field}: {counts}");
        assert_eq!(counts[0]["value"][1], HOSTS.to_string(), "{counts}");
        let sums = server.query(&format!("count_values(\"sum\", sum_over_time(cpu_f{field}[1d1s]))"), &end);
        assert_eq!(sums[0]["metric"]["sum"], expected.to_string(), "field {field} of {rows} rows: {sums}");
        assert_eq!(sums[0]["value"][1], HOSTS.to_string(), "{sums}");
    }
    rows
}

#[test]
fn a_restart_gives_the_same_bytes() {
    for mode in ["wal-sync", "parts=1s"] {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(dir.path(), &["--durability", mode]);
        for number in 1..50 {
            assert_eq!(server.post("/write?db=d&precision=s", batch(number).as_bytes()).status, 204);
        }
        let path = format!("/api/v1/query_range?query=m&start={T}&end={}&step=1", T + 60);
        let before = server.get(&path).body;
        let (code, log) = server.terminate();
        assert_eq!(code, Some(0), "{log}");
        assert!(log.contains("stopped"), "{log}");
        let server = Server::start(dir.path(), &["--durability", mode]);
        assert!(before == server.get(&path).body, "another answer after the restart in {mode}");
    }
}

/// Runs `serve` where it cannot; what it says on the way out.
fn fails(arguments: &[&str]) -> String {
    let output = Command::new(PLIMSOLL).args(arguments).stdin(Stdio::null()).output().unwrap();
    assert!(matches!(output.status.code(), Some(1 | 2)), "{:?}: {:?}", arguments, output.status);
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn failures_to_start_say_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("data"), &[]);
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (data, other) = (text(&dir.path().join("data")), text(&dir.path().join("other")));
    let taken = fails(&["serve", "--data", &other, "--listen", &server.address.to_string()]);
    assert!(taken.contains("cannot listen on") && taken.contains("--listen"), "{taken}");
    let locked = fails(&["serve", "--data", &data, "--listen", "127.0.0.1:0"]);
    assert!(locked.contains(&data) && locked.contains("in use by another server"), "{locked}");
    let file = dir.path().join("file");
    std::fs::write(&file, "not a directory").unwrap();
    let no_dir = fails(&["serve", "--data", &text(&file), "--listen", "127.0.0.1:0"]);
    assert!(no_dir.contains(&text(&file)), "{no_dir}");
    assert!(fails(&["serve", "--durability", "hope"]).contains("unknown durability mode"));
    assert!(fails(&["--no-such-flag"]).contains("--no-such-flag"));
    assert!(fails(&["query", "up", "--url", "http://127.0.0.1:1"]).contains("is the server running"));
    let parse = fails(&["query", "rate(", "--url", &format!("http://{}", server.address)]);
    assert!(parse.contains("parse error"), "{parse}");
    assert!(fails(&["inspect", &text(&file)]).contains(&text(&file)));
}

#[test]
fn every_file_of_a_data_directory_can_be_inspected() {
    let dir = tempfile::tempdir().unwrap();
    for mode in ["wal-sync", "parts=10ms"] {
        let server = Server::start(dir.path(), &["--durability", mode]);
        let write = server.send("POST", "/write?db=d&precision=s", &[("Durability", "disk")], batch(7).as_bytes());
        assert_eq!(write.status, 204);
        inspect_all(dir.path());
        server.terminate();
    }
    let kinds = inspect_all(dir.path());
    assert!(kinds >= 3, "only {kinds} files");
}

fn inspect_all(dir: &Path) -> usize {
    let mut count = 0;
    for path in files(dir) {
        if matches!(path.file_name().and_then(|name| name.to_str()), Some("LOCK" | "CURRENT" | "RESERVE" | "PROBE")) {
            continue;
        }
        let output = Command::new(PLIMSOLL).arg("inspect").arg(&path).output().unwrap();
        let shown = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success() && shown.lines().count() >= 1,
            "{path:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        count += 1;
    }
    count
}

fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
