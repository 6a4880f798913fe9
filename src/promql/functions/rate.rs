//! How fast a series grows: `rate`, `increase`, `delta`, `irate`, `idelta`.

use crate::promql::{
    eval::{
        Result,
        steps::seconds,
        window::{Window, Windows},
    },
    functions::extended,
};

pub(super) fn rate(windows: &Windows<'_>, out: &mut [f64]) -> Result<()> {
    extrapolated(windows, out, Growth { counter: true, per_second: true })
}

pub(super) fn increase(windows: &Windows<'_>, out: &mut [f64]) -> Result<()> {
    extrapolated(windows, out, Growth { counter: true, per_second: false })
}

pub(super) fn delta(windows: &Windows<'_>, out: &mut [f64]) -> Result<()> {
    extrapolated(windows, out, Growth { counter: false, per_second: false })
}

pub(super) fn irate(windows: &Windows<'_>, out: &mut [f64]) -> Result<()> {
    windows.each(out, |window| {
        let ([.., before, after], [.., earlier, later]) = (window.values, window.times) else { return None };
        let grown = if after < before { *after } else { after - before };
        (later > earlier).then(|| grown / seconds(later - earlier))
    })
}

pub(super) fn idelta(windows: &Windows<'_>, out: &mut [f64]) -> Result<()> {
    windows.each(out, |window| match window.values {
        [.., before, after] => Some(after - before),
        _ => None,
    })
}

/// What is asked about growth.
#[derive(Clone, Copy)]
pub(super) struct Growth {
    /// Whether a fall is a restart from 0.
    pub counter: bool,
    /// Per second, or over the whole window.
    pub per_second: bool,
}

fn extrapolated(windows: &Windows<'_>, out: &mut [f64], growth: Growth) -> Result<()> {
    if windows.frame.extension.is_some() {
        return extended::growth(windows, out, growth);
    }
    // Counters seldom restart: with the places noted once, a window costs the same however long it is.
    let resets = if growth.counter { reset_indices(windows.values) } else { Vec::new() };
    let mut passed = 0;
    windows.each(out, |window| {
        while resets.get(passed).is_some_and(|&index| index <= window.first) {
            passed += 1;
        }
        let last = window.first + window.values.len() - 1;
        let inside = resets[passed..].iter().take_while(|&&index| index <= last);
        let lost = inside.map(|&index| windows.values[index - 1]);
        window_growth(window, lost, growth)
    })
}

/// The indices of values that are less than the one before.
fn reset_indices(values: &[f64]) -> Vec<usize> {
    (1..values.len()).filter(|&index| values[index] < values[index - 1]).collect()
}

/// The growth from the first to the last sample of a window, extrapolated to its edges. `lost` are the values that resets
/// took away.
///
/// An edge is taken to belong to the series when it is less than 1.1 average distances of samples away; otherwise the
/// series is taken to begin (or end) half a distance before (or behind) its samples. And a counter is not extrapolated to
/// before the time at which it would have been 0.
fn window_growth(window: &Window<'_>, lost: impl Iterator<Item = f64>, growth: Growth) -> Option<f64> {
    let (values, times) = (window.values, window.times);
    let ([first, .., last], [first_time, .., last_time]) = (values, times) else { return None };
    let grown = lost.fold(last - first, |grown, lost| grown + lost);

    let sampled = seconds(last_time - first_time);
    let distance = sampled / (values.len() - 1) as f64;
    let reach = |gap: f64| if gap >= distance * 1.1 { distance / 2.0 } else { gap };
    let mut before = reach(seconds(first_time - window.start));
    if growth.counter && grown > 0.0 && *first >= 0.0 {
        before = before.min(sampled * (first / grown));
    }
    let after = reach(seconds(window.end - last_time));

    let mut factor = (sampled + before + after) / sampled;
    if growth.per_second {
        factor /= seconds(window.end - window.start);
    }
    Some(grown * factor)
}
