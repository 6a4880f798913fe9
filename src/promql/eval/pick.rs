//! Aggregations that pick series: `topk`, `bottomk`, `limitk`, `limit_ratio`.

use std::cmp::Ordering;

use xxhash_rust::xxh3::Xxh3;

use crate::{
    model::{Labels, sort_copies_by},
    promql::{
        ast::{Aggregate, AggregateOp},
        eval::{
            Error, Eval, Patience, Result, Scalars,
            series::{Kept, Sink, is_present},
            steps::Steps,
            sweep::Sweep,
        },
        format, quantile,
    },
};

impl<'a> Eval<'a> {
    /// How many series to pick at each step; an error where that is no number an `i64` can hold.
    fn limits(&self, aggregate: &'a Aggregate, steps: Steps) -> Result<Scalars> {
        let limits = self.scalars(Self::param(aggregate), steps)?;
        let patience = self.patience();
        for &limit in limits.values() {
            patience.spend(1)?;
            let size = 2f64.powi(63);
            if limit.is_nan() {
                return Err(Error::execution("Parameter value is NaN"));
            } else if limit <= -size {
                return Err(Error::execution(format!("Scalar value {} underflows int64", format::shortest(limit))));
            } else if limit >= size {
                return Err(Error::execution(format!("Scalar value {} overflows int64", format::shortest(limit))));
            }
        }
        Ok(limits)
    }

    /// The greatest or least values of each group; series tied with one another rank by their labels.
    pub(super) fn stream_ranked(&self, aggregate: &'a Aggregate, steps: Steps, sink: &mut Sink<'_>) -> Result<()> {
        let limits = self.limits(aggregate, steps)?;
        let top = aggregate.op == AggregateOp::Topk;
        let rank = |a: f64, b: f64| match (a.is_nan(), b.is_nan()) {
            (false, false) if top => b.partial_cmp(&a).expect("neither is NaN"),
            (false, false) => a.partial_cmp(&b).expect("neither is NaN"),
            (a, b) => a.cmp(&b),
        };
        let mut rows = self.collect_sorted(&aggregate.expr, steps)?;
        let (groups, _held) = self.members(&rows.series, aggregate)?;
        let patience = self.patience();
        let mut order = Vec::new();
        let mut ranked: Vec<(f64, usize)> = Vec::new();
        for (.., members) in &groups {
            let mut sweep = Sweep::new(&rows.series, members, &patience)?;
            for step in 0..steps.count {
                let here = sweep.at(&rows.series, step, &patience)?;
                patience.spend(1 + here.len() * quantile::COST)?;
                ranked.clear();
                for here in patience.turns(here) {
                    let column = here.iter().map(|&index| (rows.series[index].points.at(step), index));
                    ranked.extend(column.filter(|&(value, _)| is_present(value)));
                }
                let compare = |a: &(f64, usize), b: &(f64, usize)| rank(a.0, b.0).then(a.1.cmp(&b.1));
                let limit = limits.at(step).max(0.0) as usize;
                if limit < ranked.len() {
                    bring_first(&mut ranked, limit, compare, &patience)?;
                    for (_, index) in ranked.drain(limit..) {
                        patience.spend(quantile::COST)?;
                        rows.series[index].points.remove(step);
                    }
                }
                if steps.count == 1 {
                    sort_copies_by(&mut ranked, compare, |looks| patience.spend(looks * quantile::COST))?;
                    order.extend(ranked.iter().map(|&(_, index)| index));
                }
            }
        }
        if steps.count != 1 {
            order.extend(groups.iter().flat_map(|(.., members)| members));
        }
        order.into_iter().try_for_each(|index| {
            patience.spend_series()?;
            send_floats(&mut rows.series[index], sink)
        })
    }

    /// The first few series of each group, by labels.
    pub(super) fn stream_limited(&self, aggregate: &'a Aggregate, steps: Steps, sink: &mut Sink<'_>) -> Result<()> {
        let limits = self.limits(aggregate, steps)?;
        let mut rows = self.collect_sorted(&aggregate.expr, steps)?;
        let patience = self.patience();
        let (groups, _held) = self.members(&rows.series, aggregate)?;
        for (.., members) in groups {
            let mut picked = vec![0u64; steps.count];
            for index in members {
                patience.spend_series()?;
                let kept = &mut rows.series[index];
                // Each step is asked about once: it has a number or a histogram.
                kept.points.retain(&patience, |step| {
                    let keep = (picked[step] as f64) < limits.at(step).trunc();
                    picked[step] += u64::from(keep);
                    keep
                })?;
                kept.send(sink)?;
            }
        }
        Ok(())
    }

    /// The series whose place between 0 and 1, given by their labels, is below the ratio, or above 1 plus a negative one.
    pub(super) fn stream_ratio(&self, aggregate: &'a Aggregate, steps: Steps, sink: &mut Sink<'_>) -> Result<()> {
        let param = Self::param(aggregate);
        let ratios = self.scalars(param, steps)?;
        let patience = self.patience();
        let (mut min, mut max, mut is_nan) = (f64::INFINITY, f64::NEG_INFINITY, false);
        patience.each(ratios.values(), |ratio| {
            (min, max, is_nan) = (min.min(ratio), max.max(ratio), is_nan || ratio.is_nan());
        });
        if is_nan {
            return Err(Error::execution("Ratio value is NaN"));
        }
        for (ratio, cap) in [(max > 1.0).then_some((max, 1)), (min < -1.0).then_some((min, -1))].into_iter().flatten() {
            let ratio = format::shortest(ratio);
            let warning = format!("ratio value should be between -1 and 1, got {ratio}, capping to {cap}");
            self.warn(warning, param.span);
        }
        self.stream(&aggregate.expr, steps, &mut |row| {
            patience.spend_series()?;
            let place = place(&row.labels);
            row.points.retain(&patience, |step| match ratios.at(step).clamp(-1.0, 1.0) {
                ratio if ratio >= 0.0 => place < ratio,
                ratio => place >= 1.0 + ratio,
            })?;
            sink(row)
        })
    }
}

/// Brings those that would be the first `limit` of the sorted items, fewer than all, to the front.
fn bring_first(
    ranked: &mut [(f64, usize)],
    limit: usize,
    compare: impl Fn(&(f64, usize), &(f64, usize)) -> Ordering,
    patience: &Patience<'_>,
) -> Result<()> {
    /// So many are looked at at once: some 0.2 ms.
    const FEW: usize = 16 << 10;
    if limit == 0 {
        return Ok(());
    }
    if limit > FEW {
        return sort_copies_by(ranked, compare, |looks| patience.spend(looks * quantile::COST));
    }
    // The best of some at the end come to their front, where they are compared with those before them.
    let mut end = ranked.len();
    while end > limit {
        let start = end.saturating_sub(limit + FEW);
        patience.spend((end - start) * quantile::COST)?;
        ranked[start..end].select_nth_unstable_by(limit - 1, &compare);
        end = start + limit;
    }
    Ok(())
}

/// Sends what numbers a series has.
fn send_floats(kept: &mut Kept, sink: &mut Sink<'_>) -> Result<()> {
    kept.points.histograms.clear();
    kept.send(sink)
}

/// Where a label set lies in `[0, 1)`: the same in every run, and spread evenly.
fn place(labels: &Labels) -> f64 {
    let mut hash = Xxh3::new();
    for (name, value) in labels.iter() {
        for part in [name, value] {
            hash.update(part.as_bytes());
            hash.update(&[0xff]); // in no UTF-8 text, so it separates
        }
    }
    (hash.digest() >> 11) as f64 / 2f64.powi(53)
}
