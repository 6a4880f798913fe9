//! One consistent view of the data: a set of part images, the generations in memory, and a sequence number.

use std::sync::Arc;

use roaring::RoaringBitmap;

use super::{Batch, Error, Reads, Request, Source, left_out::Gaps, plan, reads::Counters};
use crate::{
    durability::Watermarks,
    engine::{Engine, PartSet, StoredPart},
    index::Index,
    memtable::Generation,
    model::{Allowance, Labels, Matcher, SeqNo, Slot, Stopped, StreamId, TableId, TimeRange},
    parts::Damage,
};

/// What a query sees: every batch up to a number, whatever is written meanwhile.
pub struct View {
    engine: Arc<Engine>,
    upto: SeqNo,
    /// The times that were kept when it was taken.
    kept: TimeRange,
    generations: Arc<Vec<Arc<Generation>>>,
    parts: Arc<PartSet>,
    counters: Counters,
    gaps: Gaps,
    /// Replay was not done when it was taken: some of what survived the last end is not seen.
    is_early: bool,
}

impl View {
    /// A view of everything that is visible now.
    pub fn new(engine: &Arc<Engine>) -> Self {
        Self::upto(engine, |marks| marks.visible)
    }

    /// A view of what is visible now and a power cut would leave.
    pub fn durable(engine: &Arc<Engine>) -> Self {
        // What was just made safe may not be shown yet, after a start above all.
        Self::upto(engine, |marks| marks.power_safe.min(marks.visible))
    }

    /// What its queries took so far.
    pub fn reads(&self) -> Reads {
        self.counters.reads()
    }

    /// The order matters: rows go from generations to parts, so whoever looks at generations first finds a row that
    /// moves meanwhile in one or in both. Found twice, it is the same row.
    fn upto(engine: &Arc<Engine>, upto: impl FnOnce(Watermarks) -> SeqNo) -> Self {
        let is_early = !engine.is_replayed();
        let upto = upto(engine.watermarks());
        let kept = engine.kept(TimeRange::ALL);
        let generations = engine.generations();
        let parts = engine.parts();
        let (counters, gaps) = (Counters::default(), Gaps::default());
        Self { engine: Arc::clone(engine), upto, kept, generations, parts, counters, gaps, is_early }
    }

    /// Where what is read is counted.
    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Notes what of an image could not be read.
    pub(super) fn leave_out(&self, stored: &StoredPart, damage: &[Damage]) {
        self.gaps.add(&self.engine, stored, damage);
    }

    pub(super) fn index(&self) -> &Index {
        self.engine.index()
    }

    /// The last sequence number it sees.
    pub(super) fn last(&self) -> SeqNo {
        self.upto
    }

    /// Where a stream's rows are in memory, if it has been written since the start.
    pub(super) fn slot(&self, table: TableId, stream: StreamId) -> Option<Slot> {
        self.engine.catalogue().slot(table, stream)
    }

    /// The part images that may have rows in a range.
    pub(super) fn parts_in(&self, range: TimeRange) -> impl Iterator<Item = &StoredPart> {
        self.parts.in_range(range).map(|stored| &**stored)
    }

    /// The generations that may have rows in a range.
    pub(super) fn generations_in(&self, range: TimeRange) -> impl Iterator<Item = &Generation> {
        let overlaps = move |(first, last)| range.overlaps(first, last);
        self.generations.iter().map(|generation| &**generation).filter(move |g| g.summary().times.is_some_and(overlaps))
    }

    /// The names of all labels of the series that pass the matchers and may have samples in the range; sorted.
    pub fn label_names(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        allowance: &dyn Allowance,
    ) -> Result<Vec<String>, Stopped> {
        let index = self.engine.index();
        match self.portions_in(range) {
            // Mostly the first portion has all the names there are, and the others need not be made.
            Some(portions) if matchers.is_empty() => {
                index.streams.label_names_among(&index.schema, portions, allowance)
            }
            _ => {
                let within = self.streams_in(range, allowance)?;
                index.streams.label_names(&index.schema, matchers, within.as_ref(), allowance)
            }
        }
    }

    /// The values of a label of the series that pass the matchers and may have samples in the range; sorted.
    pub fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: TimeRange,
        allowance: &dyn Allowance,
    ) -> Result<Vec<String>, Stopped> {
        let within = self.streams_in(range, allowance)?;
        let index = self.engine.index();
        index.streams.label_values(&index.schema, name, matchers, within.as_ref(), allowance)
    }

    /// The label sets of the series that pass the matchers and may have samples in the range; sorted.
    pub fn series(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        allowance: &dyn Allowance,
    ) -> Result<Vec<Labels>, Stopped> {
        let within = self.streams_in(range, allowance)?;
        let index = self.engine.index();
        index.streams.series(&index.schema, matchers, within.as_ref(), allowance)
    }

    /// What of a range was kept when the view was taken.
    fn kept(&self, range: TimeRange) -> TimeRange {
        TimeRange { start: range.start.max(self.kept.start), ..range }
    }

    /// The streams that may have samples in a range, to the day; `None` for all.
    fn streams_in(&self, range: TimeRange, allowance: &dyn Allowance) -> Result<Option<RoaringBitmap>, Stopped> {
        let Some(portions) = self.portions_in(range) else { return Ok(None) };
        let mut all = RoaringBitmap::new();
        for portion in portions {
            allowance.check()?;
            all |= portion;
        }
        Ok(Some(all))
    }

    /// The same in portions, of which several may have a stream; each is made when it is asked for.
    fn portions_in(&self, range: TimeRange) -> Option<impl Iterator<Item = RoaringBitmap>> {
        /// Slots of a portion of a generation.
        const SLOTS: usize = 4096;
        let range = self.kept(range);
        if range == TimeRange::ALL {
            return None;
        }
        let in_parts = self.engine.days().in_range(range).into_iter().map(|day| self.engine.days().streams(day));
        // Pages that an earlier incarnation left are in no index part yet; they are few and soon become parts.
        let pages = self.parts.in_range(range).filter(|stored| stored.own_file().is_none());
        let mut paged: Vec<_> = pages.map(|stored| stored.day).collect();
        paged.dedup(); // they are by day
        let in_pages = paged.into_iter().map(|day| self.engine.page_streams(day));
        let in_memory = self.generations_in(range).flat_map(move |generation| {
            let catalogue = self.engine.catalogue();
            let mut slots = generation.touched_slots().filter_map(|slot| catalogue.stream_at(slot)).peekable();
            std::iter::from_fn(move || {
                slots.peek()?;
                Some(slots.by_ref().take(SLOTS).map(|(_, stream)| stream.0).collect())
            })
        });
        Some(in_parts.chain(in_pages).chain(in_memory))
    }
}

impl Source for View {
    fn batches<'a>(&'a self, request: &Request<'a>) -> Result<Vec<Batch<'a>>, Error> {
        let request = &Request { range: self.kept(request.range), ..*request };
        self.counters.begin(self.parts.iter().map(|stored| stored.summary.blocks).sum());
        let index = self.engine.index();
        let selections = index.streams.select(&index.schema, request.matchers, None, request.allowance)?;
        let tables = selections.iter().map(|selection| index.schema.table_name(selection.table)).collect();
        self.gaps.add_gone(&self.engine, request.range, &tables);
        Ok(plan::batches(self, selections, request)?)
    }

    fn left_out(&self) -> Vec<String> {
        let replay = "replay is under way: batches that are on their way back from the log are not seen yet";
        self.is_early.then(|| replay.to_owned()).into_iter().chain(self.gaps.texts()).collect()
    }
}
