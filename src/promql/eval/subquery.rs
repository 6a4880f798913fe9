//! Subqueries: a vector expression evaluated at steps of its own, and its results taken for samples.

use std::sync::Arc;

use crate::{
    model::turns,
    promql::{
        ast::Subquery,
        eval::{
            Eval, Result,
            series::{TURN, is_present},
            steps::Steps,
            window::{Frame, RawSeries},
        },
    },
};

impl<'a> Eval<'a> {
    /// Hands each series of the inner expression to `sink`, with what it has at multiples of the step inside the windows.
    pub(crate) fn stream_subquery(
        &self,
        subquery: &'a Subquery,
        frame: Frame,
        sink: &mut dyn FnMut(RawSeries) -> Result<()>,
    ) -> Result<()> {
        let step = match &subquery.step {
            Some(step) => self.positive_duration(step)?,
            None => self.options.subquery_step,
        };
        let first = frame.shift.apply(frame.steps.start).saturating_sub(frame.range);
        let last = frame.shift.apply(frame.steps.last());
        // The first multiple of the step behind the left edge, which is open.
        let start = first.div_euclid(step).saturating_add(1).saturating_mul(step);
        let steps = Steps::range(start, last, step);
        // Before the columns are made: a step of a nanosecond must not exhaust the memory.
        let _held = self.hold(steps.count)?;
        let mut held = self.held();
        let patience = self.patience();
        self.stream(&subquery.expr, steps, &mut |row| {
            let (mut times, mut values) = (Vec::new(), Vec::new());
            for (first, run) in row.points.runs() {
                for (turn, floats) in run.chunks(TURN).enumerate() {
                    patience.spend(floats.len())?;
                    patience.allowed(turns::reserve(&mut times, floats.len(), patience.allowance()))?;
                    patience.allowed(turns::reserve(&mut values, floats.len(), patience.allowance()))?;
                    for (place, &value) in floats.iter().enumerate().filter(|&(_, &value)| is_present(value)) {
                        times.push(steps.time(first + turn * TURN + place));
                        values.push(value);
                    }
                }
            }
            if times.is_empty() {
                return Ok(());
            }
            held.set(times.len(), times.len() * 2 * size_of::<f64>())?;
            let times = Arc::new(times);
            // What is computed has no start timestamps.
            let starts = Vec::new();
            sink(RawSeries {
                labels: row.labels.clone(),
                drop_name: row.drop_name,
                times,
                values,
                starts,
                digests: Vec::new(),
            })
        })
    }
}
