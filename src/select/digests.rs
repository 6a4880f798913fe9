//! Which blocks are told as a whole: those of which the index knows enough, where no other place has samples of their
//! stream at their time.

use super::{part_cursor::Wanted, plan::Source};
use crate::model::{Allowance, Stopped, StreamId, sort_copies_by, turns::Pace};

/// Blocks of several streams that are looked at for one block; where there are more, it is not told as a whole.
const LOOKS_MAX: usize = 64;

/// Marks such blocks. `digestible` says of a stretch of time whether a query needs nothing of it but what it comes to.
pub(super) fn mark(
    sources: &mut [Source<'_>],
    digestible: &dyn Fn(i64, i64) -> bool,
    allowance: &dyn Allowance,
) -> Result<(), Stopped> {
    let spans: Vec<_> = sources.iter().map(Source::span).collect();
    let meets_others = meeting(&spans);
    let mut taken = Vec::with_capacity(sources.len());
    for (place, source) in sources.iter().enumerate() {
        let blocks = match source {
            Source::Part(_, blocks) if meets_others[place] => Some(ByStream::new(blocks, allowance)?),
            Source::Part(..) | Source::Memory(_) => None,
        };
        taken.push(Taken { span: spans[place], blocks });
    }
    let mut pace = Pace::default();
    for (place, source) in sources.iter_mut().enumerate() {
        let Source::Part(part, blocks) = source else { continue };
        for wanted in blocks {
            pace.step(1, allowance)?;
            let (Some(stream), times) = (wanted.block.single(), wanted.block.times()) else { continue };
            wanted.digest = digestible(times.0, times.1) && wanted.has_digests(&part.fields);
            if wanted.digest && meets_others[place] {
                pace.step(taken.len(), allowance)?;
                let mut others = taken.iter().enumerate().filter(|&(other, _)| other != place);
                wanted.digest = others.all(|(_, other)| other.is_clear(stream, times));
            }
        }
    }
    Ok(())
}

/// Which of some stretches of time have something in common with another one.
fn meeting(spans: &[Option<(i64, i64)>]) -> Vec<bool> {
    let mut order: Vec<_> = (0..).zip(spans).filter_map(|(place, span)| Some(((*span)?, place))).collect();
    order.sort_unstable();
    let mut meet = vec![false; spans.len()];
    // The one that reaches furthest of those that begin before. One that reaches less far met it, or ended before it began.
    let mut furthest: Option<(i64, usize)> = None;
    for ((first, last), place) in order {
        if let Some((_, other)) = furthest.filter(|(reach, _)| first <= *reach) {
            (meet[place], meet[other]) = (true, true);
        }
        if furthest.is_none_or(|(reach, _)| last > reach) {
            furthest = Some((last, place));
        }
    }
    meet
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

#[derive(Clone, Copy)]
struct Single {
    stream: StreamId,
    first_time: i64,
    /// The greatest last time of the stream's blocks up to this one.
    reach: i64,
}

#[derive(Clone, Copy)]
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
        let mut pace = Pace::default();
        for Wanted { block, .. } in blocks {
            pace.step(1, allowance)?;
            let ((first, last), times) = (block.stream_bounds(), block.times());
            match block.single() {
                Some(stream) => single.push(Single { stream, first_time: times.0, reach: times.1 }),
                None => gathered.push(Gathered { first, last, times, reach: last }),
            }
        }
        let order = |block: &Single| (block.stream, block.first_time);
        sort_copies_by(&mut single, |a, b| order(a).cmp(&order(b)), |_| allowance.check())?;
        for block in 1..single.len() {
            if single[block].stream == single[block - 1].stream {
                single[block].reach = single[block].reach.max(single[block - 1].reach);
            }
        }
        sort_copies_by(&mut gathered, |a, b| a.first.cmp(&b.first), |_| allowance.check())?;
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

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;

    #[test]
    fn stretches_that_meet_are_those_with_something_in_common() {
        for seed in 0..2_000 {
            let mut rng = Rng::with_seed(seed);
            let span = |rng: &mut Rng| {
                let first = rng.i64(0..60);
                (rng.u8(..8) > 0).then(|| (first, first + rng.i64(0..12)))
            };
            let spans: Vec<_> = (0..rng.usize(0..8)).map(|_| span(&mut rng)).collect();
            let meets = |place: usize| {
                let others = (0..spans.len()).filter(|other| *other != place).filter_map(|other| spans[other]);
                spans[place].is_some_and(|span| others.into_iter().any(|other| !is_apart(span, other)))
            };
            assert_eq!(meeting(&spans), (0..spans.len()).map(meets).collect::<Vec<_>>(), "{spans:?}");
        }
    }
}
