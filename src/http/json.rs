//! JSON as Prometheus writes it: labels, times, values.
//!
//! Values are strings with the shortest decimal that reads back as the same float, in `e` form only below 1e-6 and
//! from 1e21 on. Times are numbers in seconds with no decimals or exactly three. Everything is appended to a buffer, so
//! that an answer of any size is made in pieces.

use std::io::Write;

use crate::model::{Labels, NANOS_PER_MILLI};

/// A JSON string.
pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(place) = rest.iter().position(|&byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        out.extend_from_slice(&rest[..place]);
        match rest[place] {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            other => put(out, format_args!("\\u{other:04x}")),
        }
        rest = &rest[place + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// An object of strings, in the order given.
pub(super) fn object(members: &[(&str, &str)]) -> String {
    let mut out = Vec::with_capacity(128);
    map(&mut out, members.iter().copied());
    String::from_utf8(out).expect("made of strings")
}

/// A label set.
pub(super) fn labels(out: &mut Vec<u8>, labels: &Labels) {
    map(out, labels.iter());
}

fn map<'a>(out: &mut Vec<u8>, members: impl Iterator<Item = (&'a str, &'a str)>) {
    out.push(b'{');
    for (index, (name, value)) in members.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        string(out, name);
        out.push(b':');
        string(out, value);
    }
    out.push(b'}');
}

/// `[` items `]`
pub(super) fn list<T>(out: &mut Vec<u8>, items: impl IntoIterator<Item = T>, mut item: impl FnMut(&mut Vec<u8>, T)) {
    out.push(b'[');
    for (index, value) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        item(out, value);
    }
    out.push(b']');
}

/// `[time,"value"]`
pub(super) fn point(out: &mut Vec<u8>, nanos: i64, value: f64) {
    out.push(b'[');
    time(out, nanos);
    out.extend_from_slice(b",\"");
    number(out, value);
    out.extend_from_slice(b"\"]");
}

/// Seconds, cut to milliseconds.
pub(super) fn time(out: &mut Vec<u8>, nanos: i64) {
    let millis = nanos.div_euclid(NANOS_PER_MILLI);
    if millis < 0 {
        out.push(b'-');
    }
    let (seconds, rest) = (millis.unsigned_abs() / 1000, millis.unsigned_abs() % 1000);
    match rest {
        0 => put(out, format_args!("{seconds}")),
        _ => put(out, format_args!("{seconds}.{rest:03}")),
    }
}

/// The text of a value, without quotes.
pub(super) fn number(out: &mut Vec<u8>, value: f64) {
    let magnitude = value.abs();
    if value.is_nan() {
        out.extend_from_slice(b"NaN");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"+Inf" } else { b"-Inf" });
    } else if value != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        exponent_form(out, value);
    } else {
        put(out, format_args!("{value}"));
    }
}

/// `1.5e+21`, `1e-07`: a sign and at least two digits in the exponent.
fn exponent_form(out: &mut Vec<u8>, value: f64) {
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').expect("`{:e}` writes an e");
    let exponent: i32 = exponent.parse().expect("`{:e}` writes an integer behind the e");
    let sign = if exponent < 0 { '-' } else { '+' };
    put(out, format_args!("{mantissa}e{sign}{:02}", exponent.unsigned_abs()));
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a Vec takes all bytes");
}
