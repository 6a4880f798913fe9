//! Warnings and infos about a query: what its answer left out or guessed.

use std::collections::BTreeSet;

use crate::promql::ast::Span;

/// How serious a remark is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The answer may not be what was meant.
    Warning,
    /// Good to know.
    Info,
}

/// A remark on a part of the query.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Annotation {
    /// Byte place in the query text; none where the data is what there is to say something about.
    start: Option<usize>,
    severity: Severity,
    message: String,
}

impl Annotation {
    /// How serious it is.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// The remark as the API shows it: kind, message, and line and column (from 1, in bytes) in `query`; the message alone
    /// where it is about no part of the query.
    pub fn text(&self, query: &str) -> String {
        let Some(start) = self.start else { return self.message.clone() };
        let kind = match self.severity {
            Severity::Warning => "PromQL warning",
            Severity::Info => "PromQL info",
        };
        let before = &query.as_bytes()[..start.min(query.len())];
        let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
        let column = before.iter().rev().take_while(|&&byte| byte != b'\n').count() + 1;
        format!("{kind}: {} ({line}:{column})", self.message)
    }
}

/// The remarks of a query, each once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes(BTreeSet<Annotation>);

impl Notes {
    pub(crate) fn add(&mut self, severity: Severity, message: String, span: Span) {
        self.0.insert(Annotation { start: Some(span.start), severity, message });
    }

    /// Warns of what is wrong with the data, whatever is asked of it.
    pub(crate) fn warn_of_data(&mut self, message: String) {
        self.0.insert(Annotation { start: None, severity: Severity::Warning, message });
    }

    /// Warnings and infos, in the order of the query's text.
    pub(crate) fn into_parts(self) -> (Vec<Annotation>, Vec<Annotation>) {
        self.0.into_iter().partition(|note| note.severity == Severity::Warning)
    }
}
