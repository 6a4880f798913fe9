//! What answers leave out because it is damaged: block by block in parts that are in use, and in words what is gone.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use jiff::Timestamp;

use super::{
    Engine, Error, StoredPart,
    marks::{last_day, mark_batches},
    report::ranges,
};
use crate::{
    durability::error_chain,
    model::{Day, SeqNo, TimeRange},
    parts::{Damage, Place},
};

/// Notices that are kept, so that they stay small whatever a disk does. What is beyond them is in the log.
pub(super) const NOTICES_MAX: usize = 1_000;

/// What of one part image is left out.
#[derive(Clone, Debug, Default)]
pub struct LeftOut {
    places: BTreeMap<Place, Lost>,
    /// It was not damaged but could not be read, all of it.
    is_unread: bool,
}

#[derive(Clone, Debug)]
struct Lost {
    blocks: u64,
    rows: Option<u64>,
    times: (i64, i64),
    tables: Vec<Arc<str>>,
}

impl LeftOut {
    /// Adds what was found; whether that is new.
    pub fn note(&mut self, damage: &Damage) -> bool {
        let Damage { place, blocks, rows, times, ref tables, ref error } = *damage;
        self.is_unread = (self.places.is_empty() || self.is_unread) && !error.is_damage();
        self.places.insert(place, Lost { blocks, rows, times, tables: tables.clone() }).is_none()
    }

    /// Adds all that was found.
    pub(super) fn note_all(&mut self, found: impl IntoIterator<Item = Damage>) {
        for damage in found {
            self.note(&damage);
        }
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// How many blocks.
    pub fn blocks(&self) -> u64 {
        self.places.values().map(|lost| lost.blocks).sum()
    }

    /// The rows of those blocks, as far as they are known.
    pub fn rows(&self) -> u64 {
        self.places.values().filter_map(|lost| lost.rows).sum()
    }

    /// Their first and last time.
    fn times(&self) -> (i64, i64) {
        let times = || self.places.values().map(|lost| lost.times);
        (times().map(|times| times.0).min().unwrap_or(i64::MAX), times().map(|times| times.1).max().unwrap_or(i64::MIN))
    }

    /// The tables they are of; `None` where they may be of any.
    fn tables(&self) -> Option<BTreeSet<Arc<str>>> {
        let is_told = self.places.values().all(|lost| !lost.tables.is_empty());
        is_told.then(|| self.places.values().flat_map(|lost| &lost.tables).cloned().collect())
    }

    /// One sentence: how much of what was `left`, which is "left out" or "dropped".
    pub fn text(&self, name: &str, left: &str) -> String {
        let (blocks, rows, (first, last)) = (self.blocks(), self.rows(), self.times());
        let (noun, is, was) = if blocks == 1 { ("block", "is", "was") } else { ("blocks", "are", "were") };
        let why = if self.is_unread { "unreadable" } else { "damaged" };
        let rows = match (self.places.values().all(|lost| lost.rows.is_some()), rows) {
            (true, 1) => "1 row".to_owned(),
            (true, rows) => format!("{rows} rows"),
            (false, 0) => "rows".to_owned(),
            (false, rows) => format!("at least {rows} rows"),
        };
        let (first, last) = (Moment(first), Moment(last));
        format!("{blocks} {noun} of {name} {is} {why} and {was} {left}: {rows} from {first} to {last}")
    }
}

/// A time as people write it.
struct Moment(i64);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Timestamp::from_nanosecond(i128::from(self.0)).map_or(Ok(()), |time| time.fmt(f))
    }
}

/// Something that is gone, and no part in use tells of.
#[derive(Clone, Debug)]
pub(crate) struct Notice {
    text: String,
    /// Answers about other times are whole.
    times: TimeRange,
    /// Answers about other tables are whole; `None` where it may be any.
    tables: Option<BTreeSet<Arc<str>>>,
    /// Nothing of it is of a later day.
    last: Day,
    /// The file it is about, by its name.
    file: Option<String>,
}

impl Notice {
    /// A file of a day that cannot be read at all, or some series of it.
    pub(crate) fn of_file(day: Day, file: &str, what: &str, consequence: &str) -> Self {
        let (text, file) = (format!("{what}: {consequence}"), Some(file.to_owned()));
        Self { text, times: day.range(), tables: None, last: day, file }
    }

    /// Something of which only the numbers are known, and of which nothing is of a later day than `last`.
    pub(crate) fn of_batches(text: String, last: Day) -> Self {
        Self { text, times: TimeRange::ALL, tables: None, last, file: None }
    }

    /// The sentence.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is about a file of a day.
    pub(super) fn is_of(&self, day: Day, file: &str) -> bool {
        self.last == day && self.file.as_deref() == Some(file)
    }

    fn concerns(&self, range: TimeRange, tables: &BTreeSet<&str>) -> bool {
        let asked = |of: &BTreeSet<Arc<str>>| of.iter().any(|table| tables.contains(&**table));
        range.start < self.times.end && self.times.start < range.end && self.tables.as_ref().is_none_or(asked)
    }
}

impl Engine {
    /// Remembers what could not be read of a part image. What is damaged is told in the log once, and then known.
    pub fn note_damage(&self, stored: &StoredPart, damage: &Damage) {
        if !damage.error.is_damage() || stored.note(damage) {
            tracing::error!("of {} a block or more is left out: {}", stored.name(), error_chain(&damage.error));
        }
    }

    /// What is damaged and left out of answers, a sentence each.
    pub fn damage(&self) -> Vec<String> {
        let parts = self.parts();
        let left_out = parts.iter().map(|stored| (stored, stored.left_out())).filter(|(_, left)| !left.is_empty());
        let mut texts: Vec<_> = left_out.map(|(stored, left)| left.text(&stored.name(), "left out")).collect();
        let horizon = self.retention.horizon();
        let notices = self.notices.lock();
        texts.extend(notices.iter().filter(|notice| notice.last >= horizon).map(|notice| notice.text.clone()));
        texts
    }

    /// Whether something is left out of a part that may hold rows of a batch.
    pub(super) fn is_damaged(&self, number: SeqNo) -> bool {
        let parts = self.parts();
        let mut of_it = parts.iter().filter(|stored| (stored.numbers.0..=stored.numbers.1).contains(&number));
        of_it.any(|stored| stored.has_left_out())
    }

    /// What is gone of these times and tables, a sentence each.
    pub fn gone(&self, range: TimeRange, tables: &BTreeSet<&str>) -> Vec<String> {
        let horizon = self.retention.horizon();
        let notices = self.notices.lock();
        let of_it = notices.iter().filter(|notice| notice.last >= horizon && notice.concerns(range, tables));
        of_it.map(|notice| notice.text.clone()).collect()
    }

    /// Notes batches that a start found whole and that cannot be read any more, for this start and later ones.
    pub(super) fn mark_lost(&self, numbers: &[(SeqNo, SeqNo)]) -> Result<Notice, Error> {
        let text = format!("{} had been safe and are damaged: what they held is left out", ranges(numbers));
        let last = last_day(self.parts().iter().map(|part| part.day));
        mark_batches(&*self.disk, &self.paths, self.incarnation, last, numbers[0].0, &text)?;
        Ok(Notice::of_batches(text, last))
    }

    /// Says that batches are gone, from now on.
    pub(super) fn note_lost(&self, numbers: &[(SeqNo, SeqNo)], notice: Notice) {
        tracing::error!("damage: {}", notice.text);
        self.metrics
            .recovery_damaged_numbers
            .add(numbers.iter().map(|(first, last)| (last.0 - first.0 + 1) as i64).sum());
        self.push_notice(notice);
    }

    fn push_notice(&self, notice: Notice) {
        let mut notices = self.notices.lock();
        if notices.len() < NOTICES_MAX {
            notices.push(notice);
        }
    }

    /// Damaged blocks of a part image that was merged into another are gone: says so from now on.
    pub(super) fn give_up(&self, stored: &StoredPart, left_out: &LeftOut) {
        self.metrics.damaged_rows_dropped.inc_by(left_out.rows());
        let text = left_out.text(&stored.name(), "dropped");
        tracing::error!("{text}; the damaged file is kept in quarantine");
        let (first, last) = left_out.times();
        let times = TimeRange { start: first, end: last.saturating_add(1) };
        self.push_notice(Notice { text, times, tables: left_out.tables(), last: Day::of(last), file: None });
    }
}
