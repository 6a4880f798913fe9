//! Operators between two vectors: which series belong together, and what their result is called.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::{
    model::{Labels, METRIC_NAME},
    promql::{
        ast::{Binary, Cardinality, Matching, Span},
        eval::{
            Error, Eval, Patience, Result, Rows,
            binary::Operation,
            points::Points,
            series::{ABSENT, Kept, Sink, is_metadata, is_present, merge_equal},
            steps::Steps,
        },
        quote,
    },
};

/// The labels two series must share to belong together.
pub(super) fn signature(labels: &Labels, matching: &Matching) -> Labels {
    let listed = |name: &str| matching.labels.iter().any(|label| **label == *name);
    match matching.on {
        true => labels.filtered(listed),
        false => labels.filtered(|name| name != METRIC_NAME && !listed(name)),
    }
}

/// The series of one signature: those of the side that may have many, and those of the other.
#[derive(Default)]
struct Group {
    many: Vec<usize>,
    one: Vec<usize>,
}

/// Two collected vectors about to be matched. `many` is the left side but with `group_right`.
struct Match<'m> {
    matching: &'m Matching,
    operation: Operation,
    steps: Steps,
    swapped: bool,
    many: &'m [Kept],
    one: &'m [Kept],
    /// At which steps either side has anything at all; where not, nothing is matched, and nothing can go wrong.
    active: Vec<bool>,
    patience: &'m Patience<'m>,
}

impl<'a> Eval<'a> {
    pub(super) fn stream_matched(
        &self,
        binary: &'a Binary,
        matching: &Matching,
        span: Span,
        steps: Steps,
        sink: &mut Sink<'_>,
    ) -> Result<()> {
        let operation = Operation::of(binary.op, binary.return_bool);
        let left = self.collect_sorted(&binary.left, steps)?;
        let right = self.collect_sorted(&binary.right, steps)?;
        if matches!(operation, Operation::Nothing) && !left.series.is_empty() && !right.series.is_empty() {
            self.inform_of_types(binary.op, span);
        }
        let swapped = matching.cardinality == Cardinality::OneToMany;
        let (many, one): (&Rows<'_>, &Rows<'_>) = if swapped { (&right, &left) } else { (&left, &right) };
        let (many, one) = (&many.series[..], &one.series[..]);
        let patience = &self.patience();
        let active = active_steps(many, one, matching, steps, patience)?;
        let matched = Match { matching, operation, steps, swapped, many, one, active, patience };
        let mut results = self.rows();
        for (labels, group) in matched.groups()? {
            patience.spend(Patience::SERIES + steps.count)?;
            matched.check(&labels, &group)?;
            matched.join(&group, &mut results)?;
        }
        let conflict = || Error::execution("multiple matches for labels: grouping labels must ensure unique matches");
        merge_equal(results.series, patience, conflict)?.into_iter().try_for_each(|mut kept| kept.send(sink))
    }
}

/// The steps at which both sides have something; with a fill value, at which any has.
fn active_steps(
    many: &[Kept],
    one: &[Kept],
    matching: &Matching,
    steps: Steps,
    patience: &Patience<'_>,
) -> Result<Vec<bool>> {
    let present = |side: &[Kept]| -> Result<Vec<bool>> {
        let mut mask = vec![false; steps.count];
        for kept in side {
            patience.spend(steps.count)?;
            kept.points.mark(&mut mask);
        }
        Ok(mask)
    };
    let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
    let both = present(many)?.into_iter().zip(present(one)?);
    Ok(both.map(|(a, b)| if fills { a || b } else { a && b }).collect())
}

impl Match<'_> {
    /// The groups, in the order of their first series.
    fn groups(&self) -> Result<Vec<(Labels, Group)>> {
        let mut places = HashMap::new();
        let mut groups: Vec<(Labels, Group)> = Vec::new();
        let sides = self.many.iter().map(|kept| (kept, true)).enumerate();
        let sides = sides.chain(self.one.iter().map(|kept| (kept, false)).enumerate());
        for (index, (kept, is_many)) in sides {
            self.patience.spend_series()?;
            let labels = signature(&kept.labels, self.matching);
            let place = *places.entry(labels.clone()).or_insert_with(|| {
                groups.push((labels, Group::default()));
                groups.len() - 1
            });
            let group = &mut groups[place].1;
            if is_many { group.many.push(index) } else { group.one.push(index) }
        }
        Ok(groups)
    }

    /// Fails where a side has more series at a step than it may.
    fn check(&self, labels: &Labels, group: &Group) -> Result<()> {
        let one_to_one = self.matching.cardinality == Cardinality::OneToOne;
        if group.one.len() < 2 && (group.many.len() < 2 || !one_to_one) {
            return Ok(());
        }
        for step in (0..self.steps.count).filter(|&step| self.active[step]) {
            self.patience.spend(group.one.len() + group.many.len())?;
            let mut ones = group.one.iter().filter(|&&index| self.one[index].points.has(step));
            let first = ones.next();
            if let (Some(&first), Some(&second)) = (first, ones.next()) {
                return Err(self.many_to_many(labels, &self.one[first].labels, &self.one[second].labels));
            }
            let matched = first.is_some() || self.fill_one().is_some();
            if one_to_one && matched {
                let many = group.many.iter().filter(|&&index| self.many[index].points.has(step)).count();
                if many > 1 {
                    let reason = "multiple matches for labels: many-to-one matching must be explicit \
                                  (group_left/group_right)";
                    return Err(Error::execution(reason));
                }
            }
        }
        Ok(())
    }

    fn many_to_many(&self, group: &Labels, first: &Labels, second: &Labels) -> Error {
        let side = if self.swapped { "left" } else { "right" };
        let (group, first, second) = (pairs(group), pairs(first), pairs(second));
        Error::execution(format!(
            "found duplicate series for the match group {group} on the {side} hand-side of the operation: \
             [{first}, {second}];many-to-many matching not allowed: matching labels must be unique on one side"
        ))
    }

    /// What stands for a missing series of the side that may have many. With `group_right` Prometheus exchanges the sides
    /// but not their fill values, and so do we.
    fn fill_many(&self) -> Option<f64> {
        self.matching.fill_left
    }

    /// What stands for a missing series of the other side.
    fn fill_one(&self) -> Option<f64> {
        self.matching.fill_right
    }

    /// The results of a group: of each pair of series where both have something, and of what is filled in.
    fn join(&self, group: &Group, results: &mut Rows<'_>) -> Result<()> {
        for &many in &group.many {
            for &one in &group.one {
                let (many, one) = (&self.many[many], &self.one[one]);
                let points = self.combine(|step| (many.points.at(step), one.points.at(step)));
                self.push(&many.labels, many.drop_name, Some(&one.labels), points, results)?;
            }
        }
        if let Some(fill) = self.fill_one() {
            let covered = self.covered(self.one, &group.one)?;
            for &many in &group.many {
                let many = &self.many[many];
                let points = self.combine(|step| (many.points.at(step), if covered[step] { ABSENT } else { fill }));
                self.push(&many.labels, many.drop_name, None, points, results)?;
            }
        }
        if let Some(fill) = self.fill_many() {
            let covered = self.covered(self.many, &group.many)?;
            for &one in &group.one {
                let one = &self.one[one];
                let points = self.combine(|step| (if covered[step] { ABSENT } else { fill }, one.points.at(step)));
                self.push(&signature(&one.labels, self.matching), false, Some(&one.labels), points, results)?;
            }
        }
        Ok(())
    }

    /// The steps at which any of some series has something.
    fn covered(&self, side: &[Kept], members: &[usize]) -> Result<Vec<bool>> {
        let mut mask = vec![false; self.steps.count];
        for &index in members {
            self.patience.spend(self.steps.count)?;
            side[index].points.mark(&mut mask);
        }
        Ok(mask)
    }

    /// The results at steps where both sides (many, one) have a number.
    fn combine(&self, pair: impl Fn(usize) -> (f64, f64)) -> Points {
        let at = |step| match pair(step) {
            (many, one) if !is_present(many) || !is_present(one) => ABSENT,
            (many, one) if self.swapped => self.operation.apply(one, many),
            (many, one) => self.operation.apply(many, one),
        };
        Points::of((0..self.steps.count).map(at).collect())
    }

    fn push(
        &self,
        many: &Labels,
        drop_name: bool,
        one: Option<&Labels>,
        points: Points,
        results: &mut Rows<'_>,
    ) -> Result<()> {
        self.patience.spend(Patience::SERIES + self.steps.count)?;
        if points.is_empty() {
            return Ok(());
        }
        let labels = self.result_labels(many, one);
        let keeps_name = matches!(self.operation, Operation::Filter(_));
        results.keep(Kept { labels, drop_name: drop_name && keeps_name, points })
    }

    fn result_labels(&self, many: &Labels, one: Option<&Labels>) -> Labels {
        let listed = |name: &str| self.matching.labels.iter().any(|label| **label == *name);
        let one_to_one = self.matching.cardinality == Cardinality::OneToOne;
        let labels = many.filtered(|name| {
            !(self.operation.drops_name() && is_metadata(name)) && (!one_to_one || listed(name) == self.matching.on)
        });
        let (Some(one), false) = (one, self.matching.include.is_empty()) else { return labels };
        let mut builder = labels.to_builder();
        for name in &self.matching.include {
            builder.set(name.clone(), Arc::from(one.get(name)));
        }
        builder.build()
    }
}

/// Labels as messages show them: all as pairs, the name too.
fn pairs(labels: &Labels) -> String {
    let pairs: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={}", quote(value))).collect();
    format!("{{{}}}", pairs.join(", "))
}
