//! A stream's rows as columns: what a flush encodes and a query reads.

use std::{
    collections::BTreeMap,
    mem,
    ops::Range,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use super::{
    Generation,
    read::{Run, row_offset, row_order, row_time},
    writer::ROW_HEAD,
};
use crate::model::{
    Allowance, FieldId, LayoutId, SeqNo, Slot, Stopped, TimeRange, Unlimited, sort_copies_by,
    turns::{self, keep_last},
};

/// Fields of a stream that have values at exactly the same times.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Group {
    /// Unix nanoseconds, ascending, each once.
    pub times: Vec<i64>,
    /// The fields by id; each has one value per time.
    pub fields: Vec<(FieldId, Vec<f64>)>,
}

/// Turns the rows of one stream after the other into columns, in buffers it keeps.
///
/// Of several values of one field at one time the last written wins: that of the greater sequence number, within a
/// batch that of the later row, whatever layouts they came in.
#[derive(Debug, Default)]
pub struct Merge {
    groups: Vec<Group>,
    runs: Vec<SortedRun>,
    spare_times: Vec<Vec<i64>>,
    spare_values: Vec<Vec<f64>>,
    /// Rows of a piece that the range wants.
    wanted: Vec<u32>,
    /// Rows of a run by time.
    sorted: Vec<u32>,
    /// Rows of several runs by time.
    picks: Vec<Pick>,
}

/// The rows of one layout: times ascending, each once.
#[derive(Debug)]
struct SortedRun {
    layout: LayoutId,
    times: Vec<i64>,
    /// Each row's order among the rows of its stream; empty where there is only one run to order.
    orders: Vec<u64>,
    columns: Vec<Vec<f64>>,
}

/// A row of one of several runs.
#[derive(Clone, Copy, Debug)]
struct Pick {
    time: i64,
    order: u64,
    run: u32,
    row: u32,
}

/// Where a field's values are: one of the columns of one of the runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    field: FieldId,
    run: u32,
    column: u32,
}

impl Merge {
    /// The rows of a slot with a number behind `after` and up to `upto`, and a time in `range`, as columns: fields that have the same
    /// times are one group, groups come by their first field, and where no row is left there is no group.
    /// `fields_of` gives a layout's fields in the order of its values.
    pub fn columns<'f>(
        &mut self,
        generation: &Generation,
        slot: Slot,
        numbers: (SeqNo, SeqNo),
        range: TimeRange,
        fields_of: impl Fn(LayoutId) -> &'f [FieldId],
    ) -> &[Group] {
        let groups = self.allowed_columns(generation, slot, numbers, range, fields_of, &Unlimited);
        groups.expect("nobody stops it")
    }

    /// As [`Self::columns`], for whom that may take too long: a stream can have millions of rows.
    pub fn allowed_columns<'f>(
        &mut self,
        generation: &Generation,
        slot: Slot,
        (after, upto): (SeqNo, SeqNo),
        range: TimeRange,
        fields_of: impl Fn(LayoutId) -> &'f [FieldId],
        allowance: &dyn Allowance,
    ) -> Result<&[Group], Stopped> {
        self.recycle();
        if let Some(offset_max) = generation.offset_max(upto) {
            let offset_min = (after.0 + 1).saturating_sub(generation.first().0);
            self.load(generation, slot, offset_min..u64::from(offset_max) + 1, range, allowance)?;
        }
        allowance.check()?;
        match self.runs.len() {
            0 => {}
            1 => self.group_single(&fields_of),
            _ => self.group_many(&fields_of, allowance)?,
        }
        Ok(&self.groups)
    }

    /// Takes the buffers of the last answer back.
    fn recycle(&mut self) {
        for group in self.groups.drain(..) {
            self.spare_times.push(group.times);
            self.spare_values.extend(group.fields.into_iter().map(|(_, values)| values));
        }
        for run in mem::take(&mut self.runs) {
            self.recycle_run(run);
        }
    }

    fn recycle_run(&mut self, run: SortedRun) {
        self.spare_times.push(run.times);
        // Columns that became part of an answer left an empty one behind.
        self.spare_values.extend(run.columns.into_iter().filter(|column| column.capacity() > 0));
    }

    fn load(
        &mut self,
        generation: &Generation,
        slot: Slot,
        offsets: Range<u64>,
        range: TimeRange,
        allowance: &dyn Allowance,
    ) -> Result<(), Stopped> {
        let is_alone = generation.runs(slot).nth(1).is_none();
        for run in generation.runs(slot) {
            let mut loaded = self.load_run(&run, &offsets, range, !is_alone, allowance)?;
            if !ascend(&loaded.times, allowance)? {
                self.sort(&mut loaded, allowance)?;
            }
            if loaded.times.is_empty() {
                self.recycle_run(loaded);
            } else {
                self.runs.push(loaded);
            }
        }
        Ok(())
    }

    /// The rows of a run in the order of insertion, transposed.
    fn load_run(
        &mut self,
        run: &Run<'_>,
        offsets: &Range<u64>,
        range: TimeRange,
        with_orders: bool,
        allowance: &dyn Allowance,
    ) -> Result<SortedRun, Stopped> {
        /// Pieces, each a page, between two looks: some 0.1 ms.
        const TURN: usize = 64;
        let mut times = cleared(self.spare_times.pop());
        let mut orders = Vec::new();
        let mut columns: Vec<_> = (0..run.width).map(|_| cleared(self.spare_values.pop())).collect();
        let stride = run.stride();
        for (index, piece) in run.pieces(offsets.start).enumerate() {
            if index % TURN == TURN - 1 {
                allowance.check()?;
            }
            let offset = u64::from(row_offset(piece.words));
            if offset >= offsets.end {
                break;
            }
            if offset < offsets.start {
                run.mark(&piece);
            }
            let piece = piece.words;
            let rows = piece.chunks_exact(stride);
            let row_count = rows.len();
            self.wanted.clear();
            turns::reserve(&mut times, row_count, allowance)?;
            // Offsets ascend, and who asks for the newest rows asks often: those before them are not looked at.
            let first = first_row(piece, stride, offsets.start);
            let from_first = (0..).zip(rows.clone()).skip(first);
            for (index, row) in from_first.take_while(|(_, row)| u64::from(row_offset(row)) < offsets.end) {
                let time = row_time(row);
                if range.contains(time) {
                    self.wanted.push(index);
                    times.push(time);
                }
            }
            if with_orders {
                turns::reserve(&mut orders, self.wanted.len(), allowance)?;
                orders.extend(self.wanted.iter().map(|&row| row_order(&piece[row as usize * stride..])));
            }
            for (place, column) in (ROW_HEAD..).zip(&mut columns) {
                turns::reserve(column, self.wanted.len(), allowance)?;
                if self.wanted.len() == row_count {
                    column.extend(rows.clone().map(|row| f64::from_bits(row[place].load(Relaxed))));
                } else {
                    let words = self.wanted.iter().map(|&row| &piece[row as usize * stride + place]);
                    column.extend(words.map(|word| f64::from_bits(word.load(Relaxed))));
                }
            }
        }
        Ok(SortedRun { layout: run.layout, times, orders, columns })
    }

    /// Sorts a run by time. Of equal times the row inserted last stays.
    fn sort(&mut self, run: &mut SortedRun, allowance: &dyn Allowance) -> Result<(), Stopped> {
        let times = &run.times;
        self.sorted.clear();
        let mut row = 0..;
        turns::extend_mapped(&mut self.sorted, times, allowance, |_| {
            row.next().expect("rows are numbered by 32 bits")
        })?;
        sort_copies_by(&mut self.sorted, |&a, &b| times[a as usize].cmp(&times[b as usize]), |_| allowance.check())?;
        keep_last(&mut self.sorted, allowance, |&row| times[row as usize])?;
        let ordered = reorder(&run.times, &self.sorted, self.spare_times.pop(), allowance)?;
        self.spare_times.push(mem::replace(&mut run.times, ordered));
        if !run.orders.is_empty() {
            run.orders = reorder(&run.orders, &self.sorted, None, allowance)?;
        }
        for column in &mut run.columns {
            let ordered = reorder(column, &self.sorted, self.spare_values.pop(), allowance)?;
            self.spare_values.push(mem::replace(column, ordered));
        }
        Ok(())
    }

    /// One layout: its columns are the answer.
    fn group_single<'f>(&mut self, fields_of: &impl Fn(LayoutId) -> &'f [FieldId]) {
        let run = self.runs.pop().expect("the caller counted one");
        let mut fields: Vec<_> = fields_of(run.layout).iter().copied().zip(run.columns).collect();
        fields.sort_unstable_by_key(|(field, _)| *field);
        self.groups.push(Group { times: run.times, fields });
    }

    /// Several layouts: fields that are in the same runs share their times.
    fn group_many<'f>(
        &mut self,
        fields_of: &impl Fn(LayoutId) -> &'f [FieldId],
        allowance: &dyn Allowance,
    ) -> Result<(), Stopped> {
        let mut places: Vec<_> =
            (0..).zip(&self.runs).flat_map(|(run, rows)| places(run, fields_of(rows.layout))).collect();
        places.sort_unstable();
        let mut by_runs = BTreeMap::<Vec<u32>, Vec<&[Place]>>::new();
        for field in places.chunk_by(|a, b| a.field == b.field) {
            by_runs.entry(field.iter().map(|place| place.run).collect()).or_default().push(field);
        }
        for (runs, fields) in by_runs {
            if let [run] = runs[..] {
                self.group_of_run(run, &fields, allowance)?;
            } else {
                self.group_of_runs(&runs, &fields, allowance)?;
            }
        }
        self.groups.iter_mut().for_each(|group| group.fields.sort_unstable_by_key(|(field, _)| *field));
        self.groups.sort_unstable_by_key(|group| group.fields[0].0);
        Ok(())
    }

    /// Fields that one run alone has.
    fn group_of_run(&mut self, run: u32, fields: &[&[Place]], allowance: &dyn Allowance) -> Result<(), Stopped> {
        let mut times = cleared(self.spare_times.pop());
        let run = &mut self.runs[run as usize];
        turns::extend(&mut times, &run.times, allowance)?;
        let values =
            fields.iter().map(|places| (places[0].field, mem::take(&mut run.columns[places[0].column as usize])));
        let values: Vec<_> = values.collect();
        self.add_group(times, values, allowance)
    }

    /// Fields that all of several runs have.
    fn group_of_runs(&mut self, runs: &[u32], fields: &[&[Place]], allowance: &dyn Allowance) -> Result<(), Stopped> {
        self.picks.clear();
        for &run in runs {
            let rows = &self.runs[run as usize];
            let mut order = (0..).zip(&rows.orders);
            turns::extend_mapped(&mut self.picks, &rows.times, allowance, |&time| {
                let (row, &order) = order.next().expect("each row of several runs has an order");
                Pick { time, order, run, row }
            })?;
        }
        // The ascending runs are found and merged.
        sort_copies_by(&mut self.picks, |a, b| (a.time, a.order).cmp(&(b.time, b.order)), |_| allowance.check())?;
        keep_last(&mut self.picks, allowance, |pick| pick.time)?;
        let mut times = cleared(self.spare_times.pop());
        turns::extend_mapped(&mut times, &self.picks, allowance, |pick| pick.time)?;
        let mut columns = vec![0; self.runs.len()];
        let mut values = Vec::with_capacity(fields.len());
        for places in fields {
            places.iter().for_each(|place| columns[place.run as usize] = place.column as usize);
            let mut column = cleared(self.spare_values.pop());
            turns::extend_mapped(&mut column, &self.picks, allowance, |pick| {
                self.runs[pick.run as usize].columns[columns[pick.run as usize]][pick.row as usize]
            })?;
            values.push((places[0].field, column));
        }
        self.add_group(times, values, allowance)
    }

    /// Adds fields to the group that has their times, or as a new one.
    fn add_group(
        &mut self,
        times: Vec<i64>,
        fields: Vec<(FieldId, Vec<f64>)>,
        allowance: &dyn Allowance,
    ) -> Result<(), Stopped> {
        for group in &mut self.groups {
            if turns::are_equal(&group.times, &times, allowance)? {
                group.fields.extend(fields);
                self.spare_times.push(times);
                return Ok(());
            }
        }
        self.groups.push(Group { times, fields });
        Ok(())
    }

    /// Bytes of what it keeps from stream to stream.
    pub fn size(&self) -> usize {
        let runs = self.runs.iter().map(|run| (&run.times, &run.columns, run.orders.capacity()));
        let runs: usize = runs.map(|(times, columns, orders)| times.capacity() + capacity(columns) + orders).sum();
        let of_group = |group: &Group| {
            group.times.capacity() + group.fields.iter().map(|(_, values)| values.capacity()).sum::<usize>()
        };
        let groups: usize = self.groups.iter().map(of_group).sum();
        let spare = capacity(&self.spare_times) + capacity(&self.spare_values);
        (runs + groups + spare) * size_of::<u64>()
            + (self.sorted.capacity() + self.wanted.capacity()) * size_of::<u32>()
            + self.picks.capacity() * size_of::<Pick>()
    }
}

fn capacity<T>(buffers: &[Vec<T>]) -> usize {
    buffers.iter().map(Vec::capacity).sum()
}

/// Whether times ascend, each once.
fn ascend(times: &[i64], allowance: &dyn Allowance) -> Result<bool, Stopped> {
    let mut before = None;
    for turn in turns::turns(times, allowance) {
        let turn = turn?;
        if before >= turn.first() || !turn.is_sorted_by(|a, b| a < b) {
            return Ok(false);
        }
        before = turn.last();
    }
    Ok(true)
}

fn places(run: u32, fields: &[FieldId]) -> impl Iterator<Item = Place> {
    (0..).zip(fields).map(move |(column, &field)| Place { field, run, column })
}

fn cleared<T>(buffer: Option<Vec<T>>) -> Vec<T> {
    let mut buffer = buffer.unwrap_or_default();
    buffer.clear();
    buffer
}

/// The values at `rows`, in that order.
fn reorder<T: Copy>(
    values: &[T],
    rows: &[u32],
    buffer: Option<Vec<T>>,
    allowance: &dyn Allowance,
) -> Result<Vec<T>, Stopped> {
    let mut ordered = cleared(buffer);
    turns::extend_mapped(&mut ordered, rows, allowance, |&row| values[row as usize])?;
    Ok(ordered)
}

/// The first row of a piece whose offset is `start` or more; the count of rows where there is none.
fn first_row(piece: &[AtomicU64], stride: usize, start: u64) -> usize {
    let (mut low, mut high) = (0, piece.len() / stride);
    while low < high {
        let middle = low + (high - low) / 2;
        match u64::from(row_offset(&piece[middle * stride..])) < start {
            true => low = middle + 1,
            false => high = middle,
        }
    }
    low
}
