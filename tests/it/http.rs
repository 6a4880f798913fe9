//! The doors, from outside: what each protocol's clients rely on, and what bad input gets.

use serde_json::{Value, json};

use crate::common::{Response, T, encode, gzip, server, with_data};

#[test]
fn points_beyond_the_retention_are_dropped_in_influxdbs_words() {
    let (server, _dir) = server(&["--retention", "1d"]);
    let response = server.post("/write?db=home", b"m f=1,g=2 1\nm f=3");
    assert_eq!(response.status, 400);
    let error = response.json()["error"].as_str().unwrap().to_owned();
    assert_eq!(error, "partial write: points beyond retention policy dropped=1");
    assert_eq!((response.header("accepted-samples"), response.header("rejected-samples")), ("1", "2"));
    let response = server.post("/api/v3/write_lp?db=home&precision=s", b"m f=1 1");
    assert_eq!(response.status, 400);
    assert_eq!(response.json()["error"], "partial write: points beyond retention policy dropped=1");
}

#[test]
fn a_write_is_acknowledged_with_a_receipt_and_can_be_asked() {
    let (server, _dir) = server(&[]);
    let response = server.post("/write?db=test&precision=s", format!("cpu,host=a usage=1.5,idle=97i {T}\n").as_bytes());
    assert_eq!((response.status, response.text().as_str()), (204, ""));
    for (name, value) in [
        ("durability-level", "disk"),
        ("durability-window-process-ms", "0"),
        ("durability-window-power-ms", "0"),
        ("accepted-samples", "2"),
        ("rejected-samples", "0"),
    ] {
        assert_eq!(response.header(name), value, "{name}");
    }
    assert!(response.header("durability-position").ends_with("/1"), "{}", response.header("durability-position"));
    assert!(!response.header("x-influxdb-version").is_empty() && !response.header("x-request-id").is_empty());
    let result = server.query("cpu_usage", &T.to_string());
    assert_eq!(
        result,
        json!([{
            "metric": {"__name__": "cpu_usage", "db": "test", "host": "a"}, "value": [T, "1.5"],
        }])
    );
}

#[test]
fn both_write_protocols_take_packed_and_chunked_bodies() {
    let (server, _dir) = server(&[]);
    let lines = |host: &str| format!("m,host={host} value=1 {T}\n\n# a comment\nm,host={host} value=2 {}", T + 1);
    let packed = gzip(lines("gz").as_bytes());
    let gz = [("Content-Encoding", "gzip")];
    assert_eq!(server.send("POST", "/write?db=d&precision=s", &gz, &packed).status, 204);
    let path = "/api/v2/write?org=o&bucket=d&precision=s";
    assert_eq!(server.send("POST", path, &gz, &packed).status, 204);
    assert_eq!(server.post(path, lines("plain").as_bytes()).status, 204);
    let mut chunked =
        format!("POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n");
    for piece in lines("chunked").as_bytes().chunks(7) {
        chunked += &format!("{:x}\r\n{}\r\n", piece.len(), std::str::from_utf8(piece).unwrap());
    }
    assert_eq!(server.raw(format!("{chunked}0\r\n\r\n").as_bytes(), false).status, 204);
    assert_eq!(server.number("count(m == 2)", &(T + 1).to_string()), 3.0);
    for empty in ["", "\n\n", "# only words\n"] {
        assert_eq!(server.post("/write?db=d", empty.as_bytes()).status, 204, "{empty:?}");
    }
    assert_eq!(server.send("POST", "/write?db=d", &gz, b"").status, 204);
}

#[test]
fn a_bad_line_is_named_and_its_neighbours_are_kept() {
    let (server, _dir) = server(&[]);
    let body = format!("good value=1 {T}\nbad line here\ngood value=2 {}\n", T + 1);
    let response = server.post("/write?db=d&precision=s", body.as_bytes());
    let error = response.json()["error"].as_str().unwrap().to_owned();
    assert_eq!(response.status, 400);
    assert!(error.starts_with("partial write: unable to parse 'bad line here'"), "{error}");
    assert!(error.ends_with("dropped=0") && response.header("x-influxdb-error").starts_with("partial write"));
    assert_eq!(response.header("accepted-samples"), "2");
    let response = server.post("/api/v2/write?bucket=d&precision=s", b"nothing good\n");
    let error = response.json();
    assert_eq!((response.status, &error["code"]), (400, &json!("invalid")));
    assert!(error["message"].as_str().unwrap().starts_with("unable to parse 'nothing good'"), "{error}");
    assert_eq!(server.number("good", &(T + 1).to_string()), 2.0);
    let strings = server.post("/write?db=d&precision=s", format!("s text=\"x\",value=3 {T}\n").as_bytes());
    assert_eq!((strings.status, strings.header("rejected-samples")), (204, "1"));
}

/// Method, path, headers, body; and the status and a part of the text that come back.
type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a [u8], u16, &'a str);

/// A clear error in the protocol's own shape, and the server goes on.
#[test]
fn bad_input_gets_a_clear_error_and_the_server_goes_on() {
    let (server, _dir) =
        server(&["--body-size-max", "1MiB", "--unpacked-size-max", "2MiB", "--line-size-max", "64KiB"]);
    let garbage: Vec<u8> = (0..5000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let packed = gzip(&b"cpu value=1 1\n".repeat(2000));
    let bomb = gzip(&vec![b'x'; 50_000_000]);
    let huge_line = [b"cpu value=1,f=".as_slice(), &vec![b'7'; 100_000], b" 1\n"].concat();
    let gz: &[(&str, &str)] = &[("Content-Encoding", "gzip")];
    let cases: &[Case<'_>] = &[
        ("POST", "/write?db=d", &[], &garbage, 400, "unable to parse"),
        ("POST", "/write?db=d", gz, &garbage, 400, "gzip"),
        ("POST", "/write?db=d", gz, &packed[..packed.len() / 2], 400, "cut short"),
        ("POST", "/write?db=d", gz, &bomb, 413, "Request Entity Too Large"),
        ("POST", "/write?db=d", &[], &vec![b'\n'; 1_100_000], 413, "Request Entity Too Large"),
        ("POST", "/write?db=d", &[], &huge_line, 400, "line"),
        ("POST", "/write?db=d", &[("Content-Encoding", "br")], b"x", 415, "Content-Encoding"),
        ("POST", "/write", &[], b"cpu value=1", 400, "database is required"),
        ("POST", "/write?db=d&precision=fortnight", &[], b"cpu value=1", 400, "invalid precision"),
        ("POST", "/write?db=d&consistency=maybe", &[], b"cpu value=1", 400, "invalid consistency level"),
        ("POST", "/write?db=d&ack=hope", &[], b"cpu value=1", 400, "unknown ack level"),
        ("POST", "/write?db=d", &[("Durability", "replicated")], b"cpu value=1", 400, "not available yet"),
        ("POST", "/write?db=%zz", &[], b"cpu value=1", 400, "URL escape"),
        ("POST", "/api/v2/write?org=o", &[], b"cpu value=1", 404, "bucket not found"),
        ("POST", "/api/v2/write?bucket=b&precision=h", &[], b"cpu value=1", 400, "invalid precision"),
        ("POST", "/api/v2/write?bucket=b", gz, &bomb, 413, "Request Entity Too Large"),
        ("GET", "/write?db=d", &[], b"", 405, "not allowed"),
        ("POST", "/ping", &[], b"", 405, "not allowed"),
        ("DELETE", "/api/v2/write?bucket=b", &[], b"", 405, "not allowed"),
        ("PUT", "/api/v1/query", &[], b"", 405, "Method Not Allowed"),
        ("POST", "/api/v1/label/x/values", &[], b"", 405, "Method Not Allowed"),
        ("GET", "/nowhere", &[], b"", 404, "not found"),
        ("POST", "/api/v2/nowhere", &[], b"", 404, "not found"),
        ("POST", "/api/v3/nowhere", &[], b"", 404, "not found"),
        ("GET", "/api/v1/nowhere", &[], b"", 404, "not found"),
        ("GET", "/query?q=SELECT+*+FROM+cpu", &[], b"", 400, "InfluxQL"),
        ("GET", "/query", &[], b"", 400, "missing required parameter"),
        ("GET", "/api/v1/query?query=rate(", &[], b"", 400, "invalid parameter \\\"query\\\": 1:"),
        ("GET", "/api/v1/query", &[], b"", 400, "invalid parameter \\\"query\\\""),
        ("GET", "/api/v1/query?query=1&time=tomorrow", &[], b"", 400, "invalid parameter \\\"time\\\""),
        ("GET", "/api/v1/query?query=1&timeout=x", &[], b"", 400, "invalid parameter \\\"timeout\\\""),
        ("GET", "/api/v1/query?query=1&limit=-3", &[], b"", 400, "invalid parameter \\\"limit\\\""),
        ("GET", "/api/v1/query_range?query=1&end=2&step=1", &[], b"", 400, "invalid parameter \\\"start\\\""),
        ("GET", "/api/v1/query_range?query=1&start=3&end=2&step=1", &[], b"", 400, "must not be before start time"),
        ("GET", "/api/v1/query_range?query=1&start=1&end=2&step=0", &[], b"", 400, "zero or negative query resolution"),
        ("GET", "/api/v1/query_range?query=1&start=0&end=11001&step=1", &[], b"", 400, "11,000 points"),
        ("GET", "/api/v1/query_range?query=m[1m]&start=0&end=1&step=1", &[], b"", 400, "range vector"),
        ("GET", "/api/v1/series", &[], b"", 400, "no match[] parameter provided"),
        ("GET", "/api/v1/series?match[]={}", &[], b"", 400, "at least one non-empty matcher"),
        ("GET", "/api/v1/labels?match[]=}{", &[], b"", 400, "invalid parameter \\\"match[]\\\""),
        ("GET", "/api/v1/metadata?limit=x", &[], b"", 400, "limit must be a number"),
        ("GET", "/api/v1/label/%zz/values", &[], b"", 400, "URL escape"),
    ];
    for (method, path, headers, body, status, part) in cases {
        let response = server.send(method, path, headers, body);
        let text = response.text();
        assert_eq!(response.status, *status, "{method} {path}: {text}");
        assert!(text.contains(part), "{method} {path} says {text}");
        check_shape(path, *status, &response);
        assert_eq!(server.get("/ping").status, 204, "the server is gone after {method} {path}");
    }
    assert_eq!(server.get("/metrics").text().matches("plimsoll_http_panics_total 0").count(), 1);
}

fn check_shape(path: &str, status: u16, response: &Response) {
    let is_influx = path.starts_with("/api/v2/") || path.starts_with("/api/v3/");
    let is_plain = status == 404 && !is_influx || status == 405 && path.starts_with("/api/v1/");
    if status == 405 {
        assert!(response.header("allow").contains("OPTIONS"), "{path}");
    }
    if is_plain {
        assert!(response.header("content-type").starts_with("text/plain"), "{path}");
        return;
    }
    let error = response.json();
    assert_eq!(response.header("content-type"), "application/json", "{path}");
    if path.starts_with("/api/v1/") {
        assert_eq!((&error["status"], &error["errorType"]), (&json!("error"), &json!("bad_data")), "{path}");
    } else if path.starts_with("/api/v2/") {
        assert!(error["code"].is_string() && error["message"] == error["error"], "{path}");
        assert!(!response.header("x-platform-error-code").is_empty(), "{path}");
    } else if path.starts_with("/api/v3/") {
        assert!(error["error"].is_string(), "{path}");
    } else {
        assert!(error["error"].is_string() && !response.header("x-influxdb-error").is_empty(), "{path}");
    }
}

#[test]
fn what_is_no_http_ends_only_its_own_connection() {
    let (server, _dir) = server(&[]);
    for bytes in [
        &b"\x16\x03\x01 hello TLS"[..],
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /write?db=d HTTP/1.1\r\nContent-Length: x\r\n\r\n",
    ] {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(server.address).unwrap();
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"), "{}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(server.get("/-/healthy").status, 200);
}

#[test]
fn clients_find_what_they_ask_for_at_start() {
    let (server, _dir) = server(&[]);
    let ping = server.get("/ping");
    assert_eq!((ping.status, ping.body.len()), (204, 0));
    assert!(!ping.header("x-influxdb-version").is_empty() && !ping.header("x-influxdb-build").is_empty());
    assert_eq!(server.send("HEAD", "/ping", &[], b"").status, 204);
    assert!(server.get("/ping?verbose=true").json()["version"].is_string());
    assert_eq!(server.send("GET", "/ping", &[("Content-Encoding", "gzip")], b"").status, 204);
    assert_eq!(server.get("/health").json()["status"], "pass");
    assert_eq!(server.get("/ready").json()["status"], "ready");
    let create = server.send(
        "POST",
        "/query",
        &[("Content-Type", "application/x-www-form-urlencoded")],
        format!("q={}", encode("CREATE DATABASE \"tele;graf\"").replace("%3B", "")).as_bytes(),
    );
    assert_eq!((create.status, create.json()), (200, json!({"results": [{"statement_id": 0}]})));
    server.post("/write?db=mine", b"cpu value=1");
    let show = server.get("/query?q=SHOW+DATABASES").json();
    assert_eq!(show["results"][0]["series"][0]["values"], json!([["mine"]]));
    let preflight = server.send("OPTIONS", "/write", &[("Origin", "http://page")], b"");
    assert_eq!((preflight.status, preflight.header("access-control-allow-origin")), (204, "*"));
    assert!(server.send("GET", "/health", &[("Origin", "http://page")], b"").header("vary").contains("Origin"));
    for path in ["/", "/-/ready", "/-/healthy", "/metrics"] {
        let (get, head) = (server.get(path), server.send("HEAD", path, &[], b""));
        assert_eq!((get.status, head.status, head.body.len()), (200, 200, 0), "{path}");
        assert!(!get.body.is_empty(), "{path}");
    }
}

#[test]
fn grafana_gets_its_answers() {
    let (server, _dir) = with_data();
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let health = server.send("POST", "/api/v1/query", &form, b"query=1%2B1&time=4").json();
    assert_eq!(health, json!({"status": "success", "data": {"resultType": "scalar", "result": [4, "2"]}}));
    let range = format!("query={}&start={}&end={}&step=30", encode("sum(cpu_usage)"), T, T + 60);
    let range = server.send("POST", "/api/v1/query_range?limit=40000", &form, range.as_bytes()).json();
    let values = json!([[T, "1.5"], [T + 30, "10.5"], [T + 60, "19.5"]]);
    assert_eq!(range["data"]["result"], json!([{"metric": {}, "values": values}]));
    assert_eq!(range["data"]["resultType"], "matrix");
    let buildinfo = server.get("/api/v1/status/buildinfo").json();
    assert!(buildinfo["data"]["version"].as_str().unwrap().starts_with("3."));
    assert!(buildinfo["data"].get("features").is_none());
    assert_eq!(server.get("/api/v1/metadata").json()["data"], json!({}));
    assert_eq!(server.get("/api/v1/rules").json()["data"], json!({"groups": []}));
    let exemplars = server.get("/api/v1/query_exemplars?query=x&start=1735000000000&end=1735000100000");
    assert_eq!((exemplars.status, &exemplars.json()["data"]), (200, &json!([])));
}

#[test]
fn experimental_parts_of_promql_need_their_flag() {
    let (server, _dir) = server(&[]);
    let refused = server.get("/api/v1/query?query=limitk(1,up)");
    assert_eq!((refused.status, refused.json()["errorType"].clone()), (400, json!("bad_data")));
    assert!(refused.text().contains("limitk() is experimental"), "{}", refused.text());
    let features = server.get("/api/v1/features").json()["data"].clone();
    assert_eq!((&features["promql_operators"]["limitk"], &features["promql"]["fill"]), (&json!(false), &json!(false)));
    drop(server);
    let (server, _dir) = self::server(&["--enable-feature=promql-experimental-functions,promql-duration-expr"]);
    assert_eq!(server.get("/api/v1/query?query=limitk(1,up)").status, 200);
    let features = server.get("/api/v1/features").json()["data"].clone();
    assert_eq!(features["promql_functions"]["info"], json!(true));
    assert_eq!((&features["promql"]["duration_expr"], &features["promql"]["fill"]), (&json!(true), &json!(false)));
}

#[test]
fn series_labels_and_values_are_listed_and_cut_with_a_warning() {
    let (server, _dir) = with_data();
    let data = |path: &str| {
        let response = server.get(path);
        assert_eq!(response.status, 200, "{path}: {}", response.text());
        response.json()["data"].clone()
    };
    assert_eq!(data("/api/v1/labels"), json!(["__name__", "db", "host"]));
    assert_eq!(data("/api/v1/label/host/values"), json!(["a", "b", "c"]));
    assert_eq!(data("/api/v1/label/__name__/values"), json!(["cpu_idle", "cpu_usage"]));
    assert_eq!(data("/api/v1/label/nothing/values"), json!([]));
    assert_eq!(
        data(&format!("/api/v1/label/host/values?match[]={}", encode("cpu_idle{host!=\"b\"}"))),
        json!(["a", "c"])
    );
    assert_eq!(data("/api/v1/label/U__host/values"), json!(["a", "b", "c"]));
    let far = format!("/api/v1/labels?start={}&end={}", T + 10 * 86_400, T + 11 * 86_400);
    assert_eq!(data(&far), json!([]));
    let series = data(&format!("/api/v1/series?match[]=cpu_idle&match[]={}", encode("{host=\"a\"}")));
    assert_eq!(series.as_array().unwrap().len(), 4, "{series}");
    let all = data(&format!("/api/v1/series?match[]={}", encode("{__name__!=\"\"}")));
    assert_eq!(all.as_array().unwrap().len(), 6, "{all}");
    for path in
        ["/api/v1/labels?limit=2", "/api/v1/label/host/values?limit=2", "/api/v1/series?limit=2&match[]=cpu_idle"]
    {
        let answer = server.get(path).json();
        assert_eq!(answer["data"].as_array().unwrap().len(), 2, "{path}");
        assert_eq!(answer["warnings"], json!(["results truncated due to limit"]), "{path}");
    }
    let cut = server.get("/api/v1/query?limit=1&query=cpu_idle&time=1795154400").json();
    assert_eq!(
        (cut["data"]["result"].as_array().unwrap().len(), &cut["warnings"][0]),
        (1, &json!("results truncated due to limit"))
    );
}

#[test]
fn answers_are_packed_for_those_who_take_it() {
    let (server, _dir) = with_data();
    let path = format!("/api/v1/query?query={}&time={}", encode("cpu_usage[4m]"), T + 240);
    let plain = server.get(&path);
    let packed = server.send("GET", &path, &[("Accept-Encoding", "gzip")], b"");
    assert_eq!(packed.header("content-encoding"), "gzip");
    let mut text = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&*packed.body), &mut text).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&text).unwrap(), plain.json());
    assert_eq!(plain.json()["data"]["result"].as_array().unwrap().len(), 3);
}

#[test]
fn one_write_too_many_is_told_to_come_again() {
    use std::io::Write;
    let (server, _dir) = server(&["--writes-max", "1"]);
    let mut slow = std::net::TcpStream::connect(server.address).unwrap();
    slow.write_all(b"POST /write?db=d HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\ncpu ").unwrap();
    // Before its head is read, another write would take its place.
    while !server.get("/metrics").text().contains("plimsoll_http_connections 2") {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    std::thread::sleep(std::time::Duration::from_millis(100));
    // Until the slow write holds the only place.
    let refused = (0..500).find_map(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        Some(server.post("/write?db=d", b"cpu value=1")).filter(|response| response.status != 204)
    });
    let refused = refused.expect("the second write is refused");
    assert_eq!((refused.status, refused.header("retry-after")), (503, "1"));
    assert!(refused.json()["error"].as_str().unwrap().contains("in progress"), "{}", refused.text());
    assert!(server.get("/metrics").text().contains("plimsoll_overload_total 1"));
    drop(slow);
    let again = (0..500).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        server.post("/write?db=d", b"cpu value=1").status == 204
    });
    assert!(again, "the place is free again once the slow client is gone");
}

#[test]
fn more_bytes_in_progress_than_there_is_room_for_are_told_to_come_again() {
    let (server, _dir) = server(&["--writes-size-max", "10KiB"]);
    let response = server.post("/write?db=d", &b"cpu value=1 1\n".repeat(1000));
    assert_eq!((response.status, response.header("retry-after")), (503, "1"), "{}", response.text());
    assert_eq!(server.post("/write?db=d", b"cpu value=1 1\n").status, 204, "what was refused takes no room");
    assert_eq!(server.number("count(last_over_time(cpu[1m]))", "2"), 1.0);
}

#[test]
fn a_query_too_long_or_too_large_ends_with_its_reason() {
    let (server, _dir) = server(&["--query-samples-max", "10"]);
    let lines: String = (0..50).map(|i| format!("m,i={i} value=1 {T}\n")).collect();
    assert_eq!(server.post("/write?db=d&precision=s", lines.as_bytes()).status, 204);
    let response = server.get(&format!("/api/v1/query?query=m&time={T}"));
    assert_eq!((response.status, &response.json()["errorType"]), (422, &json!("execution")), "{}", response.text());
}

#[test]
fn version_3_writes_and_says_which_lines_are_bad() {
    let (server, _dir) = server(&["--durability", "wal-interval=1h"]);
    let write = |query: &str, body: &str| server.post(&format!("/api/v3/write_lp?db=d{query}"), body.as_bytes());
    let nanos = format!("{T}000000000");
    for (precision, time) in [("", T), ("auto", T * 1000), ("second", T), ("millisecond", T * 1000)] {
        let good = write(&format!("&precision={precision}"), &format!("m,p=_{precision} value=1 {time}\n"));
        assert_eq!(
            (good.status, good.text().as_str(), good.header("durability-level")),
            (204, "", "os"),
            "{precision}"
        );
    }
    assert_eq!(write("&precision=nanosecond", &format!("m,p=n value=1 {nanos}")).status, 204);
    assert_eq!(write("&precision=microsecond", &format!("m,p=u value=1 {T}000000")).status, 204);
    assert_eq!(server.number("count(m)", &T.to_string()), 6.0);
    let body = format!("k value=1 {T}\nbad\nk value=2 {}\nworse x\n", T + 1);
    let part = write("", &body);
    assert_eq!((part.status, part.header("accepted-samples")), (400, "2"));
    let expected = json!({
        "error": "partial write of line protocol occurred",
        "data": [
            {"original_line": "bad", "line_number": 2, "error_message": "missing fields"},
            {"original_line": "worse x", "line_number": 4, "error_message": "invalid field format"},
        ],
    });
    assert_eq!(part.json(), expected);
    assert_eq!(server.number("k", &(T + 1).to_string()), 2.0);
    let none = write("&accept_partial=false", &body.replace("k value", "none value"));
    assert_eq!((none.status, none.header("accepted-samples"), none.header("rejected-samples")), (400, "0", "2"));
    let line = json!({"original_line": "bad", "line_number": 2, "error_message": "missing fields"});
    assert_eq!(none.json(), json!({"error": "parsing failed for write_lp endpoint", "data": line}));
    assert_eq!((none.header("durability-position"), server.query("none", &T.to_string())), ("", json!([])));
    assert_eq!(write("&accept_partial=false", &format!("none value=3 {T}")).status, 204);
}

#[test]
fn version_3_waits_as_it_is_told() {
    let (server, _dir) = server(&[]);
    let level = |query: &str, headers: &[(&str, &str)]| {
        let response = server.send("POST", &format!("/api/v3/write_lp?db=d{query}"), headers, b"m value=1");
        assert_eq!(response.status, 204, "{query}: {}", response.text());
        response.header("durability-level").to_owned()
    };
    assert_eq!(level("", &[]), "disk");
    assert_eq!(level("&no_sync=false", &[]), "disk");
    assert_eq!(level("&no_sync=true", &[]), "memory");
    assert_eq!(level("&no_sync=true", &[("Durability", "os")]), "os");
    assert_eq!(level("&no_sync=false&ack=memory", &[]), "memory");
    let cases = [
        ("/api/v3/write_lp", "missing parameter \"db\""),
        ("/api/v3/write_lp?db=d&precision=h", "invalid precision \"h\""),
        ("/api/v3/write_lp?db=d&no_sync=maybe", "invalid no_sync \"maybe\""),
        ("/api/v3/write_lp?db=d&accept_partial=1", "invalid accept_partial \"1\""),
    ];
    for (path, part) in cases {
        let response = server.post(path, b"m value=1");
        let error = response.json()["error"].as_str().unwrap().to_owned();
        assert!(response.status == 400 && error.starts_with(part), "{path}: {error}");
    }
}
