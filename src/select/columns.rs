//! The samples of one stream, put together from the places they are in.

use std::{ops::Range, sync::Arc};

use super::Digest;
use crate::{
    model::{Allowance, Samples, Stopped, start_of_bits, turns},
    parts::Aggregates,
};

/// What it costs to come to a piece, in samples copied.
const PIECE: usize = 16;

/// Rows of one stream, some fields of them, as they are found: piece by piece, later pieces win over earlier ones.
#[derive(Default)]
pub(super) struct Columns {
    /// Times of pieces that are in memory.
    times: Vec<i64>,
    /// Per field the values of the pieces that have it, one after the other.
    values: Vec<Vec<f64>>,
    pieces: Vec<Piece>,
    digests: Vec<Stretch>,
    /// The times handed out last, and the pieces they came from: the next stream often has the same.
    shared: Option<Arc<Vec<i64>>>,
    shared_from: Vec<Times>,
}

/// The times of a piece.
#[derive(Clone)]
pub(super) enum Times {
    /// Some of a timestamp column that blocks share.
    Column(Arc<Vec<i64>>, Range<usize>),
    /// Some of [`Columns::times`].
    Own(Range<usize>),
}

impl Times {
    fn of<'t>(&'t self, own: &'t [i64]) -> &'t [i64] {
        match self {
            Self::Column(column, range) => &column[range.clone()],
            Self::Own(range) => &own[range.clone()],
        }
    }

    /// Whether they are seen at a glance to be the same.
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Column(a, some), Self::Column(b, others)) => Arc::ptr_eq(a, b) && some == others,
            _ => false,
        }
    }
}

/// Rows that are told as a whole.
struct Stretch {
    /// The first and the last.
    times: (i64, i64),
    /// What each field comes to, where the rows have it.
    fields: Vec<Option<Aggregates>>,
}

struct Piece {
    times: Times,
    /// Fields that it has not; seldom any.
    missing: Vec<usize>,
}

impl Columns {
    /// Room for a stream's rows, of so many fields.
    pub(super) fn begin(&mut self, fields: usize) {
        self.times.clear();
        self.pieces.clear();
        self.digests.clear();
        self.values.resize_with(fields, Vec::new);
        self.values.iter_mut().for_each(Vec::clear);
    }

    /// Bytes of what it keeps from stream to stream.
    pub(super) fn size(&self) -> usize {
        let values: usize = self.values.iter().map(Vec::capacity).sum();
        (self.times.capacity() + values) * size_of::<f64>()
    }

    /// Adds rows: their times, ascending and unique, and for each field its values where they have it.
    pub(super) fn push<'v>(
        &mut self,
        times: &[i64],
        values_of: impl Fn(usize) -> Option<&'v [f64]>,
        allowance: &dyn Allowance,
    ) -> Result<(), Stopped> {
        let start = self.times.len();
        turns::extend(&mut self.times, times, allowance)?;
        self.push_piece(Times::Own(start..self.times.len()), values_of, allowance)
    }

    /// As [`Self::push`], of rows whose times are some of a column that blocks share.
    pub(super) fn push_shared<'v>(
        &mut self,
        (column, range): (&Arc<Vec<i64>>, Range<usize>),
        values_of: impl Fn(usize) -> Option<&'v [f64]>,
        allowance: &dyn Allowance,
    ) -> Result<(), Stopped> {
        self.push_piece(Times::Column(Arc::clone(column), range), values_of, allowance)
    }

    fn push_piece<'v>(
        &mut self,
        times: Times,
        values_of: impl Fn(usize) -> Option<&'v [f64]>,
        allowance: &dyn Allowance,
    ) -> Result<(), Stopped> {
        if times.of(&self.times).is_empty() {
            return Ok(());
        }
        let mut missing = Vec::new();
        for (field, values) in self.values.iter_mut().enumerate() {
            match values_of(field) {
                Some(found) => turns::extend(values, found, allowance)?,
                None => missing.push(field),
            }
        }
        if missing.len() < self.values.len() {
            self.pieces.push(Piece { times, missing });
        }
        Ok(())
    }

    /// Adds rows of a stretch of time, where there are no others, as a whole.
    pub(super) fn push_digest(&mut self, times: (i64, i64), of: impl Fn(usize) -> Option<Aggregates>) {
        self.digests.push(Stretch { times, fields: (0..self.values.len()).map(of).collect() });
    }

    /// Hands out each field that has samples: its place, times, values, and start timestamps and digests as [`Series`]
    /// has them. With `starts` the last field is that of start timestamps.
    ///
    /// [`Series`]: super::Series
    pub(super) fn finish(
        &mut self,
        starts: bool,
        allowance: &dyn Allowance,
        mut sink: impl FnMut(usize, Arc<Vec<i64>>, Vec<f64>, Vec<i64>, Vec<Digest>),
    ) -> Result<(), Stopped> {
        self.digests.sort_unstable_by_key(|stretch| stretch.times);
        let fields = self.values.len() - usize::from(starts);
        if self.is_plain() {
            let starts = if starts { starts_of(&self.values[fields], allowance)? } else { Vec::new() };
            let times = self.all_times(allowance)?;
            for (field, values) in self.values[..fields].iter_mut().enumerate() {
                let room = Vec::with_capacity(times.len());
                let values = std::mem::replace(values, room);
                let starts = turns::mapped(&starts, allowance, |&start| start)?;
                sink(field, Arc::clone(&times), values, starts, digests_of(&self.digests, field));
            }
            return Ok(());
        }
        let merged = |columns: &Self, field| Samples::allowed_merge(columns.runs_of(field, allowance)?, allowance);
        let starts = if starts { merged(self, fields)? } else { Samples::default() };
        for field in 0..fields {
            let samples = merged(self, field)?;
            let digests = digests_of(&self.digests, field);
            if !samples.is_empty() || !digests.is_empty() {
                let starts = starts_at(&samples.times, &starts, allowance)?;
                sink(field, self.shared(samples.times, allowance)?, samples.values, starts, digests);
            }
        }
        Ok(())
    }

    /// Whether there are rows, the pieces follow one another in time, and all have all fields.
    fn is_plain(&self) -> bool {
        let last = |piece: &Piece| piece.times.of(&self.times).last().copied();
        let first = |piece: &Piece| piece.times.of(&self.times).first().copied();
        !self.pieces.is_empty()
            && self.pieces.iter().all(|piece| piece.missing.is_empty())
            && self.pieces.windows(2).all(|pair| last(&pair[0]) < first(&pair[1]))
    }

    /// The times of all pieces, one after the other.
    fn all_times(&mut self, allowance: &dyn Allowance) -> Result<Arc<Vec<i64>>, Stopped> {
        let is_same = |(piece, last): (&Piece, &Times)| piece.times.is_same(last);
        if let Some(times) = &self.shared
            && self.pieces.len() == self.shared_from.len()
            && self.pieces.iter().zip(&self.shared_from).all(is_same)
        {
            return Ok(Arc::clone(times));
        }
        let count = self.values[0].len();
        // All of the only piece, in a buffer that is not much too large, need not be copied.
        let times = match &self.pieces[..] {
            [Piece { times: Times::Own(_), .. }] if self.times.len() == count && self.times.capacity() <= 2 * count => {
                std::mem::replace(&mut self.times, Vec::with_capacity(count))
            }
            pieces => {
                let (mut times, mut pace) = (Vec::with_capacity(count), turns::Pace::default());
                for piece in pieces {
                    let piece = piece.times.of(&self.times);
                    pace.step(PIECE + piece.len(), allowance)?;
                    turns::extend(&mut times, piece, allowance)?;
                }
                times
            }
        };
        let times = self.shared(times, allowance)?;
        self.shared_from = self.pieces.iter().map(|piece| piece.times.clone()).collect();
        Ok(times)
    }

    /// The array handed out last if it holds these times, else a new one.
    fn shared(&mut self, times: Vec<i64>, allowance: &dyn Allowance) -> Result<Arc<Vec<i64>>, Stopped> {
        if let Some(last) = &self.shared
            && turns::are_equal(last, &times, allowance)?
        {
            return Ok(Arc::clone(last));
        }
        self.shared_from.clear();
        Ok(Arc::clone(self.shared.insert(Arc::new(times))))
    }

    fn runs_of(&self, field: usize, allowance: &dyn Allowance) -> Result<Vec<Samples>, Stopped> {
        let (mut from, mut pace) = (0, turns::Pace::default());
        let pieces = self.pieces.iter().filter(|piece| !piece.missing.contains(&field));
        let runs = pieces.map(|piece| {
            let times = turns::mapped(piece.times.of(&self.times), allowance, |&time| time)?;
            let values = turns::mapped(&self.values[field][from..from + times.len()], allowance, |&value| value)?;
            from += values.len();
            pace.step(PIECE + values.len(), allowance)?;
            Ok(Samples { times, values })
        });
        runs.collect()
    }
}

/// A field's digests.
fn digests_of(stretches: &[Stretch], field: usize) -> Vec<Digest> {
    let digest = |stretch: &Stretch| {
        let (first_time, last_time) = stretch.times;
        Some(Digest { first_time, last_time, of: stretch.fields[field]? })
    };
    stretches.iter().filter_map(digest).collect()
}

/// Start timestamps as stored, one for each time; empty where no sample has one.
fn starts_of(bits: &[f64], allowance: &dyn Allowance) -> Result<Vec<i64>, Stopped> {
    let starts = turns::mapped(bits, allowance, |&bits| start_of_bits(bits))?;
    none_if_zero(starts, allowance)
}

/// The start timestamps of samples at `times`, 0 where there is none; empty where that is all there is.
pub(super) fn starts_at(times: &[i64], starts: &Samples, allowance: &dyn Allowance) -> Result<Vec<i64>, Stopped> {
    if starts.is_empty() {
        return Ok(Vec::new());
    }
    let mut ahead = starts.times.iter().zip(&starts.values).peekable();
    let at = |time: &i64| {
        while ahead.next_if(|(start, _)| *start < time).is_some() {}
        ahead.next_if(|(start, _)| *start == time).map_or(0, |(_, &bits)| start_of_bits(bits))
    };
    none_if_zero(turns::mapped(times, allowance, at)?, allowance)
}

fn none_if_zero(starts: Vec<i64>, allowance: &dyn Allowance) -> Result<Vec<i64>, Stopped> {
    Ok(if turns::all(&starts, allowance, |&start| start == 0)? { Vec::new() } else { starts })
}
