//! The set operators: `and`, `or`, `unless`.

use hashbrown::HashMap;

use crate::{
    model::Labels,
    promql::{
        ast::{Binary, BinaryOp, Matching},
        eval::{
            Error, Eval, Held, Patience, Result,
            matching::signature,
            points::{Grown, Points},
            series::{Kept, Sink, is_present, merge_equal},
            steps::Steps,
        },
    },
};

/// For each signature, the steps at which some series has it.
type Presence = HashMap<Labels, Grown<bool>>;

impl<'a> Eval<'a> {
    pub(super) fn stream_set(&self, binary: &'a Binary, steps: Steps, sink: &mut Sink<'_>) -> Result<()> {
        let matching = binary.matching.as_ref().expect("the parser gives set operators a matching");
        match binary.op {
            BinaryOp::And => self.stream_filtered(binary, matching, true, steps, sink),
            BinaryOp::Unless => self.stream_filtered(binary, matching, false, steps, sink),
            _ => self.stream_or(binary, matching, steps, sink),
        }
    }

    /// The left series where the right side has (`and`) or has not (`unless`) something of the same signature.
    fn stream_filtered(
        &self,
        binary: &'a Binary,
        matching: &Matching,
        wanted: bool,
        steps: Steps,
        sink: &mut Sink<'_>,
    ) -> Result<()> {
        let patience = self.patience();
        let mut presence = Presence::new();
        let mut held = self.held();
        self.stream(&binary.right, steps, &mut |row| {
            patience.spend(Patience::SERIES + steps.count)?;
            mark(&mut presence, signature(&row.labels, matching), row.points, (&mut held, &patience))
        })?;
        self.stream(&binary.left, steps, &mut |row| {
            patience.spend(Patience::SERIES + steps.count)?;
            match presence.get(&signature(&row.labels, matching)) {
                Some(mask) => row.points.retain(&patience, |step| mask.at(step).unwrap_or(false) == wanted)?,
                None if wanted => return Ok(()),
                None => {}
            }
            sink(row)
        })
    }

    /// All left series, and the right ones where the left side has nothing of the same signature.
    fn stream_or(&self, binary: &'a Binary, matching: &Matching, steps: Steps, sink: &mut Sink<'_>) -> Result<()> {
        let patience = self.patience();
        let mut presence = Presence::new();
        let mut held = self.held();
        let mut rows = self.collect(&binary.left, steps)?;
        for kept in &rows.series {
            patience.spend(Patience::SERIES + steps.count)?;
            mark(&mut presence, signature(&kept.labels, matching), &kept.points, (&mut held, &patience))?;
        }
        let mut right = self.collect(&binary.right, steps)?;
        for mut kept in right.series.drain(..) {
            patience.spend(Patience::SERIES + steps.count)?;
            if let Some(mask) = presence.get(&signature(&kept.labels, matching)) {
                kept.points.retain(&patience, |step| !mask.at(step).unwrap_or(false))?;
            }
            if !kept.points.is_empty() {
                rows.series.push(kept);
            }
        }
        let merged = merge_equal(rows.series, &patience, Error::duplicate_labels)?;
        merged.into_iter().try_for_each(|mut kept: Kept| kept.send(sink))
    }
}

/// Notes the steps at which a series has something.
fn mark(
    presence: &mut Presence,
    signature: Labels,
    points: &Points,
    (held, patience): (&mut Held<'_>, &Patience<'_>),
) -> Result<()> {
    let (known, size) = (presence.len(), signature.size());
    let mask = presence.entry(signature).or_default();
    let before = mask.size();
    mask.grow(points.reach(), false, patience)?;
    for turn in points.turns(patience) {
        let (first, run) = turn?;
        for (mask, &value) in mask.reach(first, run.len()).iter_mut().zip(run) {
            *mask |= is_present(value);
        }
    }
    for &(step, _) in &points.histograms {
        let step = step as usize;
        mask.grow(step..step + 1, false, patience)?;
        mask.reach(step, 1)[0] = true;
    }
    let mut more = mask.size() - before;
    if presence.len() > known {
        more += size + size_of::<(Labels, Grown<bool>)>();
    }
    if more > 0 { held.grow(0, more) } else { Ok(()) }
}
