//! What a query took: `stats` as Prometheus gives them, and `explain`, which is ours: the plan with the time and the
//! series of each part, and what was read from memory and files.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::{
    http::json as text,
    promql::{
        Answer, Watch,
        ast::{Expr, Node, Span},
    },
    select::Reads,
};

/// What a client wants to know beside the result.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Details {
    /// `stats`
    pub(super) stats: bool,
    /// `stats=all`: samples of each step too.
    pub(super) per_step: bool,
    /// `explain`
    pub(super) explain: bool,
}

/// The times a query is evaluated at, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Steps {
    pub(super) start: i64,
    /// The end that was asked for, where the last of them need not be.
    pub(super) end: i64,
    pub(super) step: i64,
    pub(super) count: usize,
}

impl Steps {
    /// From the first to the end.
    pub(super) fn range(self) -> Duration {
        Duration::from_nanos(self.end.abs_diff(self.start))
    }
}

/// Where a query's time went.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// Until it had its turn.
    pub(super) queued: Duration,
    /// From then until it was evaluated.
    pub(super) prepared: Duration,
    /// All of it.
    pub(super) total: Duration,
}

/// A query that has an answer.
pub(super) struct Run<'q> {
    pub(super) expr: &'q Expr,
    pub(super) text: &'q str,
    pub(super) answer: &'q Answer,
    pub(super) times: Times,
    pub(super) reads: Reads,
    pub(super) watcher: Watcher,
}

impl Details {
    /// Whether the evaluation is to be watched.
    pub(super) fn any(self) -> bool {
        self.stats || self.explain
    }

    /// Further members of `data`, each behind a comma.
    pub(super) fn members(self, run: &Run<'_>) -> String {
        let mut out = Vec::new();
        if self.stats {
            out.extend_from_slice(b",\"stats\":");
            self.write_stats(&mut out, run);
        }
        if self.explain {
            out.extend_from_slice(format!(",\"explain\":{}", explain(run)).as_bytes());
        }
        String::from_utf8(out).expect("made of strings")
    }

    fn write_stats(self, out: &mut Vec<u8>, run: &Run<'_>) {
        let Times { queued, prepared, total } = run.times;
        let evaluated = total.saturating_sub(queued + prepared).as_secs_f64();
        let timings = json!({
            "evalTotalTime": evaluated, "resultSortTime": 0.0, "queryPreparationTime": prepared.as_secs_f64(),
            "innerEvalTime": evaluated, "execQueueTime": queued.as_secs_f64(), "execTotalTime": total.as_secs_f64(),
        });
        let (stats, found) = (&run.answer.stats, run.watcher.found.lock());
        let head = format!(
            r#"{{"timings":{timings},"samples":{{"totalQueryableSamples":{},"samplesRead":{},"peakSamples":{}"#,
            found.iter().sum::<u64>(),
            stats.samples_read,
            stats.samples_peak,
        );
        out.extend_from_slice(head.as_bytes());
        if self.per_step {
            out.extend_from_slice(b",\"totalQueryableSamplesPerStep\":");
            let Steps { start, step, .. } = run.watcher.steps;
            text::list(out, found.iter().enumerate(), |out, (index, samples)| {
                out.push(b'[');
                text::time(out, start.saturating_add(step.saturating_mul(index as i64)));
                out.extend_from_slice(format!(",{samples}]").as_bytes());
            });
        }
        out.extend_from_slice(b"}}");
    }
}

fn explain(run: &Run<'_>) -> Value {
    let (stats, reads) = (&run.answer.stats, run.reads);
    json!({
        "plan": plan(run.expr, run.text, &run.watcher.parts.lock()),
        "series": stats.series_read,
        "samples": stats.samples_read,
        "samplesPeak": stats.samples_peak,
        "bytesPeak": stats.bytes_peak,
        "samplesInMemory": reads.samples_in_memory,
        "samplesDecoded": reads.samples_decoded,
        "blocksRead": reads.blocks_read,
        "blocksSkipped": reads.blocks_skipped,
        "bytesRead": reads.bytes_read,
        "seconds": run.times.total.as_secs_f64(),
    })
}

/// Characters of the query's text that are shown of a part.
const SHOWN: usize = 120;

/// A part of the query and those below it. Parts that are numbers or texts hand on no series and have no time of their
/// own.
fn plan(expr: &Expr, text: &str, parts: &HashMap<(usize, usize), Part>) -> Value {
    let (kind, detail) = described(expr);
    let mut shown: String = text.get(expr.span.start..expr.span.end).unwrap_or("").chars().take(SHOWN + 1).collect();
    if let Some((place, _)) = shown.char_indices().nth(SHOWN) {
        shown.replace_range(place.., "…");
    }
    let mut node = json!({ "node": kind, "text": shown });
    if let Some(detail) = detail {
        node["name"] = detail.into();
    }
    if let Some(part) = parts.get(&(expr.span.start, expr.span.end)) {
        node["series"] = part.series.into();
        if !part.took.is_zero() {
            node["seconds"] = part.took.as_secs_f64().into();
        }
    }
    let children: Vec<_> = expr.children().map(|child| plan(child, text, parts)).collect();
    if !children.is_empty() {
        node["children"] = children.into();
    }
    node
}

/// The kind of a part, as `parse_query` names it, and its operator or function.
fn described(expr: &Expr) -> (&'static str, Option<&'static str>) {
    match &expr.node {
        Node::Number(_) => ("numberLiteral", None),
        Node::String(_) => ("stringLiteral", None),
        Node::Vector(_) => ("vectorSelector", None),
        Node::Matrix(_) => ("matrixSelector", None),
        Node::Subquery(_) => ("subquery", None),
        Node::Unary { negate, .. } => ("unaryExpr", Some(if *negate { "-" } else { "+" })),
        Node::Binary(binary) => ("binaryExpr", Some(binary.op.symbol())),
        Node::Aggregate(aggregate) => ("aggregation", Some(aggregate.op.name())),
        Node::Call(call) => ("call", Some(call.function.name)),
        Node::Paren(_) => ("parenExpr", None),
    }
}

/// What a part of the query took.
#[derive(Clone, Copy, Debug, Default)]
struct Part {
    series: u64,
    took: Duration,
}

/// Watches an evaluation.
#[derive(Debug)]
pub(super) struct Watcher {
    started: Instant,
    steps: Steps,
    /// By place in the text.
    parts: Mutex<HashMap<(usize, usize), Part>>,
    /// Samples found for each step.
    found: Mutex<Vec<u64>>,
}

impl Watcher {
    pub(super) fn new(started: Instant, steps: Steps) -> Self {
        Self { started, steps, parts: Mutex::default(), found: Mutex::new(vec![0; steps.count]) }
    }
}

impl Watch for Watcher {
    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn evaluated(&self, part: Span, series: u64, took: Duration) {
        let mut parts = self.parts.lock();
        let part = parts.entry((part.start, part.end)).or_default();
        part.series += series;
        part.took += took;
    }

    fn found(&self, samples: &dyn Fn(usize) -> u64) {
        self.found.lock().iter_mut().enumerate().for_each(|(step, found)| *found += samples(step));
    }
}
