//! How long a query goes on when its time is up: as long as it is from one question whether to go on to the next.
//!
//! The longest such time on the way through a whole query is the most that any deadline is overrun by, wherever it falls.
//! It is taken in processor time of the thread, and as the least of some tries, so that it does not matter who else is at
//! work. `PLIMSOLL_DEADLINE_SAMPLES` and `PLIMSOLL_DEADLINE_SERIES` set other sizes.

mod data;

use std::time::Duration;

use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};

use crate::{
    http::encoded,
    model::{Allowance, TimeRange},
    promql::{Answer, Error, Guard, Interrupt, Meter, Options, Stop, instant, parse, parse_selector, range},
    select::View,
};
use data::{SECOND, START};

// What growing and dropping a large buffer costs is the allocator's; so it is that of the server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The longest time between two questions. A build without optimization takes more for the same work.
const OVERRUN_MAX: Duration = Duration::from_micros(if cfg!(debug_assertions) { 50_000 } else { 2_500 });
/// Who else is at work empties the caches; so a long time counts when it is there each time.
const TRIES: usize = 6;

/// Processor time of this thread.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Answers questions whether to go on, and notes the times between them.
struct Clock {
    last: Duration,
    times: Vec<Duration>,
    /// Questions to which the answer is yes.
    left: usize,
}

impl Clock {
    fn asked(&mut self) -> Option<Stop> {
        let now = processor_time();
        self.times.push(now - self.last);
        self.last = now;
        self.left = self.left.saturating_sub(1);
        (self.left == 0).then_some(Stop::Timeout)
    }
}

/// Does work that asks whether to go on; the times from question to question, from the beginning and to the end.
fn times<R>(left: usize, work: impl FnOnce(Interrupt<'_>) -> R) -> (R, Vec<Duration>) {
    let clock = Mutex::new(Clock { last: processor_time(), times: Vec::new(), left });
    let result = work(&|| clock.lock().asked());
    clock.lock().asked();
    (result, clock.into_inner().times)
}

/// Something done as long as it may go on.
type Work<'c> = dyn Fn(Interrupt<'_>) -> Result<(), Error> + 'c;

/// What takes long: what it is, and how it is done.
struct Case<'c> {
    name: String,
    work: Box<Work<'c>>,
}

impl<'c> Case<'c> {
    fn new(name: impl Into<String>, work: impl Fn(Interrupt<'_>) -> Result<(), Error> + 'c) -> Self {
        Self { name: name.into(), work: Box::new(work) }
    }

    /// An instant query at a time, in seconds from the first sample.
    fn instant(view: &'c View, query: &str, second: usize) -> Self {
        let (expr, time) = (parse(query).unwrap_or_else(|error| panic!("{query}: {error}")), data::time(second));
        Self::new(query, move |interrupt| instant(view, &expr, time, &options(interrupt)).map(dropped))
    }

    /// A range query over so many seconds.
    fn range(view: &'c View, query: &str, seconds: usize) -> Self {
        let (expr, end) = (parse(query).unwrap_or_else(|error| panic!("{query}: {error}")), data::time(seconds));
        Self::new(format!("{query}, {seconds} steps"), move |interrupt| {
            range(view, &expr, START, end, SECOND, &options(interrupt)).map(dropped)
        })
    }

    /// The times between two questions, each the shortest of a few tries.
    fn shortest(&self) -> Vec<Duration> {
        let mut least: Vec<Duration> = Vec::new();
        for _ in 0..TRIES {
            let (result, times) = times(usize::MAX, &*self.work);
            result.unwrap_or_else(|error| panic!("{}: {error}", self.name));
            match least.len() == times.len() {
                true => least.iter_mut().zip(&times).for_each(|(least, &time)| *least = time.min(*least)),
                // Not the same questions: the better one of the two counts.
                false if least.is_empty() || times.iter().max() < least.iter().max() => least = times,
                false => {}
            }
            if least.iter().max() <= Some(&OVERRUN_MAX) {
                break;
            }
        }
        least
    }

    /// The time from a question that is answered with no to the end: the longest of several places, each the shortest of a
    /// few tries. `asked` is how many questions there are.
    fn ended(&self, asked: usize) -> Duration {
        let rest = |left: usize| {
            let (result, times) = times(left, &*self.work);
            if let Err(error) = result {
                assert_eq!(error.kind(), "timeout", "{}: {error}", self.name);
                assert!(error.to_string().starts_with("query timed out in "), "{error}");
            }
            times[left..].iter().sum::<Duration>()
        };
        let shortest = |left: usize| {
            let mut least = rest(left);
            for _ in 1..TRIES {
                if least <= OVERRUN_MAX {
                    break;
                }
                least = least.min(rest(left));
            }
            least
        };
        [3, 7].into_iter().map(|share| shortest((asked * share / 8).max(1))).max().unwrap_or_default()
    }
}

fn dropped(answer: Answer) {
    drop(answer);
}

fn options(interrupt: Interrupt<'_>) -> Options<'_> {
    Options { samples_max: u64::MAX, interrupt: Some(interrupt), ..Options::default() }
}

/// Cases that go on for long after their time is up.
#[derive(Default)]
struct Late(Vec<String>);

impl Late {
    fn check<'c>(&mut self, cases: impl IntoIterator<Item = Case<'c>>) {
        for case in cases {
            let times = case.shortest();
            let (longest, whole) = (times.iter().max().copied().unwrap_or_default(), times.iter().sum::<Duration>());
            let ended = case.ended(times.len() - 1);
            println!("{longest:>10.3?} {ended:>10.3?} of {whole:>10.3?}  {}", case.name);
            if longest.max(ended) > OVERRUN_MAX {
                self.0.push(format!("{longest:.3?}, {ended:.3?}: {}", case.name));
            }
        }
    }

    fn none(self) {
        assert!(self.0.is_empty(), "longer than {OVERRUN_MAX:?} without a question: {:#?}", self.0);
    }
}

#[test]
fn a_stream_of_very_many_samples_is_left_in_time_wherever_they_are() {
    let mut late = Late::default();
    let samples = data::samples();
    for (kept, engine) in data::streams(samples) {
        println!("{kept}");
        let view = View::new(&engine);
        let window = format!("[{samples}s]");
        let queries = [
            format!("last_over_time({{__name__=~\"m_.\"}}{window})"),
            format!("{{__name__=~\"m_.\"}}{window}"),
            "count(m_a)".to_owned(),
        ];
        let mut cases: Vec<_> = queries.iter().map(|query| Case::instant(&view, query, samples)).collect();
        if kept == "in order" {
            let more = [
                "rate(m_aW)",
                "increase(m_aW anchored)",
                "rate(m_aW smoothed)",
                "changes(m_aW anchored)",
                "resets(m_aW anchored)",
                "delta(m_aW smoothed)",
                "sum_over_time(m_aW)",
                "absent_over_time(m_aW)",
                "present_over_time(m_aW)",
                "quantile_over_time(0.5, m_aW)",
            ];
            let more = more.map(|query| query.replace('W', &window));
            cases.extend(more.iter().map(|query| Case::instant(&view, query, samples)));
            cases.push(Case::range(&view, "m_a", samples));
        }
        late.check(cases);
    }
    late.none();
}

#[test]
fn a_subquery_of_very_many_steps_is_left_in_time() {
    let mut late = Late::default();
    let steps = data::samples() / 4;
    let engine = data::few_series(steps);
    let view = View::new(&engine);
    let inner = [
        "vector(1)",
        "vector(time())",
        "m",
        "-m",
        "m > 1",
        "m * 2",
        "m + time()",
        "m + on (i) m",
        "m and m",
        "m or m",
        "m unless n",
        "m + on (i) fill (0) n",
        "m * on () group_left n",
        "sum(m)",
        "avg by (i) (m)",
        "stddev(m)",
        "max(m)",
        "count(m)",
        "group(m)",
        "topk(1, m)",
        "bottomk(1, m)",
        "limitk(1, m)",
        "limit_ratio(0.5, m)",
        "quantile(0.5, m)",
        r#"count_values("v", m > 1 < 5)"#,
        "rate(m[5s])",
        "sum_over_time(m[5s])",
        "avg_over_time(m[5s])",
        "max_over_time(m[5s])",
        "last_over_time(m[5s])",
        "increase(m[5s] anchored)",
        "rate(m[5s] smoothed)",
        "deriv(m[5s])",
        "absent(none)",
        "absent_over_time(none[5s])",
        "absent(m)",
        "clamp(m, 1, time())",
        "round(m, 5)",
        "timestamp(m)",
        "hour()",
        "hour(m)",
        r#"label_replace(m, "x", "$1", "i", "(.*)")"#,
        r#"label_join(m, "x", "-", "i")"#,
        "vector(scalar(n))",
        "m * scalar(n)",
        "sort(m)",
        "histogram_quantile(0.5, m)",
        "histogram_fraction(0, 1, m)",
        "info(m)",
        r#"abs({__name__=~"m|none"})"#,
        "m smoothed",
        "vector(1 - time() * 2)",
        "m offset 1s",
        "max_over_time(m[9s:3s])",
        "m @ 10",
    ];
    late.check(
        inner.iter().map(|inner| Case::instant(&view, &format!("count_over_time(({inner})[{steps}s:1s])"), steps)),
    );
    late.none();
}

#[test]
fn very_many_small_images_are_left_in_time() {
    let mut late = Late::default();
    let engine = data::many_images(8_000, 30);
    let view = View::new(&engine);
    let queries = ["count_over_time(m[8000s])", "m[8000s]", "m{i=\"7\"}[8000s]", "count_over_time(m[10s])"];
    late.check(queries.iter().map(|query| Case::instant(&view, query, 8_000)));
    late.none();
}

#[test]
fn very_many_series_are_left_in_time() {
    let mut late = Late::default();
    let engine = data::many_series(data::series());
    let view = View::new(&engine);
    let queries = [
        "m",
        "m[1m]",
        "quantile(0.5, m)",
        "quantile by (host) (0.5, m)",
        "quantile by (dc) (0.5, m)",
        "topk(10, m)",
        "topk by (dc) (3, m)",
        "topk(100000, m)",
        "bottomk(100000, m)",
        "limitk(10, m)",
        "limitk(100000, m)",
        "limit_ratio(0.5, m)",
        r#"count_values("v", m)"#,
        "sort(m)",
        "sort_desc(m)",
        r#"sort_by_label(m, "host")"#,
        r#"sort_by_label_desc(m, "dc")"#,
        "sum(m)",
        "sum by (host) (m)",
        "avg without (dc) (m)",
        "info(m)",
        r#"label_replace(m, "x", "$1-$2", "host", "h(.)(.*)")"#,
        r#"label_join(m, "x", "-", "host", "dc")"#,
        "m + m",
        "m + on (host) m",
        "m and m",
        "m or m",
        "m unless m",
        "m * on (host) group_left m",
        "m * on (one) group_left n",
        "m + on (host) fill (0) n",
        "m == bool m",
        "abs(m)",
        "-m",
        r#"abs({__name__=~"m|none"})"#,
        "rate(m[1m])",
        "histogram_quantile(0.5, m)",
        r#"histogram_quantile(0.5, label_replace(m, "le", "1", "", ""))"#,
        "absent(m)",
        "scalar(m)",
        "count(m @ 1)",
        r#"{host=~".*1.*2.*|h.*7.*"}"#,
        r#"{host!~".*1.*2.*",dc=~".+1"}"#,
        r#"m{host!="h1"}"#,
        r#"{__name__=~".+",host=~".+"}"#,
        "sum_over_time(m[1m:1s])",
        "max_over_time(sum by (host) (m)[10s:1s])",
    ];
    late.check(queries.iter().map(|query| Case::instant(&view, query, 1)));
    late.check(["m", "sum by (host) (m)", "m + m", "topk(5, m)"].iter().map(|query| Case::range(&view, query, 10)));
    late.check(look_ups(&view));
    late.none();
}

/// What the endpoints of names, values, and series do.
fn look_ups(view: &View) -> Vec<Case<'_>> {
    let mut cases = Vec::new();
    for selector in ["{host=~\".+\"}", "{host=~\".*1.*\"}", "m", "{one=\"1\",host!~\".*7.*\"}"] {
        for range in [TimeRange::ALL, TimeRange { start: START, end: START + SECOND }] {
            let matchers = parse_selector(selector).unwrap();
            let look_up = |name: &str, find: fn(&View, &[crate::model::Matcher], TimeRange, &dyn Allowance) -> bool| {
                let matchers = matchers.clone();
                let shown = if range == TimeRange::ALL { "" } else { ", in a range" };
                Case::new(format!("{name} of {selector}{shown}"), move |interrupt| {
                    let meter = Meter::default();
                    let most = u64::MAX;
                    let guard = Guard {
                        meter: &meter,
                        samples_max: most,
                        series_max: most,
                        memory_max: most,
                        interrupt: Some(interrupt),
                    };
                    match find(view, &matchers, range, &guard) {
                        true => Ok(()),
                        false => Err(Error::Timeout),
                    }
                })
            };
            cases.push(look_up("labels", |view, matchers, range, allowance| {
                view.label_names(matchers, range, allowance).is_ok()
            }));
            cases.push(look_up("values", |view, matchers, range, allowance| {
                view.label_values("host", matchers, range, allowance).is_ok()
            }));
            cases.push(look_up("names", |view, matchers, range, allowance| {
                view.label_values("__name__", matchers, range, allowance).is_ok()
            }));
            cases.push(look_up("series", |view, matchers, range, allowance| {
                view.series(matchers, range, allowance).is_ok()
            }));
        }
    }
    cases
}

#[test]
fn a_huge_answer_is_encoded_in_small_pieces() {
    let samples = data::samples();
    let (few, many) = (data::few_series(samples), data::many_series(data::series()));
    for (engine, query, second) in [(&few, format!("m[{samples}s]"), samples), (&many, "m".to_owned(), 1)] {
        let view = View::new(engine);
        let answer = instant(&view, &parse(&query).unwrap(), data::time(second), &options(&|| None)).unwrap();
        // Whether to go on is asked from piece to piece.
        let longest = || {
            let mut pieces = encoded(answer.value.clone());
            let mut last = processor_time();
            let piece = |_| {
                pieces.next()?;
                let before = std::mem::replace(&mut last, processor_time());
                Some(last - before)
            };
            (0..).map_while(piece).max().unwrap_or_default()
        };
        let shortest = (0..TRIES).map(|_| longest()).min().unwrap_or_default();
        println!("{shortest:>10.3?}  {query}");
        assert!(shortest <= OVERRUN_MAX, "{query}: {shortest:?} for a piece");
    }
}
