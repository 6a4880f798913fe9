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
            series::{Kept, Sink, column, is_metadata, is_present, merge_equal},
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

/// The series of the side of one that are there, by their indices: at most one at each step at which anything is matched.
enum Ones {
    /// There is no other.
    Always(usize),
    /// One for each step; none where nothing is there at any.
    AtStep(Vec<Option<usize>>),
}

impl Ones {
    #[inline]
    fn at(&self, step: usize) -> Option<usize> {
        match self {
            Self::Always(one) => Some(*one),
            Self::AtStep(ones) => ones.get(step).copied().flatten(),
        }
    }
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
            let ones = matched.ones(&labels, &group)?;
            matched.join(&group, &ones, &mut results)?;
        }
        merge_equal(results.series, patience, same_result)?.into_iter().try_for_each(|mut kept| kept.send(sink))
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
            kept.points.mark(&mut mask, patience)?;
        }
        Ok(mask)
    };
    let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
    let (many, one) = (present(many)?, present(one)?);
    column(steps.count, patience, |step| if fills { many[step] || one[step] } else { many[step] && one[step] })
}

impl Match<'_> {
    /// The groups, in the order of their first series.
    fn groups(&self) -> Result<Vec<(Labels, Group)>> {
        let mut places = HashMap::with_capacity(self.many.len().max(self.one.len()));
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

    /// Which series of the side of one is there at each step; fails where a side has more at a step than it may.
    fn ones(&self, labels: &Labels, group: &Group) -> Result<Ones> {
        if let [one] = group.one[..] {
            self.check_many(group, |step| self.one[one].points.has(step), self.steps.count)?;
            return Ok(Ones::Always(one));
        }
        let count = if group.one.is_empty() { 0 } else { self.steps.count };
        let mut ones = column(count, self.patience, |_| None)?;
        // Of several mistakes that of the earliest step is told.
        let mut clash: Option<(usize, [usize; 2])> = None;
        for &index in &group.one {
            self.patience.spend(1)?;
            for step in self.one[index].points.steps() {
                self.patience.spend(1)?;
                if !self.active[step] {
                    continue;
                }
                match ones[step] {
                    None => ones[step] = Some(index),
                    Some(first) if clash.is_none_or(|(earliest, _)| step < earliest) => {
                        clash = Some((step, [first, index]));
                    }
                    Some(_) => {}
                }
            }
        }
        let before = clash.map_or(self.steps.count, |(step, _)| step);
        self.check_many(group, |step| ones.get(step).is_some_and(Option::is_some), before)?;
        match clash {
            Some((_, [first, second])) => {
                Err(self.many_to_many(labels, &self.one[first].labels, &self.one[second].labels))
            }
            None => Ok(Ones::AtStep(ones)),
        }
    }

    /// Fails where, at a step before some other, several series match one that may only match one. That a comparison would
    /// take all but one of them away again is no excuse.
    fn check_many(&self, group: &Group, has_one: impl Fn(usize) -> bool, before: usize) -> Result<()> {
        if group.many.len() < 2 {
            return Ok(());
        }
        if self.matching.cardinality == Cardinality::OneToOne {
            let matches = |step| step < before && self.active[step] && (self.fill_one().is_some() || has_one(step));
            return self.check_apart(&group.many, matches, || {
                let reason = "multiple matches for labels: many-to-one matching must be explicit \
                              (group_left/group_right)";
                Error::execution(reason)
            });
        }
        // Results that nothing takes away meet when they are merged. With its own labels a series stays apart from the rest.
        if !matches!(self.operation, Operation::Filter(_)) || self.matching.include.is_empty() {
            return Ok(());
        }
        let taken_over = |name: &str| self.matching.include.iter().any(|label| **label == *name);
        let mut alike: HashMap<(Labels, bool), Vec<usize>> = HashMap::new();
        for &index in &group.many {
            self.patience.spend_series()?;
            let Kept { labels, drop_name, .. } = &self.many[index];
            alike.entry((labels.filtered(|name| !taken_over(name)), *drop_name)).or_default().push(index);
        }
        let matches = |step| step < before && has_one(step);
        let mut alike = alike.values().filter(|alike| alike.len() > 1);
        alike.try_for_each(|alike| self.check_apart(alike, matches, same_result))
    }

    /// Fails where two series of the side that may have many are there at one step of those that `matches` names.
    fn check_apart(&self, many: &[usize], matches: impl Fn(usize) -> bool, reason: fn() -> Error) -> Result<()> {
        let mut seen = vec![false; self.steps.count];
        for &index in many {
            let points = &self.many[index].points;
            for step in points.steps() {
                self.patience.spend(1)?;
                if !matches(step) {
                    continue;
                }
                if std::mem::replace(&mut seen[step], true) {
                    return Err(reason());
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

    /// The results of a group: where both sides have something, and of what is filled in.
    fn join(&self, group: &Group, ones: &Ones, results: &mut Rows<'_>) -> Result<()> {
        for &many in &group.many {
            self.join_one(&self.many[many], ones, results)?;
        }
        if let Some(fill) = self.fill_one() {
            let covered = self.covered(self.one, &group.one)?;
            for &many in &group.many {
                let many = &self.many[many];
                let mut points = Points::default();
                for (step, value) in many.points.numbers().filter(|&(step, _)| !covered[step]) {
                    self.combine(step, value, fill, &mut points)?;
                }
                self.push(&many.labels, many.drop_name, None, points, results)?;
            }
        }
        if let Some(fill) = self.fill_many() {
            let covered = self.covered(self.many, &group.many)?;
            for &one in &group.one {
                let one = &self.one[one];
                let mut points = Points::default();
                for (step, value) in one.points.numbers().filter(|&(step, _)| !covered[step]) {
                    self.combine(step, fill, value, &mut points)?;
                }
                self.push(&signature(&one.labels, self.matching), false, Some(&one.labels), points, results)?;
            }
        }
        Ok(())
    }

    /// The results of one series: a single one, but where labels are taken over from several.
    fn join_one(&self, many: &Kept, ones: &Ones, results: &mut Rows<'_>) -> Result<()> {
        self.patience.spend(many.points.reach().len())?;
        if let Ones::Always(one) = *ones {
            let one = &self.one[one];
            if let Some(points) = many.points.zip(&one.points, self.patience, |many, one| self.apply(many, one))? {
                return self.push(&many.labels, many.drop_name, Some(&one.labels), points, results);
            }
        }
        let mut current: Option<(usize, Points)> = None;
        let mut finished: HashMap<usize, Points> = HashMap::new();
        for (step, value) in many.points.numbers() {
            self.patience.spend(1)?;
            let Some(one) = ones.at(step) else { continue };
            let other = self.one[one].points.at(step);
            // Which series it was shows in labels taken over from it, and in nothing else.
            let source = if self.matching.include.is_empty() { 0 } else { one };
            let (_, points) = match current.take() {
                Some(current) if current.0 == source => current,
                before => {
                    finished.extend(before);
                    (source, finished.remove(&source).unwrap_or_default())
                }
            };
            let (_, points) = current.insert((source, points));
            if is_present(other) {
                self.combine(step, value, other, points)?;
            }
        }
        finished.extend(current);
        let mut finished: Vec<(usize, Points)> = finished.into_iter().collect();
        finished.sort_unstable_by_key(|&(source, _)| source);
        for (source, points) in finished {
            self.push(&many.labels, many.drop_name, Some(&self.one[source].labels), points, results)?;
        }
        Ok(())
    }

    /// The steps at which any of some series has something.
    fn covered(&self, side: &[Kept], members: &[usize]) -> Result<Vec<bool>> {
        let mut mask = vec![false; self.steps.count];
        for &index in members {
            self.patience.spend(side[index].points.reach().len())?;
            side[index].points.mark(&mut mask, self.patience)?;
        }
        Ok(mask)
    }

    #[inline]
    fn apply(&self, many: f64, one: f64) -> f64 {
        if self.swapped { self.operation.apply(one, many) } else { self.operation.apply(many, one) }
    }

    /// Adds the result of two numbers, if there is one.
    fn combine(&self, step: usize, many: f64, one: f64, points: &mut Points) -> Result<()> {
        self.patience.spend(1)?;
        let value = self.apply(many, one);
        if is_present(value) { points.push(step, value, self.patience) } else { Ok(()) }
    }

    fn push(
        &self,
        many: &Labels,
        drop_name: bool,
        one: Option<&Labels>,
        points: Points,
        results: &mut Rows<'_>,
    ) -> Result<()> {
        self.patience.spend_series()?;
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

/// That two series of a group have one result.
fn same_result() -> Error {
    Error::execution("multiple matches for labels: grouping labels must ensure unique matches")
}

/// Labels as messages show them: all as pairs, the name too.
fn pairs(labels: &Labels) -> String {
    let pairs: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={}", quote(value))).collect();
    format!("{{{}}}", pairs.join(", "))
}
