//! Label matchers: `=`, `!=`, `=~`, `!~`.

use std::{fmt, sync::Arc};

use regex::Regex;

use crate::model::{
    pattern::{PatternError, anchored_regex},
    words::Words,
};

/// How a matcher compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`, anchored at both ends
    Regex,
    /// `!~`, anchored at both ends
    NotRegex,
}

impl fmt::Display for MatchOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Regex => "=~",
            Self::NotRegex => "!~",
        })
    }
}

/// One condition on one label. An absent label has the empty value.
#[derive(Clone)]
pub struct Matcher {
    /// The label's name.
    pub name: Arc<str>,
    /// How it compares.
    pub op: MatchOp,
    /// The value or pattern as written.
    pub value: Arc<str>,
    pattern: Option<Pattern>,
}

/// What values are tested with.
#[derive(Clone)]
enum Pattern {
    Words(Arc<Words>),
    Regex(Regex),
}

impl Pattern {
    fn new(pattern: &str) -> Result<Self, PatternError> {
        match Words::of_pattern(pattern) {
            Some(words) => Ok(Self::Words(Arc::new(words))),
            None => anchored_regex(pattern).map(Self::Regex),
        }
    }

    fn matches(&self, value: &str) -> bool {
        match self {
            Self::Words(words) => words.contains(value),
            Self::Regex(regex) => regex.is_match(value),
        }
    }
}

impl Matcher {
    /// A matcher; fails where a pattern does not compile.
    pub fn new(name: impl Into<Arc<str>>, op: MatchOp, value: impl Into<Arc<str>>) -> Result<Self, PatternError> {
        let value = value.into();
        let pattern = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regex | MatchOp::NotRegex => Some(Pattern::new(&value)?),
        };
        Ok(Self { name: name.into(), op, value, pattern })
    }

    /// `name="value"`
    pub fn equal(name: impl Into<Arc<str>>, value: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), op: MatchOp::Equal, value: value.into(), pattern: None }
    }

    /// Whether a label of this value (empty when absent) passes.
    pub fn matches(&self, value: &str) -> bool {
        match self.op {
            MatchOp::Equal => *self.value == *value,
            MatchOp::NotEqual => *self.value != *value,
            MatchOp::Regex => self.pattern().matches(value),
            MatchOp::NotRegex => !self.pattern().matches(value),
        }
    }

    /// Whether a series without the label passes.
    pub fn matches_empty(&self) -> bool {
        self.matches("")
    }

    /// The values that its value or pattern matches, negation aside, sorted; `None` where they cannot be listed.
    pub fn listed(&self) -> Option<Vec<&str>> {
        match &self.pattern {
            None => Some(vec![&*self.value]),
            Some(Pattern::Words(words)) => Some(words.iter().collect()),
            Some(Pattern::Regex(_)) => None,
        }
    }

    fn pattern(&self) -> &Pattern {
        self.pattern.as_ref().expect("`new` compiles the pattern of every regex matcher")
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.op == other.op && self.value == other.value
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{:?}", self.name, self.op, self.value)
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
