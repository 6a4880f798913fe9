//! Several parts to fewer: which ones, and how they are put together.
//!
//! Universal compaction: within a partition parts stand in sequence order, and only neighbours are merged, so their
//! order decides which of two equal samples wins and rows need no number on disk.
//!
//! Always: the merged part holds exactly what queries would have seen of its inputs, so nothing of what is damaged.
//! Memory: one stream of all inputs, and what the readers and the builder hold.
//! Not here: files, the manifest, and when to look for work (`engine`).

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use crate::{
    model::{Samples, StreamId},
    parts::{Builder, Damage, Error, Part, Scan, Sink},
};

/// Fewer neighbours than this are not worth rewriting them for.
const MERGE_MIN: usize = 4;
/// More than this many at once would hold too many readers' buffers.
const MERGE_MAX: usize = 32;
/// An older neighbour joins while it is at most this many times as large as all newer ones together.
const SIZE_RATIO: u64 = 2;

/// The neighbours to merge among a partition's parts, given their sizes in bytes, oldest first: the newest run of at
/// least `MERGE_MIN` in which no part dwarfs those after it. Every byte is so rewritten about log(size) times.
pub fn plan(sizes: &[u64]) -> Option<Range<usize>> {
    (MERGE_MIN..=sizes.len()).rev().find_map(|end| {
        let mut start = end - 1;
        let mut sum = sizes[start];
        while start > 0 && end - start < MERGE_MAX && sizes[start - 1] <= sum.saturating_mul(SIZE_RATIO) {
            start -= 1;
            sum += sizes[start];
        }
        (end - start >= MERGE_MIN).then_some(start..end)
    })
}

/// Pushes all rows of `inputs` (neighbours, oldest first) to `out`. Where two have the same series and time, the later
/// input wins. What of each input is damaged, and so left out, is the answer.
pub fn merge<S: Sink>(inputs: &[Arc<Part>], out: &mut Builder<S>) -> Result<Vec<Vec<Damage>>, Error> {
    let mut scans: Vec<Scan<'_>> = inputs.iter().map(|part| part.scan()).collect();
    let mut stream = Stream::default();
    while let Some((table, id)) = least(&mut scans)? {
        stream.clear();
        for (input, scan) in scans.iter_mut().enumerate() {
            while scan.peek()?.is_some_and(|next| next == (&*table, id)) {
                let group = scan.next_group()?.expect("peek saw one");
                group.fields().for_each(|(field, values)| stream.add(input, field, group.times, values));
            }
        }
        stream.push_to(&table, id, out)?;
    }
    Ok(scans.into_iter().map(Scan::into_damage).collect())
}

fn least(scans: &mut [Scan<'_>]) -> Result<Option<(String, StreamId)>, Error> {
    let mut least: Option<(&str, StreamId)> = None;
    for scan in scans {
        let Some(next) = scan.peek()? else { continue };
        if least.is_none_or(|least| next < least) {
            least = Some(next);
        }
    }
    Ok(least.map(|(table, id)| (table.to_owned(), id)))
}

/// The samples of one stream, by field and input.
#[derive(Default)]
struct Stream {
    fields: BTreeMap<String, Vec<(usize, Samples)>>,
}

impl Stream {
    fn clear(&mut self) {
        self.fields.clear();
    }

    fn add(&mut self, input: usize, field: &str, times: &[i64], values: &[f64]) {
        if !self.fields.contains_key(field) {
            self.fields.insert(field.to_owned(), Vec::new());
        }
        let runs = self.fields.get_mut(field).expect("inserted if it was missing");
        // A scan gives a field's groups in ascending time, so those of one input make one run.
        match runs.last_mut().filter(|(last, _)| *last == input) {
            Some((_, run)) => run.extend(times, values),
            None => runs.push((input, Samples { times: times.to_vec(), values: values.to_vec() })),
        }
    }

    /// Pushes the fields, those with the same times together.
    fn push_to<S: Sink>(&mut self, table: &str, id: StreamId, out: &mut Builder<S>) -> Result<(), Error> {
        let merged = std::mem::take(&mut self.fields).into_iter();
        let merged =
            merged.map(|(field, runs)| (field, Samples::merge(runs.into_iter().map(|(_, run)| run).collect())));
        let mut groups: Vec<Vec<(String, Samples)>> = Vec::new();
        for (field, samples) in merged {
            match groups.iter_mut().find(|group| group[0].1.times == samples.times) {
                Some(group) => group.push((field, samples)),
                None => groups.push(vec![(field, samples)]),
            }
        }
        for group in groups {
            let fields: Vec<_> = group.iter().map(|(field, samples)| (&**field, &*samples.values)).collect();
            out.push(table, id, &group[0].1.times, &fields)?;
        }
        Ok(())
    }
}
