//! What is written: batches whose every sample can be computed again from the seed, the connection and the number.

use std::fmt;

use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The database that is written to, as the label `db` shows it.
pub(super) const DB: &str = "crashtest";
/// The metrics that are written; as fields, they are the words behind the underscore.
pub(super) const METRICS: [&str; 2] = ["crashtest_count", "crashtest_level"];

/// The first batch's time, 2026-11-20T06:00:00Z, in milliseconds.
const START_MS: i64 = 1_795_154_400_000;
/// Each batch has a second of its own, in which its lines lie a millisecond apart: a sample's time names its batch.
const BATCH_MS: i64 = 1_000;
/// Lines go to this many streams in turn, so that a torn batch would miss some in several.
const LANES: u64 = 8;
/// Batches after which a connection goes on to new streams: their definitions must survive with them.
const EPOCH: u64 = 64;
/// One batch of this many is large.
const LARGE_EVERY: u64 = 40;
const LARGE_LINES: u64 = 400;

/// A batch: which connection wrote it, and as its how-manieth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct BatchId {
    pub(super) connection: u32,
    pub(super) number: u64,
}

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "batch {} of connection {}", self.number, self.connection)
    }
}

/// The contents of all batches.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source {
    pub(super) seed: u64,
}

/// A series of ours, as its labels name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SeriesId {
    connection: u32,
    epoch: u64,
    lane: u64,
    metric: usize,
}

impl Source {
    /// Lines of a batch.
    fn lines(self, batch: BatchId) -> u64 {
        let dice = self.dice(batch, 0, 0);
        if dice.is_multiple_of(LARGE_EVERY) { LARGE_LINES } else { 1 + dice / LARGE_EVERY % LANES }
    }

    /// Samples of a batch.
    pub(super) fn samples(self, batch: BatchId) -> u64 {
        self.lines(batch) * METRICS.len() as u64
    }

    /// The body that writes it; times are in milliseconds.
    pub(super) fn body(self, batch: BatchId) -> String {
        let BatchId { connection, number } = batch;
        let line = |line| {
            let [count, level] = [0, 1].map(|metric| self.value(batch, line, metric));
            let (epoch, lane, time) = (number / EPOCH, line % LANES, time(batch, line));
            format!("crashtest,connection={connection},epoch={epoch},lane={lane} count={count}i,level={level} {time}\n")
        };
        (0..self.lines(batch)).map(line).collect()
    }

    /// A value that is exact as a float and as text: a whole number of 40 bits, or one with eight binary places.
    fn value(self, batch: BatchId, line: u64, metric: usize) -> f64 {
        let bits = self.dice(batch, line, 1 + metric as u64) >> 24;
        if metric == 0 { bits as f64 } else { bits as f64 / 256.0 }
    }

    fn dice(self, batch: BatchId, line: u64, what: u64) -> u64 {
        let words = [u64::from(batch.connection), batch.number, line, what].map(u64::to_le_bytes);
        xxh3_64_with_seed(words.as_flattened(), self.seed)
    }

    /// The batch a sample belongs to, and whether it has the value that was written there; `None` if nobody writes such
    /// a sample.
    pub(super) fn place(self, series: SeriesId, time_ms: i64, value: f64) -> Option<(BatchId, bool)> {
        let since = u64::try_from(time_ms.checked_sub(START_MS)?).ok()?;
        let batch = BatchId { connection: series.connection, number: since / BATCH_MS as u64 };
        let line = since % BATCH_MS as u64;
        let is_ours = line < self.lines(batch) && line % LANES == series.lane && batch.number / EPOCH == series.epoch;
        is_ours.then(|| (batch, value == self.value(batch, line, series.metric)))
    }
}

fn time(batch: BatchId, line: u64) -> i64 {
    START_MS + (batch.number * BATCH_MS as u64 + line) as i64
}

impl SeriesId {
    /// The series of a set of labels; `None` if no batch writes there.
    pub(super) fn of(labels: &Value) -> Option<Self> {
        let number = |name: &str| labels[name].as_str()?.parse().ok();
        let series = Self {
            connection: u32::try_from(number("connection")?).ok()?,
            epoch: number("epoch")?,
            lane: number("lane")?,
            metric: METRICS.iter().position(|metric| labels["__name__"] == **metric)?,
        };
        (*labels == series.labels()).then_some(series)
    }

    fn labels(self) -> Value {
        serde_json::json!({
            "__name__": METRICS[self.metric], "connection": self.connection.to_string(), "db": DB,
            "epoch": self.epoch.to_string(), "lane": self.lane.to_string(),
        })
    }
}
