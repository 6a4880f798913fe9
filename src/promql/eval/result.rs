//! The end of a query: names that were to be dropped go, and columns become samples with times.

use crate::{
    model::Labels,
    promql::{
        ast::{AggregateOp, Expr, Node, ValueType},
        eval::{
            Error, Eval, Result,
            scalar::text,
            series::{Kept, Points, is_present, merge_equal, without_metadata},
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
                let mut series = self.finished(expr)?;
                if !has_order(expr) {
                    series.sort_by(|a, b| a.labels.cmp(&b.labels));
                }
                Ok(Value::Vector(series.into_iter().map(|kept| first_sample(kept, time)).collect()))
            }
        }
    }

    pub(super) fn range_value(&self, expr: &'a Expr) -> Result<Value> {
        let steps = self.query;
        if expr.value_type() == ValueType::Scalar {
            let _held = self.hold(steps.count)?;
            let scalars = self.scalars(expr, steps)?;
            let floats = (0..steps.count).map(|step| (steps.time(step), scalars.at(step))).collect();
            let series = MatrixSeries { labels: Labels::default(), floats, histograms: Vec::new() };
            return Ok(Value::Matrix(if steps.count == 0 { Vec::new() } else { vec![series] }));
        }
        let series = self.finished(expr)?;
        Ok(sorted_matrix(series.into_iter().map(|kept| matrix_series(kept.labels, &kept.points, steps)).collect()))
    }

    /// The series of a vector expression without the names that were to go.
    fn finished(&self, expr: &'a Expr) -> Result<Vec<Kept>> {
        let mut rows = self.collect(expr, self.query)?;
        for kept in &mut rows.series {
            if std::mem::take(&mut kept.drop_name) {
                kept.labels = without_metadata(&kept.labels);
            }
        }
        merge_equal(rows.series, Error::duplicate_labels)
    }

    /// A range vector as it was read.
    fn raw_value(&self, expr: &'a Expr) -> Result<Value> {
        let mut held = self.hold(0)?;
        let mut matrix = Vec::new();
        self.stream_raw(expr, self.query, &mut |_, series| {
            held.grow(series.times.len(), self.options.samples_max)?;
            let labels = if series.drop_name { without_metadata(&series.labels) } else { series.labels };
            let floats = series.times.iter().copied().zip(series.values).collect();
            matrix.push(MatrixSeries { labels, floats, histograms: Vec::new() });
            Ok(())
        })?;
        let matrix = sorted_matrix(matrix);
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

fn sorted_matrix(mut matrix: Vec<MatrixSeries>) -> Value {
    matrix.sort_by(|a, b| a.labels.cmp(&b.labels));
    Value::Matrix(matrix)
}

fn first_sample(kept: Kept, time: i64) -> VectorSample {
    let sample = match kept.points.histograms.into_iter().next() {
        Some((_, histogram)) => Sample::Histogram(histogram),
        None => Sample::Float(kept.points.floats[0]),
    };
    VectorSample { labels: kept.labels, time, sample }
}

fn matrix_series(labels: Labels, points: &Points, steps: Steps) -> MatrixSeries {
    let floats = points.floats.iter().enumerate().filter(|&(_, &value)| is_present(value));
    MatrixSeries {
        labels,
        floats: floats.map(|(step, &value)| (steps.time(step), value)).collect(),
        histograms: points.histograms.iter().map(|(step, h)| (steps.time(*step as usize), h.clone())).collect(),
    }
}
