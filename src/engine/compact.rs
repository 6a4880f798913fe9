//! Parts to fewer parts.

use std::{sync::Arc, time::Duration};

use super::{Engine, Error, StoredPart, flushing::Written};
use crate::compaction;

impl Engine {
    /// Merges one run of neighbouring parts, if one is worth it. Whether one was.
    pub fn compact_step(&self) -> Result<bool, Error> {
        if !self.refilled.lock().is_empty() {
            // A lost part takes its place between its neighbours again: over a gap nothing is merged.
            return Ok(false);
        }
        let set = self.parts();
        let mut days = set.days().filter(|(day, _)| !self.unread.is_of(*day));
        let Some(inputs) = days.find_map(|(_, parts)| pick(parts)) else { return Ok(false) };
        self.check_directory()?;
        let start = self.clock.now();
        let day = inputs[0].day;
        let numbers = (inputs[0].numbers.0, inputs[inputs.len() - 1].numbers.1);
        let replaces = inputs.iter().filter_map(|part| part.own_file()).map(|(id, _)| id).collect();
        let merge = |written: &mut Written| self.write_merged(day, numbers, replaces, &inputs, written);
        let written = self.write(merge)?;
        self.publish(written, &inputs)?;
        self.metrics.compactions.inc();
        let took: Duration = self.clock.now() - start;
        self.metrics.compaction_duration.observe(took.as_secs_f64());
        Ok(true)
    }
}

/// The parts to merge among a day's, all of them files of their own.
fn pick(parts: &[Arc<StoredPart>]) -> Option<Vec<Arc<StoredPart>>> {
    // Pages of an earlier incarnation are the flusher's to turn into parts; until then their neighbours wait.
    if parts.iter().any(|part| part.own_file().is_none()) {
        return None;
    }
    let sizes: Vec<u64> = parts.iter().map(|part| part.summary.len).collect();
    compaction::plan(&sizes).map(|run| parts[run].to_vec())
}
