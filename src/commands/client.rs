//! A blocking HTTP client for our own server.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;
use ureq::http::StatusCode;

use crate::commands::Failed;

/// Longer than any query may take by default.
const TIMEOUT: Duration = Duration::from_secs(150);

/// A server, asked over HTTP.
pub(super) struct Client {
    agent: ureq::Agent,
    url: String,
}

/// A series of an answer: labels as text, Unix seconds and values.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Series {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
}

/// What a query gave.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) series: Vec<Series>,
    pub(super) notes: Vec<String>,
}

impl Client {
    pub(super) fn new(url: &str) -> Self {
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(TIMEOUT)).build();
        Self { agent: config.into(), url: url.trim_end_matches('/').to_owned() }
    }

    /// Writes lines of line protocol; an error unless all are taken.
    pub(super) fn write(&self, parameters: &str, lines: &[u8]) -> Result<(), Failed> {
        let url = format!("{}/write?{parameters}", self.url);
        let mut answer = self.agent.post(&url).send(lines).map_err(|error| self.unreachable(&error))?;
        match answer.status().as_u16() {
            204 => Ok(()),
            status => Err(Failed(format!("write: the server answered {status}: {}", text(&mut answer).trim()))),
        }
    }

    /// A text document.
    pub(super) fn text(&self, path: &str) -> Result<String, Failed> {
        let (status, text) = self.get(path, &[])?;
        if status.is_success() { Ok(text) } else { Err(Failed(format!("{}{path} answered {status}", self.url))) }
    }

    /// A JSON document.
    pub(super) fn json(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Value, Failed> {
        let found = self.find(path, parameters)?;
        found.ok_or_else(|| Failed(format!("{}{path} answered 404", self.url)))
    }

    /// A JSON document, if the server knows the path.
    pub(super) fn find(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Option<Value>, Failed> {
        let (status, text) = self.get(path, parameters)?;
        if status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let value: Result<Value, _> = serde_json::from_str(&text);
        match value {
            Ok(value) if status.is_success() => Ok(Some(value)),
            Ok(value) => Err(Failed(value["error"].as_str().unwrap_or(&text).to_owned())),
            Err(_) => Err(Failed(format!("{}{path} answered {status}: {}", self.url, text.trim()))),
        }
    }

    /// A PromQL query: `/api/v1/query` or `/api/v1/query_range`.
    pub(super) fn query(&self, endpoint: &str, parameters: &[(&str, &str)]) -> Result<Answer, Failed> {
        let answer = self.json(&format!("/api/v1/{endpoint}"), parameters)?;
        let notes = ["warnings", "infos"].iter().filter_map(|kind| answer[kind].as_array()).flatten();
        let notes = notes.filter_map(|note| note.as_str().map(str::to_owned)).collect();
        let (kind, result) = (&answer["data"]["resultType"], &answer["data"]["result"]);
        let series = match kind.as_str() {
            Some("string") => {
                let text = result[1].as_str().unwrap_or_default();
                vec![Series { name: format!("{text:?}"), points: Vec::new() }]
            }
            Some("scalar") => vec![Series { name: "value".to_owned(), points: vec![point(result)] }],
            _ => result.as_array().into_iter().flatten().map(series).collect(),
        };
        Ok(Answer { series, notes })
    }

    fn get(&self, path: &str, parameters: &[(&str, &str)]) -> Result<(StatusCode, String), Failed> {
        let request = self.agent.get(format!("{}{path}", self.url)).query_pairs(parameters.iter().copied());
        let mut answer = request.call().map_err(|error| self.unreachable(&error))?;
        Ok((answer.status(), text(&mut answer)))
    }

    fn unreachable(&self, error: &ureq::Error) -> Failed {
        Failed(format!("cannot reach {}: {error} (is the server running there?)", self.url))
    }
}

fn text(answer: &mut ureq::http::Response<ureq::Body>) -> String {
    // A body that breaks off is as good as what came of it: an error message, or JSON that does not parse.
    answer.body_mut().with_config().limit(u64::MAX).read_to_string().unwrap_or_default()
}

fn series(value: &Value) -> Series {
    let single = value.get("value").map(point);
    let points = value["values"].as_array().into_iter().flatten().map(point).chain(single).collect();
    Series { name: name(&value["metric"]), points }
}

fn point(value: &Value) -> (f64, f64) {
    let number = value[1].as_str().and_then(|text| text.parse().ok());
    (value[0].as_f64().unwrap_or(f64::NAN), number.unwrap_or(f64::NAN))
}

/// `up{job="a"}`
fn name(metric: &Value) -> String {
    let labels: BTreeMap<_, _> =
        metric.as_object().into_iter().flatten().map(|(k, v)| (k.as_str(), v.as_str().unwrap_or_default())).collect();
    let others: Vec<_> = labels
        .iter()
        .filter(|(name, _)| **name != "__name__")
        .map(|(name, value)| format!("{name}={value:?}"))
        .collect();
    let name = labels.get("__name__").copied().unwrap_or_default();
    if others.is_empty() && !name.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", others.join(", ")) }
}
