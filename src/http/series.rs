//! Which series there are: `series`, `labels`, `label/NAME/values`.

use std::sync::Arc;

use crate::{
    http::{
        error::Error,
        explain::Steps,
        json,
        params::Params,
        prometheus::{self, TRUNCATED, remarks},
        queries::{Asked, Entry},
        reply::{self, Reply},
        results,
        routes::{Asker, Call},
        shared::Weight,
    },
    model::{Allowance, Holding, Labels, MatchOp, Matcher, Stopped, TimeRange, sort_by, turns::turns},
    promql,
};

/// `series`: the label sets that pass one of the selectors.
pub(super) async fn series(call: Call) -> Result<Reply, Error> {
    let (params, asker) = call.params().await?;
    let limit = params.limit()?;
    if params.all("match[]").next().is_none() {
        return Err(Error::bad_data("no match[] parameter provided"));
    }
    let range = params.range()?;
    let selectors = within(selectors(&params)?, range);
    let look_up =
        asker.server.look_up(listed(&asker, "series", &params, range)?, Weight::Heavy, move |view, allowance| {
            each(&selectors, allowance, Labels::size, |matchers| view.series(matchers, range, allowance))
        });
    let (found, entry) = look_up.await?;
    Ok(answer(&asker, found, entry, limit, |out, labels| json::labels(out, &labels)))
}

/// `labels`: the names of labels.
pub(super) async fn label_names(call: Call) -> Result<Reply, Error> {
    let (params, asker) = call.params().await?;
    let (limit, range) = (params.limit()?, params.range()?);
    let selectors = within(any(selectors(&params)?), range);
    let weight = weight(&asker, &selectors);
    let look_up = asker.server.look_up(listed(&asker, "labels", &params, range)?, weight, move |view, allowance| {
        each(&selectors, allowance, String::len, |matchers| view.label_names(matchers, range, allowance))
    });
    let (found, entry) = look_up.await?;
    Ok(answer(&asker, found, entry, limit, |out, name| json::string(out, &name)))
}

/// `label/NAME/values`: the values of a label.
pub(super) async fn label_values(call: Call) -> Result<Reply, Error> {
    let name = unescape(&call.segment);
    if name.is_empty() {
        return Err(Error::bad_data("invalid label name: \"\""));
    }
    let (params, asker) = call.params().await?;
    let (limit, range) = (params.limit()?, params.range()?);
    let selectors = within(any(selectors(&params)?), range);
    let weight = weight(&asker, &selectors);
    let look_up =
        asker.server.look_up(listed(&asker, "label_values", &params, range)?, weight, move |view, allowance| {
            each(&selectors, allowance, String::len, |matchers| view.label_values(&name, matchers, range, allowance))
        });
    let (found, entry) = look_up.await?;
    Ok(answer(&asker, found, entry, limit, |out, value| json::string(out, &value)))
}

/// What each selector finds, sorted, each once. Its memory stays counted: it is the answer's.
fn each<T: Ord>(
    selectors: &[Vec<Matcher>],
    allowance: &dyn Allowance,
    size: fn(&T) -> usize,
    find: impl Fn(&[Matcher]) -> Result<Vec<T>, Stopped>,
) -> Result<Vec<T>, Stopped> {
    let mut all = Vec::new();
    let (mut held, mut bytes) = (Holding::new(allowance), 0);
    for matchers in selectors {
        let found = find(matchers)?;
        for turn in turns(&found, allowance) {
            bytes += turn?.iter().map(|item| size_of::<T>() + size(item)).sum::<usize>();
        }
        held.set(bytes)?;
        all.extend(found);
    }
    if selectors.len() > 1 {
        sort_by(&mut all, T::cmp, |_| allowance.check())?;
        all.dedup();
    }
    held.leave();
    Ok(all)
}

/// Names and values of so many streams at most are found in half a millisecond, as long as no pattern is to be tried.
const LIGHT_STREAMS_MAX: usize = 4096;

fn weight(asker: &Asker, selectors: &[Vec<Matcher>]) -> Weight {
    let is_pattern = |matcher: &Matcher| matches!(matcher.op, MatchOp::Regex | MatchOp::NotRegex);
    let is_light = selectors.len() <= 1
        && !selectors.iter().flatten().any(is_pattern)
        && asker.server.engine.index().streams.count() <= LIGHT_STREAMS_MAX;
    if is_light { Weight::Light } else { Weight::Heavy }
}

/// What a request asks, for the list of queries.
fn listed(asker: &Asker, kind: &'static str, params: &Params, range: TimeRange) -> Result<Asked, Error> {
    let text = params.all("match[]").collect::<Vec<_>>().join(" ");
    let (start, step) = (range.start, range.end.saturating_sub(1).saturating_sub(range.start).max(0));
    let steps = (range != TimeRange::ALL).then(|| Steps { start, end: start.saturating_add(step), step, count: 2 });
    let timeout = prometheus::timeout(params, &asker.server)?;
    Ok(Asked { steps, timeout, ..asker.asked(kind, &text) })
}

/// The selectors of all `match[]`.
pub(super) fn selectors(params: &Params) -> Result<Vec<Vec<Matcher>>, Error> {
    let selectors = params.all("match[]").map(|text| {
        let matchers = promql::parse_selector(text).map_err(|error| Error::parameter("match[]", error))?;
        if matchers.iter().all(Matcher::matches_empty) {
            let reason = "match[] must contain at least one non-empty matcher";
            return Err(Error::parameter("match[]", reason));
        }
        Ok(matchers)
    });
    selectors.collect()
}

/// Where nothing is selected, everything is.
fn any(selectors: Vec<Vec<Matcher>>) -> Vec<Vec<Matcher>> {
    if selectors.is_empty() { vec![Vec::new()] } else { selectors }
}

/// Where the time that is asked for is empty, so is the answer.
fn within(selectors: Vec<Vec<Matcher>>, range: TimeRange) -> Vec<Vec<Matcher>> {
    if range.start < range.end { selectors } else { Vec::new() }
}

fn answer<T: Send + 'static>(
    asker: &Asker,
    found: Vec<T>,
    entry: Arc<Entry>,
    limit: Option<usize>,
    write: fn(&mut Vec<u8>, T),
) -> Reply {
    let limit = limit.unwrap_or(usize::MAX);
    let warnings = if found.len() > limit { vec![TRUNCATED.to_owned()] } else { Vec::new() };
    let head = br#"{"status":"success","data":"#.to_vec();
    let tail = remarks(&warnings, &[]) + "}";
    let body = results::items(head, found.into_iter().take(limit), write, &tail).of_query(entry);
    asker.pack(reply::typed("application/json", body))
}

/// A name as Grafana escapes it where it is no classic one: `U__`, then `_HEX_` for a character and `__` for `_`.
/// What is not well escaped stays as it is.
pub(super) fn unescape(name: &str) -> String {
    let decoded = name.strip_prefix("U__").and_then(|mut rest| {
        let mut decoded = String::with_capacity(rest.len());
        while let Some(place) = rest.find('_') {
            decoded += &rest[..place];
            let (code, tail) = rest[place + 1..].split_once('_')?;
            decoded.push(if code.is_empty() { '_' } else { character(code)? });
            rest = tail;
        }
        Some(decoded + rest)
    });
    decoded.unwrap_or_else(|| name.to_owned())
}

/// The character of a code of at most six hexadecimal digits.
fn character(code: &str) -> Option<char> {
    let is_code = code.len() <= 6 && code.bytes().all(|byte| byte.is_ascii_hexdigit());
    u32::from_str_radix(code, 16).ok().filter(|_| is_code).and_then(char::from_u32)
}
