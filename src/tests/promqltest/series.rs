//! Series and their values as scripts write them.

use crate::{
    model::{Labels, METRIC_NAME, MatchOp},
    promql::{STALE_MARKER, parse_selector},
    tests::promqltest::{Written, duration, histogram},
};

/// A series and its values, one per step.
#[derive(Clone, Debug)]
pub(super) struct SeriesLine {
    pub labels: Labels,
    pub values: Vec<Written>,
    /// From each value's time to its start timestamp; empty where the line has no `@st` line before it.
    pub starts: Vec<Option<i64>>,
}

/// Reads `name{a="b"} 1 2+3x4`.
pub(super) fn series_line(line: &str) -> Result<SeriesLine, String> {
    let (labels, rest) = labels(line)?;
    Ok(SeriesLine { labels, values: values(rest)?, starts: Vec::new() })
}

/// Reads the label set at the start of a line, and gives what is behind it.
pub(super) fn labels(line: &str) -> Result<(Labels, &str), String> {
    let end = line.find(|c: char| c == '{' || c.is_whitespace()).unwrap_or(line.len());
    let (name, rest) = line.split_at(end);
    let mut labels = Labels::default().to_builder();
    labels.set(METRIC_NAME, name);
    let Some(inside) = rest.strip_prefix('{') else { return Ok((labels.build(), rest)) };
    let close = closing_brace(inside).ok_or_else(|| format!("no closing brace: {line}"))?;
    let (inside, rest) = (&inside[..close], &inside[close + 1..]);
    if !inside.trim().is_empty() {
        let matchers = parse_selector(&format!("{{{inside}}}")).map_err(|error| format!("{error}: {line}"))?;
        for matcher in matchers {
            if matcher.op != MatchOp::Equal {
                return Err(format!("not a label set: {line}"));
            }
            labels.set(matcher.name, matcher.value);
        }
    }
    Ok((labels.build(), rest))
}

/// The place of the first `}` outside quotes.
fn closing_brace(text: &str) -> Option<usize> {
    let (mut quote, mut escaped) = (None, false);
    for (place, c) in text.char_indices() {
        match quote {
            None if c == '}' => return Some(place),
            None if matches!(c, '"' | '\'' | '`') => quote = Some(c),
            Some('"' | '\'') if c == '\\' && !escaped => {
                escaped = true;
                continue;
            }
            Some(open) if c == open && !escaped => quote = None,
            _ => {}
        }
        escaped = false;
    }
    None
}

/// Reads items such as `1 _x2 3+4x5 {{sum:1}}x2`, and writes out what they stand for.
pub(super) fn values(text: &str) -> Result<Vec<Written>, String> {
    let mut values = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = item_end(rest);
        item(&rest[..end], &mut values).ok_or_else(|| format!("not a value: {}", &rest[..end]))?;
        rest = rest[end..].trim_start();
    }
    Ok(values)
}

/// Where an item ends: at the first blank that is not inside `{{…}}`.
fn item_end(text: &str) -> usize {
    let mut depth = 0;
    for (place, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            c if c.is_whitespace() && depth == 0 => return place,
            _ => {}
        }
    }
    text.len()
}

fn item(item: &str, values: &mut Vec<Written>) -> Option<()> {
    // `x` and a count at the end repeat; `0x10` is no hexadecimal number.
    let (head, times) = match item.rsplit_once('x') {
        Some((head, times)) => (head, Some(times.parse::<usize>().ok()?)),
        None => (item, None),
    };
    let count = times.map_or(1, |times| times + 1);
    match head {
        "_" => values.extend(std::iter::repeat_n(Written::Nothing, times.unwrap_or(1))),
        "stale" => values.extend(std::iter::repeat_n(Written::Float(f64::from_bits(STALE_MARKER)), count)),
        head if head.starts_with("{{") => values.extend(histogram::run(head, count)?),
        head => {
            let (first, step) = match step_place(head) {
                Some(place) => (number(&head[..place])?, number(&head[place..])?),
                None => (number(head)?, 0.0),
            };
            let run = std::iter::successors(Some(first), |before| Some(before + step));
            values.extend(run.take(count).map(Written::Float));
        }
    }
    Some(())
}

/// The place of the sign between `V` and `W` in `V+W`.
fn step_place(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    (1..bytes.len()).find(|&place| matches!(bytes[place], b'+' | b'-') && !matches!(bytes[place - 1], b'e' | b'E'))
}

/// A number in decimal, `Inf`, `NaN`, or a duration, which counts as its seconds.
pub(super) fn number(text: &str) -> Option<f64> {
    let (sign, size) = match text.as_bytes().first()? {
        b'-' => (-1.0, &text[1..]),
        b'+' => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    if let Ok(number) = size.replace('_', "").parse::<f64>() {
        return Some(sign * number);
    }
    duration(size).map(|nanos| sign * nanos as f64 / 1e9)
}

/// Reads the items of an `@st` line: nanoseconds from each sample to its start timestamp.
pub(super) fn start_offsets(text: &str) -> Result<Vec<Option<i64>>, String> {
    let mut offsets = Vec::new();
    for item in text.split_whitespace() {
        start_offset(item, &mut offsets).ok_or_else(|| format!("not a start timestamp: {item}"))?;
    }
    Ok(offsets)
}

fn start_offset(item: &str, offsets: &mut Vec<Option<i64>>) -> Option<()> {
    let (head, times) = match item.rsplit_once('x') {
        Some((head, times)) => (head, Some(times.parse::<usize>().ok()?)),
        None => (item, None),
    };
    if head == "_" {
        offsets.extend(std::iter::repeat_n(None, times.unwrap_or(1)));
        return Some(());
    }
    let signed = |text: &str| match text.as_bytes().first()? {
        b'-' => duration(&text[1..]).map(|nanos| -nanos),
        b'+' => duration(&text[1..]),
        _ => duration(text),
    };
    let place = step_place(head).unwrap_or(head.len());
    let step = if place < head.len() { signed(&head[place..])? } else { 0 };
    let run = std::iter::successors(Some(signed(&head[..place])?), |before| Some(before + step));
    offsets.extend(run.take(times.map_or(1, |times| times + 1)).map(Some));
    Some(())
}

#[test]
fn the_notation_writes_out_runs_and_gaps() {
    let floats = |text: &str| -> Vec<f64> {
        let float = |value| match value {
            Written::Float(value) => value,
            _ => -1.0,
        };
        values(text).unwrap().into_iter().map(float).collect()
    };
    assert_eq!(
        floats("1 2x2 _ _x2 3+2x1 4-1x2 0x1"),
        [1.0, 2.0, 2.0, 2.0, -1.0, -1.0, -1.0, 3.0, 5.0, 4.0, 3.0, 2.0, 0.0, 0.0]
    );
    assert_eq!(floats("-1e-3 1_000 1m +Inf"), [-0.001, 1000.0, 60.0, f64::INFINITY]);
    assert!(values("0x1f").is_err() && values("a").is_err());
    assert_eq!(start_offsets("_ -1m+30sx1 0").unwrap(), [None, Some(-60_000_000_000), Some(-30_000_000_000), Some(0)]);
    let line = series_line(r#"fill{a="x}", b=""} 1"#).unwrap();
    assert_eq!(line.labels, Labels::from([("__name__", "fill"), ("a", "x}")]));
}
