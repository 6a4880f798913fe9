//! Queries give the same whether blocks are told as a whole or sample by sample.

use fastrand::Rng;

use crate::{
    disk::SimDisk,
    durability::Mode,
    model::{Labels, METRIC_NAME, TimeRange},
    promql::{self, Options, STALE_MARKER, Sample, Value, parse},
    select::{Batch, Error, Request, Series, Source, View},
    tests::{
        starts,
        stored::{flush, open_in, write},
    },
};

const SECOND: i64 = 1_000_000_000;
const START: i64 = 1_700_000_000 * SECOND;

/// A view whose samples come one by one.
struct Plain<'v>(&'v View);

impl Source for Plain<'_> {
    fn batches<'a>(&'a self, request: &Request<'a>) -> Result<Vec<Batch<'a>>, Error> {
        self.0.batches(&Request { digestible: None, ..*request })
    }
}

/// Three days at ten seconds: counters with restarts, gauges of odd decimals, and one that is stale now and then.
fn series(rng: &mut Rng) -> Vec<Series> {
    let times: Vec<i64> = (0..3 * 8640).map(|index| START + index * 10 * SECOND).collect();
    let one = |kind: usize, rng: &mut Rng| {
        let mut value = 0.0;
        let mut values = Vec::new();
        for _ in &times {
            value = match kind {
                0 if rng.u32(..2000) == 0 => 0.0,
                0 => value + f64::from(rng.u8(..)),
                1 => rng.f64() * 100.0 - 50.0,
                _ => f64::from(rng.u8(..)),
            };
            values.push(if kind == 2 && rng.u32(..4000) == 0 { f64::from_bits(STALE_MARKER) } else { value });
        }
        values
    };
    let kinds = [("c_total", 0), ("g", 1), ("s", 2)];
    let all = kinds.into_iter().flat_map(|(name, kind)| (0..2).map(move |i| (name, kind, i)));
    let of = |(name, kind, i): (&str, usize, i32)| {
        let labels = Labels::from([(METRIC_NAME, name), ("i", &i.to_string())]);
        Series::new(labels, times.as_slice(), one(kind, rng))
    };
    all.map(of).collect()
}

/// A view of them: the first two days in parts of their own, a part that lies across the second, the rest in memory.
fn view(rng: &mut Rng) -> View {
    let disk = SimDisk::new(1);
    let engine = open_in(&disk, Mode::WalSync).unwrap();
    let series = series(rng);
    let across = |index: usize| (9000..12000).contains(&index) && index.is_multiple_of(3);
    write(&engine, &series, |index| index < 17_000 && !across(index));
    flush(&engine);
    write(&engine, &series, across);
    flush(&engine);
    write(&engine, &series, |index| index >= 17_000);
    View::new(&engine)
}

fn query(rng: &mut Rng) -> String {
    let name = ["c_total", "g", "s", "{i=\"1\"}"][rng.usize(..4)];
    let functions = ["avg", "count", "first", "last", "max", "min", "present", "sum"];
    let range = [600, 3600, 6 * 3600, 43_200, 86_400, 200_000][rng.usize(..6)] + rng.i64(0..2) * rng.i64(0..300);
    let place = [String::new(), format!(" offset {}s", rng.u32(0..90_000)), " @ end()".to_owned()];
    let place = &place[rng.usize(..3)];
    match rng.u8(..7) {
        0 => format!("{name}{place}"),
        1 => format!("timestamp(s{place})"),
        2 => format!("rate(c_total[{range}s]{place})"),
        3 => format!("increase(g[{range}s]{place})"),
        4 => format!("delta(g[{range}s]{place})"),
        _ => format!(
            "{}_over_time({}[{range}s]{place})",
            functions[rng.usize(..8)],
            ["c_total", "g", "s"][rng.usize(..3)]
        ),
    }
}

fn samples(value: &Value) -> Vec<(String, i64, f64)> {
    let Value::Matrix(series) = value else { panic!("a range query gives a matrix") };
    let of = |s: &promql::MatrixSeries| {
        let labels = s.labels.to_string();
        s.floats.iter().map(|&(time, value)| (labels.clone(), time, value)).collect::<Vec<_>>()
    };
    series.iter().flat_map(of).collect()
}

#[test]
fn a_block_told_as_a_whole_gives_what_its_samples_give() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    let view = view(&mut rng);
    for _ in 0..400 {
        let text = query(&mut rng);
        let expr = parse(&text).unwrap();
        let start = START + rng.i64(0..3 * 86_400 + 20_000) * SECOND + [0, 5, 1][rng.usize(..3)] * (SECOND / 5);
        let (step, count) = [(1, 1), (3600, 5), (43_200, 4), (86_400, 3), (60, 30)][rng.usize(..5)];
        let run = |source: &dyn Source| {
            let end = start + step * (count - 1) * SECOND;
            promql::range(source, &expr, start, end, step * SECOND, &Options::default()).unwrap()
        };
        let (whole, plain) = (run(&view), run(&Plain(&view)));
        let (whole, plain) = (samples(&whole.value), samples(&plain.value));
        assert_eq!(whole.len(), plain.len(), "{text} from {start} by {step}");
        for (a, b) in whole.iter().zip(&plain) {
            let close = (a.2 - b.2).abs() <= 1e-12 * b.2.abs().max(1e-3) || a.2.to_bits() == b.2.to_bits();
            assert!(a.0 == b.0 && a.1 == b.1 && close, "{text} from {start} by {step}: {a:?}, one by one {b:?}");
        }
    }
    assert_ne!(view.reads().blocks_skipped, 0);
}

#[test]
fn long_windows_and_last_points_decode_nothing_that_the_index_tells() {
    let mut rng = Rng::with_seed(1);
    let view = view(&mut rng);
    let before = view.reads();
    for text in ["c_total", "sum(count_over_time(g[12h]))"] {
        let time = START + 12 * 3600 * SECOND;
        promql::instant(&view, &parse(text).unwrap(), time, &Options::default()).unwrap();
    }
    let after = view.reads();
    assert!(after.samples_decoded - before.samples_decoded < 4 * 8192, "{before:?} {after:?}");
    let everything = view.select(&[], TimeRange::ALL).unwrap().map(Result::unwrap);
    assert!(everything.flat_map(|series| series.digests).next().is_none(), "told whole only where asked for");
}

/// How many samples of a name there are.
fn count(view: &View, name: &str) -> f64 {
    let expr = parse(&format!("sum(count_over_time({name}[4d]))")).unwrap();
    let answer = promql::instant(view, &expr, START + 3 * 86_400 * SECOND, &Options::default()).unwrap();
    let Value::Vector(vector) = answer.value else { panic!("an instant query gives a vector") };
    let Sample::Float(count) = vector[0].sample else { panic!("a sum of floats is a float") };
    count
}

#[test]
fn where_two_streams_carry_one_series_none_of_its_blocks_is_lost() {
    let engine = open_in(&SimDisk::new(1), Mode::WalSync).unwrap();
    let times: Vec<i64> = (0..3_000).map(|index| START + index * SECOND).collect();
    let values = times.iter().map(|time| *time as f64).collect();
    write(&engine, &[Series::new(Labels::from([(METRIC_NAME, "a_b_c")]), times, values)], |_| true);
    starts::write(&engine, "a_b", &["c"], START + 5_000 * SECOND, &[1.0]);
    flush(&engine);
    assert_eq!(count(&View::new(&engine), "a_b_c"), 3_001.0);
}

#[test]
fn blocks_are_told_as_a_whole_where_only_other_streams_have_samples_at_their_time() {
    let (disk, mut rng) = (SimDisk::new(1), Rng::with_seed(2));
    let engine = open_in(&disk, Mode::WalSync).unwrap();
    let series = series(&mut rng);
    let [first, second] = [&series[..1], &series[1..2]];
    write(&engine, first, |index| index < 9_000);
    write(&engine, second, |index| index < 6_000);
    flush(&engine);
    write(&engine, first, |index| (9_000..20_000).contains(&index));
    write(&engine, second, |index| (6_000..20_000).contains(&index));
    flush(&engine);
    let view = View::new(&engine);
    assert_eq!(count(&view, "c_total"), 40_000.0);
    // Of the day on which they begin each has 640 rows, which share a block.
    assert_eq!(view.reads().samples_decoded, 2 * 640, "{:?}", view.reads());
    // A row of one of them amid a block of its own makes that one count sample by sample, and no other.
    write(&engine, &[Series::new(second[0].labels.clone(), [START + 30_000 * SECOND + 5], vec![7.0])], |_| true);
    flush(&engine);
    let view = View::new(&engine);
    assert_eq!(count(&view, "c_total"), 40_001.0);
    let decoded = view.reads().samples_decoded;
    assert!((2 * 640 + 1..=2 * 640 + 1 + 8_192).contains(&decoded), "{:?}", view.reads());
}
