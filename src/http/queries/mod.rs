//! Queries on their way: who waits, who runs, who is to end; and what was asked before.
//!
//! A query enters with [`Queries::enter`] and is listed from then on. It gets a seat at once, or waits for one in line: the
//! line has a length, and a wait an end. With its seat it runs on a thread of its own, asks there whether to go on, and gives
//! the seat back when it has its answer. One that takes next to nothing needs none ([`Queries::pass`]). It stays listed, and
//! its memory counted, until its client has that answer.
//!
//! Always: whoever waits longest is next; a query whose client went away, that was canceled or is out of time gives back its
//! seat within a few milliseconds.

mod entry;
pub(super) mod handlers;
mod top;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout_at,
};

pub(super) use entry::{Asked, Entry, Peer, State};

use crate::{
    http::error::{Error, Kind},
    metrics::{Metrics, QueryRejection, QueryResult},
    promql::Pool,
};
use top::Top;

/// What queries may take, of which there are many.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Queries that run at once.
    pub(super) running_max: usize,
    /// Queries that wait at once.
    pub(super) waiting_max: usize,
    /// The longest wait.
    pub(super) wait_max: Duration,
    /// Bytes that all of them may hold.
    pub(super) memory_max: u64,
}

/// All queries.
pub(super) struct Queries {
    limits: Limits,
    metrics: Arc<Metrics>,
    seats: Arc<Semaphore>,
    waiting: AtomicUsize,
    pool: Arc<Pool>,
    /// By number, so in the order of their coming.
    listed: Mutex<BTreeMap<u64, Weak<Entry>>>,
    next_number: AtomicU64,
    top: Mutex<Top>,
}

impl Queries {
    pub(super) fn new(limits: Limits, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            limits,
            metrics,
            seats: Arc::new(Semaphore::new(limits.running_max)),
            waiting: AtomicUsize::new(0),
            pool: Arc::new(Pool::new(limits.memory_max)),
            listed: Mutex::default(),
            // So that an id of an earlier start is nobody's now.
            next_number: AtomicU64::new(fastrand::u64(..1 << 48)),
            top: Mutex::default(),
        })
    }

    /// Lists a query and waits for its turn.
    pub(super) async fn enter(self: &Arc<Self>, asked: Asked) -> Result<Ticket, Error> {
        let entry = self.list(asked);
        // Where the client goes away while the query waits, this is all there is of it.
        let mut unended = Unended(Some(Arc::clone(&entry)));
        let seat = self.seat(&entry).await;
        unended.0 = None;
        self.metrics.query_wait.observe(entry.began().elapsed().as_secs_f64());
        match seat {
            Ok(seat) => Ok(self.start(entry, Some(seat))),
            Err((result, error)) => {
                entry.ended(result);
                Err(error)
            }
        }
    }

    /// Lists a query that takes next to nothing, and lets it pass those that wait: it needs no seat.
    pub(in crate::http) fn pass(self: &Arc<Self>, asked: Asked) -> Ticket {
        let entry = self.list(asked);
        self.metrics.query_wait.observe(entry.began().elapsed().as_secs_f64());
        self.start(entry, None)
    }

    fn start(self: &Arc<Self>, entry: Arc<Entry>, permit: Option<OwnedSemaphorePermit>) -> Ticket {
        entry.set_state(State::Running);
        self.metrics.queries_running.inc();
        Ticket { seat: Seat { queries: Arc::clone(self), _permit: permit }, entry }
    }

    #[allow(clippy::disallowed_methods)] // the edge: when a query came
    fn list(self: &Arc<Self>, asked: Asked) -> Arc<Entry> {
        let number = self.next_number.fetch_add(1, Relaxed);
        let entry = Arc::new(Entry::new(number, asked, Instant::now(), Arc::clone(self)));
        self.listed.lock().insert(number, Arc::downgrade(&entry));
        entry
    }

    /// A seat, at once or after a wait.
    async fn seat(&self, entry: &Entry) -> Result<OwnedSemaphorePermit, (QueryResult, Error)> {
        // Seats that others wait for are never free: they are handed over.
        if let Ok(seat) = Arc::clone(&self.seats).try_acquire_owned() {
            return Ok(seat);
        }
        let Some(_waiting) = Waiting::new(self) else {
            let text = format!("{} queries are waiting for their turn already", self.limits.waiting_max);
            return Err(self.rejected(QueryRejection::QueueFull, text));
        };
        let last = entry.began().checked_add(self.limits.wait_max);
        let until = last.map_or(entry.deadline(), |last| last.min(entry.deadline()));
        let canceled = || (QueryResult::Canceled, Error::new(Kind::Canceled, "query was canceled in query queue"));
        let seat = tokio::select! {
            biased;
            () = entry.stopped() => return Err(canceled()),
            () = entry.watch_client() => return Err(canceled()),
            seat = timeout_at(until.into(), Arc::clone(&self.seats).acquire_owned()) => seat,
        };
        match seat {
            Ok(seat) => Ok(seat.expect("the semaphore is never closed")),
            Err(_) if until == entry.deadline() => {
                Err((QueryResult::Timeout, Error::new(Kind::Timeout, "query timed out in query queue")))
            }
            Err(_) => {
                let (wait, running) = (self.limits.wait_max, self.limits.running_max);
                let still = "are running still";
                let text = format!(
                    "the query waited {wait:?} for its turn, and as many as may run at once, {running}, {still}"
                );
                Err(self.rejected(QueryRejection::QueueWait, text))
            }
        }
    }

    fn rejected(&self, reason: QueryRejection, text: String) -> (QueryResult, Error) {
        self.metrics.queries_rejected[reason].inc();
        (QueryResult::Rejected, Error::overloaded(text, 1))
    }

    /// Those that are listed, in the order of their coming.
    fn entries(&self) -> Vec<Arc<Entry>> {
        self.listed.lock().values().filter_map(Weak::upgrade).collect()
    }

    /// Where the memory of queries is counted.
    pub(super) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Brings those metrics up to date that are not counted one by one.
    pub(super) fn refresh_metrics(&self) {
        self.metrics.query_memory.set(i64::try_from(self.pool.held()).unwrap_or(i64::MAX));
    }
}

/// A place in the line.
struct Waiting<'q>(&'q Queries);

impl<'q> Waiting<'q> {
    /// `None` where the line is as long as it may be.
    fn new(queries: &'q Queries) -> Option<Self> {
        let more = |waiting| (waiting < queries.limits.waiting_max).then_some(waiting + 1);
        queries.waiting.fetch_update(Relaxed, Relaxed, more).ok()?;
        queries.metrics.queries_waiting.inc();
        Some(Self(queries))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
        self.0.metrics.queries_waiting.dec();
    }
}

/// The right to run.
struct Seat {
    queries: Arc<Queries>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.queries.metrics.queries_running.dec();
    }
}

/// A query that has its turn.
pub(super) struct Ticket {
    seat: Seat,
    entry: Arc<Entry>,
}

impl Ticket {
    /// The query.
    pub(super) fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }

    /// Runs work on a thread of its own, which asks the entry whether to go on; the seat is free again when it is done. Where
    /// the client goes away meanwhile, the work is told to stop.
    pub(super) async fn run<T: Send + 'static>(self, work: impl FnOnce(&Entry) -> T + Send + 'static) -> T {
        let Self { seat, entry } = self;
        let mut unended = StopOnDrop(Some(Arc::clone(&entry)));
        let watched = Arc::clone(&entry);
        let mut done = tokio::task::spawn_blocking(move || {
            let _seat = seat;
            work(&entry)
        });
        let done = tokio::select! {
            biased;
            done = &mut done => done,
            () = watched.watch_client() => done.await,
        };
        // A panic over there is a panic here, where it becomes this request's 500.
        let done = done.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        unended.0 = None;
        done
    }

    /// Runs work here and now: for what takes less than the way to another thread and back, some 30 µs, or little more.
    pub(super) fn run_here<T>(self, work: impl FnOnce(&Entry) -> T) -> T {
        work(&self.entry)
    }
}

/// Says that nobody waits any more: a request's future is dropped when its client goes away.
struct StopOnDrop(Option<Arc<Entry>>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        if let Some(entry) = self.0.take() {
            entry.stop();
        }
    }
}

/// Counts a query whose client went away before its turn.
struct Unended(Option<Arc<Entry>>);

impl Drop for Unended {
    fn drop(&mut self) {
        if let Some(entry) = self.0.take() {
            entry.ended(QueryResult::Canceled);
        }
    }
}
