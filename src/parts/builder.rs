//! Streams in, a part image out.

use std::{collections::HashMap, sync::Arc};

use crate::{
    codec::Level,
    model::StreamId,
    parts::{
        Error, Footer, Sink, Summary, Table, frame,
        image::{self, Directory, Footing, PageRef},
        page::{self, Column, Entry},
        store::Store,
        table::TableBuilder,
    },
};

/// Field columns from which an index page is full: about 30 KiB raw, which unpack in some 50 µs.
const PAGE_COLUMNS: usize = 512;

/// How a part is written.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// `Full` for files that stay; `Light` (cheaper to write, no aggregates) for images soon compacted.
    pub level: Level,
}

/// Writes a part image to a sink. After an error it is of no more use.
///
/// Memory: what the sink buffers, the open gathers (8,192 rows each, one per set of fields, at most 64), the index
/// entries of the current table (about 100 bytes a column), packed index pages, and 32 bytes per distinct payload up to
/// 32 MiB.
pub struct Builder<S> {
    store: Store<S>,
    options: Options,
    names: Names,
    table: Option<TableBuilder>,
    index: Index,
    summary: Summary,
}

impl<S: Sink> Builder<S> {
    /// Begins an image where the sink stands.
    pub fn new(sink: S, options: Options) -> Result<Self, Error> {
        let mut store = Store::new(sink, options.level);
        store.append(&image::header())?;
        let summary =
            Summary { len: 0, streams: 0, rows: 0, samples: 0, blocks: 0, min_time: i64::MAX, max_time: i64::MIN };
        Ok(Self { store, options, names: Names::default(), table: None, index: Index::default(), summary })
    }

    /// Takes an aligned group: fields (ascending by name) of one stream with exactly these times (ascending, unique).
    ///
    /// Tables come in ascending order of name, streams in ascending order of id. A stream may be pushed several times
    /// in a row: other fields at other times, or more of the same, then later than what it has of them. A group without
    /// rows or fields is skipped.
    ///
    /// # Panics
    /// Where the order is broken or a column is not as long as the times.
    pub fn push(
        &mut self,
        table: &str,
        stream: StreamId,
        times: &[i64],
        fields: &[(&str, &[f64])],
    ) -> Result<(), Error> {
        let ([start, ..], [.., end], [_, ..]) = (times, times, fields) else { return Ok(()) };
        assert!(times.is_sorted_by(|a, b| a < b), "times ascend and are unique");
        assert!(fields.iter().all(|(_, values)| values.len() == times.len()), "a value per time and field");
        self.enter_table(table)?;
        let table = self.table.as_mut().expect("just entered");
        self.summary.streams += u64::from(table.enter_stream(stream));
        self.summary.rows += times.len() as u64;
        self.summary.samples += (times.len() * fields.len()) as u64;
        self.summary.min_time = self.summary.min_time.min(*start);
        self.summary.max_time = self.summary.max_time.max(*end);
        table.push(times, fields, &mut self.names, &mut self.store)
    }

    /// Ends the image. Nothing is synced.
    pub fn finish(mut self, footer: Footer) -> Result<Summary, Error> {
        self.finish_table()?;
        self.index.finish_page();
        let pages_at = self.store.offset();
        self.store.append(&self.index.packed)?;
        let mut directory = Directory { fields: self.names.fields, tables: self.names.tables, pages: self.index.pages };
        directory.pages.iter_mut().for_each(|page| page.column.offset += pages_at);
        let (packed, directory_raw_size) = image::pack(&directory.encode());
        let directory = Column { offset: 0, size: size_of_page(&packed), crc: crc32fast::hash(&packed) };
        let footing = Footing { footer, summary: self.summary, directory, directory_raw_size };
        self.store.append(&footing.tail(&packed, self.store.offset()))?;
        if self.options.level == Level::Full {
            let end = self.store.offset();
            let at = frame::second_at(end);
            self.store.append(&vec![0; (at - end) as usize])?;
            self.store.append(&footing.tail(&packed, at))?;
        }
        self.store.flush()?;
        Ok(Summary { len: self.store.offset(), ..self.summary })
    }

    fn enter_table(&mut self, name: &str) -> Result<(), Error> {
        let before = self.names.tables.last().map(|table| &*table.name);
        if before == Some(name) {
            return Ok(());
        }
        assert!(before.is_none_or(|before| before < name), "tables ascend by name");
        self.finish_table()?;
        let number = self.names.tables.len() as u32;
        self.table = Some(TableBuilder::new(number, self.options.level == Level::Full));
        self.names.tables.push(Table { name: Arc::from(name), fields: Vec::new() });
        Ok(())
    }

    fn finish_table(&mut self) -> Result<(), Error> {
        let Some(table) = self.table.take() else { return Ok(()) };
        let (entries, fields) = table.finish(&mut self.store)?;
        self.names.tables.last_mut().expect("the current table is the last").fields = fields;
        self.summary.blocks += entries.len() as u64;
        entries.into_iter().for_each(|entry| self.index.push(entry));
        Ok(())
    }
}

/// The dictionary: fields get numbers in the order they are first seen.
#[derive(Default)]
pub(super) struct Names {
    fields: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u32>,
    tables: Vec<Table>,
}

impl Names {
    /// The number of a field, and the one copy of its name.
    pub(super) fn field(&mut self, name: &str) -> (u32, Arc<str>) {
        if let Some((name, &number)) = self.numbers.get_key_value(name) {
            return (number, name.clone());
        }
        let (name, number) = (Arc::<str>::from(name), self.fields.len() as u32);
        self.fields.push(name.clone());
        self.numbers.insert(name.clone(), number);
        (number, name)
    }
}

/// Index pages on their way into the image, packed as soon as they are full.
#[derive(Default)]
struct Index {
    entries: Vec<Entry>,
    columns: usize,
    packed: Vec<u8>,
    /// Offsets count from the first page.
    pages: Vec<PageRef>,
}

impl Index {
    fn push(&mut self, entry: Entry) {
        self.columns += entry.fields.len();
        self.entries.push(entry);
        if self.columns >= PAGE_COLUMNS {
            self.finish_page();
        }
    }

    fn finish_page(&mut self) {
        let entries = std::mem::take(&mut self.entries);
        self.columns = 0;
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return };
        let (packed, raw_size) = image::pack(&page::encode(&entries));
        let mut page = PageRef {
            column: Column {
                offset: self.packed.len() as u64,
                size: size_of_page(&packed),
                crc: crc32fast::hash(&packed),
            },
            raw_size,
            entries: entries.len() as u32,
            tables: (first.table, last.table),
            streams: (u32::MAX, 0),
            times: (i64::MAX, i64::MIN),
        };
        for entry in &entries {
            page.streams = (page.streams.0.min(entry.streams.first().0), page.streams.1.max(entry.streams.last().0));
            page.times = (page.times.0.min(entry.min_time), page.times.1.max(entry.max_time));
        }
        self.packed.extend_from_slice(&packed);
        self.pages.push(page);
    }
}

fn size_of_page(packed: &[u8]) -> u32 {
    u32::try_from(packed.len()).expect("a page or directory is far below 4 GiB")
}
