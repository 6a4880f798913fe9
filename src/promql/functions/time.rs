//! Functions of the calendar, and the times of samples.

use crate::promql::{
    ast::{Expr, Node, VectorSelector},
    eval::{Eval, Pick, Result, Site, series::Sink, steps::Steps},
};

/// A date and time of day in UTC, by the Gregorian calendar reckoned to both sides without end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Civil {
    year: i64,
    month: u8,
    day: u8,
    /// From 1.
    day_of_year: u16,
    /// From Sunday, which is 0.
    weekday: u8,
    hour: u8,
    minute: u8,
}

const DAY: u64 = 86_400;
/// Days in 400 years, after which the calendar repeats.
const CYCLE: u64 = 146_097;
/// A whole number of such cycles before the year 0, and so many years is what Go reckons back to.
const YEARS_BACK: i64 = 292_277_022_400;
/// From the first day of the year after that to 1970, in seconds.
const BACK: u64 = 9_223_372_028_715_321_600;
/// Days from March to the end of a year: in a year that begins in March a leap day is the last one.
const FROM_MARCH: u64 = 306;

impl Civil {
    /// Of Unix seconds. As in Go, of which Prometheus is made, seconds before the year -292277022399 are taken for some at the
    /// other end of time.
    fn of(seconds: i64) -> Self {
        let seconds = seconds.cast_unsigned().wrapping_add(BACK);
        let (days, second) = (seconds / DAY, seconds % DAY);
        let (cycle, day) = ((days + FROM_MARCH) / CYCLE, (days + FROM_MARCH) % CYCLE);
        // Every fourth year has a leap day, but of four centuries only the last one's last year has.
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        // Months from March on have 31, 30, 31, 30, 31 days, and again, and what there is of it again: 153 days in five.
        let month = (5 * day + 2) / 153;
        let (day_of_month, is_next_year) = (day - (153 * month + 2) / 5 + 1, month >= 10);
        let year = (cycle * 400 + year).cast_signed() - YEARS_BACK + i64::from(is_next_year);
        let day_of_year = if is_next_year { day - FROM_MARCH } else { day + 59 + u64::from(is_leap(year)) } + 1;
        Self {
            year,
            month: (if is_next_year { month - 9 } else { month + 3 }) as u8,
            day: day_of_month as u8,
            day_of_year: day_of_year as u16,
            weekday: ((days + 1) % 7) as u8, // that first day is a Monday
            hour: (second / 3600) as u8,
            minute: (second / 60 % 60) as u8,
        }
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// A part of the date and time that a number of Unix seconds is; NaN of what is no number. What no `i64` holds is the first
/// time there is, infinities too: Go leaves that to the processor, and this is what it is in Prometheus on x86.
pub(crate) fn part(seconds: f64, field: fn(&Civil) -> f64) -> f64 {
    // 2^63, the first number beyond.
    const END: f64 = 9_223_372_036_854_775_808.0;
    match seconds {
        seconds if seconds.is_nan() => f64::NAN,
        // The cast cuts fractions off, as Go does.
        seconds if (-END..END).contains(&seconds) => field(&Civil::of(seconds as i64)),
        _ => field(&Civil::of(i64::MIN)),
    }
}

pub(super) fn year(time: &Civil) -> f64 {
    time.year as f64
}

pub(super) fn month(time: &Civil) -> f64 {
    time.month.into()
}

pub(super) fn day_of_month(time: &Civil) -> f64 {
    time.day.into()
}

pub(super) fn day_of_week(time: &Civil) -> f64 {
    time.weekday.into()
}

pub(super) fn day_of_year(time: &Civil) -> f64 {
    time.day_of_year.into()
}

pub(super) fn days_in_month(time: &Civil) -> f64 {
    match time.month {
        2 if is_leap(time.year) => 29.0,
        2 => 28.0,
        4 | 6 | 9 | 11 => 30.0,
        _ => 31.0,
    }
}

pub(super) fn hour(time: &Civil) -> f64 {
    time.hour.into()
}

pub(super) fn minute(time: &Civil) -> f64 {
    time.minute.into()
}

/// The time of each sample: when it was taken, where a selector gives it; when it was evaluated, where anything else does.
pub(super) fn timestamp<'a>(eval: &Eval<'a>, site: Site<'a>, steps: Steps, sink: &mut Sink<'_>) -> Result<()> {
    let arg = &site.call.args[0];
    let Some(selector) = selector(arg) else {
        return eval
            .stream_renamed(arg, steps, sink, |points, patience| points.map(patience, |step, _| steps.seconds(step)));
    };
    stream_times(eval, selector, Pick::Time, steps, sink)
}

/// The start timestamp of each sample that a selector gives, 0 where it has none; of anything else nothing.
pub(super) fn start_timestamp<'a>(eval: &Eval<'a>, site: Site<'a>, steps: Steps, sink: &mut Sink<'_>) -> Result<()> {
    match selector(&site.call.args[0]) {
        Some(selector) => stream_times(eval, selector, Pick::Start, steps, sink),
        None => Ok(()),
    }
}

fn stream_times(
    eval: &Eval<'_>,
    selector: &VectorSelector,
    pick: Pick,
    steps: Steps,
    sink: &mut Sink<'_>,
) -> Result<()> {
    let mut names = eval.name_dropper();
    eval.stream_latest(selector, steps, pick, &mut |mut row| {
        names.drop_from(&mut row)?;
        sink(row)
    })
}

fn selector(expr: &Expr) -> Option<&VectorSelector> {
    match &expr.node {
        Node::Paren(inner) => selector(inner),
        Node::Vector(selector) => Some(selector),
        _ => None,
    }
}
