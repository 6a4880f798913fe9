//! What the ids in a file of the stage mean: told by the frame that first uses them, and by the next one once more.
//!
//! ```text
//! definitions: streams varint | (id varint, key bytes)*  | layouts varint | (id varint, table bytes, fields varint, field bytes *)*
//! bytes:   size varint | content
//! ```

use super::{Error, Kind};
use crate::{
    codec::{self, Reader, put_bytes, put_string, put_u64},
    model::{LayoutId, StreamId, StreamKey},
};

/// Streams and layouts, defined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Definitions {
    /// Streams: true in the whole directory.
    pub streams: Vec<StreamDefinition>,
    /// Layouts: true in the files of one start of the server.
    pub layouts: Vec<LayoutDefinition>,
}

/// The key of a stream id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamDefinition {
    /// The id.
    pub id: StreamId,
    /// What it stands for.
    pub key: StreamKey,
}

/// The table and fields of a layout id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayoutDefinition {
    /// The id.
    pub id: LayoutId,
    /// The table's name.
    pub table: String,
    /// The fields' names, in the order of the value columns.
    pub fields: Vec<String>,
}

impl Definitions {
    /// Whether nothing is defined.
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty() && self.layouts.is_empty()
    }

    /// Appends them to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.streams.len() as u64);
        for stream in &self.streams {
            put_u64(out, u64::from(stream.id.0));
            put_bytes(out, stream.key.as_bytes());
        }
        put_u64(out, self.layouts.len() as u64);
        for layout in &self.layouts {
            put_u64(out, u64::from(layout.id.0));
            put_string(out, &layout.table);
            put_u64(out, layout.fields.len() as u64);
            layout.fields.iter().for_each(|field| put_string(out, field));
        }
    }

    /// Reads them.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, codec::Error> {
        let mut definitions = Self::default();
        for _ in 0..reader.count(reader.remaining())? {
            let id = StreamId(super::id(reader)?);
            let key = StreamKey::from_bytes(reader.sized_bytes()?).map_err(|_| codec::Error::Invalid("stream key"))?;
            definitions.streams.push(StreamDefinition { id, key });
        }
        for _ in 0..reader.count(reader.remaining())? {
            let id = LayoutId(super::id(reader)?);
            let table = reader.string()?.to_owned();
            let count = reader.count(reader.remaining())?;
            let fields = (0..count).map(|_| Ok(reader.string()?.to_owned())).collect::<Result<_, codec::Error>>()?;
            definitions.layouts.push(LayoutDefinition { id, table, fields });
        }
        Ok(definitions)
    }
}

/// The definitions a batch's payload begins with, and the bytes of its rows.
pub fn decode_batch(payload: &[u8]) -> Result<(Definitions, &[u8]), Error> {
    let mut reader = Reader::new(payload);
    let definitions = Definitions::read(&mut reader).map_err(|error| Error::payload(Kind::Batch, error))?;
    Ok((definitions, &payload[payload.len() - reader.remaining()..]))
}
