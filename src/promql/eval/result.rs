//! The end of a query: names that were to be dropped go, and columns become samples with times.

use std::sync::Arc;

use crate::{
    model::Labels,
    promql::{
        ast::{AggregateOp, Expr, Node, ValueType},
        eval::{
            Error, Eval, Patience, Result, Rows,
            points::Points,
            scalar::text,
            series::{Kept, column, is_present, merge_equal, without_metadata},
            steps::Steps,
        },
        value::{MatrixSeries, Sample, Value, VectorSample},
    },
};

impl<'a> Eval<'a> {
    pub(super) fn instant_value(&self, expr: &'a Expr, time: i64) -> Result<Value> {
        let steps = self.query;
        match expr.value_type() {
            ValueType::String => Ok(Value::String(time, text(expr).clone())),
            ValueType::Scalar => Ok(Value::Scalar(time, self.scalars(expr, steps)?.at(0))),
            ValueType::Matrix => self.raw_value(expr),
            ValueType::Vector => {
                let Rows { mut series, mut held, .. } = self.finished(expr)?;
                if !has_order(expr) {
                    self.sort(&mut series, |a, b| a.labels.cmp(&b.labels))?;
                }
                let patience = self.patience();
                let mut samples = Vec::with_capacity(series.len());
                for kept in series {
                    patience.spend_series()?;
                    let before = kept.size();
                    let sample = first_sample(kept, time);
                    held.grow(0, sample.size())?;
                    held.shrink(1, before);
                    samples.push(sample);
                }
                held.leave();
                Ok(Value::Vector(samples))
            }
        }
    }

    pub(super) fn range_value(&self, expr: &'a Expr) -> Result<Value> {
        let steps = self.query;
        if expr.value_type() == ValueType::Scalar {
            let _held = self.hold(steps.count)?;
            let scalars = self.scalars(expr, steps)?;
            let floats = column(steps.count, &self.patience(), |step| (steps.time(step), scalars.at(step)))?;
            let series = MatrixSeries { labels: Labels::default(), floats, histograms: Vec::new() };
            return Ok(Value::Matrix(if steps.count == 0 { Vec::new() } else { vec![series] }));
        }
        let Rows { series, mut held, .. } = self.finished(expr)?;
        let patience = self.patience();
        let mut matrix = Vec::with_capacity(series.len());
        for kept in series {
            patience.spend_series()?;
            let (count, before) = (kept.points.counted(&patience)?, kept.size());
            let series = matrix_series(kept.labels, &kept.points, count, steps, &patience)?;
            held.grow(0, series.size())?;
            held.shrink(count, before);
            matrix.push(series);
        }
        held.leave();
        self.sorted_matrix(matrix)
    }

    fn sorted_matrix(&self, mut matrix: Vec<MatrixSeries>) -> Result<Value> {
        self.sort(&mut matrix, |a, b| a.labels.cmp(&b.labels))?;
        Ok(Value::Matrix(matrix))
    }

    /// The series of a vector expression without the names that were to go.
    fn finished(&self, expr: &'a Expr) -> Result<Rows<'_>> {
        let patience = self.patience();
        let mut rows = self.collect(expr, self.query)?;
        for kept in &mut rows.series {
            patience.spend_series()?;
            if std::mem::take(&mut kept.drop_name) {
                kept.labels = without_metadata(&kept.labels);
            }
        }
        rows.series = merge_equal(rows.series, &patience, Error::duplicate_labels)?;
        Ok(rows)
    }

    /// A range vector as it was read.
    fn raw_value(&self, expr: &'a Expr) -> Result<Value> {
        let (patience, mut held) = (self.patience(), self.held());
        let mut matrix = Vec::new();
        self.stream_raw(expr, self.query, &mut |_, series| {
            patience.spend(Patience::SERIES + series.times.len())?;
            let labels = if series.drop_name { without_metadata(&series.labels) } else { series.labels };
            let (times, values) = (&series.times, &series.values);
            let floats = column(times.len(), &patience, |index| (times[index], values[index]))?;
            let series = MatrixSeries { labels, floats, histograms: Vec::new() };
            held.grow(series.floats.len(), series.size())?;
            matrix.push(series);
            Ok(())
        })?;
        held.leave();
        let matrix = self.sorted_matrix(matrix)?;
        match &matrix {
            Value::Matrix(series) if series.windows(2).any(|pair| pair[0].labels == pair[1].labels) => {
                Err(Error::duplicate_labels())
            }
            _ => Ok(matrix),
        }
    }
}

/// Whether the order of an instant result means something.
fn has_order(expr: &Expr) -> bool {
    match &expr.node {
        Node::Paren(inner) => has_order(inner),
        Node::Call(call) => call.function.name.starts_with("sort"),
        Node::Aggregate(aggregate) => matches!(aggregate.op, AggregateOp::Topk | AggregateOp::Bottomk),
        _ => false,
    }
}

fn first_sample(kept: Kept, time: i64) -> VectorSample {
    let sample = match kept.points.histograms.first() {
        Some((_, histogram)) => Sample::Histogram(Arc::clone(histogram)),
        None => Sample::Float(kept.points.at(0)),
    };
    VectorSample { labels: kept.labels, time, sample }
}

/// What is at `count` of the steps, with times.
fn matrix_series(
    labels: Labels,
    points: &Points,
    count: usize,
    steps: Steps,
    patience: &Patience<'_>,
) -> Result<MatrixSeries> {
    // An answer may stay in memory for long: it has no room to spare.
    let mut floats = Vec::with_capacity(count - points.histograms.len());
    for turn in points.turns(patience) {
        let (first, run) = turn?;
        let present = run.iter().enumerate().filter(|&(_, &value)| is_present(value));
        floats.extend(present.map(|(place, &value)| (steps.time(first + place), value)));
    }
    let histograms = points.histograms.iter().map(|(step, h)| (steps.time(*step as usize), h.clone())).collect();
    Ok(MatrixSeries { labels, floats, histograms })
}
