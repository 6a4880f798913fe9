//! The samples of one stream, put together from the places they are in.

use std::{ops::Range, sync::Arc};

use crate::model::Samples;

/// Rows of one stream, some fields of them, as they are found: piece by piece, later pieces win over earlier ones.
#[derive(Default)]
pub(super) struct Columns {
    times: Vec<i64>,
    /// Per field the values of the pieces that have it, one after the other.
    values: Vec<Vec<f64>>,
    pieces: Vec<Piece>,
    /// The times handed out last: the next stream often has the same.
    shared: Option<Arc<[i64]>>,
}

struct Piece {
    times: Range<usize>,
    /// Fields that it has not; seldom any.
    missing: Vec<usize>,
}

impl Columns {
    /// Room for a stream's rows, of so many fields.
    pub(super) fn begin(&mut self, fields: usize) {
        self.times.clear();
        self.pieces.clear();
        self.values.resize_with(fields, Vec::new);
        self.values.iter_mut().for_each(Vec::clear);
    }

    /// Adds rows: their times, ascending and unique, and for each field its values where they have it.
    pub(super) fn push<'v>(&mut self, times: &[i64], values_of: impl Fn(usize) -> Option<&'v [f64]>) {
        if times.is_empty() {
            return;
        }
        let mut missing = Vec::new();
        for (field, values) in self.values.iter_mut().enumerate() {
            match values_of(field) {
                Some(found) => values.extend_from_slice(found),
                None => missing.push(field),
            }
        }
        if missing.len() < self.values.len() {
            let start = self.times.len();
            self.times.extend_from_slice(times);
            self.pieces.push(Piece { times: start..self.times.len(), missing });
        }
    }

    /// Hands out each field that has samples: its place, times and values.
    pub(super) fn finish(&mut self, mut sink: impl FnMut(usize, Arc<[i64]>, Vec<f64>)) {
        if self.pieces.is_empty() {
            return;
        }
        let in_order = self.pieces.windows(2).all(|pair| self.times[pair[0].times.end - 1] < self.times[pair[1].times.start]);
        if in_order && self.pieces.iter().all(|piece| piece.missing.is_empty()) {
            let times = shared(&mut self.shared, &self.times);
            for (field, values) in self.values.iter_mut().enumerate() {
                let room = values.capacity();
                sink(field, Arc::clone(&times), std::mem::replace(values, Vec::with_capacity(room.min(times.len()))));
            }
            return;
        }
        for field in 0..self.values.len() {
            let samples = Samples::merge(self.runs_of(field));
            if !samples.is_empty() {
                let times = shared(&mut self.shared, &samples.times);
                sink(field, times, samples.values);
            }
        }
    }

    fn runs_of(&self, field: usize) -> Vec<Samples> {
        let mut from = 0;
        let pieces = self.pieces.iter().filter(|piece| !piece.missing.contains(&field));
        let runs = pieces.map(|piece| {
            let values = self.values[field][from..from + piece.times.len()].to_vec();
            from += values.len();
            Samples { times: self.times[piece.times.clone()].to_vec(), values }
        });
        runs.collect()
    }
}

/// The array handed out last if it holds these times, else a new one.
fn shared(last: &mut Option<Arc<[i64]>>, times: &[i64]) -> Arc<[i64]> {
    match last {
        Some(last) if **last == *times => Arc::clone(last),
        _ => Arc::clone(last.insert(times.into())),
    }
}
