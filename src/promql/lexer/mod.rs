//! Text to tokens.
//!
//! What a word or a `:` means depends on the brackets around it: in `{…}` every word is a label name, in `[…]` a `:` parts
//! the range from the step, and elsewhere `a:b` is a metric name.

mod scan;
mod string;

use crate::promql::{
    ast::{AggregateOp, BinaryOp, Span},
    error::ParseError,
};

pub(crate) use scan::{UNITS, duration_nanos, number_value};
pub use string::{is_utf8, quote};
pub(crate) use string::{quote_char, unquote};

/// A piece of the text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Token<'a> {
    pub(crate) kind: Kind,
    pub(crate) text: &'a str,
    pub(crate) span: Span,
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The end of the text.
    End,
    /// The text cannot be read on from here; [`Tokens::broken`] says why.
    Broken,
    /// A word: a function, a label or a metric.
    Identifier,
    /// A word with a `:` in it, which only a metric may have.
    MetricIdentifier,
    Keyword(Keyword),
    Aggregate(AggregateOp),
    Operator(BinaryOp),
    Number,
    Duration,
    String,
    /// `=`
    Assign,
    /// `=~`
    RegexMatch,
    /// `!~`
    RegexMismatch,
    /// `@`
    At,
    Comma,
    Colon,
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
}

/// Words with a meaning of their own. Case does not matter in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keyword {
    Anchored,
    Bool,
    By,
    End,
    Fill,
    FillLeft,
    FillRight,
    GroupLeft,
    GroupRight,
    Ignoring,
    MaxOf,
    MinOf,
    Offset,
    On,
    Range,
    Smoothed,
    Start,
    Step,
    Without,
}

impl Keyword {
    fn find(lower: &str) -> Option<Self> {
        Some(match lower {
            "anchored" => Self::Anchored,
            "bool" => Self::Bool,
            "by" => Self::By,
            "end" => Self::End,
            "fill" => Self::Fill,
            "fill_left" => Self::FillLeft,
            "fill_right" => Self::FillRight,
            "group_left" => Self::GroupLeft,
            "group_right" => Self::GroupRight,
            "ignoring" => Self::Ignoring,
            "max_of" => Self::MaxOf,
            "min_of" => Self::MinOf,
            "offset" => Self::Offset,
            "on" => Self::On,
            "range" => Self::Range,
            "smoothed" => Self::Smoothed,
            "start" => Self::Start,
            "step" => Self::Step,
            "without" => Self::Without,
            _ => return None,
        })
    }

    /// Whether it is also a function's name.
    pub(crate) fn is_function(self) -> bool {
        matches!(self, Self::End | Self::MaxOf | Self::MinOf | Self::Range | Self::Start | Self::Step)
    }
}

impl Token<'_> {
    /// Whether it can name a metric outside braces.
    pub(crate) fn is_metric_name(&self) -> bool {
        match self.kind {
            Kind::Identifier | Kind::MetricIdentifier | Kind::Aggregate(_) => true,
            Kind::Operator(op) => op.is_set(),
            Kind::Keyword(word) => !matches!(
                word,
                Keyword::Bool
                    | Keyword::Fill
                    | Keyword::FillLeft
                    | Keyword::FillRight
                    | Keyword::GroupLeft
                    | Keyword::GroupRight
                    | Keyword::Ignoring
                    | Keyword::On
            ),
            _ => false,
        }
    }

    /// Whether it can name a label in a list such as that of `by`.
    pub(crate) fn is_label_name(&self) -> bool {
        match self.kind {
            Kind::Identifier | Kind::MetricIdentifier | Kind::Aggregate(_) | Kind::Keyword(_) => true,
            Kind::Operator(op) => op.is_set() || op == BinaryOp::Atan2,
            _ => false,
        }
    }

    /// Whether an expression can start with it. What is broken is said to be that.
    pub(crate) fn starts_expr(&self) -> bool {
        match self.kind {
            Kind::Broken | Kind::Number | Kind::Duration | Kind::String | Kind::LeftParen | Kind::LeftBrace => true,
            Kind::Operator(BinaryOp::Add | BinaryOp::Sub) => true,
            _ => self.is_metric_name(),
        }
    }

    /// How an error names it.
    pub(crate) fn describe(&self) -> String {
        match self.kind {
            Kind::End | Kind::Broken => "end of input".to_owned(),
            Kind::Identifier => format!("identifier {}", quote(self.text)),
            Kind::MetricIdentifier => format!("metric identifier {}", quote(self.text)),
            Kind::Number => format!("number {}", self.quoted()),
            Kind::Duration => format!("duration {}", self.quoted()),
            Kind::String => format!("string {}", self.quoted()),
            Kind::Operator(_) | Kind::RegexMatch | Kind::RegexMismatch | Kind::At => format!("<op:{}>", self.text),
            Kind::Aggregate(_) => format!("<aggr:{}>", self.text),
            Kind::Keyword(word) if word.is_function() => quote(self.text),
            Kind::Keyword(_) => format!("<{}>", self.text),
            _ => quote(self.text),
        }
    }

    /// The text in quotes, cut where it is long.
    fn quoted(&self) -> String {
        match self.text.len() > 10 {
            true => quote(&self.text.chars().take(10).collect::<String>()) + "...",
            false => quote(self.text),
        }
    }
}

/// A text's tokens; the last is `End` or `Broken`.
pub(crate) struct Tokens<'a> {
    pub(crate) list: Vec<Token<'a>>,
    /// Why the last token is `Broken`.
    pub(crate) broken: Option<ParseError>,
}

/// Splits a text.
pub(crate) fn lex(text: &str) -> Tokens<'_> {
    let mut lexer = Lexer { text, at: 0, inside: Inside::Nothing, parens: 0, list: Vec::new() };
    let broken = loop {
        match lexer.step() {
            Ok(true) => {}
            Ok(false) => break None,
            Err(error) => break Some(error),
        }
    };
    let kind = if broken.is_some() { Kind::Broken } else { Kind::End };
    lexer.list.push(Token { kind, text: "", span: Span { start: text.len(), end: text.len() } });
    Tokens { list: lexer.list, broken }
}

/// The bracket that decides what words and colons mean.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    Nothing,
    Braces,
    /// `[…]`: whether a number or duration has come yet, and whether the colon has. Without the former only durations are
    /// looked for, with it anything is a token that is one elsewhere.
    Brackets {
        number: bool,
        colon: bool,
    },
}

impl Inside {
    const NEW_BRACKETS: Self = Self::Brackets { number: false, colon: false };
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    inside: Inside,
    parens: usize,
    list: Vec<Token<'a>>,
}

type Step = Result<bool, ParseError>;

impl<'a> Lexer<'a> {
    /// Reads one token, blank or comment; `false` at the end.
    fn step(&mut self) -> Step {
        let rest = self.rest();
        match rest.chars().next() {
            None => self.finish(),
            Some(' ' | '\t' | '\r' | '\n') => self.skip(scan::blanks(rest)),
            Some('#') => self.skip(scan::comment(rest)),
            Some('"' | '\'' | '`') if !matches!(self.inside, Inside::Brackets { number: false, .. }) => self.string(),
            Some('0'..='9') if self.inside != Inside::Braces => self.number(),
            Some('.') if self.inside != Inside::Braces && rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                self.number()
            }
            Some(c) if scan::starts_word(c) || (c == ':' && self.inside == Inside::Nothing) => self.word(),
            Some(c) => match self.inside {
                Inside::Nothing => self.symbol(c),
                Inside::Braces => self.symbol_in_braces(c),
                Inside::Brackets { number, colon } => self.symbol_in_brackets(c, number, colon),
            },
        }
    }

    fn finish(&self) -> Step {
        let open = match self.inside {
            Inside::Braces => "unexpected end of input inside braces",
            Inside::Brackets { number: false, .. } => "unexpected end of input in duration expression",
            _ if self.parens > 0 => "unclosed left parenthesis",
            Inside::Brackets { .. } => "unclosed left bracket",
            Inside::Nothing => return Ok(false),
        };
        self.fail(open)
    }

    fn symbol(&mut self, c: char) -> Step {
        let (kind, length) = match (c, self.rest().as_bytes().get(1)) {
            ('=', Some(b'=')) => (Kind::Operator(BinaryOp::Equal), 2),
            ('=', Some(b'~')) => return self.fail("unexpected character after '=': '~'"),
            ('=', _) => (Kind::Assign, 1),
            ('!', Some(b'=')) => (Kind::Operator(BinaryOp::NotEqual), 2),
            ('!', _) => return self.fail(format!("unexpected character after '!': {}", self.character_after(1))),
            ('<', Some(b'=')) => (Kind::Operator(BinaryOp::LessOrEqual), 2),
            ('<', Some(b'/')) => (Kind::Operator(BinaryOp::TrimUpper), 2),
            ('<', _) => (Kind::Operator(BinaryOp::Less), 1),
            ('>', Some(b'=')) => (Kind::Operator(BinaryOp::GreaterOrEqual), 2),
            ('>', Some(b'/')) => (Kind::Operator(BinaryOp::TrimLower), 2),
            ('>', _) => (Kind::Operator(BinaryOp::Greater), 1),
            ('@', _) => (Kind::At, 1),
            ('{', _) => (Kind::LeftBrace, 1),
            ('[', _) => (Kind::LeftBracket, 1),
            (']', _) => return self.fail("unexpected right bracket ']'"),
            _ => match arithmetic(c) {
                Some(kind) => (kind, 1),
                None => return self.fail(format!("unexpected character: {}", quote_char(c))),
            },
        };
        match kind {
            Kind::LeftBrace => self.inside = Inside::Braces,
            Kind::LeftBracket => self.inside = Inside::NEW_BRACKETS,
            _ => {}
        }
        self.emit(kind, length)
    }

    fn symbol_in_braces(&mut self, c: char) -> Step {
        let (kind, length) = match (c, self.rest().as_bytes().get(1)) {
            (',', _) => (Kind::Comma, 1),
            ('=', Some(b'~')) => (Kind::RegexMatch, 2),
            ('=', _) => (Kind::Assign, 1),
            ('!', Some(b'~')) => (Kind::RegexMismatch, 2),
            ('!', Some(b'=')) => (Kind::Operator(BinaryOp::NotEqual), 2),
            ('!', _) => {
                let after = self.character_after(1);
                return self.fail(format!("unexpected character after '!' inside braces: {after}"));
            }
            ('{', _) => return self.fail("unexpected left brace '{'"),
            ('}', _) => {
                self.inside = Inside::Nothing;
                (Kind::RightBrace, 1)
            }
            _ => return self.fail(format!("unexpected character inside braces: {}", quote_char(c))),
        };
        self.emit(kind, length)
    }

    fn symbol_in_brackets(&mut self, c: char, number: bool, colon: bool) -> Step {
        let kind = match (c, arithmetic(c)) {
            (':', _) if colon => return self.fail("unexpected colon ':'"),
            (':', _) if self.list.last().is_some_and(|token| token.kind == Kind::LeftBracket) => {
                self.at += 1; // the colon is read, and what follows it is wrong
                return self.fail("unexpected colon before duration in duration expression");
            }
            (':', _) => {
                self.inside = Inside::Brackets { number, colon: true };
                Kind::Colon
            }
            (']', _) => {
                self.inside = Inside::Nothing;
                Kind::RightBracket
            }
            (_, Some(kind)) => kind,
            ('[', _) if number => return self.fail("unexpected left bracket '['"),
            _ if number => return self.symbol(c),
            _ => return self.fail(format!("unexpected character in duration expression: {}", quote_char(c))),
        };
        self.emit(kind, 1)
    }

    fn word(&mut self) -> Step {
        let rest = self.rest();
        let word = scan::word(rest, self.inside == Inside::Nothing);
        let kind = match self.inside {
            Inside::Braces => Kind::Identifier,
            Inside::Nothing => classify(word, &rest[word.len()..]),
            Inside::Brackets { number, .. } => match classify(word, "") {
                Kind::Keyword(keyword) if keyword.is_function() => Kind::Keyword(keyword),
                _ => {
                    let first = word.chars().next().map(quote_char).unwrap_or_default();
                    return self.fail(match number {
                        true => format!("unexpected character: {first}, expected ':'"),
                        false => format!("unexpected character in duration expression: {first}"),
                    });
                }
            },
        };
        self.emit(kind, word.len())
    }

    fn number(&mut self) -> Step {
        let rest = self.rest();
        if let Inside::Brackets { number, .. } = &mut self.inside {
            *number = true;
        }
        match scan::number_or_duration(rest) {
            Ok((kind, length)) => self.emit(kind, length),
            Err(length) => self.fail(format!("bad number or duration syntax: {}", quote(&rest[..length]))),
        }
    }

    fn string(&mut self) -> Step {
        match string::length(self.rest()) {
            Ok(length) => self.emit(Kind::String, length),
            Err(message) => self.fail(message),
        }
    }

    fn emit(&mut self, kind: Kind, length: usize) -> Step {
        let span = Span { start: self.at, end: self.at + length };
        if kind == Kind::RightParen && self.parens == 0 {
            self.at = span.end;
            return self.fail("unexpected right parenthesis ')'");
        }
        self.list.push(Token { kind, text: &self.text[span.start..span.end], span });
        self.at = span.end;
        match kind {
            Kind::LeftParen => self.parens += 1,
            Kind::RightParen => self.parens -= 1,
            _ => {}
        }
        Ok(true)
    }

    fn skip(&mut self, length: usize) -> Step {
        self.at += length;
        Ok(true)
    }

    fn fail(&self, message: impl Into<String>) -> Step {
        Err(ParseError::new(self.text, Span { start: self.at, end: self.text.len() }, message))
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// The character so far on, in quotes; as in Go, that of no character behind the end.
    fn character_after(&self, offset: usize) -> String {
        quote_char(self.rest()[offset..].chars().next().unwrap_or(char::REPLACEMENT_CHARACTER))
    }
}

/// The tokens of one character that mean the same in and outside of `[…]`.
fn arithmetic(c: char) -> Option<Kind> {
    Some(match c {
        '+' => Kind::Operator(BinaryOp::Add),
        '-' => Kind::Operator(BinaryOp::Sub),
        '*' => Kind::Operator(BinaryOp::Mul),
        '/' => Kind::Operator(BinaryOp::Div),
        '%' => Kind::Operator(BinaryOp::Mod),
        '^' => Kind::Operator(BinaryOp::Pow),
        '(' => Kind::LeftParen,
        ')' => Kind::RightParen,
        ',' => Kind::Comma,
        _ => return None,
    })
}

/// What a word outside of braces is, from itself and what follows it.
fn classify(word: &str, rest: &str) -> Kind {
    let lower = word.to_ascii_lowercase();
    if let Some(op) =
        [BinaryOp::And, BinaryOp::Or, BinaryOp::Unless, BinaryOp::Atan2].iter().find(|op| op.symbol() == lower)
    {
        return Kind::Operator(*op);
    }
    if let Some(op) = AggregateOp::ALL.iter().find(|op| op.name() == lower) {
        return Kind::Aggregate(*op);
    }
    match Keyword::find(&lower) {
        // Young keywords, so a metric may have their name: only a parenthesis behind makes them one.
        Some(Keyword::Fill | Keyword::FillLeft | Keyword::FillRight) if !scan::paren_follows(rest) => Kind::Identifier,
        Some(keyword) => Kind::Keyword(keyword),
        None if lower == "inf" || lower == "nan" => Kind::Number,
        None if word.contains(':') => Kind::MetricIdentifier,
        None => Kind::Identifier,
    }
}
