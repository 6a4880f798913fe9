//! However samples are spread over images, of each stream and time a query finds the one that was written last.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use fastrand::Rng;

use super::stored;
use crate::{
    disk::{CrashKind, SimDisk},
    durability::Mode,
    engine::Engine,
    model::{Batch, METRIC_NAME, MatchOp, Matcher, Rows, StreamKey, TimeRange, Unlimited},
    select::{Request, Source, View},
    stage::RowsEncoder,
};

const DAY: i64 = 86_400_000_000_000;
const TABLES: [(&str, &[&str]); 2] = [("cpu", &["f0", "f1", "f2", "f3", "f4"]), ("disk", &["free", "used"])];

/// By metric name and stream its samples by time.
type Samples = BTreeMap<(String, usize), BTreeMap<i64, f64>>;

struct World {
    rng: Rng,
    disk: SimDisk,
    mode: Mode,
    engine: Arc<Engine>,
    streams: usize,
    /// Commits so far, one each.
    seconds: u64,
    samples: Samples,
}

impl World {
    fn new(seed: u64) -> Self {
        let (mut rng, disk) = (Rng::with_seed(seed), SimDisk::new(seed));
        let mode = [Mode::WalSync, Mode::Parts(Duration::from_secs(1)), Mode::WriteBehind][seed as usize % 3];
        let (engine, streams) = (stored::open_in(&disk, mode).unwrap(), [3, 20, 60, 150][rng.usize(..4)]);
        Self { rng, disk, mode, engine, streams, seconds: 0, samples: Samples::new() }
    }

    /// Some fields of some streams of a table, a few samples each and seldom many: new ones, or in place of others.
    fn commit(&mut self) {
        let Self { rng, engine, .. } = self;
        let (table, fields) = TABLES[rng.usize(..2)];
        let fields: Vec<_> = fields.iter().copied().filter(|_| rng.bool()).collect();
        if fields.is_empty() {
            return;
        }
        let (layout, order) = engine.layout(table, &fields).unwrap();
        let mut rows = Rows { layout, width: fields.len(), ..Rows::default() };
        let (first, every, is_new) = (rng.usize(..self.streams), rng.usize(1..6), rng.u8(..3) > 0);
        let day = if rng.u8(..4) == 0 { DAY } else { 0 };
        for number in (first..self.streams).filter(|number| number % every == 0) {
            let key = StreamKey::new(table, [("s", number.to_string().as_str())]).unwrap();
            let (stream, slot) = engine.stream(&key).unwrap();
            let count = if rng.u8(..30) == 0 { rng.i64(1..400) } else { rng.i64(1..4) };
            let begin = day + if is_new { self.seconds as i64 * 10 } else { rng.i64(0..600) };
            for time in begin..begin + count {
                rows.streams.push(stream);
                rows.slots.push(slot);
                rows.times.push(time);
                let values: Vec<_> = fields.iter().map(|_| f64::from(rng.i32(0..1_000_000))).collect();
                for (field, value) in fields.iter().zip(&values) {
                    self.samples.entry((format!("{table}_{field}"), number)).or_default().insert(time, *value);
                }
                rows.values.extend(order.iter().map(|&place| values[usize::from(place)]));
            }
        }
        let (batch, mut payload) = (Batch { groups: vec![rows] }, Vec::new());
        RowsEncoder::default().encode(&batch, &mut payload);
        if !batch.is_empty() {
            drop(engine.submit(batch, payload, None).unwrap());
        }
        self.seconds += 1;
        engine.commit_step(Duration::from_secs(self.seconds));
        engine.sync_step(Duration::from_secs(self.seconds));
    }

    fn restart(&mut self) {
        self.engine.sync_step(Duration::from_secs(self.seconds + 60));
        self.disk.crash(CrashKind::PowerNone);
        self.disk.restart();
        self.engine = stored::open_in(&self.disk, self.mode).unwrap();
    }

    /// Moves what is there to other images.
    fn rearrange(&mut self) {
        match self.rng.u8(..6) {
            0 | 1 => self.restart(),
            2 => {
                self.restart();
                self.engine.flush_step(Duration::from_secs(1_000)).unwrap();
            }
            3 => stored::flush(&self.engine),
            4 => while self.engine.compact_step().unwrap() {},
            _ => {}
        }
    }

    fn query(&mut self) {
        let rng = &mut self.rng;
        let name = ["cpu_f0", "cpu_f[13]", "disk_.+", ".+"][rng.usize(..4)];
        let stream = [".*", ".*[13579]", "7|11|13", "2"][rng.usize(..4)];
        let matchers = [(METRIC_NAME, name), ("s", stream)];
        let matchers = matchers.map(|(label, pattern)| Matcher::new(label, MatchOp::Regex, pattern).unwrap());
        let start = rng.i64(0..1_000);
        let end = start + rng.i64(1..500);
        let range = [TimeRange::ALL, TimeRange { start, end }, TimeRange { start, end: DAY + end }][rng.usize(..3)];
        let series_max = [1, rng.usize(1..100), usize::MAX][rng.usize(..3)];
        let view = View::new(&self.engine);
        let request = Request { matchers: &matchers, range, series_max, digestible: None, allowance: &Unlimited };
        let mut batches = view.batches(&request).unwrap();
        rng.shuffle(&mut batches);
        let mut found = BTreeMap::new();
        for series in batches.into_iter().flatten().map(Result::unwrap) {
            let key = (series.labels.metric().to_owned(), series.labels.get("s").parse().unwrap());
            let samples: Vec<_> = series.times.iter().copied().zip(series.values).collect();
            assert!(found.insert(key, samples).is_none(), "{} comes twice", series.labels);
        }
        let passes =
            |(name, stream): &(String, usize)| matchers[0].matches(name) && matchers[1].matches(&stream.to_string());
        let wanted = self.samples.iter().filter(|(key, _)| passes(key)).map(|(key, samples)| {
            let samples: Vec<_> = samples.range(range.start..range.end).map(|(&time, &value)| (time, value)).collect();
            (key.clone(), samples)
        });
        let wanted: BTreeMap<_, _> = wanted.filter(|(_, samples)| !samples.is_empty()).collect();
        assert!(found == wanted, "{matchers:?} {range:?} {series_max}: {} of {} series", found.len(), wanted.len());
    }
}

#[test]
fn however_samples_are_spread_over_images_the_last_one_written_is_found() {
    for seed in 0..60 {
        println!("seed {seed}");
        let mut world = World::new(seed);
        for _ in 0..5 {
            (0..world.rng.usize(1..60)).for_each(|_| world.commit());
            world.rearrange();
            (0..8).for_each(|_| world.query());
        }
    }
}
