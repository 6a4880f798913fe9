//! Functions that put the series of an instant result in order.

use std::{cmp::Ordering, sync::Arc};

use crate::{
    model::Labels,
    promql::eval::{
        Eval, Result, Site,
        series::{Kept, Sink},
        steps::Steps,
        text,
    },
};

pub(super) fn sort<'a>(eval: &Eval<'a>, site: Site<'a>, steps: Steps, sink: &mut Sink<'_>) -> Result<()> {
    by_value(eval, site, steps, sink, |a, b| a.partial_cmp(&b))
}

pub(super) fn sort_desc<'a>(eval: &Eval<'a>, site: Site<'a>, steps: Steps, sink: &mut Sink<'_>) -> Result<()> {
    by_value(eval, site, steps, sink, |a, b| b.partial_cmp(&a))
}

pub(super) fn sort_by_label<'a>(eval: &Eval<'a>, site: Site<'a>, steps: Steps, sink: &mut Sink<'_>) -> Result<()> {
    let labels: Vec<&Arc<str>> = site.call.args[1..].iter().map(text).collect();
    ordered(eval, site, steps, sink, |a, b| by_labels(&labels, &a.labels, &b.labels))
}

pub(super) fn sort_by_label_desc<'a>(eval: &Eval<'a>, site: Site<'a>, steps: Steps, sink: &mut Sink<'_>) -> Result<()> {
    let labels: Vec<&Arc<str>> = site.call.args[1..].iter().map(text).collect();
    ordered(eval, site, steps, sink, |a, b| by_labels(&labels, &b.labels, &a.labels))
}

/// By the first value, NaN last; histograms are left out.
fn by_value<'a>(
    eval: &Eval<'a>,
    site: Site<'a>,
    steps: Steps,
    sink: &mut Sink<'_>,
    compare: impl Fn(f64, f64) -> Option<Ordering>,
) -> Result<()> {
    let order = |a: &Kept, b: &Kept| {
        let (a, b) = (a.points.at(0), b.points.at(0));
        compare(a, b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
    };
    ordered(
        eval,
        site,
        steps,
        &mut |row| {
            row.points.histograms.clear();
            sink(row)
        },
        order,
    )
}

fn ordered<'a>(
    eval: &Eval<'a>,
    site: Site<'a>,
    steps: Steps,
    sink: &mut Sink<'_>,
    compare: impl Fn(&Kept, &Kept) -> Ordering,
) -> Result<()> {
    let arg = &site.call.args[0];
    if steps.count > 1 {
        let warning = "sort is ineffective for range queries since results are always ordered by labels";
        eval.warn(warning.to_owned(), site.span);
        return eval.stream(arg, steps, sink);
    }
    let mut rows = eval.collect_sorted(arg, steps)?;
    eval.sort(&mut rows.series, compare)?;
    rows.series.iter_mut().try_for_each(|kept| kept.send(sink))
}

/// By the labels named, and by all where those are equal.
fn by_labels(names: &[&Arc<str>], a: &Labels, b: &Labels) -> Ordering {
    let named = names.iter().map(|name| natural(a.get(name), b.get(name)));
    named.fold(Ordering::Equal, Ordering::then).then_with(|| a.cmp(b))
}

/// The order of people: runs of digits compare as numbers, `a9` before `a10`.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    while !a.is_empty() && !b.is_empty() {
        let (a_run, a_rest) = split_run(a);
        let (b_run, b_rest) = split_run(b);
        let order = match (is_number(a_run), is_number(b_run)) {
            (true, true) => {
                let (a, b) = (a_run.trim_start_matches('0'), b_run.trim_start_matches('0'));
                a.len().cmp(&b.len()).then_with(|| a.cmp(b)).then_with(|| b_run.len().cmp(&a_run.len()))
            }
            _ => a_run.cmp(b_run),
        };
        if order.is_ne() {
            return order;
        }
        (a, b) = (a_rest, b_rest);
    }
    a.len().cmp(&b.len())
}

fn is_number(run: &str) -> bool {
    run.as_bytes()[0].is_ascii_digit()
}

/// The run of digits or of anything else that a text begins with, and the rest.
fn split_run(text: &str) -> (&str, &str) {
    let digits = is_number(text);
    text.split_at(text.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(text.len()))
}
