use std::sync::Arc;

use super::*;
use crate::codec::Level;
use crate::{
    index::{Index, SchemaLimits},
    memtable::{ArenaOptions, ArenaPool, Catalogue, Memtable},
    model::{Batch, Rows as BatchRows, StreamKey},
    parts::Options,
};

#[test]
fn streams_are_sorted_by_table_name_not_by_order_of_appearance() {
    let index = Index::new(SchemaLimits::default(), 1);
    let [b, a] = ["b", "a"].map(|name| index.schema.intern_table(name).unwrap());
    let mut streams = vec![
        (b, StreamId(1), Slot(0)),
        (a, StreamId(9), Slot(1)),
        (b, StreamId(0), Slot(2)),
        (a, StreamId(3), Slot(3)),
    ];
    sort_streams(&mut streams, &index);
    assert_eq!(
        streams.iter().map(|(table, stream, _)| (*table, stream.0)).collect::<Vec<_>>(),
        [(a, 3), (a, 9), (b, 0), (b, 1)]
    );
}

#[test]
fn an_image_holds_the_rows_of_its_numbers_and_day_alone() {
    let index = Index::new(SchemaLimits::default(), 1);
    let pool = ArenaPool::new(ArenaOptions::default());
    let memtable = Memtable { catalogue: Catalogue::default(), pool, generation_size: 1 << 20 };
    let table = index.schema.intern_table("m").unwrap();
    let (layout, _) = index.layout("m", &["f"]).unwrap();
    index.streams.add(StreamId(4), &StreamKey::new("m", []).unwrap(), table);
    let slot = memtable.catalogue.enter(table, StreamId(4));
    let (mut writer, generation) = memtable.generation(SeqNo(1));
    for number in 1..=4_u64 {
        let day = i64::from(number == 4);
        let times = vec![day * crate::model::NANOS_PER_DAY + number as i64];
        let rows = BatchRows {
            places: Vec::new(),
            layout,
            width: 1,
            streams: vec![StreamId(4)],
            slots: vec![slot],
            times,
            values: vec![number as f64],
        };
        writer.insert(SeqNo(number), &Batch { groups: vec![rows] }, |_, _| {});
    }
    let streams = [(table, StreamId(4), slot)];
    let rows = Rows { generation: &generation, after: SeqNo(1), upto: SeqNo(4), streams: &streams };
    let mut image = Vec::new();
    let mut out = Builder::new(&mut image, Options { level: Level::Light }).unwrap();
    let mut pushed = Vec::new();
    let note = |_, stream, _, field| pushed.push((stream, field));
    push_day(&rows, Day(0), &index, &mut Merge::default(), &mut out, note).unwrap();
    assert_eq!(pushed, [(StreamId(4), index.schema.field("f").unwrap())]);
    let footer = crate::parts::Footer {
        part: crate::model::PartId(1),
        day: Day(0),
        seq_min: SeqNo(2),
        seq_max: SeqNo(4),
        replaces: vec![],
        index_parts: vec![],
        tombstone: 0,
    };
    let summary = out.finish(footer).unwrap();
    assert_eq!((summary.rows, summary.min_time, summary.max_time), (2, 2, 3));
    assert_eq!(Arc::strong_count(&generation), 2, "only the writer shares it");
}
