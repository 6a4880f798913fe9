//! What survived: a pure function from what was found to where the sequence ends.

use crate::{
    engine::edit::{Incarnation, State},
    model::SeqNo,
};

/// Consecutive numbers that one valid frame covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The start of the server that gave them out.
    pub incarnation: u32,
    /// The first number.
    pub from: SeqNo,
    /// The last number.
    pub to: SeqNo,
}

impl Span {
    /// The first and the last number.
    pub fn numbers(self) -> (SeqNo, SeqNo) {
        (self.from, self.to)
    }
}

/// What a start decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// All starts, each with its end.
    pub incarnations: Vec<Incarnation>,
    /// The last number that counts.
    pub end: SeqNo,
    /// Numbers that had been safe and are missing: damage, not a crash. Ranges, first and last.
    pub damaged: Vec<(SeqNo, SeqNo)>,
    /// Numbers that were given out and rejected: no batch of theirs counts. Ranges, first and last.
    pub voids: Vec<(SeqNo, SeqNo)>,
}

impl Verdict {
    /// Where the sequence ends, given what the manifest says, the largest `safe` seen anywhere, and what was found in the
    /// stage. A missing number up to `safe` is damage, and what follows is kept; the first missing number above it is the
    /// end, and all behind is dropped for good. A rejected number is not missing, nor is one that an earlier start found
    /// lost, and told so: neither is revived.
    pub fn new(state: &State, safe: SeqNo, mut spans: Vec<Span>, mut voids: Vec<Span>) -> Self {
        let safe = safe.max(state.flushed);
        voids.extend(state.lost.iter().flat_map(|(from, to)| state.spans(*from, *to)));
        spans.extend(&voids);
        spans.sort_unstable_by_key(|span| (span.from, span.to));
        let mut verdict = Self { end: state.flushed, ..Self::default() };
        for incarnation in &state.incarnations {
            let ours = spans.iter().filter(|span| span.incarnation == incarnation.number).copied();
            verdict.close(*incarnation, state.flushed, safe, ours);
        }
        verdict.voids = voids.into_iter().filter_map(|void| verdict.kept(void)).collect();
        verdict.voids.sort_unstable();
        verdict.voids.dedup();
        verdict
    }

    /// What counts of a span: the numbers that its own start is known to have kept.
    pub fn kept(&self, span: Span) -> Option<(SeqNo, SeqNo)> {
        let start = self.incarnations.iter().find(|start| start.number == span.incarnation)?;
        let (from, to) = (span.from.max(start.first), span.to.min(start.end?));
        (from <= to).then_some((from, to))
    }

    /// Whether all numbers of a span count.
    pub fn keeps(&self, span: Span) -> bool {
        self.kept(span) == Some(span.numbers())
    }

    /// The numbers above `end` that count, a range for each start.
    pub fn counted_above(&self, end: SeqNo) -> Vec<(SeqNo, SeqNo)> {
        let above = |start: &Incarnation| Some((start.first.max(end.next()), start.end?));
        self.incarnations.iter().filter_map(above).filter(|(first, last)| first <= last).collect()
    }

    /// Ends the sequence at `end`, for good.
    pub fn cut(&mut self, end: SeqNo) {
        for start in &mut self.incarnations {
            let last = end.max(SeqNo(start.first.0 - 1));
            start.end = start.end.map(|end| end.min(last));
        }
        self.end = self.end.min(end);
        self.damaged.retain(|(first, _)| *first <= end);
    }

    fn close(&mut self, incarnation: Incarnation, flushed: SeqNo, safe: SeqNo, spans: impl Iterator<Item = Span>) {
        let first = incarnation.first.max(flushed.next());
        let walk = Walk { next: first, damaged: &mut self.damaged };
        let end = match incarnation.end {
            // An earlier start found this end: up to it, everything was safe then.
            Some(end) => {
                walk.end(end, Some(end), spans);
                end
            }
            None => walk.end(safe, None, spans).max(SeqNo(incarnation.first.0 - 1)),
        };
        // A start that gave nothing out, or nothing that survived, ends before its first number.
        if end >= incarnation.first {
            self.end = self.end.max(end);
        }
        self.incarnations.push(Incarnation { end: Some(end), ..incarnation });
    }
}

struct Walk<'d> {
    /// The next number to be found.
    next: SeqNo,
    damaged: &'d mut Vec<(SeqNo, SeqNo)>,
}

impl Walk<'_> {
    /// Goes over the spans, in order, up to `cut` where there is one; the last number that counts.
    fn end(mut self, safe: SeqNo, cut: Option<SeqNo>, spans: impl Iterator<Item = Span>) -> SeqNo {
        for span in spans.filter(|span| cut.is_none_or(|cut| span.to <= cut)) {
            if span.to < self.next {
                continue;
            }
            if span.from > self.next && span.from > safe.next() {
                break;
            }
            if span.from > self.next {
                self.damaged.push((self.next, SeqNo(span.from.0 - 1)));
            }
            self.next = span.to.next();
        }
        if self.next <= safe {
            self.damaged.push((self.next, safe));
            self.next = safe.next();
        }
        SeqNo(self.next.0 - 1)
    }
}
