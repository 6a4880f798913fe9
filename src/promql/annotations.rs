//! Warnings and infos about a query: what its answer left out or guessed.
//!
//! What is said several times, of several places in the query or at several steps, is said once, of the last place, as
//! Prometheus has it.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::{
    model::NANOS_PER_SECOND,
    promql::{ast::Span, format},
};

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

/// What was changed in classic histograms for their counts to rise with the bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Fixes {
    /// The least and the greatest bound of a bucket that was changed.
    pub buckets: (f64, f64),
    /// The most that a count fell.
    pub fall_max: f64,
    /// The first and the last time, in Unix nanoseconds.
    pub times: (i64, i64),
    /// How many histograms.
    pub count: u64,
}

impl Fixes {
    fn merge(&mut self, other: Self) {
        self.buckets = (self.buckets.0.min(other.buckets.0), self.buckets.1.max(other.buckets.1));
        self.fall_max = self.fall_max.max(other.fall_max);
        self.times = (self.times.0.min(other.times.0), self.times.1.max(other.times.1));
        self.count += other.count;
    }

    /// The end of the remark.
    fn text(&self) -> String {
        let (low, high) = (format::shortest(self.buckets.0), format::shortest(self.buckets.1));
        let fall = format::two_digits(self.fall_max);
        let shown = |time: i64| Timestamp::from_second(time / NANOS_PER_SECOND).unwrap_or_default();
        let (first, last) = (shown(self.times.0), shown(self.times.1));
        let count = self.count;
        format!(
            ", from buckets {low} to {high}, with a max diff of {fall}, over {count} samples from {first} to {last}"
        )
    }
}

/// The remarks of a query, each once: by severity and message, the place of the last and what it adds up to; no place
/// where it is about the data.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes(BTreeMap<(Severity, String), (Option<usize>, Option<Fixes>)>);

impl Notes {
    pub(crate) fn add(&mut self, severity: Severity, message: String, span: Span, fixes: Option<Fixes>) {
        let (start, held) = self.0.entry((severity, message)).or_insert((None, None));
        *start = Some(span.start).max(*start);
        match (held, fixes) {
            (Some(held), Some(fixes)) => held.merge(fixes),
            (held, Some(fixes)) => *held = Some(fixes),
            (_, None) => {}
        }
    }

    /// Warns of what is wrong with the data, whatever is asked of it.
    pub(crate) fn warn_of_data(&mut self, message: String) {
        self.0.entry((Severity::Warning, message)).or_insert((None, None));
    }

    /// Warnings and infos, in the order of the query's text.
    pub(crate) fn into_parts(self) -> (Vec<Annotation>, Vec<Annotation>) {
        let notes = self.0.into_iter().map(|((severity, message), (start, fixes))| {
            let message = message + &fixes.map_or_else(String::new, |fixes| fixes.text());
            Annotation { start, severity, message }
        });
        let mut notes: Vec<Annotation> = notes.collect();
        notes.sort();
        notes.into_iter().partition(|note| note.severity == Severity::Warning)
    }
}
