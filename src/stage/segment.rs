//! A file of the stage: a log segment or a container.
//!
//! ```text
//! file:   header (64 bytes) | frame*
//! header: magic [8] | version u32 | crc32 u32 | incarnation u32 | reserved u32 | id u64 | zeros
//! ```
//!
//! The CRC-32 covers the header but itself. A header that does not check is only a remark: each frame says for itself
//! which file and offset it belongs to.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::Error;
use crate::{
    disk::{Disk, File},
    model::SeqNo,
    stage::frame::Place,
};

/// Bytes before the first frame.
pub const FILE_HEADER_SIZE: u64 = 64;

/// Newest format version we write and read.
pub(crate) const VERSION: u32 = 1;

/// Which of the two stages a file belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A log segment: one frame a batch.
    Log,
    /// A container: one frame a commit.
    Container,
}

impl FileKind {
    /// The first eight bytes of such a file.
    pub fn magic(self) -> [u8; 8] {
        match self {
            Self::Log => *b"PLIMWAL\n",
            Self::Container => *b"PLIMCON\n",
        }
    }

    fn extension(self) -> &'static str {
        match self {
            Self::Log => "wal",
            Self::Container => "pages",
        }
    }
}

/// What a file says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileHeader {
    /// Log or container.
    pub kind: FileKind,
    /// The start of the server that wrote it.
    pub incarnation: u32,
    /// Its number.
    pub id: u64,
}

impl FileHeader {
    fn to_bytes(self) -> [u8; FILE_HEADER_SIZE as usize] {
        let mut bytes = [0; FILE_HEADER_SIZE as usize];
        bytes[..8].copy_from_slice(&self.kind.magic());
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.incarnation.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.id.to_le_bytes());
        let crc = header_checksum(&bytes);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a file's header: `None` where it is missing or does not check.
    pub fn read(file: &dyn File, path: &Path) -> Result<Option<Self>, Error> {
        let mut bytes = [0; FILE_HEADER_SIZE as usize];
        let read = file.read_at(&mut bytes, 0).map_err(io_error("read", path))?;
        let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let kind = [FileKind::Log, FileKind::Container].into_iter().find(|kind| bytes[..8] == kind.magic());
        let (Some(kind), true) = (kind, read == bytes.len() && u32_at(12) == header_checksum(&bytes)) else {
            return Ok(None);
        };
        if u32_at(8) > VERSION {
            return Err(Error::Version { path: path.to_owned(), found: u32_at(8), supported: VERSION });
        }
        let id = u64::from_le_bytes(bytes[24..32].try_into().expect("eight bytes"));
        Ok(Some(Self { kind, incarnation: u32_at(16), id }))
    }
}

fn header_checksum(bytes: &[u8; FILE_HEADER_SIZE as usize]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[..12]);
    hasher.update(&bytes[16..]);
    hasher.finalize()
}

/// A file of the stage, open for appending by its one writer.
pub struct Segment {
    header: FileHeader,
    path: PathBuf,
    file: Arc<dyn File>,
    /// Where the next frame goes.
    end: u64,
    /// Bytes reserved on disk.
    capacity: u64,
    /// Highest number written.
    last: SeqNo,
}

impl Segment {
    /// Makes a file with `capacity` bytes reserved and zeroed. Its name is durable when this returns.
    pub fn create(disk: &dyn Disk, dir: &Path, header: FileHeader, capacity: u64) -> Result<Self, Error> {
        let path = dir.join(file_name(header.kind, header.id));
        let file = disk.create(&path).map_err(io_error("create", &path))?;
        let reserved = file.allocate(capacity).map_err(io_error("reserve space for", &path));
        let begun = reserved.and_then(|()| Self::begin(disk, dir, path.clone(), file, header, capacity));
        if begun.is_err() {
            // On a full disk its space is wanted. Where it cannot be removed, the next start finds no frame in it.
            let _ = disk.remove(&path);
        }
        begun
    }

    /// Takes over the file of a retired segment, whose space is allocated and written already: a sync is cheaper there.
    /// Fails where the spare's path does not lead to `file` any more: in a directory that was replaced, what is there now
    /// is not ours.
    pub fn recycle(
        disk: &dyn Disk,
        dir: &Path,
        header: FileHeader,
        (spare, file): (&Path, &dyn File),
    ) -> Result<Self, Error> {
        if !file.is_at(spare).map_err(io_error("look for", spare))? {
            return Err(io_error("look for", spare)(io::ErrorKind::NotFound.into()));
        }
        let path = dir.join(file_name(header.kind, header.id));
        disk.rename(spare, &path).map_err(io_error("rename a spare file to", &path))?;
        let file = disk.open(&path).map_err(io_error("open", &path))?;
        let capacity = file.size().map_err(io_error("measure", &path))?;
        Self::begin(disk, dir, path, file, header, capacity)
    }

    fn begin(
        disk: &dyn Disk,
        dir: &Path,
        path: PathBuf,
        file: Arc<dyn File>,
        header: FileHeader,
        capacity: u64,
    ) -> Result<Self, Error> {
        file.write_at(&header.to_bytes(), 0).map_err(io_error("write the header of", &path))?;
        // Sync the directory too: without it a power cut may forget the file, and its acknowledged writes with it.
        disk.sync_dir(dir).map_err(io_error("sync the directory of", &path))?;
        Ok(Self { header, path, file, end: FILE_HEADER_SIZE, capacity, last: SeqNo(0) })
    }

    /// The file's number.
    pub fn id(&self) -> u64 {
        self.header.id
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The open file, for syncing it beside its writer and for reading pages.
    pub fn file(&self) -> Arc<dyn File> {
        Arc::clone(&self.file)
    }

    /// The highest number written, 0 before the first.
    pub fn last(&self) -> SeqNo {
        self.last
    }

    /// Where the next byte goes.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Bytes reserved on disk.
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Whether `bytes` more stay within the reserved space. A fresh file takes any frame.
    pub fn fits(&self, bytes: usize) -> bool {
        self.end == FILE_HEADER_SIZE || self.end + bytes as u64 <= self.capacity
    }

    /// The place of a frame that starts `ahead` bytes behind what is written.
    pub fn place(&self, ahead: usize) -> Place {
        Place { incarnation: self.header.incarnation, segment: self.header.id, offset: self.end + ahead as u64 }
    }

    /// Appends whole frames, the highest of whose numbers is `last`, in one write.
    pub fn append(&mut self, frames: &[u8], last: SeqNo) -> Result<(), Error> {
        self.file.write_at(frames, self.end).map_err(io_error("append to", &self.path))?;
        self.end += frames.len() as u64;
        self.last = self.last.max(last);
        Ok(())
    }
}

/// `000012.wal`, `000004.pages`
pub fn file_name(kind: FileKind, id: u64) -> String {
    format!("{id:06}.{}", kind.extension())
}

/// The files of a kind in a directory, by number; other files are passed over. An absent directory has none.
pub fn list_files(disk: &dyn Disk, dir: &Path, kind: FileKind) -> Result<Vec<(u64, PathBuf)>, Error> {
    let entries = match disk.list(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(io_error("list", dir))?,
    };
    let mut files: Vec<_> = entries
        .into_iter()
        .filter(|entry| !entry.is_dir)
        .filter_map(|entry| {
            let name = entry.path.file_name()?.to_str()?;
            let id = name.strip_suffix(kind.extension())?.strip_suffix('.')?.parse().ok()?;
            Some((id, entry.path))
        })
        .collect();
    files.sort_unstable();
    Ok(files)
}

pub(crate) fn io_error<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
    move |source| Error::Io { action, path: path.to_owned(), source }
}
