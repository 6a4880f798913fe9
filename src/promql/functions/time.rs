//! Functions of the calendar, and the times of samples.

use jiff::civil::DateTime;

use crate::promql::{
    ast::{Expr, Node, VectorSelector},
    eval::{Eval, Pick, Result, Site, series::Sink, steps::Steps},
};

pub(super) fn year(time: DateTime) -> f64 {
    time.year().into()
}

pub(super) fn month(time: DateTime) -> f64 {
    time.month().into()
}

pub(super) fn day_of_month(time: DateTime) -> f64 {
    time.day().into()
}

pub(super) fn day_of_week(time: DateTime) -> f64 {
    time.weekday().to_sunday_zero_offset().into()
}

pub(super) fn day_of_year(time: DateTime) -> f64 {
    time.day_of_year().into()
}

pub(super) fn days_in_month(time: DateTime) -> f64 {
    time.days_in_month().into()
}

pub(super) fn hour(time: DateTime) -> f64 {
    time.hour().into()
}

pub(super) fn minute(time: DateTime) -> f64 {
    time.minute().into()
}

/// The time of each sample: when it was taken, where a selector gives it; when it was evaluated, where anything else does.
pub(super) fn timestamp<'a>(eval: &Eval<'a>, site: Site<'a>, steps: Steps, sink: &mut Sink<'_>) -> Result<()> {
    let arg = &site.call.args[0];
    let Some(selector) = selector(arg) else {
        return eval
            .stream_renamed(arg, steps, sink, |points, patience| points.map(patience, |step, _| steps.seconds(step)));
    };
    stream_times(eval, selector, Pick::Time, steps, sink)
}

/// The start timestamp of each sample that a selector gives, 0 where it has none; of anything else nothing.
pub(super) fn start_timestamp<'a>(eval: &Eval<'a>, site: Site<'a>, steps: Steps, sink: &mut Sink<'_>) -> Result<()> {
    match selector(&site.call.args[0]) {
        Some(selector) => stream_times(eval, selector, Pick::Start, steps, sink),
        None => Ok(()),
    }
}

fn stream_times(
    eval: &Eval<'_>,
    selector: &VectorSelector,
    pick: Pick,
    steps: Steps,
    sink: &mut Sink<'_>,
) -> Result<()> {
    let mut names = eval.name_dropper();
    eval.stream_latest(selector, steps, pick, &mut |mut row| {
        names.drop_from(&mut row)?;
        sink(row)
    })
}

fn selector(expr: &Expr) -> Option<&VectorSelector> {
    match &expr.node {
        Node::Paren(inner) => selector(inner),
        Node::Vector(selector) => Some(selector),
        _ => None,
    }
}
