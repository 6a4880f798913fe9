//! What can be asked about queries: `status/active_queries`, `status/top_queries`, `admin/queries/ID/cancel`.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{
    entry::Entry,
    top::{Total, greatest},
};
use crate::http::{
    error::{Error, Kind},
    params::parse_integer,
    reply::Reply,
    routes::Call,
    status::success,
};

/// `active_queries`: all that wait, run, or have their answer sent, in the order of their coming.
pub(in crate::http) async fn active(call: Call) -> Result<Reply, Error> {
    let entries = call.server.queries.entries();
    success(&call, &entries.iter().map(|entry| entry.json()).collect())
}

/// `admin/queries/ID/cancel`: ends a query. It answers at once; the query ends when it next looks, within milliseconds.
pub(in crate::http) async fn cancel(call: Call) -> Result<Reply, Error> {
    let entries = call.server.queries.entries();
    let Some(entry) = entries.iter().find(|entry| entry.id() == call.segment) else {
        let text = format!("no query with the id {:?} is waiting or running", call.segment);
        return Err(Error::new(Kind::NotFound, text));
    };
    tracing::info!(query = Entry::id(entry), "a query is canceled on request");
    entry.stop();
    success(&call, &json!({ "id": entry.id() }))
}

/// Entries of each list where the client does not say.
const COUNT_USUAL: i64 = 20;
/// Entries of each list at most.
const COUNT_MAX: i64 = 1_000;
/// How far back the lists look where the client does not say.
const LIFETIME_USUAL: Duration = Duration::from_secs(600);

/// `top_queries`: the queries of the last while that were asked most often, or took most. Parameters and names are those of
/// VictoriaMetrics.
#[allow(clippy::disallowed_methods)] // the edge: how long ago queries ended
pub(in crate::http) async fn top(call: Call) -> Result<Reply, Error> {
    let params = call.url_params()?;
    let count = match params.non_empty("topN").map(parse_integer) {
        None => COUNT_USUAL,
        Some(Ok(count)) if count > 0 => count.min(COUNT_MAX),
        Some(Ok(_)) => return Err(Error::parameter("topN", "it must be positive")),
        Some(Err(reason)) => return Err(Error::parameter("topN", reason)),
    };
    let lifetime = params.optional_duration("maxLifetime")?;
    let lifetime = lifetime.map_or(LIFETIME_USUAL, |nanos| Duration::from_nanos(nanos.max(0).unsigned_abs()));
    let totals = call.server.queries.top.lock().totals(Instant::now().checked_sub(lifetime));
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let data = json!({
        "topN": count,
        "maxLifetime": lifetime.as_secs_f64(),
        "topByCount": list(&greatest(&totals, count, |total| total.count)),
        "topByAvgDuration": list(&greatest(&totals, count, |total| total.mean())),
        "topBySumDuration": list(&greatest(&totals, count, |total| total.took)),
        "topByMaxDuration": list(&greatest(&totals, count, |total| total.took_max)),
        "topByAvgMemoryUsage": list(&greatest(&totals, count, |total| total.mean_bytes())),
        "topBySamples": list(&greatest(&totals, count, |total| total.samples)),
    });
    success(&call, &data)
}

fn list(totals: &[Total]) -> Value {
    let object = |total: &Total| {
        json!({
            "query": *total.text,
            "timeRangeSeconds": total.range.as_secs_f64(),
            "count": total.count,
            "avgDurationSeconds": total.mean().as_secs_f64(),
            "sumDurationSeconds": total.took.as_secs_f64(),
            "maxDurationSeconds": total.took_max.as_secs_f64(),
            "avgMemoryBytes": total.mean_bytes(),
            "samples": total.samples,
        })
    };
    totals.iter().map(object).collect()
}

impl Total {
    /// The mean time of one query.
    fn mean(&self) -> Duration {
        self.took / u32::try_from(self.count).unwrap_or(u32::MAX)
    }

    /// The most memory a query held at once, on average.
    fn mean_bytes(&self) -> u64 {
        self.bytes / self.count.max(1)
    }
}
