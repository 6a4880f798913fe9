//! The lexical grammar, and the values of numbers and durations.

use nom::{
    IResult, Parser,
    branch::alt,
    bytes::complete::{tag, tag_no_case, take_while, take_while1},
    character::complete::{char, digit1, hex_digit1, one_of},
    combinator::{opt, recognize},
    multi::{many0_count, many1_count},
};

use crate::{model::NANOS_PER_MILLI, promql::lexer::Kind};

type Scan<'a> = IResult<&'a str, &'a str>;

pub(super) fn starts_word(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

fn continues_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The length of the blanks a text starts with.
pub(super) fn blanks(text: &str) -> usize {
    length(take_while1(|c| matches!(c, ' ' | '\t' | '\r' | '\n')).parse(text))
}

/// The length of the comment a text starts with, without the line's end.
pub(super) fn comment(text: &str) -> usize {
    length(take_while1(|c| c != '\n' && c != '\r').parse(text))
}

/// The word a text starts with; a metric's name may have colons.
pub(super) fn word(text: &str, colons: bool) -> &str {
    &text[..length(take_while(|c| continues_word(c) || (colons && c == ':')).parse(text))]
}

/// The letters, digits, dots and underscores a text starts with.
pub(super) fn alphanumeric(text: &str) -> &str {
    &text[..length(take_while(|c| continues_word(c) || c == '.').parse(text))]
}

/// Whether the next token is `(`.
pub(super) fn paren_follows(text: &str) -> bool {
    text[length(take_while(|c: char| c.is_ascii_whitespace()).parse(text))..].starts_with('(')
}

/// What number a text starts with, and its length.
pub(super) fn number_or_duration(text: &str) -> Option<(Kind, usize)> {
    let ends = |(rest, token): (&str, &str)| (!rest.starts_with(continues_word)).then_some(token.len());
    let number = alt((hexadecimal, decimal)).parse(text).ok().and_then(ends).map(|length| (Kind::Number, length));
    number.or_else(|| duration(text).ok().and_then(ends).map(|length| (Kind::Duration, length)))
}

/// `0x1f`, `0x_1f`
fn hexadecimal(text: &str) -> Scan<'_> {
    let digits = (hex_digit1, many0_count((char('_'), hex_digit1)));
    recognize((tag_no_case("0x"), opt(char('_')), digits)).parse(text)
}

/// `1`, `1_000`, `.5`, `2.`, `1e-3`
fn decimal(text: &str) -> Scan<'_> {
    let whole = recognize((digits, opt((char('.'), opt(digits)))));
    let exponent = (one_of("eE"), opt(one_of("+-")), digits);
    recognize((alt((whole, recognize((char('.'), digits)))), opt(exponent))).parse(text)
}

fn digits(text: &str) -> Scan<'_> {
    recognize((digit1, many0_count((char('_'), digit1)))).parse(text)
}

/// `1h30m`, in any order of units; [`duration_nanos`] is stricter.
fn duration(text: &str) -> Scan<'_> {
    recognize(many1_count((digit1, unit))).parse(text)
}

fn unit(text: &str) -> Scan<'_> {
    alt((tag("ms"), tag("s"), tag("m"), tag("h"), tag("d"), tag("w"), tag("y"))).parse(text)
}

fn length(scanned: Scan<'_>) -> usize {
    scanned.map_or(0, |(_, token)| token.len())
}

/// The value of a number token. As in Go, a leading zero makes an integer octal where its digits allow.
pub(crate) fn number_value(token: &str) -> Result<f64, String> {
    let plain = token.replace('_', "").to_ascii_lowercase();
    let integer = match plain.strip_prefix("0x") {
        Some(hex) => {
            return i64::from_str_radix(hex, 16)
                .map(|value| value as f64)
                .map_err(|_| format!("error parsing number: {token:?} is out of range"));
        }
        None if plain.len() > 1 && plain.starts_with('0') => i64::from_str_radix(&plain, 8).ok(),
        None => None,
    };
    match integer.map_or_else(|| plain.parse::<f64>().ok(), |value| Some(value as f64)) {
        Some(value) if value.is_finite() || plain == "inf" || plain == "nan" => Ok(value),
        _ => Err(format!("error parsing number: {token:?} is out of range")),
    }
}

/// Units from the longest, each with its milliseconds.
pub(crate) const UNITS: [(&str, i64); 7] = [
    ("y", 365 * 24 * 3_600_000),
    ("w", 7 * 24 * 3_600_000),
    ("d", 24 * 3_600_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// The nanoseconds of a duration token. Units must fall, each at most once.
pub(crate) fn duration_nanos(token: &str) -> Result<i64, String> {
    let mut rest = token;
    let mut units = UNITS.iter();
    let mut millis: Option<i64> = Some(0);
    while !rest.is_empty() {
        let (after, (count, name)) =
            (digit1, unit).parse(rest).map_err(|_: nom::Err<nom::error::Error<&str>>| not_a_duration(token))?;
        let (_, scale) = units.find(|(unit, _)| *unit == name).ok_or_else(|| not_a_duration(token))?;
        let part = count.parse::<i64>().ok().and_then(|count| count.checked_mul(*scale));
        millis = millis.zip(part).and_then(|(sum, part)| sum.checked_add(part));
        rest = after;
    }
    millis.and_then(|millis| millis.checked_mul(NANOS_PER_MILLI)).ok_or_else(|| "duration out of range".to_owned())
}

fn not_a_duration(token: &str) -> String {
    format!("not a valid duration string: {token:?}")
}
