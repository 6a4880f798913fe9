//! Which cores what runs on, for loads that leave the server alone on its own.
//!
//! On shared cores the loader takes part of what is measured: at 70,000 requests a second nearly half a core, at 20,000 an
//! eighth of one. Apart, every server has the same, and the loader has enough.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Keeps the calling thread, and what it starts from now on, to the cores of the servers while this lives.
pub(crate) struct OnServerCores(CpuSet);

impl OnServerCores {
    pub(crate) fn keep() -> Self {
        let (before, (servers, _)) = (allowed(), shared_out());
        keep_to(&servers);
        Self(before)
    }
}

impl Drop for OnServerCores {
    fn drop(&mut self) {
        keep_to(&self.0);
    }
}

/// Keeps the calling thread, and what it starts from now on, to the loader's core.
pub(crate) fn keep_to_loader_core() {
    keep_to(&shared_out().1);
}

/// Whether there is a core for each side.
pub(crate) fn are_enough() -> bool {
    allowed().count() > 1
}

/// The servers' cores, and the loader's: the last.
fn shared_out() -> (CpuSet, CpuSet) {
    let (mut servers, mut loader) = (allowed(), CpuSet::new());
    let last = (0..CpuSet::MAX_CPU).rfind(|core| servers.is_set(*core)).expect("this thread runs on one");
    servers.unset(last);
    loader.set(last);
    (servers, loader)
}

fn allowed() -> CpuSet {
    sched_getaffinity(None).expect("a thread may ask for its own cores")
}

fn keep_to(cores: &CpuSet) {
    sched_setaffinity(None, cores).expect("a thread may give up cores, and take back what its process has");
}
