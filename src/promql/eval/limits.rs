//! What a query may take, and when it is to end.

use std::cell::Cell;

use crate::{
    model::{Allowance, NANOS_PER_SECOND, Stopped, turns},
    promql::{
        Features,
        eval::{Error, Guard, Meter, Threads, Watch, error::Result},
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

/// Asked whether a query is to end, and why.
pub type Interrupt<'a> = &'a (dyn Fn() -> Option<Stop> + Sync);

/// How a query is evaluated, and what it may take. Times are nanoseconds.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// How old a sample may be and still be a series' value. At a step, samples in `(t − lookback, t]` count.
    pub lookback: i64,
    /// Distance of evaluations in a subquery that names none.
    pub subquery_step: i64,
    /// How many samples may be in memory at once.
    pub samples_max: u64,
    /// How many series may be read, each counted once for each selector that reads it.
    pub series_max: u64,
    /// How many bytes may be in memory at once.
    pub memory_max: u64,
    /// Which experimental parts change what a query means.
    pub features: Features,
    /// Threads that may help; without any, a query runs on the one it was called on.
    pub threads: Option<&'a Threads>,
    /// Asked often, from inner loops too, whether to go on.
    pub interrupt: Option<Interrupt<'a>>,
    /// Counts what is taken, for others to see meanwhile. What the answer holds stays counted with it.
    pub meter: Option<&'a Meter>,
    /// Told what is done, part by part.
    pub watch: Option<&'a dyn Watch>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            lookback: 300 * NANOS_PER_SECOND,
            subquery_step: 60 * NANOS_PER_SECOND,
            samples_max: 50_000_000,
            series_max: u64::MAX,
            memory_max: u64::MAX,
            features: Features::default(),
            threads: None,
            interrupt: None,
            meter: None,
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
            .field("series_max", &self.series_max)
            .field("memory_max", &self.memory_max)
            .field("features", &self.features)
            .finish_non_exhaustive()
    }
}

/// Asks every so many samples whether to go on.
pub(crate) struct Patience<'a> {
    guard: Guard<'a>,
    work: Cell<usize>,
}

impl<'a> Patience<'a> {
    /// Samples of work between two questions: some ten microseconds.
    pub(crate) const WORK: usize = turns::TURN;
    /// What a look at a series costs beside its samples, in samples: its labels are made, compared, or looked up.
    pub(crate) const SERIES: usize = 256;

    pub(crate) fn new(guard: Guard<'a>) -> Self {
        Self { guard, work: Cell::new(0) }
    }

    /// Notes work done on so many samples; fails when it is time to stop.
    #[inline]
    pub(crate) fn spend(&self, samples: usize) -> Result<()> {
        let work = self.work.get().saturating_add(samples);
        if work < Self::WORK {
            self.work.set(work);
            return Ok(());
        }
        self.work.set(0);
        self.check()
    }

    /// Items in turns, with a question before each; without any where one turn is all. Where it is time to stop the turns
    /// end early, and every later [`Patience::check`] fails: what was made of the items is worth nothing then.
    #[inline]
    pub(crate) fn turns<'t, T>(&'t self, items: &'t [T]) -> impl Iterator<Item = &'t [T]> {
        items.chunks(Self::WORK).take_while(|turn| items.len() <= Self::WORK || self.spend(turn.len()).is_ok())
    }

    /// A copy of items.
    pub(crate) fn copied<T: Copy>(&self, items: &[T]) -> Result<Vec<T>> {
        self.allowed(turns::mapped(items, &self.guard, |&item| item))
    }

    /// Each item of its turns.
    #[inline]
    pub(crate) fn each<'t, T: Copy>(&'t self, items: &'t [T], mut visit: impl FnMut(T)) {
        self.turns(items).for_each(|turn| turn.iter().for_each(|&item| visit(item)));
    }

    /// Notes work done on the labels of a series.
    #[inline]
    pub(crate) fn spend_series(&self) -> Result<()> {
        self.spend(Self::SERIES)
    }

    /// Whom to ask where there is no patience.
    pub(crate) fn allowance(&self) -> &dyn Allowance {
        &self.guard
    }

    /// What work came to that asked the allowance; fails where it was stopped.
    pub(crate) fn allowed<T>(&self, work: std::result::Result<T, Stopped>) -> Result<T> {
        work.map_err(|Stopped| self.guard.reason().unwrap_or(Error::Canceled))
    }

    /// Fails when it is time to stop.
    pub(crate) fn check(&self) -> Result<()> {
        self.guard.reason().map_or(Ok(()), Err)
    }
}
