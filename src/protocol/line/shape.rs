//! Shapes: what a client's lines have in common, and how a line is recognised as one.

use std::{borrow::Cow, collections::HashMap, ops::Range};

use super::{
    error::Reason,
    grammar::{self, parse_key},
    number::{self, WINDOW},
};

/// How many shapes a parser remembers. An agent has tens to hundreds.
pub const SHAPES_MAX: usize = 4_096;

/// How much memory the shapes of a parser may take, about; one larger shape is remembered alone.
const SIZE_MAX: usize = 4 << 20;

/// The longest measurement, tags and field name together with four separators: InfluxDB's limit.
pub(super) const KEY_MAX: usize = 65_535;

/// The column of a string, which has none.
pub(super) const STRING: u32 = u32::MAX;

/// Slots of the guess by measurement and first field.
const HINTS: usize = 1_024;

/// The number of a shape among those of one parser and generation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShapeId(pub u32);

/// A measurement and the fields that lines list behind it, in that order. The columns of such a line's values.
#[derive(Debug)]
pub struct Shape {
    measurement: Box<str>,
    columns: Box<[Box<str>]>,
    strings: u32,
    name_size_max: usize,
    raw_measurement: Pattern,
    written: Box<[Written]>,
}

/// A field as lines of a shape write it.
#[derive(Debug)]
pub(super) struct Written {
    /// What stands between the value before and this one: ` name=` or `,name=`.
    pattern: Pattern,
    /// Where the value goes; [`STRING`] for a string.
    pub(super) column: u32,
}

impl Written {
    /// What follows the field's name where `text` begins with it.
    #[inline(always)]
    pub(super) fn strip<'a>(&self, text: &'a [u8]) -> Option<&'a [u8]> {
        if self.pattern.begins(text) { text.get(self.pattern.length..) } else { None }
    }

    /// The field's value and what follows it, where `text` begins with the field and its number is a short one.
    #[inline(always)]
    pub(super) fn window_value<'a>(&self, text: &'a [u8]) -> Option<(f64, &'a [u8])> {
        let window = text.first_chunk::<WINDOW>()?;
        if !self.pattern.begins_window(window) {
            return None;
        }
        let (value, end) = number::window_value(window, self.pattern.length)?;
        Some((value, &text[end..]))
    }
}

/// A field of a line that the grammar has read: where its name stands in the line.
#[derive(Clone, Debug)]
pub(super) struct NewField {
    pub(super) raw_name: Range<usize>,
    pub(super) is_string: bool,
}

impl Shape {
    /// The measurement, unescaped.
    pub fn measurement(&self) -> &str {
        &self.measurement
    }

    /// The names of the numeric fields, unescaped, each once, in the order of their first appearance. A line of this
    /// shape has one value for each.
    #[inline(always)]
    pub fn fields(&self) -> &[Box<str>] {
        &self.columns
    }

    /// How many string fields a line of this shape has.
    #[inline(always)]
    pub fn strings(&self) -> u32 {
        self.strings
    }

    /// The length of the longest field name as written, with the four bytes that separate it from the key.
    #[inline(always)]
    pub(super) fn name_size_max(&self) -> usize {
        self.name_size_max
    }

    #[inline(always)]
    pub(super) fn written(&self) -> &[Written] {
        &self.written
    }

    /// Whether a line that begins so, with a measurement and tags of `key_length` bytes, has this measurement.
    #[inline(always)]
    pub(super) fn has_measurement(&self, line: &[u8], key_length: usize) -> bool {
        let length = self.raw_measurement.length;
        // Behind an equal prefix a comma cannot be escaped: a measurement never ends in a backslash.
        (length == key_length || line.get(length) == Some(&b','))
            && length <= key_length
            && self.raw_measurement.begins(line)
    }

    fn new(line: &[u8], key_length: usize, fields: &[NewField]) -> Result<Self, Reason> {
        let raw_measurement = grammar::raw_measurement(&line[..key_length]);
        let mut shape = Self {
            measurement: parse_key(raw_measurement)?.measurement.into(),
            columns: Box::default(),
            strings: 0,
            name_size_max: 0,
            raw_measurement: Pattern::new(raw_measurement.to_vec()),
            written: Box::default(),
        };
        let mut names: HashMap<Cow<'_, str>, u32> = HashMap::new();
        let mut columns = Vec::new();
        let mut written = Vec::with_capacity(fields.len());
        for (index, field) in fields.iter().enumerate() {
            let raw_name = &line[field.raw_name.clone()];
            let name = grammar::field_text(raw_name)?;
            shape.name_size_max = shape.name_size_max.max(raw_name.len() + 4);
            shape.strings += u32::from(field.is_string);
            let new_column = || {
                columns.push(Box::from(&*name));
                columns.len() as u32 - 1
            };
            let column = if field.is_string { STRING } else { *names.entry(name.clone()).or_insert_with(new_column) };
            written.push(Written { pattern: Pattern::between(index == 0, raw_name), column });
        }
        (shape.columns, shape.written) = (columns.into(), written.into());
        Ok(shape)
    }

    /// About the bytes it takes, its entry in the table included.
    fn size(&self) -> usize {
        let texts: usize = self.written.iter().map(|written| 3 * written.pattern.length).sum();
        size_of::<Self>() + self.written.len() * (size_of::<Written>() + 16) + texts
    }
}

/// Bytes that a line is compared with: up to 31 as two masked words, without a loop or a call.
#[derive(Debug)]
pub(super) struct Pattern {
    words: [u128; 2],
    masks: [u128; 2],
    length: usize,
    bytes: Box<[u8]>,
}

impl Pattern {
    fn between(is_first: bool, raw_name: &[u8]) -> Self {
        let mut bytes = vec![if is_first { b' ' } else { b',' }];
        bytes.extend_from_slice(raw_name);
        bytes.push(b'=');
        Self::new(bytes)
    }

    fn new(bytes: Vec<u8>) -> Self {
        let word = |offset: usize, byte: &dyn Fn(usize) -> Option<u8>| {
            u128::from_le_bytes(std::array::from_fn(|index| byte(offset + index).unwrap_or(0)))
        };
        let masks = [0, 16].map(|offset| word(offset, &|index| (index < bytes.len()).then_some(0xff)));
        let words = [0, 16].map(|offset| word(offset, &|index| bytes.get(index).copied()));
        Self { words, masks, length: bytes.len(), bytes: bytes.into() }
    }

    #[inline(always)]
    fn begins(&self, text: &[u8]) -> bool {
        match text.first_chunk() {
            Some(window) if self.length < 32 => self.begins_window(window),
            _ => text.starts_with(&self.bytes),
        }
    }

    /// Whether a window begins with the pattern and the pattern has fewer than 32 bytes.
    #[inline(always)]
    fn begins_window(&self, window: &[u8; WINDOW]) -> bool {
        // A slice of known length, not `array::from_fn`: that one stays a call once the crate is large.
        let word = |half: &[u8]| u128::from_le_bytes(half.try_into().expect("sixteen bytes"));
        word(&window[..16]) & self.masks[0] == self.words[0]
            && (self.length <= 16 || (self.length < 32 && word(&window[16..32]) & self.masks[1] == self.words[1]))
    }
}

/// The shapes of one parser, and guesses which one comes next.
#[derive(Debug)]
pub(super) struct Shapes {
    list: Vec<Shape>,
    /// What lines of a shape have in common (`measurement name=kind name=kind …`) to its number. Keys come from clients,
    /// hence the standard library's hash.
    by_pattern: HashMap<Box<[u8]>, ShapeId>,
    /// The last two shapes for each hash of a measurement and the start of the first field.
    hints: Box<[[ShapeId; 2]]>,
    size: usize,
    generation: u32,
    /// The key of `by_pattern` under construction.
    pattern: Vec<u8>,
}

impl Default for Shapes {
    fn default() -> Self {
        let hints = vec![[ShapeId::default(); 2]; HINTS].into();
        Self { list: Vec::new(), by_pattern: HashMap::new(), hints, size: 0, generation: 0, pattern: Vec::new() }
    }
}

impl Shapes {
    #[inline(always)]
    pub(super) fn generation(&self) -> u32 {
        self.generation
    }

    #[inline(always)]
    pub(super) fn get(&self, id: ShapeId) -> Option<&Shape> {
        self.list.get(id.0 as usize)
    }

    /// The shape of a line that the grammar has read, remembered from now on if it is new.
    pub(super) fn find_or_insert(
        &mut self,
        line: &[u8],
        key_length: usize,
        fields: &[NewField],
    ) -> Result<ShapeId, Reason> {
        self.pattern.clear();
        self.pattern.extend_from_slice(grammar::raw_measurement(&line[..key_length]));
        for field in fields {
            self.pattern.push(b' ');
            self.pattern.extend_from_slice(&line[field.raw_name.clone()]);
            self.pattern.extend_from_slice(if field.is_string { b"=\"" } else { b"=0" });
        }
        match self.by_pattern.get(&self.pattern[..]) {
            Some(&id) => Ok(id),
            None => Ok(self.insert(Shape::new(line, key_length, fields)?)),
        }
    }

    fn insert(&mut self, shape: Shape) -> ShapeId {
        if self.list.len() >= SHAPES_MAX || (self.size + shape.size() > SIZE_MAX && !self.list.is_empty()) {
            self.list.clear();
            self.by_pattern.clear();
            self.size = 0;
            self.generation = self.generation.wrapping_add(1);
        }
        let id = ShapeId(self.list.len() as u32);
        self.size += shape.size();
        self.list.push(shape);
        self.by_pattern.insert(self.pattern.as_slice().into(), id);
        id
    }

    /// The slot of guesses for a line.
    #[inline]
    pub(super) fn hint(&self, line: &[u8], key_length: usize) -> usize {
        let measurement = memchr::memchr(b',', &line[..key_length]).unwrap_or(key_length);
        let first = masked_word(line, measurement);
        let last = masked_word(&line[measurement.saturating_sub(8)..], measurement.min(8));
        let fields = &line[(key_length + 1).min(line.len())..];
        let name = masked_word(fields, fields.iter().take(8).position(|&byte| byte == b'=').unwrap_or(8));
        let mix = |hash: u64, word: u64| (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        mix(mix(mix(measurement as u64, first), last), name) as usize % HINTS
    }

    pub(super) fn guesses(&self, hint: usize) -> [ShapeId; 2] {
        self.hints[hint]
    }

    /// Makes a shape the first guess of a slot.
    pub(super) fn learn(&mut self, hint: usize, id: ShapeId) {
        let [first, second] = &mut self.hints[hint];
        if *first != id {
            *second = *first;
            *first = id;
        }
    }
}

/// The first bytes of `text`, at most eight and at most `length`, as a word.
fn masked_word(text: &[u8], length: usize) -> u64 {
    let length = length.min(8).min(text.len());
    match text.first_chunk::<8>() {
        Some(bytes) if length == 8 => u64::from_le_bytes(*bytes),
        Some(bytes) => u64::from_le_bytes(*bytes) & ((1 << (8 * length)) - 1),
        None => text[..length].iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)),
    }
}
