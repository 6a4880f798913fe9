//! What of the stage is put back: decided from what was found, before anything is done.
//!
//! Beside what is in no part yet that is what lost parts held, as far as the log still has it. Those batches make
//! generations of their own, between the parts of their neighbours, and of the lost days alone: in another order an older
//! sample would win over a newer one.

use super::{
    FileEntry, Span, Verdict,
    recover::{PagesAt, Run},
};
use crate::model::{Day, PartId, SeqNo};

/// Which batches and pages come back.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Batches, by number. No number comes twice: a group whose write failed may stand in two files.
    pub(crate) pieces: Vec<Piece>,
    /// The commits whose pages count, by their place in the stage's list.
    pub(crate) commits: Vec<usize>,
    /// What lost parts leave open, apart from each other, in order.
    pub(crate) gaps: Vec<Gap>,
}

/// Numbers whose rows of some days were in parts that are damaged or missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) numbers: (SeqNo, SeqNo),
    pub(crate) days: Vec<Day>,
}

impl Gap {
    fn is_of(&self, part: &FileEntry) -> bool {
        part.numbers.0 <= self.numbers.0 && self.numbers.1 <= part.numbers.1
    }
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
    /// The gap it fills, by its place: only rows of the gap's days come back, as those of others are in parts.
    pub(crate) gap: Option<usize>,
}

impl Plan {
    /// What counts by the verdict, and has a number above `flushed` or was in a lost part. Of the latter the log's batches:
    /// a container goes with the generation whose parts took its place, the log's newest segments stay for a while.
    pub(crate) fn new(
        runs: &[Run],
        commits: &[PagesAt],
        verdict: &Verdict,
        flushed: SeqNo,
        lost: &[FileEntry],
    ) -> Self {
        let mut plan = Self { gaps: gaps(lost), ..Self::default() };
        let counts = |span: Span| span.to > flushed && verdict.keeps(span);
        plan.commits = (0..commits.len()).filter(|index| counts(commits[*index].span)).collect();
        let covered: Vec<_> = plan.commits.iter().map(|index| commits[*index].span.numbers()).collect();
        let mut holes = [&verdict.voids[..], &covered].concat();
        holes.sort_unstable();
        let within = plan.gaps.iter().map(|gap| gap.numbers).enumerate().map(|(gap, numbers)| (Some(gap), numbers));
        let within: Vec<_> = within.chain([(None, (flushed.next(), SeqNo(u64::MAX)))]).collect();
        let mut order: Vec<usize> = (0..runs.len()).collect();
        order.sort_by_key(|run| (runs[*run].span.from, *run));
        for (gap, (first, last)) in within {
            let mut next = first;
            for run in order.iter().copied() {
                let Some((from, to)) = verdict.kept(runs[run].span) else { continue };
                for numbers in without((from.max(next), to.min(last)), &holes) {
                    plan.add(run, runs, numbers, gap, &covered);
                }
                next = next.max(to.next());
            }
        }
        plan
    }

    fn add(
        &mut self,
        run: usize,
        runs: &[Run],
        numbers: (SeqNo, SeqNo),
        gap: Option<usize>,
        covered: &[(SeqNo, SeqNo)],
    ) {
        let is_apart = self.pieces.last().is_some_and(|before| {
            let between = before.numbers.1..numbers.0;
            runs[before.run].span.incarnation != runs[run].span.incarnation
                || before.gap != gap
                || covered.iter().any(|pages| between.contains(&pages.0))
        });
        self.pieces.push(Piece { run, numbers, is_apart, gap });
    }

    /// How many batches it puts back.
    pub(crate) fn batches(&self, commits: &[PagesAt], flushed: SeqNo) -> u64 {
        let pieces = self.pieces.iter().map(|Piece { numbers: (first, last), .. }| last.0 - first.0 + 1);
        let spans = self.commits.iter().map(|index| commits[*index].span);
        pieces.chain(spans.map(|span| span.to.0 - span.from.0.max(flushed.0 + 1) + 1)).sum()
    }

    /// The lost parts of which something is put back, each with the last number of that.
    pub(crate) fn refilled(&self, lost: &[FileEntry]) -> Vec<(PartId, SeqNo)> {
        let last = |part: &FileEntry| {
            let is_of = |piece: &&Piece| piece.gap.is_some_and(|gap| self.gaps[gap].is_of(part));
            self.pieces.iter().filter(is_of).map(|piece| piece.numbers.1).max()
        };
        lost.iter().filter_map(|part| Some((part.id, last(part)?))).collect()
    }

    /// Whether all that a lost part held is put back.
    pub(crate) fn is_put_back(&self, part: &FileEntry, verdict: &Verdict) -> bool {
        let of_day = |gap: usize| self.gaps[gap].days.contains(&part.day);
        let pieces = self.pieces.iter().filter(|piece| piece.gap.is_some_and(of_day));
        let mut put_back: Vec<_> = pieces.map(|piece| piece.numbers).collect();
        put_back.sort_unstable();
        lacking(part.numbers, &put_back, verdict).is_empty()
    }

    /// The numbers whose batches are gone, in whole or in part, with lost parts: those that counted, and are neither put
    /// back nor known to be lost since an earlier start.
    pub(crate) fn lost(&self, verdict: &Verdict) -> Vec<(SeqNo, SeqNo)> {
        let put_back = self.pieces.iter().filter(|piece| piece.gap.is_some()).map(|piece| piece.numbers);
        let mut holes: Vec<_> = verdict.voids.iter().copied().chain(put_back).collect();
        holes.sort_unstable();
        let mut lost = Vec::new();
        self.gaps.iter().for_each(|gap| lost.extend(lacking(gap.numbers, &holes, verdict)));
        lost
    }
}

impl Plan {
    /// Numbers that count, of which no earlier start said that they are lost, nor this one that they are gone with parts.
    pub(crate) fn not_lost_yet(&self, ranges: &[(SeqNo, SeqNo)], verdict: &Verdict) -> Vec<(SeqNo, SeqNo)> {
        let mut holes = [&verdict.voids[..], &self.lost(verdict)].concat();
        holes.sort_unstable();
        let mut rest = Vec::new();
        ranges.iter().for_each(|range| rest.extend(lacking(*range, &holes, verdict)));
        rest.sort_unstable();
        rest.dedup();
        rest
    }
}

/// What parts leave open that are lost: ranges of numbers, each with all days it misses.
fn gaps(lost: &[FileEntry]) -> Vec<Gap> {
    let mut edges: Vec<SeqNo> = lost.iter().flat_map(|part| [part.numbers.0, part.numbers.1.next()]).collect();
    edges.sort_unstable();
    edges.dedup();
    let between = edges.windows(2).map(|edges| Gap { numbers: (edges[0], SeqNo(edges[1].0 - 1)), days: Vec::new() });
    let with_days = between.map(|gap| {
        let days = lost.iter().filter(|part| gap.is_of(part)).map(|part| part.day).collect();
        Gap { days, ..gap }
    });
    with_days.filter(|gap| !gap.days.is_empty()).collect()
}

/// The numbers of a range that count and are not among those held, which are sorted.
pub(super) fn lacking(range: (SeqNo, SeqNo), held: &[(SeqNo, SeqNo)], verdict: &Verdict) -> Vec<(SeqNo, SeqNo)> {
    let mut lacking = Vec::new();
    for start in &verdict.incarnations {
        let end = start.end.expect("the verdict ends every start");
        lacking.extend(without((range.0.max(start.first), range.1.min(end)), held));
    }
    lacking
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
