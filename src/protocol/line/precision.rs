//! The unit of timestamps.

/// What one tick of a line's timestamp means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// `n`, `ns`
    #[default]
    Nanoseconds,
    /// `u`, `us`, `µ`, `µs`
    Microseconds,
    /// `ms`
    Milliseconds,
    /// `s`
    Seconds,
    /// `m`
    Minutes,
    /// `h`
    Hours,
    /// Guessed for each timestamp.
    Auto,
}

impl Precision {
    /// The precision a `precision=` parameter names; empty means nanoseconds. `None` for an unknown name.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "" | "n" | "ns" => Self::Nanoseconds,
            // Both spellings of µ: the micro sign and the Greek letter.
            "u" | "us" | "\u{b5}" | "\u{b5}s" | "\u{3bc}" | "\u{3bc}s" => Self::Microseconds,
            "ms" => Self::Milliseconds,
            "s" => Self::Seconds,
            "m" => Self::Minutes,
            "h" => Self::Hours,
            _ => return None,
        })
    }

    /// Nanoseconds in one tick; `None` where they are guessed.
    pub fn nanos(self) -> Option<i64> {
        Some(match self {
            Self::Nanoseconds => 1,
            Self::Microseconds => 1_000,
            Self::Milliseconds => 1_000_000,
            Self::Seconds => 1_000_000_000,
            Self::Minutes => 60_000_000_000,
            Self::Hours => 3_600_000_000_000,
            Self::Auto => return None,
        })
    }

    /// `time` (nanoseconds) rounded down to a whole tick.
    pub fn truncate(self, time: i64) -> i64 {
        time.saturating_sub(time.rem_euclid(self.nanos().unwrap_or(1)))
    }
}

/// Nanoseconds in one tick of a timestamp, by its magnitude: 5 × 10^9 seconds are the year 2128, as milliseconds February
/// 1970. The bounds are InfluxDB 3's.
pub(super) fn guess_nanos(ticks: i64) -> i64 {
    match ticks.unsigned_abs() {
        0..5_000_000_000 => 1_000_000_000,
        5_000_000_000..5_000_000_000_000 => 1_000_000,
        5_000_000_000_000..5_000_000_000_000_000 => 1_000,
        _ => 1,
    }
}
