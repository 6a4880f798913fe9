//! `query` and `query_range`: parameters, errors, statistics, and what is ours: `durable_only` and `explain`.

use serde_json::{Value, json};

use crate::common::{Response, Server, T, encode, server, with_data};

fn api(server: &Server, path: &str) -> Response {
    server.get(&format!("/api/v1/{path}"))
}

/// `errorType` and `error` of a refusal with this status.
fn refused(server: &Server, path: &str, status: u16) -> (String, String) {
    let response = api(server, path);
    let json = response.json();
    assert_eq!((response.status, &json["status"]), (status, &json!("error")), "{path}: {}", response.text());
    let text = |name: &str| json[name].as_str().unwrap().to_owned();
    (text("errorType"), text("error"))
}

#[test]
fn wrong_parameters_are_named_in_prometheus_words() {
    let (server, _dir) = server(&["--enable-feature", "promql-duration-expr"]);
    let range = "query_range?query=1&";
    let cases = [
        (
            "query?query=1&time=x",
            "invalid parameter \"time\": invalid time value for 'time': cannot parse \"x\" to a valid timestamp",
        ),
        ("query?query=1&timeout=-1s", "invalid parameter \"timeout\": cannot parse \"-1s\" to a valid duration"),
        (
            "query?query=1&lookback_delta=x",
            "invalid parameter \"lookback_delta\": error parsing lookback delta duration: cannot parse \"x\" to a valid duration",
        ),
        ("query?query=1&limit=-1", "invalid parameter \"limit\": limit must be non-negative"),
        ("query?query=1&limit=x", "invalid parameter \"limit\": strconv.Atoi: parsing \"x\": invalid syntax"),
        ("query?query=1&durable_only=maybe", "invalid parameter \"durable_only\": \"maybe\" is neither 1 nor 0"),
        ("query", "invalid parameter \"query\": 1:1: parse error: no expression found in input"),
        ("query?query=rate(m[5m-5m])", "invalid parameter \"query\": 7:12: duration must be greater than 0"),
        (
            "query?query=m{a=~%22b(%22}",
            "invalid parameter \"query\": 1:3: parse error: error parsing regexp: missing closing ): `b(`",
        ),
        ("query?query=rate(", "invalid parameter \"query\": 1:6: parse error: unclosed left parenthesis"),
        ("query_range?query=1", "invalid parameter \"start\": cannot parse \"\" to a valid timestamp"),
        ("query_range?query=1&start=1&end=2", "invalid parameter \"step\": cannot parse \"\" to a valid duration"),
        (
            &format!("{range}start=0&end=1&step=1e300"),
            "invalid parameter \"step\": cannot parse \"1e300\" to a valid duration. It overflows int64",
        ),
        (
            &format!("{range}start=0&end=11001&step=1"),
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
        ),
        (
            &format!("{range}start=2&end=1&step=1"),
            "invalid parameter \"end\": end timestamp must not be before start time",
        ),
        (
            "query_range?query=%22a%22&start=0&end=1&step=1",
            "invalid parameter \"query\": invalid expression type \"string\" for range query, must be Scalar or instant Vector",
        ),
    ];
    for (path, error) in cases {
        assert_eq!(refused(&server, path, 400), ("bad_data".to_owned(), error.to_owned()), "{path}");
    }
    let eleven_thousand = api(&server, &format!("{range}start=0&end=11000&step=1"));
    assert_eq!(eleven_thousand.json()["data"]["result"][0]["values"].as_array().unwrap().len(), 11_001);
}

#[test]
fn failures_while_running_have_their_type_and_status() {
    let (server, _dir) = with_data();
    let many = encode("cpu_usage + on(db) cpu_idle");
    let (kind, error) = refused(&server, &format!("query?query={many}&time={T}"), 422);
    assert!(kind == "execution" && error.contains("many-to-many"), "{kind}: {error}");
    for timeout in ["0", "1e-9"] {
        let query = encode("sum(rate(cpu_usage[1m]))");
        let (kind, error) = refused(&server, &format!("query?query={query}&time={T}&timeout={timeout}"), 503);
        assert!(kind == "timeout" && error.starts_with("query timed out in "), "{kind}: {error}");
    }
    assert_eq!(api(&server, &format!("query?query=cpu_usage&time={T}&timeout=1m")).status, 200);
}

#[test]
fn times_are_seconds_or_rfc_3339_near_and_far() {
    let (server, _dir) = with_data();
    let scalar = |time: &str| api(&server, &format!("query?query=time()&time={}", encode(time))).json()["data"].clone();
    for (time, shown) in [
        ("4", json!([4, "4"])),
        ("-5.5", json!([-5.5, "-5.5"])),
        ("1435781430.781", json!([1435781430.781, "1435781430.781"])),
        ("2015-07-01T20:10:30.781Z", json!([1435781430.781, "1435781430.781"])),
        ("2015-07-01T22:10:30+02:00", json!([1435781430, "1435781430"])),
    ] {
        assert_eq!(scalar(time), json!({"resultType": "scalar", "result": shown}), "{time}");
    }
    let now: f64 = scalar("")["result"][1].as_str().unwrap().parse().unwrap();
    assert_eq!(now, (now * 1000.0).round() / 1000.0, "the time has whole milliseconds");
    let negative = api(&server, "query?query=vector(1)&time=-5.5").text();
    assert!(negative.contains(r#""value":[-5.500,"1"]"#), "{negative}");
    for far in ["1735000000000", "-1735000000000", "9999-12-31T00:00:00Z"] {
        assert_eq!(
            api(&server, &format!("query?query=cpu_usage&time={far}")).json()["data"]["result"],
            json!([]),
            "{far}"
        );
    }
    let all = format!("query_range?query=count(cpu_usage)&start={}&end={}&step=5d", T - 86_400_000, T + 86_400_000);
    assert_eq!(api(&server, &all).json()["data"]["result"][0]["values"], json!([[T, "3"]]));
}

#[test]
fn lookback_and_limit_change_what_is_found() {
    let (server, _dir) = with_data();
    let count = |more: &str| {
        let path = format!("query?query=count(cpu_usage)&time={}{more}", T + 230 + 60);
        api(&server, &path).json()["data"]["result"].as_array().unwrap().len()
    };
    assert_eq!(
        [count(""), count("&lookback_delta=30s"), count("&lookback_delta=61"), count("&lookback_delta=0")],
        [1, 0, 1, 1]
    );
    for query in [
        "query?query=cpu_usage",
        "query?query=cpu_usage[1m]",
        "query_range?query=cpu_usage&start=1795154400&end=1795154410&step=5",
    ] {
        let cut = api(&server, &format!("{query}&time={T}&limit=2")).json();
        assert_eq!(cut["data"]["result"].as_array().unwrap().len(), 2, "{query}");
        assert_eq!(cut["warnings"], json!(["results truncated due to limit"]), "{query}");
        for all in ["0", "3", ""] {
            let whole = api(&server, &format!("{query}&time={T}&limit={all}")).json();
            assert_eq!(
                (whole["data"]["result"].as_array().unwrap().len(), whole.get("warnings")),
                (3, None),
                "{query}"
            );
        }
    }
}

#[test]
fn remarks_beyond_ten_are_counted() {
    let (server, _dir) = with_data();
    let sums: Vec<_> = (2..14).map(|phi| format!("quantile({phi}, cpu_idle)")).collect();
    let answer = api(&server, &format!("query?query={}&time={}", encode(&sums.join(" + ")), T + 240)).json();
    let warnings = answer["warnings"].as_array().unwrap();
    assert_eq!((warnings.len(), &warnings[10]), (11, &json!("2 more warning annotations omitted")), "{answer}");
    assert!(warnings[..10].iter().all(|text| text.as_str().unwrap().starts_with("PromQL warning: quantile value")));
}

#[test]
fn form_and_url_parameters_are_merged_and_the_form_wins() {
    let (server, _dir) = server(&[]);
    let form = [("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")];
    let post =
        |path: &str, body: &str| server.send("POST", path, &form, body.as_bytes()).json()["data"]["result"].clone();
    assert_eq!(post("/api/v1/query", "query=1&time=5&query=7"), json!([5, "1"]));
    assert_eq!(post("/api/v1/query?query=8&time=6", "query=1"), json!([6, "1"]));
    assert_eq!(post("/api/v1/query?query=8&time=6", ""), json!([6, "8"]));
    let other = server.send("POST", "/api/v1/query?query=8&time=6", &[("Content-Type", "text/plain")], b"query=1");
    assert_eq!(other.json()["data"]["result"], json!([6, "8"]), "only a form is read");
}

#[test]
fn stats_tell_times_and_samples_and_all_tells_them_by_step() {
    let (server, _dir) = with_data();
    let stats = |query: &str, more: &str| {
        let path = format!("query_range?query={}&start={T}&end={}&step=30&{more}", encode(query), T + 60);
        api(&server, &path).json()["data"]["stats"].clone()
    };
    assert_eq!(stats("cpu_usage", ""), Value::Null);
    let some = stats("cpu_usage", "stats=true");
    for name in
        ["evalTotalTime", "resultSortTime", "queryPreparationTime", "innerEvalTime", "execQueueTime", "execTotalTime"]
    {
        assert!(some["timings"][name].is_f64(), "{name}: {some}");
    }
    assert_eq!(some["samples"]["totalQueryableSamples"], json!(9));
    assert_eq!(some["samples"]["samplesRead"], json!(21), "seven samples of three series lie in the time asked for");
    assert!(
        some["samples"]["peakSamples"].as_u64().unwrap() > 0
            && some["samples"].get("totalQueryableSamplesPerStep").is_none()
    );
    let per_step = |query: &str| stats(query, "stats=all")["samples"]["totalQueryableSamplesPerStep"].clone();
    assert_eq!(per_step("cpu_usage"), json!([[T, 3], [T + 30, 3], [T + 60, 3]]));
    assert_eq!(per_step("sum(rate(cpu_usage[1m]))"), json!([[T, 3], [T + 30, 12], [T + 60, 18]]));
    assert_eq!(
        per_step(&format!("sum(cpu_usage @ {T})")),
        json!([[T, 3], [T + 30, 3], [T + 60, 3]]),
        "each step counts it"
    );
    assert_eq!(
        per_step("max_over_time(cpu_usage[1m:30s])"),
        json!([[T, 3], [T + 30, 6], [T + 60, 6]]),
        "its results count"
    );
    assert_eq!(per_step("1"), json!([[T, 0], [T + 30, 0], [T + 60, 0]]));
}

#[test]
fn explain_shows_the_plan_and_what_was_read() {
    let (server, dir) = with_data();
    let path = format!("query?query={}&time={}&explain=1", encode("sum by (host) (rate(cpu_usage[1m])) > 0"), T + 230);
    assert!(api(&server, &path.replace("&explain=1", "")).json()["data"].get("explain").is_none());
    let in_memory = api(&server, &path).json()["data"]["explain"].clone();
    assert_eq!((&in_memory["blocksRead"], &in_memory["samplesInMemory"]), (&json!(0), &json!(18)), "{in_memory}");
    // Written to parts at the end; from then on blocks are read.
    assert_eq!(server.terminate().0, Some(0));
    let server = Server::start(dir.path(), &[]);
    let explain = api(&server, &path).json()["data"]["explain"].clone();
    assert_eq!(
        (&explain["series"], &explain["samples"], &explain["samplesInMemory"]),
        (&json!(3), &json!(18), &json!(0))
    );
    let number = |name: &str| explain[name].as_u64().unwrap();
    assert!(number("blocksRead") > 0 && number("samplesDecoded") >= 18 && number("bytesRead") > 0, "{explain}");
    let plan = &explain["plan"];
    assert_eq!(
        (&plan["node"], &plan["name"], &plan["series"]),
        (&json!("binaryExpr"), &json!(">"), &json!(3)),
        "{plan}"
    );
    let aggregation = &plan["children"][0];
    assert_eq!((&aggregation["node"], &aggregation["name"]), (&json!("aggregation"), &json!("sum")));
    assert_eq!(aggregation["text"], json!("sum by (host) (rate(cpu_usage[1m]))"));
    let selector = &aggregation["children"][0]["children"][0];
    assert_eq!((&selector["node"], &selector["series"]), (&json!("matrixSelector"), &json!(3)), "{plan}");
    let seconds = |part: &Value| part["seconds"].as_f64().unwrap();
    let call = &aggregation["children"][0];
    assert!(seconds(plan) >= seconds(aggregation) && seconds(aggregation) >= seconds(call), "{plan}");
    assert!(seconds(call) > 0.0, "the selector's time is the call's: {plan}");
    let far = format!("query?query=cpu_usage&time={}&explain=true", T + 86_400);
    let far = api(&server, &far).json()["data"]["explain"].clone();
    assert!(far["blocksRead"] == 0 && far["blocksSkipped"].as_u64().unwrap() > 0, "{far}");
}

#[test]
fn durable_only_sees_what_a_power_cut_would_leave() {
    let (server, _dir) = server(&["--durability", "wal-interval=1h"]);
    let count =
        |more: &str| api(&server, &format!("query?query=count(m)&time={T}{more}")).json()["data"]["result"].clone();
    let write = |host: &str, ack: &str| {
        let line = format!("m,host={host} value=1 {T}");
        assert_eq!(server.post(&format!("/write?db=d&precision=s&ack={ack}"), line.as_bytes()).status, 204);
    };
    let shown = |hosts: &str| json!([{"metric": {}, "value": [T, hosts]}]);
    write("a", "os");
    assert_eq!((count(""), count("&durable_only=1")), (shown("1"), json!([])));
    write("b", "disk");
    assert_eq!(
        (count("&durable_only=1"), count("&durable_only=0")),
        (shown("2"), shown("2")),
        "what is before it is safe with it"
    );
    write("c", "os");
    assert_eq!((count(""), count("&durable_only=true")), (shown("3"), shown("2")));
    let range = format!("query_range?query=count(m)&start={T}&end={T}&step=1&durable_only=1");
    assert_eq!(api(&server, &range).json()["data"]["result"][0]["values"], json!([[T, "2"]]));
}
