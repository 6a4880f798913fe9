use std::{path::Path, time::Duration};

use super::{keys::KeyCache, *};
use crate::{
    disk::SimDisk,
    durability::AckLevel,
    engine::Options as EngineOptions,
    metrics::{Metrics, Rejection},
    model::{Labels, MatchOp, Matcher, Slot, StreamId, TimeRange},
    protocol::line::Precision,
};

fn engine(streams_max: u32) -> Arc<Engine> {
    engine_that_keeps(None, streams_max)
}

fn engine_that_keeps(retention: Option<Duration>, streams_max: u32) -> Arc<Engine> {
    let options = EngineOptions {
        retention,
        streams_max,
        generation_size: 1 << 20,
        chunk_size: 64 << 10,
        ..EngineOptions::new(Path::new("/data"))
    };
    Engine::open(Arc::new(SimDisk::new(1)), options, Metrics::new()).unwrap()
}

fn ingest(engine: &Arc<Engine>) -> Arc<Ingest> {
    let options = Options { line_size_max: 1 << 16, body_size_max: 1 << 20, db_label: true };
    Ingest::new(Arc::clone(engine), options)
}

/// Writes a body in pieces of `size` bytes, in place of the committer thread.
fn write(ingest: &Arc<Ingest>, db: Option<&str>, body: &str, size: usize) -> Outcome {
    let request = WriteRequest {
        db: db.map(str::to_owned),
        precision: Precision::Seconds,
        now: 7_000_000_000,
        ack: Some(AckLevel::Memory),
        all_or_nothing: false,
    };
    let mut sink = ingest.body(request);
    body.as_bytes().chunks(size).for_each(|piece| sink.feed(piece).unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let answer = tokio::spawn(sink.finish());
        tokio::task::yield_now().await;
        ingest.engine.commit_step(Duration::ZERO);
        answer.await.unwrap().unwrap()
    })
}

/// Every series and its samples, as text.
fn all(engine: &Arc<Engine>) -> Vec<String> {
    use crate::select::{Source, View};
    let everything = [Matcher::new("__name__", MatchOp::Regex, ".*").unwrap()];
    let view = View::new(engine);
    let series = view.select(&everything, TimeRange::ALL).unwrap().map(Result::unwrap);
    let mut lines: Vec<_> = series.map(|s| format!("{} {:?} {:?}", s.labels, s.times, s.values)).collect();
    lines.sort();
    lines
}

#[test]
fn a_body_becomes_the_same_series_however_it_is_cut() {
    let body = "cpu,host=a user=1,idle=2i 1\ncpu,host=b idle=3i,user=4 2\n\n# note\nmem,host=a value=5u\nmem used=t 3";
    let expected = [
        r#"cpu_idle{db="d", host="a"} [1000000000] [2.0]"#,
        r#"cpu_idle{db="d", host="b"} [2000000000] [3.0]"#,
        r#"cpu_user{db="d", host="a"} [1000000000] [1.0]"#,
        r#"cpu_user{db="d", host="b"} [2000000000] [4.0]"#,
        r#"mem_used{db="d"} [3000000000] [1.0]"#,
        r#"mem{db="d", host="a"} [7000000000] [5.0]"#,
    ];
    for size in [1, 3, 17, 1_000] {
        let engine = engine(100);
        let outcome = write(&ingest(&engine), Some("d"), body, size);
        assert_eq!((outcome.accepted_samples, outcome.rejected.count()), (6, 0));
        assert_eq!(all(&engine), expected, "in pieces of {size}");
    }
}

#[test]
fn a_db_tag_of_the_line_wins_over_the_database() {
    let engine = engine(100);
    let ingest = ingest(&engine);
    write(&ingest, Some("d"), "m,db=own f=1 1", 100);
    write(&ingest, None, "m f=2 1", 100);
    write(&ingest, Some(""), "m f=3 2", 100);
    assert_eq!(all(&engine), [r#"m_f [1000000000, 2000000000] [2.0, 3.0]"#, r#"m_f{db="own"} [1000000000] [1.0]"#]);
}

#[test]
fn the_order_of_tags_and_fields_makes_no_difference_and_the_later_line_wins() {
    let engine = engine(100);
    let outcome = write(&ingest(&engine), None, "m,a=1,b=2 x=1,y=2 1\nm,b=2,a=1 y=20,x=10 1\nm,a=1,b=2 x=5,x=6 2", 100);
    assert_eq!(outcome.accepted_samples, 5);
    let labels = Labels::from([("a", "1"), ("b", "2")]).to_string();
    assert_eq!(
        all(&engine),
        [format!("m_x{labels} [1000000000, 2000000000] [10.0, 6.0]"), format!("m_y{labels} [1000000000] [20.0]"),]
    );
}

#[test]
fn the_later_line_wins_whatever_fields_the_lines_have() {
    let engine = engine(100);
    write(&ingest(&engine), None, "m a=1,b=1 1\nm a=2 1\nm a=3,b=3 1\nm b=4 1", 100);
    assert_eq!(all(&engine), ["m_a [1000000000] [3.0]", "m_b [1000000000] [4.0]"]);
}

#[test]
fn a_line_of_strings_alone_makes_no_stream_but_is_read() {
    let engine = engine(100);
    let outcome = write(&ingest(&engine), None, "m,h=a s=\"x\" 1\nm,h=a,h=a s=\"x\" 1", 100);
    assert_eq!((outcome.rejected_samples, outcome.rejected.count()), (1, 1));
    assert_eq!(engine.index().streams.count(), 0);
}

#[test]
fn samples_older_than_the_retention_are_refused_to_the_nanosecond_and_counted() {
    let engine = engine_that_keeps(Some(Duration::from_secs(4)), 100);
    // It is 7 s after 1970.
    let outcome = write(&ingest(&engine), None, "m,h=a a=1,b=2 2\nm,h=b a=3 3\nm,h=c a=4,s=\"x\" 1", 100);
    assert_eq!((outcome.accepted_samples, outcome.rejected_samples, outcome.beyond_retention), (1, 4, 2));
    assert!(outcome.rejected.is_empty());
    assert_eq!(all(&engine), ["m_a{h=\"b\"} [3000000000] [3.0]"]);
    assert_eq!(engine.index().streams.count(), 1, "what is refused makes no stream");
    assert_eq!(engine.metrics().samples_rejected[Rejection::Retention].get(), 3);
}

#[test]
fn a_body_of_too_many_days_keeps_those_that_fit() {
    let engine = engine(100);
    let body: String = (0..500).map(|day| format!("m f=1 {}\n", day * 86_400)).collect();
    let outcome = write(&ingest(&engine), None, &body, 100);
    assert_eq!((outcome.accepted_samples, outcome.rejected.count()), (400, 100));
    assert!(outcome.rejected.to_string().contains("more than 400 days in one write"));
}

#[test]
fn bad_lines_and_limits_are_named_and_spare_their_neighbours() {
    let engine = engine(2);
    let body = "m,h=a f=1 1\nm,h=a,h=b f=1 1\nm,h=b f=2 1\nm,h=c f=3 1\nrubbish\nm,h=a s=\"text\" 2";
    let outcome = write(&ingest(&engine), None, body, 100);
    assert_eq!((outcome.accepted_samples, outcome.rejected_samples, outcome.rejected.count()), (2, 1, 3));
    let text = outcome.rejected.to_string();
    assert!(text.contains("duplicate tags") && text.contains("limit of 2 streams reached"), "{text}");
    assert_eq!(all(&engine).len(), 2);
}

#[test]
fn no_client_writes_the_column_of_start_timestamps() {
    let engine = engine(100);
    let outcome = write(&ingest(&engine), None, "m f=1,\0start=5 1\nm f=2 2", 100);
    assert_eq!((outcome.accepted_samples, outcome.rejected.count()), (1, 1));
    assert!(outcome.rejected.to_string().contains("reserved"), "{}", outcome.rejected);
    assert_eq!(all(&engine), ["m_f [2000000000] [2.0]"]);
}

#[test]
fn a_body_that_is_dropped_leaves_no_trace_and_its_buffers_serve_the_next() {
    let engine = engine(100);
    let ingest = ingest(&engine);
    let mut body = ingest.body(WriteRequest::default());
    body.feed(b"m f=1 1\nm f=").unwrap();
    drop(body);
    assert_eq!(ingest.spares.lock().len(), 1);
    assert_eq!(write(&ingest, None, "n f=2 1", 100).accepted_samples, 1);
    assert_eq!(all(&engine), ["n_f [1000000000] [2.0]"]);
}

#[test]
fn a_body_over_the_limit_is_refused_whole() {
    let ingest = ingest(&engine(100));
    let mut body = ingest.body(WriteRequest::default());
    let line = b"m f=1 1\n".repeat(10_000);
    let refused = (0..20).find_map(|_| body.feed(&line).err());
    assert_eq!(refused, Some(Error::TooLarge(1 << 20)));
}

#[test]
fn the_key_cache_stays_within_its_bound() {
    let cache = KeyCache::new(1, 640);
    let hashes: Vec<_> = (0..10_000_u32).map(|n| KeyCache::hash(1, &n.to_le_bytes())).collect();
    for (hash, n) in hashes.iter().zip(0..) {
        cache.insert(*hash, StreamId(n), Slot(n));
        assert_eq!(cache.get(*hash), Some((StreamId(n), Slot(n))));
    }
    let kept = hashes.iter().filter(|hash| cache.get(**hash).is_some()).count();
    assert!((64..=640).contains(&kept), "{kept} of 640 are kept");
}
