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
        return eval.stream_dropping(arg, steps, sink, |points| points.map(|step, _| steps.seconds(step)));
    };
    let mut names = eval.name_dropper();
    eval.stream_latest(selector, steps, Pick::Time, &mut |mut row| {
        names.drop_from(&mut row)?;
        sink(row)
    })
}

/// The start timestamp of each sample that a selector gives: 0, since none is stored.
pub(super) fn start_timestamp<'a>(eval: &Eval<'a>, site: Site<'a>, steps: Steps, sink: &mut Sink<'_>) -> Result<()> {
    let arg = &site.call.args[0];
    match selector(arg) {
        Some(_) => eval.stream_dropping(arg, steps, sink, |points| points.map(|_, _| 0.0)),
        None => Ok(()),
    }
}

fn selector(expr: &Expr) -> Option<&VectorSelector> {
    match &expr.node {
        Node::Paren(inner) => selector(inner),
        Node::Vector(selector) => Some(selector),
        _ => None,
    }
}
