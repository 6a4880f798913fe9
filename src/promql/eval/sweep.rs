//! From step to step, with the series that are there.

use crate::{
    model::sort_copies_by,
    promql::eval::{Patience, Result, series::Kept},
};

/// What a look at where a series begins or ends costs, in samples.
const COST: usize = 16;

/// Goes through the steps of a query with those series of a group that reach over each: where series come and go, few do.
pub(super) struct Sweep {
    /// Those still to come, the next one last.
    coming: Vec<usize>,
    here: Vec<usize>,
    /// The first step that one of those here does not reach.
    until: usize,
}

impl Sweep {
    /// `members` are indices of series.
    pub(super) fn new(series: &[Kept], members: &[usize], patience: &Patience<'_>) -> Result<Self> {
        let mut coming = members.to_vec();
        let first = |index: usize| series[index].points.reach().start;
        sort_copies_by(&mut coming, |&a, &b| first(b).cmp(&first(a)), |looks| patience.spend(looks * COST))?;
        Ok(Self { coming, here: Vec::new(), until: usize::MAX })
    }

    /// Those of the same series that reach over a step, in no order; asked of ever later steps.
    pub(super) fn at(&mut self, series: &[Kept], step: usize, patience: &Patience<'_>) -> Result<&[usize]> {
        let reach = |index: usize| series[index].points.reach();
        if step >= self.until {
            self.until = usize::MAX;
            for index in std::mem::take(&mut self.here) {
                patience.spend(COST)?;
                let end = reach(index).end;
                if end > step {
                    self.here.push(index);
                    self.until = self.until.min(end);
                }
            }
        }
        while let Some(index) = self.coming.pop_if(|index| reach(*index).start <= step) {
            patience.spend(COST)?;
            self.here.push(index);
            self.until = self.until.min(reach(index).end);
        }
        Ok(&self.here)
    }
}
