//! Which series there are: `series`, `labels`, `label/NAME/values`.

use std::collections::BTreeSet;

use crate::{
    http::{
        body::Body,
        error::Error,
        json,
        params::Params,
        prometheus::{TRUNCATED, remarks},
        reply::{self, Reply},
        routes::{Asker, Call},
    },
    model::{Labels, Matcher},
    promql,
};

/// `series`: the label sets that pass one of the selectors.
pub(super) async fn series(call: Call) -> Result<Reply, Error> {
    let (params, asker) = call.params().await?;
    let (selectors, range, limit) = (selectors(&params)?, params.range()?, params.limit()?);
    if selectors.is_empty() {
        return Err(Error::bad_data("no match[] parameter provided"));
    }
    let found = asker.server.on_view(move |view| {
        let series = selectors.iter().flat_map(|matchers| view.series(matchers, range));
        series.collect::<BTreeSet<Labels>>()
    });
    Ok(answer(&asker, found.await?, limit, |out, labels| json::labels(out, &labels)))
}

/// `labels`: the names of labels.
pub(super) async fn label_names(call: Call) -> Result<Reply, Error> {
    let (params, asker) = call.params().await?;
    let (selectors, range, limit) = (any(selectors(&params)?), params.range()?, params.limit()?);
    let found = asker.server.on_view(move |view| {
        let names = selectors.iter().flat_map(|matchers| view.label_names(matchers, range));
        names.collect::<BTreeSet<String>>()
    });
    Ok(answer(&asker, found.await?, limit, |out, name| json::string(out, &name)))
}

/// `label/NAME/values`: the values of a label.
pub(super) async fn label_values(call: Call) -> Result<Reply, Error> {
    let name = unescape(&call.segment);
    let (params, asker) = call.params().await?;
    let (selectors, range, limit) = (any(selectors(&params)?), params.range()?, params.limit()?);
    let found = asker.server.on_view(move |view| {
        let values = selectors.iter().flat_map(|matchers| view.label_values(&name, matchers, range));
        values.collect::<BTreeSet<String>>()
    });
    Ok(answer(&asker, found.await?, limit, |out, value| json::string(out, &value)))
}

/// The selectors of all `match[]`.
fn selectors(params: &Params) -> Result<Vec<Vec<Matcher>>, Error> {
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

fn answer<T>(asker: &Asker, found: BTreeSet<T>, limit: Option<usize>, write: impl FnMut(&mut Vec<u8>, T)) -> Reply {
    let limit = limit.unwrap_or(usize::MAX);
    let warnings = if found.len() > limit { vec![TRUNCATED.to_owned()] } else { Vec::new() };
    let mut out = br#"{"status":"success","data":"#.to_vec();
    json::list(&mut out, found.into_iter().take(limit), write);
    out.extend_from_slice(remarks(&warnings, &[]).as_bytes());
    out.push(b'}');
    asker.pack(reply::typed("application/json", Body::full(out)))
}

/// A name as Grafana escapes it where it is no classic one: `U__`, then `_HEX_` for a character and `__` for `_`.
/// What is not well escaped stays as it is.
pub(super) fn unescape(name: &str) -> String {
    let decoded = name.strip_prefix("U__").and_then(|mut rest| {
        let mut decoded = String::with_capacity(rest.len());
        while let Some(place) = rest.find('_') {
            decoded += &rest[..place];
            let (code, tail) = rest[place + 1..].split_once('_')?;
            decoded.push(match code {
                "" => '_',
                hex => char::from_u32(u32::from_str_radix(hex, 16).ok()?)?,
            });
            rest = tail;
        }
        Some(decoded + rest)
    });
    decoded.unwrap_or_else(|| name.to_owned())
}
