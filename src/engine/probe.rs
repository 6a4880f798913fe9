//! What the data directory stands on, found out beside the first writes and told once.

use super::Engine;

impl Engine {
    /// Looks at the data directory, and tells the log and the metrics. A probe that fails is only worth a warning: what is
    /// really wrong with the disk stops writes by itself.
    pub fn probe_disk(&self) {
        let dir = &self.paths.root;
        let probe = match self.disk.probe(dir) {
            Ok(probe) => probe,
            Err(error) => return tracing::warn!("could not probe {}: {error}", dir.display()),
        };
        tracing::info!("data directory {} on {probe}", dir.display());
        probe.warnings.iter().for_each(|warning| tracing::warn!("data directory {}: {warning}", dir.display()));
        self.metrics.disk_probe_fsync.set(probe.sync.median.as_secs_f64());
        self.metrics.disk_probe_warnings.set(probe.warnings.len() as i64);
        // Until the stage has been synced, what the probe saw is what is known.
        self.durability.expect(probe.sync.max);
        // It is asked for once a start; a second look would tell the same.
        let _ = self.probe.set(probe);
    }
}
