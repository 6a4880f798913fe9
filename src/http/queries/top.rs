//! Which queries were asked most, and took most.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

/// Queries that are remembered.
const COUNT_MAX: usize = 20_000;
/// Bytes of their texts, of which most are the same.
const BYTES_MAX: usize = 4 << 20;

/// The last queries: at most 20,000, and as many as have 4 MiB of texts. The oldest go first.
#[derive(Default)]
pub(super) struct Top {
    /// In the order of their ends.
    ended: VecDeque<Ended>,
    /// How often each text is among them.
    texts: HashMap<Arc<str>, usize>,
    bytes: usize,
}

struct Ended {
    at: Instant,
    text: Arc<str>,
    range: Duration,
    taken: Taken,
}

/// What a query took.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Taken {
    pub(super) time: Duration,
    pub(super) samples: u64,
    /// The most bytes it held at once.
    pub(super) bytes_peak: u64,
}

/// What was asked with one text over one length of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Total {
    pub(super) text: Arc<str>,
    /// From the first to the last evaluation; 0 for instant queries.
    pub(super) range: Duration,
    pub(super) count: u64,
    pub(super) took: Duration,
    pub(super) took_max: Duration,
    pub(super) samples: u64,
    /// The sum of what each held at most.
    pub(super) bytes: u64,
}

impl Top {
    /// Adds a query that ended.
    pub(super) fn add(&mut self, at: Instant, text: Arc<str>, range: Duration, taken: Taken) {
        let text = self.texts.get_key_value(&text).map_or(text, |(known, _)| Arc::clone(known));
        let times = self.texts.entry(Arc::clone(&text)).or_default();
        *times += 1;
        if *times == 1 {
            self.bytes += text.len();
        }
        self.ended.push_back(Ended { at, text, range, taken });
        while self.ended.len() > COUNT_MAX || self.bytes > BYTES_MAX {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some(Ended { text, .. }) = self.ended.pop_front() else { return };
        let times = self.texts.get_mut(&text).expect("it was counted when it came");
        *times -= 1;
        if *times == 0 {
            self.texts.remove(&text);
            self.bytes -= text.len();
        }
    }

    /// What was asked since a time, in no order.
    pub(super) fn totals(&self, since: Option<Instant>) -> Vec<Total> {
        let mut totals: HashMap<(*const u8, Duration), Total> = HashMap::new();
        let recent = self.ended.iter().filter(|ended| since.is_none_or(|since| ended.at >= since));
        for Ended { text, range, taken, .. } in recent {
            // Equal texts are one and the same here.
            let total = totals.entry((text.as_ptr(), *range)).or_insert_with(|| Total {
                text: Arc::clone(text),
                range: *range,
                count: 0,
                took: Duration::ZERO,
                took_max: Duration::ZERO,
                samples: 0,
                bytes: 0,
            });
            total.count += 1;
            total.took += taken.time;
            total.took_max = total.took_max.max(taken.time);
            total.samples += taken.samples;
            total.bytes = total.bytes.saturating_add(taken.bytes_peak);
        }
        totals.into_values().collect()
    }
}

/// The `count` greatest by a number; of equals, those that come first by text.
pub(super) fn greatest<K: Ord>(totals: &[Total], count: usize, key: impl Fn(&Total) -> K) -> Vec<Total> {
    let mut sorted: Vec<&Total> = totals.iter().collect();
    sorted.sort_by(|a, b| key(b).cmp(&key(a)).then_with(|| (&a.text, a.range).cmp(&(&b.text, b.range))));
    sorted.into_iter().take(count).cloned().collect()
}
