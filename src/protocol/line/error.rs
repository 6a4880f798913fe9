//! Why lines are refused, and how that is told to the client.

use std::{borrow::Cow, fmt};

use nom::error::{ErrorKind, ParseError};

use crate::model;

/// How many bytes of a bad line an answer shows.
const TEXT_SHOWN: usize = 200;

/// How many bad lines an answer shows.
const LINES_SHOWN: usize = 5;

/// Why a line is refused. The words are InfluxDB 1.x's where it has the case, since clients search for them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The measurement or the tags.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Nothing but a measurement and tags.
    #[error("missing fields")]
    MissingFields,
    /// `=1`
    #[error("missing field key")]
    MissingFieldKey,
    /// `a=`
    #[error("missing field value")]
    MissingFieldValue,
    /// A name without `=`, or something behind a value.
    #[error("invalid field format")]
    FieldFormat,
    /// A field name that is not UTF-8.
    #[error("field key is not UTF-8")]
    FieldUtf8,
    /// Neither a float nor an integer: NaN and infinities too.
    #[error("invalid number")]
    Number,
    /// An integer beyond 64 bits.
    #[error("integer out of range")]
    IntegerRange,
    /// A float beyond the largest.
    #[error("invalid float: out of range")]
    FloatRange,
    /// None of the spellings of true and false.
    #[error("invalid boolean")]
    Boolean,
    /// A string that does not end.
    #[error("unbalanced quotes")]
    Quotes,
    /// Not an integer, or something behind it.
    #[error("bad timestamp")]
    Timestamp,
    /// Beyond what 64 bits of nanoseconds hold.
    #[error("time outside range")]
    TimeRange,
    /// Longer than the limit.
    #[error("line longer than {0} bytes")]
    LineTooLong(usize),
    /// A later layer's reason, in its words.
    #[error("{0}")]
    Refused(Box<str>),
}

/// Why a measurement and its tags are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Nothing before the tags.
    #[error("missing measurement")]
    MissingMeasurement,
    /// `cpu,=a` or `cpu,,`
    #[error("missing tag key")]
    MissingTagKey,
    /// `cpu,a=` or `cpu,a`
    #[error("missing tag value")]
    MissingTagValue,
    /// An `=` in a tag's value.
    #[error("invalid tag format")]
    TagFormat,
    /// Labels are UTF-8.
    #[error("measurement or tag is not UTF-8")]
    Utf8,
    /// A tag is there twice.
    #[error("duplicate tags: {0}")]
    DuplicateTag(Box<str>),
    /// InfluxDB's limit, which keeps keys storable in 16 bits.
    #[error("max key length exceeded: {0} > 65535")]
    TooLong(usize),
}

impl From<model::KeyError> for KeyError {
    fn from(error: model::KeyError) -> Self {
        match error {
            model::KeyError::DuplicateTag(name) => Self::DuplicateTag(name.into()),
            // Only bytes read back from a file are damaged.
            model::KeyError::Damaged => Self::Utf8,
        }
    }
}

/// nom wants a reason even where the grammar gives none; every alternative of the grammar maps it to its own.
impl ParseError<&[u8]> for Reason {
    fn from_error_kind(_: &[u8], _: ErrorKind) -> Self {
        Self::FieldFormat
    }

    fn append(_: &[u8], _: ErrorKind, other: Self) -> Self {
        other
    }
}

/// A line that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineError<'a> {
    /// Its place in the body, from 1.
    pub line_number: u64,
    /// Why.
    pub reason: Reason,
    /// The whole line; of one that is too long, its start.
    pub text: &'a [u8],
}

impl LineError<'_> {
    /// The line's start as text: about 200 bytes, cut between characters, what is not UTF-8 replaced.
    pub fn shown(&self) -> Cow<'_, str> {
        if self.text.len() <= TEXT_SHOWN {
            return String::from_utf8_lossy(self.text);
        }
        let is_middle_of_char = |byte: u8| byte & 0xc0 == 0x80;
        let cut =
            (TEXT_SHOWN - 3..=TEXT_SHOWN).rev().find(|&at| !is_middle_of_char(self.text[at])).unwrap_or(TEXT_SHOWN);
        Cow::Owned(String::from_utf8_lossy(&self.text[..cut]).into_owned() + "…")
    }
}

/// A bad line as its sender is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// Its place in the body, from 1.
    pub line_number: u64,
    /// Its start.
    pub text: String,
    /// Why it is refused.
    pub reason: String,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unable to parse '{}': {} (line {})", self.text, self.reason, self.line_number)
    }
}

/// The bad lines of one body: the first few in words, all of them counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rejected {
    first: Vec<BadLine>,
    count: u64,
}

impl Rejected {
    /// Adds a line.
    pub fn add(&mut self, error: &LineError<'_>) {
        if self.first.len() < LINES_SHOWN {
            let (text, reason) = (error.shown().into_owned(), error.reason.to_string());
            self.first.push(BadLine { line_number: error.line_number, text, reason });
        }
        self.count += 1;
    }

    /// The first few.
    pub fn first(&self) -> &[BadLine] {
        &self.first
    }

    /// How many lines were refused.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Whether every line was taken.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Forgets all, for the next body.
    pub fn clear(&mut self) {
        self.first.clear();
        self.count = 0;
    }
}

impl fmt::Display for Rejected {
    /// `unable to parse 'LINE': REASON (line N)`, one a line; then how many are not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.first.iter().map(BadLine::to_string).collect::<Vec<_>>().join("\n"))?;
        match self.count - self.first.len() as u64 {
            0 => Ok(()),
            more => write!(f, "\nand {more} more bad lines"),
        }
    }
}
