//! PromQL over HTTP: `query`, `query_range`, `format_query`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    durability::error_chain,
    http::{
        error::{Error, Kind},
        json,
        params::Params,
        reply::{self, Reply},
        results,
        routes::{Asker, Call},
        shared::{Shared, now},
    },
    metrics::QueryResult,
    promql::{
        self, Answer, Stop, Value,
        ast::{Expr, ValueType},
    },
    select::View,
};

/// What Prometheus says when it cut an answer short.
pub(super) const TRUNCATED: &str = "results truncated due to limit";
/// Remarks of each kind that an answer carries at most.
const REMARKS_MAX: usize = 10;

/// `query`: one evaluation.
pub(super) async fn instant(call: Call) -> Result<Reply, Error> {
    let (params, asker) = call.params().await?;
    let query = counted(&asker, Query::new(&params, &asker.server))?;
    let time = counted(&asker, params.time("time"))?.unwrap_or_else(now);
    query.answer(&asker, move |view, expr, options| promql::instant(view, expr, time, options)).await
}

/// `query_range`: an evaluation per step.
pub(super) async fn range(call: Call) -> Result<Reply, Error> {
    let (params, asker) = call.params().await?;
    let (start, end, step) = counted(&asker, steps(&params, &asker.server))?;
    let query = counted(&asker, Query::new(&params, &asker.server))?;
    if let Some(kind) = match query.expr.value_type() {
        ValueType::Matrix => Some("range vector"),
        ValueType::String => Some("string"),
        ValueType::Scalar | ValueType::Vector => None,
    } {
        let reason = format!("invalid expression type {kind:?} for range query, must be Scalar or instant Vector");
        return counted(&asker, Err(Error::parameter("query", reason)));
    }
    query.answer(&asker, move |view, expr, options| promql::range(view, expr, start, end, step, options)).await
}

/// `format_query`: the text as we would write it.
pub(super) async fn format_query(call: Call) -> Result<Reply, Error> {
    let (params, asker) = call.params().await?;
    let expr = parse(params.get("query").unwrap_or(""))?;
    let mut out = br#"{"status":"success","data":"#.to_vec();
    json::string(&mut out, &promql::pretty(&expr));
    out.push(b'}');
    Ok(asker.pack(reply::typed("application/json", crate::http::body::Body::full(out))))
}

fn parse(text: &str) -> Result<Expr, Error> {
    promql::parse(text).map_err(|error| Error::parameter("query", error))
}

/// Start, end and step in nanoseconds.
fn steps(params: &Params, server: &Shared) -> Result<(i64, i64, i64), Error> {
    let missing = |name, kind| Error::parameter(name, format!("cannot parse \"\" to a valid {kind}"));
    let start = params.time("start")?.ok_or_else(|| missing("start", "timestamp"))?;
    let end = params.time("end")?.ok_or_else(|| missing("end", "timestamp"))?;
    if end < start {
        return Err(Error::parameter("end", "end timestamp must not be before start time"));
    }
    let step = params.duration("step")?.ok_or_else(|| missing("step", "duration"))?;
    if step <= 0 {
        let reason = "zero or negative query resolution step widths are not accepted. Try a positive integer";
        return Err(Error::parameter("step", reason));
    }
    let points_max = server.options.query_points_max;
    if end.abs_diff(start) / step.unsigned_abs() > points_max {
        return Err(Error::bad_data(format!(
            "exceeded maximum resolution of {} points per timeseries. Try decreasing the query resolution (?step=XX)",
            grouped(points_max)
        )));
    }
    Ok((start, end, step))
}

/// `11,000`
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

/// Counts a query that is refused before it runs.
fn counted<T>(asker: &Asker, result: Result<T, Error>) -> Result<T, Error> {
    if result.is_err() {
        asker.server.metrics.queries[QueryResult::BadData].inc();
    }
    result
}

/// What instant and range queries have in common.
struct Query {
    text: String,
    expr: Expr,
    timeout: Duration,
    lookback: i64,
    limit: Option<usize>,
    with_stats: bool,
}

impl Query {
    fn new(params: &Params, server: &Shared) -> Result<Self, Error> {
        let text = params.get("query").unwrap_or("").to_owned();
        let positive = |name| {
            let nanos = params.duration(name)?;
            match nanos {
                Some(nanos) if nanos <= 0 => Err(Error::parameter(name, "duration must be positive")),
                nanos => Ok(nanos.map(i64::unsigned_abs).map(Duration::from_nanos)),
            }
        };
        let timeout = positive("timeout")?.unwrap_or(Duration::MAX).min(server.options.query_timeout);
        let lookback = positive("lookback_delta")?.unwrap_or(server.options.lookback);
        Ok(Self {
            expr: parse(&text)?,
            text,
            timeout,
            lookback: i64::try_from(lookback.as_nanos()).unwrap_or(i64::MAX),
            limit: params.limit()?,
            with_stats: params.non_empty("stats").is_some(),
        })
    }

    /// Runs it on a thread of its own and writes its answer. It ends early when its client goes away.
    #[allow(clippy::disallowed_methods)] // the edge: deadlines
    async fn answer<F>(self, asker: &Asker, evaluate: F) -> Result<Reply, Error>
    where
        F: FnOnce(&View, &Expr, &promql::Options<'_>) -> Result<Answer, promql::Error> + Send + 'static,
    {
        let server = &asker.server;
        let started = Instant::now();
        let place = server.admit_query(self.timeout).await.inspect_err(|_| {
            server.metrics.queries[QueryResult::Timeout].inc();
        })?;
        let queued = started.elapsed();
        let deadline = started + self.timeout;
        let canceled = CancelOnDrop::default();
        let flag = Arc::clone(&canceled.0);
        let (running, samples_max) = (Arc::clone(server), server.options.query_samples_max);
        let work = tokio::task::spawn_blocking(move || {
            let _place = place;
            let interrupt = || match (flag.load(Ordering::Relaxed), Instant::now() >= deadline) {
                (true, _) => Some(Stop::Canceled),
                (_, true) => Some(Stop::Timeout),
                _ => None,
            };
            let options = promql::Options {
                lookback: self.lookback,
                samples_max,
                threads: Some(&running.threads),
                interrupt: Some(&interrupt),
                ..promql::Options::default()
            };
            let answer = evaluate(&View::new(&running.engine), &self.expr, &options);
            observe(&running, started, &answer);
            answer.map(|answer| (self, answer))
        });
        // A panic over there is a panic here, where it becomes this request's 500.
        let answer = work.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        drop(canceled);
        let (query, answer) = answer.map_err(failed)?;
        Ok(asker.pack(query.reply(answer, queued, started.elapsed())))
    }

    fn reply(self, mut answer: Answer, queued: Duration, total: Duration) -> Reply {
        let is_cut = self.limit.is_some_and(|limit| truncate(&mut answer.value, limit));
        let texts = |notes: &[promql::Annotation]| notes.iter().map(|note| note.text(&self.text)).collect::<Vec<_>>();
        let mut warnings = texts(&answer.warnings);
        if is_cut {
            warnings.insert(0, TRUNCATED.to_owned());
        }
        let mut tail = String::new();
        if self.with_stats {
            tail += &stats(&answer, queued, total);
        }
        tail.push('}');
        tail += &remarks(&warnings, &texts(&answer.infos));
        tail.push('}');
        reply::typed("application/json", results::body(answer.value, &tail))
    }
}

/// `,"warnings":[…],"infos":[…]`, each only where there is something to say.
pub(super) fn remarks(warnings: &[String], infos: &[String]) -> String {
    let mut out = Vec::new();
    for (name, texts) in [("warnings", warnings), ("infos", infos)] {
        if !texts.is_empty() {
            out.extend_from_slice(format!(",\"{name}\":").as_bytes());
            json::list(&mut out, texts.iter().take(REMARKS_MAX), |out, text| json::string(out, text));
        }
    }
    String::from_utf8(out).expect("made of strings")
}

fn stats(answer: &Answer, queued: Duration, total: Duration) -> String {
    let evaluated = total.saturating_sub(queued).as_secs_f64();
    let stats = serde_json::json!({
        "timings": {
            "evalTotalTime": evaluated, "resultSortTime": 0, "queryPreparationTime": 0, "innerEvalTime": evaluated,
            "execQueueTime": queued.as_secs_f64(), "execTotalTime": total.as_secs_f64(),
        },
        "samples": { "totalQueryableSamples": answer.stats.samples_read, "peakSamples": answer.stats.samples_peak },
    });
    format!(",\"stats\":{stats}")
}

/// Cuts a vector or matrix to `limit` series; whether anything went.
fn truncate(value: &mut Value, limit: usize) -> bool {
    let length = match value {
        Value::Vector(samples) => {
            let length = samples.len();
            samples.truncate(limit);
            length
        }
        Value::Matrix(series) => {
            let length = series.len();
            series.truncate(limit);
            length
        }
        Value::Scalar(..) | Value::String(..) => 0,
    };
    length > limit
}

fn observe(server: &Shared, started: Instant, answer: &Result<Answer, promql::Error>) {
    let metrics = &server.metrics;
    let result = match answer {
        Ok(_) => QueryResult::Success,
        Err(promql::Error::BadData(_)) => QueryResult::BadData,
        Err(promql::Error::Execution(_)) => QueryResult::Execution,
        Err(promql::Error::Timeout) => QueryResult::Timeout,
        Err(promql::Error::Canceled) => QueryResult::Canceled,
        Err(promql::Error::Storage(_)) => QueryResult::Internal,
    };
    metrics.queries[result].inc();
    metrics.query_duration.observe(started.elapsed().as_secs_f64());
    if let Ok(answer) = answer {
        metrics.query_samples.inc_by(answer.stats.samples_read);
    }
}

fn failed(error: promql::Error) -> Error {
    let kind = match &error {
        promql::Error::BadData(_) => return Error::parameter("query", error),
        promql::Error::Execution(_) => Kind::Execution,
        promql::Error::Timeout => Kind::Timeout,
        promql::Error::Canceled => Kind::Canceled,
        promql::Error::Storage(cause) => {
            tracing::error!(cause = error_chain(&cause), "a query failed to read");
            Kind::Internal
        }
    };
    Error::new(kind, error.to_string())
}

/// Says that nobody waits any more: the request's future is dropped when its client goes away.
#[derive(Default)]
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
