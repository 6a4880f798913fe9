//! What a directory stands on, found out at the start: file system, device, its cache, and what a sync takes there.
//!
//! A database keeps no promise that the disk below does not keep. What can be seen of that is looked at once: the kernel's
//! own words in `/proc` and `/sys`, and a few real syncs. Not everything can: a virtual machine whose host ignores flushes,
//! or a drive that answers them from its cache after a believable while, looks like an honest disk.
//!
//! Always: the probe leaves nothing behind, and takes little over [`TIME_MAX`] and one sync.
//! Not here: what to do about a warning.

mod judge;
mod mount;

use super::{Disk, create_anew};
use std::{
    fmt, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

pub use mount::WriteCache;

pub(super) use judge::judge;
pub(super) use mount::Mount;

/// Syncs timed at most: a median steady to a few percent, in a few milliseconds on a fast drive.
const ROUNDS_MAX: usize = 32;
/// No round begins after this time: at a start, somebody waits for the server to be back.
const TIME_MAX: Duration = Duration::from_millis(50);
/// What is written before each sync: about a small frame of the log, in a page of its own.
const WRITE_SIZE: usize = 4096;
/// The file the syncs are tried on.
const FILE_NAME: &str = "PROBE";

/// What was found out about a directory. Its `Display` is one line for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The file system's type as the kernel calls it, `ext4`; `unknown (0x…)` with its magic number where it does not say.
    pub file_system: String,
    /// Where it is mounted.
    pub mount_point: PathBuf,
    /// What is mounted there, `/dev/vda`.
    pub device: String,
    /// What the kernel takes the device's cache for; `None` where it does not say.
    pub write_cache: Option<WriteCache>,
    /// What syncs took.
    pub sync: SyncTimes,
    /// What an administrator should know, each a clause that needs no context.
    pub warnings: Vec<String>,
}

/// How long `sync_data` took after a small write into allocated space, as the log does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncTimes {
    /// How many were timed.
    pub count: usize,
    /// Half took no longer.
    pub median: Duration,
    /// The longest.
    pub max: Duration,
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", self.file_system, self.device)?;
        if let Some(cache) = self.write_cache {
            write!(f, ", {cache} cache")?;
        }
        write!(f, "), fsync {:.1?} median, {:.1?} at most", self.sync.median, self.sync.max)
    }
}

/// Looks at a directory of the operating system.
pub(super) fn probe(disk: &dyn Disk, dir: &Path) -> io::Result<Probe> {
    let mount = mount::of(dir)?;
    let write_cache = mount::write_cache(&mount);
    let sync = sync_times(disk, &dir.join(FILE_NAME))?;
    let warnings = judge(&mount, write_cache, sync.median);
    let Mount { file_system, point, device, .. } = mount;
    Ok(Probe { file_system, mount_point: point, device, write_cache, sync, warnings })
}

/// Times syncs on a file of this name, which is gone afterwards. One that a crash left is replaced.
pub(super) fn sync_times(disk: &dyn Disk, path: &Path) -> io::Result<SyncTimes> {
    let times = create_anew(disk, path).and_then(|file| {
        let times = time_syncs(&*file);
        disk.remove(path)?;
        times
    });
    times.map(summary)
}

#[allow(clippy::disallowed_methods, reason = "what is measured here is time")]
fn time_syncs(file: &dyn super::File) -> io::Result<Vec<Duration>> {
    file.allocate((ROUNDS_MAX * WRITE_SIZE) as u64)?;
    let start = Instant::now();
    let mut times = Vec::with_capacity(ROUNDS_MAX);
    while times.is_empty() || times.len() < ROUNDS_MAX && start.elapsed() < TIME_MAX {
        file.write_at(&[0xa5; WRITE_SIZE], (times.len() * WRITE_SIZE) as u64)?;
        let written = Instant::now();
        file.sync_data()?;
        times.push(written.elapsed());
    }
    Ok(times)
}

fn summary(mut times: Vec<Duration>) -> SyncTimes {
    times.sort_unstable();
    let count = times.len();
    SyncTimes { count, median: times[count / 2], max: times[count - 1] }
}
