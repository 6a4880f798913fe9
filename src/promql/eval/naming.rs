//! Names that go: a result that is another quantity than its input has no metric name.
//!
//! Without delayed removal the name goes at once, and then two series must not have become one. For functions of vectors
//! that is a matter of each step: `abs({__name__=~"a|b"})` is one series where `a` ended before `b` began. For windows and
//! for `-` it is one of the whole query.

use hashbrown::HashSet;

use crate::{
    model::{Labels, METRIC_NAME, MatchOp, Matcher},
    promql::{
        ast::{AggregateOp, BinaryOp, Expr, Node, VectorSelector},
        eval::{
            Error, Eval, Patience, Result,
            points::Points,
            series::{Row, Sink, merge_equal, without_metadata},
            steps::Steps,
        },
        functions::{Body, Naming},
    },
};

/// Drops names from the results of a function: at once, where two series must not become one; or by a mark.
pub(crate) struct NameDropper {
    seen: Option<HashSet<Labels>>,
}

impl NameDropper {
    fn new(delayed: bool) -> Self {
        Self { seen: (!delayed).then(HashSet::new) }
    }

    /// Drops the name of a series.
    pub(crate) fn drop_from(&mut self, row: &mut Row<'_>) -> Result<()> {
        let Some(seen) = &mut self.seen else {
            row.drop_name = true;
            return Ok(());
        };
        row.labels = without_metadata(&row.labels);
        if !row.points.is_empty() && !seen.insert(row.labels.clone()) {
            return Err(Error::duplicate_labels());
        }
        Ok(())
    }
}

impl<'a> Eval<'a> {
    /// Something that drops the names of series, now or by a mark.
    pub(crate) fn name_dropper(&self) -> NameDropper {
        NameDropper::new(self.options.features.delayed_name_removal)
    }

    /// Streams `expr` with its points changed and its names dropped; of two series that become one, each step may have one.
    pub(crate) fn stream_renamed(
        &self,
        expr: &'a Expr,
        steps: Steps,
        sink: &mut Sink<'_>,
        mut change: impl FnMut(&mut Points, &Patience<'_>) -> Result<()>,
    ) -> Result<()> {
        if self.options.features.delayed_name_removal || steps.count == 1 || has_one_name(expr) {
            return self.stream_dropping(expr, steps, sink, change);
        }
        let mut rows = self.collect(expr, steps)?;
        let patience = self.patience();
        for kept in &mut rows.series {
            patience.spend_series()?;
            change(&mut kept.points, &patience)?;
            kept.labels = without_metadata(&kept.labels);
        }
        let merged = merge_equal(std::mem::take(&mut rows.series), &patience, Error::duplicate_labels)?;
        merged.into_iter().try_for_each(|mut kept| kept.send(sink))
    }

    /// Streams `expr` with its points changed and its names dropped; of two series that become one, none may be.
    pub(crate) fn stream_dropping(
        &self,
        expr: &'a Expr,
        steps: Steps,
        sink: &mut Sink<'_>,
        mut change: impl FnMut(&mut Points, &Patience<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut names = self.name_dropper();
        let patience = self.patience();
        self.stream(expr, steps, &mut |mut row| {
            patience.spend_series()?;
            change(row.points, &patience)?;
            names.drop_from(&mut row)?;
            sink(row)
        })
    }
}

/// Whether the series of an expression surely differ in more than their name, as nearly always.
fn has_one_name(expr: &Expr) -> bool {
    match &expr.node {
        Node::Number(_) | Node::String(_) | Node::Unary { negate: true, .. } => true,
        Node::Paren(inner) | Node::Unary { negate: false, expr: inner } => has_one_name(inner),
        Node::Vector(selector) => names_one(selector),
        Node::Matrix(matrix) => names_one(&matrix.selector),
        Node::Subquery(subquery) => has_one_name(&subquery.expr),
        // `or` brings the names of both sides together.
        Node::Binary(binary) if binary.op.is_set() => binary.op != BinaryOp::Or && has_one_name(&binary.left),
        Node::Binary(binary) if binary.op.is_comparison() && !binary.return_bool => {
            has_one_name(&binary.left) && has_one_name(&binary.right)
        }
        Node::Binary(_) => true,
        Node::Aggregate(aggregate) => match aggregate.op {
            AggregateOp::Topk | AggregateOp::Bottomk | AggregateOp::Limitk | AggregateOp::LimitRatio => {
                has_one_name(&aggregate.expr)
            }
            _ => aggregate.without || !aggregate.grouping.iter().any(|label| **label == *METRIC_NAME),
        },
        Node::Call(call) => match call.function.body {
            Body::Window(_, Naming::Kept) => call.args.iter().all(has_one_name),
            Body::Map(_) | Body::MapWith(_) | Body::Calendar(_) | Body::Window(..) | Body::Scalar(_) => true,
            Body::Vector(_) => false,
        },
    }
}

fn names_one(selector: &VectorSelector) -> bool {
    let exact = |matcher: &Matcher| *matcher.name == *METRIC_NAME && matcher.op == MatchOp::Equal;
    selector.matchers.iter().any(exact)
}
