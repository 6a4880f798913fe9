//! Functions that say what is not there.

use std::collections::HashMap;

use crate::{
    model::{Labels, METRIC_NAME, MatchOp, Matcher},
    promql::{
        ast::{Expr, Node},
        eval::{
            Eval, Patience, Result, Site,
            points::Points,
            series::{ABSENT, Row, Sink, column},
            steps::Steps,
        },
    },
};

pub(super) fn absent<'a>(eval: &Eval<'a>, site: Site<'a>, steps: Steps, sink: &mut Sink<'_>) -> Result<()> {
    let (mut present, patience) = (vec![false; steps.count], eval.patience());
    eval.stream(&site.call.args[0], steps, &mut |row| {
        patience.spend_series()?;
        row.points.mark(&mut present, &patience)
    })?;
    send(&site.call.args[0], &present, &patience, sink)
}

pub(super) fn absent_over_time<'a>(eval: &Eval<'a>, site: Site<'a>, steps: Steps, sink: &mut Sink<'_>) -> Result<()> {
    let (mut present, patience) = (vec![false; steps.count], eval.patience());
    eval.stream_windows(site, super::over_time::present, super::Naming::Kept, steps, &mut |row| {
        patience.spend_series()?;
        row.points.mark(&mut present, &patience)
    })?;
    send(&site.call.args[0], &present, &patience, sink)
}

/// Sends 1 at the steps without anything.
fn send(arg: &Expr, present: &[bool], patience: &Patience<'_>, sink: &mut Sink<'_>) -> Result<()> {
    let floats = column(present.len(), patience, |step| if present[step] { ABSENT } else { 1.0 })?;
    let mut points = Points::of(floats, patience)?;
    sink(Row { labels: labels_asked_for(arg), drop_name: false, points: &mut points })
}

/// The labels that a selector compares for equality, once each; none where it is not a selector.
fn labels_asked_for(expr: &Expr) -> Labels {
    let matchers: &[Matcher] = match &expr.node {
        Node::Paren(inner) => return labels_asked_for(inner),
        Node::Vector(selector) => &selector.matchers,
        Node::Matrix(matrix) => &matrix.selector.matchers,
        _ => &[],
    };
    let mut counts: HashMap<&str, usize> = HashMap::new();
    matchers.iter().for_each(|matcher| *counts.entry(&matcher.name).or_default() += 1);
    let clear = |matcher: &&Matcher| {
        matcher.op == MatchOp::Equal && *matcher.name != *METRIC_NAME && counts[&*matcher.name] == 1
    };
    matchers.iter().filter(clear).map(|matcher| (matcher.name.clone(), matcher.value.clone())).collect()
}
