use proptest::prelude::*;

use super::*;

/// Random groups in order: tables, streams, up to three sets of fields per stream, of all lengths and kinds of values.
fn groups(seed: u64, streams_max: u32, rows_max: usize) -> Vec<Input> {
    let mut random = fastrand::Rng::with_seed(seed);
    let sets: [&[&'static str]; 4] = [&["a", "b"], &["c"], &["d", "e", "f"], &["g"]];
    let mut groups = Vec::new();
    for table in ["", "cpu", "mem"] {
        let mut stream = random.u32(0..5);
        for _ in 0..random.u32(0..=streams_max) {
            stream += random.u32(1..4);
            for set in sets {
                if random.u8(0..3) > 0 {
                    push_set(&mut groups, &mut random, table, stream, set, rows_max);
                }
            }
        }
    }
    groups
}

/// One group of a set of fields, or two that follow each other.
fn push_set(
    groups: &mut Vec<Input>,
    random: &mut fastrand::Rng,
    table: &'static str,
    stream: u32,
    set: &[&'static str],
    rows_max: usize,
) {
    let mut start = i64::from(random.u8(0..3)) * 7;
    for _ in 0..random.u8(1..=2) {
        let rows = match random.u8(0..10) {
            0 => random.usize(1..=rows_max),
            1 => rows_max.min(8193),
            2 => rows_max.min(1001),
            _ => random.usize(1..=rows_max.min(60)),
        };
        let times = match random.bool() {
            true => seconds(start, rows),
            false => seconds(start, rows).into_iter().map(|time| time + random.i64(0..5_000_000)).collect(),
        };
        start += 10 * rows as i64 + 10;
        let fields = set.iter().map(|&field| (field, column(random, rows))).collect();
        groups.push(Input { table, stream, times, fields });
    }
}

fn column(random: &mut fastrand::Rng, rows: usize) -> Vec<f64> {
    let mut counter = 0.0;
    match random.u8(0..6) {
        0 => vec![random.f64(); rows],
        1 => (0..rows).map(|_| f64::from_bits(random.u64(..))).collect(),
        2 => (0..rows).map(|row| if row % 5 == 4 { f64::from_bits(STALE) } else { row as f64 }).collect(),
        3 => (0..rows).map(|_| random.f64()).collect(),
        4 => values(7, rows),
        _ => {
            let mut step = || {
                counter = if random.u8(..) == 0 { 0.0 } else { counter + f64::from(random.u8(..)) };
                counter
            };
            (0..rows).map(|_| step()).collect()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_pushed_is_read_back(
        seed: u64, streams in 1_u32..20, rows in prop_oneof![Just(50_usize), Just(1200), Just(9000)], full: bool,
    ) {
        let groups = groups(seed, streams.min(60_000 / rows as u32), rows);
        let level = if full { Level::Full } else { Level::Light };
        let part = open(&build(level, &groups)).unwrap();
        let samples: u64 = groups.iter().map(|group| (group.times.len() * group.fields.len()) as u64).sum();
        prop_assert_eq!(part.summary().samples, samples);
        let all = expected(&groups, &all_streams(), TimeRange::ALL);
        prop_assert!(scan(&part).unwrap() == all, "the scan differs");
        prop_assert!(select(&part, &all_streams(), TimeRange::ALL).unwrap() == all, "the selection differs");
    }

    #[test]
    fn filtered_reading_is_filtered_input(
        seed: u64, start in -10_i64..700, length in 0_i64..700, picks in prop::collection::btree_set(0_u32..60, 0..30),
    ) {
        let groups = groups(seed, 15, 300);
        let part = open(&build(Level::Full, &groups)).unwrap();
        let streams: RoaringBitmap = picks.into_iter().collect();
        let range = TimeRange { start: start * 1_000_000_000, end: (start + length) * 1_000_000_000 };
        prop_assert_eq!(select(&part, &streams, range).unwrap(), expected(&groups, &streams, range));
    }

    #[test]
    fn every_aggregate_is_that_of_the_blocks_values(seed: u64) {
        let part = open(&build(Level::Full, &groups(seed, 6, 2000))).unwrap();
        for table in part.tables() {
            for block in blocks_of(&part, &table.name, &all_streams(), None, TimeRange::ALL).unwrap() {
                for field in table.fields.iter().filter_map(|field| part.field(field)).filter(|&field| block.has(field)) {
                    let mut reader = part.reader(&[field]);
                    let run = reader.read(&block, &mut Vec::new()).runs().next().unwrap();
                    let aggregates = block.single().and_then(|_| Aggregates::of(run.values(0).unwrap()));
                    prop_assert_eq!(format!("{:?}", block.aggregates(field)), format!("{aggregates:?}"));
                }
            }
        }
    }
}
