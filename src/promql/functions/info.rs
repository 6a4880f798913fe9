//! `info`: adds to series the labels of info series, such as `target_info`, that describe the same instance and job.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use crate::{
    model::{Labels, METRIC_NAME, MatchOp, Matcher},
    promql::{
        ast::{Expr, Node, TimeShift},
        eval::{
            Error, Eval, Patience, Pick, Result, Rows, Shift, Site,
            points::Points,
            series::{Kept, Sink, is_metadata, is_present, merge_equal},
            steps::Steps,
        },
    },
};

/// The labels by which series and info series find each other.
const IDENTIFYING: [&str; 2] = ["instance", "job"];

/// What the second argument asks for.
struct Wanted {
    /// Conditions on names of info series.
    names: Vec<Matcher>,
    /// Conditions on the labels to add. Where there are any, no others are added.
    data: Vec<Matcher>,
}

pub(super) fn info<'a>(eval: &Eval<'a>, site: Site<'a>, steps: Steps, sink: &mut Sink<'_>) -> Result<()> {
    let base = &site.call.args[0];
    let wanted = Wanted::new(site.call.args.get(1));
    let shift = reference(eval, base)?.unwrap_or_default();
    let infos = read_infos(eval, &wanted, shift, steps)?;
    let patience = eval.patience();
    let identified = by_identity(&infos.series, &patience)?;
    let mut results = eval.rows();
    for kept in eval.collect(base, steps)?.series {
        if wanted.names.iter().all(|matcher| matcher.matches(kept.labels.metric())) {
            results.keep(kept)?; // an info series itself
        } else {
            patience.spend_series()?;
            let infos = identified.get(&identity(&kept.labels)).map_or(&[][..], |infos| infos);
            enrich(&kept, infos, &wanted, (&mut results, &patience))?;
        }
    }
    merge_equal(results.series, &patience, Error::duplicate_labels)?
        .into_iter()
        .try_for_each(|mut kept| kept.send(sink))
}

impl Wanted {
    fn new(arg: Option<&Expr>) -> Self {
        let matchers = match arg.map(|arg| &arg.node) {
            Some(Node::Vector(selector)) => selector.matchers.clone(),
            _ => Vec::new(),
        };
        let (mut names, data): (Vec<_>, Vec<_>) = matchers.into_iter().partition(|m| *m.name == *METRIC_NAME);
        if names.is_empty() {
            names.push(Matcher::equal(METRIC_NAME, "target_info"));
        } else if names.iter().all(|name| matches!(name.op, MatchOp::NotEqual | MatchOp::NotRegex)) {
            // Only told what not to take, it takes what looks like an info series.
            let pattern = Matcher::new(METRIC_NAME, MatchOp::Regex, ".+_info");
            names.push(pattern.expect("the pattern is a good one"));
        }
        Self { names, data }
    }

    /// Whether a label of an info series is to be added.
    fn takes(&self, name: &str, value: &str) -> bool {
        let about = || self.data.iter().filter(|matcher| *matcher.name == *name);
        let asked = self.data.is_empty() || about().next().is_some();
        asked && !is_metadata(name) && !IDENTIFYING.contains(&name) && about().all(|matcher| matcher.matches(value))
    }
}

/// The info series, with the times of their samples.
fn read_infos<'e>(eval: &'e Eval<'_>, wanted: &Wanted, shift: Shift, steps: Steps) -> Result<Rows<'e>> {
    let must = wanted.data.iter().filter(|matcher| !matcher.matches_empty());
    let matchers: Vec<Matcher> = wanted.names.iter().chain(must).cloned().collect();
    let mut infos = eval.rows();
    eval.stream_picked(&matchers, shift, steps, Pick::Time, &mut |row| infos.copy(&row))?;
    eval.sort(&mut infos.series, |a, b| a.labels.cmp(&b.labels))?;
    Ok(infos)
}

/// How far the selectors of an expression look from its evaluation time, judged by the first one.
fn reference(eval: &Eval<'_>, expr: &Expr) -> Result<Option<Shift>> {
    let own = |shift: &TimeShift| eval.shift(shift).map(Some);
    match &expr.node {
        Node::Vector(selector) => own(&selector.at),
        Node::Matrix(matrix) => own(&matrix.selector.at),
        Node::Subquery(subquery) => {
            let outer = eval.shift(&subquery.at)?;
            Ok(reference(eval, &subquery.expr)?.map(|inner| outer.then(inner)))
        }
        Node::Paren(inner) | Node::Unary { expr: inner, .. } => reference(eval, inner),
        Node::Aggregate(aggregate) => reference(eval, &aggregate.expr),
        Node::Binary(binary) => match reference(eval, &binary.left)? {
            None => reference(eval, &binary.right),
            found => Ok(found),
        },
        Node::Call(call) => {
            for arg in &call.args {
                if let Some(found) = reference(eval, arg)? {
                    return Ok(Some(found));
                }
            }
            Ok(None)
        }
        Node::Number(_) | Node::String(_) => Ok(None),
    }
}

/// The labels of a series by which info series are found.
fn identity(labels: &Labels) -> Labels {
    labels.filtered(|name| IDENTIFYING.contains(&name))
}

/// The info series of each identity; those without any belong to no series.
fn by_identity<'i>(infos: &'i [Kept], patience: &Patience<'_>) -> Result<HashMap<Labels, Vec<&'i Kept>>> {
    let mut identified: HashMap<Labels, Vec<&Kept>> = HashMap::new();
    for info in infos {
        patience.spend_series()?;
        let identity = identity(&info.labels);
        if identity.iter().next().is_some() {
            identified.entry(identity).or_default().push(info);
        }
    }
    Ok(identified)
}

/// Adds to `results` a series under the labels it has at each step.
fn enrich(
    kept: &Kept,
    infos: &[&Kept],
    wanted: &Wanted,
    (results, patience): (&mut Rows<'_>, &Patience<'_>),
) -> Result<()> {
    let mut columns: BTreeMap<Vec<usize>, Points> = BTreeMap::new();
    for (step, value) in kept.points.numbers() {
        patience.spend(1 + infos.len())?;
        let current = current_infos(infos, step)?;
        if !current.is_empty() || wanted.data.iter().all(Matcher::matches_empty) {
            columns.entry(current).or_default().push(step, value, patience)?;
        }
    }
    for (current, points) in columns {
        let labels = enriched(&kept.labels, current.iter().map(|&index| &infos[index].labels), wanted)?;
        results.keep(Kept { labels, drop_name: kept.drop_name, points })?;
    }
    Ok(())
}

/// Of the info series of each name, the one with the newest sample at a step.
fn current_infos(infos: &[&Kept], step: usize) -> Result<Vec<usize>> {
    let mut current: Vec<usize> = Vec::new();
    for (index, info) in infos.iter().enumerate().filter(|(_, info)| is_present(info.points.at(step))) {
        let time = info.points.at(step);
        match current.iter_mut().find(|other| infos[**other].labels.metric() == info.labels.metric()) {
            None => current.push(index),
            Some(other) if infos[*other].points.at(step) < time => *other = index,
            Some(other) if infos[*other].points.at(step) > time => {}
            Some(other) => {
                let (first, second) = (&infos[*other].labels, &info.labels);
                return Err(Error::execution(format!("found duplicate series for info metric: {first}, {second}")));
            }
        }
    }
    Ok(current)
}

/// Labels with those of info series added; what is there already stays.
fn enriched<'l>(base: &Labels, infos: impl Iterator<Item = &'l Labels>, wanted: &Wanted) -> Result<Labels> {
    let mut added: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, value) in infos.flat_map(Labels::iter).filter(|(name, value)| wanted.takes(name, value)) {
        if *added.entry(name).or_insert(value) != value {
            return Err(Error::execution(format!("conflicting label: {name}")));
        }
    }
    let mut labels = base.to_builder();
    for (name, value) in added.into_iter().filter(|(name, _)| base.get(name).is_empty()) {
        labels.set(name, value);
    }
    Ok(labels.build())
}
