//! The log's writer: frames into segments, segments one after the other.

use std::{path::PathBuf, sync::Arc};

use crate::{
    disk::Disk,
    durability::{
        Defined, Error, Policy, Unasked,
        behind::Behind,
        copies::OpenSegment,
        spares::{Spare, Spares},
        work::LogFile,
    },
    index::Index,
    model::{Batch, SeqNo},
    stage::{self, Compression, FileHeader, FileKind, FrameHeader, Kind, Packer, encode_void, put_frame},
};

/// How and where the log is kept.
#[derive(Clone, Debug)]
pub(crate) struct LogOptions {
    /// One directory a copy.
    pub(crate) dirs: Vec<PathBuf>,
    /// How many copies must work.
    pub(crate) needed: usize,
    pub(crate) compression: Compression,
    /// Bytes of a segment where the mode does not say.
    pub(crate) usual_size: u64,
    /// Bytes of a segment at most, whatever the mode says.
    pub(crate) size_max: u64,
    /// Bytes of the next segment.
    pub(crate) segment_size: u64,
}

/// Bytes of a segment: what the mode says, or the usual; on a small disk, less.
pub(crate) fn segment_size(policy: Policy, usual: u64, max: u64) -> u64 {
    let wanted = if let Unasked::Full(size) = policy.synced { size } else { usual };
    wanted.min(max)
}

/// The one writer of the log. Frames are gathered in a buffer, then written at once.
pub(crate) struct LogWriter {
    disk: Arc<dyn Disk>,
    options: LogOptions,
    incarnation: u32,
    next_id: u64,
    segment: Option<OpenSegment>,
    defined: Defined,
    buffer: Vec<u8>,
    /// Highest number in the buffer.
    buffered: SeqNo,
    definitions: Vec<u8>,
    /// Where batches are compressed.
    packer: Option<Packer>,
    /// The compressed payload of the batch that is added, if it is smaller.
    packed: Vec<u8>,
    is_packed: bool,
    /// What was written since the last call of `take_files`.
    files: Vec<LogFile>,
    spares: Arc<Spares>,
    written: u64,
    behind: Arc<Behind>,
}

impl LogWriter {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        options: LogOptions,
        spares: Arc<Spares>,
        behind: Arc<Behind>,
        incarnation: u32,
        next_id: u64,
    ) -> Self {
        let packer = (options.compression == Compression::Zstd).then(Packer::default);
        Self {
            disk,
            options,
            incarnation,
            next_id,
            segment: None,
            defined: Defined::default(),
            buffer: Vec::new(),
            buffered: SeqNo(0),
            definitions: Vec::new(),
            packer,
            packed: Vec::new(),
            is_packed: false,
            files: Vec::new(),
            spares,
            written: 0,
            behind,
        }
    }

    /// Adds a batch's frame to the buffer; writes and goes on to the next segment where this one is full.
    pub(crate) fn add(&mut self, head: FrameOf, batch: &Batch, rows: &[u8], index: &Index) -> Result<(), Error> {
        self.define(batch, rows, index);
        let fits = |segment: &OpenSegment| segment.fits(self.buffer.len() + self.frame_size(rows));
        if !self.segment.as_ref().is_some_and(fits) {
            self.write()?;
            // A new segment names its streams anew, so what is missing depends on where the batch lands.
            self.defined.clear();
            self.define(batch, rows, index);
            self.rotate(self.frame_size(rows))?;
        }
        let (definitions, packed) = (std::mem::take(&mut self.definitions), std::mem::take(&mut self.packed));
        match self.is_packed {
            true => self.put(head, Kind::PackedBatch, &[&packed]),
            false => self.put(head, Kind::Batch, &[&definitions, rows]),
        }
        (self.definitions, self.packed) = (definitions, packed);
        self.defined.frame_ends();
        Ok(())
    }

    /// Puts a frame into the buffer; a segment is open.
    fn put(&mut self, head: FrameOf, kind: Kind, payload: &[&[u8]]) {
        let segment = self.segment.as_ref().expect("opened before a frame is put");
        let FrameOf { number, safe, samples } = head;
        let header = FrameHeader { place: segment.place(self.buffer.len()), number, safe, samples, kind };
        put_frame(&mut self.buffer, &header, payload);
        self.buffered = number;
    }

    /// Encodes what the batch uses and the segment has not named, and packs that and the rows where it helps.
    fn define(&mut self, batch: &Batch, rows: &[u8], index: &Index) {
        self.definitions.clear();
        self.defined.missing(batch, index).encode(&mut self.definitions);
        let pieces = [&self.definitions[..], rows];
        self.is_packed = self.packer.as_mut().is_some_and(|packer| packer.pack(&pieces, &mut self.packed));
    }

    fn frame_size(&self, rows: &[u8]) -> usize {
        let payload = if self.is_packed { self.packed.len() } else { self.definitions.len() + rows.len() };
        (stage::FRAME_HEADER_SIZE + payload).next_multiple_of(8)
    }

    /// Writes the buffer with one write(2).
    pub(crate) fn write(&mut self) -> Result<(), Error> {
        let Some(segment) = self.segment.as_mut().filter(|_| !self.buffer.is_empty()) else { return Ok(()) };
        segment.append(&self.buffer, self.buffered, &self.behind)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        match self.files.last_mut().filter(|file| file.id() == segment.id()) {
            Some(file) => file.last = segment.last(),
            None => {
                let copies = Arc::clone(segment.copies());
                self.files.push(LogFile { copies, last: segment.last(), is_bad: false, is_stuck: false });
            }
        }
        Ok(())
    }

    /// Opens the next segment, with room for `size` bytes at least.
    fn rotate(&mut self, size: usize) -> Result<(), Error> {
        let header = FileHeader { kind: FileKind::Log, incarnation: self.incarnation, id: self.next_id };
        self.next_id += 1;
        let LogOptions { dirs, needed, segment_size, .. } = &self.options;
        let capacity = (*segment_size).max(stage::FILE_HEADER_SIZE + size as u64);
        let spare = self.spares.take(&*self.disk, capacity);
        self.segment =
            Some(OpenSegment::begin(&*self.disk, dirs, *needed, header, capacity, spare.as_ref(), &self.behind)?);
        self.want_spare();
        Ok(())
    }

    /// Asks for a spare for the next segment, if there is none.
    pub(crate) fn want_spare(&self) {
        self.spares.want(&self.options.dirs, self.options.segment_size);
    }

    /// Ends the open segment: nothing more is written to it, and what waits in the buffer is forgotten. Its number, 0 where
    /// none was open.
    pub(crate) fn seal(&mut self) -> u64 {
        self.buffer.clear();
        self.defined.forget();
        self.segment.take().map_or(0, |segment| segment.id())
    }

    /// Ends the open segment if it is one of those that failed, up to `bad`.
    pub(crate) fn avoid(&mut self, bad: u64) {
        if self.segment.as_ref().is_some_and(|segment| segment.id() <= bad) {
            self.seal();
        }
    }

    /// Begins a segment by saying that the numbers from `first` on up to the frame's are void; durable when this returns.
    pub(crate) fn void(&mut self, first: SeqNo, head: FrameOf) -> Result<(), Error> {
        self.seal();
        let payload = encode_void(first);
        self.rotate(payload.len() + stage::FRAME_HEADER_SIZE)?;
        self.put(head, Kind::Void, &[&payload]);
        self.write()?;
        self.segment.as_ref().expect("opened above").sync(&self.behind)
    }

    /// Sets the size of segments from the next one on.
    pub(crate) fn set_segment_size(&mut self, policy: Policy) {
        self.options.segment_size = segment_size(policy, self.options.usual_size, self.options.size_max);
    }

    /// The files written since the last call, each with its highest number.
    pub(crate) fn take_files(&mut self) -> Vec<LogFile> {
        std::mem::take(&mut self.files)
    }

    /// Bytes written since the last call.
    pub(crate) fn take_written(&mut self) -> u64 {
        std::mem::take(&mut self.written)
    }

    /// Takes back retired segments: keeps some for reuse, and removes the others.
    ///
    /// A crash may undo a removal; the segment's frames are in parts then, and a start sees that. Those that cannot be
    /// removed are given back.
    pub(crate) fn retire(&mut self, mut files: Vec<LogFile>) -> Vec<LogFile> {
        files.retain_mut(|file| {
            let is_usual = file.copies.size() == self.options.segment_size && !file.is_bad;
            // A segment that began with one copy of two has no file for the other.
            let is_whole = |spare: &Spare| spare.files.len() == self.options.dirs.len();
            let spare = file.copies.to_spare().filter(|spare| is_usual && is_whole(spare));
            spare.is_none_or(|spare| self.spares.keep(spare).is_err()) && !file.remove(&*self.disk)
        });
        files
    }
}

/// What a batch's frame says beside its payload.
#[derive(Clone, Copy)]
pub(crate) struct FrameOf {
    pub(crate) number: SeqNo,
    pub(crate) safe: SeqNo,
    pub(crate) samples: u64,
}
