//! Runs Prometheus's engine test scripts: `load` samples, `eval` queries, compare.
//!
//! [`script`] reads a script, [`series`] and [`histogram`] its notation of samples; [`run`] evaluates and [`compare`]
//! judges. Where the samples are kept is the caller's: [`Loader`] makes a source of them.

mod compare;
mod expect;
mod histogram;
mod pin;
mod run;
mod script;
mod series;

use crate::{promql::Histogram, select};

pub(super) use run::{Outcome, run};

/// Keeps samples and gives a way to read them.
pub(super) type Loader = dyn Fn(&[select::Series]) -> Box<dyn select::Source>;

/// A sample as scripts write it.
#[derive(Clone, Debug, PartialEq)]
enum Written {
    /// `_`
    Nothing,
    /// A number, the stale marker too.
    Float(f64),
    /// `{{…}}`
    Histogram(Box<Histogram>),
}

/// Nanoseconds of a Prometheus duration: `0`, or `1h30m` and the like, units falling.
fn duration(text: &str) -> Option<i64> {
    const UNITS: [(&str, i64); 7] = [
        ("y", 365 * 86_400_000),
        ("w", 7 * 86_400_000),
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1000),
        ("ms", 1),
    ];
    if text == "0" {
        return Some(0);
    }
    let (mut rest, mut units, mut millis) = (text, &UNITS[..], 0i64);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: i64 = rest[..digits].parse().ok()?;
        let letters = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |end| digits + end);
        let index = units.iter().position(|(unit, _)| *unit == &rest[digits..letters])?;
        millis += number * units[index].1;
        units = &units[index + 1..];
        rest = &rest[letters..];
    }
    (!text.is_empty()).then_some(millis * 1_000_000)
}

#[test]
fn durations_are_read_with_units_falling() {
    assert_eq!(duration("1h30m5ms"), Some(5_400_005 * 1_000_000));
    assert_eq!(duration("0"), Some(0));
    assert_eq!([duration("5m1h"), duration("5"), duration(""), duration("m")], [None; 4]);
}
