//! Reading the stage after a crash: what is there, what counts, and putting it back.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Error, Span, State, StoredPart, Verdict, flushing::NewFields, io_error};
use crate::{
    disk::{Disk, File},
    durability::Generations,
    index::Index,
    memtable::{Memtable, Writer},
    model::{Batch, Day, LayoutId, Rows, SeqNo},
    parts::{self, Part},
    stage::{
        self, Commit, Definitions, FRAME_HEADER_SIZE, FileKind, Found, Frame, Kind, RowsDecoder, Scan, decode_batch,
        decode_commit, list_files,
    },
};

/// A file of the stage that an earlier incarnation left.
pub(crate) struct Leftover {
    pub(crate) id: u64,
    pub(crate) path: PathBuf,
    file: Arc<dyn File>,
    /// It holds something between valid frames that is none.
    pub(crate) is_damaged: bool,
}

/// What a first walk over the stage finds.
#[derive(Default)]
pub(crate) struct StageContents {
    pub(crate) files: Vec<Leftover>,
    spans: Vec<Span>,
    /// The largest `safe` in any valid frame.
    safe: SeqNo,
    /// The largest number in any valid frame, kept or not.
    pub(crate) largest: SeqNo,
    /// Samples accepted up to each number that ends a span.
    samples: HashMap<SeqNo, u64>,
    /// The largest stream id defined.
    pub(crate) largest_stream: u32,
    /// Bytes that hold something but no valid frame.
    pub(crate) damaged_bytes: u64,
    /// Highest file number of each kind.
    pub(crate) last_ids: [u64; 2],
    decoder: RowsDecoder,
}

impl StageContents {
    /// Walks over all files: checks every frame, remembers what it covers, and takes stream definitions.
    ///
    /// A batch that uses what no frame here and no index part defines does not count: a power cut may keep it and lose the
    /// frame before it, which parts made safe meanwhile.
    pub(crate) fn read(disk: &dyn Disk, wal: &Path, containers: &Path, index: &Index) -> Result<Self, Error> {
        let mut found = Self::default();
        for (kind, dir) in [(FileKind::Log, wal), (FileKind::Container, containers)] {
            for (id, path) in list_files(disk, dir, kind)? {
                let file = disk.open(&path).map_err(io_error("open", &path))?;
                found.last_ids[kind as usize] = found.last_ids[kind as usize].max(id);
                let mut leftover = Leftover { id, path, file, is_damaged: false };
                found.walk(&mut leftover, index)?;
                found.files.push(leftover);
            }
        }
        Ok(found)
    }

    fn walk(&mut self, leftover: &mut Leftover, index: &Index) -> Result<(), Error> {
        let mut layouts = HashSet::new();
        let mut scan = Scan::new(Arc::clone(&leftover.file), &leftover.path, leftover.id)?;
        while let Some(next) = scan.next()? {
            match next {
                Found::Damage { bytes, .. } => {
                    self.damaged_bytes += bytes;
                    leftover.is_damaged = true;
                }
                Found::Frame(frame) => self.take(&frame, &mut layouts, index)?,
            }
        }
        Ok(())
    }

    fn take(&mut self, frame: &Frame, layouts: &mut HashSet<LayoutId>, index: &Index) -> Result<(), Error> {
        let header = &frame.header;
        self.safe = self.safe.max(header.safe);
        self.largest = self.largest.max(header.number);
        match header.kind {
            Kind::Batch => {
                let (definitions, rows) = decode_batch(&frame.payload)?;
                self.define(&definitions, index);
                layouts.extend(definitions.layouts.iter().map(|layout| layout.id));
                if !self.resolves(rows, layouts, index)? {
                    return Ok(());
                }
            }
            Kind::Commit => self.define(&decode_commit(&frame.payload)?.0.definitions, index),
            Kind::Void => {}
        }
        let span = span_of(frame)?;
        self.spans.push(span);
        self.samples.insert(span.to, header.samples);
        Ok(())
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
    fn resolves(&mut self, rows: &[u8], layouts: &HashSet<LayoutId>, index: &Index) -> Result<bool, stage::Error> {
        let (mut known_layouts, mut known_streams, mut last) = (true, true, None);
        self.decoder.references(
            rows,
            |layout| known_layouts &= layouts.contains(&layout),
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
    pub(crate) fn verdict(&self, state: &State) -> Verdict {
        Verdict::new(state, self.safe, self.spans.clone())
    }

    /// Samples accepted up to a number, where a frame says so.
    pub(crate) fn samples_at(&self, number: SeqNo) -> Option<u64> {
        self.samples.get(&number).copied()
    }

    /// How many batches of the stage count.
    pub(crate) fn kept_batches(&self, verdict: &Verdict, flushed: SeqNo) -> u64 {
        let kept = self.spans.iter().filter(|span| verdict.keeps(**span) && span.to > flushed);
        kept.map(|span| span.to.0 - span.from.0.max(flushed.0 + 1) + 1).sum()
    }

    /// Makes what is there durable: a crash of the process alone may have left it in the page cache only.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        self.files.iter().try_for_each(|left| left.file.sync_data().map_err(io_error("sync", &left.path)))
    }
}

/// The numbers a frame covers.
fn span_of(frame: &Frame) -> Result<Span, stage::Error> {
    let (incarnation, to) = (frame.header.place.incarnation, frame.header.number);
    Ok(match frame.header.kind {
        Kind::Batch | Kind::Void => Span { incarnation, from: to, to },
        Kind::Commit => Span { incarnation, from: decode_commit(&frame.payload)?.0.after.next(), to },
    })
}

/// Puts back what counts and is not in parts yet.
pub(crate) struct Replay<'e> {
    pub(crate) index: &'e Index,
    pub(crate) memtable: &'e Memtable,
    pub(crate) generations: &'e Generations,
    pub(crate) verdict: &'e Verdict,
    pub(crate) flushed: SeqNo,
}

/// What came back.
#[derive(Default)]
pub(crate) struct Replayed {
    pub(crate) pages: Vec<Arc<StoredPart>>,
    pub(crate) page_fields: BTreeMap<Day, NewFields>,
    /// Rows whose stream nothing defines any more; only damage can do that.
    pub(crate) orphaned_rows: u64,
}

impl Replay<'_> {
    /// Walks over the files a second time: batches to generations, pages to part images.
    pub(crate) fn run(&self, files: &[Leftover]) -> Result<Replayed, Error> {
        let mut replayed = Replayed::default();
        let mut writer: Option<(u32, Writer)> = None;
        for leftover in files {
            let mut scan = Scan::new(Arc::clone(&leftover.file), &leftover.path, leftover.id)?;
            let mut layouts = Layouts::new();
            let mut decoder = RowsDecoder::default();
            while let Some(next) = scan.next()? {
                let Found::Frame(frame) = next else { continue };
                match frame.header.kind {
                    Kind::Batch => {
                        // Frames that do not count may define what later ones use.
                        let (definitions, rows) = decode_batch(&frame.payload)?;
                        self.define(&definitions, &mut layouts);
                        if self.counts(&frame)? {
                            let batch = self.localize(decoder.decode(rows)?, &layouts, &mut replayed);
                            self.insert(&mut writer, &frame, &batch);
                        }
                    }
                    Kind::Commit if self.counts(&frame)? => self.open_pages(leftover, &frame, &mut replayed)?,
                    Kind::Commit | Kind::Void => {}
                }
            }
        }
        Ok(replayed)
    }

    fn counts(&self, frame: &Frame) -> Result<bool, stage::Error> {
        let span = span_of(frame)?;
        Ok(span.to > self.flushed && self.verdict.keeps(span))
    }

    fn define(&self, definitions: &Definitions, layouts: &mut Layouts) {
        for layout in &definitions.layouts {
            let fields: Vec<&str> = layout.fields.iter().map(|field| &**field).collect();
            // This process numbers names in an order of its own, so a layout's fields may come in another order here.
            if let Ok(local) = self.index.layout(&layout.table, &fields) {
                layouts.insert(layout.id, local);
            }
        }
    }

    /// A batch in this process's layouts and slots.
    fn localize(&self, batch: Batch, layouts: &Layouts, replayed: &mut Replayed) -> Batch {
        let mut local = Batch::default();
        for rows in batch.groups {
            let Some((layout, order)) = layouts.get(&rows.layout).filter(|(_, order)| order.len() == rows.width) else {
                replayed.orphaned_rows += rows.len() as u64;
                continue;
            };
            let mut group = Rows { layout: *layout, width: rows.width, ..Rows::default() };
            for (index, stream) in rows.streams.iter().enumerate() {
                let Some(table) = self.index.streams.table(*stream) else {
                    replayed.orphaned_rows += 1;
                    continue;
                };
                group.places.extend(rows.places.get(index));
                group.streams.push(*stream);
                group.slots.push(self.memtable.catalogue.enter(table, *stream));
                group.times.push(rows.times[index]);
                let values = rows.row(index);
                group.values.extend(order.iter().map(|place| values[usize::from(*place)]));
            }
            local.groups.push(group);
        }
        local
    }

    /// Appends a batch to the open generation; to a new one where that is full or of another incarnation, so that the
    /// numbers of generations and of pages never interleave.
    fn insert(&self, writer: &mut Option<(u32, Writer)>, frame: &Frame, batch: &Batch) {
        let (incarnation, number) = (frame.header.place.incarnation, frame.header.number);
        let fits = |(of, writer): &(u32, Writer)| *of == incarnation && !writer.is_full(number);
        if !writer.as_ref().is_some_and(fits) {
            let (new, generation) = self.memtable.generation(number);
            self.generations.push(&generation);
            *writer = Some((incarnation, new));
        }
        let (_, writer) = writer.as_mut().expect("set above if it was not");
        writer.insert(number, batch, |stream, layout| {
            self.index.streams.note_layout(stream, self.index.schema.layout(layout));
        });
    }

    /// Opens the pages of a commit as they are.
    fn open_pages(&self, leftover: &Leftover, frame: &Frame, replayed: &mut Replayed) -> Result<(), Error> {
        let (Commit { after, pages, .. }, first) = decode_commit(&frame.payload)?;
        let numbers = (after.next(), frame.header.number);
        for page in pages {
            let base = frame.header.place.offset + (FRAME_HEADER_SIZE + first) as u64 + page.offset;
            let failed = |source| Error::Part { action: "open page of", path: leftover.path.clone(), source };
            let part = Arc::new(Part::open(Arc::clone(&leftover.file), base, page.size).map_err(failed)?);
            self.note_fields(&part, replayed.page_fields.entry(page.day).or_default()).map_err(failed)?;
            replayed.pages.push(Arc::new(StoredPart { part, day: page.day, numbers, file: None }));
        }
        Ok(())
    }

    /// Tells the index which fields the streams of a page have.
    fn note_fields(&self, part: &Part, fields: &mut NewFields) -> Result<(), parts::Error> {
        let mut scan = part.scan();
        while let Some(group) = scan.next_group()? {
            let names: Vec<&str> = group.fields().map(|(name, _)| name).collect();
            let Ok((layout, _)) = self.index.layout(group.table, &names) else { continue };
            let layout = self.index.schema.layout(layout);
            if self.index.streams.table(group.stream).is_some() {
                self.index.streams.note_layout(group.stream, layout);
                fields.entry(group.stream).or_default().extend(&layout.fields);
            }
        }
        Ok(())
    }
}

/// A file's layout ids: this process's layout, and where each of its fields stands in the file's rows.
type Layouts = HashMap<LayoutId, (LayoutId, Vec<u16>)>;
