//! What InfluxDB clients ask before and beside writing.

use hyper::StatusCode;

use crate::{
    http::{
        error::Error,
        json,
        reply::{self, Reply},
        routes::Call,
        shared::{INFLUX_VERSION, Weight, now},
    },
    model::TimeRange,
};

/// `/ping`: 204, or 200 with the version for those who want words.
pub(super) async fn ping(call: Call) -> Result<Reply, Error> {
    let params = call.url_params()?;
    let is_verbose = params.get("verbose").is_some_and(|value| !matches!(value, "" | "0" | "false"));
    if !is_verbose {
        return Ok(reply::no_content());
    }
    Ok(reply::json(json::object(&[("version", INFLUX_VERSION)])))
}

/// `/health`: whether all is well.
pub(super) async fn health(call: Call) -> Result<Reply, Error> {
    let (status, message, code) = match call.server.problem() {
        None => {
            let all = [vec!["ready for queries and writes".to_owned()], call.server.engine.warnings()].concat();
            ("pass", all.join("; "), StatusCode::OK)
        }
        Some(why) => ("fail", why, StatusCode::SERVICE_UNAVAILABLE),
    };
    let body = serde_json::json!({
        "name": "influxdb", "message": message, "status": status, "checks": [], "version": INFLUX_VERSION,
    });
    Ok(reply::with_status(code, reply::json(body.to_string())))
}

/// `/ready` of InfluxDB 2.
pub(super) async fn ready(call: Call) -> Result<Reply, Error> {
    let started = call.server.started;
    let up = std::time::Duration::from_nanos(now().saturating_sub(started).unsigned_abs());
    let started =
        jiff::Timestamp::from_nanosecond(i128::from(started)).map_or_else(|_| String::new(), |t| t.to_string());
    Ok(reply::json(json::object(&[("status", "ready"), ("started", &started), ("up", &format!("{}s", up.as_secs()))])))
}

/// `/query` of InfluxDB 1: only the statements that clients send before their first write.
pub(super) async fn query(call: Call) -> Result<Reply, Error> {
    let (params, asker) = call.params().await?;
    let text = params.non_empty("q").ok_or_else(|| Error::bad_data("missing required parameter \"q\""))?;
    let statements = text.split(';').map(str::trim).filter(|statement| !statement.is_empty());
    let server = &asker.server;
    let look_up = server.look_up(asker.asked("influx_query", text), Weight::Heavy, |view, allowance| {
        view.label_values("db", &[], TimeRange::ALL, allowance)
    });
    let (databases, _) = look_up.await?;
    let results = statements.enumerate().map(|(id, statement)| match Statement::parse(statement) {
        Some(Statement::CreateDatabase) => Ok(serde_json::json!({ "statement_id": id })),
        Some(Statement::ShowDatabases) => {
            let names: Vec<_> = databases.iter().map(|name| [name]).collect();
            let series = serde_json::json!([{ "name": "databases", "columns": ["name"], "values": names }]);
            Ok(serde_json::json!({ "statement_id": id, "series": series }))
        }
        None => Err(Error::bad_data(format!(
            "InfluxQL is not supported, but for CREATE DATABASE and SHOW DATABASES; ask with PromQL at \
             /api/v1/query_range: {statement}"
        ))),
    });
    let results = results.collect::<Result<Vec<_>, Error>>()?;
    let reply = reply::json(serde_json::json!({ "results": results }).to_string() + "\n");
    Ok(asker.pack(reply))
}

#[derive(Debug, PartialEq, Eq)]
enum Statement {
    /// Every database is there already: it is a label.
    CreateDatabase,
    ShowDatabases,
}

impl Statement {
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace().map(str::to_ascii_uppercase);
        match (words.next()?.as_str(), words.next()?.as_str(), words.next()) {
            ("CREATE", "DATABASE", Some(_)) => Some(Self::CreateDatabase),
            ("SHOW", "DATABASES", None) => Some(Self::ShowDatabases),
            _ => None,
        }
    }
}
