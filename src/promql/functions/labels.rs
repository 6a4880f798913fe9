//! Functions that change labels.

use std::sync::Arc;

use crate::{
    model::{Labels, METRIC_NAME, anchored_regex},
    promql::{
        ast::Expr,
        eval::{
            Error, Eval, Result, Site,
            series::{Sink, merge_equal},
            steps::Steps,
            text,
        },
        is_utf8, quote,
    },
};

pub(super) fn label_replace<'a>(eval: &Eval<'a>, site: Site<'a>, steps: Steps, sink: &mut Sink<'_>) -> Result<()> {
    let args = &site.call.args;
    let (target, template, source, pattern) = (text(&args[1]), text(&args[2]), text(&args[3]), text(&args[4]));
    let regex = anchored_regex(pattern)
        .map_err(|_| Error::execution(format!("invalid regular expression in label_replace(): {pattern}")))?;
    check_name("destination", "label_replace", target)?;
    relabel(eval, &args[0], target, steps, sink, |labels| {
        let captures = regex.captures(labels.get(source))?;
        let mut value = String::new();
        captures.expand(template, &mut value);
        Some(value)
    })
}

pub(super) fn label_join<'a>(eval: &Eval<'a>, site: Site<'a>, steps: Steps, sink: &mut Sink<'_>) -> Result<()> {
    let args = &site.call.args;
    let (target, separator) = (text(&args[1]), text(&args[2]));
    let sources: Vec<&Arc<str>> = args[3..].iter().map(text).collect();
    sources.iter().try_for_each(|source| check_name("source", "label_join", source))?;
    check_name("destination", "label_join", target)?;
    relabel(eval, &args[0], target, steps, sink, |labels| {
        let values: Vec<&str> = sources.iter().map(|source| labels.get(source)).collect();
        Some(values.join(separator))
    })
}

fn check_name(role: &str, function: &str, name: &str) -> Result<()> {
    if name.is_empty() || !is_utf8(name) {
        let shown = quote(name);
        return Err(Error::execution(format!(
            "invalid {role} label name in {function}(): {}",
            shown.trim_matches('"')
        )));
    }
    Ok(())
}

/// Sets `target` to what `value` makes of each series' labels, and leaves it where that is `None`. A name that is set stays.
fn relabel<'a>(
    eval: &Eval<'a>,
    expr: &'a Expr,
    target: &Arc<str>,
    steps: Steps,
    sink: &mut Sink<'_>,
    value: impl Fn(&Labels) -> Option<String>,
) -> Result<()> {
    let mut rows = eval.collect(expr, steps)?;
    let patience = eval.patience();
    for kept in &mut rows.series {
        patience.spend_series()?;
        let Some(value) = value(&kept.labels) else { continue };
        let mut labels = kept.labels.to_builder();
        labels.set(target.clone(), value);
        kept.labels = labels.build();
        kept.drop_name &= **target != *METRIC_NAME;
    }
    let merged = merge_equal(rows.series, &patience, Error::duplicate_labels)?;
    merged.into_iter().try_for_each(|mut kept| kept.send(sink))
}
