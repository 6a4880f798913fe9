//! Reading the stage after a crash: what is there, and what it covers.

use std::{
    collections::HashMap,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Error, Span, State, Verdict, io_error};
use crate::{
    disk::{self, Disk, File},
    index::Index,
    model::{LayoutId, SeqNo, StreamId},
    parts::{self, Summary},
    stage::{
        self, BLOCK, Definitions, FRAME_HEADER_SIZE, FileKind, Found, Frame, Kind, LayoutDefinition, Page, RowsDecoder,
        Scan, UNREAD_BLOCKS_MAX, Unread, decode_batch, decode_commit, decode_void, list_files,
    },
};

/// How much is written again at a time.
const PIECE: u64 = 1 << 20;

/// A file of the stage that an earlier incarnation left.
pub(crate) struct Leftover {
    pub(crate) id: u64,
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn File>,
    /// It holds something between valid frames that is none.
    pub(crate) is_damaged: bool,
    /// The start that wrote it, by its frames.
    incarnation: Option<u32>,
    /// The layouts its frames define; their ids are those of the start that wrote it.
    pub(crate) layouts: HashMap<LayoutId, LayoutDefinition>,
    /// Some of its batches use what no frame before them defines.
    is_unresolved: bool,
    /// The number and place of a frame in every mebibyte or so.
    marks: Vec<(SeqNo, u64)>,
    /// The highest number in it, and where its last frame ends.
    end: (SeqNo, u64),
}

impl Leftover {
    /// What holds all frames with numbers behind one.
    fn behind(&self, number: SeqNo) -> Range<u64> {
        let (last, end) = self.end;
        let start = self.marks.iter().rev().find(|(first, _)| *first <= number).map_or(0, |(_, place)| *place);
        if last > number { start..end } else { end..end }
    }

    /// Remembers where a frame is.
    fn mark(&mut self, number: SeqNo, place: u64) {
        if self.marks.last().is_none_or(|(_, last)| place - last >= PIECE) {
            self.marks.push((number, place));
        }
        self.end.0 = self.end.0.max(number);
    }

    /// Takes the layouts of a frame.
    fn define(&mut self, definitions: Definitions) {
        self.layouts.extend(definitions.layouts.into_iter().map(|layout| (layout.id, layout)));
    }
}

/// Batches with consecutive numbers, one behind the other in one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Their numbers.
    pub(crate) span: Span,
    /// The file's place among all.
    pub(crate) file: usize,
    /// Where the first of their frames stands.
    pub(crate) offset: u64,
    /// Samples accepted up to and with the last of them.
    samples: u64,
}

/// A commit's pages.
#[derive(Clone, Debug)]
pub(crate) struct PagesAt {
    /// The numbers they cover.
    pub(crate) span: Span,
    /// The file's place among all.
    pub(crate) file: usize,
    /// Where the first page begins.
    pub(crate) offset: u64,
    /// Each with how much it holds.
    pub(crate) pages: Vec<(Page, Summary)>,
    /// Per page, the streams and layouts that are new to its day in the file.
    pub(crate) uses: Vec<Vec<(StreamId, LayoutId)>>,
    /// Samples accepted up to and with the last number.
    samples: u64,
}

/// What a first walk over the stage finds.
#[derive(Default)]
pub(crate) struct StageContents {
    pub(crate) files: Vec<Leftover>,
    pub(crate) runs: Vec<Run>,
    pub(crate) commits: Vec<PagesAt>,
    /// Numbers that were rejected after they had been given out.
    voids: Vec<Span>,
    /// The largest `safe` in any valid frame.
    safe: SeqNo,
    /// The largest number in any valid frame, kept or not.
    pub(crate) largest: SeqNo,
    /// The largest stream id defined.
    pub(crate) largest_stream: u32,
    /// Where something stands that is no valid frame, with valid ones behind it: file, first byte, how many.
    pub(crate) damage: Vec<(PathBuf, u64, u64)>,
    /// Files of which something cannot be read: what they hold there is missing.
    pub(crate) unread: Vec<PathBuf>,
    /// Bytes of frames at the ends of files that were begun and are not whole.
    pub(crate) torn_bytes: u64,
    /// Highest file number of each kind.
    pub(crate) last_ids: [u64; 2],
    decoder: RowsDecoder,
    /// Whether what cannot be read is passed over.
    reads_around: bool,
}

impl StageContents {
    /// Walks over all files: checks every frame, remembers what it covers, and takes stream definitions. Of a log with two
    /// copies it is enough that one of them has a batch.
    ///
    /// A stream's definition counts wherever it stands; a layout's, in all files of the start that wrote it. A batch that
    /// uses what no frame here and no index part defines does not count: a power cut may keep it and lose the frame before
    /// it, which parts made safe meanwhile.
    ///
    /// The log may be in several directories: what a frame holds counts once, from whichever file it can be read.
    ///
    /// What cannot be read is damage where `reads_around` says so, and an error elsewhere. Its file counts as damaged, so it
    /// is kept whatever becomes of the rest.
    pub(crate) fn read(
        disk: &dyn Disk,
        logs: &[PathBuf],
        containers: &Path,
        index: &Index,
        reads_around: bool,
    ) -> Result<Self, Error> {
        let mut found = Self { reads_around, ..Self::default() };
        let logs = logs.iter().map(|dir| (FileKind::Log, dir.as_path()));
        for (kind, dir) in logs.chain([(FileKind::Container, containers)]) {
            for (id, path) in list_files(disk, dir, kind)? {
                let file = disk.open(&path).map_err(io_error("open", &path))?;
                found.last_ids[kind as usize] = found.last_ids[kind as usize].max(id);
                let (layouts, incarnation) = (HashMap::new(), None);
                let mut leftover = Leftover {
                    id,
                    path,
                    file,
                    is_damaged: false,
                    incarnation,
                    layouts,
                    is_unresolved: false,
                    marks: Vec::new(),
                    end: (SeqNo(0), 0),
                };
                found.walk(&mut leftover, index)?;
                found.files.push(leftover);
            }
        }
        found.resolve_late(index)?;
        Ok(found)
    }

    fn walk(&mut self, leftover: &mut Leftover, index: &Index) -> Result<(), Error> {
        let mut scan = Scan::new(Arc::clone(&leftover.file), &leftover.path, leftover.id)?;
        while let Some(next) = scan.next()? {
            match next {
                Found::Damage { offset, bytes } => {
                    self.damage.push((leftover.path.clone(), offset, bytes));
                    leftover.is_damaged = true;
                }
                Found::Frame(frame) => self.take(&frame, leftover, index)?,
            }
        }
        leftover.end.1 = scan.offset();
        self.torn_bytes += scan.torn_bytes()?;
        let Some(Unread { bytes, error }) = scan.unread() else { return Ok(()) };
        if !self.reads_around {
            return Err(io_error("read", &leftover.path)(error));
        }
        tracing::error!("{bytes} bytes of {} cannot be read and are passed over: {error}", leftover.path.display());
        leftover.is_damaged = true;
        self.unread.push(leftover.path.clone());
        Ok(())
    }

    /// Looks once more at files with batches that use what only a later frame or another file defines: the frame that was
    /// to define it may be damaged.
    fn resolve_late(&mut self, index: &Index) -> Result<(), Error> {
        let is_short = |left: &Leftover| left.is_unresolved || left.is_damaged;
        for place in (0..self.files.len()).filter(|place| is_short(&self.files[*place])).collect::<Vec<_>>() {
            let of_start = |left: &&Leftover| left.incarnation == self.files[place].incarnation;
            let layouts = self.files.iter().filter(of_start).flat_map(|left| left.layouts.clone()).collect();
            let own = std::mem::replace(&mut self.files[place].layouts, layouts);
            self.files[place].layouts.extend(own);
            if self.files[place].is_unresolved {
                self.resolve_again(place, index)?;
            }
        }
        Ok(())
    }

    /// Takes a file's batches anew, now that all definitions are known.
    fn resolve_again(&mut self, place: usize, index: &Index) -> Result<(), Error> {
        let left = &self.files[place];
        let (layouts, mut scan) = (left.layouts.clone(), Scan::new(Arc::clone(&left.file), &left.path, left.id)?);
        self.runs.retain(|run| run.file != place);
        while let Some(next) = scan.next()? {
            let Found::Frame(frame) = next else { continue };
            if frame.header.kind == Kind::Batch && self.resolves(decode_batch(&frame.payload)?.1, &layouts, index)? {
                self.add_batch(&frame, place);
            }
        }
        Ok(())
    }

    fn take(&mut self, frame: &Frame<'_>, leftover: &mut Leftover, index: &Index) -> Result<(), Error> {
        let header = &frame.header;
        let (incarnation, to) = (header.place.incarnation, header.number);
        self.safe = self.safe.max(header.safe);
        self.largest = self.largest.max(to);
        leftover.incarnation = Some(incarnation);
        leftover.mark(to, header.place.offset);
        match header.kind {
            Kind::Batch | Kind::PackedBatch => {
                let (definitions, rows) = decode_batch(&frame.payload)?;
                self.define(&definitions, index);
                leftover.define(definitions);
                match self.resolves(rows, &leftover.layouts, index)? {
                    true => self.add_batch(frame, self.files.len()),
                    false => leftover.is_unresolved = true,
                }
            }
            Kind::Commit => {
                let (commit, first) = decode_commit(&frame.payload)?;
                self.define(&commit.definitions, index);
                leftover.define(commit.definitions);
                let offset = header.place.offset + (FRAME_HEADER_SIZE + first) as u64;
                let failed = |source| Error::Part { action: "read page of", path: leftover.path.clone(), source };
                self.commits.push(PagesAt {
                    span: Span { incarnation, from: commit.after.next(), to },
                    file: self.files.len(),
                    offset,
                    pages: summarize(&commit.pages, offset, &frame.payload[first..]).map_err(failed)?,
                    uses: commit.uses,
                    samples: header.samples,
                });
            }
            Kind::Void => {
                let from = decode_void(&frame.payload, to)?;
                self.voids.push(Span { incarnation, from, to });
            }
        }
        Ok(())
    }

    /// Adds a batch to the run before it, or begins one.
    fn add_batch(&mut self, frame: &Frame<'_>, file: usize) {
        let (place, number) = (frame.header.place, frame.header.number);
        let follows = |run: &&mut Run| {
            run.file == file && run.span.incarnation == place.incarnation && run.span.to.next() == number
        };
        match self.runs.last_mut().filter(follows) {
            Some(run) => (run.span.to, run.samples) = (number, frame.header.samples),
            None => {
                let span = Span { incarnation: place.incarnation, from: number, to: number };
                self.runs.push(Run { span, file, offset: place.offset, samples: frame.header.samples });
            }
        }
    }

    /// Adds streams to the index.
    fn define(&mut self, definitions: &Definitions, index: &Index) {
        for stream in &definitions.streams {
            self.largest_stream = self.largest_stream.max(stream.id.0);
            // A limit on tables would have refused the stream when it was new; a lower one since makes it unknown.
            if let Ok(table) = index.schema.intern_table(stream.key.measurement()) {
                index.streams.add(stream.id, &stream.key, table);
            }
        }
    }

    /// Whether everything a batch's rows refer to is known.
    fn resolves(
        &mut self,
        rows: &[u8],
        layouts: &HashMap<LayoutId, LayoutDefinition>,
        index: &Index,
    ) -> Result<bool, stage::Error> {
        let (mut known_layouts, mut known_streams, mut last) = (true, true, None);
        self.decoder.references(
            rows,
            |layout| known_layouts &= layouts.contains_key(&layout),
            |stream| {
                if last != Some(stream) {
                    known_streams &= index.streams.table(stream).is_some();
                    last = Some(stream);
                }
            },
        )?;
        Ok(known_layouts && known_streams)
    }

    /// Where the sequence ends.
    ///
    /// `promised` is the highest number that the ledger calls safe: a frame tells only of what was safe before it.
    pub(crate) fn verdict(&self, state: &State, promised: SeqNo) -> Verdict {
        let runs = self.runs.iter().filter_map(|run| state.before_end(run.span));
        let spans = runs.chain(self.commits.iter().map(|commit| commit.span)).collect();
        Verdict::new(state, self.safe.max(promised), spans, self.voids.clone())
    }

    /// The last number up to `end` of which a frame tells how many samples had been accepted with it, and how many.
    pub(crate) fn samples_at(&self, end: SeqNo) -> Option<(SeqNo, u64)> {
        let runs = self.runs.iter().map(|run| (run.span.to, run.samples));
        let all = runs.chain(self.commits.iter().map(|commit| (commit.span.to, commit.samples)));
        all.filter(|(to, _)| *to <= end).max()
    }

    /// Writes the frames with numbers behind one once more, as they are: after a failed sync the kernel may show what the
    /// disk never got, and the next sync would say that all is well.
    pub(crate) fn write_again(&self, behind: SeqNo) -> Result<(), Error> {
        let mut piece = vec![0; PIECE as usize];
        for left in &self.files {
            let mut unread_blocks = 0;
            for chunk in stretches(left.behind(behind), PIECE) {
                if self.write_stretch_again(left, &chunk, &mut piece)? {
                    continue;
                }
                for block in stretches(chunk, BLOCK) {
                    if unread_blocks < UNREAD_BLOCKS_MAX && !self.write_stretch_again(left, &block, &mut piece)? {
                        unread_blocks += 1;
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether that could be read; an error where it had to be.
    fn write_stretch_again(&self, left: &Leftover, stretch: &Range<u64>, piece: &mut [u8]) -> Result<bool, Error> {
        let piece = &mut piece[..(stretch.end - stretch.start) as usize];
        match left.file.read_exact_at(piece, stretch.start) {
            Err(error) if self.reads_around && disk::is_unreadable(&error) => return Ok(false),
            read => read.map_err(io_error("read", &left.path))?,
        }
        left.file.write_at(piece, stretch.start).map_err(io_error("write again", &left.path))?;
        Ok(true)
    }

    /// Makes what is there durable: a crash of the process alone may have left it in the page cache only.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        self.files.iter().try_for_each(|left| left.file.sync_data().map_err(io_error("sync", &left.path)))
    }
}

/// How much each page holds: its frame was just read and checked, so it need not be read again before it is asked for.
fn summarize(pages: &[Page], base: u64, bytes: &[u8]) -> Result<Vec<(Page, Summary)>, parts::Error> {
    let summarize = |page: &Page| {
        let image = &bytes[page.offset as usize..(page.offset + page.size) as usize];
        Ok((*page, parts::summarize(image, base + page.offset)?))
    };
    pages.iter().map(summarize).collect()
}

/// A stretch of bytes, in stretches of at most `size`.
fn stretches(whole: Range<u64>, size: u64) -> impl Iterator<Item = Range<u64>> {
    whole.clone().step_by(size as usize).map(move |start| start..whole.end.min(start + size))
}
