//! The rows of a batch frame: the batch in columns, lightly packed.
//!
//! ```text
//! rows:    group*
//! group:   layout varint | width varint | rows varint | placed u8 (0 or 1)
//!          | places column (where placed) | streams column | times column | values column *width       (one per field, in the layout's order)
//! column:  size varint | codec payload
//! ```
//!
//! Layout ids are those of the start that wrote the segment, and this frame or one before defines them; stream ids are
//! global.

use super::{Error, Kind};
use crate::{
    codec::{self, Decoder, Encoder, Level, Reader, put_bytes, put_u64},
    model::{Batch, LayoutId, Rows, Slot, StreamId},
};

/// Rows of one group at most: far beyond what a request body holds.
const ROWS_MAX: usize = 1 << 26;

/// Turns batches into payloads; keeps its buffers.
pub struct RowsEncoder {
    codec: Encoder,
    ints: Vec<i64>,
    values: Vec<f64>,
    column: Vec<u8>,
}

impl Default for RowsEncoder {
    fn default() -> Self {
        Self { codec: Encoder::new(Level::Light), ints: Vec::new(), values: Vec::new(), column: Vec::new() }
    }
}

impl RowsEncoder {
    /// Appends the payload of `batch` to `out`.
    pub fn encode(&mut self, batch: &Batch, out: &mut Vec<u8>) {
        for rows in batch.groups.iter().filter(|rows| !rows.is_empty()) {
            self.encode_group(rows, out);
        }
    }

    fn encode_group(&mut self, rows: &Rows, out: &mut Vec<u8>) {
        put_u64(out, u64::from(rows.layout.0));
        put_u64(out, rows.width as u64);
        put_u64(out, rows.len() as u64);
        out.push(u8::from(!rows.places.is_empty()));
        for chunk in 0..rows.len().div_ceil(codec::COUNT_MAX) {
            let range = chunk * codec::COUNT_MAX..rows.len().min((chunk + 1) * codec::COUNT_MAX);
            if !rows.places.is_empty() {
                self.ints.clear();
                self.ints.extend(rows.places[range.clone()].iter().map(|place| i64::from(*place)));
                self.codec.ints(&self.ints, &mut self.column);
                put_column(&mut self.column, out);
            }
            self.ints.clear();
            self.ints.extend(rows.streams[range.clone()].iter().map(|stream| i64::from(stream.0)));
            self.codec.ints(&self.ints, &mut self.column);
            put_column(&mut self.column, out);
            self.codec.times(&rows.times[range.clone()], &mut self.column);
            put_column(&mut self.column, out);
            for field in 0..rows.width {
                self.values.clear();
                let table = &rows.values[range.start * rows.width..range.end * rows.width];
                self.values.extend(table.iter().skip(field).step_by(rows.width));
                self.codec.values(&self.values, &mut self.column);
                put_column(&mut self.column, out);
            }
        }
    }
}

fn put_column(column: &mut Vec<u8>, out: &mut Vec<u8>) {
    put_bytes(out, column);
    column.clear();
}

/// Turns payloads back into batches; keeps its buffers.
pub struct RowsDecoder {
    codec: Decoder,
    ints: Vec<i64>,
    values: Vec<f64>,
}

impl Default for RowsDecoder {
    fn default() -> Self {
        Self { codec: Decoder::new(), ints: Vec::new(), values: Vec::new() }
    }
}

impl RowsDecoder {
    /// The batch of a payload, with the segment's own layout ids and with all slots 0.
    pub fn decode(&mut self, payload: &[u8]) -> Result<Batch, Error> {
        self.groups(payload).map_err(|error| Error::payload(Kind::Batch, error))
    }

    /// Calls `layout` with each layout and `stream` with each row's stream of a payload, and decodes nothing else.
    pub fn references(
        &mut self,
        payload: &[u8],
        mut layout: impl FnMut(LayoutId),
        mut stream: impl FnMut(StreamId),
    ) -> Result<(), Error> {
        let mut walk = || {
            let mut reader = Reader::new(payload);
            while !reader.is_empty() {
                layout(LayoutId(super::id(&mut reader)?));
                let width = reader.count(reader.remaining())?;
                let mut rest = reader.count(ROWS_MAX)?;
                let is_placed = reader.u8()? != 0;
                while rest > 0 {
                    let count = rest.min(codec::COUNT_MAX);
                    if is_placed {
                        reader.sized_bytes()?;
                    }
                    self.ints.clear();
                    self.codec.ints(reader.sized_bytes()?, count, &mut self.ints)?;
                    self.ints.iter().for_each(|id| stream(StreamId(*id as u32)));
                    for _ in 0..=width {
                        reader.sized_bytes()?;
                    }
                    rest -= count;
                }
            }
            Ok(())
        };
        walk().map_err(|error: codec::Error| Error::payload(Kind::Batch, error))
    }

    fn groups(&mut self, payload: &[u8]) -> Result<Batch, codec::Error> {
        let mut reader = Reader::new(payload);
        let mut batch = Batch::default();
        while !reader.is_empty() {
            let layout = LayoutId(super::id(&mut reader)?);
            // Each column takes at least a byte, so a forged width fails before its memory is asked for.
            let width = reader.count(reader.remaining())?;
            let count = reader.count(ROWS_MAX)?;
            let is_placed = reader.u8()? != 0;
            let mut rows = Rows { layout, width, ..Rows::default() };
            while rows.len() < count {
                let rest = count - rows.len();
                self.chunk(&mut reader, &mut rows, rest.min(codec::COUNT_MAX), is_placed)?;
            }
            rows.slots.resize(count, Slot(0));
            batch.groups.push(rows);
        }
        Ok(batch)
    }

    fn chunk(
        &mut self,
        reader: &mut Reader<'_>,
        rows: &mut Rows,
        count: usize,
        is_placed: bool,
    ) -> Result<(), codec::Error> {
        if is_placed {
            self.ints.clear();
            self.codec.ints(reader.sized_bytes()?, count, &mut self.ints)?;
            for &place in &self.ints {
                rows.places.push(u32::try_from(place).map_err(|_| codec::Error::Invalid("place out of range"))?);
            }
        }
        self.ints.clear();
        self.codec.ints(reader.sized_bytes()?, count, &mut self.ints)?;
        for &id in &self.ints {
            rows.streams
                .push(StreamId(u32::try_from(id).map_err(|_| codec::Error::Invalid("stream id out of range"))?));
        }
        self.codec.times(reader.sized_bytes()?, count, &mut rows.times)?;
        let first = rows.values.len();
        rows.values.resize(first + count * rows.width, 0.0);
        for field in 0..rows.width {
            self.values.clear();
            self.codec.values(reader.sized_bytes()?, count, &mut self.values)?;
            let table = rows.values[first + field..].iter_mut().step_by(rows.width);
            table.zip(&self.values).for_each(|(cell, value)| *cell = *value);
        }
        Ok(())
    }
}
