//! Range selectors: a window moving over the samples of a series.

use std::{ops::Range, sync::Arc};

use crate::{
    model::{Labels, TimeRange},
    promql::{
        ast::{Expr, MatrixSelector, Node, RangeExtension},
        eval::{
            Eval, Patience, Result, Scalars,
            duration::Shift,
            read::{Made, Reading},
            series::{ABSENT, TURN, column, is_present, passed},
            steps::Steps,
            watch::Stopwatch,
        },
    },
    select::{Digest, Series},
};

/// Where the windows of a range selector or subquery lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    /// One window for each.
    pub steps: Steps,
    /// Where it ends, from the step.
    pub shift: Shift,
    /// Its length in nanoseconds.
    pub range: i64,
    /// Whether it takes in samples around it.
    pub extension: Option<RangeExtension>,
    /// How far `extension` reaches.
    pub lookback: i64,
}

impl Frame {
    /// How much earlier than the window its samples begin, and how much later they end.
    fn margins(&self) -> (i64, i64) {
        match self.extension {
            None => (0, 0),
            Some(RangeExtension::Anchored) => (self.lookback, 0),
            Some(RangeExtension::Smoothed) => (self.lookback, self.lookback),
        }
    }

    /// Whether samples from a first to a last time are all inside or all outside of every window.
    pub(super) fn keeps_together(&self, first: i64, last: i64) -> bool {
        self.extension.is_none()
            && !self.shift.looks_between(self.steps, first, last)
            && !self.shift.earlier(self.range).looks_between(self.steps, first, last)
    }

    /// The time all its windows lie in.
    pub(super) fn time_range(&self) -> TimeRange {
        let (before, after) = self.margins();
        let first = self.shift.apply(self.steps.start).saturating_sub(self.range).saturating_sub(before);
        let last = self.shift.apply(self.steps.last()).saturating_add(after);
        TimeRange { start: first.saturating_add(1), end: last.saturating_add(1) }
    }
}

/// A series whose windows are to be looked at.
pub(crate) struct Windows<'w> {
    /// Where they are.
    pub frame: Frame,
    /// Times of all samples, ascending.
    pub times: &'w [i64],
    /// Their values; no stale marker among them.
    pub values: &'w [f64],
    /// Their start timestamps, 0 where there is none; empty where none has one.
    pub starts: &'w [i64],
    /// Stretches told as a whole, ascending; each is inside or outside of every window.
    pub digests: &'w [Digest],
    /// For each step, the first of its samples and the one behind its last.
    pub bounds: &'w [(u32, u32)],
    /// The numbers given to the function beside the range.
    pub args: &'w [Scalars],
    /// Asked in inner loops.
    pub patience: &'w Patience<'w>,
}

/// The samples of one window, at least one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window<'w> {
    /// Their times.
    pub times: &'w [i64],
    /// Their values.
    pub values: &'w [f64],
    /// The index of the first among the samples of the series.
    pub first: usize,
    /// The window is `(start, end]`, in nanoseconds.
    pub start: i64,
    /// See `start`.
    pub end: i64,
    /// The step it belongs to.
    pub step: usize,
}

impl Window<'_> {
    /// The places of its samples among those of the series.
    pub(crate) fn indices(&self) -> Range<usize> {
        self.first..self.first + self.values.len()
    }
}

impl<'w> Windows<'w> {
    /// Fills a column: what `of` makes of each window that has samples; absent elsewhere.
    #[inline]
    pub(crate) fn each(&self, out: &mut [f64], mut of: impl FnMut(&Window<'w>) -> Option<f64>) -> Result<()> {
        for (step, (out, &(from, to))) in out.iter_mut().zip(self.bounds).enumerate() {
            // Steps without samples are work too, where they are many.
            if step % TURN == TURN - 1 {
                self.patience.spend(TURN)?;
            }
            let (from, to) = (from as usize, to as usize);
            *out = ABSENT;
            if from < to {
                self.patience.spend(to - from)?;
                let (times, values) = (&self.times[from..to], &self.values[from..to]);
                let end = self.frame.shift.apply(self.frame.steps.time(step));
                let start = end.saturating_sub(self.frame.range);
                let window = Window { times, values, first: from, start, end, step };
                *out = of(&window).unwrap_or(ABSENT);
                // A long one is looked at in turns, which may have ended early.
                if to - from > Patience::WORK {
                    self.patience.check()?;
                }
            }
        }
        Ok(())
    }
}

impl Windows<'_> {
    /// As [`Windows::each`], of windows that have digests: `of` gets the window's start and end, the places of its
    /// samples, and its digests.
    pub(crate) fn each_with_digests(
        &self,
        out: &mut [f64],
        mut of: impl FnMut((i64, i64), Range<usize>, &[Digest]) -> Option<f64>,
    ) -> Result<()> {
        for (step, (out, &(from, to))) in out.iter_mut().zip(self.bounds).enumerate() {
            let end = self.frame.shift.apply(self.frame.steps.time(step));
            let start = end.saturating_sub(self.frame.range);
            let first = self.digests.partition_point(|digest| digest.first_time <= start);
            let behind = self.digests.partition_point(|digest| digest.last_time <= end);
            self.patience.spend((to - from) as usize + behind.saturating_sub(first) + 1)?;
            let digests = self.digests.get(first..behind).unwrap_or_default();
            *out = of((start, end), from as usize..to as usize, digests).unwrap_or(ABSENT);
        }
        Ok(())
    }
}

/// Where the windows of a series begin and end among its samples: kept from series to series, as most have the same
/// times.
#[derive(Default)]
pub(crate) struct Bounds {
    times: Option<Arc<Vec<i64>>>,
    bounds: Vec<(u32, u32)>,
}

impl Bounds {
    /// Those of samples at `times`. A `Bounds` serves one frame.
    pub(crate) fn of(&mut self, frame: Frame, times: &Arc<Vec<i64>>, patience: &Patience<'_>) -> Result<&[(u32, u32)]> {
        if !self.times.as_ref().is_some_and(|known| Arc::ptr_eq(known, times)) {
            // Known once they are all there.
            self.times = None;
            let (before, after) = frame.margins();
            let (mut from, mut to) = (0, 0);
            self.bounds = column(frame.steps.count, patience, |step| {
                let end = frame.shift.apply(frame.steps.time(step));
                let (earliest, latest) =
                    (end.saturating_sub(frame.range).saturating_sub(before), end.saturating_add(after));
                to += passed(&times[to..], latest);
                from += passed(&times[from..to], earliest);
                (from as u32, to as u32)
            })?;
            self.times = Some(Arc::clone(times));
        }
        Ok(&self.bounds)
    }
}

/// A series handed on with its samples instead of points.
pub(crate) struct RawSeries {
    /// See [`super::series::Row::labels`].
    pub labels: Labels,
    /// See [`super::series::Row::drop_name`].
    pub drop_name: bool,
    /// Times, ascending.
    pub times: Arc<Vec<i64>>,
    /// Values, none of them a stale marker.
    pub values: Vec<f64>,
    /// Start timestamps, 0 where there is none; empty where none has one.
    pub starts: Vec<i64>,
    /// Stretches told as a whole, each inside or outside of every window.
    pub digests: Vec<Digest>,
}

impl<'a> Eval<'a> {
    /// Where the windows of a range expression lie, without reading any.
    pub(crate) fn frame(&self, expr: &'a Expr, steps: Steps) -> Result<Frame> {
        let (shift, range, extension) = match &expr.node {
            Node::Paren(inner) => return self.frame(inner, steps),
            Node::Matrix(matrix) => (&matrix.selector.at, &matrix.range, matrix.selector.extension),
            Node::Subquery(subquery) => (&subquery.at, &subquery.range, None),
            _ => unreachable!("the parser's type check lets only range vectors stand here"),
        };
        let (shift, range) = (self.shift(shift)?, self.positive_duration(range)?);
        Ok(Frame { steps, shift, range, extension, lookback: self.options.lookback })
    }

    /// Hands each series of a range expression to `sink`, with the samples that its windows need.
    pub(crate) fn stream_raw(
        &self,
        expr: &'a Expr,
        steps: Steps,
        sink: &mut dyn FnMut(Frame, RawSeries) -> Result<()>,
    ) -> Result<()> {
        let Some(watch) = self.options.watch else { return self.stream_samples(expr, steps, sink) };
        let mut stopwatch = Stopwatch::new(watch);
        let streamed = self.stream_samples(expr, steps, &mut |frame, series| {
            stopwatch.hand_on(|| {
                // In parentheses it is counted where it comes from.
                if !matches!(expr.node, Node::Paren(_)) {
                    self.note_windows(&frame, &series);
                }
                sink(frame, series)
            })
        });
        stopwatch.finish(expr.span);
        streamed
    }

    fn stream_samples(
        &self,
        expr: &'a Expr,
        steps: Steps,
        sink: &mut dyn FnMut(Frame, RawSeries) -> Result<()>,
    ) -> Result<()> {
        match &expr.node {
            Node::Paren(inner) => self.stream_raw(inner, steps, sink),
            Node::Subquery(subquery) => {
                let frame = self.frame(expr, steps)?;
                self.stream_subquery(subquery, frame, &mut |series| sink(frame, series))
            }
            Node::Matrix(matrix) => {
                let frame = self.frame(expr, steps)?;
                self.stream_matrix(matrix, frame, &mut |series| sink(frame, series))
            }
            _ => unreachable!("the parser's type check lets only range vectors stand here"),
        }
    }

    fn stream_matrix(
        &self,
        matrix: &MatrixSelector,
        frame: Frame,
        sink: &mut dyn FnMut(RawSeries) -> Result<()>,
    ) -> Result<()> {
        let make = |(): &mut (), patience: &Patience<'_>, series| self.raw(series, patience);
        let (matchers, range) = (&matrix.selector.matchers, frame.time_range());
        self.read(Reading { matchers, range, width: 0, digestible: None }, &make, sink)
    }

    /// What windows see of a series: no stale markers, and start timestamps only where they count.
    pub(super) fn raw(&self, series: Series, patience: &Patience<'_>) -> Result<Option<RawSeries>> {
        let Series { labels, times, values, mut starts, digests } = series;
        if !self.options.features.start_timestamps {
            starts.clear();
        }
        let mut raw = RawSeries { labels, drop_name: false, times, values, starts, digests };
        // What is left of a long one may be short, or cut off.
        let is_long = raw.times.len() > Patience::WORK;
        raw.remove_stale(patience);
        if is_long {
            patience.check()?;
        }
        Ok((!raw.times.is_empty() || !raw.digests.is_empty()).then_some(raw))
    }
}

impl Made for RawSeries {
    fn size(&self) -> (usize, usize) {
        let columns = self.times.len() + self.values.capacity() + self.starts.capacity();
        let digests = self.digests.capacity() * size_of::<Digest>();
        (self.times.len(), size_of::<Self>() + self.labels.size() + columns * size_of::<f64>() + digests)
    }
}

impl RawSeries {
    /// Takes stale markers out, and what belongs to them.
    fn remove_stale(&mut self, patience: &Patience<'_>) {
        // Looks at all of a turn, which is quicker than stopping at the first.
        let is_stale = |turn: &[f64]| turn.iter().fold(false, |any, &value| any | !is_present(value));
        if !patience.turns(&self.values).any(is_stale) {
            return;
        }
        let mut fresh = Vec::new();
        patience.each(&self.values, |value| fresh.push(is_present(value)));
        self.times = kept(&self.times, &fresh, patience).into();
        self.values = kept(&self.values, &fresh, patience);
        self.starts = kept(&self.starts, &fresh, patience);
    }
}

/// The items that are to be kept.
fn kept<T: Copy>(items: &[T], keep: &[bool], patience: &Patience<'_>) -> Vec<T> {
    let mut kept = Vec::new();
    for (items, keep) in patience.turns(items).zip(keep.chunks(Patience::WORK)) {
        kept.extend(items.iter().zip(keep).filter(|(_, keep)| **keep).map(|(item, _)| *item));
    }
    kept
}
