//! What a query does, part by part, told to whoever asks.

use std::{ops::Range, time::Duration};

use crate::promql::{
    ast::Span,
    eval::{Eval, series::is_present, steps::Steps, window::Frame},
};

/// Somebody who watches an evaluation, and has a clock for it. Costs two looks at that clock for each series that one
/// part of the query hands to the next, so only those who want to know are told.
pub trait Watch: Sync {
    /// The time by a clock that never goes back.
    fn now(&self) -> Duration;

    /// A part of the query, at a place in its text, handed on so many series. `took` is the time it took, that of the
    /// parts below it included; a range selector's is that of the function it is given to, for they are one loop. A part
    /// may be told of several times.
    fn evaluated(&self, part: Span, series: u64, took: Duration);

    /// At these steps of the query, a selector or subquery found so many samples for each of them.
    fn found(&self, steps: Range<usize>, samples: u64);
}

/// The time a part took so far.
pub(super) struct Stopwatch<'w> {
    watch: &'w dyn Watch,
    started: Duration,
    elsewhere: Duration,
    series: u64,
}

impl<'w> Stopwatch<'w> {
    pub(super) fn new(watch: &'w dyn Watch) -> Self {
        Self { watch, started: watch.now(), elsewhere: Duration::ZERO, series: 0 }
    }

    /// Hands a series on; the time that takes is not the part's.
    pub(super) fn hand_on<T>(&mut self, sink: impl FnOnce() -> T) -> T {
        let started = self.watch.now();
        let handed = sink();
        self.series += 1;
        self.elsewhere += self.watch.now().saturating_sub(started);
        handed
    }

    pub(super) fn finish(self, part: Span) {
        let took = self.watch.now().saturating_sub(self.started).saturating_sub(self.elsewhere);
        self.watch.evaluated(part, self.series, took);
    }
}

impl Eval<'_> {
    /// Tells of the samples an instant selector found: one for each step that has a value.
    pub(super) fn note_latest(&self, steps: Steps, found: &[f64]) {
        let Some((watch, is_everywhere)) = self.watched(steps) else { return };
        for (step, _) in found.iter().enumerate().filter(|&(_, &value)| is_present(value)) {
            watch.found(if is_everywhere { 0..self.query.count } else { step..step + 1 }, 1);
        }
    }

    /// Tells of a series that a range selector found.
    pub(super) fn note_series(&self, part: Span) {
        if let Some(watch) = self.options.watch {
            watch.evaluated(part, 1, Duration::ZERO);
        }
    }

    /// Tells of the samples in the windows of a series.
    pub(super) fn note_windows(&self, frame: &Frame, times: &[i64]) {
        let Some((watch, is_everywhere)) = self.watched(frame.steps) else { return };
        for step in 0..frame.steps.count {
            let end = frame.shift.apply(frame.steps.time(step));
            let start = end.saturating_sub(frame.range);
            let inside = times.partition_point(|&time| time <= end) - times.partition_point(|&time| time <= start);
            watch.found(if is_everywhere { 0..self.query.count } else { step..step + 1 }, inside as u64);
        }
    }

    /// Who is told of samples found at `steps`, and whether these stand for all steps, being those of a part that is the
    /// same at each. Inside a subquery nobody is: its results are counted, as Prometheus does.
    fn watched(&self, steps: Steps) -> Option<(&dyn Watch, bool)> {
        let watch = self.options.watch?;
        match steps {
            steps if steps == self.query => Some((watch, false)),
            steps if steps == Steps::instant(self.query.start) => Some((watch, true)),
            _ => None,
        }
    }
}
