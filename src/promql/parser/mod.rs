//! Tokens to tree: precedence climbing over recursive descent.
//!
//! Always: recursion is bounded by [`NESTING_MAX`], and the tree that comes out by [`HEIGHT_MAX`], whatever the text.
//! Not here: types, which `check` looks at once the tree stands.

mod binary;
mod duration;
mod expr;
mod selector;

use crate::{
    model::Matcher,
    promql::{
        ast::{Expr, Span},
        check,
        error::ParseError,
        features::Features,
        lexer::{Keyword, Kind, Token, lex},
    },
};

/// The longest query, in bytes. Dashboards write some thousands; a machine-made alternation may have many more.
pub const QUERY_BYTES_MAX: usize = 1 << 20;

/// The highest tree, in nodes. A chain `a or b or c …` is as high as it is long, so this is far above the nesting allowed.
pub const HEIGHT_MAX: usize = 1_000;

/// How deep the parser recurses: its frames for one parenthesis are some two kilobytes, a thread has two megabytes.
const NESTING_MAX: usize = 250;

type Result<T> = std::result::Result<T, ParseError>;

/// The checked tree of a query, in which every experimental part may be.
///
/// # Errors
/// The first thing that is wrong with the text.
pub fn parse(text: &str) -> Result<Expr> {
    parse_with(text, Features::SYNTAX)
}

/// The checked tree of a query, in which only those experimental parts may be that are enabled.
///
/// # Errors
/// The first thing that is wrong with the text.
pub fn parse_with(text: &str, features: Features) -> Result<Expr> {
    let mut parser = Parser::new(text, features)?;
    if parser.peek().kind == Kind::End {
        return Err(parser.error(Span::default(), "no expression found in input"));
    }
    let mut expr = parser.expr()?;
    parser.expect_end()?;
    check::check(&mut expr, text)?;
    Ok(expr)
}

/// The conditions of a lone selector such as `up{job="a"}`, `{}` included: what `match[]` takes, and what a series is
/// written as in test scripts.
///
/// # Errors
/// The first thing that is wrong with the text.
pub fn parse_selector(text: &str) -> Result<Vec<Matcher>> {
    let mut parser = Parser::new(text, Features::default())?;
    let (selector, _) = parser.vector_selector()?;
    parser.expect_end()?;
    Ok(selector.matchers)
}

struct Parser<'a> {
    text: &'a str,
    features: Features,
    tokens: Vec<Token<'a>>,
    /// The next token.
    at: usize,
    /// Why the last token is broken.
    broken: Option<ParseError>,
    nesting: usize,
    /// How many aggregations are open: whose arguments, or what stands before these, is being read.
    aggregations: usize,
    /// The height of the expression that was read last.
    height: usize,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, features: Features) -> Result<Self> {
        if text.len() > QUERY_BYTES_MAX {
            let message = format!("query of {} bytes is longer than {QUERY_BYTES_MAX}", text.len());
            return Err(ParseError::new("", Span::default(), message));
        }
        let tokens = lex(text);
        let (tokens, broken) = (tokens.list, tokens.broken);
        Ok(Self { text, features, tokens, at: 0, broken, nesting: 0, aggregations: 0, height: 0 })
    }

    fn peek(&self) -> Token<'a> {
        self.tokens[self.at]
    }

    /// The kind of the token after the next.
    fn peek_second(&self) -> Kind {
        self.tokens.get(self.at + 1).map_or(Kind::End, |token| token.kind)
    }

    /// Takes the next token; the last one stays.
    fn advance(&mut self) -> Token<'a> {
        let token = self.peek();
        if self.at + 1 < self.tokens.len() {
            self.at += 1;
        }
        token
    }

    fn eat(&mut self, kind: Kind) -> Option<Token<'a>> {
        (self.peek().kind == kind).then(|| self.advance())
    }

    fn eat_keyword(&mut self, keyword: Keyword) -> Option<Token<'a>> {
        self.eat(Kind::Keyword(keyword))
    }

    fn expect(&mut self, kind: Kind, context: &str, expected: &str) -> Result<Token<'a>> {
        self.eat(kind).ok_or_else(|| self.unexpected(context, expected))
    }

    fn expect_end(&mut self) -> Result<()> {
        self.expect(Kind::End, "", "").map(|_| ())
    }

    /// The byte behind the token taken last.
    fn end(&self) -> usize {
        match self.at.checked_sub(1) {
            Some(last) => self.tokens[last].span.end,
            None => 0,
        }
    }

    fn error(&self, span: Span, message: impl Into<String>) -> ParseError {
        ParseError::new(self.text, span, message)
    }

    /// Fails at a part that is not enabled.
    fn require(&self, enabled: bool, span: Span, message: impl FnOnce() -> String) -> Result<()> {
        if enabled { Ok(()) } else { Err(self.error(span, message())) }
    }

    /// The error that the next token is none that may stand there. Where nothing else names the place, an aggregation
    /// around it does.
    fn unexpected(&self, context: &str, expected: &str) -> ParseError {
        let token = self.peek();
        let context = if context.is_empty() && self.aggregations > 0 { "aggregation" } else { context };
        if let (Kind::Broken, Some(error)) = (token.kind, &self.broken) {
            return error.clone();
        }
        let mut message = format!("unexpected {}", token.describe());
        for (word, what) in [(" in ", context), (", expected ", expected)] {
            if !what.is_empty() {
                message.push_str(word);
                message.push_str(what);
            }
        }
        self.error(token.span, message)
    }

    /// Runs `read` one level deeper.
    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.nesting == NESTING_MAX {
            let message = format!("expression is nested deeper than {NESTING_MAX} levels");
            return Err(self.error(self.peek().span, message));
        }
        self.nesting += 1;
        let result = read(self);
        self.nesting -= 1;
        result
    }

    /// Notes that the expression read last is a child, beside others of at most height `siblings`.
    fn grow(&mut self, siblings: usize, span: Span) -> Result<()> {
        self.height = self.height.max(siblings) + 1;
        match self.height > HEIGHT_MAX {
            true => Err(self.error(span, format!("expression has more than {HEIGHT_MAX} operators on one another"))),
            false => Ok(()),
        }
    }
}
