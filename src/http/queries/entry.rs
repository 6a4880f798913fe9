//! One query that is listed.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::sync::Notify;

use super::{Queries, top::Taken};
use crate::{
    http::{explain::Steps, json as text, socket::Client},
    metrics::QueryResult,
    promql::{Meter, Stats, Stop},
};

/// Where a request came from.
#[derive(Clone, Debug)]
pub(in crate::http) struct Peer {
    pub(in crate::http) address: SocketAddr,
    pub(in crate::http) client: Client,
}

/// What a client asked.
#[derive(Clone, Debug)]
pub(in crate::http) struct Asked {
    /// Which path, by its name in metrics: `query`, `query_range`, `series` …
    pub(in crate::http) kind: &'static str,
    /// The query, or what selects series.
    pub(in crate::http) text: Arc<str>,
    /// The times of evaluations, or the time series are asked for.
    pub(in crate::http) steps: Option<Steps>,
    /// Where the request came from.
    pub(in crate::http) client: Option<Peer>,
    /// The longest it may take.
    pub(in crate::http) timeout: Duration,
}

/// Bytes of a text that are kept: enough to know a query by.
const TEXT_MAX: usize = 4 << 10;

impl Asked {
    /// The text, cut where it is very long.
    fn short_text(text: &Arc<str>) -> Arc<str> {
        match text.len() {
            0..=TEXT_MAX => Arc::clone(text),
            _ => format!("{}…", &text[..text.floor_char_boundary(TEXT_MAX)]).into(),
        }
    }

    /// Whether it is a PromQL query.
    fn is_query(&self) -> bool {
        matches!(self.kind, "query" | "query_range")
    }
}

/// How far a query is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum State {
    Waiting,
    Running,
    /// It has its answer, and its client takes it.
    Sending,
}

impl State {
    fn text(number: u8) -> &'static str {
        ["waiting", "running", "sending"][usize::from(number)]
    }
}

/// A query that is listed. It is listed no more once it is dropped.
pub(in crate::http) struct Entry {
    number: u64,
    asked: Asked,
    began: Instant,
    deadline: Instant,
    state: AtomicU8,
    is_stopped: AtomicBool,
    stopped: Notify,
    meter: Meter,
    queries: Arc<Queries>,
}

impl Entry {
    pub(super) fn new(number: u64, mut asked: Asked, began: Instant, queries: Arc<Queries>) -> Self {
        asked.text = Asked::short_text(&asked.text);
        // A time that cannot be told is as good as none.
        const FOREVER: Duration = Duration::from_secs(1 << 31);
        Self {
            number,
            deadline: began + asked.timeout.min(FOREVER),
            asked,
            began,
            state: AtomicU8::new(State::Waiting as u8),
            is_stopped: AtomicBool::new(false),
            stopped: Notify::new(),
            meter: Meter::new(Arc::clone(queries.pool())),
            queries,
        }
    }

    /// When it came.
    pub(in crate::http) fn began(&self) -> Instant {
        self.began
    }

    /// When its time is up.
    pub(in crate::http) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Counts what it takes.
    pub(in crate::http) fn meter(&self) -> &Meter {
        &self.meter
    }

    pub(in crate::http) fn set_state(&self, state: State) {
        self.state.store(state as u8, Relaxed);
    }

    /// Ends it: nobody wants its answer any more.
    pub(in crate::http) fn stop(&self) {
        self.is_stopped.store(true, Relaxed);
        self.stopped.notify_waiters();
    }

    /// Whether somebody ended it.
    pub(in crate::http) fn is_stopped(&self) -> bool {
        self.is_stopped.load(Relaxed)
    }

    /// Ends it when its client has gone away.
    pub(super) async fn watch_client(&self) {
        match &self.asked.client {
            Some(peer) => peer.client.gone().await,
            None => std::future::pending().await,
        }
        self.stop();
    }

    /// Waits until somebody ends it.
    pub(super) async fn stopped(&self) {
        let stopped = self.stopped.notified();
        tokio::pin!(stopped);
        // Whoever ends it between the two looks is heard.
        stopped.as_mut().enable();
        if !self.is_stopped() {
            stopped.await;
        }
    }

    /// Whether it is to end, and why.
    #[allow(clippy::disallowed_methods)] // the edge: deadlines
    pub(in crate::http) fn interrupt(&self) -> Option<Stop> {
        match self.is_stopped() {
            true => Some(Stop::Canceled),
            false => (Instant::now() >= self.deadline).then_some(Stop::Timeout),
        }
    }

    /// Counts how it ended. Look-ups of series are no queries there.
    pub(in crate::http) fn ended(&self, result: QueryResult) {
        if !self.asked.is_query() {
            return;
        }
        let (took, stats) = (self.began.elapsed(), self.meter.stats());
        let metrics = &self.queries.metrics;
        metrics.queries[result].inc();
        metrics.query_duration.observe(took.as_secs_f64());
        metrics.query_samples.inc_by(stats.samples_read);
        let range = self.asked.steps.map_or(Duration::ZERO, Steps::range);
        let ended = self.began + took;
        let taken = Taken { time: took, samples: stats.samples_read, bytes_peak: stats.bytes_peak };
        self.queries.top.lock().add(ended, Arc::clone(&self.asked.text), range, taken);
    }

    /// Its id, by which it can be canceled.
    pub(super) fn id(&self) -> String {
        format!("{:x}", self.number)
    }

    pub(super) fn json(&self) -> Value {
        let Asked { kind, text: query, steps, client, timeout } = &self.asked;
        let Stats { series_read, samples_read, bytes_held, bytes_peak, .. } = self.meter.stats();
        let seconds = |nanos: i64| {
            let mut out = Vec::new();
            text::time(&mut out, nanos);
            serde_json::from_slice::<Value>(&out).unwrap_or(Value::Null)
        };
        json!({
            "id": self.id(),
            "query": **query,
            "kind": kind,
            "state": State::text(self.state.load(Relaxed)),
            "start": steps.map(|steps| seconds(steps.start)),
            "end": steps.map(|steps| seconds(steps.end)),
            "step": steps.map(|steps| Duration::from_nanos(steps.step.unsigned_abs()).as_secs_f64()),
            "client": client.as_ref().map(|peer| peer.address.to_string()),
            "elapsed": self.began.elapsed().as_secs_f64(),
            "timeout": timeout.as_secs_f64(),
            "series": series_read,
            "samples": samples_read,
            "bytes": bytes_held,
            "bytesPeak": bytes_peak,
            "canceled": self.is_stopped(),
        })
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.queries.listed.lock().remove(&self.number);
    }
}
