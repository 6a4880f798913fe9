//! What the server says about itself.

use hyper::header::{CONTENT_TYPE, HeaderValue};

use crate::http::{
    body::Body,
    error::Error,
    pack,
    reply::{self, Reply},
    routes::Call,
    shared::now,
};

/// Which Prometheus's API and PromQL we follow; Grafana picks its features by it. There must be no `features` key: with
/// one Grafana takes the server for Mimir.
const PROMETHEUS_VERSION: &str = "3.5.0";

/// 200, and `data` in Prometheus's shape.
pub(super) fn success(call: &Call, data: &serde_json::Value) -> Result<Reply, Error> {
    Ok(pack::as_accepted(&call.head.headers, with_data(data)))
}

/// The same, not packed.
pub(super) fn with_data(data: &serde_json::Value) -> Reply {
    // Written by hand so that `status` comes first, where people look.
    reply::json(format!(r#"{{"status":"success","data":{data}}}"#))
}

/// Versions.
pub(super) async fn buildinfo(call: Call) -> Result<Reply, Error> {
    let revision = concat!("plimsoll-", env!("CARGO_PKG_VERSION"));
    let data = serde_json::json!({
        "version": PROMETHEUS_VERSION, "revision": revision, "branch": "", "buildUser": "", "buildDate": "",
        "goVersion": "",
    });
    success(&call, &data)
}

/// State of the process. What only a Go program has is empty or counts our threads.
pub(super) async fn runtimeinfo(call: Call) -> Result<Reply, Error> {
    let text = |nanos: i64| {
        jiff::Timestamp::from_nanosecond(i128::from(nanos)).map_or_else(|_| String::new(), |time| time.to_string())
    };
    let directory = std::env::current_dir().map_or_else(|_| String::new(), |dir| dir.display().to_string());
    let workers = tokio::runtime::Handle::current().metrics().num_workers();
    let data = serde_json::json!({
        "startTime": text(call.server.started), "serverTime": text(now()), "CWD": directory,
        "hostname": rustix::system::uname().nodename().to_string_lossy(), "reloadConfigSuccess": true,
        "lastConfigTime": text(call.server.started), "corruptionCount": call.server.metrics.quarantined_files.get(),
        "goroutineCount": tokio::runtime::Handle::current().metrics().num_alive_tasks(), "GOMAXPROCS": workers,
        "GOMEMLIMIT": i64::MAX, "GOGC": "", "GODEBUG": "", "storageRetention": "0s",
    });
    success(&call, &data)
}

/// How far the replay of the log is, in segments.
pub(super) async fn walreplay(call: Call) -> Result<Reply, Error> {
    let progress = call.server.engine.replay_progress();
    success(&call, &serde_json::json!({ "min": progress.min, "max": progress.max, "current": progress.current }))
}

/// All flags and their values.
pub(super) async fn flags(call: Call) -> Result<Reply, Error> {
    let flags = call.server.options.flags.iter().map(|(name, value)| (name.clone(), value.clone().into()));
    let flags: serde_json::Map<_, _> = flags.collect();
    success(&call, &flags.into())
}

/// The configuration: the same flags, one a line.
pub(super) async fn config(call: Call) -> Result<Reply, Error> {
    let lines: String = call.server.options.flags.iter().map(|(name, value)| format!("{name}: {value:?}\n")).collect();
    success(&call, &serde_json::json!({ "yaml": lines }))
}

/// Our own metrics.
pub(super) async fn metrics(call: Call) -> Result<Reply, Error> {
    call.server.engine.refresh_metrics();
    call.server.queries.refresh_metrics();
    let mut reply = reply::typed("text/plain", Body::full(call.server.metrics.render()));
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    Ok(pack::as_accepted(&call.head.headers, reply))
}

/// Whether the process lives, in the words that Prometheus's clients know.
pub(super) async fn healthy(_: Call) -> Result<Reply, Error> {
    Ok(reply::text("Prometheus Server is Healthy.\n"))
}

/// Whether it answers.
pub(super) async fn ready(_: Call) -> Result<Reply, Error> {
    Ok(reply::text("Prometheus Server is Ready.\n"))
}

/// For those who knock at the front door.
pub(super) async fn index(_: Call) -> Result<Reply, Error> {
    Ok(reply::text(concat!(
        "Plimsoll ",
        env!("CARGO_PKG_VERSION"),
        "\n\nwrite    POST /write?db=NAME, POST /api/v2/write?bucket=NAME, POST /api/v3/write_lp?db=NAME   (line protocol)\n\
         ask      /api/v1/query, /api/v1/query_range                    (PromQL; Grafana: data source Prometheus)\n\
         at risk  /api/v1/durability, and below it /wait, /receipt\n\
         watch    /metrics, /health, /-/ready\n",
    )))
}
