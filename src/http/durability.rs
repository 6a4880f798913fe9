//! What is at risk, what became of a write, and which mode moves the watermarks.

use std::{path::PathBuf, sync::Arc, time::Duration};

use hyper::HeaderMap;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    disk::Probe,
    durability::{AckLevel, Failure, Mode, Policy, StageKind, SwitchError, Unasked},
    engine::{Engine, Loss, Receipt, Recovery},
    http::{
        error::{Error, Kind},
        params::Params,
        reply::Reply,
        routes::Call,
        status::{success, with_data},
        write::RETRY_SECONDS,
    },
    metrics::{Directory, Label},
    model::{Position, SeqNo},
};

/// How long a client waits that does not say.
const WAIT_USUAL: Duration = Duration::from_secs(5);
/// The longest wait: proxies cut longer silences anyway.
const WAIT_MAX: Duration = Duration::from_secs(300);

/// `GET /api/v1/durability`: what a crash would take now, what the last one took, and what the mode does.
pub(super) async fn status(call: Call) -> Result<Reply, Error> {
    let engine = &call.server.engine;
    let (mode, marks) = (engine.durability().mode(), engine.watermarks());
    let data = json!({
        "mode": mode.to_string(),
        "policy": policy(&engine.durability().policy()),
        "min_ack": engine.options().ack_min.text(),
        "incarnation": engine.incarnation(),
        "watermarks": {
            "visible": marks.visible.0, "process_safe": marks.process_safe.0, "power_safe": marks.power_safe.0,
        },
        "at_risk": by_failure(|failure| at_risk(engine, failure)),
        "windows_ms": by_level(|level| by_failure(|failure| window(engine.window(level, failure)))),
        "log_copies": engine.log_copies().iter().map(log_copy).collect::<Value>(),
        "recovery": recovery(engine.recovery()),
        "damage": engine.damage(),
        "probe": engine.probe().map(probe),
        "problem": call.server.problem(),
        "warnings": engine.warnings(),
        "modes": Mode::ALL.map(row),
    });
    success(&call, &data)
}

fn by_failure(value: impl Fn(Failure) -> Value) -> Value {
    Failure::ALL.iter().map(|failure| (failure.text().to_owned(), value(*failure))).collect()
}

fn by_level(value: impl Fn(AckLevel) -> Value) -> Value {
    AckLevel::ALL.iter().map(|level| (level.text().to_owned(), value(*level))).collect()
}

fn at_risk(engine: &Engine, failure: Failure) -> Value {
    let at_risk = engine.at_risk(failure);
    json!({
        "batches": at_risk.batches, "samples": at_risk.samples, "bytes": at_risk.bytes,
        "age_seconds": at_risk.age.as_secs_f64(),
    })
}

/// Whole milliseconds, rounded up, so that an upper bound stays one.
pub(super) fn whole_millis(window: Duration) -> u64 {
    u64::try_from(window.as_micros().div_ceil(1000)).unwrap_or(u64::MAX)
}

/// `null` where nothing bounds it.
fn window(window: Option<Duration>) -> Value {
    window.map(whole_millis).into()
}

/// A directory of the log: whether it lacks what is in no part yet and only the other one holds.
fn log_copy((kind, dir, is_behind): &(Directory, PathBuf, bool)) -> Value {
    json!({ "directory": kind.text(), "path": dir.display().to_string(), "behind": is_behind })
}

/// A policy in words.
fn policy(policy: &Policy) -> Value {
    let written = match (policy.stage, policy.written) {
        (StageKind::Log, Unasked::Never) => "with every batch".to_owned(),
        (_, written) => written.to_string(),
    };
    json!({
        "stage": policy.stage.to_string(),
        "written_unasked": written,
        "synced_unasked": policy.synced.to_string(),
        "served_when_asked": policy.asked.to_string(),
        "default_ack": policy.ack.text(),
        "loss_max_ms": window(policy.loss_max),
    })
}

/// A mode's row of the table.
fn row(mode: Mode) -> Value {
    json!({
        "mode": mode.to_string(),
        "help": mode.help(),
        "policy": policy(&mode.policy()),
        "takes": by_failure(|failure| mode.takes(failure).into()),
    })
}

/// What the last start found.
fn recovery(recovery: &Recovery) -> Value {
    let numbers = |(first, last): &(SeqNo, SeqNo)| json!([first.0, last.0]);
    let paths = |paths: &[PathBuf]| paths.iter().map(|path| path.display().to_string()).collect::<Value>();
    json!({
        "end": recovery.end.0,
        "duration_seconds": recovery.duration.as_secs_f64(),
        "replayed_batches": recovery.replayed_batches,
        "truncated_bytes": recovery.damaged_bytes,
        "damaged_batches": recovery.damaged.iter().map(numbers).collect::<Value>(),
        "damaged_files": paths(&recovery.damaged_files),
        "unread_files": paths(&recovery.unread_files),
        "mended_files": paths(&recovery.mended_files),
        "quarantined_files": paths(&recovery.quarantined),
        "loss": recovery.loss.as_ref().map(loss),
    })
}

/// What the end of a start took.
fn loss(loss: &Loss) -> Value {
    json!({
        "incarnation": loss.incarnation,
        "ending": loss.ending.text(),
        "text": loss.to_string(),
        "exact": loss.is_exact(),
        "acknowledged": loss.acknowledged.0,
        "end": loss.end.0,
        "lost_samples_min": loss.samples.min,
        "lost_samples_max": loss.samples.max,
        "lost_batches_min": loss.batches.min,
        "lost_batches_max": loss.batches.max,
        // Where it is false, answers may have been given that neither bound knows of.
        "ledger_is_last": loss.is_ledger_last(),
        "damaged_batches": loss.damaged_batches,
        "last_answer": (loss.clock > 0).then(|| jiff::Timestamp::from_nanosecond(loss.clock.into()).ok()).flatten()
            .map(|time| time.to_string()),
    })
}

/// What the directory stands on.
fn probe(probe: &Probe) -> Value {
    json!({
        "file_system": probe.file_system,
        "mount_point": probe.mount_point.display().to_string(),
        "device": probe.device,
        "write_cache": probe.write_cache.map(|cache| cache.to_string()),
        "syncs": probe.sync.count,
        "sync_median_seconds": probe.sync.median.as_secs_f64(),
        "sync_max_seconds": probe.sync.max.as_secs_f64(),
        "warnings": probe.warnings,
    })
}

/// `GET /api/v1/durability/receipt?position=1/17`: what became of a batch.
pub(super) async fn receipt(call: Call) -> Result<Reply, Error> {
    let position = position(&call.url_params()?)?;
    let receipt = receipt_of(&call.server.engine, position).await;
    success(&call, &json!({ "position": position.to_string(), "receipt": receipt.text() }))
}

/// Aside, for it may wait for a record that is being written to the manifest.
async fn receipt_of(engine: &Arc<Engine>, position: Position) -> Receipt {
    let engine = Arc::clone(engine);
    let receipt = tokio::task::spawn_blocking(move || engine.receipt(position)).await;
    receipt.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

/// `GET /api/v1/durability/wait?position=1/17&level=disk&timeout=5s`: answers once the batch is as safe as that.
pub(super) async fn wait(call: Call) -> Result<Reply, Error> {
    let params = call.url_params()?;
    let (position, patience) = (position(&params)?, patience(&params)?);
    let asked = params.non_empty("level").map(level).transpose();
    let level = asked.map_err(|error| Error::parameter("level", error))?.unwrap_or(AckLevel::Disk);
    let engine = &call.server.engine;
    let unknown = || Error::new(Kind::NotFound, format!("position {position} has not been given out"));
    match receipt_of(engine, position).await {
        Receipt::Safe => {}
        Receipt::Pending => {
            let ticket = engine.wait(position.number, level).ok_or_else(unknown)?;
            // Whoever leaves before that changes nothing: the batch is made safe all the same.
            let reached = timeout(patience, ticket).await.map_err(|_| not_yet(position, level, patience))?;
            reached
                .map_err(|_| Error::overloaded("the server is shutting down", RETRY_SECONDS))?
                .map_err(|stopped| Error::overloaded(stopped.to_string(), RETRY_SECONDS))?;
        }
        Receipt::Lost => return Err(Error::new(Kind::Gone, format!("the batch at position {position} is lost"))),
        Receipt::Damaged => {
            let text =
                format!("a part with rows of the batch at position {position} is damaged: some may be gone, or all");
            return Err(Error::new(Kind::Gone, text));
        }
        Receipt::Expired => {
            return Err(Error::new(Kind::Gone, format!("position {position} is of a start nothing is remembered of")));
        }
        Receipt::Unknown => return Err(unknown()),
    }
    success(&call, &json!({ "position": position.to_string(), "level": level.text(), "reached": true }))
}

fn not_yet(position: Position, level: AckLevel, patience: Duration) -> Error {
    let level = level.text();
    Error::new(Kind::Timeout, format!("position {position} has not reached level {level} within {patience:?}"))
}

fn position(params: &Params) -> Result<Position, Error> {
    let text = params.get("position").unwrap_or("");
    text.parse().map_err(|error| Error::parameter("position", error))
}

fn patience(params: &Params) -> Result<Duration, Error> {
    let Some(nanos) = params.optional_duration("timeout")? else { return Ok(WAIT_USUAL) };
    let patience = u64::try_from(nanos).ok().map(Duration::from_nanos).filter(|patience| *patience <= WAIT_MAX);
    patience.ok_or_else(|| Error::parameter("timeout", format!("it must be between 0 and {WAIT_MAX:?}")))
}

/// The level a write asks for, by parameter `ack` or header `Durability`.
pub(super) fn asked_level(headers: &HeaderMap, params: &Params) -> Result<Option<AckLevel>, Error> {
    let header = headers.get("durability").map(|value| value.to_str().unwrap_or("unreadable"));
    let (header, parameter) = (header.map(level).transpose(), params.get("ack").map(level).transpose());
    // Both are looked at: a level that nobody understands is not passed over.
    let (header, parameter) = (header.map_err(Error::bad_data)?, parameter.map_err(Error::bad_data)?);
    Ok(parameter.or(header))
}

fn level(text: &str) -> Result<AckLevel, String> {
    let known = || AckLevel::ALL.iter().map(|level| level.text()).collect::<Vec<_>>().join(", ");
    let level = AckLevel::ALL.iter().copied().find(|level| level.text() == text);
    level.ok_or_else(|| match text {
        "replicated" => format!("ack level \"replicated\" is not available yet; known are {}", known()),
        _ => format!("unknown ack level {text:?}; known are {}", known()),
    })
}

/// `POST /api/v1/admin/durability?mode=…`: changes the mode until the next start; answers once it is in force.
pub(super) async fn switch(call: Call) -> Result<Reply, Error> {
    let (params, asker) = call.params().await?;
    let mode: Mode = params.get("mode").unwrap_or("").parse().map_err(|error| Error::parameter("mode", error))?;
    let engine = &asker.server.engine;
    let before = engine.durability().mode();
    // Whoever leaves before the answer changes nothing.
    match engine.switch(mode).await {
        Ok(Ok(())) => {}
        Ok(Err(error @ SwitchError::Busy)) => return Err(Error::new(Kind::Conflict, error.to_string())),
        Ok(Err(error)) => return Err(Error::overloaded(error.to_string(), RETRY_SECONDS)),
        Err(_) => return Err(Error::overloaded("the server is shutting down", RETRY_SECONDS)),
    }
    let data = json!({ "mode": mode.to_string(), "before": before.to_string() });
    Ok(asker.pack(with_data(&data)))
}
