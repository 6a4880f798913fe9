//! The copies of one log segment: one file, or two with the same content on different disks.
//!
//! A copy whose write or sync fails, or whose file has lost its name, is *out* until the next segment. A segment works
//! as long as enough copies are left: all of them, unless `--wal-mirror` is `1-of-2`. Then it is noted durably that the
//! copy is behind, before anybody is answered who counts on the other alone.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use crate::{
    disk::{self, Disk, File},
    durability::{Error, behind::Behind, spares::Spare},
    model::SeqNo,
    stage::{self, FileHeader, Place, Segment},
};

/// How many copies of a mirrored log a batch must be in before it is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mirror {
    /// One: where a disk fails or is slow, the other carries on.
    OneOfTwo,
    /// Both: no acknowledged batch is on one disk only.
    #[default]
    TwoOfTwo,
}

impl fmt::Display for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OneOfTwo => "1-of-2",
            Self::TwoOfTwo => "2-of-2",
        })
    }
}

impl FromStr for Mirror {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = [Self::OneOfTwo, Self::TwoOfTwo].into_iter().find(|mirror| mirror.to_string() == text);
        known.ok_or_else(|| format!("unknown policy {text:?}: it is `1-of-2` or `2-of-2`"))
    }
}

/// A segment's files as the writer, the syncer and the flusher share them.
pub(crate) struct Copies {
    id: u64,
    size: u64,
    needed: AtomicUsize,
    copies: Vec<LogCopy>,
}

/// One of them.
pub(crate) struct LogCopy {
    /// Which of the log's directories it is in.
    pub(crate) lane: usize,
    path: PathBuf,
    file: Arc<dyn File>,
    /// All numbers written to it up to this one are synced.
    synced: AtomicU64,
    is_out: AtomicBool,
}

impl Copies {
    /// The segment's number.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Bytes reserved for each copy.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Whether everything up to `last` is synced in as many copies as are needed.
    pub(crate) fn is_safe(&self, last: SeqNo) -> bool {
        self.copies.iter().filter(|copy| copy.is_synced(last)).count() >= self.needed()
    }

    /// Whether too few copies are left.
    pub(crate) fn is_broken(&self) -> bool {
        self.copies.iter().filter(|copy| !copy.is_out()).count() < self.needed()
    }

    /// Whether enough copies are left where one of those in use fails.
    pub(crate) fn can_lose_one(&self) -> bool {
        self.copies.iter().filter(|copy| !copy.is_out()).count() > self.needed()
    }

    fn needed(&self) -> usize {
        self.needed.load(Ordering::Acquire)
    }

    /// One copy is not enough any more, whatever the policy: nothing would tell a start that the other is behind.
    pub(crate) fn need_all(&self) {
        self.needed.store(self.copies.len(), Ordering::Release);
    }

    /// The copies in use that lack a sync of something up to `last`.
    pub(crate) fn unsynced(&self, last: SeqNo) -> impl Iterator<Item = &LogCopy> {
        self.copies.iter().filter(move |copy| !copy.is_out() && !copy.is_synced(last))
    }

    /// The copy in one of the log's directories.
    pub(crate) fn in_lane(&self, lane: usize) -> Option<&LogCopy> {
        self.copies.iter().find(|copy| copy.lane == lane)
    }

    /// Whether there is more than one.
    pub(crate) fn is_mirrored(&self) -> bool {
        self.copies.len() > 1
    }

    /// Fails where too few copies are left to make what was written safe.
    pub(crate) fn check(&self, last: SeqNo) -> Result<(), Error> {
        let source = || io::Error::other("an earlier write or sync of it failed");
        match self.is_broken() && !self.is_safe(last) {
            true => Err(Error::Sync { path: self.copies[0].path.clone(), source: source() }),
            false => Ok(()),
        }
    }

    /// The files as a spare, in the order of the log's directories, where all of them work.
    pub(crate) fn to_spare(&self) -> Option<Spare> {
        let works = self.copies.iter().all(|copy| !copy.is_out());
        let files = self.copies.iter().map(|copy| (copy.path.clone(), Arc::clone(&copy.file)));
        works.then(|| Spare { files: files.collect(), size: self.size })
    }

    /// Removes every copy; one that is gone is as good as removed. Fails where one stays.
    pub(crate) fn remove(&self, disk: &dyn Disk) -> Result<(), stage::Error> {
        let removed = self.copies.iter().map(|copy| remove(disk, &copy.path, &*copy.file));
        removed.fold(Ok(()), Result::and)
    }
}

impl LogCopy {
    pub(crate) fn is_out(&self) -> bool {
        self.is_out.load(Ordering::Acquire)
    }

    fn is_synced(&self, last: SeqNo) -> bool {
        self.synced.load(Ordering::Acquire) >= last.0
    }

    /// Syncs what was written to it.
    pub(crate) fn sync(&self) -> io::Result<()> {
        disk::sync_linked(&*self.file)
    }

    /// A sync that began when all up to `last` was written ended well.
    pub(crate) fn note_synced(&self, last: SeqNo) {
        self.synced.fetch_max(last.0, Ordering::AcqRel);
    }

    /// It failed: it is not used until the next segment. A file without a name keeps nothing, synced or not.
    fn put_out(&self, error: io::ErrorKind) {
        self.is_out.store(true, Ordering::Release);
        if error == io::ErrorKind::NotFound {
            self.synced.store(0, Ordering::Release);
        }
    }
}

/// The segment that is written, each copy open for appending.
pub(crate) struct OpenSegment {
    /// One a copy, in the same order.
    segments: Vec<Segment>,
    copies: Arc<Copies>,
}

impl OpenSegment {
    /// Opens a copy in each directory, in a spare's files where there is one. Every name is durable when this returns. A
    /// copy that cannot be opened is out, as long as enough are left.
    pub(crate) fn begin(
        disk: &dyn Disk,
        dirs: &[PathBuf],
        needed: usize,
        header: FileHeader,
        capacity: u64,
        spare: Option<&Spare>,
        behind: &Behind,
    ) -> Result<Self, Error> {
        let (mut segments, mut copies, mut failed) = (Vec::new(), Vec::new(), None);
        for (lane, dir) in dirs.iter().enumerate() {
            let opened = match spare {
                Some(Spare { files, .. }) => Segment::recycle(disk, dir, header, (&files[lane].0, &*files[lane].1)),
                None => Segment::create(disk, dir, header, capacity),
            };
            match opened {
                Ok(segment) => {
                    let (path, file) = (segment.path().to_owned(), segment.file());
                    let (synced, is_out) = (AtomicU64::new(0), AtomicBool::new(false));
                    copies.push(LogCopy { lane, path, file, synced, is_out });
                    segments.push(segment);
                }
                Err(error) => failed = Some((lane, Error::from(error))),
            }
        }
        let size = segments.iter().map(Segment::capacity).max().unwrap_or_default();
        let copies = Arc::new(Copies { id: header.id, size, needed: AtomicUsize::new(needed), copies });
        if let Some((lane, error)) = failed {
            let gone_on = if copies.is_broken() { Err(error) } else { behind.leave(lane, copies.id, &error) };
            // Nothing was written to it. What cannot be removed now, the next start looks at and removes.
            gone_on.inspect_err(|_| drop(copies.remove(disk)))?;
        }
        Ok(Self { segments, copies })
    }

    pub(crate) fn copies(&self) -> &Arc<Copies> {
        &self.copies
    }

    pub(crate) fn id(&self) -> u64 {
        self.copies.id
    }

    /// One that holds all that was written. Where none does, the segment is not written any more.
    fn whole(&self) -> &Segment {
        let whole = self.segments.iter().zip(&self.copies.copies).find(|(_, copy)| !copy.is_out());
        whole.map_or(&self.segments[0], |(segment, _)| segment)
    }

    /// Whether `bytes` more stay within the reserved space.
    pub(crate) fn fits(&self, bytes: usize) -> bool {
        self.whole().fits(bytes)
    }

    /// The place of a frame that starts `ahead` bytes behind what is written; the same in every copy.
    pub(crate) fn place(&self, ahead: usize) -> Place {
        self.whole().place(ahead)
    }

    /// Highest number written.
    pub(crate) fn last(&self) -> SeqNo {
        self.whole().last()
    }

    /// Appends whole frames to every copy in use, with one write each. Fails where too few copies took them.
    pub(crate) fn append(&mut self, frames: &[u8], last: SeqNo, behind: &Behind) -> Result<(), Error> {
        // The syncer may have found one to fail.
        self.copies.check(last)?;
        for (segment, copy) in self.segments.iter_mut().zip(&self.copies.copies) {
            if copy.is_out() {
                continue;
            }
            if let Err(error) = segment.append(frames, last) {
                let put_out = || copy.is_out.store(true, Ordering::Release);
                behind.put_out(&self.copies, copy, Error::from(error), put_out)?;
            }
        }
        Ok(())
    }

    /// Makes what was written durable, one copy after the other.
    pub(crate) fn sync(&self, behind: &Behind) -> Result<(), Error> {
        let last = self.last();
        for copy in self.copies.unsynced(last) {
            note(&self.copies, copy, last, copy.sync(), behind)?;
        }
        Ok(())
    }
}

/// Takes down how a copy's sync ended. Fails where too few copies are left.
pub(crate) fn note(
    copies: &Copies,
    copy: &LogCopy,
    last: SeqNo,
    synced: io::Result<()>,
    behind: &Behind,
) -> Result<(), Error> {
    let Err(source) = synced else {
        copy.note_synced(last);
        return Ok(());
    };
    let kind = source.kind();
    behind.put_out(copies, copy, Error::Sync { path: copy.path.clone(), source }, || copy.put_out(kind))
}

/// Removes a file; one that is gone is as good as removed. What else its path leads to, in a directory that was replaced,
/// is not ours and stays.
pub(crate) fn remove(disk: &dyn Disk, path: &Path, file: &dyn File) -> Result<(), stage::Error> {
    let removed = file.is_at(path).and_then(|is_there| if is_there { disk.remove(path) } else { Ok(()) });
    match removed {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(stage::Error::Io { action: "remove", path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}
