mod cardinality;
mod part;

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use proptest::prelude::*;
use roaring::RoaringBitmap;

use super::*;
use crate::model::{FieldId, LayoutId, METRIC_NAME, MatchOp, Matcher, StreamId, StreamKey, TableId, Unlimited};

/// A schema, an index, and the same streams as a plain list.
struct World {
    schema: Schema,
    streams: Streams,
    list: Vec<(StreamId, StreamKey, BTreeSet<String>)>,
}

impl World {
    fn new() -> Self {
        Self { schema: Schema::new(SchemaLimits::default()), streams: Streams::new(7), list: Vec::new() }
    }

    /// Adds a stream and a layout it was seen with; a key that is there gets another layout.
    fn add(&mut self, key: &StreamKey, fields: &[&str]) -> StreamId {
        let table = self.schema.intern_table(key.measurement()).unwrap();
        let mut ids: Vec<_> = fields.iter().map(|field| self.schema.intern_field(field).unwrap()).collect();
        ids.sort_unstable();
        ids.dedup();
        let layout = self.schema.intern_layout(table, &ids).unwrap();
        let stream = self.streams.resolve(key).unwrap_or(StreamId(3 + 5 * self.list.len() as u32));
        if self.streams.add(stream, key, table) {
            self.list.push((stream, key.clone(), BTreeSet::new()));
        }
        self.streams.note_layout(stream, self.schema.layout(layout));
        let entry = self.list.iter_mut().find(|entry| entry.0 == stream).unwrap();
        entry.2.extend(fields.iter().map(|field| (*field).to_owned()));
        stream
    }

    /// The selected (stream, field) pairs; checks that no stream is in two selections.
    fn select(&self, matchers: &[Matcher], within: Option<&RoaringBitmap>) -> BTreeSet<(StreamId, String)> {
        let mut seen = RoaringBitmap::new();
        let mut pairs = BTreeSet::new();
        for Selection { table, fields, streams, .. } in
            self.streams.select(&self.schema, matchers, within, &Unlimited).unwrap()
        {
            assert!(seen.is_disjoint(&streams) && !streams.is_empty() && !fields.is_empty());
            seen |= &streams;
            for stream in streams.iter().map(StreamId) {
                assert_eq!(self.streams.table(stream), Some(table));
                pairs.extend(fields.iter().map(|field| (stream, self.schema.field_name(*field).to_owned())));
            }
        }
        pairs
    }

    /// The same by looking at every series.
    fn naive_select(&self, matchers: &[Matcher], within: Option<&RoaringBitmap>) -> BTreeSet<(StreamId, String)> {
        let inside = |stream: StreamId| within.is_none_or(|within| within.contains(stream.0));
        let streams = self.list.iter().filter(|(stream, ..)| inside(*stream));
        let series = streams.flat_map(|(stream, key, fields)| fields.iter().map(move |field| (*stream, key, field)));
        let passing = series.filter(|(_, key, field)| {
            let labels = key.labels(field);
            matchers.iter().all(|matcher| matcher.matches(labels.get(&matcher.name)))
        });
        passing.map(|(stream, _, field)| (stream, field.clone())).collect()
    }

    fn naive_labels(&self, matchers: &[Matcher], within: Option<&RoaringBitmap>) -> BTreeSet<crate::model::Labels> {
        let key = |stream| &self.list.iter().find(|entry| entry.0 == stream).unwrap().1;
        self.naive_select(matchers, within).into_iter().map(|(stream, field)| key(stream).labels(&field)).collect()
    }
}

fn key(measurement: &str, tags: &[(&str, &str)]) -> StreamKey {
    StreamKey::new(measurement, tags.iter().copied()).unwrap()
}

fn matcher(name: &str, op: MatchOp, value: &str) -> Matcher {
    Matcher::new(name, op, value).unwrap()
}

#[test]
fn excluding_a_metric_name_keeps_the_other_fields_of_the_stream() {
    let mut world = World::new();
    let stream = world.add(&key("cpu", &[("host", "a")]), &["usage_user", "usage_idle"]);
    world.add(&key("cpu", &[("host", "b")]), &["usage_user", "usage_idle"]);
    let matchers = [matcher(METRIC_NAME, MatchOp::NotEqual, "cpu_usage_user"), Matcher::equal("host", "a")];
    assert_eq!(world.select(&matchers, None), BTreeSet::from([(stream, "usage_idle".to_owned())]));
}

#[test]
fn a_metric_name_finds_every_table_it_may_come_from() {
    let mut world = World::new();
    let keys = ["cpu", "cpu_usage", "cpu_usage_user"].map(|measurement| key(measurement, &[]));
    let one = world.add(&keys[0], &["usage_user", "usage"]);
    let two = world.add(&keys[1], &["user", "value"]);
    let three = world.add(&keys[2], &["value", "", "x"]);
    let found = world.select(&[Matcher::equal(METRIC_NAME, "cpu_usage_user")], None);
    let expected = [(one, "usage_user"), (two, "user"), (three, ""), (three, "value")];
    assert_eq!(found, expected.map(|(stream, field)| (stream, field.to_owned())).into());
}

#[test]
fn a_stream_that_never_had_the_field_is_not_selected() {
    let mut world = World::new();
    world.add(&key("m", &[("a", "1")]), &["x"]);
    let with_both = world.add(&key("m", &[("a", "2")]), &["x", "y"]);
    let later = world.add(&key("m", &[("a", "3")]), &["x"]);
    world.add(&key("m", &[("a", "3")]), &["y"]);
    let found = world.select(&[Matcher::equal(METRIC_NAME, "m_y")], None);
    assert_eq!(found, BTreeSet::from([(with_both, "y".to_owned()), (later, "y".to_owned())]));
    let y = world.schema.field("y").unwrap();
    let having = world.streams.having_field(world.schema.table("m").unwrap(), y);
    assert_eq!(having, RoaringBitmap::from_iter([with_both.0, later.0]));
}

#[test]
fn conditions_that_the_empty_value_passes_keep_streams_without_the_label() {
    let mut world = World::new();
    let without = world.add(&key("m", &[("b", "1")]), &["value"]);
    world.add(&key("m", &[("a", "x")]), &["value"]);
    let conditions =
        [(MatchOp::Equal, ""), (MatchOp::NotEqual, "x"), (MatchOp::Regex, "|y"), (MatchOp::NotRegex, ".+")];
    for (op, value) in conditions {
        let found = world.select(&[matcher("a", op, value)], None);
        assert_eq!(found, BTreeSet::from([(without, "value".to_owned())]), "a{op}{value:?}");
    }
    assert_eq!(world.select(&[matcher("a", MatchOp::Regex, ".*")], None).len(), 2);
}

#[test]
fn a_tag_called_name_is_no_label() {
    let mut world = World::new();
    world.add(&key("m", &[(METRIC_NAME, "evil")]), &["value"]);
    assert!(world.select(&[Matcher::equal(METRIC_NAME, "evil")], None).is_empty());
    assert_eq!(world.streams.label_values(&world.schema, METRIC_NAME, &[], None, &Unlimited).unwrap(), ["m"]);
    assert_eq!(world.streams.label_names(&world.schema, &[], None, &Unlimited).unwrap(), [METRIC_NAME]);
}

#[test]
fn no_more_streams_are_asked_for_once_all_label_names_are_found() {
    let mut world = World::new();
    let first = world.add(&key("m", &[("a", "1"), ("b", "1")]), &["value"]);
    let other = world.add(&key("m", &[("a", "2")]), &["value"]);
    let names = |portions: &[&[StreamId]]| {
        let asked = std::cell::Cell::new(0);
        let portions = portions.iter().inspect(|_| asked.set(asked.get() + 1));
        let portions = portions.map(|streams| streams.iter().map(|stream| stream.0).collect());
        let names = world.streams.label_names_among(&world.schema, portions, &Unlimited).unwrap();
        (names, asked.get())
    };
    let all = [METRIC_NAME, "a", "b"].map(str::to_owned).to_vec();
    assert_eq!(names(&[&[first], &[other], &[other]]), (all.clone(), 1));
    assert_eq!(names(&[&[other], &[first], &[other]]), (all, 2));
    assert_eq!(names(&[&[other], &[]]), (vec![METRIC_NAME.to_owned(), "a".to_owned()], 2));
    assert_eq!(names(&[]), (vec![], 0));
}

#[test]
fn a_key_resolves_to_its_stream_and_back() {
    let streams = Streams::new(1);
    let key = |n: u32| key("m", &[("n", &n.to_string())]);
    assert!((0..5_000).all(|n| streams.add(StreamId(n * 1_000), &key(n), TableId(0))));
    assert!(!streams.add(StreamId(1_000), &key(9_999), TableId(1)), "the id is taken");
    for n in 0..5_000 {
        assert_eq!(streams.resolve(&key(n)), Some(StreamId(n * 1_000)));
        assert_eq!(streams.key(StreamId(n * 1_000)), Some(key(n)));
    }
    assert_eq!((streams.resolve(&key(9_999)), streams.key(StreamId(1)), streams.count()), (None, None, 5_000));
    assert_eq!(streams.of_table(TableId(0)).len(), 5_000);
}

#[test]
fn a_schema_gives_numbers_once_and_refuses_more_than_its_limits() {
    let schema = Schema::new(SchemaLimits { tables_max: 2, fields_max: 1, layouts_max: 1 });
    let ids = ["a", "b", "a"].map(|name| schema.intern_table(name));
    assert_eq!(ids, [Ok(TableId(0)), Ok(TableId(1)), Ok(TableId(0))]);
    assert_eq!(schema.intern_table("c"), Err(SchemaError::Full { what: "tables", max: 2 }));
    assert_eq!(schema.table_name(TableId(1)), "b");
    let field = schema.intern_field("f").unwrap();
    assert!(schema.intern_field("g").is_err() && schema.field("g").is_none());
    assert_eq!(schema.intern_layout(TableId(0), &[field]), Ok(LayoutId(0)));
    assert_eq!(schema.intern_layout(TableId(0), &[field]), Ok(LayoutId(0)));
    assert!(schema.intern_layout(TableId(1), &[field]).is_err());
    assert_eq!(*schema.layout(LayoutId(0)).fields, [FieldId(0)]);
    assert_eq!(schema.table_count(), 2);
}

#[test]
fn a_name_interned_by_many_threads_at_once_has_one_number() {
    let schema = Schema::new(SchemaLimits::default());
    let intern = || (0..2_000).map(|n| schema.intern_field(&format!("f{n}")).unwrap()).collect::<Vec<_>>();
    let ids = thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(intern)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(ids.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(ids[0].iter().collect::<BTreeSet<_>>().len(), 2_000);
    assert!((0..).zip(&ids[0]).all(|(n, id)| schema.field_name(*id) == format!("f{n}")));
}

#[test]
fn a_million_streams_take_at_most_150_bytes_each() {
    const COUNT: u32 = 1_000_000;
    let schema = Schema::new(SchemaLimits::default());
    let fields: Vec<_> = (0..10).map(|n| schema.intern_field(&format!("f{n}")).unwrap()).collect();
    let layouts: Vec<_> = (0..9)
        .map(|table| {
            let table = schema.intern_table(&format!("table{table}")).unwrap();
            schema.layout(schema.intern_layout(table, &fields).unwrap())
        })
        .collect();
    let streams = Streams::new(1);
    let mut key_size = 0;
    for id in 0..COUNT {
        let layout = layouts[id as usize % 9];
        let host = format!("host_{}", id / 9);
        let (region, rack) = (format!("eu-west-{}", id % 7), format!("{}", id % 101));
        let tags = [("host", &*host), ("region", &*region), ("rack", &*rack), ("service", "database"), ("os", "linux")];
        let key = key(schema.table_name(layout.table), &tags);
        key_size += key.as_bytes().len();
        streams.add(StreamId(id), &key, layout.table);
        streams.note_layout(StreamId(id), layout);
    }
    let unique_hosts = Streams::new(1);
    for id in 0..COUNT {
        unique_hosts.add(StreamId(id), &key("cpu", &[("host", &format!("host_{id}")), ("region", "eu")]), TableId(0));
    }
    let size = |streams: &Streams| streams.size() as f64 / f64::from(COUNT);
    println!("nine streams a host: {:.1} bytes, {:.1} of them key", size(&streams), key_size as f64 / f64::from(COUNT));
    println!("one stream a host: {:.1} bytes", size(&unique_hosts));
    assert!(size(&streams) <= 150.0 && size(&unique_hosts) <= 150.0);
}

#[test]
fn queries_beside_writers_see_only_streams_whose_labels_are_complete() {
    let mut world = World::new();
    world.add(&key("m", &[("side", "left"), ("id", "first")]), &["value"]);
    let layout = world.schema.layout(LayoutId(0));
    let (streams, schema) = (&world.streams, &world.schema);
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for id in 100..20_000 {
                let side = if id % 2 == 0 { "left" } else { "right" };
                streams.add(StreamId(id), &key("m", &[("side", side), ("id", &id.to_string())]), layout.table);
                streams.note_layout(StreamId(id), layout);
            }
            is_done.store(true, Ordering::Release);
        });
        let matchers = [matcher("side", MatchOp::NotEqual, "right"), matcher("id", MatchOp::NotRegex, "[0-9]*[1-4]")];
        loop {
            let is_last = is_done.load(Ordering::Acquire);
            for selection in streams.select(schema, &matchers, None, &Unlimited).unwrap() {
                assert!(selection.streams.iter().filter(|id| *id >= 100).all(|id| matches!(id % 10, 0 | 6 | 8)));
            }
            if is_last {
                break;
            }
        }
    });
}

const MEASUREMENTS: [&str; 5] = ["cpu", "cpu_usage", "up", "", "cpu_"];
const FIELDS: [&str; 6] = ["value", "", "usage", "user", "usage_user", "_"];
const NAMES: [&str; 4] = ["a", "b", "id", METRIC_NAME];
const VALUES: [&str; 5] = ["", "x", "y", "xy", "x\ny"];
const PATTERNS: [&str; 19] = [
    "",
    "x",
    "y",
    "x|y",
    "x|",
    "|",
    ".*",
    ".+",
    "x.*",
    ".",
    "(x|y)?",
    "cpu",
    "cpu_usage",
    "cpu.*",
    "cpu_usage_user",
    "cpu_|up",
    ".*1",
    "1.?",
    "2|3|14",
];

/// Measurement, tags, and fields; each an index into the lists above, `id` a number of its own.
fn some_streams() -> impl Strategy<Value = Vec<(StreamKey, Vec<&'static str>)>> {
    let fields = prop::collection::vec(prop::sample::select(&FIELDS[..]), 1..4);
    let value = || prop::sample::select(&VALUES[..]);
    let id = prop::option::of(0..60_u8);
    let stream = (prop::sample::select(&MEASUREMENTS[..]), value(), value(), value(), id, fields);
    let stream = stream.prop_map(|(measurement, a, b, name, id, fields)| {
        let id = id.map_or(String::new(), |id| id.to_string());
        (key(measurement, &[("a", a), ("b", b), ("id", &id), (METRIC_NAME, name)]), fields)
    });
    prop::collection::vec(stream, 0..80)
}

fn some_matchers() -> impl Strategy<Value = Vec<Matcher>> {
    let name = prop::sample::select([&NAMES[..], &["nope", METRIC_NAME]].concat());
    let op = prop::sample::select(vec![MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex]);
    let matcher = (name, op, prop::sample::select(&PATTERNS[..]));
    prop::collection::vec(matcher.prop_map(|(name, op, value)| self::matcher(name, op, value)), 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]
    #[test]
    fn every_selection_is_what_looking_at_all_series_gives(
        keys in some_streams(),
        matchers in some_matchers(),
        within in prop::option::of(prop::collection::vec(0..400_u32, 0..200)),
    ) {
        let mut world = World::new();
        for (key, fields) in &keys {
            world.add(key, fields);
        }
        let within = within.map(RoaringBitmap::from_iter);
        let within = within.as_ref();
        let (streams, schema) = (&world.streams, &world.schema);
        prop_assert_eq!(world.select(&matchers, within), world.naive_select(&matchers, within));
        let series = world.naive_labels(&matchers, within);
        prop_assert_eq!(streams.series(schema, &matchers, within, &Unlimited).unwrap(), series.iter().cloned().collect::<Vec<_>>());
        let names: BTreeSet<_> = series.iter().flat_map(|labels| labels.iter()).map(|(name, _)| name).collect();
        prop_assert_eq!(streams.label_names(schema, &matchers, within, &Unlimited).unwrap(), names.into_iter().collect::<Vec<_>>());
        if let Some(within) = within {
            let middle = within.len() / 2;
            let halves = [within.iter().take(middle as usize).collect(), within.iter().skip(middle as usize).collect()];
            let names = streams.label_names_among(schema, halves.into_iter(), &Unlimited).unwrap();
            prop_assert_eq!(names, streams.label_names(schema, &[], Some(within), &Unlimited).unwrap());
        }
        for name in NAMES {
            let values: BTreeSet<_> = series.iter().map(|labels| labels.get(name)).filter(|v| !v.is_empty()).collect();
            let found = streams.label_values(schema, name, &matchers, within, &Unlimited).unwrap();
            prop_assert_eq!(found, values.into_iter().collect::<Vec<_>>(), "{}", name);
        }
    }
}
