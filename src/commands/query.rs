//! `plimsoll query`: ask a running server, print a table.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::{
    commands::{Failed, client::Client, table},
    config::{QueryFlags, duration},
};

/// Steps of a range query that names none.
const STEPS: f64 = 100.0;

pub(super) fn run(flags: &QueryFlags) -> Result<(), Failed> {
    let client = Client::new(&flags.url);
    let now = now();
    let end = flags.end.as_deref().map_or(Ok(now), |text| time(text, now))?;
    let answer = match &flags.start {
        None => client.query("query", &[("query", &flags.expr), ("time", &seconds(end))])?,
        Some(start) => {
            let start = time(start, now)?;
            let step = flags.step.map_or_else(|| ((end - start) / STEPS).max(1.0).round(), |step| step.as_secs_f64());
            let times = [seconds(start), seconds(end), seconds(step)];
            let parameters = [("query", &*flags.expr), ("start", &times[0]), ("end", &times[1]), ("step", &times[2])];
            client.query("query_range", &parameters)?
        }
    };
    print!("{}", table::render(&answer.series));
    for note in answer.notes {
        eprintln!("note: {note}");
    }
    Ok(())
}

fn seconds(time: f64) -> String {
    format!("{time:.3}")
}

/// Unix seconds of RFC 3339, of Unix seconds, or of a duration before now.
pub(super) fn time(text: &str, now: f64) -> Result<f64, Failed> {
    if text == "now" {
        return Ok(now);
    }
    if let Some(before) = text.strip_prefix('-').and_then(|text| duration(text).ok()) {
        return Ok(now - before.as_secs_f64());
    }
    let number = text.parse().ok().filter(|seconds: &f64| seconds.is_finite());
    let date = || text.parse::<jiff::Timestamp>().ok().map(|time| time.as_millisecond() as f64 / 1000.0);
    number.or_else(date).ok_or_else(|| {
        Failed(format!("{text:?} is not a time; write it as 2026-11-20T06:00:00Z, as Unix seconds, or as -1h"))
    })
}

#[allow(clippy::disallowed_methods)] // the edge: what `now` means to the person who asks
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs_f64()
}
