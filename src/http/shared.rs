//! What all requests share, and what they ask of it.

use std::{
    num::NonZero,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use hyper::header::HeaderValue;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};

use crate::{
    engine::Engine,
    http::{
        Options,
        error::Error,
        prometheus,
        queries::{Asked, Entry, Limits, Queries, Ticket},
        traffic::Traffic,
    },
    ingest::Ingest,
    metrics::Metrics,
    model::{Allowance, Stopped},
    promql::{self, Guard, Threads},
    select::View,
};

/// What InfluxDB clients are told they speak to: the last version whose two write APIs we follow.
pub(super) const INFLUX_VERSION: &str = "1.8.10";

/// What all requests share.
pub struct Shared {
    pub(super) options: Options,
    pub(super) metrics: Arc<Metrics>,
    pub(super) engine: Arc<Engine>,
    pub(super) ingest: Arc<Ingest>,
    /// Unix nanoseconds of the start.
    pub(super) started: i64,
    writes: Arc<Semaphore>,
    writes_size: AtomicU64,
    pub(super) queries: Arc<Queries>,
    /// Threads that queries may take beside their own.
    pub(super) threads: Threads,
    request_id: AtomicU64,
    pub(super) traffic: Traffic,
}

impl Shared {
    /// What requests will share; `now` is the start, in Unix nanoseconds.
    pub fn new(
        options: Options,
        metrics: Arc<Metrics>,
        engine: Arc<Engine>,
        ingest: Arc<Ingest>,
        now: i64,
    ) -> Arc<Self> {
        let limits = Limits {
            running_max: options.queries_max,
            waiting_max: options.queue_max,
            wait_max: options.queue_wait,
            memory_max: options.queries_memory_max,
        };
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        metrics.build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Arc::new(Self {
            writes: Arc::new(Semaphore::new(options.writes_max)),
            writes_size: AtomicU64::new(0),
            queries: Queries::new(limits, Arc::clone(&metrics)),
            threads: Threads::new(cores.saturating_sub(1)),
            request_id: AtomicU64::new(fastrand::u64(..)),
            traffic: Traffic::new(Arc::clone(&metrics)),
            started: now,
            options,
            metrics,
            engine,
            ingest,
        })
    }

    /// A turn for a query, waited for in line; what was recovered is there then, or takes long.
    pub(super) async fn enter(&self, asked: Asked) -> Result<Ticket, Error> {
        let ticket = self.queries.enter(asked).await?;
        self.replayed().await;
        Ok(ticket)
    }

    /// Looks something up on a view of what is visible now, on a thread of its own where that may take long; it is listed
    /// and limited as queries are. The entry is for the answer's body.
    pub(super) async fn look_up<T: Send + 'static>(
        self: &Arc<Self>,
        asked: Asked,
        weight: Weight,
        work: impl FnOnce(&View, &dyn Allowance) -> Result<T, Stopped> + Send + 'static,
    ) -> Result<(T, Arc<Entry>), Error> {
        let ticket = self.enter(asked).await?;
        let (server, entry) = (Arc::clone(self), Arc::clone(ticket.entry()));
        let work = move |entry: &Entry| {
            let interrupt = || entry.interrupt();
            let options = &server.options;
            let guard = Guard {
                meter: entry.meter(),
                samples_max: options.query_samples_max,
                series_max: options.query_series_max,
                memory_max: options.query_memory_max,
                interrupt: Some(&interrupt),
            };
            let stopped = |Stopped| guard.reason().unwrap_or(promql::Error::Canceled);
            work(&View::new(&server.engine), &guard).map_err(stopped)
        };
        let found = match weight {
            Weight::Light => ticket.run_here(work),
            Weight::Heavy => ticket.run(work).await,
        };
        Ok((found.map_err(prometheus::failed)?, entry))
    }

    /// Waits for what was recovered to be seen: a moment, mostly. Where there is much of it, only so long.
    async fn replayed(&self) {
        const LOOK: Duration = Duration::from_millis(2);
        let looks = self.options.replay_wait.as_nanos() / LOOK.as_nanos();
        for _ in 0..looks {
            if self.engine.is_replayed() {
                return;
            }
            sleep(LOOK).await;
        }
    }

    /// What keeps the server from doing its work, if anything does: writes have stopped, or flushes fail.
    pub(super) fn problem(&self) -> Option<String> {
        self.engine.problem()
    }

    /// A place among the writes in progress.
    pub(super) fn admit_write(self: &Arc<Self>) -> Result<WritePlace, Error> {
        let seat = Arc::clone(&self.writes).try_acquire_owned();
        let seat = seat.map_err(|_| self.overloaded(&format!("{} writes", self.options.writes_max)))?;
        Ok(WritePlace { server: Arc::clone(self), size: 0, _seat: seat })
    }

    fn overloaded(&self, limit: &str) -> Error {
        self.metrics.overload.inc();
        Error::overloaded(format!("{limit} are in progress already"), 1)
    }

    pub(super) fn next_request_id(&self) -> HeaderValue {
        // An odd factor spreads neighbours and keeps all 2^64 values apart.
        let id = self.request_id.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        HeaderValue::from_str(&format!("{id:016x}")).expect("hexadecimal digits are a valid header")
    }
}

/// How much work a look-up may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// A fraction of a millisecond at most.
    Light,
    /// Anything.
    Heavy,
}

/// A write's share of what may be in progress; given back when it goes.
pub(super) struct WritePlace {
    server: Arc<Shared>,
    size: u64,
    _seat: OwnedSemaphorePermit,
}

impl WritePlace {
    /// More bytes of it have come.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Error> {
        let (server, bytes) = (&self.server, bytes as u64);
        self.size += bytes;
        let all = server.writes_size.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let limit = server.options.writes_size_max;
        if all > limit { Err(server.overloaded(&format!("writes of {limit} bytes"))) } else { Ok(()) }
    }
}

impl Drop for WritePlace {
    fn drop(&mut self) {
        self.server.writes_size.fetch_sub(self.size, Ordering::Relaxed);
    }
}

/// Unix nanoseconds now.
#[allow(clippy::disallowed_methods)] // the edge: the time of lines that have none, and of queries
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
