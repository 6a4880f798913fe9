//! Reading what selectors select: on this thread, or on several with the results in the same order.

use crate::{
    model::{Matcher, TimeRange},
    promql::eval::{
        Error, Eval, Held, Patience, Result,
        threads::{Loan, in_order},
    },
    select::{self, Batch, Request, Series},
};

/// Points of one batch's results that may wait for their turn: 2 MiB.
const POINTS_MAX: usize = 256 << 10;

/// What to read.
#[derive(Clone, Copy)]
pub(super) struct Reading<'m> {
    /// Which series.
    pub matchers: &'m [Matcher],
    /// Which of their samples.
    pub range: TimeRange,
    /// Points that are made of a series, to have as many in each batch as may wait.
    pub width: usize,
    /// See [`Request::digestible`].
    pub digestible: Option<&'m dyn Fn(i64, i64) -> bool>,
}

/// What is made of a series, and waits for its turn.
pub(super) trait Made: Send {
    /// Samples in it, and bytes it takes.
    fn size(&self) -> (usize, usize);
}

/// Makes something of a series, with scratch that is kept from one to the next.
type Make<'m, S, T> = dyn Fn(&mut S, &Patience<'_>, Series) -> Result<Option<T>> + Sync + 'm;

impl Eval<'_> {
    /// Makes something of each selected series, with scratch of the thread's own, and hands that on, always in the same order.
    /// At most until time is up.
    pub(super) fn read<S: Default, T: Made>(
        &self,
        reading: Reading<'_>,
        make: &Make<'_, S, T>,
        sink: &mut dyn FnMut(T) -> Result<()>,
    ) -> Result<()> {
        self.patience().check()?;
        let guard = &self.guard;
        let series_max = (POINTS_MAX / reading.width.max(1)).max(1);
        let Reading { matchers, range, digestible, .. } = reading;
        let batches = self.source.batches(&Request { matchers, range, series_max, digestible, allowance: guard });
        let batches = batches.map_err(|error| self.failed(error))?;
        let loan = self.options.threads.map(|threads| threads.lend(batches.len().saturating_sub(1)));
        match loan {
            Some(Loan { count: helpers @ 1.., .. }) => {
                let work = |batch| -> Result<(Vec<T>, Held<'_>)> {
                    let (mut made, mut held) = (Vec::new(), self.held());
                    self.read_batch(batch, &mut S::default(), make, &mut |thing| {
                        let (samples, bytes) = thing.size();
                        held.grow(samples, bytes)?;
                        made.push(thing);
                        Ok(())
                    })?;
                    Ok((made, held))
                };
                in_order(batches, helpers, &work, |made| made?.0.into_iter().try_for_each(&mut *sink))
            }
            _ => {
                let mut scratch = S::default();
                batches.into_iter().try_for_each(|batch| self.read_batch(batch, &mut scratch, make, sink))
            }
        }
    }

    fn read_batch<S, T>(
        &self,
        batch: Batch<'_>,
        scratch: &mut S,
        make: &Make<'_, S, T>,
        sink: &mut dyn FnMut(T) -> Result<()>,
    ) -> Result<()> {
        let (patience, mut held) = (self.patience(), self.held());
        for series in batch {
            let series = series.map_err(|error| self.failed(error))?;
            let digested: u64 = series.digests.iter().map(|digest| u64::from(digest.of.count)).sum();
            self.guard.read(series.times.len() as u64 + digested)?;
            held.set(series.times.len(), series.size())?;
            patience.spend(series.times.len() + Patience::SERIES)?;
            if let Some(thing) = make(scratch, &patience, series)? {
                sink(thing)?;
            }
        }
        Ok(())
    }

    /// What the source's failure is for the query.
    fn failed(&self, error: select::Error) -> Error {
        match error {
            select::Error::Stopped => self.guard.reason().unwrap_or(Error::Canceled),
            error => Error::Storage(error),
        }
    }
}
