//! An open part: its footer and directory, and which blocks a query needs.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use roaring::RoaringBitmap;

use crate::{
    codec,
    disk::File,
    model::{StreamId, TimeRange},
    parts::{
        Aggregates, BlockReader, Damage, Error, Fault, Footer, Image, Place, Scan, Summary, Table,
        frame::{self, Frame, ImageReader, malformed},
        image::{self, Directory, Footing, HEADER_SIZE, PageRef, TRAILER_SIZE},
        page::{self, Column, Entry, FieldColumn, Streams, Values},
    },
};

/// A part image, open for reading by any number of threads.
///
/// Memory: names and 80 bytes per index page (a page covers some 500 columns, that is up to 4 M samples), and the pages
/// that `blocks` has looked at, unpacked: about 100 bytes per column. [`Part::forget_pages`] lets those go. Of a damaged
/// page or column, 64 bytes: it is not read again.
pub struct Part {
    file: Arc<dyn File>,
    base: u64,
    image: Image,
    footing: Footing,
    summary: Summary,
    directory: Directory,
    /// Field numbers in the order of their names.
    fields_by_name: Vec<u32>,
    pages: Mutex<Vec<Option<Arc<Vec<Entry>>>>>,
    /// What is wrong with columns and pages that were found damaged, by their first byte.
    damaged: Mutex<BTreeMap<u64, Error>>,
}

/// A field's number in one part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldRef(pub(super) u32);

/// A block that may hold what was asked for. Keeps its index page in memory.
#[derive(Clone, Debug)]
pub struct BlockRef {
    page: Arc<Vec<Entry>>,
    page_number: usize,
    index: usize,
}

/// Reads how much an image holds from its bytes, all of them; `base` is where in its file it begins. Errors as
/// [`Part::open`].
pub fn summarize(bytes: &[u8], base: u64) -> Result<Summary, Error> {
    let image = Image { part: None, base };
    let len = bytes.len() as u64;
    let header = bytes.first_chunk().ok_or(Error::CutShort { image, len })?;
    frame::check_header(image, header)?;
    let footing = frame::read_footing(image, len, bytes)?;
    Ok(Summary { len, ..footing.summary })
}

impl Part {
    /// Opens the image of `len` bytes that begins at byte `base` of a file: checks its frame, reads footer and
    /// directory. Errors tell a file that is no part, of another version, cut short, or damaged. A damaged header, and bytes
    /// behind the image, do no harm; a damaged tail does none where there is another.
    pub fn open(file: Arc<dyn File>, base: u64, len: u64) -> Result<Self, Error> {
        let mut image = Image { part: None, base };
        let there = file.size().map_err(|source| Error::Read { image, offset: 0, source })?.saturating_sub(base);
        let cut_short = || Error::CutShort { image, len: len.min(there) };
        if there < len || len < (HEADER_SIZE + TRAILER_SIZE) as u64 {
            return Err(cut_short());
        }
        let Frame { footing, directory } = Frame::read(&ImageReader { file: &*file, image }, len)?;
        image.part = Some(footing.footer.part);
        let mut fields_by_name: Vec<u32> = (0..directory.fields.len() as u32).collect();
        fields_by_name.sort_by_key(|&field| &directory.fields[field as usize]);
        Ok(Self {
            base,
            image,
            summary: Summary { len, ..footing.summary },
            footing,
            fields_by_name,
            pages: Mutex::new(vec![None; directory.pages.len()]),
            damaged: Mutex::default(),
            directory,
            file,
        })
    }

    /// Who the part is.
    pub fn footer(&self) -> &Footer {
        &self.footing.footer
    }

    /// How much it holds.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Where in its file the image begins.
    pub fn base(&self) -> u64 {
        self.base
    }

    /// The tables and their fields, by name.
    pub fn tables(&self) -> &[Table] {
        &self.directory.tables
    }

    /// The number of a field, if any table of this part has it.
    pub fn field(&self, name: &str) -> Option<FieldRef> {
        let fields = &self.directory.fields;
        let place = self.fields_by_name.binary_search_by(|&field| (*fields[field as usize]).cmp(name)).ok()?;
        Some(FieldRef(self.fields_by_name[place]))
    }

    /// The name of a field of this part.
    pub fn field_name(&self, field: FieldRef) -> &Arc<str> {
        &self.directory.fields[field.0 as usize]
    }

    /// The blocks of a table that may hold rows of these streams, of any of these fields (`None`: of all), in `range`.
    /// In the order of the index: for one stream and field, disjoint and ascending in time. Index pages that may name such
    /// blocks and cannot be read are passed over, and added to `damage`.
    pub fn blocks(
        &self,
        table: &str,
        streams: &RoaringBitmap,
        fields: Option<&[FieldRef]>,
        range: TimeRange,
        damage: &mut Vec<Damage>,
    ) -> Vec<BlockRef> {
        let Ok(table) = self.directory.tables.binary_search_by(|probe| (*probe.name).cmp(table)) else {
            return Vec::new();
        };
        let table = table as u32;
        let any_of = |(min, max): (u32, u32)| min <= max && streams.range(min..=max).next().is_some();
        let mut blocks = Vec::new();
        for (number, page) in self.directory.pages.iter().enumerate() {
            let in_page = page.tables.0 <= table && table <= page.tables.1;
            if !in_page || !range.overlaps(page.times.0, page.times.1) || !any_of(page.streams) {
                continue;
            }
            let page = match self.page(number) {
                Ok(page) => page,
                Err(error) => {
                    damage.push(self.page_damage(number, error));
                    continue;
                }
            };
            let wanted = |entry: &Entry| {
                entry.table == table
                    && range.overlaps(entry.min_time, entry.max_time)
                    && fields.is_none_or(|fields| fields.iter().any(|field| entry.field(field.0).is_some()))
                    && any_of((entry.streams.first().0, entry.streams.last().0))
            };
            let from = page.partition_point(|entry| entry.table < table);
            let to = page.partition_point(|entry| entry.table <= table);
            let hits = (from..to).filter(|&index| wanted(&page[index]));
            blocks.extend(hits.map(|index| BlockRef { page: page.clone(), page_number: number, index }));
        }
        blocks
    }

    /// Reads blocks of this part, these fields of each.
    pub fn reader(&self, fields: &[FieldRef]) -> BlockReader<'_> {
        BlockReader::new(self, fields)
    }

    /// Everything, in (table, stream) order.
    pub fn scan(&self) -> Scan<'_> {
        Scan::new(self)
    }

    /// What of the header and of the two tails is not as it should be, each with what belongs there. Reads them.
    pub fn faults(&self) -> Result<Vec<Fault>, Error> {
        let reader = ImageReader { file: &*self.file, image: self.image };
        Frame::faults(&self.footing, &self.directory, &reader, self.summary.len)
    }

    /// Lets go of the unpacked index pages, except those that a [`BlockRef`] holds; they are read again when needed.
    pub fn forget_pages(&self) {
        self.pages.lock().fill(None);
    }

    /// A page from the cache, read into it if need be.
    fn page(&self, number: usize) -> Result<Arc<Vec<Entry>>, Error> {
        if let Some(page) = &self.pages.lock()[number] {
            return Ok(page.clone());
        }
        let page = Arc::new(self.read_page(number)?);
        self.pages.lock()[number] = Some(page.clone());
        Ok(page)
    }

    pub(super) fn page_count(&self) -> usize {
        self.directory.pages.len()
    }

    pub(super) fn page_ref(&self, number: usize) -> &PageRef {
        &self.directory.pages[number]
    }

    /// A page's entries, not cached. Tables and fields are in the directory, and entries in order.
    pub(super) fn read_page(&self, number: usize) -> Result<Vec<Entry>, Error> {
        let page = &self.directory.pages[number];
        let mut bytes = Vec::new();
        self.payload("index page", page.column, &mut bytes)?;
        let entries = image::unpack(&bytes, page.raw_size).and_then(|raw| page::decode(&raw));
        let entries = entries.and_then(|entries| self.check_entries(page, entries));
        entries.map_err(|source| self.malformed("index page", page.column.offset, source))
    }

    fn check_entries(&self, page: &PageRef, entries: Vec<Entry>) -> Result<Vec<Entry>, codec::Error> {
        let tables = self.directory.tables.len() as u32;
        let fields = self.directory.fields.len() as u32;
        let known = |entry: &Entry| entry.table < tables && entry.fields.iter().all(|column| column.field < fields);
        if entries.len() != page.entries as usize || !entries.iter().all(known) {
            return Err(codec::Error::Invalid("entries unlike the directory"));
        }
        if !entries.is_sorted_by_key(|entry| (entry.table, entry.streams.first())) {
            return Err(codec::Error::Invalid("entries out of order"));
        }
        Ok(entries)
    }

    /// What a page that cannot be read takes with it.
    pub(super) fn page_damage(&self, number: usize, error: Error) -> Damage {
        let page = &self.directory.pages[number];
        let tables = self.directory.tables.get(page.tables.0 as usize..=page.tables.1 as usize).unwrap_or_default();
        let tables = tables.iter().map(|table| table.name.clone()).collect();
        Damage { place: Place::Page(number), blocks: page.entries.into(), rows: None, times: page.times, tables, error }
    }

    /// What a block that cannot be read takes with it, or what it takes without some of its columns.
    pub(super) fn block_damage(&self, place: Place, entry: &Entry, error: Error) -> Damage {
        let tables = vec![self.directory.tables[entry.table as usize].name.clone()];
        let times = (entry.min_time, entry.max_time);
        Damage { place, blocks: 1, rows: Some(u64::from(entry.rows)), times, tables, error }
    }

    /// Reads a payload into `bytes` and checks it; not again where it was found damaged.
    pub(super) fn payload(&self, what: &'static str, column: Column, bytes: &mut Vec<u8>) -> Result<(), Error> {
        if let Some(error) = self.damaged.lock().get(&column.offset).and_then(Error::again) {
            return Err(error);
        }
        let reader = ImageReader { file: &*self.file, image: self.image };
        reader.payload(what, column, self.summary.len, bytes).inspect_err(|error| self.remember(column.offset, error))
    }

    pub(super) fn malformed(&self, what: &'static str, offset: u64, source: codec::Error) -> Error {
        let error = malformed(self.image, what, offset, source);
        self.remember(offset, &error);
        error
    }

    fn remember(&self, offset: u64, error: &Error) {
        if let Some(error) = error.again() {
            self.damaged.lock().insert(offset, error);
        }
    }
}

impl BlockRef {
    pub(super) fn entry(&self) -> &Entry {
        &self.page[self.index]
    }

    /// Where it stands in the index.
    pub(super) fn place(&self) -> Place {
        Place::Block(self.page_number, self.index)
    }

    /// How many rows it has, of all its streams together.
    pub fn rows(&self) -> u32 {
        self.entry().rows
    }

    /// Its first and last timestamp.
    pub fn times(&self) -> (i64, i64) {
        (self.entry().min_time, self.entry().max_time)
    }

    /// The stream, where it holds one only.
    pub fn single(&self) -> Option<StreamId> {
        match self.entry().streams {
            Streams::One(stream) => Some(stream),
            Streams::Many { .. } => None,
        }
    }

    /// The smallest and largest id of its streams.
    pub fn stream_bounds(&self) -> (StreamId, StreamId) {
        (self.entry().streams.first(), self.entry().streams.last())
    }

    /// Whether it has the field.
    pub fn has(&self, field: FieldRef) -> bool {
        self.entry().field(field.0).is_some()
    }

    /// What it takes to read these fields of it: samples, and bytes of their columns and of those that all fields share.
    pub fn cost(&self, fields: &[FieldRef]) -> (u64, u64) {
        let entry = self.entry();
        let columns = fields.iter().filter_map(|field| entry.field(field.0));
        let stored = |column: &FieldColumn| if let Values::Stored(place) = column.values { place.size } else { 0 };
        let streams = if let Streams::Many { column, .. } = entry.streams { column.size } else { 0 };
        let shared = u64::from(entry.times.size) + u64::from(streams);
        let bytes = columns.clone().map(|column| u64::from(stored(column))).sum::<u64>();
        (columns.count() as u64 * u64::from(entry.rows), shared + bytes)
    }

    /// The field's aggregates, where the index has them: blocks of one stream, written at the full level, without NaN
    /// other than stale markers.
    pub fn aggregates(&self, field: FieldRef) -> Option<Aggregates> {
        self.entry().field(field.0)?.aggregates
    }
}
