//! How fast a series grows: `rate`, `increase`, `delta`, `irate`, `idelta`.
//!
//! A counter may restart between two samples without falling. Where samples say since when they count (their start
//! timestamps), that shows: see [`is_reset`].

use crate::promql::{
    eval::{
        Patience, Result,
        steps::seconds,
        window::{Window, Windows},
    },
    functions::{digest::Summary, extended},
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
        let grown = if is_reset(windows, window.indices().end - 1) { *after } else { after - before };
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
    let resets = if growth.counter { reset_indices(windows)? } else { Vec::new() };
    let mut passed = 0;
    windows.each(out, |window| {
        while resets.get(passed).is_some_and(|&index| index <= window.first) {
            passed += 1;
        }
        let last = window.first + window.values.len() - 1;
        let inside = resets[passed..].iter().take_while(|&&index| index <= last);
        let lost = inside.map(|&index| windows.values[index - 1]);
        let began = windows.starts.get(window.first).copied().filter(|_| growth.counter);
        window_growth(window, began, lost, growth)
    })
}

/// The indices of samples before which the counter restarted.
fn reset_indices(windows: &Windows<'_>) -> Result<Vec<usize>> {
    let values = windows.values;
    let mut resets = Vec::new();
    if !windows.starts.is_empty() {
        for first in (1..values.len()).step_by(Patience::WORK) {
            windows.patience.spend(Patience::WORK)?;
            let behind = values.len().min(first + Patience::WORK);
            resets.extend((first..behind).filter(|&index| is_reset(windows, index)));
        }
        return Ok(resets);
    }
    // Each place is written and then counted or not, so that values that go up and down cost no mispredicted branch.
    let (mut resets, mut count) = (vec![0; values.len()], 0);
    for first in (1..values.len()).step_by(Patience::WORK) {
        windows.patience.spend(Patience::WORK.min(values.len() - first))?;
        let behind = values.len().min(first + Patience::WORK);
        for (index, pair) in (first..).zip(values[first - 1..behind].windows(2)) {
            resets[count] = index;
            count += usize::from(pair[1] < pair[0]);
        }
    }
    resets.truncate(count);
    Ok(resets)
}

/// Whether a counter restarted between the sample before `index` and that one: because the value fell, or because the
/// later sample counts from a time behind the earlier one. A start at the very time of the earlier sample is that of a
/// delta, where the earlier sample has a start of its own; else it only says that nothing is known of what was before.
#[inline]
pub(super) fn is_reset(windows: &Windows<'_>, index: usize) -> bool {
    if windows.values[index] < windows.values[index - 1] {
        return true;
    }
    let (Some(&before), Some(&start)) = (windows.starts.get(index - 1), windows.starts.get(index)) else {
        return false;
    };
    let (earlier, later) = (windows.times[index - 1], windows.times[index]);
    let begins_there = start == earlier && before != 0 && before < earlier;
    start != 0 && start < later && (start > earlier || begins_there)
}

/// Whether any window has a sample that counts from before the one before it, and not from the same time as that one.
pub(crate) fn has_overlap(windows: &Windows<'_>) -> Result<bool> {
    let starts = windows.starts;
    let overlaps = |index: &usize| {
        starts[*index] != 0 && starts[*index] < windows.times[index - 1] && starts[*index] != starts[index - 1]
    };
    let mut places: Vec<usize> = Vec::new();
    for first in (1..starts.len()).step_by(Patience::WORK) {
        windows.patience.spend(Patience::WORK.min(starts.len() - first))?;
        places.extend((first..starts.len().min(first + Patience::WORK)).filter(overlaps));
    }
    let mut found = false;
    if !places.is_empty() {
        windows.each(&mut vec![0.0; windows.frame.steps.count], |window| {
            let next = places.partition_point(|place| *place <= window.first);
            found |= places.get(next).is_some_and(|place| *place < window.indices().end);
            None
        })?;
    }
    Ok(found)
}

/// The growth from the first to the last sample of a window, extrapolated to its edges. `began` is since when the first
/// sample counts; inside the window, it was 0 then, and nothing is left to guess before it. `lost` are the values that
/// resets took away.
///
/// An edge is taken to belong to the series when it is less than 1.1 average distances of samples away; otherwise the
/// series is taken to begin (or end) half a distance before (or behind) its samples. And a counter is not extrapolated to
/// before the time at which it would have been 0.
fn window_growth(
    window: &Window<'_>,
    began: Option<i64>,
    lost: impl Iterator<Item = f64>,
    growth: Growth,
) -> Option<f64> {
    let (values, times) = (window.values, window.times);
    let (first, last) = (values[0], values[values.len() - 1]);
    let ends = Ends {
        window: (window.start, window.end),
        count: values.len(),
        first: (times[0], first),
        last_time: times[times.len() - 1],
        grown: lost.fold(last - first, |grown, lost| grown + lost),
    };
    ends.growth(began, growth)
}

/// The growth of what a summary is of, which has no start timestamps.
pub(super) fn growth_of(summary: &Summary, growth: Growth) -> Option<f64> {
    let lost = if growth.counter { summary.lost } else { 0.0 };
    let ends = Ends {
        window: (summary.start, summary.end),
        count: summary.count as usize,
        first: summary.first,
        last_time: summary.last.0,
        grown: summary.last.1 - summary.first.1 + lost,
    };
    ends.growth(None, growth)
}

/// What the growth in a window follows from.
struct Ends {
    /// `(start, end]`.
    window: (i64, i64),
    /// How many samples it has.
    count: usize,
    /// Time and value of the first one.
    first: (i64, f64),
    /// Time of the last one.
    last_time: i64,
    /// From the first value to the last, resets made up for.
    grown: f64,
}

impl Ends {
    fn growth(self, began: Option<i64>, growth: Growth) -> Option<f64> {
        let Self { window: (start, end), count, first: (first_time, first), last_time, mut grown } = self;
        let began = began.filter(|&began| began != 0 && start < began && began < first_time);
        if count < 2 && began.is_none() {
            return None;
        }
        let distance = match count - 1 {
            0 => 0.0,
            gaps => seconds(last_time - first_time) / gaps as f64,
        };
        let reach = |gap: f64| if gap >= distance * 1.1 { distance / 2.0 } else { gap };
        let sampled = seconds(last_time - began.unwrap_or(first_time));
        let mut before = 0.0;
        if began.is_some() {
            grown += first;
        } else {
            before = reach(seconds(first_time - start));
            if growth.counter && grown > 0.0 && first >= 0.0 {
                before = before.min(sampled * (first / grown));
            }
        }
        let after = reach(seconds(end - last_time));

        let mut factor = (sampled + before + after) / sampled;
        if growth.per_second {
            factor /= seconds(end - start);
        }
        Some(grown * factor)
    }
}
