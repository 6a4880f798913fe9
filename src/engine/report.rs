//! What a start says: to the log, to metrics, and to whoever only asks what it would do.

use std::fmt::Write;

use super::{
    Engine, Error, Loss, Open, Options, Paths,
    directory::{holds_data, take_lock},
    examine::Found,
    logdirs::LogDirs,
    loss::batches,
    manifest::Loaded,
};
use crate::{
    disk::Disk,
    metrics::Metrics,
    model::{SeqNo, counted},
};

impl Open {
    /// Says what was found, in the log and in metrics.
    pub(crate) fn report(&self, incarnation: u32) {
        let (recovery, metrics) = (&self.recovery, &self.metrics);
        metrics.incarnation.set(i64::from(incarnation));
        metrics.recovery_duration.set(recovery.duration.as_secs_f64());
        metrics.recovery_replayed_batches.set(recovery.replayed_batches as i64);
        metrics.recovery_truncated_bytes.set(recovery.damaged_bytes as i64);
        let damaged: u64 = recovery.damaged.iter().map(|(first, last)| last.0 - first.0 + 1).sum();
        metrics.recovery_damaged_numbers.set(damaged as i64);
        if let Some(loss) = &recovery.loss {
            self.report_loss(loss);
        }
        metrics.quarantined_files.set(recovery.quarantined.len() as i64);
        if damaged > 0 {
            tracing::error!("damage: {} had been safe and are missing", ranges(&recovery.damaged));
        }
        tracing::info!(
            "start {incarnation}: everything up to batch {} is here, {} from the stage, in {:?}",
            recovery.end,
            batches(recovery.replayed_batches),
            recovery.duration
        );
    }

    fn report_loss(&self, loss: &Loss) {
        let metrics = &self.metrics;
        // Of what was answered behind the record that was found nothing is known, not even that there was nothing.
        let most = |max: Option<u64>| max.filter(|_| loss.is_ledger_last()).map_or(f64::INFINITY, |max| max as f64);
        metrics.recovery_lost_samples_min.set(loss.samples.min as f64);
        metrics.recovery_lost_samples_max.set(most(loss.samples.max));
        metrics.recovery_ledger_timestamp.set(loss.clock as f64 / 1e9);
        metrics.recovery_lost_batches_min.set(loss.batches.min as f64);
        metrics.recovery_lost_batches_max.set(most(loss.batches.max));
        match loss.is_none() {
            true => tracing::info!("{loss}"),
            false => tracing::error!("{loss}"),
        }
    }
}

/// So many ranges are told one by one.
const RANGES_MAX: usize = 100;

/// "batches 3 to 4 and batch 9"
pub(crate) fn ranges(ranges: &[(SeqNo, SeqNo)]) -> String {
    if let Some((told, rest @ [.., last])) = ranges.split_at_checked(RANGES_MAX) {
        let count = rest.iter().map(|(first, last)| last.0 - first.0 + 1).sum();
        return format!("{} and {} more up to {}", self::ranges(told), batches(count), last.1);
    }
    let range = |(first, last): &(SeqNo, SeqNo)| match first == last {
        true => format!("batch {first}"),
        false => format!("batches {first} to {last}"),
    };
    ranges.iter().map(range).collect::<Vec<_>>().join(" and ")
}

impl Found {
    /// What had been safe and is missing, and where files are damaged; `None` where nothing is missing.
    pub(crate) fn damage(&self) -> Option<String> {
        if self.damaged.is_empty() {
            return None;
        }
        let mut text = format!("{} had been safe and are missing", ranges(&self.damaged));
        for (path, offset, bytes) in &self.stage.damage {
            let _ = write!(text, "; {} has no valid frame in the {bytes} bytes from byte {offset} on", path.display());
        }
        Some(text)
    }
}

impl Engine {
    /// Says what is in a directory and what a start would do, and changes nothing.
    pub fn dry_run(disk: std::sync::Arc<dyn Disk>, options: Options) -> Result<String, Error> {
        let paths = Paths { root: options.dir.clone() };
        let _lock = match disk.open(&paths.lock()) {
            Ok(_) => Some(take_lock(&*disk, &paths)?),
            Err(_) => None,
        };
        let logs = LogDirs::check(&*disk, &paths, &options)?;
        let loaded = Loaded::read(&*disk, &paths.root)?;
        if loaded.number == 0 && holds_data(&*disk, &paths, &logs)? {
            return Err(Error::NoManifest(paths.root));
        }
        let mut open = Open::new(disk, paths, options, logs, Metrics::new(), loaded.state);
        open.open_parts()?;
        let found = open.find()?;
        open.quarantine_strays(loaded.clean, &found)?;
        Ok(open.describe(&found))
    }
}

impl Open {
    fn describe(&self, found: &Found) -> String {
        let (state, verdict, stage) = (&self.state, &found.verdict, &found.stage);
        let count = found.plan.batches(&stage.commits, state.flushed);
        let parts = state.parts.len() - self.lost_parts.len() - self.unread.parts.len();
        let mut lines = vec![
            format!("dry run of start {}: nothing was changed", state.incarnation() + 1),
            format!(
                "everything up to batch {} counts: up to {} in {}, {} in {} of the stage",
                verdict.end,
                state.flushed,
                counted(parts as u64, "part", "parts"),
                batches(count),
                counted(stage.files.len() as u64, "file", "files")
            ),
        ];
        lines.extend(self.recovery.loss.map(|loss| loss.to_string()));
        lines.extend(found.damage().map(|damage| format!("damage: {damage}")));
        let aside = |path: &std::path::PathBuf| format!("would be moved to quarantine: {}", path.display());
        lines.extend(self.recovery.quarantined.iter().map(aside));
        let unread = |path: &std::path::PathBuf| format!("cannot be read, and would be left out: {}", path.display());
        lines.extend(self.unread.files.iter().map(unread));
        let refused = |path: &std::path::PathBuf| {
            let path = path.display();
            format!("cannot be read: a start refuses, or gives that up with --recovery salvage-readable: {path}")
        };
        lines.extend(stage.unread.iter().map(refused));
        lines.join("\n") + "\n"
    }
}
