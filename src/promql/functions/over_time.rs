//! Functions of the values in a window: `*_over_time`, `changes`, `resets`.

use crate::promql::{
    eval::{
        Eval, Result, Site,
        series::Sink,
        steps::{Steps, seconds},
        window::Windows,
    },
    functions::{
        Kernel, Naming, extended, rate,
        sliding::{Greatest, Least, each_total, total},
    },
    kahan::{Mean, Sum, Variance},
    quantile,
};

pub(super) fn sum(windows: &Windows<'_>, out: &mut [f64]) -> Result<()> {
    each_total(windows, out, |window, sum: Sum| match sum.total.is_finite() {
        true => sum.value(),
        false => total::<Sum>(windows.patience, window.values).value(), // what an infinity leaves behind depends on the order
    })
}

pub(super) fn avg(windows: &Windows<'_>, out: &mut [f64]) -> Result<()> {
    each_total(windows, out, |window, sum: Sum| match sum.total.is_finite() {
        // One rounding of the sum: so it does not depend on how windows share their sums.
        true => sum.value() / window.values.len() as f64,
        false => {
            let mut mean = Mean::default();
            windows.patience.each(window.values, |value| mean.add(value));
            mean.value()
        }
    })
}

pub(super) fn count(windows: &Windows<'_>, out: &mut [f64]) -> Result<()> {
    windows.each(out, |window| Some(window.values.len() as f64))
}

pub(super) fn present(windows: &Windows<'_>, out: &mut [f64]) -> Result<()> {
    windows.each(out, |_| Some(1.0))
}

pub(super) fn first(windows: &Windows<'_>, out: &mut [f64]) -> Result<()> {
    windows.each(out, |window| window.values.first().copied())
}

pub(super) fn last(windows: &Windows<'_>, out: &mut [f64]) -> Result<()> {
    windows.each(out, |window| window.values.last().copied())
}

pub(super) fn min(windows: &Windows<'_>, out: &mut [f64]) -> Result<()> {
    each_total(windows, out, |_, least: Least| least.0)
}

pub(super) fn max(windows: &Windows<'_>, out: &mut [f64]) -> Result<()> {
    each_total(windows, out, |_, greatest: Greatest| greatest.0)
}

pub(super) fn ts_of_first(windows: &Windows<'_>, out: &mut [f64]) -> Result<()> {
    windows.each(out, |window| window.times.first().copied().map(seconds))
}

pub(super) fn ts_of_last(windows: &Windows<'_>, out: &mut [f64]) -> Result<()> {
    windows.each(out, |window| window.times.last().copied().map(seconds))
}

pub(super) fn ts_of_min(windows: &Windows<'_>, out: &mut [f64]) -> Result<()> {
    windows.each(out, |window| Some(seconds(window.times[best(windows, window.values, |value, least| value <= least)])))
}

pub(super) fn ts_of_max(windows: &Windows<'_>, out: &mut [f64]) -> Result<()> {
    windows.each(out, |window| Some(seconds(window.times[best(windows, window.values, |value, most| value >= most)])))
}

/// The index of the last value that is as good as any; NaN is only where all are.
fn best(windows: &Windows<'_>, values: &[f64], as_good: impl Fn(f64, f64) -> bool) -> usize {
    let (mut best, mut index) = (0, 0);
    windows.patience.each(values, |value| {
        if as_good(value, values[best]) || values[best].is_nan() {
            best = index;
        }
        index += 1;
    });
    best
}

pub(super) fn stdvar(windows: &Windows<'_>, out: &mut [f64]) -> Result<()> {
    windows.each(out, |window| Some(variance(windows, window.values)))
}

pub(super) fn stddev(windows: &Windows<'_>, out: &mut [f64]) -> Result<()> {
    windows.each(out, |window| Some(variance(windows, window.values).sqrt()))
}

fn variance(windows: &Windows<'_>, values: &[f64]) -> f64 {
    let mut variance = Variance::default();
    windows.patience.each(values, |value| variance.add(value));
    variance.value()
}

/// The median distance from the median.
pub(super) fn mad(windows: &Windows<'_>, out: &mut [f64]) -> Result<()> {
    let (patience, mut scratch, mut distances) = (windows.patience, Vec::new(), Vec::new());
    windows.each(out, |window| {
        if patience.turns(window.values).any(|turn| turn.iter().any(|value| value.is_nan())) {
            return Some(f64::NAN);
        }
        let median = quantile::in_turns(0.5, window.values, &mut scratch, patience);
        distances.clear();
        patience.each(window.values, |value| distances.push((value - median).abs()));
        Some(quantile::in_turns(0.5, &distances, &mut scratch, patience))
    })
}

pub(super) fn quantile<'a>(eval: &Eval<'a>, site: Site<'a>, steps: Steps, sink: &mut Sink<'_>) -> Result<()> {
    const KERNEL: Kernel = |windows, out| {
        let mut scratch = Vec::new();
        windows.each(out, |window| {
            let wanted = windows.args[0].at(window.step);
            Some(quantile::in_turns(wanted, window.values, &mut scratch, windows.patience))
        })
    };
    let wanted = &site.call.args[0];
    eval.check_quantiles(eval.scalars(wanted, steps)?.values(), wanted.span);
    eval.stream_windows(site, KERNEL, Naming::Dropped, steps, sink)
}

/// How often a value differs from the one before; from NaN to NaN nothing changes.
pub(super) fn changes(windows: &Windows<'_>, out: &mut [f64]) -> Result<()> {
    count_pairs(windows, out, |index| {
        let (before, after) = (windows.values[index - 1], windows.values[index]);
        before != after && !(before.is_nan() && after.is_nan())
    })
}

/// How often a counter restarted.
pub(super) fn resets(windows: &Windows<'_>, out: &mut [f64]) -> Result<()> {
    count_pairs(windows, out, |index| rate::is_reset(windows, index))
}

/// Counts the samples of each window, but for its first, of which `counts` says yes.
fn count_pairs(windows: &Windows<'_>, out: &mut [f64], counts: impl Fn(usize) -> bool) -> Result<()> {
    // With the pairs up to each sample counted once, a window costs the same however long it is.
    let mut passed = Vec::with_capacity(windows.values.len());
    let mut pairs = 0u32;
    passed.push(0);
    let mut index = 0;
    windows.patience.each(&windows.values[1.min(windows.values.len())..], |_| {
        index += 1;
        pairs += u32::from(counts(index));
        passed.push(pairs);
    });
    windows.patience.check()?;
    windows.each(out, |window| {
        let indices = window.indices();
        let first = match windows.frame.extension {
            None => indices.start,
            Some(_) => indices.start + extended::anchored(window)?,
        };
        Some((passed[indices.end - 1] - passed[first]).into())
    })
}
