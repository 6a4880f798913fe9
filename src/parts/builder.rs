//! Streams in, a part image out.

use std::{collections::HashMap, ops::Range, sync::Arc};

use crate::{
    codec::Level,
    model::StreamId,
    parts::{
        Aggregates, BLOCK_ROWS_MAX, Error, Footer, SINGLE_ROWS_MIN, Sink, Summary, Table,
        gather::Gather,
        image::{self, Directory, Footing, PageRef},
        page::{self, Column, Entry, FieldColumn, Streams},
        store::Store,
    },
};

/// Gathers open at a time, one per set of fields; the fullest is written when there are more. Bounds memory in a table
/// whose streams have no fields in common.
const GATHERS_MAX: usize = 64;
/// Field columns from which an index page is full: about 30 KiB raw, which unpack in some 50 µs.
const PAGE_COLUMNS: usize = 512;

/// How a part is written.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// `Full` for files that stay; `Light` (cheaper to write, no aggregates) for images soon compacted.
    pub level: Level,
}

/// Writes a part image to a sink.
///
/// Memory: what the sink buffers, the open gathers (8,192 rows each, per set of fields), the index entries of the
/// current table (about 100 bytes a column), packed index pages, and 32 bytes per distinct payload up to 32 MiB.
pub struct Builder<S> {
    store: Store<S>,
    options: Options,
    names: Names,
    table: Option<CurrentTable>,
    index: Index,
    summary: Summary,
}

/// The table being pushed.
struct CurrentTable {
    number: u32,
    stream: Option<StreamId>,
    /// The sets of fields pushed so far, and the open gather of each.
    sets: Vec<FieldSet>,
    /// Counts streams, so that `ends` needs no clearing.
    turn: u64,
    /// Per field number: in which turn it was last pushed, and its last timestamp then.
    ends: Vec<(u64, i64)>,
    entries: Vec<Entry>,
}

struct FieldSet {
    names: Vec<Arc<str>>,
    numbers: Vec<u32>,
    gather: Option<Gather>,
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
        assert!(fields.is_sorted_by(|a, b| a.0 < b.0), "fields ascend by name");
        assert!(fields.iter().all(|(_, values)| values.len() == times.len()), "a value per time and field");
        self.enter_table(table)?;
        let current = self.table.as_mut().expect("just entered");
        self.summary.streams += u64::from(current.enter_stream(stream));
        let set = current.set(fields, &mut self.names);
        let continues = current.advance(set, *start, *end);

        self.summary.rows += times.len() as u64;
        self.summary.samples += (times.len() * fields.len()) as u64;
        self.summary.min_time = self.summary.min_time.min(*start);
        self.summary.max_time = self.summary.max_time.max(*end);
        // A later group of a field must lie behind the earlier one in the index, where gathered blocks come first.
        if times.len() < SINGLE_ROWS_MIN && !continues {
            return self.gather(set, stream, times, fields);
        }
        let numbers = current.sets[set].numbers.clone();
        for rows in cut(times.len()) {
            let columns = numbers.iter().zip(fields).map(|(&field, (_, values))| (field, &values[rows.clone()]));
            self.write_single(stream, &times[rows.clone()], columns)?;
        }
        Ok(())
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
        let column = Column { offset: self.store.offset(), size: size_of_page(&packed), crc: crc32fast::hash(&packed) };
        self.store.append(&packed)?;
        let footing = Footing { footer, summary: self.summary, directory: column, directory_raw_size }.encode();
        self.store.append(&footing)?;
        self.store.append(&image::trailer(&footing))?;
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
        self.table = Some(CurrentTable {
            number: self.names.tables.len() as u32,
            stream: None,
            sets: Vec::new(),
            turn: 0,
            ends: Vec::new(),
            entries: Vec::new(),
        });
        self.names.tables.push(Table { name: Arc::from(name), fields: Vec::new() });
        Ok(())
    }

    fn gather(&mut self, set: usize, stream: StreamId, times: &[i64], fields: &[(&str, &[f64])]) -> Result<(), Error> {
        let current = self.table.as_ref().expect("push entered the table");
        match &current.sets[set].gather {
            Some(gather) if !gather.has_room(times.len()) => self.write_gather(set)?,
            Some(_) => {}
            None => self.make_room_for_a_gather()?,
        }
        let set = &mut self.table.as_mut().expect("push entered the table").sets[set];
        set.gather.get_or_insert_with(|| Gather::new(set.numbers.clone())).push(stream, times, fields);
        Ok(())
    }

    fn make_room_for_a_gather(&mut self) -> Result<(), Error> {
        let current = self.table.as_ref().expect("push entered the table");
        let open = || current.sets.iter().enumerate().filter_map(|(set, s)| Some((set, s.gather.as_ref()?.rows())));
        match open().max_by_key(|&(_, rows)| rows) {
            Some((fullest, _)) if open().count() >= GATHERS_MAX => self.write_gather(fullest),
            _ => Ok(()),
        }
    }

    fn write_gather(&mut self, set: usize) -> Result<(), Error> {
        let current = self.table.as_mut().expect("a gather belongs to a table");
        let Some(gather) = current.sets[set].gather.take() else { return Ok(()) };
        if let Some((stream, times)) = gather.only() {
            return self.write_single(stream, times, gather.columns());
        }
        let entry = gather.write(current.number, &mut self.store)?;
        current.entries.push(entry);
        Ok(())
    }

    fn write_single<'a>(
        &mut self,
        stream: StreamId,
        times: &[i64],
        columns: impl Iterator<Item = (u32, &'a [f64])>,
    ) -> Result<(), Error> {
        let current = self.table.as_mut().expect("a block belongs to a table");
        let stamps = self.store.times(times)?;
        let mut fields = Vec::with_capacity(columns.size_hint().0);
        for (field, values) in columns {
            let aggregates = if self.options.level == Level::Full { Aggregates::of(values) } else { None };
            fields.push(FieldColumn { field, values: self.store.values(values)?, aggregates });
        }
        current.entries.push(Entry {
            table: current.number,
            streams: Streams::One(stream),
            rows: times.len() as u32,
            min_time: times[0],
            max_time: times[times.len() - 1],
            times: stamps,
            stamps: times.len() as u32,
            fields,
        });
        Ok(())
    }

    fn finish_table(&mut self) -> Result<(), Error> {
        let sets = self.table.as_ref().map_or(0, |current| current.sets.len());
        for set in 0..sets {
            self.write_gather(set)?;
        }
        let Some(mut current) = self.table.take() else { return Ok(()) };
        current.entries.sort_by_key(|entry| {
            let single = matches!(entry.streams, Streams::One(_));
            (entry.streams.first(), single, entry.min_time)
        });
        self.summary.blocks += current.entries.len() as u64;
        current.entries.into_iter().for_each(|entry| self.index.push(entry));
        let mut fields: Vec<_> = current.sets.into_iter().flat_map(|set| set.names).collect();
        fields.sort_unstable();
        fields.dedup();
        self.names.tables.last_mut().expect("the current table is the last").fields = fields;
        Ok(())
    }
}

impl CurrentTable {
    /// Whether the stream is a new one.
    fn enter_stream(&mut self, stream: StreamId) -> bool {
        if self.stream == Some(stream) {
            return false;
        }
        assert!(self.stream < Some(stream), "streams ascend by id");
        self.stream = Some(stream);
        self.turn += 1;
        true
    }

    /// The place of the set of these fields.
    fn set(&mut self, fields: &[(&str, &[f64])], names: &mut Names) -> usize {
        let same = |set: &FieldSet| set.names.iter().map(|name| &**name).eq(fields.iter().map(|(name, _)| *name));
        if let Some(set) = self.sets.iter().position(same) {
            return set;
        }
        let numbers: Vec<u32> = fields.iter().map(|(name, _)| names.number(name)).collect();
        let names = numbers.iter().map(|&number| names.fields[number as usize].clone()).collect();
        self.sets.push(FieldSet { names, numbers, gather: None });
        self.sets.len() - 1
    }

    /// Notes that the stream has these fields from `start` to `end`, which must lie behind what it has of them; whether
    /// it had any of them before.
    fn advance(&mut self, set: usize, start: i64, end: i64) -> bool {
        let mut continues = false;
        for &field in &self.sets[set].numbers {
            let field = field as usize;
            if self.ends.len() <= field {
                self.ends.resize(field + 1, (0, 0));
            }
            let (turn, before) = self.ends[field];
            assert!(turn != self.turn || before < start, "a field's times ascend across the groups of a stream");
            continues |= turn == self.turn;
            self.ends[field] = (self.turn, end);
        }
        continues
    }
}

/// The dictionary: fields get numbers in the order they are first seen.
#[derive(Default)]
struct Names {
    fields: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u32>,
    tables: Vec<Table>,
}

impl Names {
    fn number(&mut self, field: &str) -> u32 {
        if let Some(&number) = self.numbers.get(field) {
            return number;
        }
        let (name, number) = (Arc::<str>::from(field), self.fields.len() as u32);
        self.fields.push(name.clone());
        self.numbers.insert(name, number);
        number
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

/// `rows` in even pieces of at most `BLOCK_ROWS_MAX`; equal lengths are cut alike, so that their timestamps stay equal.
fn cut(rows: usize) -> impl Iterator<Item = Range<usize>> {
    let blocks = rows.div_ceil(BLOCK_ROWS_MAX);
    (0..blocks).map(move |block| rows * block / blocks..rows * (block + 1) / blocks)
}
