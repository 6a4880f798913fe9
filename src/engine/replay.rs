//! Putting back what counts and is not in parts yet.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{
    Error, Span, StoredPart, Verdict,
    flushing::NewFields,
    recover::{Leftover, PagesAt, Run, StageContents},
};
use crate::{
    durability::Generations,
    index::Index,
    memtable::{Memtable, Writer},
    model::{Batch, Day, LayoutId, Rows, SeqNo},
    parts::{self, Part},
    stage::{Found, Kind, LayoutDefinition, RowsDecoder, Scan, decode_batch},
};

/// What of the stage is put back. Pure: decided from what was found, before anything is done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Batches, by number. No number comes twice: a group whose write failed may stand in two files.
    pub(crate) pieces: Vec<Piece>,
    /// The commits whose pages count, by their place in the stage's list.
    pub(crate) commits: Vec<usize>,
}

/// Batches of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// The run's place in the stage's list.
    pub(crate) run: usize,
    /// The first and the last number.
    pub(crate) numbers: (SeqNo, SeqNo),
    /// Not of one generation with the piece before: the numbers of generations and of pages never interleave.
    pub(crate) is_apart: bool,
}

impl Plan {
    /// What counts by the verdict, and has a number above `flushed`.
    pub(crate) fn new(runs: &[Run], commits: &[PagesAt], verdict: &Verdict, flushed: SeqNo) -> Self {
        let mut plan = Self::default();
        let counts = |span: Span| span.to > flushed && verdict.keeps(span);
        plan.commits = (0..commits.len()).filter(|index| counts(commits[*index].span)).collect();
        let covered: Vec<_> = plan.commits.iter().map(|index| commits[*index].span.numbers()).collect();
        let mut holes = [&verdict.voids[..], &covered].concat();
        holes.sort_unstable();
        let mut order: Vec<usize> = (0..runs.len()).collect();
        order.sort_by_key(|run| (runs[*run].span.from, *run));
        let mut next = flushed.next();
        for run in order {
            let Some((from, to)) = verdict.kept(runs[run].span) else { continue };
            for numbers in without((from.max(next), to), &holes) {
                plan.add(run, runs, numbers, &covered);
            }
            next = next.max(to.next());
        }
        plan
    }

    fn add(&mut self, run: usize, runs: &[Run], numbers: (SeqNo, SeqNo), covered: &[(SeqNo, SeqNo)]) {
        let is_apart = self.pieces.last().is_some_and(|before| {
            let between = before.numbers.1..numbers.0;
            runs[before.run].span.incarnation != runs[run].span.incarnation
                || covered.iter().any(|pages| between.contains(&pages.0))
        });
        self.pieces.push(Piece { run, numbers, is_apart });
    }

    /// How many batches it puts back.
    pub(crate) fn batches(&self, commits: &[PagesAt], flushed: SeqNo) -> u64 {
        let count = |(first, last): (SeqNo, SeqNo)| last.0 - first.0.max(flushed.0 + 1) + 1;
        let pieces = self.pieces.iter().map(|piece| count(piece.numbers));
        pieces.chain(self.commits.iter().map(|index| count(commits[*index].span.numbers()))).sum()
    }
}

/// A range of numbers without the holes, which are sorted.
fn without(range: (SeqNo, SeqNo), holes: &[(SeqNo, SeqNo)]) -> Vec<(SeqNo, SeqNo)> {
    let (mut from, to) = range;
    let mut rest = Vec::new();
    for (first, last) in holes.iter().copied().filter(|(first, last)| *last >= range.0 && *first <= to) {
        if from < first {
            rest.push((from, SeqNo(first.0 - 1)));
        }
        from = from.max(last.next());
    }
    if from <= to {
        rest.push((from, to));
    }
    rest
}

/// Carries a plan out.
pub(crate) struct Replay<'e> {
    pub(crate) index: &'e Index,
    pub(crate) memtable: &'e Memtable,
    pub(crate) generations: &'e Generations,
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
    /// Batches to generations, pages to part images.
    pub(crate) fn run(&self, stage: &StageContents, plan: &Plan) -> Result<Replayed, Error> {
        let mut replayed = Replayed::default();
        for index in &plan.commits {
            self.open_pages(&stage.commits[*index], &stage.files, &mut replayed)?;
        }
        let mut writer = None;
        for piece in &plan.pieces {
            if piece.is_apart {
                writer = None;
            }
            self.read(piece, stage, &mut writer, &mut replayed)?;
        }
        Ok(replayed)
    }

    /// Reads the batches of a piece into generations.
    fn read(
        &self,
        piece: &Piece,
        stage: &StageContents,
        writer: &mut Option<Writer>,
        replayed: &mut Replayed,
    ) -> Result<(), Error> {
        let run = &stage.runs[piece.run];
        let leftover = &stage.files[run.file];
        let layouts = self.layouts(&leftover.layouts);
        let mut scan = Scan::starting_at(Arc::clone(&leftover.file), &leftover.path, leftover.id, run.offset)?;
        let mut decoder = RowsDecoder::default();
        while let Some(found) = scan.next()? {
            let Found::Frame(frame) = found else { continue };
            let (number, kind) = (frame.header.number, frame.header.kind);
            if kind == Kind::Batch && (piece.numbers.0..=piece.numbers.1).contains(&number) {
                let batch = decoder.decode(decode_batch(&frame.payload)?.1)?;
                self.insert(writer, number, &self.localize(batch, &layouts, replayed));
            }
            if number >= piece.numbers.1 {
                break;
            }
        }
        Ok(())
    }

    fn layouts(&self, defined: &[LayoutDefinition]) -> Layouts {
        let mut layouts = Layouts::new();
        for layout in defined {
            let fields: Vec<&str> = layout.fields.iter().map(|field| &**field).collect();
            // This process numbers names in an order of its own, so a layout's fields may come in another order here.
            if let Ok(local) = self.index.layout(&layout.table, &fields) {
                layouts.insert(layout.id, local);
            }
        }
        layouts
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

    /// Appends a batch to the open generation, or to a new one where there is none or it is full.
    fn insert(&self, writer: &mut Option<Writer>, number: SeqNo, batch: &Batch) {
        if writer.as_ref().is_none_or(|writer| writer.is_full(number)) {
            let (new, generation) = self.memtable.generation(number);
            self.generations.push(&generation);
            *writer = Some(new);
        }
        let writer = writer.as_mut().expect("set above if it was not");
        writer.insert(number, batch, |stream, layout| {
            self.index.streams.note_layout(stream, self.index.schema.layout(layout));
        });
    }

    /// Opens the pages of a commit as they are.
    fn open_pages(&self, commit: &PagesAt, files: &[Leftover], replayed: &mut Replayed) -> Result<(), Error> {
        let leftover = &files[commit.file];
        for page in &commit.pages {
            let failed = |source| Error::Part { action: "open page of", path: leftover.path.clone(), source };
            let base = commit.offset + page.offset;
            let part = Arc::new(Part::open(Arc::clone(&leftover.file), base, page.size).map_err(failed)?);
            self.note_fields(&part, replayed.page_fields.entry(page.day).or_default()).map_err(failed)?;
            let numbers = commit.span.numbers();
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
