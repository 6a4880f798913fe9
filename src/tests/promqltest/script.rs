//! Reads scripts: lines to commands.

use regex::Regex;

use crate::tests::promqltest::{
    Written, duration,
    expect::{Expectation, Text, Times},
    series::{SeriesLine, labels, number, series_line, start_offsets, values},
};

/// A command and the number of its line.
#[derive(Debug)]
pub(super) struct Command {
    pub line: usize,
    pub action: Action,
}

/// What to do.
#[derive(Debug)]
pub(super) enum Action {
    Clear,
    Load {
        step: i64,
        series: Vec<SeriesLine>,
        /// Whether classic histograms are to be loaded as native ones too.
        with_nhcb: bool,
    },
    Eval(Box<Case>),
}

/// A query and what it must give.
#[derive(Debug)]
pub(super) struct Case {
    pub when: When,
    pub query: String,
    pub expect: Expectation,
}

/// Where a query is evaluated, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) enum When {
    At(i64),
    Range(Times),
}

/// The commands of a script; an error names the line.
pub(super) fn parse(text: &str) -> Result<Vec<Command>, String> {
    let lines: Vec<&str> =
        text.lines().map(str::trim).map(|line| if line.starts_with('#') { "" } else { line }).collect();
    let mut commands = Vec::new();
    let mut next = 0;
    while next < lines.len() {
        let start = next;
        next += 1;
        let word = lines[start].split_whitespace().next().unwrap_or_default().to_lowercase();
        if word.is_empty() {
            continue;
        }
        let body_end =
            lines[next..].iter().position(|line| line.is_empty()).map_or(lines.len(), |length| next + length);
        let mut take_body = || &lines[std::mem::replace(&mut next, body_end)..body_end];
        let action = match &word[..] {
            "clear" => Ok(Action::Clear),
            word if word.starts_with("load") => load(lines[start], take_body()),
            word if word.starts_with("eval") => eval(lines[start], take_body()),
            word => Err(format!("not a command: {word}")),
        };
        let action = action.map_err(|error| format!("line {}: {error}", start + 1))?;
        commands.push(Command { line: start + 1, action });
    }
    Ok(commands)
}

fn load(line: &str, body: &[&str]) -> Result<Action, String> {
    let pattern = Regex::new(r"^load(?:_(with_nhcb))?\s+(.+?)$").unwrap();
    let captures = pattern.captures(line).ok_or("not a load command")?;
    let step = duration(&captures[2]).ok_or("not a duration")?;
    let mut series: Vec<SeriesLine> = Vec::new();
    let mut starts = None;
    for line in body {
        let first = line.split_whitespace().next().unwrap_or_default();
        if let Some(name) = first.strip_suffix("@st") {
            starts = Some((labels(name)?.0, start_offsets(&line[first.len()..])?));
            continue;
        }
        let mut read = series_line(line)?;
        if let Some((labels, offsets)) = starts.take() {
            if labels != read.labels || offsets.len() != read.values.len() {
                return Err(format!("the start timestamps before it are not those of {line}"));
            }
            read.starts = offsets;
        }
        // Within one load the last line of a series wins.
        series.retain(|other| other.labels != read.labels);
        series.push(read);
    }
    Ok(Action::Load { step, series, with_nhcb: captures.get(1).is_some() })
}

fn eval(line: &str, body: &[&str]) -> Result<Action, String> {
    let instant = Regex::new(r"^eval(?:_(fail|warn|ordered|info))?\s+instant\s+(?:at\s+(.+?))?\s+(.+)$").unwrap();
    let range =
        Regex::new(r"^eval(?:_(fail|warn|info))?\s+range\s+from\s+(.+)\s+to\s+(.+)\s+step\s+(.+?)\s+(.+)$").unwrap();
    let (captures, when, query) = if let Some(captures) = instant.captures(line) {
        let time = captures.get(2).map_or(Some(0), |time| duration(time.as_str())).ok_or("not a time")?;
        let query = captures[3].to_owned();
        (captures, When::At(time), query)
    } else {
        let captures = range.captures(line).ok_or("not an eval command")?;
        let times = Times::of(&captures, 2).ok_or("not a time")?;
        let query = captures[5].to_owned();
        (captures, When::Range(times), query)
    };
    let mut expect = Expectation::default();
    if let Some(kind) = captures.get(1) {
        expect.take_kind(kind.as_str(), Text::Any)?;
    }
    for line in body {
        if line.starts_with("expect ") {
            expect.take(line)?;
        } else if let Some(number) = lone_number(line) {
            expect.scalar = Some(number);
            break;
        } else {
            expect.series.push(series_line(line)?);
        }
    }
    check(&expect, when)?;
    Ok(Action::Eval(Box::new(Case { when, query, expect })))
}

/// A body line that is one number, hexadecimal ones included.
fn lone_number(line: &str) -> Option<f64> {
    match line.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).ok().map(|number| number as f64),
        None => number(line),
    }
}

/// What a body may not say.
fn check(expect: &Expectation, when: When) -> Result<(), String> {
    let single = matches!(when, When::At(_)) && expect.range_vector.is_none();
    if single && expect.series.iter().any(|line| line.values.len() != 1) {
        return Err("an instant has one value per series".to_owned());
    }
    if expect.ordered && matches!(when, When::Range(_)) {
        return Err("the result of a range query has one order only".to_owned());
    }
    let contradicts = |remarks: &crate::tests::promqltest::expect::Remarks| remarks.none && !remarks.wanted.is_empty();
    if contradicts(&expect.warnings) || contradicts(&expect.infos) {
        return Err("remarks are expected and forbidden".to_owned());
    }
    Ok(())
}

#[test]
fn a_script_is_read_to_commands() {
    let script = "load 5m\n  a{b=\"c\"} 1 2\n# ends the body\neval instant at 50m sum(a)\n  expect warn msg: x y\n  {} 1\n\nclear";
    let commands = parse(script).unwrap();
    assert_eq!(commands.iter().map(|command| command.line).collect::<Vec<_>>(), [1, 4, 8]);
    let Action::Eval(case) = &commands[1].action else { panic!("not an eval") };
    assert!(case.query == "sum(a)" && matches!(case.when, When::At(3_000_000_000_000)));
    assert!(case.expect.warnings.wanted[0].accepts("x y") && !case.expect.warnings.wanted[0].accepts("x"));
    assert_eq!(case.expect.series[0].values, [Written::Float(1.0)]);
    assert_eq!(values("1").unwrap(), [Written::Float(1.0)]);
    assert!(parse("evil").is_err() && parse("eval instant at 1m a\n a 1 2").is_err());
}
