//! A flipped byte of a stored file, wherever it is: what is served is right, and what is not served is told.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    disk::{Entry, SimDisk},
    durability::Mode,
    engine::{Engine, Receipt},
    model::{Labels, MatchOp, Matcher, Position, SeqNo, TimeRange},
    promql::{self, Sample, Value},
    select::{Series, Source, View},
    tests::{
        scene::{NOW, copy_of},
        stored::{open_in, write},
    },
};

/// The bits of the value of each sample, by series.
type Contents = BTreeMap<String, BTreeMap<i64, u64>>;

/// How many the first start took: of each series, every fourth sample and so on.
const BATCHES: u64 = 24;

/// A long stream with blocks of its own, short ones that share a block, a constant, and one that comes late.
fn truth() -> Vec<Series> {
    let series = |name: &str, host: &str, start: i64, values: Vec<f64>| {
        let times: Vec<i64> = (0..values.len() as i64).map(|n| (start + 10 * n) * 1_000_000_000).collect();
        Series::new(Labels::from([("__name__", name), ("host", host)]), times, values)
    };
    let noise = |seed: u64, count: usize| {
        let mut random = fastrand::Rng::with_seed(seed);
        (0..count).map(|_| f64::from(random.i32(0..10_000)) / 100.0).collect::<Vec<_>>()
    };
    vec![
        series("cpu", "a", 0, noise(1, 1_200)),
        series("disk", "a", 5, noise(2, 40)),
        series("disk", "b", 5, noise(3, 50)),
        series("disk", "c", 6, noise(4, 30)),
        series("up", "a", 1, vec![1.0; 60]),
        series("zone", "late", 9_000, noise(5, 8)),
    ]
}

fn contents(series: impl IntoIterator<Item = Series>) -> Contents {
    let bits = |series: &Series| series.times.iter().copied().zip(series.values.iter().map(|v| v.to_bits())).collect();
    series.into_iter().map(|series| (series.labels.to_string(), bits(&series))).collect()
}

/// What a query for everything gets, and what it is told.
fn ask(engine: &Arc<Engine>) -> (Contents, Vec<String>) {
    let everything = [Matcher::new("__name__", MatchOp::Regex, ".+").unwrap()];
    let view = View::new(engine);
    let found = contents(view.select(&everything, TimeRange::ALL).unwrap().map(|series| series.unwrap()));
    (found, view.left_out())
}

/// How many samples are missing. All that are there are right; where some are missing, somebody says so.
fn missing(engine: &Arc<Engine>, truth: &Contents, when: &str) -> usize {
    let (found, told) = ask(engine);
    for (labels, samples) in &found {
        let right = truth.get(labels).unwrap_or_else(|| panic!("{when}: nobody wrote {labels}"));
        for (time, value) in samples {
            assert_eq!(right.get(time), Some(value), "{when}: a wrong value of {labels} at {time}");
        }
    }
    let count = |contents: &Contents| contents.values().map(BTreeMap::len).sum::<usize>();
    let missing = count(truth) - count(&found);
    assert!(missing == 0 || !told.is_empty(), "{when}: {missing} samples are missing and nobody says so");
    missing
}

fn file(disk: &SimDisk, extension: &str) -> PathBuf {
    let has = |path: &Path| path.extension().is_some_and(|found| found == extension);
    disk.entries().into_iter().find(|entry| has(&entry.path)).unwrap().path
}

/// What flips of one file did.
#[derive(Debug, Default)]
struct Tally {
    flips: usize,
    /// Flips that cost samples in the running server, after a restart, and once parts were merged.
    running: usize,
    restarted: usize,
    merged: usize,
    /// Flips that cost all samples of the file.
    whole: usize,
}

/// Flips every `stride`-th byte of a file, each time on a copy of the disk.
fn flip(disk: &SimDisk, mode: Mode, path: &Path, stride: usize) -> Tally {
    let truth = contents(truth());
    let all = truth.values().map(BTreeMap::len).sum::<usize>();
    let bytes = disk.read_file(path).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let mut tally = Tally::default();
    for place in (0..used).step_by(stride) {
        tally.flips += 1;
        let (disk, mask) = (copy_of(disk), [0x01, 0x10, 0x80, 0xff][place / stride % 4]);
        let engine = open_in(&disk, mode).unwrap();
        disk.corrupt(path, place as u64, mask).unwrap();
        let lost = missing(&engine, &truth, &format!("byte {place} of a running server"));
        assert_eq!(missing(&engine, &truth, "asked again"), lost);
        assert!(lost == 0 || !engine.damage().is_empty(), "byte {place}: the status does not say so");
        tally.running += usize::from(lost > 0);
        drop(engine);

        let engine = open_in(&disk, mode).unwrap();
        let lost = missing(&engine, &truth, &format!("byte {place} of a restarted server"));
        tally.restarted += usize::from(lost > 0);
        tally.whole += usize::from(lost == all);
        while engine.flush_step(NOW).unwrap() {}
        while engine.compact_step().unwrap() {}
        assert_eq!(missing(&engine, &truth, &format!("byte {place}, merged")), lost);
        let is_aside = |entry: &Entry| !entry.is_dir && entry.path.starts_with("/data/quarantine");
        let is_kept = disk.entries().iter().any(is_aside);
        assert!(lost == 0 || is_kept || path.extension().unwrap() == "index", "byte {place}: the file is gone");
        drop(engine);
        let lost = missing(&open_in(&disk, mode).unwrap(), &truth, &format!("byte {place}, merged and restarted"));
        tally.merged += usize::from(lost > 0);
    }
    tally
}

/// Samples in several parts of one day.
fn in_parts() -> SimDisk {
    let disk = SimDisk::new(1);
    let engine = open_in(&disk, Mode::WalSync).unwrap();
    for turn in 0..4 {
        write(&engine, &truth(), |index| index % 4 == turn);
        engine.durability().request_rotation();
        engine.commit_step(NOW);
        while engine.flush_step(NOW).unwrap() {}
    }
    drop(engine);
    disk
}

#[test]
fn no_flipped_byte_of_a_part_is_served_or_passed_over_in_silence() {
    let disk = in_parts();
    let tally = flip(&disk, Mode::WalSync, &file(&disk, "part"), 7);
    assert!(tally.flips > 100 && tally.whole == 0, "{tally:?}");
    // Header and tails cost nothing: they stand twice, or are harmless.
    assert!(tally.restarted > tally.flips * 3 / 4 && tally.merged == tally.restarted, "{tally:?}");
    assert!(0 < tally.running && tally.running <= tally.restarted, "{tally:?}");
}

#[test]
fn no_flipped_byte_of_an_index_part_costs_anything_and_the_start_mends_it() {
    let disk = in_parts();
    let (path, truth) = (file(&disk, "index"), contents(truth()));
    let bytes = disk.read_file(&path).unwrap();
    let used: Vec<usize> = (0..bytes.len()).filter(|place| bytes[*place] != 0).collect();
    for place in used.iter().copied().step_by(5).chain([0, bytes.len() - 1]) {
        let disk = copy_of(&disk);
        disk.corrupt(&path, place as u64, 0x04).unwrap();
        for is_first in [true, false] {
            let engine = open_in(&disk, Mode::WalSync).unwrap();
            assert_eq!(missing(&engine, &truth, &format!("byte {place}")), 0);
            let mended = &engine.recovery().mended_files;
            assert_eq!(mended.as_slice(), if is_first { std::slice::from_ref(&path) } else { &[] }, "byte {place}");
            assert!(engine.damage().is_empty() && engine.recovery().damaged_files.is_empty(), "byte {place}");
        }
        assert!(disk.read_file(&path).unwrap() == bytes, "byte {place} is not mended");
    }
}

#[test]
fn no_flipped_byte_of_a_container_is_served_or_passed_over_in_silence() {
    let disk = SimDisk::new(1);
    let engine = open_in(&disk, Mode::WriteBehind).unwrap();
    for turn in 0..4 {
        write(&engine, &truth(), |index| index % 4 == turn);
        assert!(engine.sync_step(NOW));
    }
    drop(engine);
    let tally = flip(&disk, Mode::WriteBehind, &file(&disk, "pages"), 29);
    assert!(tally.flips > 100 && tally.running > 0 && tally.restarted > tally.flips / 2, "{tally:?}");
}

#[test]
fn a_query_names_the_damaged_block_and_what_it_held_and_a_merge_keeps_the_rest() {
    let disk = in_parts();
    let engine = open_in(&disk, Mode::WalSync).unwrap();
    let path = file(&disk, "part");
    let first = engine.parts().iter().next().unwrap().own_file().unwrap().0;
    // Behind the header stands the first column of the first table.
    disk.corrupt(&path, 20, 0x40).unwrap();
    let ask = |text: &str| {
        let expr = promql::parse(text).unwrap();
        let answer = promql::instant(&View::new(&engine), &expr, 20_000_000_000_000, &promql::Options::default());
        let answer = answer.unwrap();
        (answer.value, answer.warnings.iter().map(|warning| warning.text(text)).collect::<Vec<_>>())
    };
    let counted = |value: Value| match value {
        Value::Vector(samples) => samples.into_iter().map(|sample| sample.sample).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    let (value, warnings) = ask("count_over_time(cpu[6h])");
    assert_eq!(counted(value), [Sample::Float(900.0)]);
    let held = "300 rows from 1970-01-01T00:00:00Z to 1970-01-01T03:19:20Z";
    let block = format!("1 block of part 1970-01-01/{:08} is damaged and was", first.0);
    assert_eq!(warnings, [format!("{block} left out: {held}")]);
    assert_eq!(ask("sum(count_over_time(disk[6h]))").1.len(), 0, "of other tables nothing is missing");
    engine.refresh_metrics();
    assert_eq!((engine.metrics().damaged_blocks.get(), engine.damage()), (1, warnings));

    let receipts = |engine: &Engine| {
        let receipt = |number| engine.receipt(Position { incarnation: 1, number: SeqNo(number) });
        (receipt(1), receipt(BATCHES))
    };
    assert_eq!(receipts(&engine), (Receipt::Damaged, Receipt::Safe), "the block is known to be left out");

    assert!(engine.compact_step().unwrap(), "damage does not keep parts from being merged");
    let (value, warnings) = ask("count_over_time(cpu[6h])");
    assert_eq!(counted(value), [Sample::Float(900.0)]);
    assert_eq!(warnings, [format!("{block} dropped: {held}")]);
    assert_eq!(ask("sum(count_over_time(disk[6h]))").1.len(), 0);
    assert_eq!(engine.metrics().damaged_rows_dropped.get(), 300);
    let is_aside = |entry: &Entry| entry.path.to_string_lossy().ends_with(&format!("-{:08}.part.damaged", first.0));
    assert!(disk.entries().iter().any(is_aside), "the damaged file is kept");
    assert_eq!(receipts(&engine), (Receipt::Damaged, Receipt::Safe));
    engine.close().unwrap();
    drop(engine);
    assert_eq!(
        receipts(&open_in(&disk, Mode::WalSync).unwrap()),
        (Receipt::Damaged, Receipt::Safe),
        "a later start says something else"
    );
}
