//! The checks have teeth: each promise, broken in a history made by hand, is reported, and nothing else is.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    batch::{BatchId, Source},
    check::{Broken, LossReport, Lost, Promise, check, loss_report, lost, receipt, settle},
    found::Found,
    history::{Answer, Fate, Position, Receipt, Sent},
    report::{ModeReport, render},
};
use crate::durability::{AckLevel, Mode, Policy, StageKind};

const SOURCE: Source = Source { seed: 7 };
const WINDOW: Duration = Duration::from_secs(1);
/// When the server was killed.
const CRASH: Duration = Duration::from_secs(10);

/// A mode with a log, and one without.
fn row(stage: StageKind) -> Policy {
    Mode::ALL.iter().map(|mode| mode.policy()).find(|row| row.stage == stage).unwrap()
}

fn id(number: u64) -> BatchId {
    BatchId { connection: 3, number }
}

/// Batch `number`, acknowledged as `1/number` that long before the crash.
fn acknowledged(number: u64, level: AckLevel, age: Duration) -> Sent {
    let window = if level == AckLevel::Memory { Some(WINDOW) } else { Some(Duration::ZERO) };
    let (position, samples) = (Position { incarnation: 1, number }, SOURCE.samples(id(number)));
    let answer = Answer::Acknowledged(Receipt { level, position, window, samples }, CRASH - age);
    Sent { batch: id(number), samples, asked: Some(level), answer, fate: Fate::Open }
}

fn unanswered(number: u64) -> Sent {
    Sent { answer: Answer::None, ..acknowledged(number, AckLevel::Memory, Duration::ZERO) }
}

/// What a query answers where these batches are, a series per sample.
fn series(numbers: &[u64]) -> Vec<Value> {
    numbers.iter().flat_map(|number| lines(&SOURCE.body(id(*number)))).collect()
}

fn lines(body: &str) -> Vec<Value> {
    body.lines().flat_map(line).collect()
}

/// `crashtest,connection=3,epoch=0,lane=1 count=5i,level=1.5 1795154400000`
fn line(text: &str) -> Vec<Value> {
    let [tags, fields, millis] = text.split(' ').collect::<Vec<_>>().try_into().unwrap();
    let time = millis.parse::<i64>().unwrap() as f64 / 1000.0;
    let sample = |field: &str| {
        let (name, value) = field.split_once('=').unwrap();
        let mut metric = json!({ "__name__": format!("crashtest_{name}"), "db": "crashtest" });
        for tag in tags.split(',').skip(1) {
            let (key, value) = tag.split_once('=').unwrap();
            metric[key] = value.into();
        }
        json!({ "metric": metric, "values": [[time, value.trim_end_matches('i')]] })
    };
    fields.split(',').map(sample).collect()
}

fn found(series: &[Value]) -> Found {
    let mut found = Found::default();
    series.iter().for_each(|series| found.take_series(SOURCE, series));
    found
}

fn broken(stage: StageKind, history: &[Sent], series: &[Value]) -> Vec<Promise> {
    promises(&check(row(stage), history, &found(series), CRASH))
}

fn promises(broken: &[Broken]) -> Vec<Promise> {
    broken.iter().map(|broken| broken.promise).collect()
}

#[test]
fn what_was_sent_is_found_exactly_as_it_was_sent() {
    let history: Vec<_> = (0..200).map(|n| acknowledged(n, AckLevel::Disk, WINDOW)).collect();
    let all: Vec<_> = (0..200).collect();
    assert_eq!(broken(StageKind::Log, &history, &series(&all)), []);
    let sizes: Vec<_> = all.iter().map(|n| SOURCE.samples(id(*n))).collect();
    assert!(sizes.contains(&800) && sizes.contains(&2), "large bodies and small: {sizes:?}");
}

#[test]
fn a_lost_batch_that_was_acknowledged_at_a_level_that_survives_is_reported() {
    for level in [AckLevel::Os, AckLevel::Disk] {
        let history = [acknowledged(0, level, Duration::ZERO), acknowledged(1, level, Duration::ZERO)];
        assert_eq!(broken(StageKind::Container, &history, &series(&[0])), [Promise::Survives]);
    }
}

#[test]
fn with_a_log_every_acknowledged_batch_survives_whatever_its_receipt_says() {
    let history = [acknowledged(0, AckLevel::Memory, Duration::ZERO)];
    assert_eq!(broken(StageKind::Log, &history, &[]), [Promise::Survives]);
    assert_eq!(broken(StageKind::Container, &history, &[]), []);
}

#[test]
fn a_loss_is_reported_once_it_is_older_than_its_window() {
    let just_before = [acknowledged(0, AckLevel::Memory, WINDOW)];
    assert_eq!(broken(StageKind::Container, &just_before, &[]), []);
    let too_old = [acknowledged(0, AckLevel::Memory, WINDOW + Duration::from_millis(1))];
    assert_eq!(broken(StageKind::Container, &too_old, &[]), [Promise::Window]);
    let mut unbounded = acknowledged(0, AckLevel::Memory, CRASH);
    let Answer::Acknowledged(receipt, _) = &mut unbounded.answer else { panic!("it is acknowledged") };
    receipt.window = None;
    assert_eq!(broken(StageKind::Container, &[unbounded.clone()], &[]), []);
    let Answer::Acknowledged(receipt, _) = &mut unbounded.answer else { panic!("it is acknowledged") };
    receipt.window = Some(Duration::ZERO);
    assert_eq!(broken(StageKind::Container, &[unbounded], &[]), [Promise::Survives]);
}

#[test]
fn a_torn_batch_is_reported_even_if_nobody_was_told_of_it() {
    let large = (0..).find(|n| SOURCE.samples(id(*n)) > 2).unwrap();
    let mut torn = series(&[large]);
    torn.pop();
    assert_eq!(broken(StageKind::Container, &[unanswered(large)], &torn), [Promise::Whole]);
    assert_eq!(broken(StageKind::Container, &[unanswered(large)], &series(&[large])), []);
    assert_eq!(broken(StageKind::Container, &[unanswered(large)], &[]), []);
}

#[test]
fn a_wrong_value_is_reported() {
    let mut wrong = series(&[0]);
    wrong[0]["values"][0][1] = "1".into();
    assert_eq!(broken(StageKind::Log, &[unanswered(0)], &wrong), [Promise::Exact]);
}

#[test]
fn what_nobody_sent_is_reported() {
    let history = [unanswered(0)];
    assert_eq!(broken(StageKind::Log, &history, &series(&[0, 1])), [Promise::OnlySent]);
    for (key, value) in [("lane", "7"), ("connection", "x"), ("epoch", "1"), ("host", "a"), ("lane", "00")] {
        let mut other = series(&[0]);
        other.truncate(1);
        other[0]["metric"][key] = value.into();
        assert_eq!(broken(StageKind::Log, &history, &other[..1]), [Promise::OnlySent], "{key}={value}");
    }
    let of_another_connection = lines(&SOURCE.body(id(0)).replace("connection=3", "connection=4"));
    assert!(broken(StageKind::Log, &history, &of_another_connection).contains(&Promise::OnlySent));
    let mut other_time = series(&[0]);
    other_time.truncate(1);
    other_time[0]["values"][0][0] = 1.5.into();
    assert_eq!(broken(StageKind::Log, &history, &other_time), [Promise::OnlySent]);
}

#[test]
fn a_hole_in_the_prefix_is_reported_within_one_incarnation_only() {
    let mut history: Vec<_> = (0..3).map(|n| acknowledged(n, AckLevel::Memory, Duration::ZERO)).collect();
    assert_eq!(broken(StageKind::Container, &history, &series(&[0])), []);
    assert_eq!(broken(StageKind::Container, &history, &series(&[0, 2])), [Promise::Prefix]);
    let Answer::Acknowledged(receipt, _) = &mut history[2].answer else { panic!("it is acknowledged") };
    receipt.position.incarnation = 2;
    assert_eq!(broken(StageKind::Container, &history, &series(&[0, 2])), []);
}

#[test]
fn what_one_start_found_a_later_one_must_find_and_nothing_more() {
    let mut history = [acknowledged(0, AckLevel::Memory, WINDOW), acknowledged(1, AckLevel::Memory, WINDOW)];
    settle(&mut history, &found(&series(&[0])));
    assert_eq!([history[0].fate, history[1].fate], [Fate::Survived, Fate::Lost]);
    assert_eq!(broken(StageKind::Container, &history, &series(&[0])), []);
    assert_eq!(broken(StageKind::Container, &history, &[]), [Promise::Stays]);
    assert_eq!(broken(StageKind::Container, &history, &series(&[0, 1])), [Promise::Stays]);
}

#[test]
fn an_answer_weaker_than_asked_for_or_with_a_receipt_that_makes_no_sense_is_reported() {
    let there = series(&[0]);
    let weak = Sent { asked: Some(AckLevel::Disk), ..acknowledged(0, AckLevel::Os, WINDOW) };
    assert_eq!(broken(StageKind::Log, &[weak], &there), [Promise::Answers]);
    let below_default = Sent { asked: None, ..acknowledged(0, AckLevel::Os, WINDOW) };
    let of_disk = Policy { ack: AckLevel::Disk, ..row(StageKind::Log) };
    assert_eq!(promises(&check(of_disk, &[below_default], &found(&there), CRASH)), [Promise::Answers]);
    let partial = Sent { samples: 1 + SOURCE.samples(id(0)), ..acknowledged(0, AckLevel::Disk, WINDOW) };
    assert!(broken(StageKind::Log, &[partial], &there).contains(&Promise::Answers));
    let unreadable = Sent { answer: Answer::Unreadable("no header".to_owned()), ..unanswered(0) };
    assert_eq!(broken(StageKind::Log, &[unreadable], &there), [Promise::Answers]);
}

#[test]
fn headers_make_a_receipt_or_say_what_is_missing() {
    let headers = [
        ("durability-level", "memory"),
        ("durability-position", "2/17"),
        ("durability-window-process-ms", "1050"),
        ("accepted-samples", "8"),
    ];
    let parse = |replaced: &str, value: Option<&'static str>| {
        let header = |name: &str| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        Receipt::parse(|name| if name == replaced { value } else { header(name) })
    };
    let position = Position { incarnation: 2, number: 17 };
    let window = Some(Duration::from_millis(1050));
    assert_eq!(parse("", None), Ok(Receipt { level: AckLevel::Memory, position, window, samples: 8 }));
    assert_eq!(parse("durability-window-process-ms", Some("inf")).unwrap().window, None);
    for (name, value) in [("durability-level", "paper"), ("durability-position", "17"), ("accepted-samples", "-1")] {
        assert!(parse(name, Some(value)).is_err(), "{name}: {value}");
        assert!(parse(name, None).unwrap_err().contains(name), "{name}");
    }
}

#[test]
fn a_receipt_that_lies_is_reported() {
    let position = Position { incarnation: 1, number: 5 };
    let lies = |fate, said| receipt(position, fate, said).is_some();
    for (said, is_lie_of_survivor, is_lie_of_lost) in [
        ("safe", false, true),
        ("pending", false, true),
        ("lost", true, false),
        ("unknown", true, true),
        ("expired", false, false),
        ("", true, true),
    ] {
        assert_eq!(lies(Fate::Survived, said), is_lie_of_survivor, "{said}");
        assert_eq!(lies(Fate::Lost, said), is_lie_of_lost, "{said}");
    }
}

#[test]
fn a_loss_report_must_agree_with_what_is_lost() {
    let history =
        [acknowledged(0, AckLevel::Memory, WINDOW), acknowledged(1, AckLevel::Memory, Duration::ZERO), unanswered(2)];
    let truth = lost(&history, &found(&series(&[0])), CRASH);
    let [second, third] = [1, 2].map(|n| SOURCE.samples(id(n)));
    let by_level = [second, 0, 0];
    assert_eq!(truth, Lost { samples: second, by_level, in_flight: third, age: Duration::ZERO });
    let is_true = |min, max, is_exact| loss_report(LossReport { min, max, is_exact }, truth).is_none();
    assert!(is_true(second, Some(second), true));
    assert!(is_true(second + third, Some(second + third), true));
    assert!(is_true(0, None, false) && is_true(0, Some(second), false));
    assert!(!is_true(0, Some(second - 1), false), "too few");
    assert!(!is_true(second + third + 1, None, false), "too many");
    assert!(!is_true(0, Some(second), true), "exact, and two numbers");
    assert!(!is_true(second, None, true), "exact, and no bound");
}

#[test]
fn a_report_tells_losses_that_the_level_allows_from_those_it_does_not() {
    let history = [
        acknowledged(0, AckLevel::Memory, WINDOW),
        acknowledged(1, AckLevel::Memory, WINDOW),
        acknowledged(2, AckLevel::Os, WINDOW),
        acknowledged(3, AckLevel::Os, WINDOW),
    ];
    let [first, second, third, fourth] = [0, 1, 2, 3].map(|n| SOURCE.samples(id(n)));
    let said = |there: &[u64]| {
        let mut report = ModeReport::new(Mode::WriteBehind, "x".into());
        report.add_load(&history);
        report.add_lost(lost(&history, &found(&series(there)), CRASH));
        render(&[report], 1)
    };
    let allowed = said(&[0, 2, 3]);
    assert!(allowed.contains(&format!("{second} of {}", first + second)), "{allowed}");
    assert!(allowed.contains(&format!("0 of {}", third + fourth)), "{allowed}");
    assert!(
        allowed.contains(&format!("{second} samples acknowledged at memory alone were lost, and 0 that")),
        "{allowed}"
    );
    let broken = said(&[0, 1, 2]);
    assert!(
        broken.contains(&format!("0 samples acknowledged at memory alone were lost, and {fourth} that")),
        "{broken}"
    );
}
