//! What an administrator should know about the ground a directory stands on.

use super::mount::{Mount, WriteCache};
use std::time::Duration;

/// A sync that takes less did not reach a device. The fastest that takes writes over a bus, an Optane drive, needs 5 µs
/// for one by its data sheet, an NVMe drive with a cache of its own power 10 µs or more, and the way there through file
/// system and block layer comes on top. `fdatasync` where there is nothing to do takes 0.2–1 µs. Persistent memory
/// without a block layer (DAX) may come close to the bound from above.
const SYNC_TIME_MIN: Duration = Duration::from_micros(5);

/// What a file system does with what is synced.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Puts it on the device below.
    Local,
    Memory,
    Overlay,
    Network,
    Fuse,
}

/// The file systems of which more is to be said than of a local one.
const KINDS: &[(Kind, &[&str])] = &[
    (Kind::Memory, &["tmpfs", "ramfs", "rootfs", "devtmpfs", "hugetlbfs"]),
    (Kind::Overlay, &["overlay", "overlayfs", "aufs"]),
    (Kind::Network, &["nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "virtiofs", "ceph", "afs", "lustre", "vboxsf"]),
];

/// Mount options that make a sync end before the medium has the data.
const UNSAFE_OPTIONS: &[&str] = &["nobarrier", "barrier=0", "volatile"];

impl Kind {
    fn of(mount: &Mount) -> Self {
        let name = mount.file_system.as_str();
        let is_memory = ["/dev/zram", "/dev/ram"].iter().any(|prefix| mount.device.starts_with(prefix));
        match KINDS.iter().find(|(_, names)| names.contains(&name)) {
            Some((kind, _)) => *kind,
            None if name.starts_with("fuse") => Self::Fuse,
            None if is_memory => Self::Memory,
            None => Self::Local,
        }
    }

    /// What is to be said of a mount of this kind, whatever else is found.
    fn warning(self, Mount { file_system: name, device, .. }: &Mount) -> Option<String> {
        match self {
            Self::Local => None,
            Self::Memory => Some(format!("{name} ({device}) is memory: a power cut takes all of it, synced or not")),
            Self::Overlay => Some(format!("{name} is a container's own layer and goes with it: use a volume")),
            Self::Network => Some(format!("{name} is a network file system: what a sync is worth, its server decides")),
            Self::Fuse => Some(format!("{name} is a program (FUSE): what a sync is worth, that program decides")),
        }
    }
}

/// The warnings, most serious first.
pub(in crate::disk) fn judge(mount: &Mount, write_cache: Option<WriteCache>, sync_median: Duration) -> Vec<String> {
    let kind = Kind::of(mount);
    let unsafe_option = mount.options.split(',').find(|option| UNSAFE_OPTIONS.contains(option));
    let is_too_fast = sync_median < SYNC_TIME_MIN && kind != Kind::Memory;
    let is_cache_unknown = write_cache.is_none() && kind == Kind::Local;
    let device = &mount.device;
    let warnings = [
        kind.warning(mount),
        unsafe_option.map(|option| format!("mounted with {option}: a power cut may take what was synced")),
        is_too_fast.then(|| format!("a sync took {sync_median:?}: nothing that fast has reached a drive")),
        is_cache_unknown.then(|| format!("nothing says whether {device} has a cache that a power cut takes")),
    ];
    warnings.into_iter().flatten().collect()
}
