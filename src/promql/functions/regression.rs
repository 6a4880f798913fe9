//! Straight lines and smoothed curves through a window: `deriv`, `predict_linear`, `double_exponential_smoothing`.

use crate::promql::{
    eval::{
        Error, Eval, Patience, Result, Site,
        series::Sink,
        steps::{Steps, seconds},
        window::{Window, Windows},
    },
    functions::{Kernel, Naming},
    kahan::Sum,
};

pub(super) fn deriv(windows: &Windows<'_>, out: &mut [f64]) -> Result<()> {
    windows.each(out, |window| Some(line(windows, window, window.times[0])?.slope))
}

/// The value of the line so many seconds from the evaluation time, which is not that of the window where it is shifted.
pub(super) fn predict_linear(windows: &Windows<'_>, out: &mut [f64]) -> Result<()> {
    windows.each(out, |window| {
        let line = line(windows, window, windows.frame.steps.time(window.step))?;
        Some(line.slope * windows.args[0].at(window.step) + line.value)
    })
}

struct Line {
    /// Per second.
    slope: f64,
    /// Its value at the origin.
    value: f64,
}

/// The line of least squared distances, with `origin` for the zero of time. `None` of fewer than two samples.
fn line(windows: &Windows<'_>, window: &Window<'_>, origin: i64) -> Option<Line> {
    let (times, values) = (window.times, window.values);
    if values.len() < 2 {
        return None;
    }
    let patience = windows.patience;
    if patience.turns(values).all(|turn| turn.iter().all(|&value| value == values[0])) {
        // Exactly level, whatever rounding would make of it.
        let value = if values[0].is_infinite() { f64::NAN } else { values[0] };
        return Some(Line { slope: if value.is_nan() { value } else { 0.0 }, value });
    }
    let [mut x_sum, mut y_sum, mut xy_sum, mut xx_sum] = [Sum::default(); 4];
    for (times, values) in patience.turns(times).zip(values.chunks(Patience::WORK)) {
        for (&time, &y) in times.iter().zip(values) {
            let x = seconds(time.saturating_sub(origin));
            x_sum.add(x);
            y_sum.add(y);
            xy_sum.add(x * y);
            xx_sum.add(x * x);
        }
    }
    let count = values.len() as f64;
    let (x_sum, y_sum) = (x_sum.value(), y_sum.value());
    let covariance = xy_sum.value() - x_sum * y_sum / count;
    let variance = xx_sum.value() - x_sum * x_sum / count;
    let slope = covariance / variance;
    Some(Line { slope, value: y_sum / count - slope * x_sum / count })
}

pub(super) fn double_exponential_smoothing<'a>(
    eval: &Eval<'a>,
    site: Site<'a>,
    steps: Steps,
    sink: &mut Sink<'_>,
) -> Result<()> {
    const KERNEL: Kernel = |windows, out| {
        windows.each(out, |window| smooth(windows, window.values, [0, 1].map(|arg| windows.args[arg].at(window.step))))
    };
    let names = [("smoothing", "sf"), ("trend", "tf")];
    for (factors, (name, short)) in eval.scalar_args(site, steps)?.iter().zip(names) {
        if let Some(factor) = factors.values().iter().find(|&&factor| !(factor > 0.0 && factor < 1.0)) {
            let reason = format!("invalid {name} factor. Expected: 0 < {short} < 1, got: {factor:.6}");
            return Err(Error::execution(reason));
        }
    }
    eval.stream_windows(site, KERNEL, Naming::Dropped, steps, sink)
}

/// Holt's linear method (C. C. Holt, 1957): a level and a trend, each a weighted mean of what is new and what was.
fn smooth(windows: &Windows<'_>, values: &[f64], [level_weight, trend_weight]: [f64; 2]) -> Option<f64> {
    let [first, second, ..] = values else { return None };
    let (mut level, mut trend) = (*first, second - first);
    let mut left = values.len() - 1;
    windows.patience.each(&values[1..], |value| {
        let before = level;
        level = level_weight * value + (1.0 - level_weight) * (level + trend);
        left -= 1;
        if left > 0 {
            trend = trend_weight * (level - before) + (1.0 - trend_weight) * trend;
        }
    });
    Some(level)
}
