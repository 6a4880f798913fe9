//! Windows with the modifiers `anchored` and `smoothed`: what lies at their edges counts too.

use crate::promql::{
    ast::RangeExtension,
    eval::{
        Patience, Result,
        steps::seconds,
        window::{Window, Windows},
    },
    functions::rate::Growth,
};

/// The place, in an anchored window, of the last sample at or before its start; `None` where no sample is inside.
pub(super) fn anchored(window: &Window<'_>) -> Option<usize> {
    let inside = window.times[window.times.len() - 1] > window.start;
    inside.then(|| anchor(window, window.times.len()))
}

/// The index of the last of some samples at or before the window's start; 0 where there is none.
fn anchor(window: &Window<'_>, samples: usize) -> usize {
    window.times[..samples].partition_point(|&time| time <= window.start).saturating_sub(1)
}

/// `rate`, `increase` and `delta` from edge to edge: without extrapolation, between the samples next to the edges
/// (`anchored`) or values on the lines through the samples on both sides of them (`smoothed`).
pub(super) fn growth(windows: &Windows<'_>, out: &mut [f64], growth: Growth) -> Result<()> {
    let smoothed = windows.frame.extension == Some(RangeExtension::Smoothed);
    windows.each(out, |window| edge_to_edge(window, smoothed, growth, windows.patience))
}

fn edge_to_edge(window: &Window<'_>, smoothed: bool, growth: Growth, patience: &Patience<'_>) -> Option<f64> {
    let (times, values) = (window.times, window.values);
    let mut last = values.len() - 1;
    if smoothed {
        last = times[..last].partition_point(|&time| time < window.end);
    }
    let mut first = anchor(window, last);
    if times[last] <= window.start || (smoothed && times[first] > window.end) {
        return None;
    }
    let line = |from: usize, time: i64| {
        let (low, high) = (values[from], values[from + 1]);
        let low = if growth.counter && high < low { 0.0 } else { low };
        low + (high - low) * ((time - times[from]) as f64 / (times[from + 1] - times[from]) as f64)
    };
    let left = if smoothed && times[first] < window.start { line(first, window.start) } else { values[first] };
    let right = match last {
        1.. if smoothed && times[last] > window.end => line(last - 1, window.end),
        _ => values[last],
    };
    let mut grown = right - left;
    if growth.counter {
        // The edges have their resets in them; what lies between is still to be corrected.
        first += usize::from(times[first] <= window.start);
        let end = last + usize::from(times[last] < window.end);
        grown += lost(left, right, values.get(first..end).unwrap_or_default(), patience);
    }
    Some(if growth.per_second { grown / seconds(window.end - window.start) } else { grown })
}

/// What resets took away on the way from `left` over `between` to `right`.
fn lost(left: f64, right: f64, between: &[f64], patience: &Patience<'_>) -> f64 {
    let mut lost = 0.0;
    let mut before = left;
    let mut pass = |value: f64| {
        if value < before {
            lost += before;
        }
        before = value;
    };
    patience.each(between, &mut pass);
    pass(right);
    lost
}
