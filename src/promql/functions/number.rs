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

pub(super) fn time<'a>(eval: &Eval<'a>, _: Site<'a>, steps: Steps) -> Result<Scalars> {
    Scalars::each(steps, &eval.patience(), |step| steps.seconds(step))
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
    args[0].zip(&args[1], steps, &eval.patience(), lesser)
}

pub(super) fn max_of<'a>(eval: &Eval<'a>, site: Site<'a>, steps: Steps) -> Result<Scalars> {
    let args = eval.scalar_args(site, steps)?;
    args[0].zip(&args[1], steps, &eval.patience(), greater)
}

/// The only number at each step.
pub(super) fn scalar<'a>(eval: &Eval<'a>, site: Site<'a>, steps: Steps) -> Result<Scalars> {
    let patience = eval.patience();
    let mut found = column(steps.count, &patience, |_| (0u32, f64::NAN))?;
    eval.stream(&site.call.args[0], steps, &mut |row| {
        patience.spend_series()?;
        row.points.numbers().try_for_each(|(step, value)| {
            found[step] = (found[step].0 + 1, value);
            patience.spend(1)
        })
    })?;
    let value = |step: usize| if found[step].0 == 1 { found[step].1 } else { f64::NAN };
    Scalars::each(steps, &patience, value)
}

/// A number as a series without labels.
pub(super) fn vector<'a>(eval: &Eval<'a>, site: Site<'a>, steps: Steps, sink: &mut Sink<'_>) -> Result<()> {
    let _held = eval.hold(steps.count)?;
    let scalars = eval.scalars(&site.call.args[0], steps)?;
    let patience = eval.patience();
    let mut points = Points::of(column(steps.count, &patience, |step| scalars.at(step))?, &patience)?;
    sink(Row { labels: Labels::default(), drop_name: false, points: &mut points })
}
