//! What a series has at each step.
//!
//! A column with a place for every step would make a series of a minute as large as one of a month, and where series come and
//! go most are short. So steps without anything are left out where they are many: a column is runs of consecutive steps, and
//! nearly always one run.

use std::{iter, ops::Range, sync::Arc};

use crate::{
    model::turns,
    promql::{
        eval::{
            Patience,
            error::Result,
            series::{ABSENT, TURN, column, is_present},
        },
        value::Histogram,
    },
};

/// Fewer absent places in a row are kept: leaving them out costs as much as two of them.
const GAP_MIN: usize = 4;
/// A column is left as it is where at least one place in so many has a number.
const SPARSE: usize = 4;

/// A number, a histogram, or nothing, at each step.
#[derive(Clone, Debug, Default)]
pub(crate) struct Points {
    /// The places of all runs, [`ABSENT`] where there is no number.
    floats: Vec<f64>,
    /// The step of the first place.
    first: usize,
    /// Where further runs begin, ascending.
    jumps: Vec<Jump>,
    /// Step and histogram, ascending; never where there is a number. Empty for series of numbers, at no cost.
    pub histograms: Vec<(u32, Arc<Histogram>)>,
}

/// From this place on, places are those of the steps from `step` on.
#[derive(Clone, Copy, Debug)]
struct Jump {
    place: usize,
    step: usize,
}

impl Points {
    /// Numbers only, with a place for each step from the first on. Takes no more memory than twice that of the steps from the
    /// first to the last that have one.
    pub(crate) fn of(column: Vec<f64>, patience: &Patience<'_>) -> Result<Self> {
        let is_there = |&value: &f64| is_present(value);
        let mut first = None;
        for (number, turn) in column.chunks(TURN).enumerate() {
            patience.spend(turn.len())?;
            first = turn.iter().position(is_there).map(|place| number * TURN + place);
            if first.is_some() {
                break;
            }
        }
        let Some(first) = first else { return Ok(Self::default()) };
        let (mut last, mut end) = (first, column.len());
        for turn in column[first..].rchunks(TURN) {
            patience.spend(turn.len())?;
            end -= turn.len();
            if let Some(place) = turn.iter().rposition(is_there) {
                last = end + place;
                break;
            }
        }
        match (last + 1 - first) * 2 > column.len() {
            true => Ok(Self::starting_at(0, column)),
            false => Ok(Self::starting_at(first, patience.copied(&column[first..=last])?)),
        }
    }

    /// Numbers only, with a place for each step from a first one on.
    pub(crate) fn starting_at(first: usize, floats: Vec<f64>) -> Self {
        Self { floats, first, ..Self::default() }
    }

    /// Adds a number behind all there are.
    #[inline]
    pub(crate) fn push(&mut self, step: usize, value: f64, patience: &Patience<'_>) -> Result<()> {
        let places = self.floats.len();
        let last = self.jumps.last().copied().unwrap_or(Jump { place: 0, step: self.first });
        let next = last.step + (places - last.place);
        if places == 0 {
            self.first = step;
        } else if step - next < GAP_MIN {
            self.floats.resize(places + (step - next), ABSENT);
        } else {
            self.jumps.push(Jump { place: places, step });
        }
        if self.floats.len() == self.floats.capacity() {
            patience.allowed(turns::reserve(&mut self.floats, 1, patience.allowance()))?;
        }
        self.floats.push(value);
        Ok(())
    }

    /// The runs: the step of each one's first place, and its places.
    pub(crate) fn runs(&self) -> impl Iterator<Item = (usize, &[f64])> {
        let starts = iter::once((0, self.first)).chain(self.jumps.iter().map(|jump| (jump.place, jump.step)));
        let ends = self.jumps.iter().map(|jump| jump.place).chain(iter::once(self.floats.len()));
        let runs = starts.zip(ends).map(|((place, step), end)| (step, &self.floats[place..end]));
        runs.filter(|(_, run)| !run.is_empty())
    }

    /// As [`Self::runs`], to change them.
    #[inline]
    fn change_runs(&mut self, mut change: impl FnMut(usize, &mut [f64]) -> Result<()>) -> Result<()> {
        let (mut step, mut place, mut rest) = (self.first, 0, &mut self.floats[..]);
        for jump in &self.jumps {
            let (run, behind) = rest.split_at_mut(jump.place - place);
            change(step, run)?;
            (step, place, rest) = (jump.step, jump.place, behind);
        }
        change(step, rest)
    }

    /// Steps and numbers, ascending.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = (usize, f64)> {
        self.runs().flat_map(|(first, run)| {
            let places = run.iter().enumerate().filter(|&(_, &value)| is_present(value));
            places.map(move |(place, &value)| (first + place, value))
        })
    }

    /// The place of a step.
    #[inline]
    fn place(&self, step: usize) -> Option<usize> {
        let (mut from, mut end) = (Jump { place: 0, step: self.first }, self.floats.len());
        if !self.jumps.is_empty() {
            let behind = self.jumps.partition_point(|jump| jump.step <= step);
            from = behind.checked_sub(1).map_or(from, |index| self.jumps[index]);
            end = self.jumps.get(behind).map_or(end, |jump| jump.place);
        }
        let place = from.place + step.checked_sub(from.step)?;
        (place < end).then_some(place)
    }

    /// The number at a step; [`ABSENT`] where there is none.
    #[inline]
    pub(crate) fn at(&self, step: usize) -> f64 {
        self.place(step).map_or(ABSENT, |place| self.floats[place])
    }

    /// Takes the number of a step away.
    pub(crate) fn remove(&mut self, step: usize) {
        if let Some(place) = self.place(step) {
            self.floats[place] = ABSENT;
        }
    }

    /// The steps from the first place to the one behind the last.
    pub(crate) fn reach(&self) -> Range<usize> {
        let last = self.jumps.last().copied().unwrap_or(Jump { place: 0, step: self.first });
        self.first..last.step + (self.floats.len() - last.place)
    }

    /// The runs in turns, with a question before each where there are many places.
    pub(crate) fn turns<'p>(&'p self, patience: &'p Patience<'_>) -> impl Iterator<Item = Result<(usize, &'p [f64])>> {
        self.runs().flat_map(move |(first, run)| {
            run.chunks(TURN).enumerate().map(move |(number, turn)| {
                if number > 0 {
                    patience.spend(turn.len())?;
                }
                Ok((first + number * TURN, turn))
            })
        })
    }

    /// Whether there is nothing at any step.
    pub(crate) fn is_empty(&self) -> bool {
        self.histograms.is_empty() && !self.floats.iter().any(|&value| is_present(value))
    }

    /// At how many steps there is something.
    pub(crate) fn count(&self) -> usize {
        self.histograms.len() + self.floats.iter().map(|&value| usize::from(is_present(value))).sum::<usize>()
    }

    /// As [`Self::count`], of steps that may be very many.
    pub(crate) fn counted(&self, patience: &Patience<'_>) -> Result<usize> {
        let mut count = self.histograms.len();
        for turn in self.turns(patience) {
            count += turn?.1.iter().map(|&value| usize::from(is_present(value))).sum::<usize>();
        }
        Ok(count)
    }

    /// A copy.
    pub(crate) fn copied(&self, patience: &Patience<'_>) -> Result<Self> {
        let floats = patience.copied(&self.floats)?;
        Ok(Self { floats, first: self.first, jumps: self.jumps.clone(), histograms: self.histograms.clone() })
    }

    /// A copy that leaves out places without anything where they are most of all, for those that have something at `count`
    /// steps; `None` where they are not.
    pub(crate) fn compact(&self, count: usize, patience: &Patience<'_>) -> Result<Option<Self>> {
        if (count - self.histograms.len()) * SPARSE >= self.floats.len() {
            return Ok(None);
        }
        let mut compact = Self { histograms: self.histograms.clone(), ..Self::default() };
        for turn in self.turns(patience) {
            let (first, turn) = turn?;
            for (place, &value) in turn.iter().enumerate().filter(|&(_, &value)| is_present(value)) {
                compact.push(first + place, value, patience)?;
            }
        }
        compact.floats.shrink_to_fit();
        compact.jumps.shrink_to_fit();
        Ok(Some(compact))
    }

    /// Replaces every number; histograms go, as for all functions of numbers.
    #[inline]
    pub(crate) fn map(&mut self, patience: &Patience<'_>, mut change: impl FnMut(usize, f64) -> f64) -> Result<()> {
        self.histograms.clear();
        self.change_runs(|first, run| {
            for (turn, values) in run.chunks_mut(TURN).enumerate() {
                patience.spend(values.len())?;
                let first = first + turn * TURN;
                for (place, value) in values.iter_mut().enumerate() {
                    if is_present(*value) {
                        *value = change(first + place, *value);
                    }
                }
            }
            Ok(())
        })
    }

    /// What `merge` makes of the numbers of both at each step; `None` where that is no matter of one run beside another.
    pub(crate) fn zip(
        &self,
        other: &Self,
        patience: &Patience<'_>,
        merge: impl Fn(f64, f64) -> f64,
    ) -> Result<Option<Self>> {
        if !self.jumps.is_empty() || !other.jumps.is_empty() {
            return Ok(None);
        }
        let first = self.first.max(other.first);
        let (mine, theirs) = (self.floats.get(first - self.first..), other.floats.get(first - other.first..));
        let (mine, theirs) = (mine.unwrap_or_default(), theirs.unwrap_or_default());
        let mut merged = Vec::with_capacity(mine.len().min(theirs.len()));
        for (number, (mine, theirs)) in mine.chunks(TURN).zip(theirs.chunks(TURN)).enumerate() {
            if number > 0 {
                patience.spend(mine.len())?;
            }
            let pairs = mine.iter().zip(theirs);
            merged.extend(pairs.map(|(&a, &b)| if is_present(a) && is_present(b) { merge(a, b) } else { ABSENT }));
        }
        Ok(Some(Self::starting_at(first, merged)))
    }

    /// Bytes it takes in memory.
    pub(crate) fn size(&self) -> usize {
        let histograms: usize = self.histograms.iter().map(|(_, histogram)| histogram.size()).sum();
        self.floats.capacity() * size_of::<f64>() + self.jumps.capacity() * size_of::<Jump>() + histograms
    }

    /// Takes away what is at a step where `keep` says no.
    pub(crate) fn retain(&mut self, patience: &Patience<'_>, mut keep: impl FnMut(usize) -> bool) -> Result<()> {
        self.change_runs(|first, run| {
            for (turn, values) in run.chunks_mut(TURN).enumerate() {
                patience.spend(values.len())?;
                for (place, value) in values.iter_mut().enumerate() {
                    if is_present(*value) && !keep(first + turn * TURN + place) {
                        *value = ABSENT;
                    }
                }
            }
            Ok(())
        })?;
        self.histograms.retain(|&(step, _)| keep(step as usize));
        Ok(())
    }

    /// Whether there is a number or a histogram at a step.
    pub(crate) fn has(&self, step: usize) -> bool {
        is_present(self.at(step)) || self.histograms.binary_search_by_key(&step, |&(at, _)| at as usize).is_ok()
    }

    /// The steps at which there is something: those of numbers, and those of histograms.
    pub(crate) fn steps(&self) -> impl Iterator<Item = usize> {
        self.numbers().map(|(step, _)| step).chain(self.histograms.iter().map(|&(step, _)| step as usize))
    }

    /// Sets `mask` where there is something.
    pub(crate) fn mark(&self, mask: &mut [bool], patience: &Patience<'_>) -> Result<()> {
        for turn in self.turns(patience) {
            let (first, run) = turn?;
            for (mask, &value) in mask[first..].iter_mut().zip(run) {
                *mask |= is_present(value);
            }
        }
        self.histograms.iter().for_each(|&(step, _)| mask[step as usize] = true);
        Ok(())
    }

    /// Takes over what `other` has; false where both have something at one step.
    pub(super) fn absorb(&mut self, other: &Self, patience: &Patience<'_>) -> Result<bool> {
        for step in self.steps() {
            patience.spend(1)?;
            if other.has(step) {
                return Ok(false);
            }
        }
        let mut all = Self::default();
        let (mut mine, mut theirs) = (self.numbers().peekable(), other.numbers().peekable());
        while let Some((step, value)) = match (mine.peek(), theirs.peek()) {
            (Some(a), Some(b)) if b.0 < a.0 => theirs.next(),
            (Some(_), _) => mine.next(),
            _ => theirs.next(),
        } {
            patience.spend(1)?;
            all.push(step, value, patience)?;
        }
        drop(mine);
        all.histograms = std::mem::take(&mut self.histograms);
        all.histograms.extend(other.histograms.iter().cloned());
        all.histograms.sort_by_key(|&(step, _)| step);
        *self = all;
        Ok(true)
    }

    /// The one step of `self` at each of `steps` steps.
    pub(crate) fn broadcast(&self, steps: usize, patience: &Patience<'_>) -> Result<Self> {
        let value = self.at(0);
        let floats = column(if is_present(value) { steps } else { 0 }, patience, |_| value)?;
        let histograms = match self.histograms.first() {
            None => Vec::new(),
            Some((_, histogram)) => column(steps, patience, |step| (step as u32, Arc::clone(histogram)))?,
        };
        Ok(Self { floats, histograms, ..Self::default() })
    }
}

/// Makes a buffer so long.
fn fill<T: Copy>(buffer: &mut Vec<T>, count: usize, item: T, patience: &Patience<'_>) -> Result<()> {
    while buffer.len() < count {
        let turn = (count - buffer.len()).min(TURN);
        if turn == TURN {
            patience.spend(turn)?;
        }
        buffer.resize(buffer.len() + turn, item);
    }
    Ok(())
}

/// A column that grows as far as it is used.
#[derive(Debug)]
pub(super) struct Grown<T> {
    first: usize,
    places: Vec<T>,
}

impl<T> Default for Grown<T> {
    fn default() -> Self {
        Self { first: 0, places: Vec::new() }
    }
}

impl<T: Copy> Grown<T> {
    /// Places for steps of some range, as far as there are none; new ones are `empty`.
    pub(super) fn grow(&mut self, steps: Range<usize>, empty: T, patience: &Patience<'_>) -> Result<()> {
        if steps.is_empty() {
            return Ok(());
        }
        if self.places.is_empty() {
            self.first = steps.start;
        } else if steps.start < self.first {
            let before = self.first - steps.start;
            let mut places = Vec::with_capacity(before + self.places.len());
            fill(&mut places, before, empty, patience)?;
            patience.allowed(turns::extend(&mut places, &self.places, patience.allowance()))?;
            (self.first, self.places) = (steps.start, places);
        }
        let count = steps.end - self.first;
        if self.places.len() < count {
            let more = count - self.places.len();
            patience.allowed(turns::reserve(&mut self.places, more, patience.allowance()))?;
            fill(&mut self.places, count, empty, patience)?;
        }
        Ok(())
    }

    /// The places of `count` steps from `first` on, which it has grown to.
    pub(super) fn reach(&mut self, first: usize, count: usize) -> &mut [T] {
        let start = first - self.first;
        &mut self.places[start..start + count]
    }

    /// What is at a step; `None` where it does not reach.
    pub(super) fn at(&self, step: usize) -> Option<T> {
        self.places.get(step.checked_sub(self.first)?).copied()
    }

    /// The step of the first place.
    pub(super) fn first(&self) -> usize {
        self.first
    }

    /// Its places.
    pub(super) fn places(&self) -> &[T] {
        &self.places
    }

    /// Bytes it takes in memory.
    pub(super) fn size(&self) -> usize {
        self.places.capacity() * size_of::<T>()
    }
}
