//! Regular expressions as Prometheus has them: RE2's syntax, compiled by the `regex` crate.
//!
//! Both match in linear time and agree on nearly all patterns. Where they read the same text differently, the pattern is
//! rewritten to what RE2 means by it: `{` that starts no repetition is itself, `\Q…\E` quotes, `\d`, `\w`, `\s` know
//! ASCII only, octal escapes, `\<` and `\>` are themselves, and in a class `[`, `&`, `~` are as ordinary as any character.
//! What RE2 refuses is refused, in its words and with the part of the pattern that it names.

mod classes;

use std::collections::HashSet;

use regex::{Regex, RegexBuilder};

/// Memory that any compiled pattern may take.
const COMPILED_BYTES_MAX: usize = 10 << 20;

/// Memory that it may take on top for each of its own bytes. A text of 1 MB thus gets at most 100 MB more, into however
/// many patterns it is split.
const COMPILED_BYTES_PER_BYTE: usize = 100;

/// A pattern that is not a regular expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("error parsing regexp: {reason}: `{part}`")]
pub struct PatternError {
    reason: String,
    /// What of the pattern it is about.
    part: String,
}

/// The pattern compiled to match whole texts only, with `.` for newlines too, as in matchers and `label_replace`.
///
/// # Errors
/// When it is no regular expression, or one that would need too much memory.
pub fn anchored_regex(pattern: &str) -> Result<Regex, PatternError> {
    let fail = |reason: &str, part: &str| PatternError { reason: reason.to_owned(), part: part.to_owned() };
    let translated = Translator::new(pattern).run().map_err(|Refusal(reason, part)| fail(reason, part))?;
    let anchored = RegexBuilder::new(&format!("^(?s:{translated})$"))
        .size_limit(COMPILED_BYTES_MAX + pattern.len() * COMPILED_BYTES_PER_BYTE)
        .build();
    anchored.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => fail("expression too large", pattern),
        error => fail(&last_line(&error), pattern),
    })
}

/// The last line of the crate's report, which is what is wrong without the drawing.
fn last_line(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().next_back().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

/// What is wrong, and the part of the pattern that it is about.
struct Refusal<'a>(&'static str, &'a str);

type Outcome<'a, T> = Result<T, Refusal<'a>>;

const BAD_ESCAPE: &str = "invalid escape sequence";
const BAD_COUNT: &str = "invalid repeat count";

/// Copies that repetitions within repetitions may come to.
const COPIES_MAX: u32 = 1000;

struct Translator<'a> {
    pattern: &'a str,
    rest: &'a str,
    out: String,
    /// The groups around the innermost one. A `)` too many would close the group around the pattern, and so escape the
    /// anchors.
    around: Vec<Group>,
    group: Group,
    /// The text from the repetition on that was read last, if that was the last thing read.
    repeated: Option<&'a str>,
    /// Names of Unicode classes that were found to be some.
    classes: HashSet<&'a str>,
}

/// What is known of the items of a group.
#[derive(Clone, Copy, Default)]
struct Group {
    /// How many copies the last item comes to; none at the start of the group and of each alternative.
    last: Option<u32>,
    /// The most that any comes to.
    most: u32,
}

impl Group {
    fn add(&mut self, copies: u32) {
        self.last = Some(copies);
        self.most = self.most.max(copies);
    }
}

impl<'a> Translator<'a> {
    fn new(pattern: &'a str) -> Self {
        let (out, around) = (String::with_capacity(pattern.len()), Vec::new());
        let (group, classes) = (Group::default(), HashSet::new());
        Self { pattern, rest: pattern, out, around, group, repeated: None, classes }
    }

    fn run(mut self) -> Outcome<'a, String> {
        loop {
            let from = self.rest;
            let Some(c) = self.next() else { break };
            let mut is_repetition = false;
            match c {
                '\\' => self.escape(from)?,
                '[' => self.class(from)?,
                '(' if self.rest.starts_with('?') => self.flags(from)?,
                '(' => self.open("("),
                ')' => self.close()?,
                '|' => {
                    self.group.last = None;
                    self.out.push(c);
                }
                '*' | '+' | '?' => {
                    self.repeat(from, 1)?;
                    is_repetition = true;
                }
                '{' => match Counts::read(self.rest) {
                    Some(counts) => {
                        self.rest = counts.rest;
                        self.repeat(from, counts.copies().ok_or(Refusal(BAD_COUNT, self.since(from)))?)?;
                        is_repetition = true;
                    }
                    None => self.item("\\{"),
                },
                _ => {
                    self.group.add(1);
                    self.out.push(c);
                }
            }
            self.repeated = is_repetition.then_some(from);
        }
        if self.around.is_empty() { Ok(self.out) } else { Err(Refusal("missing closing )", self.pattern)) }
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    /// What was read of `from`, which was the rest before.
    fn since(&self, from: &'a str) -> &'a str {
        &from[..from.len() - self.rest.len()]
    }

    /// Something that can be repeated.
    fn item(&mut self, text: &str) {
        self.group.add(1);
        self.out.push_str(text);
    }

    /// A character that is itself, in a class too.
    fn put(&mut self, c: char) {
        match c.is_ascii_alphanumeric() || !c.is_ascii() {
            true => self.out.push(c),
            false => self.out.push_str(&format!("\\x{{{:x}}}", u32::from(c))),
        }
    }

    fn open(&mut self, text: &str) {
        self.around.push(std::mem::take(&mut self.group));
        self.out.push_str(text);
    }

    fn close(&mut self) -> Outcome<'a, ()> {
        let around = self.around.pop().ok_or(Refusal("unexpected )", self.pattern))?;
        let inside = std::mem::replace(&mut self.group, around);
        self.group.add(inside.most.max(1));
        self.out.push(')');
        Ok(())
    }

    /// `(?i)`, `(?i:`, `(?P<name>` and the like, which began with `from`.
    fn flags(&mut self, from: &'a str) -> Outcome<'a, ()> {
        let name = from.strip_prefix("(?P<").or_else(|| from.strip_prefix("(?<")).filter(|name| !name.is_empty());
        if let Some(name) = name {
            const BAD_NAME: &str = "invalid named capture";
            let (name, rest) = name.split_once('>').ok_or(Refusal(BAD_NAME, from))?;
            self.rest = rest;
            if name.is_empty() || !name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric()) {
                return Err(Refusal(BAD_NAME, self.since(from)));
            }
            self.open(self.since(from));
            return Ok(());
        }
        self.next();
        let (mut negated, mut any) = (false, false);
        while let Some(c) = self.next() {
            match c {
                'i' | 'm' | 's' | 'U' => any = true,
                '-' if !negated => (negated, any) = (true, false),
                ':' if any || !negated => {
                    self.open(self.since(from));
                    return Ok(());
                }
                ')' if any || !negated => {
                    // `(?)` says nothing, and the crate would refuse it.
                    self.out.push_str(self.since(from).strip_prefix("(?)").unwrap_or(self.since(from)));
                    return Ok(());
                }
                _ => break,
            }
        }
        Err(Refusal("invalid or unsupported Perl syntax", self.since(from)))
    }

    /// A repetition, which began with `from`, of so many copies: `*` and its like count as one.
    fn repeat(&mut self, from: &'a str, copies: u32) -> Outcome<'a, ()> {
        if let Some(rest) = self.rest.strip_prefix('?') {
            self.rest = rest;
        }
        if let Some(last) = self.repeated {
            return Err(Refusal("invalid nested repetition operator", self.since(last)));
        }
        let part = self.since(from);
        let last = self.group.last.ok_or(Refusal("missing argument to repetition operator", part))?;
        let copies = last.saturating_mul(copies);
        if copies > COPIES_MAX {
            return Err(Refusal(BAD_COUNT, part));
        }
        self.group.add(copies);
        self.out.push_str(part);
        Ok(())
    }

    /// What `from`, which starts with a backslash, means outside of classes.
    fn escape(&mut self, from: &'a str) -> Outcome<'a, ()> {
        if self.class_escape(from)? {
            self.group.add(1);
            return Ok(());
        }
        match self.next() {
            Some('Q') => {
                let (text, rest) = self.rest.split_once("\\E").unwrap_or((self.rest, ""));
                text.chars().for_each(|c| self.put(c));
                self.rest = rest;
                if !text.is_empty() {
                    self.group.add(1);
                }
            }
            Some('b') => self.item("(?-u:\\b)"),
            Some('A' | 'B' | 'z') => self.item(self.since(from)),
            _ => {
                let c = self.character_escape(from)?;
                self.group.add(1);
                self.put(c);
            }
        }
        Ok(())
    }

    /// The character that `from` means, which starts with a backslash; that is read, and here or before what follows it.
    fn character_escape(&mut self, from: &'a str) -> Outcome<'a, char> {
        self.rest = &from[1..];
        let c = self.next().ok_or(Refusal("trailing backslash at end of expression", ""))?;
        let meant = match c {
            'a' => Some('\x07'),
            'f' => Some('\x0c'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'v' => Some('\x0b'),
            'x' => self.hexadecimal(),
            '0'..='7' => self.octal(c),
            c => Some(c).filter(|c| c.is_ascii() && !c.is_ascii_alphanumeric()),
        };
        meant.ok_or(Refusal(BAD_ESCAPE, self.since(from)))
    }

    /// `\0`, `\12`, `\123`; a lone digit from 1 would be a back reference, which RE2 does not have.
    fn octal(&mut self, first: char) -> Option<char> {
        let more = self.rest.bytes().take(2).take_while(|byte| matches!(byte, b'0'..=b'7')).count();
        if first != '0' && more == 0 {
            return None;
        }
        let digits: String = [first].into_iter().chain(self.rest[..more].chars()).collect();
        self.rest = &self.rest[more..];
        u32::from_str_radix(&digits, 8).ok().and_then(char::from_u32)
    }

    /// `41` or `{1F600}` behind `\x`. What is read of it is what RE2 shows where it is wrong.
    fn hexadecimal(&mut self) -> Option<char> {
        let first = self.next()?;
        if first != '{' {
            let second = self.next();
            return char::from_u32(first.to_digit(16)? * 16 + second?.to_digit(16)?);
        }
        let (mut code, mut is_empty) = (0_u32, true);
        loop {
            match self.next()? {
                '}' => return char::from_u32(code).filter(|_| !is_empty),
                digit => code = code.checked_mul(16)?.checked_add(digit.to_digit(16)?)?,
            }
            char::from_u32(code)?;
            is_empty = false;
        }
    }
}

/// `2}`, `2,}` or `2,3}` behind a `{`, which makes that a repetition.
struct Counts<'a> {
    min: &'a str,
    /// Empty for as many as there are.
    max: &'a str,
    rest: &'a str,
}

impl<'a> Counts<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let (inside, rest) = text.split_once('}')?;
        let is_number = |text: &str| {
            let has_zero_before = text.len() > 1 && text.starts_with('0');
            !text.is_empty() && !has_zero_before && text.bytes().all(|byte| byte.is_ascii_digit())
        };
        let (min, max) = inside.split_once(',').unwrap_or((inside, inside));
        (is_number(min) && (is_number(max) || max.is_empty())).then_some(Self { min, max, rest })
    }

    /// How many copies of an item it asks for, one at least; none where that is too many, or the most is below the least.
    fn copies(&self) -> Option<u32> {
        let min: u32 = self.min.parse().ok()?;
        let max = if self.max.is_empty() { min } else { self.max.parse().ok()? };
        (min <= max && max <= COPIES_MAX).then_some(max.max(1))
    }
}
