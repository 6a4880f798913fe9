//! How queries are seen and ended: listed, by their id, and when their clients go away or take nothing.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread::{scope, sleep},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    HOSTS, LONG, active, active_when, active_when_reading, finely, get, metric, metric_comes_to, over_all, refusal,
    send, with_much,
};
use crate::common::{Server, T, encode, with_data};

#[test]
fn a_query_ends_and_frees_its_place_when_its_client_goes_away() {
    let (server, _dir) = with_much(&["--queries-max", "1"]);
    let mut times = Vec::new();
    for _ in 0..5 {
        let stream = send(&server, &finely(LONG));
        active_when_reading(&server);
        let began = Instant::now();
        drop(stream);
        active_when(&server, <[Value]>::is_empty);
        times.push(began.elapsed());
        assert_eq!(get(&server, "query?query=a").status, 200, "the only place is free");
    }
    times.sort_unstable();
    println!("ended after {times:?}");
    assert!(times[0] < Duration::from_millis(250), "{times:?}");
    assert_eq!(metric(&server, "plimsoll_queries_total{result=\"canceled\"}"), 5.0);
    metric_comes_to(&server, "plimsoll_query_memory_bytes", 0.0);

    // One that waits is gone at once, and so is its place in the line.
    let running = send(&server, &finely(LONG));
    active_when_reading(&server);
    let waiting = send(&server, "query?query=b");
    active_when(&server, |queries| queries.iter().any(|query| query["state"] == "waiting"));
    drop(waiting);
    active_when(&server, |queries| queries.len() == 1 && queries[0]["state"] == "running");
    metric_comes_to(&server, "plimsoll_queries_waiting", 0.0);
    drop(running);
    active_when(&server, <[Value]>::is_empty);
}

#[test]
fn queries_are_listed_and_ended_by_their_id() {
    let (server, _dir) = with_much(&["--queries-max", "1"]);
    let (path, cancel) = (finely(LONG), |id: &str| server.post(&format!("/api/v1/admin/queries/{id}/cancel"), b""));
    scope(|scope| {
        let running = scope.spawn(|| get(&server, &path));
        active_when_reading(&server);
        let waiting = scope.spawn(|| get(&server, "query?query=answer&timeout=1m"));
        metric_comes_to(&server, "plimsoll_queries_waiting", 1.0);
        let queries = active(&server);
        let (first, second) = (&queries[0], &queries[1]);
        for (name, value) in [
            ("query", json!(LONG)),
            ("kind", json!("query_range")),
            ("state", json!("running")),
            ("start", json!(T)),
            ("end", json!(T + 1000)),
            ("step", json!(0.1)),
        ] {
            assert_eq!(first[name], value, "{name}");
        }
        assert!(first["client"].as_str().unwrap().starts_with("127.0.0.1:"), "{first}");
        for name in ["series", "samples", "bytes"] {
            assert!(first[name].as_u64().unwrap() > 0, "{name}: {first}");
        }
        assert!(first["elapsed"].as_f64().unwrap() > second["elapsed"].as_f64().unwrap());
        for (name, value) in [("query", json!("answer")), ("state", json!("waiting")), ("timeout", json!(60.0))] {
            assert_eq!(second[name], value, "{name}");
        }
        assert_eq!(metric(&server, "plimsoll_queries_running"), 1.0);
        assert!(metric(&server, "plimsoll_query_memory_bytes") > 0.0);

        let (status, kind, _) = refusal(&cancel("nonesuch"));
        assert_eq!((status, &*kind), (404, "not_found"));
        let id = |query: &Value| query["id"].as_str().unwrap().to_owned();
        let began = Instant::now();
        assert_eq!(cancel(&id(second)).json(), json!({"status": "success", "data": {"id": id(second)}}));
        let canceled = refusal(&waiting.join().unwrap());
        assert_eq!(canceled, (499, "canceled".to_owned(), "query was canceled in query queue".to_owned()));
        assert_eq!(cancel(&id(first)).status, 200);
        let canceled = refusal(&running.join().unwrap());
        assert_eq!(canceled, (499, "canceled".to_owned(), "query was canceled in expression evaluation".to_owned()));
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        assert_eq!(cancel(&id(first)).status, 404, "it is no more");
    });
    assert_eq!(get(&server, "admin/queries/1/cancel").status, 405);
    assert_eq!(metric(&server, "plimsoll_queries_total{result=\"canceled\"}"), 2.0);
}

#[test]
fn an_answer_that_is_not_taken_is_listed_and_can_be_ended() {
    let (server, _dir) = with_much(&[]);
    let mut stream = send(&server, &over_all(r#"{__name__=~"m_f[0-4]"}"#));
    let mut head = [0; 12];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    let queries = active(&server);
    assert_eq!(queries[0]["state"], "sending");
    let held = queries[0]["bytes"].as_u64().unwrap();
    let values = (HOSTS * 5 * 501) as u64;
    assert!((values * 16..values * 32).contains(&held), "{held} bytes of an answer of {values} values");
    assert!(metric(&server, "plimsoll_query_memory_bytes") >= held as f64);
    let id = queries[0]["id"].as_str().unwrap();
    assert_eq!(server.post(&format!("/api/v1/admin/queries/{id}/cancel"), b"").status, 200);
    let answer = Server::read_all(stream);
    assert!(!answer.ends_with(b"0\r\n\r\n"), "it is broken off");
    active_when(&server, <[Value]>::is_empty);
    metric_comes_to(&server, "plimsoll_query_memory_bytes", 0.0);
}

#[test]
fn a_client_that_takes_nothing_of_its_answer_loses_it() {
    let (server, _dir) = with_much(&["--send-timeout", "2s", "--queries-max", "1"]);
    let path = over_all(r#"{__name__=~"m_f[0-4]"}"#);
    let (began, silent) = (Instant::now(), send(&server, &path));
    metric_comes_to(&server, "plimsoll_http_send_timeouts_total", 1.0);
    assert!(began.elapsed() >= Duration::from_secs(2), "it has two seconds to begin to read");
    active_when(&server, <[Value]>::is_empty);
    metric_comes_to(&server, "plimsoll_query_memory_bytes", 0.0);
    assert!(!Server::read_all(silent).ends_with(b"0\r\n\r\n"), "it is broken off");

    // One that is slow has all the time it needs.
    let (began, mut slow) = (Instant::now(), send(&server, &path));
    let mut taken = vec![0; 2 << 20];
    while began.elapsed() < Duration::from_secs(6) {
        slow.read_exact(&mut taken).unwrap();
        sleep(Duration::from_millis(600));
    }
    assert_eq!(active(&server)[0]["state"], "sending");
    assert!(Server::read_all(slow).ends_with(b"0\r\n\r\n"), "it is whole");
    assert_eq!(metric(&server, "plimsoll_http_send_timeouts_total"), 1.0);
}

#[test]
fn a_query_ends_when_its_client_goes_away_behind_a_further_request() {
    let (server, _dir) = with_much(&["--queries-max", "1"]);
    let requests = |path: &str| {
        let mut stream = TcpStream::connect(server.address).unwrap();
        let request = |path: &str| format!("GET /api/v1/{path} HTTP/1.1\r\nHost: test\r\n\r\n");
        stream.write_all((request(path) + &request("query?query=a")).as_bytes()).unwrap();
        stream
    };
    let running = requests(&finely(LONG));
    active_when_reading(&server);
    let waiting = requests("query?query=b");
    active_when(&server, |queries| queries.iter().any(|query| query["state"] == "waiting"));
    let began = Instant::now();
    drop(waiting);
    active_when(&server, |queries| queries.len() == 1);
    drop(running);
    active_when(&server, <[Value]>::is_empty);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(metric(&server, "plimsoll_queries_total{result=\"canceled\"}") >= 2.0);
    metric_comes_to(&server, "plimsoll_query_memory_bytes", 0.0);
}

#[test]
fn the_top_queries_are_those_asked_most_and_those_that_took_most() {
    let (server, _dir) = with_data();
    let instant = |query: &str| {
        assert_eq!(get(&server, &format!("query?query={}&time={T}", encode(query))).status, 200);
    };
    (0..3).for_each(|_| instant("cpu_usage"));
    (0..2).for_each(|_| instant("vector(1)"));
    let path = format!("query_range?query=cpu_usage&start={T}&end={}&step=10", T + 230);
    assert_eq!(get(&server, &path).status, 200);
    assert_eq!(get(&server, "query?query=nonsense(").status, 400, "what is no query is not counted");
    let top = |more: &str| get(&server, &format!("status/top_queries{more}")).json()["data"].clone();
    let data = top("");
    assert_eq!((&data["topN"], &data["maxLifetime"]), (&json!(20), &json!(600.0)));
    let rows = |name: &str| -> Vec<_> {
        let rows = data[name].as_array().unwrap();
        rows.iter().map(|row| (row["query"].clone(), row["timeRangeSeconds"].clone(), row["count"].clone())).collect()
    };
    let by_count = [("cpu_usage", 0.0, 3), ("vector(1)", 0.0, 2), ("cpu_usage", 230.0, 1)];
    assert_eq!(rows("topByCount"), by_count.map(|(query, range, count)| (json!(query), json!(range), json!(count))));
    let samples: Vec<_> = data["topBySamples"].as_array().unwrap().iter().map(|row| row["samples"].clone()).collect();
    assert_eq!(samples, [json!(72), json!(9), json!(0)]);
    for (list, number) in [
        ("topBySumDuration", "sumDurationSeconds"),
        ("topByMaxDuration", "maxDurationSeconds"),
        ("topByAvgDuration", "avgDurationSeconds"),
        ("topByAvgMemoryUsage", "avgMemoryBytes"),
    ] {
        let numbers: Vec<f64> =
            data[list].as_array().unwrap().iter().map(|row| row[number].as_f64().unwrap()).collect();
        assert!(numbers.len() == 3 && numbers.is_sorted_by(|a, b| a >= b) && numbers[2] > 0.0, "{list}: {numbers:?}");
    }
    assert_eq!(top("?topN=1")["topByCount"].as_array().unwrap().len(), 1);
    sleep(Duration::from_millis(30));
    assert_eq!(top("?maxLifetime=20ms")["topByCount"], json!([]));
    for wrong in ["?topN=0", "?topN=x", "?maxLifetime=x"] {
        assert_eq!(get(&server, &format!("status/top_queries{wrong}")).status, 400, "{wrong}");
    }
}
