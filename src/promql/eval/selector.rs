//! Leaves: what selectors read.

use crate::{
    model::{Matcher, TimeRange},
    promql::{
        ast::{RangeExtension, VectorSelector},
        eval::{
            Eval, Result,
            duration::Shift,
            series::{ABSENT, Points, Row, Sink, is_present},
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
        let mut points = Points::absent(steps.count);
        self.read(matchers, latest.range(ahead), &mut |series| {
            match pick {
                Pick::Value => latest.values(&series, &mut points.floats),
                Pick::Smoothed => latest.smooth(&series, &mut points.floats),
                Pick::Time => latest.times(&series.times, &series, &mut points.floats),
                Pick::Start => latest.times(&series.starts, &series, &mut points.floats),
            }
            if !points.is_empty() {
                self.note_latest(steps, &points.floats);
                sink(Row { labels: series.labels, drop_name: false, points: &mut points })?;
                points.histograms.clear();
            }
            Ok(())
        })
    }

    /// Reads the series of a selector one by one, at most until time is up.
    pub(crate) fn read(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        use_series: &mut dyn FnMut(Series) -> Result<()>,
    ) -> Result<()> {
        let patience = self.patience();
        patience.check()?;
        for series in self.source.select(matchers, range)? {
            let series = series?;
            self.meter.read(series.times.len());
            let _held = self.hold(series.times.len())?;
            patience.spend(series.times.len() + 64)?;
            use_series(series)?;
        }
        Ok(())
    }
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
        let last = self.shift.apply(self.steps.end());
        TimeRange {
            start: first.saturating_sub(self.lookback).saturating_add(1),
            end: last.saturating_add(ahead).saturating_add(1),
        }
    }

    /// Visits, for each step, its time and the number of samples up to then; the samples are passed over once.
    #[inline]
    fn visit(&self, times: &[i64], out: &mut [f64], mut value: impl FnMut(i64, usize) -> f64) {
        let mut passed = 0;
        for (step, out) in out.iter_mut().enumerate() {
            let time = self.shift.apply(self.steps.time(step));
            while passed < times.len() && times[passed] <= time {
                passed += 1;
            }
            *out = match passed {
                0 => ABSENT,
                _ if times[passed - 1] <= time.saturating_sub(self.lookback) => ABSENT,
                _ => value(time, passed),
            };
        }
    }

    /// A stale marker's bits are those of an absent value, so it needs no look.
    fn values(&self, series: &Series, out: &mut [f64]) {
        self.visit(&series.times, out, |_, passed| series.values[passed - 1]);
    }

    /// One of `times` in place of each value; 0 where they have no time for it.
    fn times(&self, times: &[i64], series: &Series, out: &mut [f64]) {
        self.visit(&series.times, out, |_, passed| match series.values[passed - 1] {
            value if is_present(value) => seconds(times.get(passed - 1).copied().unwrap_or(0)),
            _ => ABSENT,
        });
    }

    /// Between the samples before and after a step, the value of the straight line through them.
    fn smooth(&self, series: &Series, out: &mut [f64]) {
        let (times, values) = (&series.times, &series.values);
        self.visit(times, out, |time, passed| {
            let value = values[passed - 1];
            match times.get(passed) {
                Some(&next) if times[passed - 1] < time && is_present(value) && is_present(values[passed]) => {
                    let share = (time - times[passed - 1]) as f64 / (next - times[passed - 1]) as f64;
                    value + (values[passed] - value) * share
                }
                _ => value,
            }
        });
    }
}
