//! The write endpoints: InfluxDB 1's `/write`, InfluxDB 2's `/api/v2/write` and InfluxDB 3's `/api/v3/write_lp`.
//!
//! They differ in their parameters and in the shape of their errors. The good lines of a body are one batch and are
//! written even where others are bad (unless version 3's `accept_partial=false` says otherwise); the answer is 400 then, for
//! that is what agents take for "do not send it again".

use std::{sync::Arc, time::Duration};

use hyper::{
    StatusCode,
    header::{HeaderName, HeaderValue},
};

use crate::{
    http::{
        body::{self, Limits},
        durability::{asked_level, whole_millis},
        error::{Api, Error, Kind},
        params::Params,
        reply::{self, Reply},
        routes::Call,
        shared::{Shared, now},
    },
    ingest::{self, Outcome, WriteRequest},
    metrics::{AckLevel, Failure, Label},
    model::Position,
    protocol::line::{BadLine, Precision},
};

/// How long a client is asked to stay away when a queue is full: about the time of a flush.
pub(super) const RETRY_SECONDS: u64 = 1;

/// `POST /write?db=…`
pub(super) async fn v1(call: Call) -> Result<Reply, Error> {
    let params = call.url_params()?;
    let db = params.non_empty("db").ok_or_else(|| Error::bad_data("database is required"))?.to_owned();
    if !matches!(params.get("consistency").unwrap_or(""), "" | "any" | "one" | "quorum" | "all") {
        return Err(Error::bad_data("invalid consistency level"));
    }
    let name = params.get("precision").unwrap_or("");
    let precision = Precision::parse(name)
        .ok_or_else(|| Error::bad_data(format!("invalid precision {name:?} (use n, u, ms, s, m or h)")))?;
    take_and_tell(call, &params, db, precision, Api::Influx1).await
}

/// `POST /api/v2/write?bucket=…`
pub(super) async fn v2(call: Call) -> Result<Reply, Error> {
    let params = call.url_params()?;
    let bucket = params.non_empty("bucket").ok_or_else(|| Error::new(Kind::NotFound, "bucket not found"))?;
    // InfluxDB 1.8 names a database and a retention policy so; we have no such policies.
    let bucket = bucket.split('/').next().unwrap_or(bucket).to_owned();
    let name = params.get("precision").unwrap_or("");
    let precision = Precision::parse(name).filter(|_| matches!(name, "" | "ns" | "us" | "ms" | "s"));
    let precision =
        precision.ok_or_else(|| Error::bad_data("invalid precision; valid precision units are ns, us, ms, and s"))?;
    take_and_tell(call, &params, bucket, precision, Api::Influx2).await
}

/// `POST /api/v3/write_lp?db=…`
pub(super) async fn v3(call: Call) -> Result<Reply, Error> {
    let params = call.url_params()?;
    let db = params.non_empty("db").ok_or_else(|| Error::bad_data("missing parameter \"db\""))?.to_owned();
    let precision = match params.get("precision").unwrap_or("") {
        "" | "auto" => Precision::Auto,
        "nanosecond" | "ns" => Precision::Nanoseconds,
        "microsecond" | "us" => Precision::Microseconds,
        "millisecond" | "ms" => Precision::Milliseconds,
        "second" | "s" => Precision::Seconds,
        name => {
            let known = "auto, nanosecond, microsecond, millisecond or second";
            return Err(Error::bad_data(format!("invalid precision {name:?} (use {known})")));
        }
    };
    let (accept_partial, no_sync) = (switch(&params, "accept_partial", true)?, switch(&params, "no_sync", false)?);
    // Not to wait for the disk is to wait for nothing, unless the write says a level, too.
    let ack = asked_level(&call.head.headers, &params)?.or(no_sync.then_some(AckLevel::Memory));
    let now = now();
    let request = WriteRequest { db: Some(db), precision, now, ack, all_or_nothing: !accept_partial };
    let server = Arc::clone(&call.server);
    let outcome = take(call, request).await?;
    let mut reply = match outcome.rejected.is_empty() {
        true if outcome.beyond_retention == 0 => reply::no_content(),
        _ => reply::with_status(StatusCode::BAD_REQUEST, reply::json(bad_lines(&outcome))),
    };
    receipt(&mut reply, &server, &outcome);
    Ok(reply)
}

/// A parameter that is `true` or `false`.
fn switch(params: &Params, name: &str, usual: bool) -> Result<bool, Error> {
    match params.get(name).unwrap_or("") {
        "" => Ok(usual),
        "true" => Ok(true),
        "false" => Ok(false),
        other => Err(Error::bad_data(format!("invalid {name} {other:?} (use true or false)"))),
    }
}

/// InfluxDB 3's words: of a body that was taken in part a list of the bad lines, of one that was not the first.
fn bad_lines(outcome: &Outcome) -> String {
    let line = |line: &BadLine| {
        let BadLine { line_number, text, reason } = line;
        serde_json::json!({ "original_line": text, "line_number": line_number, "error_message": reason })
    };
    let mut lines = outcome.rejected.first().iter().map(line);
    if outcome.rejected.is_empty() {
        return serde_json::json!({ "error": beyond_retention(outcome), "data": null }).to_string();
    }
    let (error, data): (_, serde_json::Value) = match outcome.accepted_samples {
        0 => ("parsing failed for write_lp endpoint", lines.next().into()),
        _ => ("partial write of line protocol occurred", lines.collect()),
    };
    format!(r#"{{"error":"{error}","data":{data}}}"#)
}

/// A write of version 1 or 2.
async fn take_and_tell(
    call: Call,
    params: &Params,
    db: String,
    precision: Precision,
    api: Api,
) -> Result<Reply, Error> {
    let ack = asked_level(&call.head.headers, params)?;
    let server = Arc::clone(&call.server);
    let request = WriteRequest { db: Some(db), precision, now: now(), ack, all_or_nothing: false };
    let outcome = take(call, request).await?;
    let mut reply = verdict(&outcome, api);
    receipt(&mut reply, &server, &outcome);
    Ok(reply)
}

/// Reads the body, and commits what is good of it.
async fn take(call: Call, request: WriteRequest) -> Result<Outcome, Error> {
    let server = &call.server;
    let mut place = server.admit_write()?;
    let mut sink = server.ingest.body(request);
    let options = &server.options;
    let limits = Limits {
        received: options.body_size_max,
        unpacked: options.unpacked_size_max,
        stall: options.body_stall_timeout,
    };
    let take = |piece: &[u8]| {
        place.grow(piece.len())?;
        sink.feed(piece).map_err(|error| refuse(&error))
    };
    body::read(call.body, &call.head.headers, limits, take).await?;
    sink.finish().await.map_err(|error| refuse(&error))
}

/// InfluxDB's words, by which agents know not to send it again.
fn beyond_retention(outcome: &Outcome) -> String {
    format!("partial write: points beyond retention policy dropped={}", outcome.beyond_retention)
}

/// 204 where every line was taken. A field that is a string does not count: agents send them all the time.
fn verdict(outcome: &Outcome, api: Api) -> Reply {
    let dropped = outcome.beyond_retention;
    let message = match (outcome.rejected.is_empty(), outcome.accepted_samples) {
        (true, _) if dropped == 0 => return reply::no_content(),
        (true, _) => beyond_retention(outcome),
        (false, 0) => outcome.rejected.to_string(),
        // Of the lines that parsed, the storage dropped those that were too old.
        (false, _) => format!("partial write: {} dropped={dropped}", outcome.rejected),
    };
    Error::bad_data(message).into_reply(api)
}

/// How deep the write lies, and what each kind of crash could still take of it.
fn receipt(reply: &mut Reply, server: &Shared, outcome: &Outcome) {
    let headers = reply.headers_mut();
    headers.reserve(HEADERS);
    headers.insert(&ACCEPTED_SAMPLES, outcome.accepted_samples.into());
    headers.insert(&REJECTED_SAMPLES, outcome.rejected_samples.into());
    headers.insert(&REJECTED_LINES, outcome.rejected.count().into());
    let Some(ack) = outcome.ack else { return };
    let position = Position { incarnation: server.engine.incarnation(), number: ack.number };
    headers.insert(&DURABILITY_LEVEL, HeaderValue::from_static(ack.level.text()));
    headers.insert(&DURABILITY_POSITION, reply::ascii(&position.to_string()));
    headers.insert(&WINDOW_PROCESS, millis(server.engine.window(ack.level, Failure::Process)));
    headers.insert(&WINDOW_POWER, millis(server.engine.window(ack.level, Failure::Power)));
}

/// Headers of an answer to a write, with those of InfluxDB and of HTTP.
const HEADERS: usize = 14;

// Their names, parsed once: an answer carries all of them, and answers are most of what one-line requests cost.
static ACCEPTED_SAMPLES: HeaderName = HeaderName::from_static("accepted-samples");
static REJECTED_SAMPLES: HeaderName = HeaderName::from_static("rejected-samples");
static REJECTED_LINES: HeaderName = HeaderName::from_static("rejected-lines");
static DURABILITY_LEVEL: HeaderName = HeaderName::from_static("durability-level");
static DURABILITY_POSITION: HeaderName = HeaderName::from_static("durability-position");
static WINDOW_PROCESS: HeaderName = HeaderName::from_static("durability-window-process-ms");
static WINDOW_POWER: HeaderName = HeaderName::from_static("durability-window-power-ms");

/// Whole milliseconds; `inf` where there is no bound.
fn millis(window: Option<Duration>) -> HeaderValue {
    window.map_or(HeaderValue::from_static("inf"), |window| whole_millis(window).into())
}

fn refuse(error: &ingest::Error) -> Error {
    match error {
        ingest::Error::Overloaded(_) => Error::overloaded(error.to_string(), RETRY_SECONDS),
        ingest::Error::TooLarge(_) => Error::new(Kind::TooLarge, format!("Request Entity Too Large: {error}")),
        ingest::Error::Stopped(_) => Error::overloaded(error.to_string(), RETRY_SECONDS),
    }
}
