//! The payloads of an image being built: encoded, and each distinct one stored once.

use std::collections::{HashMap, VecDeque};

use xxhash_rust::xxh3::xxh3_64;

use crate::{
    codec::{Decoder, Encoder, Level, put_bytes, put_u64},
    parts::{
        Error, Sink,
        page::{Column, Values},
    },
};

/// Payloads remembered for sharing, 32 bytes each or so: what a part of a few billion samples has. Later ones are
/// stored without looking for their like.
const REMEMBERED_MAX: usize = 1 << 20;
/// Timestamp columns kept as they are, so that the usual hit costs a comparison and no reading back.
const RECENT_MAX: usize = 8;

/// Writes payloads to a sink.
pub(super) struct Store<S> {
    sink: S,
    /// The image's first byte in the sink.
    base: u64,
    encoder: Encoder,
    decoder: Decoder,
    /// Stored payloads by the hash of their bytes.
    payloads: HashMap<u64, Column>,
    /// Stored timestamp columns by the hash of the timestamps.
    stamps: HashMap<u64, Column>,
    recent: VecDeque<(u64, Vec<i64>)>,
    encoded: Vec<u8>,
    bytes: Vec<u8>,
    decoded: Vec<i64>,
}

impl<S: Sink> Store<S> {
    pub(super) fn new(sink: S, level: Level) -> Self {
        let base = sink.position();
        Self {
            sink,
            base,
            encoder: Encoder::new(level),
            decoder: Decoder::new(),
            payloads: HashMap::new(),
            stamps: HashMap::new(),
            recent: VecDeque::new(),
            encoded: Vec::new(),
            bytes: Vec::new(),
            decoded: Vec::new(),
        }
    }

    /// Where in the image the next byte goes.
    pub(super) fn offset(&self) -> u64 {
        self.sink.position() - self.base
    }

    /// Appends bytes as they are.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let offset = self.offset();
        self.sink.append(bytes).map_err(|source| Error::Write { offset, source })
    }

    pub(super) fn flush(&mut self) -> Result<(), Error> {
        let offset = self.offset();
        self.sink.flush().map_err(|source| Error::Write { offset, source })
    }

    /// Stores a field's values, unless they are all the same or stored already.
    pub(super) fn values(&mut self, values: &[f64]) -> Result<Values, Error> {
        let first = values[0].to_bits();
        if values.iter().all(|value| value.to_bits() == first) {
            return Ok(Values::Constant(values[0]));
        }
        self.encoded.clear();
        self.encoder.values(values, &mut self.encoded);
        self.put_encoded().map(Values::Stored)
    }

    /// Stores timestamps, unless the same are stored already.
    pub(super) fn times(&mut self, times: &[i64]) -> Result<Column, Error> {
        let hash = hash_of(times, &mut self.bytes);
        if let Some(&column) = self.stamps.get(&hash)
            && self.same_times(column, times)?
        {
            return Ok(column);
        }
        self.encoded.clear();
        self.encoder.times(times, &mut self.encoded);
        let column = self.put_encoded()?;
        if self.stamps.len() < REMEMBERED_MAX {
            self.stamps.entry(hash).or_insert(column);
        }
        self.remember(column, times.to_vec());
        Ok(column)
    }

    /// Stores the streams of a gathered block: ids, which sequence of timestamps each has, and the sequences' lengths.
    pub(super) fn streams(&mut self, ids: &[i64], which: &[i64], lengths: &[i64]) -> Result<Column, Error> {
        let mut payload = Vec::with_capacity(ids.len() * 2);
        put_u64(&mut payload, lengths.len() as u64);
        let columns: &[&[i64]] = if lengths.len() == 1 { &[ids] } else { &[ids, which, lengths] };
        for column in columns {
            self.encoded.clear();
            self.encoder.ints(column, &mut self.encoded);
            put_bytes(&mut payload, &self.encoded);
        }
        self.encoded = payload;
        self.put_encoded()
    }

    /// Stores what `self.encoded` holds, or finds where it is already.
    fn put_encoded(&mut self) -> Result<Column, Error> {
        let hash = xxh3_64(&self.encoded);
        if let Some(&column) = self.payloads.get(&hash)
            && column.size as usize == self.encoded.len()
            && self.read_back(column)?
            && self.bytes == self.encoded
        {
            return Ok(column);
        }
        let size = u32::try_from(self.encoded.len()).expect("a block's column is far below 4 GiB");
        let column = Column { offset: self.offset(), size, crc: crc32fast::hash(&self.encoded) };
        let offset = column.offset;
        self.sink.append(&self.encoded).map_err(|source| Error::Write { offset, source })?;
        if self.payloads.len() < REMEMBERED_MAX {
            self.payloads.entry(hash).or_insert(column);
        }
        Ok(column)
    }

    /// Whether a stored timestamp column, whose hash is the same, holds these very times.
    fn same_times(&mut self, column: Column, times: &[i64]) -> Result<bool, Error> {
        if let Some((_, recent)) = self.recent.iter().find(|(offset, _)| *offset == column.offset) {
            return Ok(recent == times);
        }
        self.decoded.clear();
        let same = self.read_back(column)?
            && self.decoder.times(&self.bytes, times.len(), &mut self.decoded).is_ok()
            && self.decoded == times;
        if same {
            self.remember(column, times.to_vec());
        }
        Ok(same)
    }

    fn remember(&mut self, column: Column, times: Vec<i64>) {
        self.recent.truncate(RECENT_MAX - 1);
        self.recent.push_front((column.offset, times));
    }

    /// Reads a stored payload into `self.bytes`; false where it came back changed, which makes it nobody's equal.
    fn read_back(&mut self, column: Column) -> Result<bool, Error> {
        self.bytes.resize(column.size as usize, 0);
        let read = self.sink.read_back(self.base + column.offset, &mut self.bytes);
        read.map_err(|source| Error::Write { offset: column.offset, source })?;
        Ok(crc32fast::hash(&self.bytes) == column.crc)
    }
}

/// A hash of timestamps, over their little-endian bytes.
pub(super) fn hash_of(times: &[i64], bytes: &mut Vec<u8>) -> u64 {
    bytes.clear();
    bytes.extend(times.iter().flat_map(|time| time.to_le_bytes()));
    xxh3_64(bytes)
}
