//! Which blocks are told as a whole: those of which the index knows enough, where no other place has samples of their
//! stream at their time.

use super::{part_cursor::Wanted, plan::Source};
use crate::model::{Allowance, Stopped, StreamId, sort_by};

/// Blocks that are looked at between two questions whether to go on.
const STRIDE: usize = 4096;
/// Blocks of several streams that are looked at for one block; where there are more, it is not told as a whole.
const LOOKS_MAX: usize = 64;

/// Marks such blocks. `digestible` says of a stretch of time whether a query needs nothing of it but what it comes to.
pub(super) fn mark(
    sources: &mut [Source<'_>],
    digestible: &dyn Fn(i64, i64) -> bool,
    allowance: &dyn Allowance,
) -> Result<(), Stopped> {
    let spans: Vec<_> = sources.iter().map(Source::span).collect();
    let meets_others = |place: usize| {
        let others = spans.iter().enumerate().filter(|&(other, _)| other != place);
        spans[place].is_some_and(|span| others.filter_map(|(_, other)| *other).any(|other| !is_apart(span, other)))
    };
    let mut taken = Vec::with_capacity(sources.len());
    for (place, source) in sources.iter().enumerate() {
        let blocks = match source {
            Source::Part(_, blocks) if meets_others(place) => Some(ByStream::new(blocks, allowance)?),
            Source::Part(..) | Source::Memory(_) => None,
        };
        taken.push(Taken { span: spans[place], blocks });
    }
    for (place, source) in sources.iter_mut().enumerate() {
        let Source::Part(part, blocks) = source else { continue };
        for (index, wanted) in blocks.iter_mut().enumerate() {
            if index % STRIDE == 0 {
                allowance.check()?;
            }
            let (Some(stream), times) = (wanted.block.single(), wanted.block.times()) else { continue };
            let mut others = taken.iter().enumerate().filter(|&(other, _)| other != place);
            wanted.digest = digestible(times.0, times.1)
                && wanted.has_digests(&part.fields)
                && others.all(|(_, other)| other.is_clear(stream, times));
        }
    }
    Ok(())
}

/// Whether two stretches of time, first and last, have nothing in common.
fn is_apart(a: (i64, i64), b: (i64, i64)) -> bool {
    a.1 < b.0 || b.1 < a.0
}

/// The times at which a place has samples.
struct Taken {
    /// Of any stream.
    span: Option<(i64, i64)>,
    /// By stream, where that is known and matters.
    blocks: Option<ByStream>,
}

impl Taken {
    /// Whether there is nothing of a stream in a stretch of time.
    fn is_clear(&self, stream: StreamId, times: (i64, i64)) -> bool {
        match (self.span, &self.blocks) {
            (None, _) => true,
            (Some(span), _) if is_apart(span, times) => true,
            (Some(_), None) => false,
            (Some(_), Some(blocks)) => blocks.are_clear(stream, times),
        }
    }
}

/// The times of a part's blocks, by the streams in them.
struct ByStream {
    /// Those of one stream, by stream and first time.
    single: Vec<Single>,
    /// Those of several, by the first stream.
    gathered: Vec<Gathered>,
}

struct Single {
    stream: StreamId,
    first_time: i64,
    /// The greatest last time of the stream's blocks up to this one.
    reach: i64,
}

struct Gathered {
    first: StreamId,
    last: StreamId,
    times: (i64, i64),
    /// The greatest last stream of the blocks up to this one.
    reach: StreamId,
}

impl ByStream {
    fn new(blocks: &[Wanted], allowance: &dyn Allowance) -> Result<Self, Stopped> {
        let (mut single, mut gathered) = (Vec::new(), Vec::new());
        for (index, Wanted { block, .. }) in blocks.iter().enumerate() {
            if index % STRIDE == 0 {
                allowance.check()?;
            }
            let ((first, last), times) = (block.stream_bounds(), block.times());
            match block.single() {
                Some(stream) => single.push(Single { stream, first_time: times.0, reach: times.1 }),
                None => gathered.push(Gathered { first, last, times, reach: last }),
            }
        }
        let order = |block: &Single| (block.stream, block.first_time);
        sort_by(&mut single, |a, b| order(a).cmp(&order(b)), |_| allowance.check())?;
        for block in 1..single.len() {
            if single[block].stream == single[block - 1].stream {
                single[block].reach = single[block].reach.max(single[block - 1].reach);
            }
        }
        sort_by(&mut gathered, |a, b| a.first.cmp(&b.first), |_| allowance.check())?;
        let mut reach = StreamId(0);
        for block in &mut gathered {
            reach = reach.max(block.last);
            block.reach = reach;
        }
        Ok(Self { single, gathered })
    }

    /// Whether none of the blocks has anything of a stream in a stretch of time.
    fn are_clear(&self, stream: StreamId, times: (i64, i64)) -> bool {
        let begun = self.single.partition_point(|block| (block.stream, block.first_time) <= (stream, times.1));
        let last = self.single[..begun].last().filter(|block| block.stream == stream);
        if last.is_some_and(|block| block.reach >= times.0) {
            return false;
        }
        let from = self.gathered.partition_point(|block| block.first <= stream);
        let mut before = self.gathered[..from].iter().rev().take_while(|block| block.reach >= stream).enumerate();
        before.all(|(looks, block)| looks < LOOKS_MAX && (block.last < stream || is_apart(block.times, times)))
    }
}
