//! The line, the list, and what is remembered.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Asked, Limits, Queries, State, Ticket,
    top::{Taken, Top, greatest},
};
use crate::{
    http::error::{Error, Kind},
    metrics::{Metrics, QueryRejection, QueryResult},
};

fn queries(running_max: usize, waiting_max: usize, wait_max: Duration) -> Arc<Queries> {
    Queries::new(Limits { running_max, waiting_max, wait_max, memory_max: 1 << 20 }, Metrics::new())
}

fn asked(text: &str, timeout: Duration) -> Asked {
    Asked { kind: "query", text: text.into(), steps: None, client: None, timeout }
}

const LONG: Duration = Duration::from_secs(60);

/// Asks in a task of its own, and waits until it is listed.
async fn ask(queries: &Arc<Queries>, text: &str) -> tokio::task::JoinHandle<Result<Ticket, Error>> {
    let (asking, asked) = (Arc::clone(queries), asked(text, LONG));
    let before = queries.entries().len();
    let task = tokio::spawn(async move { asking.enter(asked).await });
    while queries.entries().len() == before {
        tokio::task::yield_now().await;
    }
    task
}

#[tokio::test]
async fn whoever_waits_longest_is_next() {
    let queries = queries(1, 10, LONG);
    let mut running = queries.enter(asked("0", LONG)).await.unwrap();
    let mut waiting = Vec::new();
    for place in 1..5 {
        waiting.push(ask(&queries, &place.to_string()).await);
    }
    assert_eq!(queries.metrics.queries_waiting.get(), 4);
    for (place, task) in waiting.into_iter().enumerate() {
        drop(running);
        running = task.await.unwrap().unwrap();
        let (all, first) = (queries.entries(), running.entry().json());
        assert_eq!((&first["query"], all.len()), (&serde_json::json!((place + 1).to_string()), 4 - place));
        assert_eq!(queries.metrics.queries_running.get(), 1);
    }
    drop(running);
    assert_eq!((queries.entries().len(), queries.metrics.queries_running.get()), (0, 0));
}

#[tokio::test]
async fn the_line_has_an_end_and_a_wait_too() {
    let queries = queries(1, 1, Duration::from_millis(20));
    let running = queries.enter(asked("0", LONG)).await.unwrap();
    let waiting = ask(&queries, "1").await;
    let refused = queries.enter(asked("2", LONG)).await.err().unwrap();
    assert_eq!((refused.kind, refused.retry_after), (Kind::Overloaded, Some(1)));
    assert_eq!(waiting.await.unwrap().err().unwrap().kind, Kind::Overloaded);
    let impatient = queries.enter(asked("3", Duration::from_millis(5))).await.err().unwrap();
    assert_eq!((impatient.kind, &*impatient.message), (Kind::Timeout, "query timed out in query queue"));
    let rejected = &queries.metrics.queries_rejected;
    assert_eq!((rejected[QueryRejection::QueueFull].get(), rejected[QueryRejection::QueueWait].get()), (1, 1));
    let ended = &queries.metrics.queries;
    assert_eq!((ended[QueryResult::Rejected].get(), ended[QueryResult::Timeout].get()), (2, 1));
    drop(running);
    assert!(queries.enter(asked("4", LONG)).await.is_ok());
}

#[tokio::test]
async fn one_that_is_stopped_or_dropped_in_the_line_leaves_it() {
    let queries = queries(1, 10, LONG);
    let _running = queries.enter(asked("0", LONG)).await.unwrap();
    let (stopped, dropped) = (ask(&queries, "1").await, ask(&queries, "2").await);
    queries.entries()[1].stop();
    let error = stopped.await.unwrap().err().unwrap();
    assert_eq!((error.kind, &*error.message), (Kind::Canceled, "query was canceled in query queue"));
    dropped.abort();
    assert!(dropped.await.is_err_and(|error| error.is_cancelled()));
    assert_eq!((queries.entries().len(), queries.metrics.queries_waiting.get()), (1, 0));
    assert_eq!(queries.metrics.queries[QueryResult::Canceled].get(), 2);
}

#[tokio::test]
async fn work_hears_that_its_client_went_away() {
    let queries = queries(1, 10, LONG);
    let ticket = queries.enter(asked("0", LONG)).await.unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let task = tokio::spawn(ticket.run(move |entry| {
        entry.set_state(State::Running);
        while entry.interrupt().is_none() {
            std::thread::yield_now();
        }
        tell.send(entry.interrupt()).unwrap();
    }));
    tokio::task::yield_now().await;
    task.abort();
    let heard = tokio::task::spawn_blocking(move || told.recv_timeout(Duration::from_secs(10)).unwrap());
    assert_eq!(heard.await.unwrap(), Some(crate::promql::Stop::Canceled));
}

#[test]
fn a_very_long_text_is_cut() {
    let queries = queries(1, 1, LONG);
    let entry = queries.list(asked(&"ä".repeat(100_000), LONG));
    let shown = entry.json()["query"].as_str().unwrap().to_owned();
    assert!(shown.len() < 5000 && shown.ends_with("ä…"), "{} bytes", shown.len());
}

#[allow(clippy::disallowed_methods)] // a test needs some time to begin with
fn start() -> Instant {
    Instant::now()
}

fn taken(time: Duration, samples: u64) -> Taken {
    Taken { time, samples, bytes_peak: 10 * samples }
}

#[test]
fn totals_are_by_text_and_range_and_of_a_time() {
    let (mut top, start, second) = (Top::default(), start(), Duration::from_secs(1));
    for (at, text, range, took, samples) in
        [(0, "a", 0, 9, 5), (1, "a", 0, 2, 7), (1, "a", 60, 1, 1), (2, "b", 0, 4, 100)]
    {
        top.add(start + second * at, text.into(), second * range, taken(second * took, samples));
    }
    let names = |totals: &[super::top::Total]| -> Vec<_> {
        totals.iter().map(|total| format!("{}/{}: {}", total.text, total.range.as_secs(), total.count)).collect()
    };
    let all = top.totals(None);
    assert_eq!(names(&greatest(&all, 9, |total| total.count)), ["a/0: 2", "a/60: 1", "b/0: 1"]);
    assert_eq!(names(&greatest(&all, 2, |total| total.samples)), ["b/0: 1", "a/0: 2"]);
    let first = &greatest(&all, 1, |total| total.took)[0];
    assert_eq!((first.took, first.took_max, first.samples, first.bytes), (second * 11, second * 9, 12, 120));
    let recent = top.totals(Some(start + second));
    assert_eq!(names(&greatest(&recent, 9, |total| total.took)), ["b/0: 1", "a/0: 1", "a/60: 1"]);
}

#[test]
fn the_oldest_are_forgotten_first_by_number_and_by_size() {
    let (mut top, start) = (Top::default(), start());
    let mut add = |text: String| top.add(start, text.into(), Duration::ZERO, taken(Duration::ZERO, 1));
    (0..20_001).for_each(|number| add((number % 3).to_string()));
    let counts: Vec<_> = greatest(&top.totals(None), 9, |total| total.count).iter().map(|total| total.count).collect();
    assert_eq!((counts.len(), counts.iter().sum::<u64>()), (3, 20_000));
    let long = |number: usize| format!("{number:04}{}", "x".repeat(4092));
    (0..1030).for_each(|number| top.add(start, long(number).into(), Duration::ZERO, taken(Duration::ZERO, 1)));
    let totals = top.totals(None);
    let (first, last) = (totals.iter().map(|total| &total.text).min().unwrap(), totals.len());
    assert_eq!((&**first, last), (&*long(6), 1024), "4 MiB of texts");
}
