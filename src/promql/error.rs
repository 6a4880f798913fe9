//! What is wrong with a query, and where.

use std::fmt;

use crate::promql::ast::Span;

/// A text that is not a query. `Display` gives `LINE:COL: parse error: MESSAGE`, both counted from 1, columns in bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: parse error: {message}")]
pub struct ParseError {
    /// What is wrong.
    pub message: String,
    /// The part of the text it is about.
    pub span: Span,
    /// The line it starts on, from 1.
    pub line: usize,
    /// The byte of that line it starts at, from 1.
    pub column: usize,
    excerpt: String,
}

impl ParseError {
    /// An error about `span` of `text`.
    pub(crate) fn new(text: &str, span: Span, message: impl Into<String>) -> Self {
        let start = text.floor_char_boundary(span.start);
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |length| start + length);
        Self {
            message: message.into(),
            span,
            line: 1 + text[..line_start].matches('\n').count(),
            column: 1 + start - line_start,
            excerpt: text[line_start..line_end].to_owned(),
        }
    }

    /// The error, the line it is on, and a mark below the part it is about:
    ///
    /// ```text
    /// 1:5: parse error: unknown function with name "rte"
    /// sum(rte(m[5m]))
    ///     ^^^
    /// ```
    pub fn render(&self) -> Rendered<'_> {
        Rendered(self)
    }

    /// What precedes the marked part on its line, and how many characters are marked.
    fn mark(&self) -> (&str, usize) {
        let start = self.column - 1;
        let end = (start + self.span.end.saturating_sub(self.span.start)).min(self.excerpt.len());
        let end = self.excerpt.ceil_char_boundary(end);
        (&self.excerpt[..start], self.excerpt[start..end].chars().count().max(1))
    }
}

/// See [`ParseError::render`].
#[derive(Debug)]
pub struct Rendered<'a>(&'a ParseError);

impl fmt::Display for Rendered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, width) = self.0.mark();
        // Tabs stay tabs, so that the mark lines up however wide they are shown.
        let indent: String = before.chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        write!(f, "{}\n{}\n{indent}{}", self.0, self.0.excerpt, "^".repeat(width))
    }
}
