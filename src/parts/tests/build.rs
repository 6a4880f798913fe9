use super::*;

fn rows_of_blocks(part: &Part, table: &str) -> Vec<(u32, Option<u32>)> {
    let blocks = blocks_of(part, table, &all_streams(), None, TimeRange::ALL).unwrap();
    blocks.iter().map(|block| (block.rows(), block.single().map(|stream| stream.0))).collect()
}

#[test]
fn long_groups_are_cut_evenly() {
    let inputs = [input("cpu", 1, seconds(0, 8640), &[("user", &values(1, 8640))])];
    let part = open(&build(Level::Full, &inputs)).unwrap();
    assert_eq!(rows_of_blocks(&part, "cpu"), [(4320, Some(1)), (4320, Some(1))]);
    let inputs = [input("cpu", 1, seconds(0, 8192), &[("user", &values(1, 8192))])];
    let part = open(&build(Level::Full, &inputs)).unwrap();
    assert_eq!(rows_of_blocks(&part, "cpu"), [(8192, Some(1))]);
}

#[test]
fn short_groups_are_gathered_and_a_lone_one_is_a_block_of_its_own() {
    let group = |stream, rows| input("cpu", stream, seconds(0, rows), &[("user", &values(stream.into(), rows))]);
    let inputs: Vec<_> = (0..20).map(|stream| group(stream, 999)).chain([group(20, 1000)]).collect();
    let part = open(&build(Level::Full, &inputs)).unwrap();
    let gathered = (8 * 999, None);
    assert_eq!(rows_of_blocks(&part, "cpu"), [gathered, gathered, (4 * 999, None), (1000, Some(20))]);
    let part = open(&build(Level::Full, &inputs[..9])).unwrap();
    assert_eq!(rows_of_blocks(&part, "cpu"), [gathered, (999, Some(8))]);
}

#[test]
fn gathers_are_kept_apart_by_field_set_and_table() {
    let group = |table, stream, field| input(table, stream, seconds(0, 3), &[(field, &values(stream.into(), 3))]);
    let fields = ["a", "b"];
    let inputs: Vec<_> =
        (0..8).map(|stream| group("t", stream, fields[stream as usize % 2])).chain([group("u", 9, "a")]).collect();
    let part = open(&build(Level::Light, &inputs)).unwrap();
    assert_eq!(rows_of_blocks(&part, "t"), [(12, None), (12, None)]);
    assert_eq!(rows_of_blocks(&part, "u"), [(3, Some(9))]);
    assert_eq!(scan(&part).unwrap(), expected(&inputs, &all_streams(), TimeRange::ALL));
}

#[test]
fn streams_without_a_field_in_common_do_not_pile_up_gathers() {
    let names: Vec<&'static str> = (0..200).map(|n| &*Box::leak(format!("f{n}").into_boxed_str())).collect();
    let group = |stream: usize| input("t", stream as u32, seconds(0, 2), &[(names[stream % 200], &[1.0, 2.0])]);
    let inputs: Vec<_> = (0..600).map(group).collect();
    let part = open(&build(Level::Full, &inputs)).unwrap();
    assert_eq!(scan(&part).unwrap(), expected(&inputs, &all_streams(), TimeRange::ALL));
}

#[test]
fn tables_fields_and_counts_are_read_back() {
    let inputs = [
        input("cpu", 1, seconds(0, 2), &[("idle", &[1.0, 2.0]), ("user", &[3.0, 4.0])]),
        input("cpu", 1, seconds(5, 1), &[("guest", &[3.0])]),
        input("mem", 1, seconds(40, 1), &[("", &[1.0])]),
        input("mem", 2, vec![], &[("free", &[])]),
        input("mem", 3, seconds(1, 1), &[]),
    ];
    let mut bytes = Vec::new();
    let summary = build_into(&mut bytes, Level::Full, &inputs);
    let part = open(&bytes).unwrap();
    assert_eq!(*part.summary(), summary);
    assert_eq!(*part.footer(), footer());
    assert_eq!((summary.streams, summary.rows, summary.samples, summary.blocks), (2, 4, 6, 3));
    assert_eq!((summary.min_time, summary.max_time), (0, 40_000_000_000));
    let tables: Vec<_> = part.tables().iter().map(|t| (&*t.name, t.fields.iter().map(|f| &**f).collect())).collect();
    assert_eq!(tables, [("cpu", vec!["guest", "idle", "user"]), ("mem", vec![""])]);
    assert!(part.field("free").is_none());
}

#[test]
fn an_empty_part_is_a_part() {
    let part = open(&build(Level::Full, &[])).unwrap();
    assert_eq!((part.summary().rows, part.tables().len()), (0, 0));
    assert_eq!(scan(&part).unwrap(), Samples::new());
    assert!(blocks_of(&part, "cpu", &all_streams(), None, TimeRange::ALL).unwrap().is_empty());
}

#[test]
fn full_single_blocks_have_aggregates_and_others_none() {
    let long = values(1, 2000);
    let inputs = [
        input("cpu", 1, seconds(0, 2000), &[("const", &[7.0; 2000]), ("user", &long)]),
        input("cpu", 2, seconds(0, 2), &[("user", &[1.0, 2.0])]),
        input("cpu", 3, seconds(0, 2), &[("user", &[1.0, 2.0])]),
    ];
    let aggregates = |level| {
        let part = open(&build(level, &inputs)).unwrap();
        let fields = ["const", "user"].map(|field| part.field(field).unwrap());
        let blocks = blocks_of(&part, "cpu", &all_streams(), None, TimeRange::ALL).unwrap();
        blocks.iter().map(|block| fields.map(|field| block.aggregates(field))).collect::<Vec<_>>()
    };
    let constant = Aggregates::of_constant(7.0, 2000);
    assert_eq!(aggregates(Level::Full), [[constant, Aggregates::of(&long)], [None, None]]);
    assert_eq!(aggregates(Level::Light), [[constant, None], [None, None]]);
}

#[test]
fn a_block_is_found_by_stream_field_and_time() {
    let group = |stream, start, field| input("t", stream, seconds(start, 1000), &[(field, &values(1, 1000))]);
    let inputs = [group(1, 0, "a"), group(1, 0, "b"), group(5, 20_000, "a"), group(9, 0, "a")];
    let part = open(&build(Level::Full, &inputs)).unwrap();
    let a = [part.field("a").unwrap()];
    let streams = |ids: &[u32]| ids.iter().copied().collect::<RoaringBitmap>();
    let found = |ids: &[u32], fields, start: i64, end: i64| {
        let range = TimeRange { start: start * 1_000_000_000, end: end * 1_000_000_000 };
        let blocks = blocks_of(&part, "t", &streams(ids), fields, range).unwrap();
        blocks.iter().map(|block| block.single().unwrap().0).collect::<Vec<_>>()
    };
    assert_eq!(found(&[1, 5, 9], None, 0, 30_000), [1, 1, 5, 9]);
    assert_eq!(found(&[1, 5, 9], Some(&a), 0, 30_000), [1, 5, 9]);
    assert_eq!(found(&[2, 5, 9], Some(&a), 0, 20_000), [9]);
    assert_eq!(found(&[1, 5, 9], Some(&a), 9_990, 9_991), [1, 9]);
    assert!(found(&[1, 5, 9], Some(&a), 9_991, 20_000).is_empty());
    assert!(blocks_of(&part, "u", &streams(&[1]), None, TimeRange::ALL).unwrap().is_empty());
}

#[test]
fn many_pages_answer_like_one() {
    let inputs: Vec<_> = (0..1500)
        .map(|n| input(if n < 700 { "a" } else { "b" }, n, seconds(n.into(), 1000), &[("f", &values(n.into(), 1000))]))
        .collect();
    let part = open(&build(Level::Light, &inputs)).unwrap();
    assert!(part.page_count() > 2);
    assert_eq!(scan(&part).unwrap(), expected(&inputs, &all_streams(), TimeRange::ALL));
    let streams: RoaringBitmap = [3, 699, 700, 1400].into_iter().collect();
    for _ in 0..2 {
        assert_eq!(select(&part, &streams, TimeRange::ALL).unwrap(), expected(&inputs, &streams, TimeRange::ALL));
        part.forget_pages();
    }
}

#[test]
fn an_image_inside_another_file_reads_like_a_file_of_its_own() {
    let inputs = [input("cpu", 1, seconds(0, 1500), &[("user", &values(1, 1500))])];
    let mut bytes = b"something before".to_vec();
    let summary = build_into(&mut bytes, Level::Light, &inputs);
    let base = 16;
    assert_eq!(bytes.len() as u64, base + summary.len);
    assert_eq!(bytes[base as usize..], build(Level::Light, &inputs));
    bytes.extend(b"something behind");
    let part = Part::open(file(&bytes), base, summary.len).unwrap();
    assert_eq!(scan(&part).unwrap(), expected(&inputs, &all_streams(), TimeRange::ALL));
}

#[test]
fn a_file_gets_the_same_bytes_as_memory() {
    let random = |stream: u32| (0..1500).map(|_| fastrand::Rng::with_seed(stream.into()).f64()).collect::<Vec<_>>();
    let inputs: Vec<_> = (0..300)
        .map(|n| input("t", n, seconds(0, 1500), &[("a", &values(n.into(), 1500)), ("b", &random(n % 7))]))
        .collect();
    let file = file(&[]);
    let summary = build_into(FileSink::new(file.clone(), 100), Level::Light, &inputs);
    let mut written = vec![0; summary.len as usize];
    file.read_exact_at(&mut written, 100).unwrap();
    assert!(written == build(Level::Light, &inputs), "the images differ");
}

#[test]
fn a_file_sink_reads_back_across_its_buffer() {
    let mut sink = FileSink::new(file(&[]), 7);
    let pattern: Vec<u8> = (0..600_000_u32).map(|n| (n * 7 % 251) as u8).collect();
    pattern.chunks(1001).for_each(|bytes| sink.append(bytes).unwrap());
    for (start, size) in [(0, 10), (599_000, 1000), (400_000, 200_000), (0, 600_000)] {
        let mut bytes = vec![0; size];
        sink.read_back(7 + start as u64, &mut bytes).unwrap();
        assert!(bytes == pattern[start..start + size], "at {start}");
    }
    assert!(sink.read_back(7 + 599_999, &mut [0; 2]).is_err());
}

#[test]
#[should_panic(expected = "streams ascend")]
fn streams_out_of_order_are_refused() {
    build(Level::Full, &[input("t", 2, vec![1], &[("a", &[1.0])]), input("t", 1, vec![1], &[("a", &[1.0])])]);
}

#[test]
#[should_panic(expected = "tables ascend")]
fn tables_out_of_order_are_refused() {
    build(Level::Full, &[input("u", 2, vec![1], &[("a", &[1.0])]), input("t", 3, vec![1], &[("a", &[1.0])])]);
}

#[test]
#[should_panic(expected = "a field's times ascend")]
fn a_field_pushed_again_at_the_same_times_is_refused() {
    build(
        Level::Full,
        &[input("t", 2, vec![1, 5], &[("a", &[1.0, 2.0])]), input("t", 2, vec![5], &[("a", &[1.0]), ("b", &[1.0])])],
    );
}

#[test]
fn a_description_names_tables_blocks_and_damage() {
    let inputs = [
        input("cpu", 1, seconds(0, 1500), &[("idle", &[3.0; 1500]), ("user", &values(1, 1500))]),
        input("mem", 1, seconds(0, 2), &[("free", &[1.0, 2.0])]),
        input("mem", 2, seconds(0, 2), &[("free", &[1.0, 2.0])]),
    ];
    let bytes = build(Level::Full, &inputs);
    let part = open(&bytes).unwrap();
    let text = describe(&part).to_string();
    for line in ["part 31 of 2026-11-20", "cpu stream 1, 1500 rows", "idle = 3", "mem 2 streams 1..=2, 4 rows"] {
        assert!(text.contains(line), "{line:?} is missing in\n{text}");
    }
    let mut damaged = bytes;
    damaged[part.page_ref(0).column.offset as usize + 3] ^= 1;
    let text = describe(&open(&damaged).unwrap()).to_string();
    assert!(text.contains("unreadable: part 31 is damaged at byte"), "{text}");
}

#[test]
#[should_panic(expected = "fields ascend")]
fn fields_out_of_order_are_refused() {
    build(Level::Full, &[input("t", 2, vec![1], &[("b", &[1.0]), ("a", &[1.0])])]);
}

#[test]
fn every_stream_of_a_gathered_block_is_found_by_its_id_alone() {
    let inputs: Vec<_> = (0..30).map(|n| input("t", n * 3, seconds(0, 2), &[("f", &[1.0, f64::from(n)])])).collect();
    let part = open(&build(Level::Full, &inputs)).unwrap();
    for stream in 0..90 {
        let one = std::iter::once(stream).collect();
        assert_eq!(select(&part, &one, TimeRange::ALL).unwrap(), expected(&inputs, &one, TimeRange::ALL), "{stream}");
    }
}

#[test]
fn a_selection_is_the_same_whether_few_or_many_streams_are_asked_for() {
    let inputs: Vec<_> = (0..400).map(|n| input("t", n * 3, seconds(0, 2), &[("f", &[1.0, f64::from(n)])])).collect();
    let part = open(&build(Level::Full, &inputs)).unwrap();
    for step in [1, 2, 9, 40, 100, 601] {
        let streams = (0..1300).step_by(step).collect();
        assert_eq!(select(&part, &streams, TimeRange::ALL).unwrap(), expected(&inputs, &streams, TimeRange::ALL));
    }
}

#[test]
fn a_full_disk_is_an_error_that_says_where() {
    let disk = SimDisk::new(0);
    disk.set_capacity(300_000);
    let sink = FileSink::new(disk.create(Path::new("/part")).unwrap(), 0);
    let mut builder = Builder::new(sink, Options { level: Level::Light }).unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    let mut push = |stream| {
        let values: Vec<f64> = (0..8000).map(|_| random.f64()).collect();
        builder.push("t", StreamId(stream), &seconds(0, 8000), &[("f", &values)])
    };
    let error = (0..20).find_map(|stream| push(stream).err()).expect("20 streams of 60 KB do not fit");
    assert!(matches!(error, Error::Write { offset, .. } if offset > 100_000), "{error}");
}
