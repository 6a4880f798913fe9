//! Durability, from outside: what each write is told, what can be asked and changed later, and what a crash leaves.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread::sleep,
    time::Duration,
};

use plimsoll::{
    disk::{Disk, RealDisk},
    durability::{AckLevel, Failure, Mode},
    metrics::Label,
};
use serde_json::{Value, json};

use crate::common::{Response, Server, encode, server};

fn state(server: &Server) -> Value {
    server.get("/api/v1/durability").json()["data"].clone()
}

fn position(response: &Response) -> &str {
    response.header("durability-position")
}

fn receipt(server: &Server, position: &str) -> String {
    let answer = server.get(&format!("/api/v1/durability/receipt?position={position}"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["data"]["receipt"].as_str().unwrap().to_owned()
}

fn wait(server: &Server, query: &str) -> Response {
    server.get(&format!("/api/v1/durability/wait?{query}"))
}

fn switch(server: &Server, mode: Mode) -> Response {
    server.post(&format!("/api/v1/admin/durability?mode={}", encode(&mode.to_string())), b"")
}

fn level(text: &str) -> AckLevel {
    AckLevel::ALL.iter().copied().find(|level| level.text() == text).unwrap()
}

/// Milliseconds as a header has them; `None` for `inf`.
fn millis(text: &str) -> Option<u64> {
    (text != "inf").then(|| text.parse().unwrap())
}

#[test]
fn every_mode_delivers_every_level_that_is_asked_for_and_says_what_a_crash_could_still_take() {
    let (server, _dir) = server(&[]);
    for mode in Mode::ALL {
        assert_eq!(switch(&server, mode).status, 200, "{mode}");
        for asked in AckLevel::ALL.iter().copied() {
            let headers = [("Durability", asked.text())];
            let by_header = server.send("POST", "/write?db=d", &headers, b"m value=1");
            let by_parameter = server.post(&format!("/api/v2/write?bucket=d&ack={}", asked.text()), b"m value=1");
            for response in [by_header, by_parameter] {
                assert_eq!(response.status, 204, "{mode} {asked:?}: {}", response.text());
                check_windows(mode, asked, &response);
            }
        }
        let unsaid = server.post("/write?db=d", b"m value=1");
        assert_eq!(unsaid.header("durability-level"), mode.policy().ack.text(), "{mode}");
    }
}

fn check_windows(mode: Mode, asked: AckLevel, response: &Response) {
    let delivered = level(response.header("durability-level"));
    assert!(delivered >= asked, "{mode}: asked for {asked:?}, got {delivered:?}");
    let windows = [(Failure::Process, "durability-window-process-ms"), (Failure::Power, "durability-window-power-ms")];
    for (failure, header) in windows {
        let told = millis(response.header(header));
        match mode.policy().window(delivered, failure, Duration::ZERO) {
            Some(Duration::ZERO) => assert_eq!(told, Some(0), "{mode} {asked:?} {header}"),
            Some(window) => assert!(told.is_some_and(|told| u128::from(told) >= window.as_millis()), "{mode} {header}"),
            None => assert_eq!(told, None, "{mode} {asked:?} {header}"),
        }
    }
}

#[test]
fn what_is_at_risk_and_what_the_mode_does_can_be_asked() {
    let (server, _dir) = server(&["--durability", "parts=1h", "--min-ack", "memory"]);
    assert_eq!(server.post("/write?db=d", b"cpu value=1,other=2").header("durability-level"), "memory");
    // Until the directory is probed, nobody knows how long a commit takes.
    let known = |answer: &Value| !answer["windows_ms"]["memory"]["power"].is_null();
    let answer = std::iter::repeat_with(|| state(&server)).find(known).unwrap();
    assert_eq!(answer["mode"], "parts=1h", "{answer}");
    for failure in ["process", "power"] {
        let at_risk = &answer["at_risk"][failure];
        assert_eq!((&at_risk["samples"], &at_risk["batches"]), (&json!(2), &json!(1)), "{answer}");
        assert!(at_risk["bytes"].as_u64() > Some(0) && at_risk["age_seconds"].as_f64() > Some(0.0), "{answer}");
        assert!(answer["windows_ms"]["memory"][failure].as_u64() >= Some(3_600_000), "{answer}");
        assert_eq!(answer["windows_ms"]["disk"][failure], 0, "{answer}");
    }
    assert_eq!(answer["policy"]["stage"], "container", "{answer}");
    assert_eq!(answer["policy"]["synced_unasked"], "1h after the first batch that needs it", "{answer}");
    assert_eq!((&answer["min_ack"], &answer["incarnation"]), (&json!("memory"), &json!(1)), "{answer}");
    assert_eq!(answer["problem"], Value::Null, "{answer}");
    let modes = answer["modes"].as_array().unwrap();
    let names: Vec<_> = modes.iter().map(|row| row["mode"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names, Mode::ALL.map(|mode| mode.to_string()));
    assert!(server.get("/metrics").text().contains("plimsoll_at_risk_samples{failure=\"power\"} 2"));
    let safe = server.send("POST", "/write?db=d", &[("Durability", "disk")], b"cpu value=3");
    assert_eq!((safe.status, safe.header("durability-level")), (204, "disk"));
    let samples = state(&server)["at_risk"]["power"]["samples"].clone();
    assert_eq!(samples, 0, "a prefix is safe, so the earlier write is too");
}

#[test]
fn a_window_without_an_end_is_null_and_inf() {
    let (server, _dir) = server(&["--durability", "wal-os"]);
    let response = server.post("/write?db=d", b"m value=1");
    assert_eq!(response.header("durability-window-process-ms"), "0");
    assert_eq!(response.header("durability-window-power-ms"), "inf");
    let windows = &state(&server)["windows_ms"]["os"];
    assert_eq!((&windows["process"], &windows["power"]), (&json!(0), &Value::Null));
}

#[test]
fn min_ack_raises_what_a_write_asks_for_and_what_the_mode_gives_and_lowers_nothing() {
    let (server, _dir) = server(&["--durability", "parts=1h", "--min-ack", "os"]);
    let ack = |ack: &[(&str, &str)]| {
        let response = server.send("POST", "/write?db=d", ack, b"m value=1");
        response.header("durability-level").to_owned()
    };
    assert_eq!(ack(&[]), "os");
    assert_eq!(ack(&[("Durability", "memory")]), "os");
    assert_eq!(ack(&[("Durability", "disk")]), "disk");
    assert_eq!(state(&server)["min_ack"], "os");
}

#[test]
fn a_level_nobody_knows_is_refused_by_every_protocol_before_any_work() {
    let (server, _dir) = server(&[]);
    for path in ["/write?db=d", "/api/v2/write?bucket=d", "/api/v3/write_lp?db=d"] {
        for (text, part) in [("hope", "unknown ack level"), ("replicated", "not available yet")] {
            let by_header = server.send("POST", path, &[("Durability", text)], b"m value=1");
            let by_parameter = server.post(&format!("{path}&ack={text}"), b"m value=1");
            let by_both = server.send("POST", &format!("{path}&ack=disk"), &[("Durability", text)], b"m value=1");
            for response in [by_header, by_parameter, by_both] {
                assert_eq!(response.status, 400, "{path} {text}");
                let error = response.json()["error"].as_str().unwrap().to_owned();
                assert!(error.contains(part) && error.contains("memory, os, disk"), "{error}");
                assert_eq!((position(&response), response.header("accepted-samples")), ("", ""));
            }
        }
    }
    // Not even the body is waited for.
    let head = "POST /write?db=d&ack=hope HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 10000000\r\n\r\n";
    assert_eq!(server.raw(head.as_bytes(), false).status, 400);
    assert_eq!(state(&server)["watermarks"]["visible"], 0, "nothing was written");
}

#[test]
fn one_can_wait_for_more_than_a_write_waited_for() {
    let (server, _dir) = server(&["--durability", "parts=1h"]);
    let response = server.post("/write?db=d", b"m value=1");
    let position = position(&response).to_owned();
    assert_eq!(receipt(&server, &position), "pending");
    let answer = wait(&server, &format!("position={position}&level=memory&timeout=0"));
    assert_eq!(answer.json()["data"], json!({"position": position, "level": "memory", "reached": true}));
    let answer = wait(&server, &format!("position={position}"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["data"], json!({"position": position, "level": "disk", "reached": true}));
    assert_eq!(receipt(&server, &position), "safe");
    assert_eq!(state(&server)["at_risk"]["power"]["samples"], 0, "it was waited for, so it was made safe");
}

#[test]
fn a_wait_that_takes_too_long_says_so_and_the_batch_is_made_safe_all_the_same() {
    let (server, _dir) = server(&["--durability", "wal-group=3s"]);
    let hurried = server.send("POST", "/write?db=d", &[("Durability", "memory")], b"m value=1");
    let position = position(&hurried).to_owned();
    let answer = wait(&server, &format!("position={position}&timeout=50ms"));
    assert_eq!((answer.status, &answer.json()["errorType"]), (503, &json!("timeout")), "{}", answer.text());
    assert!(answer.json()["error"].as_str().unwrap().contains("has not reached level disk within 50ms"));
    let became_safe = (0..2_000).any(|_| {
        sleep(Duration::from_millis(10));
        receipt(&server, &position) == "safe"
    });
    assert!(became_safe, "who stops waiting cancels nothing");
}

#[test]
fn questions_that_make_no_sense_get_a_clear_answer() {
    let (server, _dir) = server(&[]);
    assert_eq!(server.post("/write?db=d", b"m value=1").status, 204);
    let cases = [
        ("/api/v1/durability/wait", 400, "invalid parameter \"position\": \"\" is no position"),
        ("/api/v1/durability/wait?position=1", 400, "is no position"),
        ("/api/v1/durability/wait?position=1/x", 400, "is no position"),
        ("/api/v1/durability/wait?position=-1/1", 400, "is no position"),
        ("/api/v1/durability/wait?position=1/99999999999999999999999", 400, "is no position"),
        ("/api/v1/durability/wait?position=1/1&level=hope", 400, "invalid parameter \"level\": unknown ack level"),
        ("/api/v1/durability/wait?position=1/1&level=replicated", 400, "not available yet"),
        ("/api/v1/durability/wait?position=1/1&timeout=soon", 400, "invalid parameter \"timeout\""),
        ("/api/v1/durability/wait?position=1/1&timeout=-1", 400, "between 0 and 300s"),
        ("/api/v1/durability/wait?position=1/1&timeout=6m", 400, "between 0 and 300s"),
        ("/api/v1/durability/wait?position=1/2", 404, "has not been given out"),
        ("/api/v1/durability/wait?position=2/1", 404, "has not been given out"),
        ("/api/v1/durability/wait?position=1/0", 404, "has not been given out"),
        ("/api/v1/durability/receipt", 400, "invalid parameter \"position\""),
        ("/api/v1/durability/receipt?position=1/1/1", 400, "is no position"),
    ];
    for (path, status, part) in cases {
        let response = server.get(path);
        let error = response.json();
        assert_eq!((response.status, &error["status"]), (status, &json!("error")), "{path}: {error}");
        assert!(error["error"].as_str().unwrap().contains(part), "{path}: {error}");
    }
    for (position, receipt_of_it) in [("1/1", "safe"), ("1/2", "unknown"), ("7/1", "unknown"), ("0/1", "unknown")] {
        assert_eq!(receipt(&server, position), receipt_of_it, "{position}");
    }
    assert_eq!(server.post("/api/v1/durability/wait?position=1/1", b"").status, 405);
    assert_eq!(server.get("/api/v1/admin/durability?mode=wal-os").status, 405);
}

#[test]
fn receipts_and_the_report_of_a_crash_tell_what_it_took() {
    let (before, dir) = server(&["--durability", "parts=1h"]);
    let kept = before.send("POST", "/write?db=d", &[("Durability", "disk")], b"m value=1");
    let lost = before.post("/write?db=d", b"m value=2,other=3");
    let (kept, lost) = (position(&kept).to_owned(), position(&lost).to_owned());
    before.kill();
    let after = Server::start(dir.path(), &[]);
    assert_eq!((receipt(&after, &kept), receipt(&after, &lost)), ("safe".to_owned(), "lost".to_owned()));
    assert_eq!(wait(&after, &format!("position={kept}")).json()["data"]["reached"], true);
    let gone = wait(&after, &format!("position={lost}"));
    assert_eq!(gone.status, 410, "{}", gone.text());
    assert!(gone.json()["error"].as_str().unwrap().contains("is lost"));
    let loss = state(&after)["recovery"]["loss"].clone();
    assert_eq!((&loss["ending"], &loss["exact"]), (&json!("process"), &json!(true)), "{loss}");
    assert_eq!((&loss["lost_samples_min"], &loss["lost_samples_max"]), (&json!(2), &json!(2)), "{loss}");
    assert_eq!((&loss["lost_batches_min"], &loss["lost_batches_max"]), (&json!(1), &json!(1)), "{loss}");
    let first = after.post("/write?db=d", b"m value=4");
    assert!(position(&first).starts_with("2/"), "{}", position(&first));
    assert!(after.get("/metrics").text().contains("plimsoll_recovery_lost_samples_min 2"));
}

#[test]
fn the_mode_of_a_running_server_can_be_changed_while_clients_write() {
    let (server, _dir) = server(&["--durability", "wal-os"]);
    let modes = [Mode::ALL[5], Mode::ALL[0], Mode::ALL[8], Mode::ALL[2]];
    let is_over = AtomicBool::new(false);
    let write = |client: usize| {
        let mut count = 0;
        while !is_over.load(Ordering::Relaxed) {
            let line = format!("m,client={client} value={count} {}", count + 1);
            assert_eq!(server.post("/write?db=d", line.as_bytes()).status, 204);
            count += 1;
        }
        count
    };
    let written: usize = std::thread::scope(|scope| {
        let clients = [0, 1, 2, 3].map(|client| {
            scope.spawn({
                let write = &write;
                move || write(client)
            })
        });
        for mode in modes {
            sleep(Duration::from_millis(100));
            let answer = switch(&server, mode);
            assert_eq!(answer.json()["data"]["mode"], mode.to_string(), "{}", answer.text());
        }
        is_over.store(true, Ordering::Relaxed);
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    assert_eq!(state(&server)["mode"], modes[3].to_string());
    assert_eq!(server.number("sum(count_over_time(m[1h]))", "1"), written as f64);
}

#[test]
fn a_change_of_mode_that_cannot_be_made_says_why() {
    let (server, _dir) = server(&[]);
    for (query, part) in [
        ("", "invalid parameter \"mode\": unknown durability mode \"\""),
        ("?mode=hope", "unknown durability mode \"hope\"; known are wal-sync"),
        ("?mode=wal-sync=1s", "takes no parameter"),
        ("?mode=parts=never", "is not a window of time"),
    ] {
        let answer = server.post(&format!("/api/v1/admin/durability{query}"), b"");
        assert_eq!(answer.status, 400, "{query}");
        assert!(answer.json()["error"].as_str().unwrap().contains(part), "{}", answer.text());
    }
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let answer = server.send("POST", "/api/v1/admin/durability", &form, b"mode=wal-interval%3D500ms");
    assert_eq!(answer.json()["data"], json!({"mode": "wal-interval=500ms", "before": "wal-sync"}));
    assert_eq!(state(&server)["mode"], "wal-interval=500ms");
}

#[test]
fn the_metrics_tell_what_a_sync_was_worth_and_how_long_answers_were_at_risk() {
    let (server, _dir) = server(&["--durability", "wal-interval=50ms"]);
    let metric = |name: &str| -> f64 {
        let text = server.get("/metrics").text();
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("plimsoll_{name} ")));
        line.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().unwrap()
    };
    let early = server.post("/write?db=d", b"m value=1,other=2");
    assert_eq!(wait(&server, &format!("position={}", position(&early))).status, 200);
    // The answer comes first, and what is counted then a moment later.
    while metric("group_commit_batches_count") == 0.0 {
        sleep(Duration::from_millis(1));
    }
    assert_eq!((metric("group_commit_batches_count"), metric("group_commit_batches_sum")), (1.0, 1.0));
    assert!(metric("group_commit_bytes_sum") > 50.0);
    let at_risk = metric("acknowledged_to_safe_seconds_sum{failure=\"power\"}");
    assert_eq!(metric("acknowledged_to_safe_seconds_count{failure=\"power\"}"), 1.0);
    assert!(at_risk > 0.0 && at_risk < 5.0, "{at_risk}");
    assert_eq!(metric("acknowledged_to_safe_seconds_count{failure=\"process\"}"), 0.0, "it never was");
    let before = metric("group_commit_answers_sum");
    assert_eq!(server.send("POST", "/write?db=d", &[("Durability", "disk")], b"m value=1").status, 204);
    while metric("group_commit_batches_count") == 1.0 {
        sleep(Duration::from_millis(1));
    }
    assert_eq!(metric("group_commit_answers_sum"), before + 1.0);
    assert!(metric("fsync_duration_seconds_count{file=\"wal\"}") >= 2.0);
    assert_eq!(metric("acknowledged_samples_total{level=\"os\"}"), 2.0);
    assert_eq!(metric("acknowledged_samples_total{level=\"disk\"}"), 1.0);
    assert_eq!(
        (metric("at_risk_samples{failure=\"power\"}"), metric("at_risk_age_seconds{failure=\"power\"}")),
        (0.0, 0.0)
    );
}

#[test]
fn how_far_replay_is_can_be_asked_as_of_prometheus() {
    let (before, dir) = server(&["--durability", "wal-os"]);
    assert_eq!(before.post("/write?db=d", b"m value=1 1").status, 204);
    before.kill();
    let after = Server::start(dir.path(), &[]);
    let is_done = (0..500).any(|_| {
        sleep(Duration::from_millis(10));
        let progress = after.get("/api/v1/status/walreplay").json()["data"].clone();
        assert_eq!((&progress["min"], &progress["max"]), (&json!(1), &json!(1)), "{progress}");
        progress["current"] == progress["max"]
    });
    assert!(is_done && after.number("m", "1") == 1.0);
    assert_eq!(state(&after)["recovery"]["replayed_batches"], 1);
}

#[test]
fn a_copy_of_the_log_that_is_behind_is_told_until_a_clean_stop() {
    let dir = tempfile::tempdir().unwrap();
    let (data, mirror, away) = (dir.path().join("data"), dir.path().join("mirror"), dir.path().join("away"));
    let mirror_flag = mirror.to_str().unwrap().to_owned();
    let flags = ["--wal-mirror-dir", &mirror_flag, "--wal-mirror", "1-of-2"];
    let is_behind = |server: &Server| {
        let copies = state(server)["log_copies"].clone();
        let of_mirror = copies.as_array().unwrap().iter().find(|copy| copy["directory"] == "wal-mirror").unwrap();
        assert_eq!(of_mirror["path"], mirror_flag.as_str());
        let is_behind = of_mirror["behind"].as_bool().unwrap();
        let metric = format!("plimsoll_wal_copy_behind{{directory=\"wal-mirror\"}} {}", i32::from(is_behind));
        assert!(server.get("/metrics").text().contains(&metric), "{metric}");
        is_behind
    };
    let server = Server::start(&data, &flags);
    assert_eq!(server.post("/write?db=d", b"m value=1").status, 204);
    assert!(!is_behind(&server));
    server.kill();
    RealDisk.rename(&mirror, &away).unwrap();
    let server = Server::start(&data, &flags);
    assert_eq!(server.post("/write?db=d", b"m value=2").status, 204);
    assert!(is_behind(&server));
    assert_eq!(server.terminate().0, Some(0));
    RealDisk.rename(&away, &mirror).unwrap();
    assert!(!is_behind(&Server::start(&data, &flags)), "all it lacked is in parts");
}
