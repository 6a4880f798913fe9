//! Classes of characters: `[…]`, `\d`, `\pL`, `[:alpha:]`.

use regex::Regex;

use super::{Outcome, Refusal, Translator};

const BAD_RANGE: &str = "invalid character class range";

/// The names in `[:alpha:]`.
const POSIX_CLASSES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word",
    "xdigit",
];

impl<'a> Translator<'a> {
    /// `\d`, `\pL` and the like, the backslash read: a class, or a part of one. False where it is none of them.
    pub(super) fn class_escape(&mut self, from: &'a str) -> Outcome<'a, bool> {
        let text = match self.rest.chars().next() {
            Some('d') => "[0-9]",
            Some('D') => "[^0-9]",
            Some('w') => "[0-9A-Za-z_]",
            Some('W') => "[^0-9A-Za-z_]",
            Some('s') => "[\\t\\n\\f\\r\\x20]",
            Some('S') => "[^\\t\\n\\f\\r\\x20]",
            Some('p' | 'P') => return self.unicode_class(from).map(|()| true),
            _ => return Ok(false),
        };
        self.next();
        self.out.push_str(text);
        Ok(true)
    }

    /// `\pL` or `\p{Greek}`, the backslash read.
    fn unicode_class(&mut self, from: &'a str) -> Outcome<'a, ()> {
        let mut negated = self.next() == Some('P');
        let name = match self.rest.strip_prefix('{') {
            Some(braced) => {
                let (name, rest) = braced.split_once('}').ok_or(Refusal(BAD_RANGE, from))?;
                self.rest = rest;
                name
            }
            None => {
                let letter = self.rest;
                self.next();
                self.since(letter)
            }
        };
        let name = name.strip_prefix('^').inspect(|_| negated = !negated).unwrap_or(name);
        let class = format!("\\{}{{{name}}}", if negated { 'P' } else { 'p' });
        if !self.classes.contains(name) {
            if !is_spelled_as_class(name) || Regex::new(&class).is_err() {
                return Err(Refusal(BAD_RANGE, self.since(from)));
            }
            self.classes.insert(name);
        }
        self.out.push_str(&class);
        Ok(())
    }

    /// `[…]`, which began with `from`; its first bracket is read.
    pub(super) fn class(&mut self, from: &'a str) -> Outcome<'a, ()> {
        self.group.add(1);
        self.out.push('[');
        if let Some(rest) = self.rest.strip_prefix('^') {
            self.rest = rest;
            self.out.push('^');
        }
        let mut is_first = true;
        while is_first || !self.rest.starts_with(']') {
            is_first = false;
            let item = self.rest;
            if item.starts_with("[:") && self.posix_class()? {
                continue;
            }
            if let Some(rest) = item.strip_prefix('\\') {
                self.rest = rest;
                if self.class_escape(item)? {
                    continue;
                }
                self.rest = item;
            }
            let low = self.class_character(from)?;
            let mut high = low;
            // A `-` before the closing bracket is itself.
            if self.rest.len() >= 2 && self.rest.starts_with('-') && !self.rest.starts_with("-]") {
                self.next();
                high = self.class_character(from)?;
            }
            if high < low {
                return Err(Refusal(BAD_RANGE, self.since(item)));
            }
            self.put(low);
            if high > low {
                self.out.push('-');
                self.put(high);
            }
        }
        self.next();
        self.out.push(']');
        Ok(())
    }

    /// A character of the class that began with `class`.
    fn class_character(&mut self, class: &'a str) -> Outcome<'a, char> {
        let from = self.rest;
        match self.next() {
            None => Err(Refusal("missing closing ]", class)),
            Some('\\') => self.character_escape(from),
            Some(c) => Ok(c),
        }
    }

    /// `[:alpha:]` within a class; false where it does not end.
    fn posix_class(&mut self) -> Outcome<'a, bool> {
        let from = self.rest;
        let Some((name, rest)) = from[2..].split_once(":]") else { return Ok(false) };
        self.rest = rest;
        if !POSIX_CLASSES.contains(&name.strip_prefix('^').unwrap_or(name)) {
            return Err(Refusal(BAD_RANGE, self.since(from)));
        }
        self.out.push_str(self.since(from));
        Ok(true)
    }
}

/// Whether a name is spelled like those of Unicode classes, `Lu` or `Old_Italic`. The crate would take others for these.
fn is_spelled_as_class(name: &str) -> bool {
    let is_word = |word: &str| {
        let (first, rest) = word.split_at_checked(1).unwrap_or_default();
        first.chars().any(|c| c.is_ascii_uppercase()) && rest.chars().all(|c| c.is_ascii_lowercase())
    };
    name == "SignWriting" || (!name.is_empty() && name.split('_').all(is_word))
}
