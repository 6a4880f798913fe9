//! How a directory is run.

use std::{path::PathBuf, time::Duration};

use super::RecoveryPolicy;
use crate::{
    durability::{AckLevel, Mirror, Mode},
    stage::Compression,
};

/// How a directory is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The data directory.
    pub dir: PathBuf,
    /// What moves the watermarks.
    pub mode: Mode,
    /// Bytes of rows after which a generation is flushed.
    pub generation_size: usize,
    /// Age after which a generation is flushed.
    pub generation_age: Duration,
    /// Age beyond which days are dropped and samples refused; `None` keeps everything.
    pub retention: Option<Duration>,
    /// Bytes of all generations and of batches on their way; beyond, writes are refused until a flush is done.
    pub memory_size_max: usize,
    /// Bytes of a chunk of row memory: a power of two. A row must fit in one, so it is not to shrink between starts.
    pub chunk_size: usize,
    /// Bytes of a log segment.
    pub segment_size: u64,
    /// Where the log is; `wal` in the data directory where nothing is said.
    pub wal_dir: Option<PathBuf>,
    /// Where a second copy of the log is, if anywhere.
    pub wal_mirror_dir: Option<PathBuf>,
    /// How many of the two copies a batch must be in.
    pub wal_mirror: Mirror,
    /// Whether batches in the log are compressed.
    pub wal_compression: Compression,
    /// Bytes of log segments after which the open generation is flushed, so that they can go; at twice that, writes are
    /// refused until they have.
    pub log_size_max: u64,
    /// Free bytes of the disk below which writes are refused, so that what was acknowledged can still be flushed. At most
    /// a fiftieth of the disk.
    pub free_space_min: u64,
    /// The level below which nobody is answered.
    pub ack_min: AckLevel,
    /// Streams at most.
    pub streams_max: u32,
    /// Whether to find out, beside the first writes, what the directory stands on; it takes some 50 ms.
    pub probe: bool,
    /// What a start does about damage.
    pub recovery: RecoveryPolicy,
}

impl Options {
    /// Bytes of a log segment, where nothing else is said.
    pub const SEGMENT_SIZE: u64 = 32 << 20;
    /// Bytes of a generation, at least: four chunks. One that a chunk or two fill is flushed with nearly every batch.
    pub const GENERATION_SIZE_MIN: usize = 4 << 20;

    /// Sensible settings for a directory.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            mode: Mode::WalSync,
            generation_size: 256 << 20,
            generation_age: Duration::from_secs(30 * 60),
            retention: None,
            memory_size_max: 1 << 30,
            chunk_size: 1 << 20,
            segment_size: Self::SEGMENT_SIZE,
            wal_dir: None,
            wal_mirror_dir: None,
            wal_mirror: Mirror::default(),
            wal_compression: Compression::default(),
            log_size_max: 2 << 30,
            free_space_min: 64 << 20,
            ack_min: AckLevel::Memory,
            streams_max: 50_000_000,
            probe: true,
            recovery: RecoveryPolicy::default(),
        }
    }
}
