//! Functions of classic histograms: series of cumulative counts with an upper bound in the label `le`.

use std::collections::BTreeMap;

use crate::{
    model::Labels,
    promql::{
        annotations::Fixes,
        ast::{Expr, Span},
        eval::{
            Error, Eval, Result, Rows, Site,
            points::Points,
            series::{Kept, Row, Sink, is_present, merge_equal},
            steps::Steps,
            text,
        },
        format,
        quantile::{Bucket, Repair, bucket_fraction, bucket_quantile, prepare},
        quote,
    },
};

/// The series of one histogram.
struct Classic {
    /// Their labels without `le`.
    labels: Labels,
    drop_name: bool,
    /// The bound and the index of each.
    buckets: Vec<(f64, usize)>,
}

/// Functions that know native histograms only: of numbers they give nothing.
pub(super) fn native<'a>(eval: &Eval<'a>, site: Site<'a>, steps: Steps, _: &mut Sink<'_>) -> Result<()> {
    eval.stream(&site.call.args[0], steps, &mut |_| Ok(()))
}

pub(super) fn quantile<'a>(eval: &Eval<'a>, site: Site<'a>, steps: Steps, sink: &mut Sink<'_>) -> Result<()> {
    let (wanted, arg) = (&site.call.args[0], &site.call.args[1]);
    let quantiles = eval.scalars(wanted, steps)?;
    eval.check_quantiles(quantiles.values(), wanted.span);
    let (mut names, patience) = (eval.name_dropper(), eval.patience());
    each_histogram(eval, arg, steps, |rows, classic| {
        let mut points = Points::default();
        for_buckets(eval, rows, classic, |step, buckets| {
            let value = eval.quantile_of(quantiles.at(step), classic, buckets, steps.time(step), arg.span);
            points.push(step, value, &patience)
        })?;
        let (labels, drop_name) = (classic.labels.clone(), classic.drop_name);
        let mut row = Row { labels, drop_name, points: &mut points };
        names.drop_from(&mut row)?;
        sink(row)
    })
}

/// Several quantiles, each told by a label.
pub(super) fn quantiles<'a>(eval: &Eval<'a>, site: Site<'a>, steps: Steps, sink: &mut Sink<'_>) -> Result<()> {
    let (arg, label) = (&site.call.args[0], text(&site.call.args[1]));
    let wanted = eval.scalar_args(site, steps)?;
    for (wanted, arg) in wanted.iter().zip(&site.call.args[2..]) {
        eval.check_quantiles(wanted.values(), arg.span);
    }
    let patience = eval.patience();
    let mut results = eval.rows();
    each_histogram(eval, arg, steps, |rows, classic| {
        // A quantile may be another one at each step, and so its label.
        let mut columns: BTreeMap<String, Points> = BTreeMap::new();
        for_buckets(eval, rows, classic, |step, buckets| {
            for wanted in &wanted {
                let q = wanted.at(step);
                let value = eval.quantile_of(q, classic, buckets, steps.time(step), arg.span);
                let column = columns.entry(format::open_metrics(q)).or_default();
                // The same quantile may be asked for twice.
                if !column.has(step) {
                    column.push(step, value, &patience)?;
                }
            }
            Ok(())
        })?;
        for (value, points) in columns {
            let mut labels = classic.labels.to_builder();
            labels.set(label.clone(), value);
            results.keep(Kept { labels: labels.build(), drop_name: classic.drop_name, points })?;
        }
        Ok(())
    })?;
    let mut names = eval.name_dropper();
    for mut kept in merge_equal(results.series, &patience, Error::duplicate_labels)? {
        let mut row = Row { labels: kept.labels, drop_name: kept.drop_name, points: &mut kept.points };
        names.drop_from(&mut row)?;
        sink(row)?;
    }
    Ok(())
}

/// The share of observations between two values.
pub(super) fn fraction<'a>(eval: &Eval<'a>, site: Site<'a>, steps: Steps, sink: &mut Sink<'_>) -> Result<()> {
    let bounds = eval.scalar_args(site, steps)?;
    let (mut names, patience) = (eval.name_dropper(), eval.patience());
    each_histogram(eval, &site.call.args[2], steps, |rows, classic| {
        let mut points = Points::default();
        for_buckets(eval, rows, classic, |step, buckets| {
            let share = match prepare(buckets) {
                Some(_) => bucket_fraction(bounds[0].at(step), bounds[1].at(step), buckets),
                None => f64::NAN,
            };
            points.push(step, share, &patience)
        })?;
        let (labels, drop_name) = (classic.labels.clone(), classic.drop_name);
        let mut row = Row { labels, drop_name, points: &mut points };
        names.drop_from(&mut row)?;
        sink(row)
    })
}

impl Eval<'_> {
    /// A quantile of buckets in any order, with the remarks they call for.
    fn quantile_of(&self, q: f64, classic: &Classic, buckets: &mut Vec<Bucket>, time: i64, span: Span) -> f64 {
        if !(0.0..=1.0).contains(&q) {
            return if q.is_nan() { q } else { f64::INFINITY.copysign(q) };
        }
        let Some(repair) = prepare(buckets) else { return f64::NAN };
        if let Some(Repair { buckets, fall_max }) = repair {
            let remark = "input to histogram_quantile needed to be fixed for monotonicity (see \
                          https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)";
            let fixes = Fixes { buckets, fall_max, times: (time, time), count: 1 };
            self.inform_of_fixes(format!("{remark}{}", for_metric(&classic.labels)), span, fixes);
        }
        bucket_quantile(q, buckets)
    }
}

/// The end of a message about a series, where it has a name.
fn for_metric(labels: &Labels) -> String {
    match labels.metric() {
        "" => String::new(),
        name => format!(" for metric name {}", quote(name)),
    }
}

/// Collects series and puts those of a histogram together.
fn each_histogram<'a>(
    eval: &Eval<'a>,
    arg: &'a Expr,
    steps: Steps,
    mut use_histogram: impl FnMut(&Rows<'_>, &Classic) -> Result<()>,
) -> Result<()> {
    let rows = eval.collect(arg, steps)?;
    let patience = eval.patience();
    let mut held = eval.held();
    let mut histograms: BTreeMap<Labels, Classic> = BTreeMap::new();
    for (index, kept) in rows.series.iter().enumerate() {
        patience.spend_series()?;
        let le = kept.labels.get("le");
        let Ok(bound) = le.parse::<f64>() else {
            let remark = "bucket label \"le\" is missing or has a malformed value of";
            eval.warn(format!("{remark} {}{}", quote(le), for_metric(&kept.labels)), arg.span);
            continue;
        };
        let labels = kept.labels.filtered(|name| name != "le");
        let histogram = histograms.entry(labels).or_insert_with_key(|labels| {
            let labels = labels.clone();
            Classic { labels, drop_name: kept.drop_name, buckets: Vec::new() }
        });
        histogram.buckets.push((bound, index));
        held.grow(0, size_of::<(f64, usize)>() + size_of::<Classic>() / 4)?;
    }
    histograms.values().try_for_each(|histogram| use_histogram(&rows, histogram))
}

/// Visits the steps at which a histogram has buckets, with those it has.
fn for_buckets(
    eval: &Eval<'_>,
    rows: &Rows<'_>,
    classic: &Classic,
    mut visit: impl FnMut(usize, &mut Vec<Bucket>) -> Result<()>,
) -> Result<()> {
    let patience = eval.patience();
    let mut buckets = Vec::with_capacity(classic.buckets.len());
    let reaches = || classic.buckets.iter().map(|&(_, index)| rows.series[index].points.reach());
    let first = reaches().map(|reach| reach.start).min().unwrap_or(0);
    let end = reaches().map(|reach| reach.end).max().unwrap_or(0);
    for step in first..end {
        patience.spend(classic.buckets.len())?;
        let at = classic.buckets.iter().map(|&(upper, index)| (upper, rows.series[index].points.at(step)));
        buckets.clear();
        buckets.extend(at.filter(|&(_, count)| is_present(count)).map(|(upper, count)| Bucket { upper, count }));
        if !buckets.is_empty() {
            visit(step, &mut buckets)?;
        }
    }
    Ok(())
}
