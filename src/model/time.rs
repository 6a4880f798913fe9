//! Time: `i64` nanoseconds since the Unix epoch, everywhere.

use std::fmt;

/// Nanoseconds in a millisecond.
pub const NANOS_PER_MILLI: i64 = 1_000_000;
/// Nanoseconds in a second.
pub const NANOS_PER_SECOND: i64 = 1_000_000_000;
/// Nanoseconds in a UTC day.
pub const NANOS_PER_DAY: i64 = 86_400 * NANOS_PER_SECOND;

/// A half-open range of time in nanoseconds: `start <= t && t < end`. Empty when `start >= end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    /// First nanosecond inside.
    pub start: i64,
    /// First nanosecond behind.
    pub end: i64,
}

impl TimeRange {
    /// All of time, but for the last nanosecond an `i64` can hold.
    pub const ALL: Self = Self { start: i64::MIN, end: i64::MAX };

    /// Whether `time` lies inside.
    pub fn contains(self, time: i64) -> bool {
        self.start <= time && time < self.end
    }

    /// Whether any nanosecond of `first..=last` lies inside.
    pub fn overlaps(self, first: i64, last: i64) -> bool {
        self.start <= last && first < self.end
    }

    /// The places in ascending `times` that lie inside.
    pub fn indices_in(self, times: &[i64]) -> std::ops::Range<usize> {
        let from = times.partition_point(|&t| t < self.start);
        let to = times.partition_point(|&t| t < self.end).max(from);
        from..to
    }
}

/// A UTC day, counted from 1970-01-01: the unit of partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub i32);

impl Day {
    /// The day that holds `time` (nanoseconds).
    pub fn of(time: i64) -> Self {
        // An i64 of nanoseconds spans 213,504 days, well inside an i32.
        Self(time.div_euclid(NANOS_PER_DAY) as i32)
    }

    /// The nanoseconds of this day.
    pub fn range(self) -> TimeRange {
        let start = i64::from(self.0).saturating_mul(NANOS_PER_DAY);
        TimeRange { start, end: start.saturating_add(NANOS_PER_DAY) }
    }

    /// The day a directory such as `2026-11-20` is named after.
    pub fn parse(text: &str) -> Option<Self> {
        let date: jiff::civil::Date = text.parse().ok()?;
        let epoch = jiff::civil::date(1970, 1, 1);
        let day = Self(epoch.until(date).ok()?.get_days());
        (day.to_string() == text).then_some(day)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = jiff::civil::date(1970, 1, 1) + jiff::Span::new().days(self.0);
        write!(f, "{date}")
    }
}
