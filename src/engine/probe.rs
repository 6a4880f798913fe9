//! What the data directory stands on, told once at the start.

use std::path::Path;

use crate::{
    disk::{Disk, Probe},
    metrics::Metrics,
};

/// Looks at a directory, and tells the log and the metrics. A probe that fails is only worth a warning: what is really
/// wrong with the disk will stop the start by itself.
pub(super) fn probe(disk: &dyn Disk, dir: &Path, metrics: &Metrics) -> Option<Probe> {
    let probe =
        disk.probe(dir).inspect_err(|error| tracing::warn!("could not probe {}: {error}", dir.display())).ok()?;
    tracing::info!("data directory {} on {probe}", dir.display());
    probe.warnings.iter().for_each(|warning| tracing::warn!("data directory {}: {warning}", dir.display()));
    metrics.disk_probe_fsync.set(probe.sync.median.as_secs_f64());
    metrics.disk_probe_warnings.set(probe.warnings.len() as i64);
    Some(probe)
}
