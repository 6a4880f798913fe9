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

    /// Nanoseconds in one tick.
    pub fn nanos(self) -> i64 {
        match self {
            Self::Nanoseconds => 1,
            Self::Microseconds => 1_000,
            Self::Milliseconds => 1_000_000,
            Self::Seconds => 1_000_000_000,
            Self::Minutes => 60_000_000_000,
            Self::Hours => 3_600_000_000_000,
        }
    }

    /// `time` (nanoseconds) rounded down to a whole tick.
    pub fn truncate(self, time: i64) -> i64 {
        time.saturating_sub(time.rem_euclid(self.nanos()))
    }
}
