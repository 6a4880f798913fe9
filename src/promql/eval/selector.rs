//! Leaves: what selectors read.

use std::sync::Arc;

use crate::{
    model::{Labels, Matcher, TimeRange, sort_copies_by, turns},
    promql::{
        ast::{RangeExtension, VectorSelector},
        eval::{
            Eval, Patience, Result,
            duration::Shift,
            points::Points,
            read::{Made, Reading},
            series::{ABSENT, Row, Sink, TURN, column, is_present, passed},
            steps::{Steps, seconds},
        },
    },
    select::Series,
};

/// What an instant selector gives of the sample it finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pick {
    /// Its value.
    Value,
    /// The value of the straight line from it to the next one, if there is one within the lookback.
    Smoothed,
    /// Its time, in Unix seconds.
    Time,
    /// Its start timestamp, in Unix seconds; 0 where it has none.
    Start,
}

impl Eval<'_> {
    /// Hands each series of an instant selector to `sink`: at each step the newest sample in `(t − lookback, t]`, unless it is
    /// a stale marker.
    pub(crate) fn stream_latest(
        &self,
        selector: &VectorSelector,
        steps: Steps,
        pick: Pick,
        sink: &mut Sink<'_>,
    ) -> Result<()> {
        let pick = match selector.extension {
            Some(RangeExtension::Smoothed) if pick == Pick::Value => Pick::Smoothed,
            _ => pick,
        };
        self.stream_picked(&selector.matchers, self.shift(&selector.at)?, steps, pick, sink)
    }

    /// As [`Self::stream_latest`], from matchers.
    pub(crate) fn stream_picked(
        &self,
        matchers: &[Matcher],
        shift: Shift,
        steps: Steps,
        pick: Pick,
        sink: &mut Sink<'_>,
    ) -> Result<()> {
        let latest = Latest { steps, shift, lookback: self.options.lookback };
        let ahead = if pick == Pick::Smoothed { self.options.lookback } else { 0 };
        let make = |passed: &mut Passed, patience: &Patience<'_>, mut series: Series| {
            take_last_of_digests(&mut series, patience)?;
            let mut floats = self.absent(steps.count, patience)?;
            latest.fill(&series, pick, passed, patience, &mut floats)?;
            self.note_latest(steps, &floats);
            let points = Points::of(floats, patience)?;
            Ok((!points.is_empty()).then_some((series.labels, points)))
        };
        // Of samples between which no step falls only the last one can be the newest.
        let digestible = |first, last| !shift.looks_between(steps, first, last);
        let digestible: Option<&dyn Fn(i64, i64) -> bool> = match pick {
            Pick::Value | Pick::Time => Some(&digestible),
            Pick::Smoothed | Pick::Start => None,
        };
        let reading = Reading { matchers, range: latest.range(ahead), width: steps.count, digestible };
        self.read(reading, &make, &mut |(labels, mut points)| {
            sink(Row { labels, drop_name: false, points: &mut points })
        })
    }
}

/// A series' labels and column.
impl Made for (Labels, Points) {
    fn size(&self) -> (usize, usize) {
        (self.1.count(), size_of::<Self>() + self.0.size() + self.1.size())
    }
}

/// Makes samples of the last ones of stretches that were told as a whole.
fn take_last_of_digests(series: &mut Series, patience: &Patience<'_>) -> Result<()> {
    if series.digests.is_empty() {
        return Ok(());
    }
    let digests = std::mem::take(&mut series.digests).into_iter().map(|digest| (digest.last_time, digest.of.last));
    let (times, values) = (&series.times, &series.values);
    let mut samples = column(times.len(), patience, |index| (times[index], values[index]))?;
    samples.extend(digests);
    sort_copies_by(&mut samples, |a, b| a.0.cmp(&b.0), |looks| patience.spend(looks))?;
    series.times = column(samples.len(), patience, |index| samples[index].0)?.into();
    series.values = column(samples.len(), patience, |index| samples[index].1)?;
    Ok(())
}

/// An instant selector's way through the samples of a series.
struct Latest {
    steps: Steps,
    shift: Shift,
    lookback: i64,
}

impl Latest {
    /// The time it needs, with some more behind the last step.
    fn range(&self, ahead: i64) -> TimeRange {
        let first = self.shift.apply(self.steps.start);
        let last = self.shift.apply(self.steps.last());
        TimeRange {
            start: first.saturating_sub(self.lookback).saturating_add(1),
            end: last.saturating_add(ahead).saturating_add(1),
        }
    }

    /// Fills a series' column.
    fn fill(
        &self,
        series: &Series,
        pick: Pick,
        passed: &mut Passed,
        patience: &Patience<'_>,
        out: &mut [f64],
    ) -> Result<()> {
        let passed = passed.at(self, &series.times, patience)?;
        let (times, values) = (&series.times, &series.values);
        match pick {
            // A stale marker's bits are those of an absent value, so it needs no look.
            Pick::Value => self.visit(times, passed, patience, out, |_, passed| values[passed - 1]),
            Pick::Smoothed => self.visit(times, passed, patience, out, |time, passed| smoothed(series, time, passed)),
            Pick::Time => self.visit(times, passed, patience, out, |_, passed| in_place_of(values, times, passed)),
            Pick::Start => {
                self.visit(times, passed, patience, out, |_, passed| in_place_of(values, &series.starts, passed))
            }
        }
    }

    /// Visits, for each step, its time and the number of samples up to then.
    #[inline]
    fn visit(
        &self,
        times: &[i64],
        passed: &[u32],
        patience: &Patience<'_>,
        out: &mut [f64],
        mut value: impl FnMut(i64, usize) -> f64,
    ) -> Result<()> {
        for (turn, (outs, passed)) in out.chunks_mut(TURN).zip(passed.chunks(TURN)).enumerate() {
            patience.spend(outs.len())?;
            for (place, (out, &passed)) in outs.iter_mut().zip(passed).enumerate() {
                let time = self.shift.apply(self.steps.time(turn * TURN + place));
                let passed = passed as usize;
                *out = match passed {
                    0 => ABSENT,
                    _ if times[passed - 1] <= time.saturating_sub(self.lookback) => ABSENT,
                    _ => value(time, passed),
                };
            }
        }
        Ok(())
    }
}

/// Between the samples before and after a time, the value of the straight line through them.
fn smoothed(series: &Series, time: i64, passed: usize) -> f64 {
    let (times, values) = (&series.times, &series.values);
    let value = values[passed - 1];
    match times.get(passed) {
        Some(&next) if times[passed - 1] < time && is_present(value) && is_present(values[passed]) => {
            let share = (time - times[passed - 1]) as f64 / (next - times[passed - 1]) as f64;
            value + (values[passed] - value) * share
        }
        _ => value,
    }
}

/// One of `times`, in seconds, in place of the value; 0 where they have no time for it.
fn in_place_of(values: &[f64], times: &[i64], passed: usize) -> f64 {
    match values[passed - 1] {
        value if is_present(value) => seconds(times.get(passed - 1).copied().unwrap_or(0)),
        _ => ABSENT,
    }
}

/// How many samples there are up to each step: kept from series to series, as most have the same times.
#[derive(Default)]
struct Passed {
    times: Option<Arc<Vec<i64>>>,
    counts: Vec<u32>,
}

impl Passed {
    fn at(&mut self, latest: &Latest, times: &Arc<Vec<i64>>, patience: &Patience<'_>) -> Result<&[u32]> {
        if !self.times.as_ref().is_some_and(|known| Arc::ptr_eq(known, times)) {
            // Known once they are all there.
            self.times = None;
            self.counts.clear();
            patience.allowed(turns::reserve(&mut self.counts, latest.steps.count, patience.allowance()))?;
            let mut count = 0;
            while self.counts.len() < latest.steps.count {
                let first = self.counts.len();
                let turn = first..latest.steps.count.min(first + TURN);
                patience.spend(turn.len())?;
                self.counts.extend(turn.map(|step| {
                    let time = latest.shift.apply(latest.steps.time(step));
                    count += passed(&times[count..], time);
                    count as u32
                }));
            }
            self.times = Some(Arc::clone(times));
        }
        Ok(&self.counts)
    }
}
