//! What a query takes, counted while it runs: series, samples, and bytes.
//!
//! Bytes are those of what a query holds from one step of its work to the next: columns, labels, groups, series on their way
//! between threads, decoded blocks, the result. What one loop makes and drops is not counted.

use std::sync::{
    Arc,
    atomic::{AtomicU8, AtomicU64, Ordering::Relaxed},
};

use crate::{
    model::{Allowance, Holding},
    promql::eval::{Error, Stop, error::Result, limits::Interrupt},
};

/// What a query took so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Series read from the source, once for each selector that read it.
    pub series_read: u64,
    /// Their samples.
    pub samples_read: u64,
    /// The most samples that were in memory at once.
    pub samples_peak: u64,
    /// Bytes held now.
    pub bytes_held: u64,
    /// The most bytes that were held at once.
    pub bytes_peak: u64,
}

/// The memory that all queries together may hold.
#[derive(Debug)]
pub struct Pool {
    held: AtomicU64,
    max: u64,
}

impl Pool {
    /// So many bytes.
    pub fn new(max: u64) -> Self {
        Self { held: AtomicU64::new(0), max }
    }

    /// Bytes held now.
    pub fn held(&self) -> u64 {
        self.held.load(Relaxed)
    }
}

/// A limit that a query ran into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limit {
    Samples = 1,
    Series,
    Memory,
    Pool,
}

/// Counts what a query takes. Bytes that are still counted when it goes are given back to the pool then.
#[derive(Debug, Default)]
pub struct Meter {
    pool: Option<Arc<Pool>>,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    series_read: AtomicU64,
    samples_read: AtomicU64,
    samples_held: AtomicU64,
    samples_peak: AtomicU64,
    bytes_held: AtomicU64,
    bytes_peak: AtomicU64,
    /// The limit it ran into first, as a number; 0 for none.
    broken: AtomicU8,
}

impl Meter {
    /// Nothing so far; bytes come from `pool`.
    pub fn new(pool: Arc<Pool>) -> Self {
        Self { pool: Some(pool), counts: Counts::default() }
    }

    /// What was taken so far.
    pub fn stats(&self) -> Stats {
        Stats {
            series_read: self.counts.series_read.load(Relaxed),
            samples_read: self.counts.samples_read.load(Relaxed),
            samples_peak: self.counts.samples_peak.load(Relaxed),
            bytes_held: self.counts.bytes_held.load(Relaxed),
            bytes_peak: self.counts.bytes_peak.load(Relaxed),
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Some(pool) = &self.pool {
            pool.held.fetch_sub(*self.counts.bytes_held.get_mut(), Relaxed);
        }
    }
}

/// Watches over one query: notes what it takes, and ends it at its limits and on request. Every thread of the query sees that
/// it has ended.
#[derive(Clone, Copy)]
pub struct Guard<'a> {
    /// Where it is noted.
    pub meter: &'a Meter,
    /// See [`super::Options::samples_max`].
    pub samples_max: u64,
    /// See [`super::Options::series_max`].
    pub series_max: u64,
    /// See [`super::Options::memory_max`].
    pub memory_max: u64,
    /// See [`super::Options::interrupt`].
    pub interrupt: Option<Interrupt<'a>>,
}

impl<'a> Guard<'a> {
    /// Why the query is to end, if it is.
    pub fn reason(&self) -> Option<Error> {
        match self.interrupt.and_then(|interrupt| interrupt()) {
            Some(Stop::Timeout) => return Some(Error::Timeout),
            Some(Stop::Canceled) => return Some(Error::Canceled),
            None => {}
        }
        let broken = self.meter.counts.broken.load(Relaxed);
        let limit = [Limit::Samples, Limit::Series, Limit::Memory, Limit::Pool]
            .into_iter()
            .find(|&limit| limit as u8 == broken)?;
        Some(match limit {
            Limit::Samples => {
                Error::execution("query processing would load too many samples into memory in query execution")
            }
            Limit::Series => Error::execution(format!(
                "query processing would read more than {} series in query execution",
                self.series_max
            )),
            Limit::Memory => Error::execution(format!(
                "query processing would take more than {} bytes of memory in query execution",
                self.memory_max
            )),
            Limit::Pool => Error::Overloaded(format!(
                "all queries together would take more than {} bytes of memory",
                self.meter.pool.as_ref().map_or(u64::MAX, |pool| pool.max)
            )),
        })
    }

    /// Notes a series read from the source and its samples; fails where it is one too many.
    pub(crate) fn read(&self, samples: u64) -> Result<()> {
        let read = self.meter.counts.series_read.fetch_add(1, Relaxed) + 1;
        self.meter.counts.samples_read.fetch_add(samples, Relaxed);
        if read > self.series_max { self.end(Limit::Series) } else { Ok(()) }
    }

    /// Something to note what is held with, nothing yet.
    pub(crate) fn held(&'a self) -> Held<'a> {
        Held {
            guard: self,
            samples: HeldSamples { meter: self.meter, count: 0 },
            bytes: 0,
            holding: Holding::new(self),
        }
    }

    fn end(&self, limit: Limit) -> Result<()> {
        self.break_at(limit);
        Err(self.reason().expect("it is at its limit"))
    }

    fn break_at(&self, limit: Limit) {
        // The first one stands; the rest follows from it.
        let _ = self.meter.counts.broken.compare_exchange(0, limit as u8, Relaxed, Relaxed);
    }
}

impl Allowance for Guard<'_> {
    fn go_on(&self) -> bool {
        self.meter.counts.broken.load(Relaxed) == 0 && self.interrupt.is_none_or(|interrupt| interrupt().is_none())
    }

    fn take(&self, bytes: usize) -> bool {
        let (meter, bytes) = (self.meter, bytes as u64);
        let held = meter.counts.bytes_held.fetch_add(bytes, Relaxed) + bytes;
        meter.counts.bytes_peak.fetch_max(held, Relaxed);
        let is_pool_full =
            meter.pool.as_ref().is_some_and(|pool| pool.held.fetch_add(bytes, Relaxed) + bytes > pool.max);
        if held > self.memory_max {
            self.break_at(Limit::Memory);
        } else if is_pool_full {
            self.break_at(Limit::Pool);
        }
        held <= self.memory_max && !is_pool_full
    }

    fn give_back(&self, bytes: usize) {
        self.meter.counts.bytes_held.fetch_sub(bytes as u64, Relaxed);
        if let Some(pool) = &self.meter.pool {
            pool.held.fetch_sub(bytes as u64, Relaxed);
        }
    }
}

/// What a part of a query holds; given back when this goes.
pub(crate) struct Held<'g> {
    guard: &'g Guard<'g>,
    samples: HeldSamples<'g>,
    bytes: usize,
    holding: Holding<'g>,
}

struct HeldSamples<'g> {
    meter: &'g Meter,
    count: usize,
}

impl Drop for HeldSamples<'_> {
    fn drop(&mut self) {
        if self.count > 0 {
            self.meter.counts.samples_held.fetch_sub(self.count as u64, Relaxed);
        }
    }
}

impl Held<'_> {
    /// Takes more; fails beyond a limit.
    pub(crate) fn grow(&mut self, samples: usize, bytes: usize) -> Result<()> {
        self.set(self.samples.count + samples, self.bytes + bytes)
    }

    /// Gives some back.
    pub(crate) fn shrink(&mut self, samples: usize, bytes: usize) {
        let (samples, bytes) = (self.samples.count.saturating_sub(samples), self.bytes.saturating_sub(bytes));
        self.set(samples, bytes).expect("less was asked for than is held");
    }

    /// Holds this now, instead of what it held.
    pub(crate) fn set(&mut self, samples: usize, bytes: usize) -> Result<()> {
        let meter = self.guard.meter;
        let before = std::mem::replace(&mut self.samples.count, samples);
        if samples > before {
            let more = (samples - before) as u64;
            let held = meter.counts.samples_held.fetch_add(more, Relaxed) + more;
            meter.counts.samples_peak.fetch_max(held, Relaxed);
            if held > self.guard.samples_max {
                return self.guard.end(Limit::Samples);
            }
        } else if samples < before {
            meter.counts.samples_held.fetch_sub((before - samples) as u64, Relaxed);
        }
        self.bytes = bytes;
        self.holding.set(bytes).map_err(|_| self.guard.reason().expect("it is at a limit"))
    }

    /// Leaves its bytes counted until the meter goes: they are the answer's.
    pub(crate) fn leave(self) {
        self.holding.leave();
    }
}
