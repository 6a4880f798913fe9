//! What of the stage is put back: decided from what was found, before anything is done.

use super::{
    Span, Verdict,
    recover::{PagesAt, Run},
};
use crate::model::SeqNo;

/// Which batches and pages come back.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Batches, by number. No number comes twice: a group whose write failed may stand in two files.
    pub(crate) pieces: Vec<Piece>,
    /// The commits whose pages count, by their place in the stage's list.
    pub(crate) commits: Vec<usize>,
}

/// Batches of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// The run's place in the stage's list.
    pub(crate) run: usize,
    /// The first and the last number.
    pub(crate) numbers: (SeqNo, SeqNo),
    /// Not of one generation with the piece before: the numbers of generations and of pages never interleave.
    pub(crate) is_apart: bool,
}

impl Plan {
    /// What counts by the verdict, and has a number above `flushed`.
    pub(crate) fn new(runs: &[Run], commits: &[PagesAt], verdict: &Verdict, flushed: SeqNo) -> Self {
        let mut plan = Self::default();
        let counts = |span: Span| span.to > flushed && verdict.keeps(span);
        plan.commits = (0..commits.len()).filter(|index| counts(commits[*index].span)).collect();
        let covered: Vec<_> = plan.commits.iter().map(|index| commits[*index].span.numbers()).collect();
        let mut holes = [&verdict.voids[..], &covered].concat();
        holes.sort_unstable();
        let mut order: Vec<usize> = (0..runs.len()).collect();
        order.sort_by_key(|run| (runs[*run].span.from, *run));
        let mut next = flushed.next();
        for run in order {
            let Some((from, to)) = verdict.kept(runs[run].span) else { continue };
            for numbers in without((from.max(next), to), &holes) {
                plan.add(run, runs, numbers, &covered);
            }
            next = next.max(to.next());
        }
        plan
    }

    fn add(&mut self, run: usize, runs: &[Run], numbers: (SeqNo, SeqNo), covered: &[(SeqNo, SeqNo)]) {
        let is_apart = self.pieces.last().is_some_and(|before| {
            let between = before.numbers.1..numbers.0;
            runs[before.run].span.incarnation != runs[run].span.incarnation
                || covered.iter().any(|pages| between.contains(&pages.0))
        });
        self.pieces.push(Piece { run, numbers, is_apart });
    }

    /// How many batches it puts back.
    pub(crate) fn batches(&self, commits: &[PagesAt], flushed: SeqNo) -> u64 {
        let count = |(first, last): (SeqNo, SeqNo)| last.0 - first.0.max(flushed.0 + 1) + 1;
        let pieces = self.pieces.iter().map(|piece| count(piece.numbers));
        pieces.chain(self.commits.iter().map(|index| count(commits[*index].span.numbers()))).sum()
    }
}

/// A range of numbers without the holes, which are sorted.
fn without(range: (SeqNo, SeqNo), holes: &[(SeqNo, SeqNo)]) -> Vec<(SeqNo, SeqNo)> {
    let (mut from, to) = range;
    let mut rest = Vec::new();
    for (first, last) in holes.iter().copied().filter(|(first, last)| *last >= range.0 && *first <= to) {
        if from < first {
            rest.push((from, SeqNo(first.0 - 1)));
        }
        from = from.max(last.next());
    }
    if from <= to {
        rest.push((from, to));
    }
    rest
}
