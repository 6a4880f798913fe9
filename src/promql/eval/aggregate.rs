//! Aggregations: groups, and series folded or picked within them.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::{
    model::Labels,
    promql::{
        ast::{Aggregate, AggregateOp, Expr, Span},
        eval::{
            Error, Eval, Held, Patience, Result,
            counts::Counts,
            fold::{Fold, fold_for},
            points::Points,
            scalar::text,
            series::{Kept, Row, Sink, is_metadata, is_present},
            steps::Steps,
            sweep::Sweep,
        },
        format, is_utf8,
        quantile::{self, in_turns},
        quote,
    },
};

/// The labels series of a group share.
pub(super) fn group_labels(labels: &Labels, aggregate: &Aggregate) -> Labels {
    let listed = |name: &str| aggregate.grouping.iter().any(|label| **label == *name);
    match aggregate.without {
        true => labels.filtered(|name| !is_metadata(name) && !listed(name)),
        false if aggregate.grouping.is_empty() => Labels::default(),
        false => labels.filtered(listed),
    }
}

/// A group's labels, whether its name goes, and its series as indices.
pub(super) type Members = (Labels, bool, Vec<usize>);

/// Groups in the order of their first series. A group's name goes in the end if that of any member was to go.
pub(super) struct Groups<G> {
    places: HashMap<Labels, usize>,
    pub groups: Vec<(Labels, bool, G)>,
}

impl<G> Groups<G> {
    pub(super) fn new() -> Self {
        Self { places: HashMap::new(), groups: Vec::new() }
    }

    /// The place of a group, made where it is new.
    pub(super) fn place(&mut self, labels: Labels, drop_name: bool, new: impl FnOnce() -> G) -> usize {
        let groups = &mut self.groups;
        let place = *self.places.entry(labels).or_insert_with_key(|labels| {
            groups.push((labels.clone(), false, new()));
            groups.len() - 1
        });
        self.groups[place].1 |= drop_name;
        place
    }

    /// Bytes that the last group takes: a place in both tables, its labels, and what `state` says.
    pub(super) fn size_of_last(&self, state: impl FnOnce(&G) -> usize) -> usize {
        let size = |(labels, _, group): &(Labels, bool, G)| labels.size() + state(group);
        let places = size_of::<(Labels, usize)>() + size_of::<(Labels, bool, G)>();
        places + self.groups.last().map_or(0, size)
    }
}

impl<'a> Eval<'a> {
    pub(super) fn stream_aggregate(&self, aggregate: &'a Aggregate, steps: Steps, sink: &mut Sink<'_>) -> Result<()> {
        match aggregate.op {
            AggregateOp::Topk | AggregateOp::Bottomk => self.stream_ranked(aggregate, steps, sink),
            AggregateOp::Limitk => self.stream_limited(aggregate, steps, sink),
            AggregateOp::LimitRatio => self.stream_ratio(aggregate, steps, sink),
            AggregateOp::Quantile => self.stream_quantile(aggregate, steps, sink),
            AggregateOp::CountValues => self.stream_value_counts(aggregate, steps, sink),
            _ => self.stream_folded(aggregate, steps, sink),
        }
    }

    /// The aggregation's first argument.
    pub(super) fn param(aggregate: &'a Aggregate) -> &'a Expr {
        aggregate.param.as_ref().expect("the parser gives this aggregation its argument")
    }

    fn stream_folded(&self, aggregate: &'a Aggregate, steps: Steps, sink: &mut Sink<'_>) -> Result<()> {
        let new = || fold_for(aggregate.op).expect("the others have functions of their own");
        let patience = self.patience();
        let mut held = self.held();
        let mut groups: Groups<Box<dyn Fold>> = Groups::new();
        self.stream(&aggregate.expr, steps, &mut |row| {
            patience.spend(Patience::SERIES + steps.count)?;
            if row.points.is_empty() {
                return Ok(());
            }
            let before = groups.groups.len();
            let place = groups.place(group_labels(&row.labels, aggregate), row.drop_name, new);
            if groups.groups.len() > before {
                held.grow(0, groups.size_of_last(|_| 0))?;
            }
            let fold = &mut groups.groups[place].2;
            let before = (fold.count(), fold.size());
            fold.add(row.points, &patience)?;
            let after = (fold.count(), fold.size());
            if after != before { held.grow(after.0 - before.0, after.1 - before.1) } else { Ok(()) }
        })?;
        for (labels, drop_name, fold) in groups.groups {
            patience.spend(Patience::SERIES + steps.count)?;
            let mut points = fold.finish(&patience)?;
            held.shrink(fold.count(), fold.size());
            drop(fold);
            sink(Row { labels, drop_name, points: &mut points })?;
        }
        Ok(())
    }

    fn stream_quantile(&self, aggregate: &'a Aggregate, steps: Steps, sink: &mut Sink<'_>) -> Result<()> {
        let param = Self::param(aggregate);
        let wanted = self.scalars(param, steps)?;
        // Of many wrong ones the worst are named.
        let (mut least, mut most, mut nan) = (0.0f64, 1.0f64, None);
        let patience = self.patience();
        patience.each(wanted.values(), |q| {
            (least, most) = (least.min(q), most.max(q));
            nan = nan.or(q.is_nan().then_some(q));
        });
        let wrong: Vec<f64> = nan.into_iter().chain([least, most]).collect();
        self.check_quantiles(&wrong, param.span);
        let rows = self.collect_sorted(&aggregate.expr, steps)?;
        let (groups, _held) = self.members(&rows.series, aggregate)?;
        let (mut values, mut scratch) = (Vec::new(), Vec::new());
        for (labels, drop_name, members) in groups {
            let mut points = Points::default();
            let mut sweep = Sweep::new(&rows.series, &members, &patience)?;
            for step in 0..steps.count {
                let here = sweep.at(&rows.series, step, &patience)?;
                patience.spend(1 + here.len() * quantile::COST)?;
                values.clear();
                for here in patience.turns(here) {
                    let column = here.iter().map(|&index| rows.series[index].points.at(step));
                    values.extend(column.filter(|&value| is_present(value)));
                }
                if !values.is_empty() {
                    let value = in_turns(wanted.at(step), &values, &mut scratch, &patience);
                    points.push(step, value, &patience)?;
                }
                if here.len() > Patience::WORK {
                    patience.check()?;
                }
            }
            sink(Row { labels, drop_name, points: &mut points })?;
        }
        Ok(())
    }

    /// The series of each group, as indices, and the memory they take.
    pub(super) fn members(&self, series: &[Kept], aggregate: &Aggregate) -> Result<(Vec<Members>, Held<'_>)> {
        let (patience, mut held) = (self.patience(), self.held());
        let mut groups: Groups<Vec<usize>> = Groups::new();
        for (index, kept) in series.iter().enumerate() {
            patience.spend_series()?;
            let before = groups.groups.len();
            let place = groups.place(group_labels(&kept.labels, aggregate), kept.drop_name, Vec::new);
            groups.groups[place].2.push(index);
            let more = if groups.groups.len() > before { groups.size_of_last(|_| 0) } else { 0 };
            held.grow(0, more + size_of::<usize>())?;
        }
        Ok((groups.groups, held))
    }

    /// Says so for every one of some numbers that is no quantile.
    pub(crate) fn check_quantiles(&self, quantiles: &[f64], span: Span) {
        for &q in quantiles.iter().filter(|q| !(0.0..=1.0).contains(*q)) {
            self.warn(format!("quantile value should be between 0 and 1, got {}", format::shortest(q)), span);
        }
    }

    fn stream_value_counts(&self, aggregate: &'a Aggregate, steps: Steps, sink: &mut Sink<'_>) -> Result<()> {
        let label: &Arc<str> = text(Self::param(aggregate));
        if label.is_empty() || !is_utf8(label) {
            return Err(Error::execution(format!("invalid label name {}", quote(label))));
        }
        let mut by = aggregate.clone();
        if !by.without {
            by.grouping.push(label.clone());
        }
        let patience = self.patience();
        let mut held = self.held();
        let mut groups: Groups<Counts> = Groups::new();
        // A value's label is written once for all series that differ in nothing that stays.
        let mut bases: Groups<()> = Groups::new();
        let mut places: HashMap<(usize, u64), usize> = HashMap::new();
        let mut tables = self.held();
        self.stream(&aggregate.expr, steps, &mut |row| {
            patience.spend_series()?;
            let labels_with = |value: &str| {
                let mut labels = row.labels.to_builder();
                labels.set(label.clone(), value);
                group_labels(&labels.build(), &by)
            };
            let before = bases.groups.len();
            let base = bases.place(labels_with(""), false, || ());
            if bases.groups.len() > before {
                tables.grow(0, bases.size_of_last(|()| 0))?;
            }
            for (step, value) in row.points.numbers() {
                patience.spend(1)?;
                let key = (base, value.to_bits());
                let place = match places.get(&key) {
                    Some(&place) => place,
                    None => {
                        patience.spend_series()?;
                        let before = groups.groups.len();
                        let place = groups.place(labels_with(&format::plain(value)), false, Counts::default);
                        if groups.groups.len() > before {
                            held.grow(0, groups.size_of_last(|_| 0))?;
                        }
                        tables.grow(0, size_of::<((usize, u64), usize)>())?;
                        places.insert(key, place);
                        place
                    }
                };
                let (_, drop_name, counts) = &mut groups.groups[place];
                *drop_name |= row.drop_name;
                let before = (counts.len(), counts.size());
                counts.add(step, &patience)?;
                let after = (counts.len(), counts.size());
                if after != before {
                    held.shrink(before.0, before.1);
                    held.grow(after.0, after.1)?;
                }
            }
            Ok(())
        })?;
        drop((bases, places, tables));
        for (labels, drop_name, mut counts) in groups.groups {
            patience.spend(Patience::SERIES + counts.len())?;
            held.shrink(counts.len(), counts.size());
            counts.settle(&patience)?;
            held.grow(counts.len(), counts.size())?;
            let mut points = Points::default();
            for (step, count) in counts.iter() {
                patience.spend(1)?;
                points.push(step, f64::from(count), &patience)?;
            }
            held.shrink(counts.len(), counts.size());
            drop(counts);
            sink(Row { labels, drop_name, points: &mut points })?;
        }
        Ok(())
    }
}
