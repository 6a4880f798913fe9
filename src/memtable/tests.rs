use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering, Ordering::Relaxed},
    },
    thread,
};

use proptest::prelude::*;

use super::*;
use crate::model::{
    Allowance, Batch, Day, FieldId, LayoutId, NANOS_PER_DAY, Rows, SeqNo, Slot, Stopped, StreamId, TableId, TimeRange,
};

/// Small chunks, so that a few rows fill several.
fn small_pool() -> Arc<ArenaPool> {
    ArenaPool::new(ArenaOptions { chunk_size: 1024, spare_size_max: 8 * 1024 })
}

/// Layouts of one table that overlap in their fields.
const LAYOUTS: [&[FieldId]; 4] =
    [&[FieldId(0)], &[FieldId(0), FieldId(1)], &[FieldId(2), FieldId(5), FieldId(7)], &[FieldId(1), FieldId(7)]];

fn fields_of(layout: LayoutId) -> &'static [FieldId] {
    LAYOUTS[layout.0 as usize]
}

/// Rows of one layout: slot, time, and the value its first field gets (the others get greater ones).
fn rows(layout: u32, rows: &[(u32, i64, f64)]) -> Rows {
    let width = LAYOUTS[layout as usize].len();
    Rows {
        places: Vec::new(),
        layout: LayoutId(layout),
        width,
        streams: rows.iter().map(|row| StreamId(row.0)).collect(),
        slots: rows.iter().map(|row| Slot(row.0)).collect(),
        times: rows.iter().map(|row| row.1).collect(),
        values: rows.iter().flat_map(|row| (0..width).map(|place| row.2 + place as f64 / 8.0)).collect(),
    }
}

fn batch(groups: impl IntoIterator<Item = Rows>) -> Batch {
    Batch { groups: groups.into_iter().collect() }
}

fn generation(batches: &[(u64, Batch)]) -> (Writer, Arc<Generation>) {
    let (mut writer, generation) = Generation::new(&small_pool(), SeqNo(1), usize::MAX);
    for (seq, batch) in batches {
        writer.insert(SeqNo(*seq), batch, |_, _| {});
    }
    (writer, generation)
}

#[test]
fn a_stream_entered_by_many_threads_at_once_has_one_slot_and_slots_are_dense() {
    let catalogue = Catalogue::default();
    let enter_all =
        || (0..500).map(|stream| catalogue.enter(TableId(stream % 3), StreamId(stream))).collect::<Vec<_>>();
    let slots = thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(enter_all)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(slots.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(slots[0].iter().collect::<BTreeSet<_>>(), (0..500).map(Slot).collect::<Vec<_>>().iter().collect());
    assert_eq!(catalogue.count(), 500);
    for (stream, &slot) in (0..).zip(&slots[0]) {
        assert_eq!(catalogue.stream_at(slot), Some((TableId(stream % 3), StreamId(stream))));
    }
}

#[test]
fn a_tables_streams_come_in_order_whatever_order_they_were_entered_in() {
    let catalogue = Catalogue::default();
    for (table, stream) in [(1, 9), (0, 5), (1, 2), (2, 0), (1, u32::MAX)] {
        catalogue.enter(TableId(table), StreamId(stream));
    }
    let streams: Vec<_> = catalogue.streams(TableId(1)).collect();
    assert_eq!(streams, [(StreamId(2), Slot(2)), (StreamId(9), Slot(0)), (StreamId(u32::MAX), Slot(4))]);
    assert_eq!(catalogue.slot(TableId(0), StreamId(9)), None);
    assert_eq!(catalogue.stream_at(Slot(5)), None);
}

#[test]
fn rows_come_back_run_by_run_in_the_order_of_insertion() {
    let first = batch([rows(1, &[(0, 30, 1.0), (1, 10, 2.0)]), rows(0, &[(0, 20, 3.0)])]);
    let (_writer, generation) = generation(&[(1, first), (4, batch([rows(1, &[(0, 10, 4.0)])]))]);
    let mut seen = Vec::new();
    generation.read(Slot(0), SeqNo(9), TimeRange::ALL, |row| {
        seen.push((row.layout.0, row.seq.0, row.time, row.values.to_vec()));
    });
    assert_eq!(seen, [(1, 1, 30, vec![1.0, 1.125]), (1, 4, 10, vec![4.0, 4.125]), (0, 1, 20, vec![3.0])]);
    assert_eq!(generation.layouts(Slot(0)).collect::<Vec<_>>(), [LayoutId(1), LayoutId(0)]);
    generation.read(Slot(7), SeqNo(9), TimeRange::ALL, |row| panic!("slot 7 has no row, but {row:?}"));
}

#[test]
fn a_view_ends_at_its_sequence_number_even_before_the_generation() {
    let pool = small_pool();
    let (mut writer, generation) = Generation::new(&pool, SeqNo(10), usize::MAX);
    writer.insert(SeqNo(10), &batch([rows(0, &[(0, 1, 1.0)])]), |_, _| {});
    writer.insert(SeqNo(11), &batch([rows(0, &[(0, 2, 2.0)])]), |_, _| {});
    let count = |upto| {
        let mut merge = Merge::default();
        let groups = merge.columns(&generation, Slot(0), (SeqNo(0), SeqNo(upto)), TimeRange::ALL, fields_of);
        groups.iter().map(|group| group.times.len()).sum::<usize>()
    };
    assert_eq!([9, 10, 11, u64::MAX].map(count), [0, 1, 2, 2]);
}

#[test]
fn the_later_write_wins_across_layouts_and_within_a_batch_the_later_row() {
    let batches = [
        (1, batch([rows(1, &[(0, 5, 1.0), (0, 5, 2.0)]), rows(0, &[(0, 5, 3.0)])])),
        // Layout 0 is the stream's second run, but comes first here: what layout 1 says last counts.
        (2, batch([rows(0, &[(0, 6, 4.0)]), rows(1, &[(0, 6, 5.0)])])),
    ];
    let (_writer, generation) = generation(&batches);
    let mut merge = Merge::default();
    let groups = merge.columns(&generation, Slot(0), (SeqNo(0), SeqNo(2)), TimeRange::ALL, fields_of);
    let expected =
        Group { times: vec![5, 6], fields: vec![(FieldId(0), vec![3.0, 5.0]), (FieldId(1), vec![2.125, 5.125])] };
    assert_eq!(groups, [expected]);
}

#[test]
fn fields_with_the_same_times_are_one_group_and_others_are_not() {
    let batches = [(1, batch([rows(0, &[(0, 1, 1.0), (0, 2, 2.0)]), rows(2, &[(0, 1, 3.0)])]))];
    let (_writer, generation) = generation(&batches);
    let mut merge = Merge::default();
    let groups = merge.columns(&generation, Slot(0), (SeqNo(0), SeqNo(1)), TimeRange::ALL, fields_of);
    let shape: Vec<_> = groups.iter().map(|group| (group.times.len(), group.fields.len())).collect();
    assert_eq!(shape, [(2, 1), (1, 3)]);
}

#[test]
fn a_stream_of_many_rows_is_left_in_its_midst() {
    /// Lets work go on so many times.
    struct Questions {
        asked: AtomicUsize,
        max: usize,
    }
    impl Allowance for Questions {
        fn go_on(&self) -> bool {
            self.asked.fetch_add(1, Relaxed) < self.max
        }
        fn take(&self, _: usize) -> bool {
            true
        }
        fn give_back(&self, _: usize) {}
    }
    let batches: Vec<_> = (1..=40_000).map(|seq| (seq, batch([rows(1, &[(0, seq as i64, 1.0)])]))).collect();
    let (_writer, generation) = generation(&batches);
    let mut merge = Merge::default();
    let mut rows_of = |max| {
        let questions = Questions { asked: AtomicUsize::new(0), max };
        let numbers = (SeqNo(0), SeqNo(40_000));
        let groups = merge.allowed_columns(&generation, Slot(0), numbers, TimeRange::ALL, fields_of, &questions);
        (groups.map(|groups| groups[0].times.len()), questions.asked.into_inner())
    };
    let (rows, asked) = rows_of(usize::MAX);
    assert!(rows == Ok(40_000) && asked > 4, "{rows:?} after {asked} questions");
    assert_eq!(rows_of(asked / 2), (Err(Stopped), asked / 2 + 1));
    assert_eq!(rows_of(usize::MAX), (rows, asked), "what was left undone does no harm");
}

#[test]
fn who_asks_for_ever_newer_rows_walks_no_older_ones() {
    let batches: Vec<_> = (1..=4_000).map(|seq| (seq, batch([rows(1, &[(0, seq as i64, 1.0)])]))).collect();
    let (_writer, generation) = generation(&batches);
    let pieces = |start| generation.runs(Slot(0)).next().unwrap().pieces(start).count();
    let all = pieces(0);
    assert!(all > 30, "{all}");
    let mut merge = Merge::default();
    for tick in (0..4_000).step_by(100) {
        let numbers = (SeqNo(tick), SeqNo(tick + 100));
        for _day in 0..2 {
            let groups = merge.columns(&generation, Slot(0), numbers, TimeRange::ALL, fields_of);
            assert_eq!(groups[0].times.len(), 100);
        }
        // Pieces are as long as each other, but for the first few.
        let share = all * (4_000 - tick as usize) / 4_000;
        assert!(pieces(tick + 1) <= share + 10, "{} of {all} pieces behind {tick}", pieces(tick + 1));
    }
    assert_eq!(pieces(0), all, "who wants older rows gets them");
}

#[test]
fn a_summary_counts_values_per_day_and_knows_the_first_and_last_time() {
    let two_days = rows(2, &[(0, NANOS_PER_DAY - 1, 1.0), (1, NANOS_PER_DAY, 1.0), (0, 3, 1.0)]);
    let (_writer, generation) = generation(&[(3, batch([two_days, rows(0, &[(0, -1, 0.0)])])), (8, Batch::default())]);
    let summary = generation.summary();
    assert_eq!((summary.last, summary.rows, summary.samples), (SeqNo(8), 4, 10));
    assert_eq!(summary.days, BTreeMap::from([(Day(-1), 1), (Day(0), 6), (Day(1), 3)]));
    assert_eq!(summary.times, Some((-1, NANOS_PER_DAY)));
}

#[test]
fn touched_streams_come_by_table_and_stream() {
    let catalogue = Catalogue::default();
    let slots: Vec<_> =
        [(1, 4), (0, 9), (1, 3), (0, 1)].map(|(t, s)| catalogue.enter(TableId(t), StreamId(s)).0).into();
    let touched = [slots[0], slots[2], slots[1], slots[0]].map(|slot| (slot, 1, 1.0));
    let (_writer, generation) = generation(&[(1, batch([rows(0, &touched), rows(1, &touched)]))]);
    let streams: Vec<_> = generation.touched(&catalogue).iter().map(|(table, stream, _)| (table.0, stream.0)).collect();
    assert_eq!(streams, [(0, 9), (1, 3), (1, 4)]);
}

#[test]
fn a_writer_is_full_by_size_and_by_distance_of_numbers() {
    let pool = small_pool();
    let (mut writer, generation) = Generation::new(&pool, SeqNo(5), 4 * 1024);
    assert!(!writer.is_full(SeqNo(5 + u64::from(u32::MAX))));
    assert!(writer.is_full(SeqNo(6 + u64::from(u32::MAX))));
    writer.insert(SeqNo(5), &batch([rows(0, &[(0, 1, 1.0)])]), |_, _| {});
    assert!(!writer.is_full(SeqNo(6)), "{} bytes", generation.allocated());
    writer.insert(SeqNo(6), &batch([rows(0, &[(0, 1, 1.0); 40])]), |_, _| {});
    assert!(writer.is_full(SeqNo(7)), "{} bytes", generation.allocated());
}

#[test]
#[should_panic(expected = "is inserted behind")]
fn a_sequence_number_is_not_inserted_twice() {
    let (mut writer, _generation) = generation(&[(3, Batch::default())]);
    writer.insert(SeqNo(3), &Batch::default(), |_, _| {});
}

#[test]
fn the_widest_layout_fits_and_comes_back() {
    let pool = small_pool();
    let width = pool.width_max();
    let wide = |time| Rows {
        places: Vec::new(),
        layout: LayoutId(9),
        width,
        streams: vec![StreamId(0)],
        slots: vec![Slot(0)],
        times: vec![time],
        values: (0..width).map(|place| place as f64).collect(),
    };
    let (mut writer, generation) = Generation::new(&pool, SeqNo(1), usize::MAX);
    (1..=20).for_each(|seq| writer.insert(SeqNo(seq), &batch([wide(seq as i64)]), |_, _| {}));
    let mut times = Vec::new();
    generation.read(Slot(0), SeqNo(20), TimeRange::ALL, |row| {
        assert_eq!(row.values, wide(0).values);
        times.push(row.time);
    });
    assert_eq!(times, (1..=20).collect::<Vec<_>>());
}

#[test]
fn chunks_go_round_and_the_pool_keeps_no_more_than_its_bound() {
    let pool = small_pool();
    let fill = |row_count| {
        let (mut writer, generation) = Generation::new(&pool, SeqNo(1), usize::MAX);
        writer.insert(SeqNo(1), &batch([rows(0, &vec![(0, 1, 1.0); row_count])]), |_, _| {});
        assert_eq!(pool.used_size(), generation.allocated());
        generation.allocated()
    };
    assert_eq!((pool.spare_size(), pool.used_size()), (0, 0));
    let few = fill(100);
    assert_eq!((pool.spare_size(), pool.used_size()), (few, 0), "a small generation's chunks are all kept");
    let many = fill(1000);
    assert!(many > 8 * 1024);
    assert_eq!((pool.spare_size(), pool.used_size()), (8 * 1024, 0), "the rest is freed");
    let (mut writer, generation) = Generation::new(&pool, SeqNo(1), usize::MAX);
    writer.insert(SeqNo(1), &batch([rows(0, &[(0, 1, 1.0)])]), |_, _| {});
    assert_eq!(pool.spare_size(), 8 * 1024 - generation.allocated(), "the next generation takes them");
    drop(writer);
    assert_ne!(pool.used_size(), 0, "a reader still holds the generation");
    drop(generation);
    assert_eq!(pool.used_size(), 0);
}

#[test]
fn readers_racing_the_writer_see_prefixes_of_whole_rows() {
    const BATCHES: u64 = 3_000;
    let pool = small_pool();
    let visible = AtomicU64::new(0);
    // Dirty chunks: what a reader must never mistake for rows.
    drop(generation_in(&pool, 50));
    let (mut writer, generation) = Generation::new(&pool, SeqNo(1), usize::MAX);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| while read_prefixes(&generation, visible.load(Ordering::Acquire)) < BATCHES {});
        }
        for seq in 1..=BATCHES {
            writer.insert(SeqNo(seq), &racing_batch(seq), |_, _| {});
            visible.store(seq, Ordering::Release);
        }
    });
}

fn generation_in(pool: &Arc<ArenaPool>, batches: u64) -> Arc<Generation> {
    let (mut writer, generation) = Generation::new(pool, SeqNo(1), usize::MAX);
    (1..=batches).for_each(|seq| writer.insert(SeqNo(seq), &racing_batch(seq), |_, _| {}));
    generation
}

/// One row for each of three streams; everything in a row follows from its number.
fn racing_batch(seq: u64) -> Batch {
    let row = [(seq as u32 % 2, seq as i64, seq as f64), (2 + seq as u32 % 40, seq as i64, seq as f64)];
    batch([rows(2, &row[..1]), rows(0, &row), rows(1, &row[1..])])
}

/// Reads slots 0 and 1, checks that each run is the ascending whole of what was visible, and returns `visible`.
fn read_prefixes(generation: &Generation, visible: u64) -> u64 {
    for slot in 0..2 {
        for upto in [visible, u64::MAX] {
            let mut seqs = BTreeMap::<LayoutId, Vec<u64>>::new();
            generation.read(Slot(slot), SeqNo(upto), TimeRange::ALL, |row| {
                let expected = rows(row.layout.0, &[(slot, row.time, row.time as f64)]).values;
                assert_eq!((row.seq.0, row.values), (row.time as u64, &expected[..]));
                seqs.entry(row.layout).or_default().push(row.seq.0);
            });
            for seqs in seqs.values() {
                let first = if slot == 0 { 2 } else { 1 };
                assert!(seqs.iter().copied().eq((first..).step_by(2).take(seqs.len())), "a prefix");
                let due = (visible + 2 - first) / 2;
                assert!(
                    seqs.len() as u64 >= due && (upto > visible || seqs.len() as u64 == due),
                    "all that is visible"
                );
            }
            assert!(seqs.len() == 2 || visible < 2, "both layouts are there");
        }
    }
    visible
}

/// What a stream's columns must be: of each field and time the last write, fields with equal times together.
fn naive_columns(batches: &[(u64, Batch)], slot: Slot, upto: u64, range: TimeRange) -> Vec<Group> {
    let mut fields = BTreeMap::<FieldId, BTreeMap<i64, f64>>::new();
    for rows in batches.iter().filter(|(seq, _)| *seq <= upto).flat_map(|(_, batch)| &batch.groups) {
        for index in (0..rows.len()).filter(|&i| rows.slots[i] == slot && range.contains(rows.times[i])) {
            for (field, value) in fields_of(rows.layout).iter().zip(rows.row(index)) {
                fields.entry(*field).or_default().insert(rows.times[index], *value);
            }
        }
    }
    let mut groups = Vec::<Group>::new();
    for (field, samples) in fields {
        let (times, values): (Vec<_>, Vec<_>) = samples.into_iter().unzip();
        match groups.iter_mut().find(|group| group.times == times) {
            Some(group) => group.fields.push((field, values)),
            None => groups.push(Group { times, fields: vec![(field, values)] }),
        }
    }
    groups
}

fn some_rows() -> impl Strategy<Value = Rows> {
    let row = (0..3_u32, 0..40_i64, any::<i8>().prop_map(f64::from));
    (0..4_u32, prop::collection::vec(row, 0..12)).prop_map(|(layout, row)| rows(layout, &row))
}

fn some_batches() -> impl Strategy<Value = Vec<(u64, Batch)>> {
    let numbered = |batches: Vec<(u64, Vec<Rows>)>| {
        let mut seq = 0;
        let number = |(gap, groups)| {
            seq += 1 + gap;
            (seq, batch(groups))
        };
        batches.into_iter().map(number).collect()
    };
    prop::collection::vec((0..2_u64, prop::collection::vec(some_rows(), 0..4)), 0..30).prop_map(numbered)
}

proptest! {
    #[test]
    fn columns_are_what_a_naive_map_of_last_writes_gives(
        batches in some_batches(),
        upto in 0..60_u64,
        (start, end) in (0..40_i64, 0..45_i64),
    ) {
        let (_writer, generation) = generation(&batches);
        let mut merge = Merge::default();
        for range in [TimeRange::ALL, TimeRange { start, end }] {
            for slot in (0..4).map(Slot) {
                let groups = merge.columns(&generation, slot, (SeqNo(0), SeqNo(upto)), range, fields_of);
                prop_assert_eq!(groups, naive_columns(&batches, slot, upto, range));
            }
        }
    }

    #[test]
    fn columns_behind_a_number_are_those_of_later_writes_whoever_asked_before(
        batches in some_batches(),
        asked in prop::collection::vec((0..60_u64, 0..20_u64), 1..40),
    ) {
        let (_writer, generation) = generation(&batches);
        let mut merge = Merge::default();
        for (after, count) in asked {
            let later: Vec<_> = batches.iter().filter(|(seq, _)| *seq > after).cloned().collect();
            for slot in (0..4).map(Slot) {
                let numbers = (SeqNo(after), SeqNo(after + count));
                let groups = merge.columns(&generation, slot, numbers, TimeRange::ALL, fields_of);
                prop_assert_eq!(groups, naive_columns(&later, slot, after + count, TimeRange::ALL));
            }
        }
    }

    #[test]
    fn every_row_is_read_once_in_order(batches in some_batches()) {
        let (_writer, generation) = generation(&batches);
        for slot in (0..3).map(Slot) {
            for layout in (0..4).map(LayoutId) {
                let mut read = Vec::new();
                generation.read(slot, SeqNo(u64::MAX), TimeRange::ALL, |row| {
                    if row.layout == layout {
                        read.push((row.seq.0, row.time, row.values.to_vec()));
                    }
                });
                let mut written = Vec::new();
                for (seq, batch) in &batches {
                    for rows in batch.groups.iter().filter(|rows| rows.layout == layout) {
                        let of_slot = (0..rows.len()).filter(|&i| rows.slots[i] == slot);
                        written.extend(of_slot.map(|i| (*seq, rows.times[i], rows.row(i).to_vec())));
                    }
                }
                prop_assert_eq!(read, written);
            }
        }
    }
}
