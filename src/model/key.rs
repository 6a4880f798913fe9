//! The canonical bytes of a stream: its measurement and its sorted tags.
//!
//! ```text
//! key: string measurement | (string name, string value)*      tags by name, ascending
//! string: length varint (LEB128) | UTF-8 bytes
//! ```

use crate::model::{Labels, LabelsBuilder, METRIC_NAME, metric_name};

/// Why bytes or tags are no stream key.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A tag is there twice.
    #[error("duplicate tag {0:?}")]
    DuplicateTag(String),
    /// Stored bytes that do not follow the format.
    #[error("stream key is damaged")]
    Damaged,
}

/// A stream's identity: a measurement and tags, in canonical form. Ordered and hashed by its bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamKey(Box<[u8]>);

impl StreamKey {
    /// The key of a measurement and its tags, in any order. Tags with an empty name or value are left out, and a tag called
    /// `__name__` too: the metric name takes its place.
    pub fn new<'a>(measurement: &str, tags: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, KeyError> {
        let mut tags: Vec<_> = tags
            .into_iter()
            .filter(|(name, value)| !name.is_empty() && !value.is_empty() && *name != METRIC_NAME)
            .collect();
        tags.sort_unstable();
        if let Some(pair) = tags.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(KeyError::DuplicateTag(pair[0].0.to_owned()));
        }
        let mut bytes = Vec::with_capacity(64);
        put(&mut bytes, measurement);
        for (name, value) in tags {
            put(&mut bytes, name);
            put(&mut bytes, value);
        }
        Ok(Self(bytes.into()))
    }

    /// A key read back from a file; checked.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let mut rest = bytes;
        take(&mut rest).ok_or(KeyError::Damaged)?;
        let mut last: Option<&str> = None;
        while !rest.is_empty() {
            let name = take(&mut rest).ok_or(KeyError::Damaged)?;
            take(&mut rest).ok_or(KeyError::Damaged)?;
            if last.is_some_and(|last| last >= name) {
                return Err(KeyError::Damaged);
            }
            last = Some(name);
        }
        Ok(Self(bytes.into()))
    }

    /// The canonical bytes, as stored.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The measurement: the name of the stream's table.
    pub fn measurement(&self) -> &str {
        take(&mut &*self.0).expect("construction checked the key")
    }

    /// Tag names and values, sorted by name.
    pub fn tags(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut rest = &*self.0;
        take(&mut rest);
        std::iter::from_fn(move || Some((take(&mut rest)?, take(&mut rest)?)))
    }

    /// The value of a tag; empty when absent.
    pub fn tag(&self, name: &str) -> &str {
        self.tags().find(|(n, _)| *n == name).map_or("", |(_, value)| value)
    }

    /// The label set of the series this stream carries for `field`.
    pub fn labels(&self, field: &str) -> Labels {
        let metric = metric_name(self.measurement(), field);
        let mut builder = LabelsBuilder::with_capacity(self.0.len() + METRIC_NAME.len() + metric.len() + 8);
        let mut tags = self.tags().peekable();
        while let Some((name, value)) = tags.next_if(|(name, _)| *name < METRIC_NAME) {
            builder.push(name, value);
        }
        if !metric.is_empty() {
            builder.push(METRIC_NAME, &metric);
        }
        tags.for_each(|(name, value)| builder.push(name, value));
        builder.build()
    }
}

fn put(bytes: &mut Vec<u8>, text: &str) {
    let mut length = text.len();
    while length >= 0x80 {
        bytes.push(length as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend_from_slice(text.as_bytes());
}

/// The next string, or `None` at the end and where the bytes are damaged.
fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let mut length = 0_usize;
    for shift in (0..32).step_by(7) {
        let (&byte, tail) = rest.split_first()?;
        *rest = tail;
        length |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            let (text, tail) = rest.split_at_checked(length)?;
            *rest = tail;
            return std::str::from_utf8(text).ok();
        }
    }
    None
}
