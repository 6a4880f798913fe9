//! The parts that count now.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::LeftOut;
use crate::{
    disk::File,
    model::{Day, PartId, SeqNo, TimeRange},
    parts::{self, Damage, Part, Place, Summary},
};

/// A part image that queries read. It is opened when it is first read: a start may find thousands of pages.
pub struct StoredPart {
    /// The day its rows are of.
    pub day: Day,
    /// The sequence numbers it may hold.
    pub numbers: (SeqNo, SeqNo),
    /// How much it holds.
    pub summary: Summary,
    /// Whose it is.
    pub home: Home,
    file: Arc<dyn File>,
    part: OnceLock<Arc<Part>>,
    /// Why it cannot be opened, where that does not change.
    failure: OnceLock<parts::Error>,
    left_out: Mutex<LeftOut>,
}

/// Where a part image is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Home {
    /// A file of its own.
    Part(PartId, PathBuf),
    /// A page, from this byte on, of a container that an earlier incarnation left.
    Page(Arc<Path>, u64),
}

impl StoredPart {
    /// An image in a file, of which `summary` is known.
    pub(crate) fn new(home: Home, file: Arc<dyn File>, day: Day, numbers: (SeqNo, SeqNo), summary: Summary) -> Self {
        let (part, failure, left_out) = (OnceLock::new(), OnceLock::new(), Mutex::default());
        Self { day, numbers, summary, home, file, part, failure, left_out }
    }

    /// A part in a file of its own, open.
    pub(crate) fn opened(
        part: Part,
        file: Arc<dyn File>,
        day: Day,
        numbers: (SeqNo, SeqNo),
        id: PartId,
        path: PathBuf,
    ) -> Self {
        let stored = Self::new(Home::Part(id, path), file, day, numbers, *part.summary());
        Self { part: Arc::new(part).into(), ..stored }
    }

    /// The image, opened now if it was not. All of it is left out where that fails; damaged, it is not read again.
    pub fn part(&self) -> Result<&Arc<Part>, Box<Damage>> {
        if let Some(part) = self.part.get() {
            return Ok(part);
        }
        let base = if let Home::Page(_, base) = self.home { base } else { 0 };
        let known = self.failure.get().and_then(parts::Error::again);
        let opened = known.map_or_else(|| Part::open(Arc::clone(&self.file), base, self.summary.len), Err);
        match opened {
            Ok(part) => Ok(self.part.get_or_init(|| Arc::new(part))),
            Err(error) => {
                error.again().map(|error| self.failure.set(error));
                let Summary { blocks, rows, min_time, max_time, .. } = self.summary;
                let times = (min_time, max_time);
                let (rows, tables) = (Some(rows), Vec::new());
                Err(Box::new(Damage { place: Place::Image, blocks, rows, times, tables, error }))
            }
        }
    }

    /// Its number and path, where it is a file of its own.
    pub fn own_file(&self) -> Option<(PartId, &Path)> {
        match &self.home {
            Home::Part(id, path) => Some((*id, path)),
            Home::Page(..) => None,
        }
    }

    /// What people call it.
    pub fn name(&self) -> String {
        match &self.home {
            Home::Part(id, _) => format!("part {}/{:08}", self.day, id.0),
            Home::Page(path, base) => {
                format!("the page at byte {base} of container {}", path.file_name().unwrap_or_default().display())
            }
        }
    }

    /// Remembers damage; whether it is new.
    pub(super) fn note(&self, damage: &Damage) -> bool {
        self.left_out.lock().note(damage)
    }

    /// Whether damage was found.
    pub(super) fn has_left_out(&self) -> bool {
        !self.left_out.lock().is_empty()
    }

    /// The damage found so far.
    pub fn left_out(&self) -> LeftOut {
        self.left_out.lock().clone()
    }
}

/// All part images, by day; those of a day in sequence order, so that of two equal samples the later one wins.
#[derive(Clone, Default)]
pub struct PartSet {
    days: BTreeMap<Day, Vec<Arc<StoredPart>>>,
}

impl PartSet {
    /// All images.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<StoredPart>> {
        self.days.values().flatten()
    }

    /// The days, each with its images in sequence order.
    pub fn days(&self) -> impl Iterator<Item = (Day, &[Arc<StoredPart>])> {
        self.days.iter().map(|(day, parts)| (*day, &**parts))
    }

    /// The images that may hold rows in a range, by day and then in sequence order.
    pub fn in_range(&self, range: TimeRange) -> impl Iterator<Item = &Arc<StoredPart>> {
        let empty = range.start >= range.end;
        let (first, last) = (Day::of(range.start), Day::of(range.end.saturating_sub(1)));
        let days = (!empty).then(|| self.days.range(first..=last.max(first)));
        days.into_iter()
            .flatten()
            .flat_map(|(_, parts)| parts)
            .filter(move |stored| range.overlaps(stored.summary.min_time, stored.summary.max_time))
    }

    fn add(&mut self, part: Arc<StoredPart>) {
        let parts = self.days.entry(part.day).or_default();
        let place = parts.partition_point(|other| other.numbers <= part.numbers);
        parts.insert(place, part);
    }

    fn remove(&mut self, part: &Arc<StoredPart>) {
        if let Some(parts) = self.days.get_mut(&part.day) {
            parts.retain(|other| !Arc::ptr_eq(other, part));
            if parts.is_empty() {
                self.days.remove(&part.day);
            }
        }
    }
}

/// The set, swapped as a whole: a query keeps the one it began with.
#[derive(Default)]
pub(crate) struct Parts(ArcSwap<PartSet>);

impl Parts {
    pub(crate) fn load(&self) -> Arc<PartSet> {
        self.0.load_full()
    }

    /// Adds and removes at once.
    pub(crate) fn change(&self, add: &[Arc<StoredPart>], remove: &[Arc<StoredPart>]) {
        self.0.rcu(|set| {
            let mut set = PartSet::clone(set);
            remove.iter().for_each(|part| set.remove(part));
            add.iter().for_each(|part| set.add(Arc::clone(part)));
            set
        });
    }
}
