//! Trees to values: the evaluator.
//!
//! A node is evaluated for all steps of the query at once, and hands on one series at a time ([`series::Row`]: labels
//! and a column with one place per step). So `sum by (x) (rate(m[5m]))` reads a series, moves a window over its samples,
//! adds the column to its group's, and forgets it; only nodes that need all series of an input at once (vector matching,
//! `topk`, `sort` …) collect it. An instant query is a range query of one step.
//!
//! Always: each selector asks the source for exactly the time it needs; the deadline and the limit on samples hold inside
//! loops; the clock is not read. Parts whose selectors are all pinned by `@` are evaluated once for all steps.
//! Not here: which series pass the matchers and how their samples are stored (`select`); HTTP and its limits.

mod aggregate;
mod binary;
mod call;
mod counts;
mod duration;
mod error;
mod fold;
mod invariant;
mod limits;
mod matching;
mod meter;
mod naming;
mod pick;
pub(crate) mod points;
mod read;
mod result;
mod scalar;
mod selector;
pub(crate) mod series;
mod set;
pub(crate) mod steps;
mod subquery;
mod sweep;
mod threads;
mod watch;
pub(crate) mod window;

#[cfg(test)]
mod tests;

use std::cmp::Ordering;

use parking_lot::Mutex;

pub use error::Error;
pub use limits::{Interrupt, Options, Stop};
pub use meter::{Guard, Meter, Pool, Stats};
pub use threads::Threads;
pub use watch::Watch;

pub(crate) use call::Site;
pub(crate) use duration::Shift;
pub(crate) use error::Result;
pub(crate) use limits::Patience;
pub(crate) use meter::Held;
pub(crate) use scalar::{Scalars, text};
pub(crate) use selector::Pick;

use crate::{
    model::sort_by,
    promql::{
        annotations::{Annotation, Fixes, Notes, Severity},
        ast::{Expr, Node, Span, ValueType},
        eval::{
            series::{ABSENT, Kept, Row, Sink, column},
            steps::Steps,
            watch::Stopwatch,
        },
        value::Value,
    },
    select::Source,
};

/// What a query answers, what there is to say about it, and what it took.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The result.
    pub value: Value,
    /// What may be wrong with it.
    pub warnings: Vec<Annotation>,
    /// What is good to know about it.
    pub infos: Vec<Annotation>,
    /// What it took.
    pub stats: Stats,
}

/// Evaluates a query at one time (Unix nanoseconds).
///
/// # Errors
/// See [`Error`]: the data does not allow an answer, a limit was reached, or the source failed.
pub fn instant(
    source: &dyn Source,
    expr: &Expr,
    time: i64,
    options: &Options<'_>,
) -> std::result::Result<Answer, Error> {
    let own = Meter::default();
    let eval = Eval::new(source, options, &own, Steps::instant(time), time);
    let value = eval.instant_value(expr, time)?;
    Ok(eval.answer(value))
}

/// Evaluates a query at `start`, `start + step`, … up to `end` (Unix nanoseconds).
///
/// # Errors
/// As [`instant`], and [`Error::BadData`] where `step` is not positive or the query is neither number nor vector.
pub fn range(
    source: &dyn Source,
    expr: &Expr,
    start: i64,
    end: i64,
    step: i64,
    options: &Options<'_>,
) -> std::result::Result<Answer, Error> {
    let kind = match expr.value_type() {
        ValueType::Matrix => "range vector",
        ValueType::String => "string",
        _ => "",
    };
    if !kind.is_empty() {
        let reason = format!("invalid expression type \"{kind}\" for range query, must be Scalar or instant Vector");
        return Err(Error::BadData(reason));
    }
    if step <= 0 {
        let reason = "zero or negative query resolution step widths are not accepted. Try a positive integer";
        return Err(Error::BadData(reason.to_owned()));
    }
    let own = Meter::default();
    let eval = Eval::new(source, options, &own, Steps::range(start, end, step), end);
    eval.check_size(eval.query.count)?;
    let value = eval.range_value(expr)?;
    Ok(eval.answer(value))
}

/// A query being evaluated.
pub(crate) struct Eval<'a> {
    source: &'a dyn Source,
    /// How.
    pub options: &'a Options<'a>,
    /// The times of the whole query: what `start()` and `step()` mean.
    pub query: Steps,
    /// The end it was asked for, which is what `end()` and `range()` mean, whether or not a step falls on it.
    pub end: i64,
    notes: Mutex<Notes>,
    guard: Guard<'a>,
}

impl<'a> Eval<'a> {
    /// `own` is counted with where the options have no meter.
    fn new(source: &'a dyn Source, options: &'a Options<'a>, own: &'a Meter, query: Steps, end: i64) -> Self {
        let guard = Guard {
            meter: options.meter.unwrap_or(own),
            samples_max: options.samples_max,
            series_max: options.series_max,
            memory_max: options.memory_max,
            interrupt: options.interrupt,
        };
        Self { source, options, query, end, notes: Mutex::default(), guard }
    }

    fn answer(self, value: Value) -> Answer {
        let mut notes = self.notes.into_inner();
        self.source.left_out().into_iter().for_each(|text| notes.warn_of_data(text));
        let (warnings, infos) = notes.into_parts();
        Answer { value, warnings, infos, stats: self.guard.meter.stats() }
    }

    /// Hands each series of a vector expression to `sink`. Series without anything at any step may be left out.
    pub(crate) fn stream(&self, expr: &'a Expr, steps: Steps, sink: &mut Sink<'_>) -> Result<()> {
        let Some(watch) = self.options.watch else { return self.stream_steps(expr, steps, sink) };
        let mut stopwatch = Stopwatch::new(watch);
        let streamed = self.stream_steps(expr, steps, &mut |row| stopwatch.hand_on(|| sink(row)));
        stopwatch.finish(expr.span);
        streamed
    }

    fn stream_steps(&self, expr: &'a Expr, steps: Steps, sink: &mut Sink<'_>) -> Result<()> {
        match steps.count {
            0 => Ok(()),
            1 => self.stream_node(expr, steps, sink),
            count if invariant::is_invariant(expr) => self.stream_node(expr, Steps::instant(steps.start), &mut |row| {
                let mut points = row.points.broadcast(count, &self.patience())?;
                sink(Row { points: &mut points, ..row })
            }),
            _ => self.stream_node(expr, steps, sink),
        }
    }

    fn stream_node(&self, expr: &'a Expr, steps: Steps, sink: &mut Sink<'_>) -> Result<()> {
        match &expr.node {
            Node::Paren(inner) | Node::Unary { negate: false, expr: inner } => self.stream(inner, steps, sink),
            Node::Unary { negate: true, expr: inner } => {
                self.stream_dropping(inner, steps, sink, |points, patience| points.map(patience, |_, value| -value))
            }
            Node::Vector(selector) => self.stream_latest(selector, steps, Pick::Value, sink),
            Node::Call(call) => self.stream_call(Site { call, span: expr.span }, steps, sink),
            Node::Binary(binary) => self.stream_binary(binary, expr.span, steps, sink),
            Node::Aggregate(aggregate) => self.stream_aggregate(aggregate, steps, sink),
            Node::Number(_) | Node::String(_) | Node::Matrix(_) | Node::Subquery(_) => {
                unreachable!("the parser's type check lets only vectors stand here")
            }
        }
    }

    /// A place for series.
    pub(crate) fn rows(&self) -> Rows<'_> {
        Rows { series: Vec::new(), held: self.guard.held(), patience: self.patience() }
    }

    /// All series of a vector expression that have anything.
    pub(crate) fn collect(&self, expr: &'a Expr, steps: Steps) -> Result<Rows<'_>> {
        let mut rows = self.rows();
        let patience = self.patience();
        self.stream(expr, steps, &mut |row| {
            patience.spend_series()?;
            patience.spend(steps.count)?;
            if !row.points.is_empty() {
                rows.copy(&row)?;
            }
            Ok(())
        })?;
        Ok(rows)
    }

    /// As [`Self::collect`], sorted by labels, so that ties are broken the same way whatever order the source has.
    pub(crate) fn collect_sorted(&self, expr: &'a Expr, steps: Steps) -> Result<Rows<'_>> {
        let mut rows = self.collect(expr, steps)?;
        self.sort(&mut rows.series, |a, b| a.labels.cmp(&b.labels))?;
        Ok(rows)
    }

    /// Sorts series or the like as [`slice::sort_by`] does; fails when it is time to stop.
    pub(crate) fn sort<T>(&self, items: &mut Vec<T>, compare: impl Fn(&T, &T) -> Ordering) -> Result<()> {
        let patience = self.patience();
        sort_by(items, compare, |looks| patience.spend(looks * Patience::SERIES))
    }

    /// Takes memory for a column of samples.
    pub(crate) fn hold(&self, samples: usize) -> Result<Held<'_>> {
        let mut held = self.guard.held();
        held.grow(samples, samples * size_of::<f64>())?;
        Ok(held)
    }

    /// A column without anything.
    pub(crate) fn absent(&self, steps: usize, patience: &Patience<'_>) -> Result<Vec<f64>> {
        column(steps, patience, |_| ABSENT)
    }

    /// Something to note memory with.
    pub(crate) fn held(&self) -> Held<'_> {
        self.guard.held()
    }

    /// Fails where a single column would be more than may be in memory; asked before one is made.
    fn check_size(&self, steps: usize) -> Result<()> {
        self.hold(steps).map(drop)
    }

    /// Something to ask from inner loops whether to go on.
    pub(crate) fn patience(&self) -> Patience<'a> {
        Patience::new(self.guard)
    }

    /// Says what may be wrong.
    pub(crate) fn warn(&self, message: String, span: Span) {
        self.notes.lock().add(Severity::Warning, message, span, None);
    }

    /// Says what is good to know.
    pub(crate) fn inform(&self, message: String, span: Span) {
        self.notes.lock().add(Severity::Info, message, span, None);
    }

    /// Says that histograms had to be changed.
    pub(crate) fn inform_of_fixes(&self, message: String, span: Span, fixes: Fixes) {
        self.notes.lock().add(Severity::Info, message, span, Some(fixes));
    }
}

/// Collected series and the memory they take.
pub(crate) struct Rows<'e> {
    /// The series.
    pub series: Vec<Kept>,
    held: Held<'e>,
    patience: Patience<'e>,
}

impl Rows<'_> {
    /// Adds a series.
    pub(crate) fn keep(&mut self, mut kept: Kept) -> Result<()> {
        let count = kept.points.counted(&self.patience)?;
        if let Some(points) = kept.points.compact(count, &self.patience)? {
            kept.points = points;
        }
        self.push(kept, count)
    }

    /// Adds a copy of a series.
    pub(crate) fn copy(&mut self, row: &Row<'_>) -> Result<()> {
        let count = row.points.counted(&self.patience)?;
        let points = match row.points.compact(count, &self.patience)? {
            Some(points) => points,
            None => row.points.copied(&self.patience)?,
        };
        self.push(Kept { labels: row.labels.clone(), drop_name: row.drop_name, points }, count)
    }

    fn push(&mut self, kept: Kept, count: usize) -> Result<()> {
        self.held.grow(count, kept.size())?;
        self.series.push(kept);
        Ok(())
    }
}
