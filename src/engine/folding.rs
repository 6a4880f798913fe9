//! Pages that an earlier incarnation left in containers, folded into parts: some commits at a time.
//!
//! A start may find very many: each step takes what it can merge with bounded memory in bounded time, lower numbers first,
//! and all days of a commit at once. Then everything up to its last number is in parts, and a crash in between costs no
//! more than the step that was under way.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{Engine, Error, StoredPart, flushing::Written};
use crate::model::{Day, SeqNo};

/// Pages of one day that are merged at once: each has a reader with buffers of its own.
const DAY_PAGES_MAX: usize = 256;
/// Pages of all days: a batch may be of hundreds of days, and a page costs some microseconds, however small.
const PAGES_MAX: usize = 4_096;
/// Bytes of pages: about a second of work.
const BYTES_MAX: u64 = 64 << 20;

impl Engine {
    /// The oldest pages with numbers below `before` to parts, one a day. Whether there were any.
    pub(super) fn fold_pages(&self, before: SeqNo, now: Duration) -> Result<bool, Error> {
        let set = self.parts();
        let is_due = |part: &&Arc<StoredPart>| part.own_file().is_none() && part.numbers.1 < before;
        let mut pages: Vec<_> = set.iter().filter(is_due).cloned().collect();
        pages.sort_by_key(|page| (page.numbers.1, page.numbers.0));
        pages.truncate(first_group(
            &pages.iter().map(|page| (page.numbers.1, page.day, page.summary.len)).collect::<Vec<_>>(),
        ));
        let Some(upto) = pages.last().map(|page| page.numbers.1) else { return Ok(false) };
        pages.sort_by_key(|page| (page.day, page.numbers));
        let written = self.write(|written| self.write_pages(&pages, upto, written))?;
        self.publish(written, &pages)?;
        // The first index part of a day tells of the streams in all of its pages.
        for day in pages.iter().map(|page| page.day) {
            self.page_fields.lock().remove(&day);
        }
        self.flushed(upto, now);
        Ok(true)
    }

    fn write_pages(&self, pages: &[Arc<StoredPart>], upto: SeqNo, written: &mut Written) -> Result<(), Error> {
        let horizon = self.retention.horizon();
        for of_day in pages.chunk_by(|a, b| a.day == b.day).filter(|pages| pages[0].day >= horizon) {
            let (day, numbers) = (of_day[0].day, (of_day[0].numbers.0, of_day[of_day.len() - 1].numbers.1));
            self.write_merged(day, numbers, Vec::new(), of_day, written)?;
            let new = self.page_fields.lock().get(&day).cloned().unwrap_or_default();
            self.write_index_part(day, new, written)?;
        }
        written.edit.flushed = Some(upto);
        Ok(())
    }
}

/// How many of the pages (last number, day, bytes), which come in the order of their numbers, are folded at once: whole
/// commits, as many as stay within all limits, and one in any case.
fn first_group(pages: &[(SeqNo, Day, u64)]) -> usize {
    let (mut taken, mut bytes, mut of_days) = (0, 0, BTreeMap::<Day, usize>::new());
    for commit in pages.chunk_by(|a, b| a.0 == b.0) {
        for (_, day, size) in commit {
            bytes += size;
            *of_days.entry(*day).or_default() += 1;
        }
        let is_within = taken + commit.len() <= PAGES_MAX
            && bytes <= BYTES_MAX
            && commit.iter().all(|(_, day, _)| of_days[day] <= DAY_PAGES_MAX);
        if taken > 0 && !is_within {
            break;
        }
        taken += commit.len();
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(number: u64, day: i32, size: u64) -> (SeqNo, Day, u64) {
        (SeqNo(number), Day(day), size)
    }

    #[test]
    fn a_group_is_whole_commits_within_all_limits_and_one_in_any_case() {
        let per_day: Vec<_> = (1..=1_000).map(|number| page(number, 0, 1)).collect();
        assert_eq!(first_group(&per_day), DAY_PAGES_MAX);
        let of_two_days: Vec<_> = (1..=1_000).flat_map(|number| [page(number, 0, 1), page(number, 1, 1)]).collect();
        assert_eq!(first_group(&of_two_days), 2 * DAY_PAGES_MAX);
        let of_many_days: Vec<_> = (1..=100).flat_map(|number| (0..300).map(move |day| page(number, day, 1))).collect();
        assert_eq!(first_group(&of_many_days), PAGES_MAX / 300 * 300);
        let large: Vec<_> = (1..=10).map(|number| page(number, 0, BYTES_MAX / 3)).collect();
        assert_eq!(first_group(&large), 3);
        assert_eq!(first_group(&[page(1, 0, BYTES_MAX + 1), page(2, 0, 1)]), 1);
        assert_eq!(first_group(&(0..5_000).map(|day| page(7, day, 1)).collect::<Vec<_>>()), 5_000);
        assert_eq!(first_group(&[]), 0);
    }
}
