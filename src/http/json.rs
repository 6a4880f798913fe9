//! JSON as Prometheus writes it: labels, times, values.
//!
//! Values are strings with the shortest decimal that reads back as the same float, in `e` form only below 1e-6 and
//! from 1e21 on. Times are numbers in seconds with no decimals or exactly three. Everything is appended to a buffer, so
//! that an answer of any size is made in pieces.

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
            other => out.extend_from_slice(format!("\\u{other:04x}").as_bytes()),
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
#[inline]
pub(super) fn point(out: &mut Vec<u8>, nanos: i64, value: f64) {
    out.push(b'[');
    time(out, nanos);
    out.extend_from_slice(b",\"");
    number(out, value);
    out.extend_from_slice(b"\"]");
}

/// Seconds, cut to milliseconds.
#[inline]
pub(super) fn time(out: &mut Vec<u8>, nanos: i64) {
    let millis = nanos.div_euclid(NANOS_PER_MILLI);
    if millis < 0 {
        out.push(b'-');
    }
    let (seconds, rest) = (millis.unsigned_abs() / 1000, (millis.unsigned_abs() % 1000) as u16);
    out.extend_from_slice(itoa::Buffer::new().format(seconds).as_bytes());
    if rest > 0 {
        let digit = |unit: u16| b'0' + (rest / unit % 10) as u8;
        out.extend_from_slice(&[b'.', digit(100), digit(10), digit(1)]);
    }
}

/// Seconds, cut to milliseconds, with as few decimals as that takes.
pub(super) fn short_time(out: &mut Vec<u8>, nanos: i64) {
    let start = out.len();
    time(out, nanos);
    if out[start..].contains(&b'.') {
        while out.last() == Some(&b'0') {
            out.pop();
        }
    }
}

/// A value with all its digits, never in `e` form: how Prometheus writes scalars and literals.
pub(super) fn plain(value: f64) -> String {
    match value {
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        _ => value.to_string(),
    }
}

/// From here on floats are whole, but not all whole numbers are floats.
const WHOLE_MAX: f64 = (1_u64 << 53) as f64;

/// The text of a value, without quotes.
#[inline]
pub(super) fn number(out: &mut Vec<u8>, value: f64) {
    let whole = value as i64; // saturates, and takes NaN for 0: neither is equal to what it came from
    if whole as f64 == value && value.abs() < WHOLE_MAX && (whole != 0 || value.is_sign_positive()) {
        out.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes());
    } else {
        fraction(out, value);
    }
}

/// The text of a value that is no small whole number.
fn fraction(out: &mut Vec<u8>, value: f64) {
    let mut buffer = zmij::Buffer::new();
    match value.abs() {
        _ if value.is_nan() => out.extend_from_slice(b"NaN"),
        f64::INFINITY => out.extend_from_slice(if value > 0.0 { b"+Inf" } else { b"-Inf" }),
        0.0 => out.extend_from_slice(b"-0"),
        size => {
            let text = buffer.format_finite(value);
            match text.split_once('e') {
                None => out.extend_from_slice(text.strip_suffix(".0").unwrap_or(text).as_bytes()),
                Some((mantissa, exponent)) => {
                    let exponent = exponent.parse().expect("an integer is behind the e");
                    let is_plain = (1e-6..1e21).contains(&size);
                    let write = if is_plain { without_exponent } else { with_exponent };
                    write(out, mantissa.strip_suffix(".0").unwrap_or(mantissa), exponent);
                }
            }
        }
    }
}

/// `1.5e+21`, `1e-07`: a sign and at least two digits in the exponent.
fn with_exponent(out: &mut Vec<u8>, mantissa: &str, exponent: i32) {
    let sign = if exponent < 0 { '-' } else { '+' };
    out.extend_from_slice(format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs()).as_bytes());
}

/// `-1.5` and 17 is `-150000000000000000`, `1.5` and -6 is `0.0000015`. The mantissa has one digit before its point.
fn without_exponent(out: &mut Vec<u8>, mantissa: &str, exponent: i32) {
    let (sign, mantissa) = if let Some(rest) = mantissa.strip_prefix('-') { ("-", rest) } else { ("", mantissa) };
    let digits = mantissa.bytes().filter(u8::is_ascii_digit);
    out.extend_from_slice(sign.as_bytes());
    match usize::try_from(exponent) {
        Ok(places) => out.extend(digits.chain(std::iter::repeat(b'0')).take(places + 1)),
        Err(_) => {
            out.extend_from_slice(b"0.");
            out.extend(std::iter::repeat_n(b'0', exponent.unsigned_abs() as usize - 1).chain(digits));
        }
    }
}
