//! Subqueries: a vector expression evaluated at steps of its own, and its results taken for samples.

use std::sync::Arc;

use crate::promql::{
    ast::Subquery,
    eval::{
        Eval, Result,
        series::is_present,
        steps::Steps,
        window::{Frame, RawSeries},
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
        let last = frame.shift.apply(frame.steps.end());
        // The first multiple of the step behind the left edge, which is open.
        let start = first.div_euclid(step).saturating_add(1).saturating_mul(step);
        let steps = Steps::range(start, last, step);
        // Before the columns are made: a step of a nanosecond must not exhaust the memory.
        let _held = self.hold(steps.count)?;
        let patience = self.patience();
        self.stream(&subquery.expr, steps, &mut |row| {
            patience.spend(steps.count)?;
            let present = || row.points.floats.iter().enumerate().filter(|&(_, &value)| is_present(value));
            let times: Arc<[i64]> = present().map(|(step, _)| steps.time(step)).collect();
            if times.is_empty() {
                return Ok(());
            }
            let values = present().map(|(_, &value)| value).collect();
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
