//! An open index part.

use std::sync::Arc;

use crate::{
    codec,
    disk::File,
    index::part::{
        END_MAGIC, HEADER_SIZE, INDEX_VERSION, IndexPartError, IndexPartName, IndexPartPiece, IndexSummary, MAGIC,
        TRAILER_SIZE,
        page::{self, PageRef, Place},
    },
    model::{StreamId, StreamKey},
};

/// An index part, open for reading by any number of threads. In memory is the directory: 32 bytes per page of some
/// forty keys.
pub struct IndexPart {
    file: Checked,
    summary: IndexSummary,
    pub(super) pages: Vec<PageRef>,
}

impl IndexPart {
    /// Opens a file: checks its frame, reads footer and directory. Errors tell a file that is no index part, of
    /// another version, cut short, or damaged.
    pub fn open(file: Arc<dyn File>) -> Result<Self, IndexPartError> {
        let name = IndexPartName(None);
        let len = file.size().map_err(|source| IndexPartError::Read { name, offset: 0, source })?;
        let mut file = Checked { file, name, len };
        let trailer_at = len.checked_sub(TRAILER_SIZE as u64).filter(|&at| at >= HEADER_SIZE as u64);
        let trailer_at = trailer_at.ok_or(IndexPartError::CutShort { name, len })?;
        file.check_header()?;
        let footer_at = file.footer(trailer_at)?;
        let footer = file.payload(IndexPartPiece::Footer, footer_at)?;
        let (summary, directory) = page::decode_footer(&footer, len)
            .map_err(|e| file.malformed(IndexPartPiece::Footer, footer_at.offset, e))?;

        file.name = IndexPartName(Some(summary.index_part));
        let raw = file.unpacked(IndexPartPiece::Directory, directory)?;
        let pages = page::decode_directory(&raw, HEADER_SIZE as u64);
        let pages = pages.map_err(|e| file.malformed(IndexPartPiece::Directory, directory.offset, e))?;
        Ok(Self { file, summary, pages })
    }

    /// IndexPartPiece it says of itself.
    pub fn summary(&self) -> &IndexSummary {
        &self.summary
    }

    /// The key of a stream, `None` where this index part does not define it.
    pub fn get(&self, stream: StreamId) -> Result<Option<StreamKey>, IndexPartError> {
        let place = self.pages.partition_point(|page| page.last < stream);
        let Some(page) = self.pages.get(place).filter(|page| page.first <= stream) else { return Ok(None) };
        let mut streams = self.read(page)?;
        let found = streams.binary_search_by_key(&stream, |(id, _)| *id);
        Ok(found.ok().map(|place| streams.swap_remove(place).1))
    }

    /// All streams, ids ascending. A damaged page is one error, which names its range of ids, in place of its streams.
    pub fn iter(&self) -> impl Iterator<Item = Result<(StreamId, StreamKey), IndexPartError>> {
        self.pages.iter().flat_map(|page| {
            let (streams, error) = match self.read(page) {
                Ok(streams) => (streams, None),
                Err(error) => (Vec::new(), Some(error)),
            };
            streams.into_iter().map(Ok).chain(error.map(Err))
        })
    }

    fn read(&self, page: &PageRef) -> Result<Vec<(StreamId, StreamKey)>, IndexPartError> {
        let what = IndexPartPiece::Page(page.first, page.last);
        let raw = self.file.unpacked(what, page.place)?;
        page::decode(&raw, page.first, page.last).map_err(|e| self.file.malformed(what, page.place.offset, e))
    }
}

/// A file whose bytes are checked as they are read.
struct Checked {
    file: Arc<dyn File>,
    name: IndexPartName,
    len: u64,
}

impl Checked {
    fn check_header(&self) -> Result<(), IndexPartError> {
        let name = self.name;
        let mut header = [0; HEADER_SIZE];
        self.fill(0, &mut header)?;
        let (expected, found) = (word(&header[12..]), crc32fast::hash(&header[..12]));
        match word(&header[8..]) {
            _ if !header.starts_with(MAGIC) => Err(IndexPartError::NotAnIndexPart { name }),
            _ if expected != found => {
                Err(IndexPartError::Damaged { name, what: IndexPartPiece::Header, offset: 0, expected, found })
            }
            INDEX_VERSION => Ok(()),
            found => Err(IndexPartError::Version { name, found }),
        }
    }

    /// Where the footer is, by the trailer.
    fn footer(&self, trailer_at: u64) -> Result<Place, IndexPartError> {
        let mut trailer = [0; TRAILER_SIZE];
        self.fill(trailer_at, &mut trailer)?;
        let (size, crc) = (word(&trailer), word(&trailer[4..]));
        let offset = trailer_at.checked_sub(u64::from(size)).filter(|_| trailer.ends_with(END_MAGIC));
        let offset = offset.ok_or(IndexPartError::CutShort { name: self.name, len: self.len })?;
        Ok(Place { offset, size, raw_size: size, crc })
    }

    fn unpacked(&self, what: IndexPartPiece, place: Place) -> Result<Vec<u8>, IndexPartError> {
        let packed = self.payload(what, place)?;
        page::unpack(&packed, place.raw_size).map_err(|source| self.malformed(what, place.offset, source))
    }

    fn payload(&self, what: IndexPartPiece, place: Place) -> Result<Vec<u8>, IndexPartError> {
        let Place { offset, size, crc: expected, .. } = place;
        if offset.checked_add(u64::from(size)).is_none_or(|end| end > self.len) {
            return Err(self.malformed(what, offset, codec::Error::Truncated));
        }
        let mut bytes = vec![0; size as usize];
        self.fill(offset, &mut bytes)?;
        match crc32fast::hash(&bytes) {
            found if found == expected => Ok(bytes),
            found => Err(IndexPartError::Damaged { name: self.name, what, offset, expected, found }),
        }
    }

    fn fill(&self, offset: u64, bytes: &mut [u8]) -> Result<(), IndexPartError> {
        let read = self.file.read_exact_at(bytes, offset);
        read.map_err(|source| IndexPartError::Read { name: self.name, offset, source })
    }

    fn malformed(&self, what: IndexPartPiece, offset: u64, source: codec::Error) -> IndexPartError {
        IndexPartError::Malformed { name: self.name, what, offset, source }
    }
}

fn word(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}
