//! Which series there are: `series`, `labels`, `label/NAME/values`.

use std::collections::BTreeSet;

use crate::{
    http::{
        error::Error,
        json,
        params::Params,
        prometheus::{TRUNCATED, remarks},
        reply::{self, Reply},
        results,
        routes::{Asker, Call},
    },
    model::{Labels, Matcher, TimeRange},
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
    let selectors = asked(selectors(&params)?, range);
    let found = asker.server.on_view(move |view| {
        let series = selectors.iter().flat_map(|matchers| view.series(matchers, range));
        series.collect::<BTreeSet<Labels>>()
    });
    Ok(answer(&asker, found.await?, limit, |out, labels| json::labels(out, &labels)))
}

/// `labels`: the names of labels.
pub(super) async fn label_names(call: Call) -> Result<Reply, Error> {
    let (params, asker) = call.params().await?;
    let (limit, range) = (params.limit()?, params.range()?);
    let selectors = asked(any(selectors(&params)?), range);
    let found = asker.server.on_view(move |view| {
        let names = selectors.iter().flat_map(|matchers| view.label_names(matchers, range));
        names.collect::<BTreeSet<String>>()
    });
    Ok(answer(&asker, found.await?, limit, |out, name| json::string(out, &name)))
}

/// `label/NAME/values`: the values of a label.
pub(super) async fn label_values(call: Call) -> Result<Reply, Error> {
    let name = unescape(&call.segment);
    if name.is_empty() {
        return Err(Error::bad_data("invalid label name: \"\""));
    }
    let (params, asker) = call.params().await?;
    let (limit, range) = (params.limit()?, params.range()?);
    let selectors = asked(any(selectors(&params)?), range);
    let found = asker.server.on_view(move |view| {
        let values = selectors.iter().flat_map(|matchers| view.label_values(&name, matchers, range));
        values.collect::<BTreeSet<String>>()
    });
    Ok(answer(&asker, found.await?, limit, |out, value| json::string(out, &value)))
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
fn asked(selectors: Vec<Vec<Matcher>>, range: TimeRange) -> Vec<Vec<Matcher>> {
    if range.start < range.end { selectors } else { Vec::new() }
}

fn answer<T: Send + 'static>(
    asker: &Asker,
    found: BTreeSet<T>,
    limit: Option<usize>,
    write: fn(&mut Vec<u8>, T),
) -> Reply {
    let limit = limit.unwrap_or(usize::MAX);
    let warnings = if found.len() > limit { vec![TRUNCATED.to_owned()] } else { Vec::new() };
    let head = br#"{"status":"success","data":"#.to_vec();
    let tail = remarks(&warnings, &[]) + "}";
    let body = results::items(head, found.into_iter().take(limit), write, &tail);
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
