//! Regular expressions as Prometheus has them: RE2's syntax, compiled by the `regex` crate.
//!
//! Both match in linear time and agree on nearly all patterns. Where they read the same text differently, the pattern is
//! rewritten to what RE2 means by it: `{` that starts no repetition is itself, `\Q…\E` quotes, `\d`, `\w`, `\s` know
//! ASCII only, octal escapes, `\<` and `\>` are themselves, and in a class `[`, `&`, `~` are as ordinary as any character.

use regex::Regex;

/// A pattern that is not a regular expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("error parsing regexp: {reason}: {pattern:?}")]
pub struct PatternError {
    reason: String,
    pattern: String,
}

/// The pattern compiled to match whole texts only, with `.` for newlines too, as in matchers and `label_replace`.
///
/// # Errors
/// When it is no regular expression, or one that would need too much memory.
pub fn anchored_regex(pattern: &str) -> Result<Regex, PatternError> {
    let fail = |reason: &str| PatternError { reason: reason.to_owned(), pattern: pattern.to_owned() };
    let translated = Translator { rest: pattern, out: String::with_capacity(pattern.len()), open: 0 }.run();
    let translated = translated.map_err(fail)?;
    Regex::new(&format!("^(?s:{translated})$")).map_err(|error| fail(&reason(&error)))
}

/// The last line of the crate's report, which is what is wrong without the drawing.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().next_back().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

struct Translator<'a> {
    rest: &'a str,
    out: String,
    /// Open groups: a `)` too many would close the group around the pattern, and so escape the anchors.
    open: usize,
}

impl Translator<'_> {
    fn run(mut self) -> Result<String, &'static str> {
        while let Some(c) = self.next() {
            match c {
                '\\' => self.escape(false)?,
                '[' => self.class()?,
                '{' if !repetition(self.rest) => self.out.push_str("\\{"),
                '(' => {
                    self.open += 1;
                    self.out.push(c);
                }
                ')' => {
                    self.open = self.open.checked_sub(1).ok_or("unexpected )")?;
                    self.out.push(c);
                }
                _ => self.out.push(c),
            }
        }
        if self.open > 0 { Err("missing closing )") } else { Ok(self.out) }
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    fn eat(&mut self, prefix: &str) -> bool {
        self.rest.strip_prefix(prefix).map(|rest| self.rest = rest).is_some()
    }

    /// What follows a backslash.
    fn escape(&mut self, in_class: bool) -> Result<(), &'static str> {
        match self.next().ok_or("trailing backslash at end of expression")? {
            'd' => self.ascii_class("0-9", false, in_class),
            'D' => self.ascii_class("0-9", true, in_class),
            'w' => self.ascii_class("0-9A-Za-z_", false, in_class),
            'W' => self.ascii_class("0-9A-Za-z_", true, in_class),
            's' => self.ascii_class("\\t\\n\\f\\r\\x20", false, in_class),
            'S' => self.ascii_class("\\t\\n\\f\\r\\x20", true, in_class),
            'Q' if !in_class => self.quoted(),
            'E' if !in_class => {}
            'b' if !in_class => self.out.push_str("(?-u:\\b)"),
            c @ '0'..='7' => self.octal(c)?,
            c @ ('<' | '>') => self.out.push(c),
            c => self.out.extend(['\\', c]),
        }
        Ok(())
    }

    fn ascii_class(&mut self, ranges: &str, negated: bool, in_class: bool) {
        match (negated, in_class) {
            (false, true) => self.out.push_str(ranges),
            (false, false) => self.out.extend(["[", ranges, "]"]),
            (true, _) => self.out.extend(["[^", ranges, "]"]),
        }
    }

    /// `\Q…\E`, or to the end.
    fn quoted(&mut self) {
        let (text, rest) = self.rest.split_once("\\E").unwrap_or((self.rest, ""));
        self.out.push_str(&regex::escape(text));
        self.rest = rest;
    }

    /// `\0`, `\12`, `\123`; a lone digit from 1 would be a back reference, which RE2 does not have.
    fn octal(&mut self, first: char) -> Result<(), &'static str> {
        let more = self.rest.bytes().take(2).take_while(|byte| matches!(byte, b'0'..=b'7')).count();
        if first != '0' && more == 0 {
            return Err("invalid escape sequence");
        }
        let digits: String = [first].into_iter().chain(self.rest[..more].chars()).collect();
        self.rest = &self.rest[more..];
        let code = u32::from_str_radix(&digits, 8).map_err(|_| "invalid escape sequence")?;
        self.out.push_str(&format!("\\x{{{code:x}}}"));
        Ok(())
    }

    /// `[…]`; the bracket that opens it has been read.
    fn class(&mut self) -> Result<(), &'static str> {
        self.out.push('[');
        if self.eat("^") {
            self.out.push('^');
        }
        let mut first = true;
        loop {
            match self.next().ok_or("missing closing ]")? {
                ']' if !first => break,
                '[' if self.posix_class() => {}
                c => {
                    self.class_character(c)?;
                    self.range_end()?;
                }
            }
            first = false;
        }
        self.out.push(']');
        Ok(())
    }

    /// The rest of `a-z` behind its `a`; a `-` before the closing bracket is itself.
    fn range_end(&mut self) -> Result<(), &'static str> {
        if self.rest.starts_with("-]") || !self.eat("-") {
            return Ok(());
        }
        self.out.push('-');
        let end = self.next().ok_or("missing closing ]")?;
        self.class_character(end)
    }

    fn class_character(&mut self, c: char) -> Result<(), &'static str> {
        match c {
            '\\' => return self.escape(true),
            '[' | ']' | '&' | '~' | '-' | '^' => self.out.extend(['\\', c]),
            _ => self.out.push(c),
        }
        Ok(())
    }

    /// `[:alpha:]` within a class, its first bracket read.
    fn posix_class(&mut self) -> bool {
        let Some((name, rest)) = self.rest.strip_prefix(':').and_then(|rest| rest.split_once(":]")) else {
            return false;
        };
        if !name.chars().all(|c| c.is_ascii_lowercase() || c == '^') {
            return false;
        }
        self.out.extend(["[:", name, ":]"]);
        self.rest = rest;
        true
    }
}

/// Whether what follows `{` makes it a repetition: `2}`, `2,}` or `2,3}`.
fn repetition(rest: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    rest.split_once('}').is_some_and(|(inside, _)| match inside.split_once(',') {
        Some((min, max)) => number(min) && (max.is_empty() || number(max)),
        None => number(inside),
    })
}
