//! Prometheus's own description of its HTTP API, gone through path by path: what it documents, we answer, with the
//! documented status and members.

use std::path::Path;

use serde_json::Value;
use yaml_rust2::{Yaml, YamlLoader};

use crate::common::{Response, Server, T, encode, with_data};

/// The document, in a directory beside this repository's.
const DOCUMENT: &str = "../shared/conformance/prometheus-openapi/openapi_3.2_golden.yaml";

/// What is switched off or has nothing to answer for the document's examples, as in a Prometheus without scrape jobs and
/// feature flags: path, the status we give, and why.
const OTHERWISE: [(&str, u16, &str); 9] = [
    ("/search/metric_names", 500, "behind a feature flag there"),
    ("/search/label_names", 500, "behind a feature flag there"),
    ("/search/label_values", 500, "behind a feature flag there"),
    ("/scrape_pools/config", 404, "no such pool"),
    ("/targets/relabel_steps", 404, "no such pool"),
    ("/admin/tsdb/delete_series", 500, "behind a flag there"),
    ("/admin/tsdb/clean_tombstones", 500, "behind a flag there"),
    ("/admin/tsdb/snapshot", 500, "behind a flag there"),
    ("/notifications/live", 204, "there is nothing to wait for"),
];

/// Paths of other protocols, which are not part of the query API.
const NOT_QUERIES: [&str; 3] = ["/read", "/write", "/otlp/v1/metrics"];

#[test]
fn every_documented_path_answers_as_documented() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(DOCUMENT);
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("SKIPPED: {DOCUMENT} is not there, so nothing was compared with Prometheus's description");
        return;
    };
    let document = &YamlLoader::load_from_str(&text).unwrap()[0];
    let (server, _dir) = with_data();
    let mut checked = 0;
    for (path, methods) in document["paths"].as_hash().unwrap() {
        let path = path.as_str().unwrap();
        for (method, operation) in methods.as_hash().unwrap().iter().filter(|_| !NOT_QUERIES.contains(&path)) {
            check(&server, document, &method.as_str().unwrap().to_uppercase(), path, operation);
            checked += 1;
        }
    }
    assert!(checked >= 40, "{checked} operations");
}

fn check(server: &Server, document: &Yaml, method: &str, path: &str, operation: &Yaml) {
    let response = ask(server, method, path, operation);
    let what = format!("{method} {path}: {}", response.text());
    if let Some((_, status, _)) = OTHERWISE.iter().find(|(other, ..)| *other == path) {
        assert_eq!(response.status, *status, "{what}");
        if response.status != 204 {
            let schema = &operation["responses"]["default"]["content"]["application/json"]["schema"];
            fits(document, schema, &response.json(), &what);
        }
        return;
    }
    let documented = operation["responses"].as_hash().unwrap().keys().any(|status| match status {
        Yaml::String(status) => *status == response.status.to_string(),
        _ => false,
    });
    assert!(documented && response.status == 200, "{what}");
    assert_eq!(response.header("content-type"), "application/json", "{what}");
    fits(document, &operation["responses"]["200"]["content"]["application/json"]["schema"], &response.json(), &what);
}

/// Sends the request with the document's own example of each parameter; times are moved to where there is data.
fn ask(server: &Server, method: &str, path: &str, operation: &Yaml) -> Response {
    let mut url = format!("/api/v1{path}");
    let mut query = Vec::new();
    for parameter in operation["parameters"].as_vec().into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap();
        let example = parameter["examples"].as_hash().and_then(|examples| examples.values().next());
        let Some(value) = example.map(|example| &example["value"]) else { continue };
        match parameter["in"].as_str() {
            Some("path") => url = url.replace(&format!("{{{name}}}"), &encode(&shown(value))),
            _ => query.extend(pairs(name, value)),
        }
    }
    let form = &operation["requestBody"]["content"]["application/x-www-form-urlencoded"];
    let example = form["examples"].as_hash().and_then(|examples| examples.values().next());
    let body = example.map(|example| example["value"].as_hash().unwrap()).map(|members| {
        members.iter().flat_map(|(name, value)| pairs(name.as_str().unwrap(), value)).collect::<Vec<_>>().join("&")
    });
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    server.send(method, &format!("{url}?{}", query.join("&")), &headers, body.unwrap_or_default().as_bytes())
}

/// `name=value`, once for each value of a list.
fn pairs(name: &str, value: &Yaml) -> Vec<String> {
    let one = |value: &Yaml| match name {
        "start" | "time" => format!("{name}={T}"),
        "end" => format!("{name}={}", T + 60),
        _ => format!("{name}={}", encode(&shown(value))),
    };
    value.as_vec().map_or_else(|| vec![one(value)], |values| values.iter().map(one).collect())
}

fn shown(value: &Yaml) -> String {
    match value {
        Yaml::String(text) | Yaml::Real(text) => text.clone(),
        Yaml::Integer(number) => number.to_string(),
        Yaml::Boolean(flag) => flag.to_string(),
        other => panic!("an example of a parameter is {other:?}"),
    }
}

fn resolved<'d>(document: &'d Yaml, schema: &'d Yaml) -> &'d Yaml {
    match schema["$ref"].as_str() {
        Some(reference) => reference.trim_start_matches("#/").split('/').fold(document, |node, name| &node[name]),
        None => schema,
    }
}

/// Whether a value has the schema's type, the members it requires, and none that it does not know.
fn fits(document: &Yaml, schema: &Yaml, value: &Value, what: &str) {
    let schema = resolved(document, schema);
    assert!(!schema.is_badvalue(), "no schema for {what}");
    let alternatives = schema["anyOf"].as_vec().or(schema["oneOf"].as_vec());
    if let Some(alternatives) = alternatives {
        assert!(alternatives.iter().any(|one| type_fits(resolved(document, one), value)), "{value} in {what}");
        return;
    }
    assert!(type_fits(schema, value), "{value} in {what}");
    let (known, open) = (schema["properties"].as_hash(), schema["additionalProperties"].as_bool() != Some(false));
    if let Some(members) = value.as_object() {
        for name in schema["required"].as_vec().into_iter().flatten() {
            assert!(members.contains_key(name.as_str().unwrap()), "{name:?} is missing in {what}");
        }
        for (name, member) in members {
            match known.and_then(|known| known.get(&Yaml::String(name.clone()))) {
                Some(schema) => fits(document, schema, member, &format!("{name} of {what}")),
                None => assert!(open, "{name} is not documented in {what}"),
            }
        }
    }
    if let (Some(items), false) = (value.as_array(), schema["items"].is_badvalue()) {
        items.iter().for_each(|item| fits(document, &schema["items"], item, what));
    }
}

fn type_fits(schema: &Yaml, value: &Value) -> bool {
    let is = |kind: &str| match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        other => panic!("the document has a type {other:?}"),
    };
    match &schema["type"] {
        Yaml::String(kind) => is(kind),
        Yaml::Array(kinds) => kinds.iter().any(|kind| is(kind.as_str().unwrap())),
        _ => true,
    }
}
