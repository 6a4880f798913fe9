//! Where lines end: cutting a body that arrives in frames into chunks of whole lines.

use memchr::{memchr, memchr2, memrchr};

use super::grammar::is_blank;

/// How far into a line we are, as far as it matters for where the line ends. A newline ends it except in a string, and a
/// string begins with a quote right behind a field's `=`. The grammar agrees for every line it accepts; for the others
/// this alone says where the next line begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Nothing but blanks so far.
    #[default]
    Start,
    Comment,
    /// Measurement and tags.
    Key {
        escape: bool,
    },
    /// Fields and timestamp; what the byte before was.
    Fields(Before),
    String {
        escape: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Backslash,
    Equals,
    Other,
}

impl State {
    /// The state behind `byte`, which does not end the line.
    fn after(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Start, b'#') | (Self::Comment, _) => Self::Comment,
            (Self::Start, byte) if is_blank(byte) => Self::Start,
            (Self::Key { escape: false }, b' ') => Self::Fields(Before::Other),
            (Self::Start | Self::Key { .. }, byte) => Self::Key { escape: byte == b'\\' },
            (Self::Fields(Before::Equals), b'"') | (Self::String { escape: true }, _) => Self::String { escape: false },
            (Self::Fields(Before::Other | Before::Equals), b'=') => Self::Fields(Before::Equals),
            (Self::Fields(_), b'\\') => Self::Fields(Before::Backslash),
            (Self::Fields(_), _) | (Self::String { escape: false }, b'"') => Self::Fields(Before::Other),
            (Self::String { escape: false }, byte) => Self::String { escape: byte == b'\\' },
        }
    }

    fn in_string(self) -> bool {
        matches!(self, Self::String { .. })
    }

    /// Goes on to the end of the line, and says where its newline is; `None` where it is not in `bytes`.
    fn find_newline(&mut self, bytes: &[u8]) -> Option<usize> {
        for (index, &byte) in bytes.iter().enumerate() {
            if byte == b'\n' && !self.in_string() {
                return Some(index);
            }
            *self = self.after(byte);
        }
        None
    }
}

/// Where the line at the start of `body` ends: its newline, or the end of `body`; and whether that is within a string.
///
/// A string that `body` does not end is no string: then the line ends at the first newline there is, so that a forgotten
/// quote spoils one line only. Not so in a line longer than `line_max`, which nobody keeps whole.
pub(super) fn line_length(body: &[u8], line_max: usize) -> (usize, bool) {
    let mut state = State::default();
    match state.find_newline(body) {
        Some(newline) => (newline, false),
        None if state.in_string() && body.len() <= line_max => (memchr(b'\n', body).unwrap_or(body.len()), true),
        None => (body.len(), state.in_string()),
    }
}

/// Cuts a body into chunks of whole lines, for [`Parser::lines`](super::Parser::lines), as its frames arrive.
///
/// Only the unfinished line at the end of a frame is copied. Of a line longer than the limit just so much is
/// handed on that the parser refuses it, and the rest is skipped: memory stays below the limit whatever comes. The lines
/// and errors are the same wherever the frames are cut.
#[derive(Debug)]
pub struct Frames {
    line_max: usize,
    open_line: Vec<u8>,
    state: State,
    skips: bool,
}

impl Frames {
    /// For lines of at most `line_max` bytes; the [`Parser`](super::Parser)'s own limit.
    pub fn new(line_max: usize) -> Self {
        Self { line_max, open_line: Vec::new(), state: State::default(), skips: false }
    }

    /// Takes the next frame and hands on the lines it completes: at most the line that was open, and then the others.
    pub fn push(&mut self, frame: &[u8], mut lines: impl FnMut(&[u8])) {
        let mut frame = frame;
        if self.state != State::default() || self.skips || !self.open_line.is_empty() {
            let Some(newline) = self.state.find_newline(frame) else {
                return self.keep(frame, &mut lines);
            };
            self.keep(&frame[..newline], &mut lines);
            self.end_line(b"\n", &mut lines);
            frame = &frame[newline + 1..];
        }
        let whole = self.whole_lines(frame);
        if whole > 0 {
            lines(&frame[..whole]);
        }
        self.keep(&frame[whole..], &mut lines);
    }

    /// Hands on what is left at the end of the body, and is ready for the next.
    pub fn finish(&mut self, mut lines: impl FnMut(&[u8])) {
        if !self.open_line.is_empty() {
            self.end_line(b"", &mut lines);
        }
        self.clear();
    }

    /// Forgets an unfinished body.
    pub fn clear(&mut self) {
        self.open_line.clear();
        self.skips = false;
        self.state = State::default();
    }

    fn end_line(&mut self, newline: &[u8], lines: &mut impl FnMut(&[u8])) {
        if !self.skips {
            self.open_line.extend_from_slice(newline);
            lines(&self.open_line);
        }
        self.clear();
    }

    /// Adds to the open line.
    fn keep(&mut self, bytes: &[u8], lines: &mut impl FnMut(&[u8])) {
        if self.skips {
            return;
        }
        let room = self.line_max + 1 - self.open_line.len();
        self.open_line.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if bytes.len() >= room {
            lines(&self.open_line);
            self.open_line.clear();
            self.skips = true;
        }
    }

    /// How many bytes of whole lines `frame`, which begins with a line, has. Leaves the state behind all of it.
    fn whole_lines(&mut self, frame: &[u8]) -> usize {
        let Some(last) = memrchr(b'\n', frame) else {
            self.state.find_newline(frame);
            return 0;
        };
        let mut start = if memchr(b'"', frame).is_none() { last + 1 } else { 0 };
        loop {
            let line = &frame[start..];
            // A line without a quote before its newline needs no closer look.
            let newline = match memchr2(b'\n', b'"', line) {
                Some(at) if line[at] == b'\n' => Some(at),
                _ => self.state.find_newline(line),
            };
            match newline {
                Some(newline) => start += newline + 1,
                None => return start,
            }
            self.state = State::default();
        }
    }
}
