//! PromQL over HTTP: `query` and `query_range`.

use std::{sync::Arc, time::Duration};

use crate::{
    durability::error_chain,
    http::{
        error::{Error, Kind},
        explain::{Details, Run, Steps, Times, Watcher},
        json,
        params::Params,
        queries::{Asked, Entry},
        reply::{self, Reply},
        results,
        routes::{Asker, Call},
        shared::{Shared, now},
        texts,
    },
    metrics::{QueryRejection, QueryResult},
    model::NANOS_PER_MILLI,
    promql::{
        self, Answer, Stop, Value, Watch,
        ast::{Expr, Node, ValueType},
    },
    select::View,
};

/// A query that computes so many numbers at most, and reads nothing, takes well below a millisecond: it does not wait behind
/// others. `1+1` is how Grafana asks whether anybody is there.
const LIGHT_NUMBERS_MAX: usize = 16 << 10;
/// What Prometheus says when it cut an answer short.
pub(super) const TRUNCATED: &str = "results truncated due to limit";
/// Remarks of each kind that an answer carries at most.
const REMARKS_MAX: usize = 10;

/// `query`: one evaluation.
pub(super) async fn instant(call: Call) -> Result<Reply, Error> {
    let (params, asker) = call.params().await?;
    let query = counted(&asker, Query::new(&params, &asker.server))?;
    let time = counted(&asker, params.optional_time("time"))?.unwrap_or_else(this_millisecond);
    let steps = Steps { start: time, end: time, step: 0, count: 1 };
    query.answer(&asker, "query", steps, move |view, expr, options| promql::instant(view, expr, time, options)).await
}

/// Now, in nanoseconds that are whole milliseconds: the end of this one, so that what was written within it is seen.
fn this_millisecond() -> i64 {
    now().saturating_add(NANOS_PER_MILLI - 1) / NANOS_PER_MILLI * NANOS_PER_MILLI
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
    let count = (end.abs_diff(start) / step.unsigned_abs() + 1) as usize; // at most the limit on points, and one
    let steps = Steps { start, end, step, count };
    let answer = query.answer(&asker, "query_range", steps, move |view, expr, options| {
        promql::range(view, expr, start, end, step, options)
    });
    answer.await
}

/// Start, end and step in nanoseconds.
fn steps(params: &Params, server: &Shared) -> Result<(i64, i64, i64), Error> {
    let (start, end) = (params.time("start")?, params.time("end")?);
    if end < start {
        return Err(Error::parameter("end", "end timestamp must not be before start time"));
    }
    let step = params.duration("step")?;
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

/// The time that a request may take: `timeout`, where it is less than the server's.
pub(super) fn timeout(params: &Params, server: &Shared) -> Result<Duration, Error> {
    // A time that is up already is no mistake: such a query times out.
    let asked = params.optional_duration("timeout")?.map(|nanos| Duration::from_nanos(nanos.max(0).unsigned_abs()));
    Ok(asked.unwrap_or(Duration::MAX).min(server.options.query_timeout))
}

/// What instant and range queries have in common.
struct Query {
    text: String,
    expr: Expr,
    timeout: Duration,
    lookback: i64,
    limit: Option<usize>,
    is_durable: bool,
    details: Details,
}

impl Query {
    fn new(params: &Params, server: &Shared) -> Result<Self, Error> {
        let limit = params.limit()?;
        let timeout = timeout(params, server)?;
        let lookback = params.optional_duration("lookback_delta").map_err(|error| {
            let reason = error.message.split_once(": ").map_or("", |(_, reason)| reason);
            Error::parameter("lookback_delta", format!("error parsing lookback delta duration: {reason}"))
        })?;
        let usual = || i64::try_from(server.options.lookback.as_nanos()).unwrap_or(i64::MAX);
        Ok(Self {
            expr: texts::parse(params, server)?,
            text: params.get("query").unwrap_or("").to_owned(),
            timeout,
            lookback: lookback.filter(|&nanos| nanos > 0).unwrap_or_else(usual),
            limit,
            is_durable: params.flag("durable_only")?,
            details: Details {
                stats: params.non_empty("stats").is_some(),
                per_step: params.get("stats") == Some("all"),
                explain: params.flag("explain")?,
            },
        })
    }

    /// Runs it on a thread of its own and writes its answer. It ends early when its client goes away.
    async fn answer<F>(self, asker: &Asker, kind: &'static str, steps: Steps, evaluate: F) -> Result<Reply, Error>
    where
        F: FnOnce(&View, &Expr, &promql::Options<'_>) -> Result<Answer, promql::Error> + Send + 'static,
    {
        let server = Arc::clone(&asker.server);
        let asked = Asked { steps: Some(steps), timeout: self.timeout, ..asker.asked(kind, &self.text) };
        let is_light = numbers(&self.expr).is_some_and(|count| count.saturating_mul(steps.count) <= LIGHT_NUMBERS_MAX);
        let ticket = if is_light { server.queries.pass(asked) } else { server.enter(asked).await? };
        let entry = Arc::clone(ticket.entry());
        let queued = entry.began().elapsed();
        let done = ticket.run(move |entry| {
            let evaluated = self.evaluate(&server, entry, queued, steps, evaluate);
            entry.ended(result_of(evaluated.as_ref().err()));
            evaluated.map(|(answer, details)| (self, answer, details))
        });
        let (query, answer, details) = done.await.map_err(|error| {
            if matches!(error, promql::Error::Overloaded(_)) {
                asker.server.metrics.queries_rejected[QueryRejection::Memory].inc();
            }
            failed(error)
        })?;
        Ok(asker.pack(query.reply(answer, &details, entry)))
    }

    /// The answer, and further members of `data`.
    fn evaluate(
        &self,
        server: &Shared,
        entry: &Entry,
        queued: Duration,
        steps: Steps,
        evaluate: impl FnOnce(&View, &Expr, &promql::Options<'_>) -> Result<Answer, promql::Error>,
    ) -> Result<(Answer, String), promql::Error> {
        let interrupt = || entry.interrupt();
        // An expression without selectors never asks.
        let go_on = || match interrupt() {
            None => Ok(()),
            Some(Stop::Timeout) => Err(promql::Error::Timeout),
            Some(Stop::Canceled) => Err(promql::Error::Canceled),
        };
        let watcher = self.details.any().then(|| Watcher::new(entry.began(), steps));
        let options = promql::Options {
            lookback: self.lookback,
            samples_max: server.options.query_samples_max,
            series_max: server.options.query_series_max,
            memory_max: server.options.query_memory_max,
            features: server.options.features,
            threads: Some(&server.threads),
            interrupt: Some(&interrupt),
            meter: Some(entry.meter()),
            watch: watcher.as_ref().map(|watcher| watcher as &dyn Watch),
            ..promql::Options::default()
        };
        let view = if self.is_durable { View::durable(&server.engine) } else { View::new(&server.engine) };
        let prepared = entry.began().elapsed();
        go_on()?;
        let answer = evaluate(&view, &self.expr, &options)?;
        go_on()?;
        let times = Times { queued, prepared: prepared - queued, total: entry.began().elapsed() };
        let details = watcher.map(|watcher| {
            let (expr, text, answer, reads) = (&self.expr, &*self.text, &answer, view.reads());
            self.details.members(&Run { expr, text, answer, times, reads, watcher })
        });
        Ok((answer, details.unwrap_or_default()))
    }

    /// The answer, with further members of `data`.
    fn reply(self, mut answer: Answer, details: &str, entry: Arc<Entry>) -> Reply {
        let is_cut = self.limit.is_some_and(|limit| truncate(&mut answer.value, limit));
        let texts = |notes: &[promql::Annotation]| notes.iter().map(|note| note.text(&self.text)).collect::<Vec<_>>();
        let mut warnings = texts(&answer.warnings);
        if is_cut {
            warnings.insert(0, TRUNCATED.to_owned());
        }
        let tail = format!("{details}}}{}}}", remarks(&warnings, &texts(&answer.infos)));
        reply::typed("application/json", results::body(answer.value, &tail).of_query(entry))
    }
}

/// `,"warnings":[…],"infos":[…]`, each only where there is one: at most ten, and behind them how many more there are.
pub(super) fn remarks(warnings: &[String], infos: &[String]) -> String {
    let mut out = Vec::new();
    for (name, kind, texts) in [("warnings", "warning", warnings), ("infos", "info", infos)] {
        if !texts.is_empty() {
            let more = texts.len().saturating_sub(REMARKS_MAX);
            let more = (more > 0).then(|| format!("{more} more {kind} annotations omitted"));
            out.extend_from_slice(format!(",\"{name}\":").as_bytes());
            let shown = texts.iter().take(REMARKS_MAX).chain(&more);
            json::list(&mut out, shown, |out, text| json::string(out, text));
        }
    }
    String::from_utf8(out).expect("made of strings")
}

/// How many numbers a query computes at each step; `None` where it reads series, or has steps of its own.
fn numbers(expr: &Expr) -> Option<usize> {
    match &expr.node {
        Node::Vector(_) | Node::Matrix(_) | Node::Subquery(_) => None,
        _ => expr.children().try_fold(1, |count: usize, child| Some(count + numbers(child)?)),
    }
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

/// How a query ended, for metrics.
fn result_of(error: Option<&promql::Error>) -> QueryResult {
    match error {
        None => QueryResult::Success,
        Some(promql::Error::BadData(_)) => QueryResult::BadData,
        Some(promql::Error::Execution(_)) => QueryResult::Execution,
        Some(promql::Error::Timeout) => QueryResult::Timeout,
        Some(promql::Error::Canceled) => QueryResult::Canceled,
        Some(promql::Error::Overloaded(_)) => QueryResult::Rejected,
        Some(promql::Error::Storage(_)) => QueryResult::Internal,
    }
}

/// What the client is told of a query that failed.
pub(super) fn failed(error: promql::Error) -> Error {
    let kind = match &error {
        promql::Error::BadData(_) => return Error::parameter("query", error),
        promql::Error::Execution(_) => Kind::Execution,
        promql::Error::Timeout => Kind::Timeout,
        promql::Error::Canceled => Kind::Canceled,
        promql::Error::Overloaded(text) => return Error::overloaded(text.as_str(), 1),
        promql::Error::Storage(cause) => {
            tracing::error!(cause = error_chain(&cause), "a query failed to read");
            Kind::Internal
        }
    };
    Error::new(kind, error.to_string())
}
