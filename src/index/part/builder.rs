//! Streams in, an index part out.

use std::sync::Arc;

use crate::{
    disk::File,
    index::part::{
        END_MAGIC, INDEX_VERSION, IndexPartError, IndexSummary, MAGIC,
        page::{self, PageBuilder, PageRef, Place},
    },
    model::{Day, StreamId, StreamKey},
};

/// Raw bytes from which a page is full: some forty keys, which a look-up unpacks in about 10 µs.
const PAGE_SIZE: usize = 4 << 10;
/// Bytes held back before a write.
const BUFFER_SIZE: usize = 256 << 10;

/// Writes an index part to a file, from its beginning. After an error it is of no more use.
pub struct IndexPartBuilder {
    file: Arc<dyn File>,
    /// Bytes before this offset are in the file.
    written: u64,
    buffer: Vec<u8>,
    page: PageBuilder,
    pages: Vec<PageRef>,
    summary: IndexSummary,
}

impl IndexPartBuilder {
    /// Begins index part `index_part` of a partition in an empty file.
    pub fn new(file: Arc<dyn File>, index_part: u64, day: Day) -> Self {
        let mut buffer = Vec::with_capacity(BUFFER_SIZE);
        buffer.extend(MAGIC);
        buffer.extend(INDEX_VERSION.to_le_bytes());
        buffer.extend(crc32fast::hash(&buffer).to_le_bytes());
        let (min_id, max_id) = (StreamId(0), StreamId(0));
        let summary = IndexSummary { index_part, day, streams: 0, min_id, max_id, len: 0 };
        Self { file, written: 0, buffer, page: PageBuilder::default(), pages: Vec::new(), summary }
    }

    /// Takes the next stream. Panics where its id is not above the one before.
    pub fn push(&mut self, stream: StreamId, key: &StreamKey) -> Result<(), IndexPartError> {
        assert!(self.summary.streams == 0 || self.summary.max_id < stream, "stream ids ascend");
        if self.summary.streams == 0 {
            self.summary.min_id = stream;
        }
        self.summary.max_id = stream;
        self.summary.streams += 1;
        self.page.push(stream, key);
        if self.page.raw_size() >= PAGE_SIZE { self.finish_page() } else { Ok(()) }
    }

    /// Ends the file's content. Nothing is synced.
    pub fn finish(mut self) -> Result<IndexSummary, IndexPartError> {
        self.finish_page()?;
        let directory = page::encode_directory(&self.pages);
        let directory = self.append_packed(&directory)?;
        let footer = page::encode_footer(&self.summary, directory);
        self.append(&footer)?;
        let size = u32::try_from(footer.len()).expect("a footer is far below 4 GiB");
        let trailer = [&size.to_le_bytes()[..], &crc32fast::hash(&footer).to_le_bytes(), END_MAGIC].concat();
        self.append(&trailer)?;
        self.flush()?;
        Ok(IndexSummary { len: self.written, ..self.summary })
    }

    fn finish_page(&mut self) -> Result<(), IndexPartError> {
        let Some((first, last, raw)) = self.page.take() else { return Ok(()) };
        let place = self.append_packed(&raw)?;
        self.pages.push(PageRef { place, first, last });
        Ok(())
    }

    fn append_packed(&mut self, raw: &[u8]) -> Result<Place, IndexPartError> {
        let packed = page::pack(raw);
        let place = Place {
            offset: self.written + self.buffer.len() as u64,
            size: u32::try_from(packed.len()).expect("a page or directory is far below 4 GiB"),
            raw_size: u32::try_from(raw.len()).expect("a page or directory is far below 4 GiB"),
            crc: crc32fast::hash(&packed),
        };
        self.append(&packed)?;
        Ok(place)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), IndexPartError> {
        if self.buffer.len() + bytes.len() > BUFFER_SIZE {
            self.flush()?;
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), IndexPartError> {
        let offset = self.written;
        self.file.write_at(&self.buffer, offset).map_err(|source| IndexPartError::Write { offset, source })?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}
