//! How often a value is seen at each step.

use crate::{
    model::{sort_copies_by, turns},
    promql::eval::{Patience, Result},
};

/// So few late steps are no reason to sort.
const LATE_MIN: usize = 32;

/// The steps at which a value was seen, and how often. Many values are seen at a few steps only, so others take no place.
#[derive(Default)]
pub(super) struct Counts {
    /// Step and count, ascending.
    sorted: Vec<(u32, u32)>,
    /// Steps before the last sorted one and not among them, as they came. Put into their places one by one each would move
    /// all behind it; so they wait until they are as many as the sorted ones.
    late: Vec<u32>,
}

impl Counts {
    /// Counts it once more at a step.
    pub(super) fn add(&mut self, step: usize, patience: &Patience<'_>) -> Result<()> {
        let step = step as u32;
        let place = match self.sorted.last() {
            Some(&(last, _)) if last >= step => self.sorted.binary_search_by_key(&step, |&(at, _)| at),
            _ => {
                patience.allowed(turns::reserve(&mut self.sorted, 1, patience.allowance()))?;
                self.sorted.push((step, 1));
                return Ok(());
            }
        };
        match place {
            Ok(place) => self.sorted[place].1 += 1,
            Err(_) => {
                self.late.push(step);
                if self.late.len() >= self.sorted.len().max(LATE_MIN) {
                    self.settle(patience)?;
                }
            }
        }
        Ok(())
    }

    /// Puts late steps into their places.
    pub(super) fn settle(&mut self, patience: &Patience<'_>) -> Result<()> {
        if self.late.is_empty() {
            return Ok(());
        }
        sort_copies_by(&mut self.late, u32::cmp, |looks| patience.spend(looks))?;
        let mut settled = Vec::with_capacity(self.sorted.len() + self.late.len());
        let (mut sorted, mut late) = (self.sorted.iter().copied().peekable(), self.late.iter().copied().peekable());
        while let Some(step) = sorted.peek().map(|&(step, _)| step).into_iter().chain(late.peek().copied()).min() {
            patience.spend(1)?;
            let mut count = sorted.next_if(|&(at, _)| at == step).map_or(0, |(_, count)| count);
            while late.next_if_eq(&step).is_some() {
                count += 1;
            }
            settled.push((step, count));
        }
        self.sorted = settled;
        self.late.clear();
        Ok(())
    }

    /// At how many steps it was seen; late ones count when they have settled.
    pub(super) fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Steps and counts, ascending, of those that have settled.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, u32)> {
        self.sorted.iter().map(|&(step, count)| (step as usize, count))
    }

    /// Bytes it takes in memory.
    pub(super) fn size(&self) -> usize {
        self.sorted.capacity() * size_of::<(u32, u32)>() + self.late.capacity() * size_of::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use fastrand::Rng;

    use super::*;
    use crate::promql::eval::{Guard, Meter};

    /// Counts them; also returns how many places settling went through.
    fn count(steps: &[usize]) -> (Vec<(usize, u32)>, usize) {
        let meter = Meter::default();
        let guard = Guard { meter: &meter, samples_max: 0, series_max: 0, memory_max: 0, interrupt: None };
        let patience = Patience::new(guard);
        let (mut counts, mut gone_through) = (Counts::default(), 0);
        for &step in steps {
            let waiting = counts.late.len();
            counts.add(step, &patience).unwrap();
            if counts.late.len() < waiting {
                gone_through += counts.sorted.len() + waiting;
            }
            assert!(counts.late.len() <= counts.sorted.len().max(LATE_MIN));
        }
        counts.settle(&patience).unwrap();
        assert_eq!(counts.len(), counts.iter().count());
        (counts.iter().collect(), gone_through)
    }

    #[test]
    fn steps_are_counted_in_whatever_order_they_come() {
        for seed in 0..500 {
            let mut rng = Rng::with_seed(seed);
            let (most, rounds) = (rng.usize(1..400), rng.usize(1..20));
            let mut steps = Vec::new();
            for _ in 0..rounds {
                // A series comes in order, but has its own steps.
                let (share, in_order) = (rng.u32(1..5), rng.u32(..4) > 0);
                let first = steps.len();
                steps.extend((0..most).filter(|_| rng.u32(..4) < share));
                if !in_order {
                    rng.shuffle(&mut steps[first..]);
                }
            }
            let mut expected = BTreeMap::new();
            steps.iter().for_each(|&step| *expected.entry(step).or_insert(0) += 1);
            assert_eq!(count(&steps).0, expected.into_iter().collect::<Vec<_>>(), "seed {seed}");
        }
    }

    #[test]
    fn series_that_take_turns_at_a_value_cost_what_others_do() {
        const STEPS: usize = 40_000;
        let turns = |series: usize| (0..series).flat_map(move |first| (first..STEPS).step_by(series));
        for steps in [turns(2).collect(), turns(500).collect(), (0..STEPS).rev().collect::<Vec<_>>()] {
            let (counts, gone_through) = count(&steps);
            assert_eq!(counts, (0..STEPS).map(|step| (step, 1)).collect::<Vec<_>>());
            assert!(gone_through < 8 * STEPS, "{gone_through}");
        }
    }
}
