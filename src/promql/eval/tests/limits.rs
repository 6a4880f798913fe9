//! Limits, interrupts, what is read, and names dropped at once.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use crate::{
    model::Labels,
    promql::{Answer, Error, Meter, Options, Pool, Stop, Value, eval, parse},
    select::{self, Batch, Request, Series, Source},
};

const SECOND: i64 = 1_000_000_000;

/// `count` series `m{i="…"}`, each with a sample a second; they have all the times asked for.
struct Endless {
    count: usize,
    names: &'static [&'static str],
}

impl Source for Endless {
    fn batches<'a>(&'a self, request: &Request<'a>) -> Result<Vec<Batch<'a>>, select::Error> {
        let Request { range, .. } = *request;
        let first = range.start.div_euclid(SECOND) + 1;
        let times: Arc<Vec<i64>> =
            (first..).map(|second| second * SECOND).take_while(|&time| range.contains(time)).collect::<Vec<_>>().into();
        let series = self.names.iter().flat_map(move |name| (0..self.count).map(move |index| (name, index)));
        Ok(vec![Box::new(series.map(move |(name, index)| {
            let labels = Labels::from([("__name__", *name), ("i", &index.to_string())]);
            Ok(Series { times: Arc::clone(&times), ..Series::new(labels, [], vec![1.0; times.len()]) })
        }))])
    }
}

const ONE: Endless = Endless { count: 1, names: &["m_total"] };

fn range(source: &dyn Source, query: &str, end: i64, options: &Options<'_>) -> Result<Answer, Error> {
    eval::range(source, &parse(query).unwrap(), 0, end * SECOND, SECOND, options)
}

#[test]
fn a_query_fails_at_its_limit_of_samples_and_not_before() {
    let source = Endless { count: 10, names: &["m"] };
    let few = Options { samples_max: 5000, ..Options::default() };
    // A fold holds one series at a time, so ten series of a thousand samples are no matter.
    let stats = range(&source, "sum(m)", 1000, &few).unwrap().stats;
    assert_eq!((stats.series_read, stats.samples_read), (10, 13_000));
    assert!(stats.samples_peak < 5000, "{stats:?}");
    let error = range(&source, "topk(1, m)", 1000, &few).unwrap_err();
    assert_eq!(error.kind(), "execution");
    assert_eq!(error.to_string(), "query processing would load too many samples into memory in query execution");
}

#[test]
fn a_query_fails_at_its_limit_of_series_in_all_its_selectors() {
    let source = Endless { count: 10, names: &["m"] };
    let options = |series_max| Options { series_max, ..Options::default() };
    assert!(range(&source, "sum(m) + sum(m)", 10, &options(20)).is_ok());
    let error = range(&source, "sum(m) + sum(m)", 10, &options(19)).unwrap_err();
    assert_eq!(error.kind(), "execution");
    assert_eq!(error.to_string(), "query processing would read more than 19 series in query execution");
}

#[test]
fn bytes_are_those_of_what_is_held() {
    const COLUMN: u64 = 1001 * 8;
    let source = Endless { count: 1000, names: &["m"] };
    let peak = |query: &str| {
        let pool = Arc::new(Pool::new(u64::MAX));
        let meter = Meter::new(Arc::clone(&pool));
        let answer = range(&source, query, 1000, &Options { meter: Some(&meter), ..Options::default() }).unwrap();
        let (held, points) = (meter.stats().bytes_held, points(&answer.value));
        assert_eq!(held, pool.held());
        let (least, most) = (points * 16, points * 16 + 1000 * 200 + (64 << 10));
        assert!((least..most).contains(&held), "{query}: {held} bytes for an answer of {points} points");
        drop(meter);
        assert_eq!(pool.held(), 0, "what the answer holds is given back at last");
        answer.stats.bytes_peak
    };
    let columns = |count: u64| count * COLUMN..count * COLUMN + count * 300 + (1 << 20);
    for (query, expected) in [
        ("sum(m)", columns(5)),
        ("sum by (i) (m)", columns(3000)), // a state of a sum is three numbers
        ("topk(5, m)", columns(1000)),
        ("m", columns(2000)),             // the answer has a time with each value
        ("count(m or m)", columns(2125)), // a mark for each step is a byte
        (r#"count(count_values("v", m + time()))"#, columns(2)), // a value seen once has one place
        ("max(max_over_time(m[1000s:1s]))", columns(8)),
    ] {
        let peak = peak(query);
        assert!(expected.contains(&peak), "{query}: {peak} bytes, and {expected:?} expected");
    }
}

fn points(value: &Value) -> u64 {
    let Value::Matrix(series) = value else { panic!("{value:?}") };
    series.iter().map(|series| series.floats.len() as u64).sum()
}

/// So many series of one sample, each a second after the one before.
struct Passing(i64);

impl Source for Passing {
    fn batches<'a>(&'a self, request: &Request<'a>) -> Result<Vec<Batch<'a>>, select::Error> {
        let Request { range, .. } = *request;
        let inside = (0..self.0).filter(move |second| range.contains(second * SECOND));
        Ok(vec![Box::new(inside.map(|second| {
            let labels = Labels::from([("__name__", "m"), ("i", &second.to_string()), ("le", "1")]);
            Ok(Series::new(labels, vec![second * SECOND], vec![second as f64]))
        }))])
    }
}

#[test]
fn steps_without_a_sample_are_no_samples_and_take_no_memory() {
    // At each step 10 of 2,000 series are there; places for all of them would be 4 million.
    let source = Passing(2000);
    let options = Options { lookback: 10 * SECOND, samples_max: 100_000, ..Options::default() };
    for query in [
        "m",
        "m * 2",
        "-m",
        "m > 5",
        "topk(3, m)",
        "limitk(3, m)",
        "max by (i) (m)",
        "sum by (i) (m)",
        "quantile by (i) (0.5, m)",
        "quantile(0.5, m)",
        "count(count by (i) (m))",
        r#"count_values("v", m)"#,
        "last_over_time(m[10s])",
        "sum by (i) (sum_over_time(m[10s]))",
        "m or m",
        "m and m",
        "m unless on (i) (m > 3000)",
        "m * on (i) group_left m",
        "m + m",
        r#"label_replace(m, "x", "$1", "i", "(.*)")"#,
        "histogram_quantile(0.5, m)",
        "histogram_fraction(0, 1, m)",
        "max_over_time(m[10s:1s])",
    ] {
        let answer = range(&source, query, 2009, &options).unwrap_or_else(|error| panic!("{query}: {error}"));
        assert!(answer.stats.bytes_peak < 2 << 20, "{query}: {} bytes", answer.stats.bytes_peak);
        assert!(points(&answer.value) >= 2000, "{query}: {} points", points(&answer.value));
    }
    let few = Options { samples_max: 19_000, ..options };
    assert!(range(&source, "m", 2009, &few).is_err(), "those that are there do count");
}

#[test]
fn many_are_matched_once_however_many_take_turns_as_the_one() {
    // A join of each with each would ask more than ten thousand times.
    let source = Passing(500);
    for (query, count) in [
        ("m * on (le) group_left m", 500),
        ("m * on (le) group_left (i) m", 500),
        ("m * on (le) group_right (i) m", 500),
        ("count by (le) (m + on (le) m)", 500),
        ("m + on (le) fill_right (0) m", 500),
    ] {
        let asked = AtomicUsize::new(0);
        let interrupt = || (asked.fetch_add(1, Relaxed) > 2000).then_some(Stop::Timeout);
        let options = Options { lookback: SECOND, interrupt: Some(&interrupt), ..Options::default() };
        let answer = range(&source, query, 509, &options).unwrap_or_else(|error| panic!("{query}: {error}"));
        assert_eq!(points(&answer.value), count, "{query}");
    }
}

#[test]
fn memory_is_limited_for_one_query_and_for_all() {
    let source = Endless { count: 1000, names: &["m"] };
    let few = Options { memory_max: 4 << 20, ..Options::default() };
    assert!(range(&source, "sum(m)", 1000, &few).is_ok());
    let error = range(&source, "topk(1, m)", 1000, &few).unwrap_err();
    let text = "query processing would take more than 4194304 bytes of memory in query execution";
    assert_eq!((error.kind(), &*error.to_string()), ("execution", text));

    let pool = Arc::new(Pool::new(24 << 20));
    let meters = [Meter::new(Arc::clone(&pool)), Meter::new(Arc::clone(&pool))];
    let ask = |meter: &Meter| range(&source, "m", 1000, &Options { meter: Some(meter), ..Options::default() });
    assert!(ask(&meters[0]).is_ok());
    let error = ask(&meters[1]).unwrap_err();
    let text = "all queries together would take more than 25165824 bytes of memory";
    assert_eq!((error.kind(), &*error.to_string()), ("unavailable", text));
    drop(meters);
    assert!(ask(&Meter::new(pool)).is_ok());
}

#[test]
fn steps_that_fit_no_memory_are_refused_before_a_column_is_made() {
    for query in ["1", "m", "vector(1)", "absent(m)", "hour()"] {
        let answer = eval::range(&ONE, &parse(query).unwrap(), 0, i64::MAX, 1, &Options::default());
        assert_eq!(answer.unwrap_err().kind(), "execution", "{query}");
    }
    let subquery =
        parse("sum_over_time(time()[5y:1ms])").map_or_else(|_| parse("sum_over_time(vector(1)[5y:1ms])"), Ok);
    let answer = eval::instant(&ONE, &subquery.unwrap(), 0, &Options::default());
    assert_eq!(answer.unwrap_err().kind(), "execution");
}

#[test]
fn an_interrupt_ends_a_query_inside_its_loops() {
    for (stop, kind) in [(Stop::Timeout, "timeout"), (Stop::Canceled, "canceled")] {
        let asked = AtomicUsize::new(0);
        let interrupt = || (asked.fetch_add(1, Relaxed) == 20).then_some(stop);
        let options = Options { interrupt: Some(&interrupt), ..Options::default() };
        // One series only: the question comes from between its windows.
        let error = range(&ONE, "stddev_over_time(m_total[1h])", 4000, &options).unwrap_err();
        assert_eq!((error.kind(), asked.load(Relaxed)), (kind, 21));
    }
}

#[test]
fn a_window_of_a_million_samples_is_left_in_its_midst() {
    const SAMPLES: i64 = 1_000_000;
    /// Questions on one way through all samples, and some fewer.
    const QUESTIONS: usize = 60;
    for query in [
        "sum_over_time(m[W])",
        "avg_over_time(m[W])",
        "min_over_time(m[W])",
        "stddev_over_time(m[W])",
        "quantile_over_time(0.5, m[W])",
        "mad_over_time(m[W])",
        "ts_of_max_over_time(m[W])",
        "changes(m[W])",
        "resets(m[W])",
        "rate(m[W])",
        "deriv(m[W])",
        "predict_linear(m[W], 60)",
        "double_exponential_smoothing(m[W], 0.5, 0.5)",
    ] {
        let source = Endless { count: 1, names: &["m"] };
        let asked_until_end = |asked_max: usize| {
            let asked = AtomicUsize::new(0);
            let interrupt = || (asked.fetch_add(1, Relaxed) >= asked_max).then_some(Stop::Timeout);
            let options = Options { interrupt: Some(&interrupt), ..Options::default() };
            let expr = parse(&query.replace('W', &format!("{SAMPLES}s"))).unwrap();
            let answer = eval::instant(&source, &expr, SAMPLES * SECOND, &options);
            (answer.map_err(|error| error.kind()).map(|answer| answer.stats.samples_read), asked.into_inner())
        };
        let (answer, asked) = asked_until_end(usize::MAX);
        assert_eq!(answer, Ok(SAMPLES as u64), "{query}");
        // Stale markers are looked for in them, then the function goes through them.
        assert!(asked > 2 * QUESTIONS, "{query} asks {asked} times");
        for share in 1..8 {
            let enough = asked * share / 8;
            let (answer, asked) = asked_until_end(enough);
            assert_eq!(answer, Err("timeout"), "{query}");
            assert!(asked < enough + 10, "{query} asks {asked} times after it was told {enough} times to go on");
        }
    }
}

#[test]
fn names_dropped_at_once_may_not_make_two_series_one() {
    let two = Endless { count: 1, names: &["a_total", "b_total"] };
    let query = "sum(rate({i=\"0\"}[1m]))";
    let error = range(&two, query, 60, &Options::default()).unwrap_err();
    assert_eq!(error.to_string(), "vector cannot contain metrics with the same labelset");
    let delayed = Options { features: "promql-delayed-name-removal".parse().unwrap(), ..Options::default() };
    assert!(range(&two, query, 60, &delayed).is_ok());
}

#[test]
fn a_pinned_part_is_evaluated_once() {
    let questions = |query: &str| {
        let asked = AtomicUsize::new(0);
        let interrupt = || {
            asked.fetch_add(1, Relaxed);
            None
        };
        let options = Options { interrupt: Some(&interrupt), ..Options::default() };
        range(&ONE, query, 4000, &options).unwrap();
        asked.load(Relaxed)
    };
    // The number of questions tells how many samples the windows had in all.
    assert!(questions("stddev_over_time(m_total[1h] @ 5000)") < 5);
    assert!(questions("stddev_over_time(m_total[1h] @ 5000) + time()") < 5);
    assert!(questions("stddev_over_time(m_total[1h])") > 500);
}

#[test]
fn the_source_is_asked_for_no_more_than_the_windows() {
    let read = |query: &str| range(&ONE, query, 100, &Options::default()).unwrap().stats.samples_read;
    assert_eq!(read("m_total"), 400); // (-300 s, 100 s]
    assert_eq!(read("rate(m_total[1m] offset 1h)"), 160);
    assert_eq!(read("sum_over_time(m_total[1m:10s])"), 450); // the first inner step is at -50 s
}

#[test]
fn types_and_steps_of_range_queries_are_checked() {
    let error = range(&ONE, "m_total[5m]", 10, &Options::default()).unwrap_err();
    assert_eq!(
        (error.kind(), &error.to_string()[..45]),
        ("bad_data", "invalid expression type \"range vector\" for ra")
    );
    let error = eval::range(&ONE, &parse("1").unwrap(), 0, 1, 0, &Options::default()).unwrap_err();
    assert_eq!(error.kind(), "bad_data");
    let answer = eval::range(&ONE, &parse("1").unwrap(), 1, 0, 1, &Options::default()).unwrap();
    assert_eq!(answer.value, Value::Matrix(Vec::new()));
}
