//! A real Prometheus with our samples.
#![allow(clippy::disallowed_methods)] // another program's files, and its time to start

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    model::{Labels, METRIC_NAME, NANOS_PER_MILLI, NANOS_PER_SECOND},
    promql::quote,
    select::Series,
    tests::differential::queries::{Query, When},
};

/// How long it may take to start.
const START_MAX: Duration = Duration::from_secs(30);

/// What a query gives, Unix milliseconds and values by series; or why it gives nothing.
#[derive(Debug)]
pub(super) enum Answer {
    Series(BTreeMap<Labels, BTreeMap<i64, f64>>),
    Failed(String),
}

/// A running server and its directory; both go when it is dropped.
pub(super) struct Prometheus {
    child: Child,
    url: String,
    agent: ureq::Agent,
    _dir: TempDir,
}

impl Prometheus {
    /// Starts one that has the series; `None` where none is installed.
    pub(super) fn start(series: &[Series]) -> Option<Self> {
        let version = |program| Command::new(program).arg("--version").output();
        if version("prometheus").is_err() || version("promtool").is_err() {
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let (input, data, config) =
            (dir.path().join("samples"), dir.path().join("data"), dir.path().join("config.yml"));
        std::fs::write(&input, open_metrics(series)).unwrap();
        std::fs::write(&config, "global: {}\n").unwrap();
        backfill(&input, &data);
        // Nobody else is likely to take the port before Prometheus has it.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg(format!("--web.listen-address={address}"))
            .args(["--storage.tsdb.retention.time=100y", "--log.level=error"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
        let server = Self { child, url: format!("http://{address}"), agent, _dir: dir };
        server.wait_until_ready();
        Some(server)
    }

    fn wait_until_ready(&self) {
        let since = Instant::now();
        let ready = || self.agent.get(format!("{}/-/ready", self.url)).call().is_ok_and(|reply| reply.status() == 200);
        while !ready() {
            assert!(since.elapsed() < START_MAX, "Prometheus is not ready after {START_MAX:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub(super) fn ask(&self, query: &Query) -> Answer {
        let seconds = |nanos: i64| (nanos / NANOS_PER_SECOND).to_string();
        let mut form = vec![("query", query.text.clone())];
        let path = match query.when {
            When::At(time) => {
                form.push(("time", seconds(time)));
                "query"
            }
            When::Range(start, end, step) => {
                form.extend([("start", seconds(start)), ("end", seconds(end)), ("step", seconds(step))]);
                "query_range"
            }
        };
        let mut reply = self.agent.post(format!("{}/api/v1/{path}", self.url)).send_form(form).unwrap();
        let body: Value = serde_json::from_slice(&reply.body_mut().read_to_vec().unwrap()).unwrap();
        match body["status"].as_str() {
            Some("success") => Answer::Series(series_of(&body["data"])),
            _ => Answer::Failed(body["error"].to_string()),
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn backfill(input: &Path, data: &Path) {
    let words = ["tsdb", "create-blocks-from", "openmetrics", "--quiet"];
    let output = Command::new("promtool").args(words).arg(input).arg(data).output().unwrap();
    assert!(output.status.success(), "promtool: {}", String::from_utf8_lossy(&output.stderr));
}

fn open_metrics(series: &[Series]) -> String {
    let mut text = String::new();
    for series in series {
        let others = series.labels.iter().filter(|(name, _)| *name != METRIC_NAME);
        let labels: Vec<String> = others.map(|(name, value)| format!("{name}={}", quote(value))).collect();
        let name = format!("{}{{{}}}", series.labels.metric(), labels.join(","));
        for (time, value) in series.times.iter().zip(&series.values) {
            let millis = time / NANOS_PER_MILLI;
            // Prometheus cuts to milliseconds: half of one more, so that no rounding error takes one away.
            let value =
                if value.is_finite() { format!("{value:?}") } else { format!("{value:+?}").replace("inf", "Inf") };
            let value = value.replace("+NaN", "NaN");
            writeln!(text, "{name} {value} {}.{:03}5", millis / 1000, millis % 1000).unwrap();
        }
    }
    text + "# EOF\n"
}

/// The result of an answer, whatever its type.
fn series_of(data: &Value) -> BTreeMap<Labels, BTreeMap<i64, f64>> {
    let result = &data["result"];
    if data["resultType"] == "scalar" {
        return BTreeMap::from([(Labels::default(), BTreeMap::from([sample(result)]))]);
    }
    let series = result.as_array().unwrap().iter().map(|series| {
        let mut labels = Labels::default().to_builder();
        for (name, value) in series["metric"].as_object().unwrap() {
            labels.set(name.as_str(), value.as_str().unwrap());
        }
        let samples = match series["values"].as_array() {
            Some(values) => values.iter().map(sample).collect(),
            None => BTreeMap::from([sample(&series["value"])]),
        };
        (labels.build(), samples)
    });
    series.collect()
}

/// `[seconds, "value"]`
fn sample(pair: &Value) -> (i64, f64) {
    ((pair[0].as_f64().unwrap() * 1000.0).round() as i64, pair[1].as_str().unwrap().parse().unwrap())
}
