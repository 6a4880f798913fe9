//! Functions that give numbers, and the one that makes a vector of them.

use crate::{
    model::Labels,
    promql::{
        eval::{
            Eval, Result, Scalars, Site,
            points::Points,
            series::{Row, Sink, column},
            steps::{Steps, seconds},
        },
        functions::math::{greater, lesser},
    },
};

pub(super) fn pi<'a>(_: &Eval<'a>, _: Site<'a>, _: Steps) -> Result<Scalars> {
    Ok(Scalars::Const(std::f64::consts::PI))
}

pub(super) fn time<'a>(_: &Eval<'a>, _: Site<'a>, steps: Steps) -> Result<Scalars> {
    Ok(Scalars::each(steps, |step| steps.seconds(step)))
}

pub(super) fn start<'a>(eval: &Eval<'a>, _: Site<'a>, _: Steps) -> Result<Scalars> {
    Ok(Scalars::Const(seconds(eval.query.start)))
}

pub(super) fn end<'a>(eval: &Eval<'a>, _: Site<'a>, _: Steps) -> Result<Scalars> {
    Ok(Scalars::Const(seconds(eval.end)))
}

pub(super) fn step<'a>(eval: &Eval<'a>, _: Site<'a>, _: Steps) -> Result<Scalars> {
    Ok(Scalars::Const(seconds(eval.query.step)))
}

pub(super) fn range<'a>(eval: &Eval<'a>, _: Site<'a>, _: Steps) -> Result<Scalars> {
    Ok(Scalars::Const(seconds(eval.end.saturating_sub(eval.query.start))))
}

pub(super) fn min_of<'a>(eval: &Eval<'a>, site: Site<'a>, steps: Steps) -> Result<Scalars> {
    let args = eval.scalar_args(site, steps)?;
    Ok(args[0].zip(&args[1], steps, lesser))
}

pub(super) fn max_of<'a>(eval: &Eval<'a>, site: Site<'a>, steps: Steps) -> Result<Scalars> {
    let args = eval.scalar_args(site, steps)?;
    Ok(args[0].zip(&args[1], steps, greater))
}

/// The only number at each step.
pub(super) fn scalar<'a>(eval: &Eval<'a>, site: Site<'a>, steps: Steps) -> Result<Scalars> {
    let mut found = vec![(0u32, f64::NAN); steps.count];
    eval.stream(&site.call.args[0], steps, &mut |row| {
        row.points.numbers().for_each(|(step, value)| found[step] = (found[step].0 + 1, value));
        Ok(())
    })?;
    Ok(Scalars::Each(found.into_iter().map(|(count, value)| if count == 1 { value } else { f64::NAN }).collect()))
}

/// A number as a series without labels.
pub(super) fn vector<'a>(eval: &Eval<'a>, site: Site<'a>, steps: Steps, sink: &mut Sink<'_>) -> Result<()> {
    let _held = eval.hold(steps.count)?;
    let scalars = eval.scalars(&site.call.args[0], steps)?;
    let mut points = Points::of(column(steps.count, &eval.patience(), |step| scalars.at(step))?);
    sink(Row { labels: Labels::default(), drop_name: false, points: &mut points })
}
