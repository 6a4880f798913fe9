//! What queries may take: time, series, samples, memory, a place in the line; and [`ended`], how they are seen and ended.

mod ended;

use std::{
    io::Write,
    net::TcpStream,
    thread::{scope, sleep},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::common::{Response, Server, T, encode, server};

const HOSTS: usize = 2_000;
const FIELDS: usize = 10;
/// Samples of each series, ten seconds apart.
const SAMPLES: usize = 100;

/// 20,000 series of a hundred samples. Names are dropped at the end, so that functions take series of several names.
fn with_much(flags: &[&str]) -> (Server, tempfile::TempDir) {
    let (server, dir) = server(&[flags, &["--enable-feature", "promql-delayed-name-removal"]].concat());
    for hosts in (0..HOSTS).collect::<Vec<_>>().chunks(200) {
        let mut lines = Vec::new();
        for sample in 0..SAMPLES {
            for &host in hosts {
                let (le, time) = (host % 10, T + 10 * sample as i64);
                write!(lines, "m,host=h{host:04},le={le}.5,dc=d{} ", host / 10).unwrap();
                for field in 0..FIELDS {
                    write!(lines, "{}f{field}={}", if field > 0 { "," } else { "" }, host * sample + field).unwrap();
                }
                writeln!(lines, " {time}").unwrap();
            }
        }
        assert_eq!(server.post("/write?db=d&precision=s&ack=memory", &lines).status, 204);
    }
    (server, dir)
}

/// A range query over all samples, a step every two seconds.
fn over_all(query: &str) -> String {
    stepping(query, "2")
}

/// One of twenty times as many steps.
fn finely(query: &str) -> String {
    stepping(query, "0.1")
}

fn stepping(query: &str, step: &str) -> String {
    let end = T + 10 * SAMPLES as i64;
    format!("query_range?query={}&start={T}&end={end}&step={step}", encode(query))
}

fn get(server: &Server, path: &str) -> Response {
    server.get(&format!("/api/v1/{path}"))
}

/// Status, `errorType` and `error` of a refusal.
fn refusal(response: &Response) -> (u16, String, String) {
    let json = response.json();
    let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
    (response.status, text("errorType"), text("error"))
}

/// Whether a query ran out of time; its answer, where it had begun, is broken off.
fn is_cut_short(response: &Response) -> bool {
    if response.status == 200 {
        return serde_json::from_slice::<Value>(&response.body).is_err();
    }
    let (status, kind, error) = refusal(response);
    assert_eq!((status, &*kind), (503, "timeout"), "{error}");
    assert!(error.starts_with("query timed out in "), "{error}");
    true
}

fn active(server: &Server) -> Vec<Value> {
    get(server, "status/active_queries").json()["data"].as_array().unwrap().clone()
}

/// Sends a request and does not wait for its answer.
fn send(server: &Server, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).unwrap();
    write!(stream, "GET /api/v1/{path} HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    stream
}

/// The active queries, once they are as wanted.
fn active_when(server: &Server, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let began = Instant::now();
    loop {
        let queries = active(server);
        if wanted(&queries) {
            return queries;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{queries:?}");
        sleep(Duration::from_millis(1));
    }
}

/// The active queries, once one of them has read samples.
fn active_when_reading(server: &Server) -> Vec<Value> {
    active_when(server, |queries| queries.iter().any(|query| query["samples"].as_u64().unwrap() > 0))
}

/// Waits until a metric has a value.
fn metric_comes_to(server: &Server, name: &str, value: f64) {
    let began = Instant::now();
    while metric(server, name) != value {
        assert!(began.elapsed() < Duration::from_secs(20), "{name} is {}, not {value}", metric(server, name));
        sleep(Duration::from_millis(1));
    }
}

fn metric(server: &Server, name: &str) -> f64 {
    let metrics = server.get("/metrics").text();
    let line = metrics.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
    line.unwrap_or_else(|| panic!("no {name}")).rsplit(' ').next().unwrap().parse().unwrap()
}

/// Takes seconds over all samples, and a minute of two cores [`finely`]; it holds little.
const LONG: &str = r#"sum(quantile_over_time(0.9, {__name__=~"m_.+"}[10m]))"#;

/// Requests of every kind that each take long.
fn heavy() -> Vec<String> {
    let all = r#"{__name__=~"m_.+"}"#;
    let ranges = [
        LONG.to_owned(),
        format!("sum(rate({all}[15m]))"),
        format!("count(stddev_over_time({all}[15m]))"),
        format!("max_over_time({all}[15m])"),
        format!("topk by (dc) (3, {all})"),
        format!("bottomk(1000, {all})"),
        format!("quantile by (le) (0.5, {all})"),
        format!(r#"count_values("value", {all})"#),
        format!("{all} + on(host, __name__) {all}"),
        format!("{all} and on(host, __name__) {all}"),
        format!("{all} or on(dc) {all}"),
        format!("{all} * on(host) group_left() m_f0"),
        format!("sum(max_over_time(sum by (host) ({all})[15m:1s]))"),
        "sum_over_time(vector(1)[300d:1s])".to_owned(),
        "max_over_time(m_f0[20d:1s])".to_owned(),
        format!(r#"label_replace({all}, "x", "$1-$2", "host", "h(.)(.+)")"#),
        format!(r#"sum by (x) (label_join({all}, "x", "-", "host", "le", "dc"))"#),
        format!("sort_desc({all})"),
        format!("histogram_quantile(0.9, {all})"),
        format!("abs(-{all} > 3)"),
        format!("sum by (host, le, dc) ({all})"),
        r#"sum({__name__=~"m_.+",host=~".*[02468]+.*[13579]|h.*7.*",dc!~"d.*99.*"})"#.to_owned(),
    ];
    let instants =
        [format!("sort(sum by (host, le, dc, __name__) (sum_over_time({all}[16m:1s])))"), format!("{all}[16m:1s]")];
    let mut paths: Vec<String> = ranges.iter().map(|query| finely(query)).collect();
    paths.extend(instants.iter().map(|query| format!("query?query={}&time={}", encode(query), T + 990)));
    let selectors = vec![format!("match[]={}", encode(all)); 40].join("&");
    paths.extend(["series", "labels", "label/host/values"].map(|endpoint| format!("{endpoint}?{selectors}")));
    paths
}

#[test]
fn a_deadline_of_a_millisecond_is_kept_in_every_kind_of_query() {
    // Nothing but the deadline may end them: a fast machine reads more samples in that time than a query may by default.
    let (server, _dir) = with_much(&["--query-samples-max", "1000000000000"]);
    let (mut light, mut late) = (Vec::new(), Vec::new());
    for path in heavy() {
        let shown: String = path.chars().take(150).collect();
        // Names and values of labels are found in an instant, however many series have them.
        let is_heavy = !path.starts_with("label");
        if is_heavy && !is_cut_short(&get(&server, &format!("{path}&timeout=20ms"))) {
            light.push(shown.clone());
        }
        let nine_times = || {
            let mut times: Vec<_> = (0..9)
                .map(|_| {
                    let began = Instant::now();
                    let response = get(&server, &format!("{path}&timeout=1ms"));
                    let took = began.elapsed();
                    assert!(is_cut_short(&response) || !is_heavy, "{shown}");
                    took
                })
                .collect();
            times.sort_unstable();
            println!("{:>9.3?} {:>9.3?} {:>9.3?}  {shown}", times[0], times[4], times[8]);
            times
        };
        // Others may take the cores for a while; what goes on after its deadline is late whenever it is asked.
        if (0..4).all(|_| nine_times()[0] > Duration::from_millis(20)) {
            late.push(shown);
        }
    }
    assert!(light.is_empty(), "not heavy: {light:#?}");
    assert!(late.is_empty(), "{late:#?}");
    metric_comes_to(&server, "plimsoll_queries_running", 0.0);
    metric_comes_to(&server, "plimsoll_query_memory_bytes", 0.0);
}

#[test]
fn queries_wait_in_line_so_long_and_so_many() {
    let (server, _dir) = with_much(&["--queries-max", "1", "--queue-max", "2", "--queue-wait", "4s"]);
    let running = send(&server, &finely(LONG));
    active_when(&server, |queries| queries.iter().any(|query| query["state"] == "running"));
    scope(|scope| {
        let began = Instant::now();
        let late = scope.spawn(|| get(&server, "query?query=a"));
        metric_comes_to(&server, "plimsoll_queries_waiting", 1.0);
        let impatient = scope.spawn(|| get(&server, "query?query=b&timeout=2s"));
        metric_comes_to(&server, "plimsoll_queries_waiting", 2.0);
        let one_too_many = get(&server, "query?query=c");
        // What reads nothing and computes little waits for nobody.
        assert_eq!(get(&server, "query?query=1%2B1").status, 200);
        assert_eq!(get(&server, "query_range?query=vector(1)&start=0&end=1000&step=1").status, 200);
        for much in
            ["query?query=sum_over_time(vector(1)[1h:1s])", "query_range?query=1%2B1%2B1%2B1&start=0&end=9999&step=1"]
        {
            assert_eq!(get(&server, much).status, 503, "{much}");
        }
        let (status, kind, error) = refusal(&one_too_many);
        assert_eq!((status, &*kind, &*error), (503, "unavailable", "2 queries are waiting for their turn already"));
        assert_eq!(one_too_many.header("retry-after"), "1");
        let (status, kind, error) = refusal(&impatient.join().unwrap());
        assert_eq!((status, &*kind, &*error), (503, "timeout", "query timed out in query queue"));
        let (status, kind, error) = refusal(&late.join().unwrap());
        assert_eq!((status, &*kind), (503, "unavailable"));
        assert_eq!(error, "the query waited 4s for its turn, and as many as may run at once, 1, are running still");
        let took = began.elapsed();
        assert!((Duration::from_secs(4)..Duration::from_secs(30)).contains(&took), "{took:?}");
    });
    for (reason, count) in [("queue_full", 3.0), ("queue_wait", 1.0), ("memory", 0.0)] {
        let name = format!("plimsoll_queries_rejected_total{{reason=\"{reason}\"}}");
        assert_eq!(metric(&server, &name), count, "{reason}");
    }
    // When the place is free, the next one has it.
    scope(|scope| {
        let next = scope.spawn(|| get(&server, "query?query=e"));
        metric_comes_to(&server, "plimsoll_queries_waiting", 1.0);
        drop(running);
        assert_eq!(next.join().unwrap().status, 200);
    });
}

#[test]
fn a_query_ends_at_its_limits_of_series_samples_and_memory() {
    let error = |server: &Server, query: &str| {
        let (status, kind, error) = refusal(&get(server, &over_all(query)));
        assert_eq!((status, &*kind), (422, "execution"), "{query}: {error}");
        error
    };
    let (server, _dir) = with_much(&["--query-series-max", "15000"]);
    assert_eq!(error(&server, LONG), "query processing would read more than 15000 series in query execution");
    drop(server);

    let (server, _dir) = with_much(&["--query-memory-max", "8MiB"]);
    let memory = "query processing would take more than 8388608 bytes of memory in query execution";
    // A million values; as many states of sums; as many counts; as many marks of what is there.
    for query in ["m_f0", "sum by (host) (m_f0)", r#"count_values("v", m_f0)"#, "m_f0 or m_f1"] {
        assert_eq!(error(&server, query), memory, "{query}");
    }
    let selectors = vec!["match[]={__name__=~%22m_.%2B%22}"; 20].join("&");
    let (status, kind, text) = refusal(&get(&server, &format!("series?{selectors}")));
    assert_eq!((status, &*kind, &*text), (422, "execution", memory), "labels are memory too");
    let sum = get(&server, &over_all("sum(rate(m_f0[5m]))"));
    assert_eq!(sum.status, 200, "what streams takes little: {}", sum.text());
    drop(server);

    let (server, _dir) = with_much(&["--query-samples-max", "2000000"]);
    let samples = "query processing would load too many samples into memory in query execution";
    let (status, kind, text) = refusal(&get(&server, &over_all(r#"{__name__=~"m_f[0-4]"}"#)));
    assert_eq!((status, &*kind, &*text), (422, "execution", samples));
}

#[test]
fn what_all_queries_hold_is_limited_too() {
    let (server, _dir) = with_much(&["--queries-memory-max", "100MiB"]);
    let path = over_all(r#"{__name__=~"m_f[0-3]"}"#);
    // Its answer, which nobody takes, holds some 64 MiB.
    let stalled = send(&server, &path);
    active_when(&server, |queries| queries.iter().any(|query| query["state"] == "sending"));
    let second = get(&server, &path);
    let (status, kind, error) = refusal(&second);
    assert_eq!((status, &*kind), (503, "unavailable"));
    assert_eq!(error, "all queries together would take more than 104857600 bytes of memory");
    assert_eq!(metric(&server, "plimsoll_queries_rejected_total{reason=\"memory\"}"), 1.0);
    drop(stalled);
    active_when(&server, <[Value]>::is_empty);
    assert_eq!(get(&server, &over_all("m_f0")).status, 200);
}
