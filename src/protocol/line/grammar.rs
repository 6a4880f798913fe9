//! The whole grammar, in nom: what the parser falls back to when a line has no known shape or a value is unusual, and
//! the only judge of what is valid.

use std::borrow::Cow;

use memchr::{memchr_iter, memchr2};
use nom::{
    Err, IResult, Parser as _,
    branch::alt,
    bytes::complete::{tag, take, take_while},
    character::complete::{char, digit0, digit1, one_of},
    combinator::{all_consuming, opt, recognize, value, verify},
    multi::many0_count,
    sequence::{pair, preceded},
};

use super::{
    error::{KeyError, Reason},
    number::EXACT_MAX,
};

type Parsed<'a, T> = IResult<&'a [u8], T, Reason>;

/// A measurement and its tags as read from a line: unescaped, borrowed where nothing had to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawSeries<'a> {
    /// The measurement.
    pub measurement: Cow<'a, str>,
    /// Names and values in the order written; a name may be there twice.
    pub tags: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

/// Reads [`Line::raw_key`](super::Line::raw_key). Every measurement, tag name and tag value of the result is UTF-8 and
/// not empty.
pub fn parse_key(raw_key: &[u8]) -> Result<RawSeries<'_>, KeyError> {
    let (raw_measurement, mut tail) = split_name(raw_key, is_comma);
    if raw_measurement.is_empty() {
        return Err(KeyError::MissingMeasurement);
    }
    let mut series = RawSeries { measurement: text(raw_measurement, is_measurement_escape)?, tags: Vec::new() };
    while let Some(after_comma) = tail.strip_prefix(b",") {
        let RawTag(name, raw_value, after_tag) = raw_tag(after_comma)?;
        series.tags.push((text(name, is_escape)?, text(raw_value, is_escape)?));
        tail = after_tag;
    }
    Ok(series)
}

/// A tag's name and value, raw, and what is behind it.
struct RawTag<'a>(&'a [u8], &'a [u8], &'a [u8]);

fn raw_tag(input: &[u8]) -> Result<RawTag<'_>, KeyError> {
    let (name, tail) = split_name(input, |byte| is_comma(byte) || byte == b'=');
    if name.is_empty() {
        return Err(KeyError::MissingTagKey);
    }
    let tail = tail.strip_prefix(b"=").ok_or(KeyError::MissingTagValue)?;
    // InfluxDB takes an `=` for part of the value where it comes first, and only there.
    let leading = usize::from(tail.starts_with(b"="));
    let (after, _) = split_name(&tail[leading..], |byte| is_comma(byte) || byte == b'=');
    let (raw_value, tail) = tail.split_at(leading + after.len());
    match tail.first() {
        Some(b'=') => Err(KeyError::TagFormat),
        _ if raw_value.is_empty() => Err(KeyError::MissingTagValue),
        _ => Ok(RawTag(name, raw_value, tail)),
    }
}

/// The measurement of a raw key, escapes and all.
pub(super) fn raw_measurement(raw_key: &[u8]) -> &[u8] {
    split_name(raw_key, is_comma).0
}

/// How long the measurement and tags are: up to the first space that is not escaped. `None` where the line ends first.
#[inline]
pub(super) fn key_length(line: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + memchr2(b' ', b'\n', &line[from..])?;
        match (line[at], at.checked_sub(1).map(|before| line[before])) {
            (b' ', Some(b'\\')) => from = at + 1,
            (b' ', _) => return Some(at),
            _ => return None,
        }
    }
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    /// A number, an integer or a boolean.
    Number { value: f64, inexact: bool },
    /// A string, which is not kept.
    String,
}

/// `name=value`; the name comes raw.
pub(super) fn field(input: &[u8]) -> Parsed<'_, (&[u8], Value)> {
    let (input, name) = field_name(input)?;
    let (input, value) = field_value(input)?;
    Ok((input, (name, value)))
}

fn field_name(input: &[u8]) -> Parsed<'_, &[u8]> {
    let (input, name) = recognize(many0_count(name_byte)).parse(input)?;
    match (name.is_empty(), input.first()) {
        (true, Some(b'=')) => Err(Err::Failure(Reason::MissingFieldKey)),
        (false, Some(b'=')) => Ok((&input[1..], name)),
        _ => Err(Err::Failure(Reason::FieldFormat)),
    }
}

/// One byte of a field's name, or an escape.
fn name_byte(input: &[u8]) -> Parsed<'_, &[u8]> {
    let escape = recognize(pair(char('\\'), one_of(", =")));
    let plain = verify(take(1_usize), |byte: &[u8]| !matches!(byte[0], b',' | b' ' | b'=' | b'\n'));
    alt((escape, plain)).parse(input)
}

/// A value and nothing behind it before the next `,`, blank or line end.
pub(super) fn field_value(input: &[u8]) -> Parsed<'_, Value> {
    if input.first() == Some(&b'"') {
        let (input, ()) = string(input)?;
        let is_end = matches!(input.first(), None | Some(b',' | b' ' | b'\n')) || line_end(input).is_ok();
        return if is_end { Ok((input, Value::String)) } else { Err(Err::Failure(Reason::FieldFormat)) };
    }
    let (input, token) = token(input)?;
    let value = match token.first() {
        None => Err(Reason::MissingFieldValue),
        Some(b'0'..=b'9' | b'-' | b'.' | b'N' | b'n') => number(token),
        Some(_) => boolean(token),
    };
    Ok((input, value.map_err(Err::Failure)?))
}

/// Everything up to a comma, a space or the line's end.
fn token(input: &[u8]) -> Parsed<'_, &[u8]> {
    let (tail, token) = take_while(|byte| !matches!(byte, b',' | b' ' | b'\n')).parse(input)?;
    match token.strip_suffix(b"\r") {
        Some(token) if line_end(&input[token.len()..]).is_ok() => Ok((&input[token.len()..], token)),
        _ => Ok((tail, token)),
    }
}

fn string(input: &[u8]) -> Parsed<'_, ()> {
    match string_length(input) {
        Some(length) => Ok((&input[length..], ())),
        None => Err(Err::Failure(Reason::Quotes)),
    }
}

/// The length of the string `input` begins with, both quotes included; `None` if it does not end.
pub(super) fn string_length(input: &[u8]) -> Option<usize> {
    let mut from = 1;
    loop {
        let at = from + memchr2(b'"', b'\\', input.get(from..)?)?;
        if input[at] == b'"' {
            return Some(at + 1);
        }
        from = at + 2;
    }
}

fn boolean(token: &[u8]) -> Result<Value, Reason> {
    let number = match token {
        b"t" | b"T" | b"true" | b"True" | b"TRUE" => 1.0,
        b"f" | b"F" | b"false" | b"False" | b"FALSE" => 0.0,
        _ => return Err(Reason::Boolean),
    };
    Ok(Value::Number { value: number, inexact: false })
}

fn number(token: &[u8]) -> Result<Value, Reason> {
    let integer = (recognize(pair(opt(char('-')), digit1)), value(true, char('i')));
    let unsigned = (digit1, value(false, char('u')));
    let (_, parsed) = alt((
        all_consuming(alt((integer, unsigned))).map(|(digits, signed)| integer_value(digits, signed)),
        all_consuming(float).map(float_value),
    ))
    .parse(token)
    .map_err(|_: Err<Reason>| Reason::Number)?;
    parsed
}

fn float(input: &[u8]) -> Parsed<'_, &[u8]> {
    let with_whole = recognize((digit1, opt((char('.'), digit0))));
    let without = recognize((char('.'), digit1));
    let exponent = (one_of("eE"), opt(one_of("+-")), digit1);
    recognize((opt(char('-')), alt((with_whole, without)), opt(exponent))).parse(input)
}

fn float_value(digits: &[u8]) -> Result<Value, Reason> {
    let value: f64 = fast_float2::parse(digits).map_err(|_| Reason::Number)?;
    if value.is_finite() { Ok(Value::Number { value, inexact: false }) } else { Err(Reason::FloatRange) }
}

fn integer_value(digits: &[u8], signed: bool) -> Result<Value, Reason> {
    let digits = str::from_utf8(digits).map_err(|_| Reason::Number)?;
    let (value, magnitude) = if signed {
        let number: i64 = digits.parse().map_err(|_| Reason::IntegerRange)?;
        (number as f64, number.unsigned_abs())
    } else {
        let number: u64 = digits.parse().map_err(|_| Reason::IntegerRange)?;
        (number as f64, number)
    };
    Ok(Value::Number { value, inexact: magnitude > EXACT_MAX })
}

/// What follows the fields: the timestamp in ticks, if there is one. Leaves what is behind the line's end.
pub(super) fn time_and_end(input: &[u8]) -> Parsed<'_, Option<i64>> {
    let (input, _) = blanks(input)?;
    if let Ok((input, ())) = line_end(input) {
        return Ok((input, None));
    }
    let number = recognize(pair(opt(char('-')), digit1));
    let mut to_the_end = (number, take_while(|byte| byte == b' '), line_end);
    let (input, (digits, _, ())) = to_the_end.parse(input).map_err(|_: Err<Reason>| Err::Failure(Reason::Timestamp))?;
    let ticks = str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    Ok((input, Some(ticks.ok_or(Err::Failure(Reason::TimeRange))?)))
}

/// The blanks InfluxDB skips where it expects one.
pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | 0)
}

pub(super) fn blanks(input: &[u8]) -> Parsed<'_, &[u8]> {
    take_while(is_blank).parse(input)
}

/// `\n`, `\r\n`, or the end of the input with or without a `\r` before it.
pub(super) fn line_end(input: &[u8]) -> Parsed<'_, ()> {
    let newline = value((), preceded(opt(char('\r')), char('\n')));
    let end = value((), all_consuming(opt(tag(&b"\r"[..]))));
    alt((newline, end)).parse(input)
}

/// A field's name without its escapes.
pub(super) fn field_text(raw: &[u8]) -> Result<Cow<'_, str>, Reason> {
    text(raw, is_escape).map_err(|_| Reason::FieldUtf8)
}

fn is_comma(byte: u8) -> bool {
    byte == b','
}

fn is_measurement_escape(byte: u8) -> bool {
    matches!(byte, b',' | b' ')
}

fn is_escape(byte: u8) -> bool {
    matches!(byte, b',' | b' ' | b'=')
}

/// Splits before the first byte that `ends` the name and has no backslash before it.
fn split_name(input: &[u8], ends: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    let mut before = 0;
    let end = input.iter().position(|&byte| {
        let is_end = ends(byte) && before != b'\\';
        before = byte;
        is_end
    });
    input.split_at(end.unwrap_or(input.len()))
}

/// A name without its escapes: a backslash goes where an escapable byte follows, and stays elsewhere.
fn text(raw: &[u8], escapable: fn(u8) -> bool) -> Result<Cow<'_, str>, KeyError> {
    let is_escape = |&at: &usize| raw.get(at + 1).is_some_and(|&byte| escapable(byte));
    let utf8 = str::from_utf8(raw).map_err(|_| KeyError::Utf8)?;
    let mut escapes = memchr_iter(b'\\', raw).filter(is_escape).peekable();
    if escapes.peek().is_none() {
        return Ok(Cow::Borrowed(utf8));
    }
    let mut text = String::with_capacity(raw.len());
    let mut from = 0;
    for at in escapes {
        text.push_str(&utf8[from..at]);
        from = at + 1;
    }
    text.push_str(&utf8[from..]);
    Ok(Cow::Owned(text))
}
