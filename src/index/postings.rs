//! Label pair to streams.

use std::collections::HashMap;

use roaring::RoaringBitmap;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::keys::{KeyArena, Sharded, Text};

/// The streams of every label pair. Values lie in the key arena; 16 bytes a value and 9 in a hash table.
#[derive(Debug, Default)]
pub(super) struct Postings {
    labels: Vec<Label>,
    by_name: HashMap<Box<str>, u32>,
    by_value: Sharded<ValueRef>,
}

/// A value: a label's number and the value's place in it.
#[derive(Clone, Copy, Debug)]
struct ValueRef {
    label: u32,
    ordinal: u32,
}

/// All values of a label.
#[derive(Debug)]
pub(super) struct Label {
    pub(super) name: Box<str>,
    /// The streams that have the label.
    pub(super) streams: RoaringBitmap,
    values: Paged<Value>,
    sets: Paged<RoaringBitmap>,
}

#[derive(Debug)]
struct Value {
    text: Text,
    ids: Ids,
}

/// The streams of a value. One is usual (host names), and a bitmap of one would take a hundred bytes.
#[derive(Debug)]
enum Ids {
    One(u32),
    /// The place of their bitmap in the label's sets.
    Many(u32),
}

/// The streams of one value.
#[derive(Clone, Copy)]
pub(super) enum StreamSet<'a> {
    One(u32),
    Many(&'a RoaringBitmap),
}

impl Postings {
    /// Adds a stream to a label pair. `value` lies in `keys`.
    pub(super) fn add(&mut self, keys: &KeyArena, seed: u64, name: &str, value: Text, stream: u32) {
        let number = self.intern(name);
        let text = keys.bytes(value);
        let hash = value_hash(seed, number, text);
        let is_it = |labels: &[Label], entry: &ValueRef| {
            entry.label == number && keys.bytes(labels[number as usize].text(entry.ordinal as usize)) == text
        };
        let found = self.by_value.find(hash, |entry| is_it(&self.labels, entry)).copied();
        let label = &mut self.labels[number as usize];
        label.streams.insert(stream);
        if let Some(entry) = found {
            label.add_to(entry.ordinal as usize, stream);
            return;
        }
        let entry = ValueRef { label: number, ordinal: label.values.len() as u32 };
        label.values.push(Value { text: value, ids: Ids::One(stream) });
        let hash_of = |entry: &ValueRef| {
            let text = self.labels[entry.label as usize].text(entry.ordinal as usize);
            value_hash(seed, entry.label, keys.bytes(text))
        };
        self.by_value.insert(hash, entry, hash_of);
    }

    fn intern(&mut self, name: &str) -> u32 {
        if let Some(&number) = self.by_name.get(name) {
            return number;
        }
        let number = self.labels.len() as u32;
        self.by_name.insert(name.into(), number);
        self.labels.push(Label {
            name: name.into(),
            streams: RoaringBitmap::new(),
            values: Paged::default(),
            sets: Paged::default(),
        });
        number
    }

    /// A label's number.
    pub(super) fn number(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).map(|number| *number as usize)
    }

    pub(super) fn labels(&self) -> &[Label] {
        &self.labels
    }

    /// The streams of a label pair.
    pub(super) fn find(&self, keys: &KeyArena, seed: u64, label: usize, value: &str) -> Option<StreamSet<'_>> {
        let hash = value_hash(seed, label as u32, value.as_bytes());
        let entry = self.by_value.find(hash, |entry| {
            let text = self.labels[label].values.get(entry.ordinal as usize).map(|value| value.text);
            entry.label as usize == label && text.is_some_and(|text| keys.bytes(text) == value.as_bytes())
        })?;
        Some(self.labels[label].streams_of(entry.ordinal as usize))
    }

    pub(super) fn size(&self) -> usize {
        let labels = self.labels.iter().map(|label| {
            let sets: usize = label.sets.iter().map(bitmap_size).sum();
            label.name.len() * 2 + bitmap_size(&label.streams) + sets + label.sets.size() + label.values.size()
        });
        labels.sum::<usize>() + self.by_value.size() + self.labels.capacity() * size_of::<Label>()
    }
}

impl Label {
    /// How many values there are; their ordinals are all below and never change.
    pub(super) fn value_count(&self) -> usize {
        self.values.len()
    }

    pub(super) fn text(&self, ordinal: usize) -> Text {
        self.values.get(ordinal).expect("ordinals are given out with their value").text
    }

    pub(super) fn streams_of(&self, ordinal: usize) -> StreamSet<'_> {
        match self.values.get(ordinal).expect("ordinals are given out with their value").ids {
            Ids::One(stream) => StreamSet::One(stream),
            Ids::Many(set) => StreamSet::Many(self.sets.get(set as usize).expect("the value refers to its own set")),
        }
    }

    fn add_to(&mut self, ordinal: usize, stream: u32) {
        let value = self.values.get_mut(ordinal).expect("the hash table leads to values that are there");
        match value.ids {
            Ids::One(only) => {
                value.ids = Ids::Many(self.sets.len() as u32);
                self.sets.push(RoaringBitmap::from_iter([only, stream]));
            }
            Ids::Many(set) => {
                let set = self.sets.get_mut(set as usize).expect("the value refers to its own set");
                set.insert(stream);
            }
        }
    }
}

fn value_hash(seed: u64, label: u32, value: &[u8]) -> u64 {
    xxh3_64_with_seed(value, seed ^ u64::from(label) << 32)
}

/// Bytes a bitmap takes on the heap, about.
pub(super) fn bitmap_size(bitmap: &RoaringBitmap) -> usize {
    let statistics = bitmap.statistics();
    // roaring 0.12 counts its arrays with four bytes an element, which take two, and its bitsets in bits.
    let arrays = statistics.n_bytes_array_containers / 2;
    let bitsets = u64::from(statistics.n_bitset_containers) * 8192;
    let containers = u64::from(statistics.n_containers) * CONTAINER_SIZE;
    (arrays + bitsets + statistics.n_bytes_run_containers + containers) as usize
}

/// Bytes of one of roaring's containers before its payload.
const CONTAINER_SIZE: u64 = 40;

/// Items in a page.
const PAGE: usize = 1024;

/// A vector in pages: growing does not move what is there, beyond one page.
#[derive(Debug)]
struct Paged<T>(Vec<Vec<T>>);

impl<T> Default for Paged<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Paged<T> {
    fn len(&self) -> usize {
        self.0.last().map_or(0, |last| (self.0.len() - 1) * PAGE + last.len())
    }

    fn get(&self, index: usize) -> Option<&T> {
        self.0.get(index / PAGE)?.get(index % PAGE)
    }

    fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        self.0.get_mut(index / PAGE)?.get_mut(index % PAGE)
    }

    fn push(&mut self, item: T) {
        if self.0.last().is_none_or(|page| page.len() == PAGE) {
            self.0.push(Vec::new());
        }
        self.0.last_mut().expect("a page was just made sure of").push(item);
    }

    fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flatten()
    }

    fn size(&self) -> usize {
        let pages = self.0.iter().map(|page| page.capacity() * size_of::<T>());
        pages.sum::<usize>() + self.0.capacity() * size_of::<Vec<T>>()
    }
}
