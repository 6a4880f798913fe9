//! Reading what selectors select: on this thread, or on several with the results in the same order.

use crate::{
    model::{Matcher, TimeRange},
    promql::eval::{
        Eval, Held, Patience, Result,
        threads::{Loan, in_order},
    },
    select::{Batch, Request, Series},
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
    /// Points that are made of a series.
    pub width: usize,
    /// See [`Request::digestible`].
    pub digestible: Option<&'m dyn Fn(i64, i64) -> bool>,
}

/// Makes something of a series, with scratch that is kept from one to the next.
type Make<'m, S, T> = dyn Fn(&mut S, &Patience<'_>, Series) -> Result<Option<T>> + Sync + 'm;

impl Eval<'_> {
    /// Makes something of each selected series, with scratch of the thread's own, and hands that on, always in the same order.
    /// At most until time is up.
    pub(super) fn read<S: Default, T: Send>(
        &self,
        reading: Reading<'_>,
        make: &Make<'_, S, T>,
        sink: &mut dyn FnMut(T) -> Result<()>,
    ) -> Result<()> {
        self.patience().check()?;
        let series_max = (POINTS_MAX / reading.width.max(1)).max(1);
        let Reading { matchers, range, digestible, .. } = reading;
        let batches = self.source.batches(&Request { matchers, range, series_max, digestible })?;
        let loan = self.options.threads.map(|threads| threads.lend(batches.len().saturating_sub(1)));
        match loan {
            Some(Loan { count: helpers @ 1.., .. }) => {
                let work = |batch| -> Result<(Vec<T>, Held<'_>)> {
                    let (mut made, mut held) = (Vec::new(), self.hold(0)?);
                    self.read_batch(batch, &mut S::default(), make, &mut |thing| {
                        held.grow(reading.width, self.options.samples_max)?;
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
        let patience = self.patience();
        for series in batch {
            let series = series?;
            let digested: u64 = series.digests.iter().map(|digest| u64::from(digest.of.count)).sum();
            self.meter.read(series.times.len() as u64 + digested);
            let _held = self.hold(series.times.len())?;
            patience.spend(series.times.len() + 64)?;
            if let Some(thing) = make(scratch, &patience, series)? {
                sink(thing)?;
            }
        }
        Ok(())
    }
}
