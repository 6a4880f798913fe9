//! InfluxDB line protocol: `cpu,host=a,region=eu usage_user=1.5,usage_idle=97i 1451606400000000000`.
//!
//! ```text
//! body:  (line "\n")* line?                     CR LF is taken for LF; blank lines and `# comments` are skipped
//! line:  measurement ("," tag "=" value)* " "+ field ("," field)* (" "+ timestamp)? " "*
//! field: name "=" (float | integer "i" | integer "u" | boolean | '"' string '"')
//! ```
//!
//! The reading is InfluxDB 1.x's, the lenient one; where it is not, `tests/vectors.rs` lists the difference and why.
//! `\,` and `\ ` are escapes in a measurement, `\=` too in tags and field names; any other backslash there is itself. In
//! strings `\"` and `\\` are escapes, and newlines are content. `time` is a name like any other, and a timestamp may be
//! before 1970.
//!
//! Numbers, integers and booleans (1 or 0) all become `f64`. A string field is dropped and counted and its line kept.
//! Of a field written twice, the last number wins. Names must be UTF-8, since they become labels.
//!
//! **How it is fast.** A client writes the same field names in the same order again and again. A [`Parser`] remembers each
//! such [`Shape`] and, rather than scan the names of a line, compares them with the shape it expects, and converts
//! numbers eight digits at a time. What does not fit goes through the whole grammar. The tags are not looked at
//! at all: [`Line::raw_key`] is where the caller finds its stream, and [`parse_key`] what it calls once per new stream.
//! In the steady state nothing is allocated.
//!
//! **What a bad line costs.** Itself. The next line begins behind the first newline outside a string, also where the rest
//! makes no sense; a string that never ends ends at its first newline.
//!
//! ```
//! # use plimsoll::protocol::line::{Parser, Precision, parse_key};
//! let mut parser = Parser::default();
//! parser.begin(Precision::Seconds, 0);
//! let mut lines = parser.lines(b"cpu,host=a user=1.5,idle=97i 1451606400\n");
//! let line = lines.next_line().expect("there is a line").expect("it is valid");
//! assert_eq!((line.shape().fields(), line.values), (&["user".into(), "idle".into()][..], &[1.5, 97.0][..]));
//! assert_eq!(line.timestamp, 1_451_606_400_000_000_000);
//! assert_eq!(parse_key(line.raw_key).expect("it is valid").tags, [("host".into(), "a".into())]);
//! ```
//!
//! Not here: duplicate tags (`model::StreamKey::new` reports them), limits on series, retention.

mod error;
mod frames;
mod grammar;
mod number;
mod parser;
mod precision;
mod shape;

#[cfg(test)]
mod tests;

pub use error::{BadLine, KeyError, LineError, Reason, Rejected};
pub use frames::Frames;
pub use grammar::{RawSeries, parse_key};
pub use parser::{DEFAULT_LINE_MAX, Line, Lines, Parser};
pub use precision::Precision;
pub use shape::{SHAPES_MAX, Shape, ShapeId};
