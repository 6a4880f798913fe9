//! Blocks to rows: columns read, checked and decoded.

use std::{collections::VecDeque, ops::Range, sync::Arc};

use roaring::RoaringBitmap;

use crate::{
    codec::{self, Decoder, Reader},
    model::{StreamId, TimeRange},
    parts::{
        BlockRef, Damage, Error, FieldRef, Part, Place,
        page::{Entry, FieldColumn, Streams, Values},
    },
};

/// Timestamp columns kept decoded: those of the blocks of a day, which stream after stream has.
const TIMES_KEPT: usize = 4;

/// Reads blocks of one part, one after the other, into buffers it keeps. A timestamp column that blocks share is mostly
/// decoded once.
pub struct BlockReader<'p> {
    fetcher: Fetcher<'p>,
    fields: Vec<FieldRef>,
    decoded: Decoded,
}

/// The rows of a decoded block.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    decoded: &'a Decoded,
}

/// The rows of one stream in a decoded block.
#[derive(Clone)]
pub struct Run<'a> {
    /// Whose rows they are.
    pub stream: StreamId,
    /// Their timestamps, ascending and unique.
    pub times: &'a [i64],
    /// Where these begin in the block's timestamp column.
    first: usize,
    rows: Range<usize>,
    decoded: &'a Decoded,
}

impl<'p> BlockReader<'p> {
    pub(super) fn new(part: &'p Part, fields: &[FieldRef]) -> Self {
        Self { fetcher: Fetcher::new(part), fields: fields.to_vec(), decoded: Decoded::default() }
    }

    /// The fields it reads.
    pub fn fields(&self) -> &[FieldRef] {
        &self.fields
    }

    /// Decodes a block of this reader's part. What cannot be read is added to `damage`: where that is a value column, the
    /// block has not that field; where it is streams or timestamps, the block has no rows. Others are not concerned.
    pub fn read(&mut self, block: &BlockRef, damage: &mut Vec<Damage>) -> Rows<'_> {
        let entry = block.entry();
        let columns = self.fields.iter().map(|field| entry.field(field.0));
        self.fetcher.load(block.place(), entry, columns, &mut self.decoded, damage);
        Rows { decoded: &self.decoded }
    }

    /// Gives back its buffers, where there is nothing more to read for now.
    pub fn release(&mut self) {
        (self.fetcher, self.decoded) = (Fetcher::new(self.fetcher.part), Decoded::default());
    }
}

impl<'a> Rows<'a> {
    /// All rows, stream by stream, ids ascending.
    pub fn runs(self) -> impl ExactSizeIterator<Item = Run<'a>> {
        (0..self.decoded.runs.len()).map(move |index| self.decoded.run(index))
    }

    /// The rows of these streams in `range`; streams without such a row are left out.
    pub fn select(self, streams: &RoaringBitmap, range: TimeRange) -> impl Iterator<Item = Run<'a>> {
        let wanted = self.decoded.places_of(streams).into_iter();
        wanted.map(move |place| self.decoded.run(place).within(range)).filter(|run| !run.times.is_empty())
    }
}

impl<'a> Run<'a> {
    /// The values of the `asked`-th of the reader's fields, as many as times; `None` where the block has it not.
    pub fn values(&self, asked: usize) -> Option<&'a [f64]> {
        let (values, present) = &self.decoded.values[asked];
        present.then(|| &values[self.rows.clone()])
    }

    /// Those of its rows that lie in `range`.
    pub fn within(self, range: TimeRange) -> Self {
        let inside = range.indices_in(self.times);
        let rows = self.rows.start + inside.start..self.rows.start + inside.end;
        Self { times: &self.times[inside.clone()], first: self.first + inside.start, rows, ..self }
    }

    /// The block's whole timestamp column, and which of it are [`Run::times`]. Blocks that share a column mostly have the
    /// same array.
    pub fn column(&self) -> (&'a Arc<Vec<i64>>, Range<usize>) {
        (&self.decoded.times, self.first..self.first + self.times.len())
    }
}

/// A block's columns, decoded; empty at first.
#[derive(Default)]
pub(super) struct Decoded {
    runs: Vec<RunPlace>,
    times: Arc<Vec<i64>>,
    /// Timestamp columns decoded last, `times` the first of them, and where they lie.
    columns: VecDeque<(u64, Arc<Vec<i64>>)>,
    /// Per asked field its values, and whether the block has it.
    values: Vec<(Vec<f64>, bool)>,
}

struct RunPlace {
    stream: StreamId,
    times: Range<usize>,
    rows: Range<usize>,
}

impl Decoded {
    /// Where the runs of these streams are: each stream looked up among the runs, or each run among the streams,
    /// whichever is less work.
    fn places_of(&self, streams: &RoaringBitmap) -> Vec<usize> {
        let (Some(first), Some(last)) = (self.runs.first(), self.runs.last()) else { return Vec::new() };
        let bounds = first.stream.0..=last.stream.0;
        if streams.range_cardinality(bounds.clone()) < self.runs.len() as u64 / 16 {
            let place = |id: u32| self.runs.binary_search_by_key(&id, |run| run.stream.0).ok();
            return streams.range(bounds).filter_map(place).collect();
        }
        (0..self.runs.len()).filter(|&place| streams.contains(self.runs[place].stream.0)).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.runs.len()
    }

    pub(super) fn run(&self, index: usize) -> Run<'_> {
        let place = &self.runs[index];
        let times = &self.times[place.times.clone()];
        Run { stream: place.stream, times, first: place.times.start, rows: place.rows.clone(), decoded: self }
    }
}

/// Reads and decodes columns of a part.
pub(super) struct Fetcher<'p> {
    part: &'p Part,
    decoder: Decoder,
    bytes: Vec<u8>,
    streams: StreamColumns,
}

/// What the stream column of a gathered block is made of.
#[derive(Default)]
struct StreamColumns {
    ids: Vec<i64>,
    which: Vec<i64>,
    lengths: Vec<i64>,
}

impl<'p> Fetcher<'p> {
    pub(super) fn new(part: &'p Part) -> Self {
        Self { part, decoder: Decoder::new(), bytes: Vec::new(), streams: StreamColumns::default() }
    }

    /// Decodes a block's streams and times, and these columns of it, as far as they can be read.
    pub(super) fn load<'e>(
        &mut self,
        place: Place,
        entry: &'e Entry,
        columns: impl ExactSizeIterator<Item = Option<&'e FieldColumn>>,
        decoded: &mut Decoded,
        damage: &mut Vec<Damage>,
    ) {
        if let Err(error) = self.times(entry, decoded).and_then(|()| self.runs(entry, decoded)) {
            decoded.runs.clear();
            damage.push(self.part.block_damage(place, entry, error));
            return;
        }
        decoded.values.resize_with(columns.len(), Default::default);
        for (column, (values, present)) in columns.zip(&mut decoded.values) {
            *present = column.is_some();
            if let Some(Err(error)) = column.map(|column| self.values(column, entry.rows as usize, values)) {
                *present = false;
                damage.push(self.part.block_damage(place, entry, error));
            }
        }
    }

    fn times(&mut self, entry: &Entry, decoded: &mut Decoded) -> Result<(), Error> {
        let (offset, count) = (entry.times.offset, entry.stamps as usize);
        let known = decoded.columns.iter().position(|(from, times)| *from == offset && times.len() == count);
        let column = match known.and_then(|place| decoded.columns.remove(place)) {
            Some(column) => column,
            None => {
                self.part.payload("timestamp column", entry.times, &mut self.bytes)?;
                decoded.columns.truncate(TIMES_KEPT - 1);
                let mut times = Vec::with_capacity(count);
                let read = self.decoder.times(&self.bytes, count, &mut times);
                read.map_err(|source| self.part.malformed("timestamp column", offset, source))?;
                (offset, Arc::new(times))
            }
        };
        decoded.times = Arc::clone(&column.1);
        decoded.columns.push_front(column);
        Ok(())
    }

    fn values(&mut self, column: &FieldColumn, rows: usize, values: &mut Vec<f64>) -> Result<(), Error> {
        values.clear();
        match column.values {
            Values::Constant(value) => {
                values.resize(rows, value);
                Ok(())
            }
            Values::Stored(place) => {
                self.part.payload("value column", place, &mut self.bytes)?;
                let decoded = self.decoder.values(&self.bytes, rows, values);
                decoded.map_err(|source| self.part.malformed("value column", place.offset, source))
            }
        }
    }

    fn runs(&mut self, entry: &Entry, decoded: &mut Decoded) -> Result<(), Error> {
        decoded.runs.clear();
        match entry.streams {
            Streams::One(stream) => {
                let rows = 0..entry.rows as usize;
                decoded.runs.push(RunPlace { stream, times: rows.clone(), rows });
                Ok(())
            }
            Streams::Many { count, column, .. } => {
                self.part.payload("stream column", column, &mut self.bytes)?;
                let streams =
                    self.streams.decode(&mut self.decoder, &self.bytes, count as usize, entry.stamps as usize);
                let runs = streams.and_then(|()| self.streams.place_runs(entry, &mut decoded.runs));
                runs.map_err(|source| self.part.malformed("stream column", column.offset, source))
            }
        }
    }
}

impl StreamColumns {
    fn decode(&mut self, decoder: &mut Decoder, bytes: &[u8], count: usize, stamps: usize) -> Result<(), codec::Error> {
        let Self { ids, which, lengths } = self;
        let mut reader = Reader::new(bytes);
        let sequences = reader.count(stamps)?;
        let mut ints = |count: usize, numbers: &mut Vec<i64>| {
            numbers.clear();
            decoder.ints(reader.sized_bytes()?, count, numbers)
        };
        ints(count, ids)?;
        match sequences {
            1 => {
                which.clear();
                which.resize(count, 0);
                lengths.clear();
                lengths.push(stamps as i64);
            }
            _ => {
                ints(count, which)?;
                ints(sequences, lengths)?;
            }
        }
        reader.finish()
    }

    /// Says where each stream's rows and timestamps are, and checks that they are all the block's.
    fn place_runs(&self, entry: &Entry, runs: &mut Vec<RunPlace>) -> Result<(), codec::Error> {
        let sequences = sequence_ranges(&self.lengths, entry.stamps as usize)?;
        let mut rows = 0;
        for (&id, &which) in self.ids.iter().zip(&self.which) {
            let stream = StreamId(u32::try_from(id).map_err(|_| codec::Error::Invalid("stream id"))?);
            let times = usize::try_from(which).ok().and_then(|which| sequences.get(which));
            let times = times.ok_or(codec::Error::Invalid("timestamp sequence"))?.clone();
            let end = rows + times.len();
            runs.push(RunPlace { stream, times, rows: rows..end });
            rows = end;
        }
        let ascending = runs.is_sorted_by(|a, b| a.stream < b.stream);
        if rows == entry.rows as usize && ascending { Ok(()) } else { Err(codec::Error::Invalid("streams and rows")) }
    }
}

/// Where each sequence lies among `stamps` timestamps, which they must fill.
fn sequence_ranges(lengths: &[i64], stamps: usize) -> Result<Vec<Range<usize>>, codec::Error> {
    let mut end = 0;
    let mut ranges = Vec::with_capacity(lengths.len());
    for &length in lengths {
        let start = end;
        let length = usize::try_from(length).ok().filter(|&length| 0 < length && length <= stamps - start);
        end = start + length.ok_or(codec::Error::Invalid("sequence length"))?;
        ranges.push(start..end);
    }
    if end == stamps { Ok(ranges) } else { Err(codec::Error::Invalid("sequence lengths")) }
}
