//! Parameters, from the URL and from a form, and the kinds of value they have.

use std::{
    num::{IntErrorKind, ParseIntError},
    time::Duration,
};

use crate::{
    http::error::Error,
    model::{NANOS_PER_MILLI, NANOS_PER_SECOND, TimeRange},
};

/// Names and values in the order they came; those of a form before those of the URL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    /// The parameters of `a=1&b=x%20y`.
    pub(super) fn parse(query: &str) -> Result<Self, Error> {
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name, true)?, decode(value, true)?))
        });
        Ok(Self(pairs.collect::<Result<_, Error>>()?))
    }

    /// These, and behind them others.
    pub(super) fn followed_by(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// The first value of that name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The first value of that name, if it is there and not empty.
    pub(super) fn non_empty(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// All values of that name.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// A time in nanoseconds that has to be there.
    pub(super) fn time(&self, name: &str) -> Result<i64, Error> {
        let text = self.get(name).unwrap_or("");
        parse_time(text).ok_or_else(|| Error::parameter(name, no_time(text)))
    }

    /// A time in nanoseconds that may be missing.
    pub(super) fn optional_time(&self, name: &str) -> Result<Option<i64>, Error> {
        let parse = |text| {
            let reason = || format!("invalid time value for '{name}': {}", no_time(text));
            parse_time(text).ok_or_else(|| Error::parameter(name, reason()))
        };
        self.non_empty(name).map(parse).transpose()
    }

    /// A duration in nanoseconds that has to be there; may be negative.
    pub(super) fn duration(&self, name: &str) -> Result<i64, Error> {
        parse_signed_duration(self.get(name).unwrap_or("")).map_err(|reason| Error::parameter(name, reason))
    }

    /// A duration in nanoseconds that may be missing; may be negative.
    pub(super) fn optional_duration(&self, name: &str) -> Result<Option<i64>, Error> {
        self.non_empty(name).map(|_| self.duration(name)).transpose()
    }

    /// `limit`: how many results at most; `None` for all.
    pub(super) fn limit(&self) -> Result<Option<usize>, Error> {
        let Some(text) = self.non_empty("limit") else { return Ok(None) };
        match parse_integer(text) {
            Ok(limit) if limit >= 0 => Ok(usize::try_from(limit).ok().filter(|&limit| limit > 0)),
            Ok(_) => Err(Error::parameter("limit", "limit must be non-negative")),
            Err(reason) => Err(Error::parameter("limit", reason)),
        }
    }

    /// Whether a parameter of ours asks for what it is named after: `1` or `true`, `0` or `false`.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Error> {
        match self.non_empty(name) {
            None | Some("0" | "false") => Ok(false),
            Some("1" | "true") => Ok(true),
            Some(other) => Err(Error::parameter(name, format!("{other:?} is neither 1 nor 0"))),
        }
    }

    /// `start` and `end`, both inclusive; all of time where they are missing. Empty where the end is before the start.
    pub(super) fn range(&self) -> Result<TimeRange, Error> {
        let start = self.optional_time("start")?.unwrap_or(TimeRange::ALL.start);
        let end = self.optional_time("end")?.unwrap_or(TimeRange::ALL.end);
        Ok(TimeRange { start, end: end.saturating_add(1) })
    }
}

/// A decimal integer; what Go's `Atoi` says of a text that is none.
pub(super) fn parse_integer(text: &str) -> Result<i64, String> {
    text.parse().map_err(|error: ParseIntError| {
        let reason = match error.kind() {
            IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        format!("strconv.Atoi: parsing {text:?}: {reason}")
    })
}

fn no_time(text: &str) -> String {
    format!("cannot parse {text:?} to a valid timestamp")
}

/// Takes off percent encoding; in queries and forms `+` is a space.
pub(super) fn decode(text: &str, plus_is_space: bool) -> Result<String, Error> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'%' => {
                let hex = rest.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
                let value = hex.filter(|hex| !hex.contains('+')).and_then(|hex| u8::from_str_radix(hex, 16).ok());
                bytes.push(value.ok_or_else(|| Error::bad_data("error parsing parameters: invalid URL escape"))?);
                rest = &rest[2..];
            }
            b'+' if plus_is_space => bytes.push(b' '),
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).map_err(|_| Error::bad_data("error parsing parameters: not UTF-8"))
}

/// Unix seconds with decimals or RFC 3339, in nanoseconds that are whole milliseconds, as times of queries are in Prometheus:
/// decimals are rounded to them, RFC 3339 is cut to them. Times beyond what 64 bits of
/// nanoseconds can say become the first or last of those.
pub(super) fn parse_time(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse::<f64>() {
        // The fraction alone is rounded, so that 1.0005 is as close to 1.000 here as it is in Prometheus.
        let millis = seconds.trunc() * 1000.0 + (seconds.fract() * 1000.0).round();
        return seconds.is_finite().then(|| saturating_millis(millis));
    }
    match text {
        // The ends of time in Prometheus, which its clients send for "everything".
        "-292273086-05-16T16:47:06Z" => return Some(i64::MIN),
        "292277025-08-18T07:12:54.999999999Z" | "+292277025-08-18T07:12:54.999999999Z" => return Some(i64::MAX),
        _ => {}
    }
    if text.len() < "2006-01-02T15:04:05Z".len() || !text.as_bytes()[10].eq_ignore_ascii_case(&b'T') {
        return None;
    }
    let year: i32 = text.get(..4)?.parse().ok()?;
    match year {
        1678..2262 => {
            let nanos = i64::try_from(text.parse::<jiff::Timestamp>().ok()?.as_nanosecond()).ok()?;
            Some(nanos.div_euclid(NANOS_PER_MILLI) * NANOS_PER_MILLI)
        }
        // Beyond our range, and in part beyond jiff's: the rest is checked in a leap year.
        _ => {
            format!("2000{}", &text[4..]).parse::<jiff::Timestamp>().ok()?;
            Some(if year < 2000 { i64::MIN } else { i64::MAX })
        }
    }
}

/// `as` saturates floats; the multiplication must too.
fn saturating_millis(millis: f64) -> i64 {
    (millis as i64).saturating_mul(NANOS_PER_MILLI)
}

/// Seconds as a float, or `1h30m`; in nanoseconds. Or why it is neither.
fn parse_signed_duration(text: &str) -> Result<i64, String> {
    let no_duration = || format!("cannot parse {text:?} to a valid duration");
    if let Some(seconds) = text.parse::<f64>().ok().filter(|seconds| !seconds.is_nan()) {
        let nanos = seconds * NANOS_PER_SECOND as f64;
        let fits = nanos.abs() < i64::MAX as f64;
        return fits.then_some(nanos as i64).ok_or_else(|| no_duration() + ". It overflows int64");
    }
    let nanos = parse_duration(text).and_then(|duration| i64::try_from(duration.as_nanos()).ok());
    nanos.ok_or_else(no_duration)
}

/// `1h30m`, `250ms`, `1y2w3d`: units from large to small, each at most once; `0` needs none.
pub fn parse_duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, u64); 7] = [
        ("y", 365 * 86_400_000),
        ("w", 7 * 86_400_000),
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1000),
        ("ms", 1),
    ];
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (mut rest, mut units, mut millis) = (text, UNITS.iter(), 0_u64);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit_len = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (_, factor) = units.find(|(unit, _)| *unit == &rest[..unit_len])?;
        millis = millis.checked_add(number.checked_mul(*factor)?)?;
        rest = &rest[unit_len..];
    }
    (!text.is_empty()).then(|| Duration::from_millis(millis))
}
