//! What a query does, part by part, told to whoever asks.

use std::time::Duration;

use crate::promql::{
    ast::Span,
    eval::{
        Eval,
        series::is_present,
        steps::Steps,
        window::{Frame, RawSeries},
    },
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

    /// A selector or subquery found a series with so many samples for each step of the query.
    fn found(&self, samples: &dyn Fn(usize) -> u64);
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
        self.note_found(steps, |step| u64::from(is_present(found[step])));
    }

    /// Tells of a series that a range selector found.
    pub(super) fn note_series(&self, part: Span) {
        if let Some(watch) = self.options.watch {
            watch.evaluated(part, 1, Duration::ZERO);
        }
    }

    /// Tells of the samples in the windows of a series.
    pub(super) fn note_windows(&self, frame: &Frame, series: &RawSeries) {
        let (times, digests) = (&*series.times, &*series.digests);
        self.note_found(frame.steps, |step| {
            let end = frame.shift.apply(frame.steps.time(step));
            let start = end.saturating_sub(frame.range);
            let alone = times.partition_point(|&time| time <= end) - times.partition_point(|&time| time <= start);
            // A digest is in a window as a whole, or not at all.
            let from = digests.partition_point(|digest| digest.first_time <= start);
            let inside = digests[from..].iter().take_while(|digest| digest.last_time <= end);
            alone as u64 + inside.map(|digest| u64::from(digest.of.count)).sum::<u64>()
        });
    }

    /// Inside a subquery nobody is told: its results are counted, as Prometheus does.
    fn note_found(&self, steps: Steps, samples: impl Fn(usize) -> u64) {
        let Some(watch) = self.options.watch else { return };
        match steps {
            steps if steps == self.query => watch.found(&samples),
            // A part that is the same at every step counts at every step.
            steps if steps == Steps::instant(self.query.start) => {
                let samples = samples(0);
                watch.found(&|_| samples);
            }
            _ => {}
        }
    }
}
