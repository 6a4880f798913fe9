//! What a query may take: memory in samples, and time.

use std::{
    cell::Cell,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use crate::{
    model::NANOS_PER_SECOND,
    promql::{
        Features,
        eval::{Error, Threads, Watch, error::Result},
    },
};

/// Why a query is to end early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Its deadline passed.
    Timeout,
    /// Nobody waits for it any more.
    Canceled,
}

/// How a query is evaluated, and what it may take. Times are nanoseconds.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// How old a sample may be and still be a series' value. At a step, samples in `(t − lookback, t]` count.
    pub lookback: i64,
    /// Distance of evaluations in a subquery that names none.
    pub subquery_step: i64,
    /// How many samples may be in memory at once.
    pub samples_max: u64,
    /// Which experimental parts change what a query means.
    pub features: Features,
    /// Threads that may help; without any, a query runs on the one it was called on.
    pub threads: Option<&'a Threads>,
    /// Asked often, from inner loops too, whether to go on.
    pub interrupt: Option<&'a (dyn Fn() -> Option<Stop> + Sync)>,
    /// Told what is done, part by part.
    pub watch: Option<&'a dyn Watch>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            lookback: 300 * NANOS_PER_SECOND,
            subquery_step: 60 * NANOS_PER_SECOND,
            samples_max: 50_000_000,
            features: Features::default(),
            threads: None,
            interrupt: None,
            watch: None,
        }
    }
}

impl std::fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("lookback", &self.lookback)
            .field("subquery_step", &self.subquery_step)
            .field("samples_max", &self.samples_max)
            .field("features", &self.features)
            .finish_non_exhaustive()
    }
}

/// What a query took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Series read from the source, once for each selector that read it.
    pub series_read: u64,
    /// Their samples.
    pub samples_read: u64,
    /// The most samples that were in memory at once.
    pub samples_peak: u64,
}

/// Counts what a query takes and ends it at the limit.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    series_read: AtomicU64,
    samples_read: AtomicU64,
    samples_held: AtomicU64,
    samples_peak: AtomicU64,
}

impl Meter {
    /// Counts a series read from the source and its samples.
    pub(crate) fn read(&self, samples: u64) {
        self.series_read.fetch_add(1, Relaxed);
        self.samples_read.fetch_add(samples, Relaxed);
    }

    /// Takes memory for samples until the guard goes; fails beyond `limit`.
    pub(crate) fn hold(&self, samples: usize, limit: u64) -> Result<Held<'_>> {
        let mut held = Held { meter: self, samples: 0 };
        held.grow(samples, limit)?;
        Ok(held)
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats {
            series_read: self.series_read.load(Relaxed),
            samples_read: self.samples_read.load(Relaxed),
            samples_peak: self.samples_peak.load(Relaxed),
        }
    }
}

/// Memory taken for samples.
#[derive(Debug)]
pub(crate) struct Held<'m> {
    meter: &'m Meter,
    samples: u64,
}

impl Held<'_> {
    /// Takes more.
    pub(crate) fn grow(&mut self, samples: usize, limit: u64) -> Result<()> {
        let samples = samples as u64;
        let held = self.meter.samples_held.fetch_add(samples, Relaxed) + samples;
        self.samples += samples;
        self.meter.samples_peak.fetch_max(held, Relaxed);
        if held > limit {
            return Err(Error::execution(
                "query processing would load too many samples into memory in query execution",
            ));
        }
        Ok(())
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.meter.samples_held.fetch_sub(self.samples, Relaxed);
    }
}

/// Asks every so many samples whether to go on.
pub(crate) struct Patience<'a> {
    interrupt: Option<&'a (dyn Fn() -> Option<Stop> + Sync)>,
    work: Cell<usize>,
}

impl<'a> Patience<'a> {
    /// Samples of work between two questions: some ten microseconds.
    const WORK: usize = 16_384;

    pub(crate) fn new(options: &Options<'a>) -> Self {
        Self { interrupt: options.interrupt, work: Cell::new(0) }
    }

    /// Notes work done on so many samples; fails when it is time to stop.
    #[inline]
    pub(crate) fn spend(&self, samples: usize) -> Result<()> {
        let work = self.work.get() + samples;
        if work < Self::WORK {
            self.work.set(work);
            return Ok(());
        }
        self.work.set(0);
        self.check()
    }

    /// Fails when it is time to stop.
    pub(crate) fn check(&self) -> Result<()> {
        match self.interrupt.and_then(|interrupt| interrupt()) {
            None => Ok(()),
            Some(Stop::Timeout) => Err(Error::Timeout),
            Some(Stop::Canceled) => Err(Error::Canceled),
        }
    }
}
