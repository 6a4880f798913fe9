//! The label index.

use std::collections::{BTreeSet, HashMap};

use parking_lot::{RwLock, RwLockReadGuard};
use roaring::RoaringBitmap;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{
    Layout,
    keys::{KeyArena, Sharded, Text},
    postings::{Postings, bitmap_size},
};
use crate::model::{FieldId, METRIC_NAME, StreamId, StreamKey, TableId};

/// All streams this process knows, with their keys, labels and layouts. Streams are added and never removed; a server
/// that lets partitions go makes a new one from those that stay.
///
/// A stream takes its key's bytes and 45 to 60 more, with one label of its own or shared by few, and some that many have.
#[derive(Debug)]
pub struct Streams {
    inner: RwLock<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    /// Keys the hashes: clients choose what is hashed.
    pub(super) seed: u64,
    pub(super) keys: KeyArena,
    pub(super) postings: Postings,
    pub(super) tables: Vec<TableStreams>,
    pages: Vec<Option<Box<Page>>>,
    by_key: Sharded<StreamId>,
    count: usize,
}

/// What is known about the streams of a table.
#[derive(Debug, Default)]
pub(super) struct TableStreams {
    pub(super) all: RoaringBitmap,
    pub(super) fields: BTreeSet<FieldId>,
    /// Field sets and the streams that were seen with them.
    pub(super) layouts: Vec<(Box<[FieldId]>, RoaringBitmap)>,
    by_fields: HashMap<Box<[FieldId]>, usize>,
}

/// Ids in a page.
const PAGE: usize = 1024;

/// A thousand consecutive ids, which are dense where they are used at all.
#[derive(Debug)]
struct Page {
    keys: [Text; PAGE],
    tables: [TableId; PAGE],
}

impl Streams {
    /// An index without streams. `seed` is random, so that clients cannot aim at one bucket.
    pub fn new(seed: u64) -> Self {
        let inner = Inner {
            seed,
            keys: KeyArena::default(),
            postings: Postings::default(),
            tables: Vec::new(),
            pages: Vec::new(),
            by_key: Sharded::default(),
            count: 0,
        };
        Self { inner: RwLock::new(inner) }
    }

    /// Adds a stream of `table`, which is the table of the key's measurement. Says whether it is new; an id that is
    /// there keeps its key. Panics where the key is longer than [`super::KEY_SIZE_MAX`].
    pub fn add(&self, stream: StreamId, key: &StreamKey, table: TableId) -> bool {
        self.inner.write().add(stream, key, table)
    }

    /// Notes that a stream has rows of a layout, so that its fields are found. The stream was added before.
    pub fn note_layout(&self, stream: StreamId, layout: &Layout) {
        let mut inner = self.inner.write();
        assert!(inner.text(stream).is_some(), "stream {stream} was added before its layouts are noted");
        inner.table_mut(layout.table).note(stream, &layout.fields);
    }

    /// The key of a stream.
    pub fn key(&self, stream: StreamId) -> Option<StreamKey> {
        self.inner.read().key(stream)
    }

    /// The table of a stream.
    pub fn table(&self, stream: StreamId) -> Option<TableId> {
        let inner = self.inner.read();
        inner.text(stream).map(|_| inner.page(stream).expect("the stream has a text in it").tables[place(stream)])
    }

    /// The stream that has a key; the one added first, where damage gave several the same.
    pub fn resolve(&self, key: &StreamKey) -> Option<StreamId> {
        let inner = self.inner.read();
        let hash = xxh3_64_with_seed(key.as_bytes(), inner.seed);
        inner.by_key.find(hash, |stream| inner.key_bytes(*stream) == key.as_bytes()).copied()
    }

    /// All streams of a table.
    pub fn of_table(&self, table: TableId) -> RoaringBitmap {
        let inner = self.inner.read();
        inner.tables.get(table.0 as usize).map(|table| table.all.clone()).unwrap_or_default()
    }

    /// The streams of a table that were seen with a field.
    pub fn having_field(&self, table: TableId, field: FieldId) -> RoaringBitmap {
        let inner = self.inner.read();
        let layouts = inner.tables.get(table.0 as usize).map_or(&[][..], |table| &table.layouts);
        let having = layouts.iter().filter(|(fields, _)| fields.contains(&field));
        having.fold(RoaringBitmap::new(), |all, (_, streams)| all | streams)
    }

    /// How many streams there are.
    pub fn count(&self) -> usize {
        self.inner.read().count
    }

    /// Bytes it takes, about. Walks every bitmap: for a gauge, not for every write.
    pub fn size(&self) -> usize {
        self.inner.read().size()
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read()
    }
}

impl Inner {
    fn add(&mut self, stream: StreamId, key: &StreamKey, table: TableId) -> bool {
        if self.text(stream).is_some() {
            return false;
        }
        let bytes = key.as_bytes();
        let text = self.keys.add(bytes);
        self.set(stream, text, table);
        self.index_key(stream, bytes);
        for (name, value) in key.tags().filter(|(name, _)| *name != METRIC_NAME) {
            self.postings.add(&self.keys, self.seed, name, text.part(bytes, value), stream.0);
        }
        self.table_mut(table).all.insert(stream.0);
        self.count += 1;
        true
    }

    fn set(&mut self, stream: StreamId, text: Text, table: TableId) {
        let number = stream.0 as usize / PAGE;
        if self.pages.len() <= number {
            self.pages.resize_with(number + 1, || None);
        }
        let empty = || Box::new(Page { keys: [Text::default(); PAGE], tables: [TableId(0); PAGE] });
        let page = self.pages[number].get_or_insert_with(empty);
        page.keys[place(stream)] = text;
        page.tables[place(stream)] = table;
    }

    fn index_key(&mut self, stream: StreamId, bytes: &[u8]) {
        let hash = xxh3_64_with_seed(bytes, self.seed);
        if self.by_key.find(hash, |other| self.key_bytes(*other) == bytes).is_none() {
            let (keys, pages, seed) = (&self.keys, &self.pages, self.seed);
            let hash_of = |stream: &StreamId| {
                let text = text_in(pages, *stream).expect("only added streams are in the table");
                xxh3_64_with_seed(keys.bytes(text), seed)
            };
            self.by_key.insert(hash, stream, hash_of);
        }
    }

    fn table_mut(&mut self, table: TableId) -> &mut TableStreams {
        let index = table.0 as usize;
        if self.tables.len() <= index {
            self.tables.resize_with(index + 1, TableStreams::default);
        }
        &mut self.tables[index]
    }

    /// The fields a stream was seen with, some more than once, and its table.
    pub(super) fn fields(&self, stream: StreamId) -> impl Iterator<Item = (TableId, FieldId)> {
        let table = self.text(stream).and_then(|_| self.page(stream)).map(|page| page.tables[place(stream)]);
        let layouts = table.and_then(|table| Some((table, &self.tables.get(table.0 as usize)?.layouts)));
        layouts.into_iter().flat_map(move |(table, layouts)| {
            let having = layouts.iter().filter(move |(_, having)| having.contains(stream.0));
            having.flat_map(|(fields, _)| fields).map(move |field| (table, *field))
        })
    }

    fn page(&self, stream: StreamId) -> Option<&Page> {
        self.pages.get(stream.0 as usize / PAGE)?.as_deref()
    }

    fn text(&self, stream: StreamId) -> Option<Text> {
        text_in(&self.pages, stream)
    }

    fn key_bytes(&self, stream: StreamId) -> &[u8] {
        self.keys.bytes(self.text(stream).expect("only added streams are in the table"))
    }

    pub(super) fn key(&self, stream: StreamId) -> Option<StreamKey> {
        let bytes = self.keys.bytes(self.text(stream)?);
        Some(StreamKey::from_bytes(bytes).expect("it was added as a key"))
    }

    fn size(&self) -> usize {
        let pages = self.pages.iter().flatten().count() * size_of::<Page>() + self.pages.capacity() * 8;
        let tables = self.tables.iter().map(TableStreams::size).sum::<usize>();
        self.keys.size() + self.postings.size() + pages + self.by_key.size() + tables
    }
}

impl TableStreams {
    fn note(&mut self, stream: StreamId, fields: &[FieldId]) {
        let index = match self.by_fields.get(fields) {
            Some(&index) => index,
            None => {
                self.fields.extend(fields);
                self.by_fields.insert(fields.into(), self.layouts.len());
                self.layouts.push((fields.into(), RoaringBitmap::new()));
                self.layouts.len() - 1
            }
        };
        self.layouts[index].1.insert(stream.0);
    }

    fn size(&self) -> usize {
        let layout = |(fields, streams): &(Box<[FieldId]>, _)| size_of_val(&**fields) * 2 + bitmap_size(streams) + 80;
        self.layouts.iter().map(layout).sum::<usize>() + bitmap_size(&self.all) + self.fields.len() * 8
    }
}

fn place(stream: StreamId) -> usize {
    stream.0 as usize % PAGE
}

fn text_in(pages: &[Option<Box<Page>>], stream: StreamId) -> Option<Text> {
    let page = pages.get(stream.0 as usize / PAGE)?.as_deref()?;
    Some(page.keys[place(stream)]).filter(|text| !text.is_none())
}
