//! The lexical grammar, and the values of numbers and durations.
//!
//! What is no number or duration is said to be none by its text as far as Prometheus reads it, so the reading goes as far
//! and no further: a number is let go at the character that spoils it, and what follows may still make it a duration.

use nom::{
    IResult, Parser,
    bytes::complete::{take_while, take_while1},
    character::complete::digit1,
};

use crate::{
    model::NANOS_PER_MILLI,
    promql::lexer::{Kind, quote},
};

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

/// Whether the next token is `(`.
pub(super) fn paren_follows(text: &str) -> bool {
    text[length(take_while(|c: char| c.is_ascii_whitespace()).parse(text))..].starts_with('(')
}

/// What number or duration a text starts with, and its length; else the length of what was read of it.
pub(super) fn number_or_duration(text: &str) -> Result<(Kind, usize), usize> {
    let mut cursor = Cursor { text, at: 0 };
    if cursor.number() {
        Ok((Kind::Number, cursor.at))
    } else if cursor.duration() {
        Ok((Kind::Duration, cursor.at))
    } else {
        Err(cursor.at)
    }
}

const DIGITS: &str = "0123456789";
const HEX_DIGITS: &str = "0123456789abcdefABCDEF";

/// A text and how far it was read.
struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    /// Takes a character if it is one of these.
    fn eat(&mut self, of: &str) -> bool {
        let eaten = self.peek().filter(|c| of.contains(*c));
        self.at += eaten.map_or(0, char::len_utf8);
        eaten.is_some()
    }

    /// `1`, `1_000`, `.5`, `2.`, `1e-3`, `0x_1f`, and some that turn out to be none when their value is asked for.
    fn number(&mut self) -> bool {
        let hex = self.eat("0") && self.eat("xX");
        if hex {
            self.eat("_");
        }
        let digits = if hex { HEX_DIGITS } else { DIGITS };
        self.eat(".");
        self.eat(digits);
        let (mut dots, mut exponents) = (0, 0);
        loop {
            let good = if self.eat(".") {
                dots += 1;
                dots == 1 && !self.eat("_.") && !hex
            } else if self.eat("eE") {
                exponents += 1;
                exponents == 1 && {
                    self.eat("+-");
                    !self.eat("._eE") && self.peek().is_some()
                }
            } else if self.eat("_") {
                !self.eat("._eE") && self.peek().is_some()
            } else if self.eat(digits) {
                while self.eat(digits) {}
                true
            } else {
                return !self.peek().is_some_and(continues_word);
            };
            if !good {
                return false;
            }
        }
    }

    /// `1h30m` from its first unit on, in any order; [`duration_nanos`] is stricter.
    fn duration(&mut self) -> bool {
        if !self.eat("smhdwy") {
            return false;
        }
        self.eat("s"); // of `ms`, and of `hs`, which is no unit
        while self.eat(DIGITS) {
            while self.eat(DIGITS) {}
            if !self.eat("smhdw") {
                return false;
            }
            self.eat("s");
        }
        let spoilt = self.peek().filter(|c| continues_word(*c));
        self.at += spoilt.map_or(0, char::len_utf8);
        spoilt.is_none()
    }
}

fn length(scanned: Scan<'_>) -> usize {
    scanned.map_or(0, |(_, token)| token.len())
}

/// The value of a number token. As in Go, a leading zero makes an integer octal where its digits allow.
pub(crate) fn number_value(token: &str) -> Result<f64, String> {
    let fail = |why: &str| Err(format!("error parsing number: strconv.ParseFloat: parsing {}: {why}", quote(token)));
    let lower = token.to_ascii_lowercase();
    let (hex, digits) = lower.strip_prefix("0x").map_or((false, &*lower), |digits| (true, digits));
    if !underscores_part_digits(digits, hex) {
        return fail("invalid syntax");
    }
    let plain = digits.replace('_', "");
    if hex {
        return i64::from_str_radix(&plain, 16).map(|value| value as f64).or_else(|_| fail("invalid syntax"));
    }
    let octal = if plain.starts_with('0') { i64::from_str_radix(&plain, 8).ok() } else { None };
    match octal.map_or_else(|| plain.parse::<f64>(), |value| Ok(value as f64)) {
        Ok(value) if value.is_infinite() && plain != "inf" => fail("value out of range"),
        Ok(value) => Ok(value),
        Err(_) => fail("invalid syntax"),
    }
}

/// Whether each `_` stands between two digits; behind `0x` it may also come first.
fn underscores_part_digits(text: &str, hex: bool) -> bool {
    let digit =
        |byte: Option<&u8>| byte.is_some_and(|byte| if hex { byte.is_ascii_hexdigit() } else { byte.is_ascii_digit() });
    let bytes = text.as_bytes();
    bytes.iter().enumerate().filter(|(_, byte)| **byte == b'_').all(|(at, _)| {
        let before = at.checked_sub(1).map_or(hex, |before| digit(bytes.get(before)));
        before && digit(bytes.get(at + 1))
    })
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
    let invalid = || format!("not a valid duration string: {}", quote(token));
    let mut rest = token;
    let mut units = UNITS.iter();
    let mut millis: Option<i64> = Some(0);
    while !rest.is_empty() {
        let (after, (count, name)) = (digit1, take_while1(|c: char| !c.is_ascii_digit()))
            .parse(rest)
            .map_err(|_: nom::Err<nom::error::Error<&str>>| invalid())?;
        let count: u64 = count.parse().map_err(|_| invalid())?;
        if !UNITS.iter().any(|(unit, _)| *unit == name) {
            return Err(format!("unknown unit {} in duration {}", quote(name), quote(token)));
        }
        let (_, scale) = units.find(|(unit, _)| *unit == name).ok_or_else(invalid)?;
        let part = i64::try_from(count).ok().and_then(|count| count.checked_mul(*scale));
        millis = millis.zip(part).and_then(|(sum, part)| sum.checked_add(part));
        rest = after;
    }
    millis.and_then(|millis| millis.checked_mul(NANOS_PER_MILLI)).ok_or_else(|| "duration out of range".to_owned())
}
