//! Streams of very many samples, and very many streams.

use std::{sync::Arc, time::Duration};

use crate::{
    disk::SimDisk,
    durability::Mode,
    engine::{Engine, Options},
    metrics::Metrics,
    model::{Batch, Labels, LayoutId, Rows, StreamKey},
    select::Series,
    stage::RowsEncoder,
    tests::stored,
};

pub(super) const SECOND: i64 = 1_000_000_000;
/// The time of the first sample.
pub(super) const START: i64 = 1_700_000_000 * SECOND;
/// Rows of a batch.
const BATCH: usize = 20_000;

/// Samples of a large stream.
pub(super) fn samples() -> usize {
    from_environment("PLIMSOLL_DEADLINE_SAMPLES", 1_000_000)
}

/// Series where there are many.
pub(super) fn series() -> usize {
    from_environment("PLIMSOLL_DEADLINE_SERIES", 8_000)
}

fn from_environment(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// The time so many seconds after the first sample.
pub(super) fn time(second: usize) -> i64 {
    START + second as i64 * SECOND
}

fn open() -> Arc<Engine> {
    let options = Options {
        mode: Mode::WalOs,
        generation_size: 8 << 30,
        memory_size_max: 16 << 30,
        segment_size: 8 << 20,
        probe: false,
        ..Options::new("/data")
    };
    let engine = Engine::open(Arc::new(SimDisk::new(1)), options, Metrics::new()).unwrap();
    engine.finish_replay().unwrap();
    engine
}

fn submit(engine: &Engine, rows: Rows) {
    let batch = Batch { groups: vec![rows] };
    let mut payload = Vec::new();
    RowsEncoder::default().encode(&batch, &mut payload);
    drop(engine.submit(batch, payload, None).unwrap());
    engine.commit_step(Duration::from_secs(1));
}

/// Writes rows of the only stream of `m`: each at a second, with the fields that `layout` says of its place.
fn write(engine: &Engine, seconds: impl Iterator<Item = usize>, layout: impl Fn(usize) -> &'static [&'static str]) {
    let (stream, slot) = engine.stream(&StreamKey::new("m", []).unwrap()).unwrap();
    let seconds: Vec<usize> = seconds.collect();
    for (number, seconds) in seconds.chunks(BATCH).enumerate() {
        let fields = layout(number);
        let (id, _): (LayoutId, _) = engine.layout("m", fields).unwrap();
        let mut rows = Rows { layout: id, width: fields.len(), ..Rows::default() };
        for &second in seconds {
            rows.streams.push(stream);
            rows.slots.push(slot);
            rows.times.push(time(second));
            rows.values.extend((0..fields.len()).map(|field| (second * 7 % 1000 + field) as f64));
        }
        submit(engine, rows);
    }
}

fn flush(engine: &Engine) {
    engine.durability().request_rotation();
    engine.commit_step(Duration::from_secs(2));
    while engine.flush_step(Duration::from_secs(2)).unwrap() {}
}

/// A stream of so many samples, kept in several ways, each of which has a name.
pub(super) fn streams(samples: usize) -> impl Iterator<Item = (&'static str, Arc<Engine>)> {
    const A: &[&str] = &["a"];
    const B: &[&str] = &["b"];
    const BOTH: &[&str] = &["a", "b"];
    let in_order = move || 1..samples + 1;
    type Make = Box<dyn Fn(&Engine)>;
    let ways: [(&'static str, Make); 8] = [
        ("in order", Box::new(move |engine| write(engine, in_order(), |_| A))),
        ("backwards", Box::new(move |engine| write(engine, in_order().rev(), |_| A))),
        ("in no order", Box::new(move |engine| write(engine, in_order().map(|i| i * 7_919 % samples + 1), |_| A))),
        (
            "late and written twice",
            Box::new(move |engine| {
                write(engine, in_order().step_by(2).chain(in_order().step_by(3)), |_| A);
            }),
        ),
        (
            "fields come and go",
            Box::new(move |engine| {
                write(engine, in_order().map(|i| i * 7_919 % samples + 1), |number| [A, BOTH, B][number % 3]);
            }),
        ),
        (
            "in parts",
            Box::new(move |engine| {
                for part in 0..4 {
                    write(engine, in_order().skip(samples / 4 * part).take(samples / 4), |_| BOTH);
                    flush(engine);
                }
            }),
        ),
        (
            "in parts that overlap",
            Box::new(move |engine| {
                for part in 0..3 {
                    write(engine, in_order().skip(part).step_by(3), |_| if part == 1 { A } else { BOTH });
                    flush(engine);
                }
            }),
        ),
        (
            "in parts and memory",
            Box::new(move |engine| {
                write(engine, in_order().step_by(2), |_| BOTH);
                flush(engine);
                write(engine, in_order().step_by(3).rev(), |_| BOTH);
            }),
        ),
    ];
    ways.into_iter().map(|(name, make)| {
        let engine = open();
        make(&engine);
        (name, engine)
    })
}

/// Writes samples of several streams: measurement, tags, second and value of each.
fn write_series(engine: &Engine, samples: impl Iterator<Item = (&'static str, Vec<(&'static str, String)>, usize)>) {
    let mut samples = samples.peekable();
    while let Some(&(table, ..)) = samples.peek() {
        let (layout, _) = engine.layout(table, &["value"]).unwrap();
        let mut rows = Rows { layout, width: 1, ..Rows::default() };
        while rows.times.len() < BATCH
            && let Some((_, tags, second)) = samples.next_if(|next| next.0 == table)
        {
            let tags = tags.iter().map(|(name, value)| (*name, &**value));
            let (stream, slot) = engine.stream(&StreamKey::new(table, tags).unwrap()).unwrap();
            rows.streams.push(stream);
            rows.slots.push(slot);
            rows.values.push((rows.times.len() * 7 % 1000) as f64);
            rows.times.push(time(second));
        }
        submit(engine, rows);
    }
}

/// A few series `m`, one `n`: a sample a second.
pub(super) fn few_series(seconds: usize) -> Arc<Engine> {
    let engine = open();
    let streams = [("m", "1"), ("m", "2"), ("n", "1")];
    write_series(
        &engine,
        streams
            .into_iter()
            .flat_map(|(table, i)| (1..seconds + 1).map(move |second| (table, vec![("i", i.to_owned())], second))),
    );
    engine
}

/// So many series `m`, some of them `n` and info series too, each with a sample.
pub(super) fn many_series(count: usize) -> Arc<Engine> {
    let engine = open();
    let tags = |i: usize| {
        vec![
            ("dc", format!("d{}", i / 10)),
            ("host", format!("h{}", i * 7_919 % count)),
            ("instance", format!("h{i}")),
            ("job", "j".to_owned()),
            ("one", "1".to_owned()),
        ]
    };
    write_series(&engine, (0..count).map(|i| ("m", tags(i), 1)));
    write_series(&engine, (0..1).map(|i| ("n", tags(i), 1)));
    let info = |i: usize| vec![("instance", format!("h{i}")), ("job", "j".to_owned()), ("more", format!("x{i}"))];
    write_series(&engine, (0..count / 20).map(|i| ("target_info", info(i), 1)));
    engine
}

/// So many commits, each an image of its own that holds a sample of the same series.
pub(super) fn many_images(commits: i64, series: i64) -> Arc<Engine> {
    stored::in_commits(commits, |commit| {
        let of = |i: i64| {
            let labels = Labels::from([("__name__", "m"), ("i", &i.to_string())]);
            Series::new(labels, [START + commit * SECOND], vec![(i * commit % 1000) as f64])
        };
        (0..series).map(of).collect()
    })
}
