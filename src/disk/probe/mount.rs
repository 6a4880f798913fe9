//! What is mounted where, by `/proc/self/mountinfo`, and what `/sys` tells of the device.

#![allow(clippy::disallowed_methods, reason = "files of the kernel about itself, which no simulated disk has")]

use rustix::fs::{major, minor, statfs};
use std::{
    fmt, fs, io,
    os::unix::{
        ffi::OsStringExt,
        fs::{FileTypeExt, MetadataExt},
    },
    path::{Path, PathBuf},
};

/// What a device does with a write it has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteCache {
    /// Keeps it in a cache that power takes, until it is flushed: a sync flushes it.
    Back,
    /// Has no such cache, or one that survives, or so it says: a sync sends no flush.
    Through,
}

impl WriteCache {
    /// Reads what `queue/write_cache` says.
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text.trim() {
            "write back" => Some(Self::Back),
            "write through" => Some(Self::Through),
            _ => None,
        }
    }
}

impl fmt::Display for WriteCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Back => "write back",
            Self::Through => "write through",
        })
    }
}

/// A mounted file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::disk) struct Mount {
    pub(in crate::disk) file_system: String,
    pub(in crate::disk) point: PathBuf,
    pub(in crate::disk) device: String,
    /// Of the mount and of the file system, with commas between.
    pub(in crate::disk) options: String,
    /// Major and minor number; a major of 0 is no block device.
    pub(in crate::disk) id: (u32, u32),
}

impl Mount {
    /// The mount that holds a path, by the text of `mountinfo`: the longest mount point it lies below, and of mounts on
    /// top of each other the last. Lines that make no sense are passed over.
    pub(in crate::disk) fn holding(path: &Path, mountinfo: &str) -> Option<Self> {
        let mounts = mountinfo.lines().filter_map(Self::parse).filter(|mount| path.starts_with(&mount.point));
        mounts.max_by_key(|mount| mount.point.components().count())
    }

    /// `36 35 98:0 /root /mount/point rw,noatime master:1 - ext3 /dev/root rw,errors=continue`; between the mount's
    /// options and the hyphen come as many fields as there are.
    fn parse(line: &str) -> Option<Self> {
        let (about_mount, about_file_system) = line.split_once(" - ")?;
        let mut fields = about_mount.split(' ').skip(2);
        let (major, minor) = fields.next()?.split_once(':')?;
        let point = fields.nth(1)?;
        let options = fields.next()?;
        let mut fields = about_file_system.split(' ');
        Some(Self {
            file_system: fields.next()?.to_owned(),
            point: unescape(point),
            device: unescape(fields.next()?).display().to_string(),
            options: format!("{options},{}", fields.next().unwrap_or_default()),
            id: (major.parse().ok()?, minor.parse().ok()?),
        })
    }
}

/// The mount that holds a directory. Where `/proc` does not tell, the file system's magic number has to do.
pub(super) fn of(dir: &Path) -> io::Result<Mount> {
    let dir = fs::canonicalize(dir)?;
    let mountinfo = fs::read("/proc/self/mountinfo").unwrap_or_default();
    match Mount::holding(&dir, &String::from_utf8_lossy(&mountinfo)) {
        Some(mount) => Ok(mount),
        None => by_magic(dir),
    }
}

fn by_magic(dir: PathBuf) -> io::Result<Mount> {
    let device = fs::metadata(&dir)?.dev();
    let file_system = name_of_magic(statfs(&dir)?.f_type as u32);
    let id = (major(device), minor(device));
    Ok(Mount { file_system, point: dir, device: format!("device {}:{}", id.0, id.1), options: String::new(), id })
}

/// By the numbers of `linux/magic.h`.
fn name_of_magic(magic: u32) -> String {
    let name = match magic {
        0xef53 => "ext4",
        0x5846_5342 => "xfs",
        0x9123_683e => "btrfs",
        0x2fc1_2fc1 => "zfs",
        0xf2f5_2010 => "f2fs",
        0xca45_1a4e => "bcachefs",
        0x0102_1994 => "tmpfs",
        0x8584_58f6 => "ramfs",
        0x794c_7630 => "overlay",
        0x6969 => "nfs",
        0xff53_4d42 | 0xfe53_4d42 => "cifs",
        0x0102_1997 => "9p",
        0x00c3_6400 => "ceph",
        0x6573_5546 => "fuse",
        unknown => return format!("unknown ({unknown:#x})"),
    };
    name.to_owned()
}

/// What the kernel takes the cache of the device below for. A partition has no queue of its own, so its disk is asked.
pub(super) fn write_cache(mount: &Mount) -> Option<WriteCache> {
    let (major, minor) = block_device(&mount.device).unwrap_or(mount.id);
    let device = PathBuf::from(format!("/sys/dev/block/{major}:{minor}"));
    let told =
        ["queue/write_cache", "../queue/write_cache"].into_iter().map(|file| fs::read_to_string(device.join(file)));
    WriteCache::parse(&told.flatten().next()?)
}

/// The numbers of a device node. A btrfs mount has others, of no device; a `/dev/root` has no node.
fn block_device(path: &str) -> Option<(u32, u32)> {
    let found = fs::metadata(path).ok().filter(|found| found.file_type().is_block_device())?;
    Some((major(found.rdev()), minor(found.rdev())))
}

/// Undoes the kernel's `\040` for a space, and the like.
fn unescape(field: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        let code = behind.first_chunk::<3>().filter(|_| first == b'\\').and_then(octal);
        bytes.push(code.unwrap_or(first));
        rest = if code.is_some() { &behind[3..] } else { behind };
    }
    std::ffi::OsString::from_vec(bytes).into()
}

fn octal(digits: &[u8; 3]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()
}
