//! The parser: finds lines, recognises their shapes, falls back to the grammar.

use memchr::memchr_iter;

use super::{
    Precision,
    error::{KeyError, LineError, Reason},
    frames,
    grammar::{self, Value, is_blank},
    number,
    precision::guess_nanos,
    shape::{KEY_MAX, NewField, STRING, Shape, ShapeId, Shapes},
};

/// The longest line taken unless the caller says otherwise, in bytes.
pub const DEFAULT_LINE_MAX: usize = 1 << 20;

/// Reads bodies of line protocol. Made for one connection and many bodies: it learns the shapes of lines.
#[derive(Debug)]
pub struct Parser {
    shapes: Shapes,
    last: ShapeId,
    /// The values of the line just read; as long as the widest shape so far.
    values: Vec<f64>,
    fields: Vec<NewField>,
    numbers: Vec<f64>,
    line_max: usize,
    /// Nanoseconds in a tick of this body's timestamps; `None` where they are guessed.
    tick: Option<i64>,
    now: i64,
    line_number: u64,
}

impl Default for Parser {
    fn default() -> Self {
        Self::new(DEFAULT_LINE_MAX)
    }
}

/// A line that is valid but for its tags, which [`parse_key`](super::parse_key) judges where the caller does not know the
/// key yet.
#[derive(Clone, Debug)]
pub struct Line<'l, 'a> {
    /// Measurement and tags as written, escapes and all. Equal bytes mean the same stream, different ones may too.
    pub raw_key: &'a [u8],
    /// The shape, as a number for the caller's own tables; see [`Parser::generation`].
    pub shape: ShapeId,
    /// One value for each of the shape's fields; none where the line has only strings.
    pub values: &'l [f64],
    /// Unix nanoseconds.
    pub timestamp: i64,
    /// How many string fields were dropped.
    pub dropped_strings: u32,
    /// How many integers were beyond ±2^53 and lost digits.
    pub inexact_integers: u32,
    /// The line's place in the body, from 1.
    pub line_number: u64,
    text: &'a [u8],
    shapes: &'l Shapes,
}

impl<'l, 'a> Line<'l, 'a> {
    /// The line's measurement and fields.
    pub fn shape(&self) -> &'l Shape {
        self.shapes.get(self.shape).expect("lines are made with a shape of the table")
    }

    /// [`Parser::generation`] of this line's shape.
    #[inline(always)]
    pub fn generation(&self) -> u32 {
        self.shapes.generation()
    }

    /// The line refused after all: a bad key, or a limit further up.
    pub fn refuse(&self, reason: impl Into<Reason>) -> LineError<'a> {
        LineError { line_number: self.line_number, reason: reason.into(), text: without_end(self.text) }
    }
}

/// What is read from a line, apart from its values.
#[derive(Clone, Copy, Debug)]
struct Read {
    shape: ShapeId,
    key_length: usize,
    timestamp: i64,
    inexact: u32,
    /// Bytes up to the next line.
    length: usize,
}

impl Parser {
    /// A parser that refuses lines of more than `line_max` bytes.
    pub fn new(line_max: usize) -> Self {
        Self {
            shapes: Shapes::default(),
            last: ShapeId::default(),
            values: Vec::new(),
            fields: Vec::new(),
            numbers: Vec::new(),
            line_max,
            tick: Precision::default().nanos(),
            now: 0,
            line_number: 0,
        }
    }

    /// Begins a body. `now` (Unix nanoseconds) is the time of lines that have none, rounded down to the precision.
    pub fn begin(&mut self, precision: Precision, now: i64) {
        self.tick = precision.nanos();
        self.now = precision.truncate(now);
        self.line_number = 0;
    }

    /// The lines of a chunk of the body. The chunk must hold whole lines, as [`Frames`](super::Frames) makes them; its end
    /// ends a line.
    pub fn lines<'p, 'a>(&'p mut self, chunk: &'a [u8]) -> Lines<'p, 'a> {
        Lines { parser: self, rest: chunk }
    }

    /// Rises when the shape table was full ([`SHAPES_MAX`](super::SHAPES_MAX)) and has been cleared: shape numbers from
    /// before mean nothing any more, and the caller drops its tables. Compare it at each line.
    pub fn generation(&self) -> u32 {
        self.shapes.generation()
    }

    /// Reads the line that `text` begins with, and that had `blanks` before it.
    #[inline(always)]
    fn read(&mut self, text: &[u8], blanks: usize) -> Result<Read, Reason> {
        let key_length = grammar::key_length(text).ok_or_else(|| missing_fields(text))?;
        let read = match self.read_as(self.last, text, key_length) {
            Some(read) => read,
            None => self.read_other(text, key_length)?,
        };
        // The newline does not count; whether there is one is looked up only where it matters.
        let size = blanks + read.length;
        if size > self.line_max && size > self.line_max + usize::from(text[..read.length].ends_with(b"\n")) {
            return Err(Reason::LineTooLong(self.line_max));
        }
        Ok(read)
    }

    /// Reads a line that has not the shape of the line before.
    #[inline(never)]
    fn read_other(&mut self, text: &[u8], key_length: usize) -> Result<Read, Reason> {
        let hint = self.shapes.hint(text, key_length);
        let guesses = self.shapes.guesses(hint);
        let guessed = guesses.into_iter().find_map(|id| self.read_as(id, text, key_length));
        let read = match guessed {
            Some(read) => read,
            None => self.read_whole(text, key_length).map_err(|reason| worst(&text[..key_length], reason))?,
        };
        self.shapes.learn(hint, read.shape);
        self.last = read.shape;
        Ok(read)
    }

    /// Reads a line that has, presumably, this shape; `None` where it has not, or something is unusual or wrong.
    #[inline(always)]
    fn read_as(&mut self, id: ShapeId, line: &[u8], key_length: usize) -> Option<Read> {
        let shape = self.shapes.get(id)?;
        if key_length + shape.name_size_max() > KEY_MAX || !shape.has_measurement(line, key_length) {
            return None;
        }
        let mut text = &line[key_length..];
        let mut inexact = 0;
        for written in shape.written() {
            let Some(value) = self.values.get_mut(written.column as usize) else {
                text = written.strip(text)?;
                text = text.get(long_string(text)?..)?;
                continue;
            };
            text = match written.window_value(text) {
                Some((number, rest)) => {
                    *value = number;
                    rest
                }
                None => other_value(written.strip(text)?, value, &mut inexact)?,
            };
        }
        let (timestamp, rest) = match self.short_time(text) {
            Some(found) => found,
            None if matches!(text.first(), None | Some(b' ' | b'\n' | b'\r')) => self.long_time(text).ok()?,
            None => return None,
        };
        Some(Read { shape: id, key_length, timestamp, inexact, length: line.len() - rest })
    }

    /// A timestamp of up to 19 digits and a newline: nanoseconds, and how many bytes are left.
    #[inline(always)]
    fn short_time(&self, text: &[u8]) -> Option<(i64, usize)> {
        let digits = text.strip_prefix(b" ")?;
        let (ticks, length) = number::short_time(digits)?;
        if digits.get(length) != Some(&b'\n') {
            return None;
        }
        Some((self.nanoseconds(ticks)?, digits.len() - length - 1))
    }

    #[inline(never)]
    fn long_time(&self, text: &[u8]) -> Result<(i64, usize), Reason> {
        let (rest, ticks) = grammar::time_and_end(text).map_err(reason)?;
        let timestamp = match ticks {
            Some(ticks) => self.nanoseconds(ticks).ok_or(Reason::TimeRange)?,
            None => self.now,
        };
        Ok((timestamp, rest.len()))
    }

    /// Ticks as nanoseconds. The outermost values stay free for "before" and "after everything", as in InfluxDB.
    #[inline(always)]
    fn nanoseconds(&self, ticks: i64) -> Option<i64> {
        let time = ticks.checked_mul(self.tick.unwrap_or_else(|| guess_nanos(ticks)))?;
        (i64::MIN + 2..i64::MAX).contains(&time).then_some(time)
    }

    /// Reads a line by the whole grammar, and finds or makes its shape.
    fn read_whole(&mut self, line: &[u8], key_length: usize) -> Result<Read, Reason> {
        self.fields.clear();
        self.numbers.clear();
        let mut inexact = 0;
        let (mut text, _) = grammar::blanks(&line[key_length..]).map_err(reason)?;
        if grammar::line_end(text).is_ok() {
            return Err(Reason::FieldFormat);
        }
        loop {
            let start = line.len() - text.len();
            let (rest, (raw_name, value)) = grammar::field(text).map_err(reason)?;
            self.fields.push(NewField { raw_name: start..start + raw_name.len(), is_string: value == Value::String });
            if let Value::Number { value, inexact: lost } = value {
                self.numbers.push(value);
                inexact += u32::from(lost);
            }
            match rest.strip_prefix(b",") {
                Some(next) => text = next,
                None => {
                    text = rest;
                    break;
                }
            }
        }
        let (timestamp, rest) = self.long_time(text)?;
        let id = self.shapes.find_or_insert(line, key_length, &self.fields)?;
        let shape = self.shapes.get(id).expect("it was just found");
        let key_size = key_length + shape.name_size_max();
        if key_size > KEY_MAX {
            return Err(KeyError::TooLong(key_size).into());
        }
        self.place_numbers(id);
        Ok(Read { shape: id, key_length, timestamp, inexact, length: line.len() - rest })
    }

    /// Puts the numbers read into their columns; of two for one column the later stays.
    fn place_numbers(&mut self, id: ShapeId) {
        let shape = self.shapes.get(id).expect("the shape was just found");
        if self.values.len() < shape.fields().len() {
            self.values.resize(shape.fields().len(), 0.0);
        }
        let numbers = shape.written().iter().filter(|written| written.column != STRING);
        for (written, &number) in numbers.zip(&self.numbers) {
            self.values[written.column as usize] = number;
        }
    }
}

/// The lines of a chunk, one after the other.
#[derive(Debug)]
pub struct Lines<'p, 'a> {
    parser: &'p mut Parser,
    rest: &'a [u8],
}

impl<'a> Lines<'_, 'a> {
    /// The next line that is neither blank nor a comment, or why it is refused; `None` at the end of the chunk.
    pub fn next_line(&mut self) -> Option<Result<Line<'_, 'a>, LineError<'a>>> {
        let blanks = match self.rest.first()? {
            b'$'.. => 0,
            _ => self.skip_to_line()?,
        };
        let text = &self.rest[blanks..];
        let read = match self.parser.read(text, blanks) {
            Ok(read) => read,
            Err(reason) => return Some(Err(self.skip_bad_line(blanks, reason))),
        };
        self.rest = &text[read.length..];
        let parser = &mut *self.parser;
        parser.line_number += 1;
        let shape = parser.shapes.get(read.shape).expect("a line read has its shape");
        let line = Line {
            raw_key: &text[..read.key_length],
            shape: read.shape,
            values: &parser.values[..shape.fields().len()],
            timestamp: read.timestamp,
            dropped_strings: shape.strings(),
            inexact_integers: read.inexact,
            line_number: parser.line_number,
            text: &text[..read.length],
            shapes: &parser.shapes,
        };
        if line.dropped_strings > 0 {
            parser.line_number += newlines(without_end(line.text));
        }
        Some(Ok(line))
    }

    /// Skips blank lines and comments; answers how many blanks are before the next line.
    #[inline(never)]
    fn skip_to_line(&mut self) -> Option<usize> {
        loop {
            self.rest.first()?;
            let blanks = self.rest.iter().take_while(|&&byte| is_blank(byte)).count();
            let text = &self.rest[blanks..];
            let is_comment = text.first() == Some(&b'#');
            // So many blanks may be the start of a longer line that was cut: it is refused either way.
            if blanks > self.parser.line_max || !(is_comment || grammar::line_end(text).is_ok()) {
                return Some(blanks);
            }
            let newline = memchr::memchr(b'\n', text);
            self.rest = newline.map_or(&[], |newline| &text[newline + 1..]);
            self.parser.line_number += 1;
        }
    }

    #[inline(never)]
    fn skip_bad_line(&mut self, blanks: usize, reason: Reason) -> LineError<'a> {
        let line_max = self.parser.line_max;
        let (length, in_string) = frames::line_length(self.rest, line_max);
        let reason = match reason {
            _ if length > line_max => Reason::LineTooLong(line_max),
            Reason::Key(_) => reason,
            _ if in_string => Reason::Quotes,
            _ => reason,
        };
        // Of a line that is too long the parser may have got only so much.
        let line = &self.rest[..length.min(line_max + 1)];
        let line_number = self.parser.line_number + 1;
        self.parser.line_number = line_number + newlines(line);
        self.rest = self.rest.get(length + 1..).unwrap_or_default();
        LineError { line_number, reason, text: without_end(line.get(blanks..).unwrap_or_default()) }
    }
}

/// Reads the value at the start of `text` the short way or by the grammar; what is behind it.
#[inline(never)]
fn other_value<'a>(text: &'a [u8], value: &mut f64, inexact: &mut u32) -> Option<&'a [u8]> {
    if let Some((number, length)) = number::short_value(text) {
        *value = number;
        return Some(&text[length..]);
    }
    match grammar::field_value(text).ok()? {
        (rest, Value::Number { value: number, inexact: lost }) => {
            *value = number;
            *inexact += u32::from(lost);
            Some(rest)
        }
        (_, Value::String) => None,
    }
}

#[inline(never)]
fn long_string(text: &[u8]) -> Option<usize> {
    match grammar::field_value(text).ok()? {
        (rest, Value::String) => Some(text.len() - rest.len()),
        (_, Value::Number { .. }) => None,
    }
}

/// Why a line whose key does not end is refused.
fn missing_fields(text: &[u8]) -> Reason {
    let line = text.split(|&byte| byte == b'\n').next().unwrap_or_default();
    worst(without_end(line), Reason::MissingFields)
}

/// A bad key comes before whatever is wrong behind it.
fn worst(raw_key: &[u8], reason: Reason) -> Reason {
    grammar::parse_key(raw_key).map_or_else(Reason::Key, |_| reason)
}

fn reason(error: nom::Err<Reason>) -> Reason {
    match error {
        nom::Err::Error(reason) | nom::Err::Failure(reason) => reason,
        nom::Err::Incomplete(_) => Reason::FieldFormat,
    }
}

fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn newlines(bytes: &[u8]) -> u64 {
    memchr_iter(b'\n', bytes).count() as u64
}
