//! The conformance vectors: bodies with what other implementations read in them.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::*;

/// Where we differ on purpose: which cases (by their id or its first 8 digits), and why.
const DEVIATIONS: &[(&[&str], &str)] = &[
    (
        &["telegraf-046"],
        "a backslash before the space escapes it, whatever is before the backslash: InfluxDB reads it so too",
    ),
    (
        &["victoriametrics-029", "victoriametrics-037"],
        "measurements, tag names and tag values are not empty in InfluxDB",
    ),
    (&["victoriametrics-039"], "strings are dropped and counted; VictoriaMetrics stores a zero"),
    (
        &["victoriametrics-040"],
        "`\\\\` is two backslashes in names, and `\\=` no escape in a measurement; VictoriaMetrics drops the backslash",
    ),
    (
        &[
            "0a651fa6", "13a9b07a", "25957c0a", "26cfbed8", "42548a1a", "56ff88db", "58fffd30", "59982a35", "5ad031a2",
            "5cf24359", "6010fd1d", "6891ed17", "8777ed9a", "a1ff4186", "a2104143", "a667a7c1", "ad4649c6", "becde1a0",
            "c6ecafbf", "ce6e11d3", "d0e25908", "d2968e6b", "d313151b", "d358219c", "f18ab571", "f8ccd78f", "f9d6e94d",
            "fc1b0605",
        ],
        "control characters may stand in names, as in InfluxDB 1.x",
    ),
    (&["2be024ca", "a02aab4c", "b273387d", "c0ce359f"], "tabs and NULs before a line are blanks, as in InfluxDB 1.x"),
    (&["dfa6432a"], "a comment may hold anything, as in InfluxDB 1.x"),
    (&["f3d59e84"], "strings are dropped, so nobody looks whether they are UTF-8; InfluxDB 1.x does not either"),
];

#[test]
fn every_body_reads_as_elsewhere_but_for_the_listed_deviations() {
    let mut unused: Vec<&str> = DEVIATIONS.iter().flat_map(|(ids, _)| *ids).copied().collect();
    let mut differences = Vec::new();
    let mut count = 0;
    for (file, case) in FILES {
        let Some(cases) = cases(file) else { return };
        for case in cases.iter().filter_map(case) {
            count += 1;
            let Some(difference) = case.difference() else { continue };
            match unused.iter().position(|id| case.id.starts_with(id)) {
                Some(index) => drop(unused.swap_remove(index)),
                None => differences.push(format!("{} {difference}", case.id)),
            }
        }
    }
    assert!(
        differences.is_empty(),
        "{} of {count} bodies read differently:\n{}",
        differences.len(),
        differences.join("\n")
    );
    assert!(unused.is_empty(), "these deviate no more: {unused:?}");
    println!(
        "{count} bodies read as elsewhere, {} of them but for a listed deviation",
        DEVIATIONS.iter().map(|(ids, _)| ids.len()).sum::<usize>()
    );
}

type Reader = fn(&Json) -> Option<Case>;

/// The files of vectors, and how their cases are read; some are none.
const FILES: [(&str, Reader); 5] = [
    ("influxdb1", agent_case),
    ("telegraf", agent_case),
    ("victoriametrics", victoriametrics_case),
    ("corpus-decode", corpus_case),
    ("corpus-encode", encode_case),
];

/// A body and what it should give.
struct Case {
    id: String,
    body: Vec<u8>,
    precision: Precision,
    now: i64,
    /// Whether every line is valid; then perhaps how many points there are, or all of them.
    valid: bool,
    count: Option<usize>,
    points: Option<Vec<Point>>,
}

impl Case {
    /// How we differ, if we do.
    fn difference(&self) -> Option<String> {
        let outcome = Outcome::with(&self.body, self.precision, self.now);
        let text = String::from_utf8_lossy(&self.body).into_owned();
        if outcome.errors.is_empty() != self.valid {
            return Some(format!("valid: {} but {:?} in {text:?}", self.valid, outcome.reasons()));
        }
        if self.valid && self.count.is_some_and(|count| count != outcome.points.len()) {
            return Some(format!("{:?} points, not {} in {text:?}", self.count, outcome.points.len()));
        }
        match &self.points {
            Some(points) if self.valid && !are_alike(points, &outcome.points) => {
                Some(format!("{points:?} but {:?} in {text:?}", outcome.points))
            }
            _ => None,
        }
    }
}

/// Equal but for the last bit of a number, or the sign of zero: the JSON reader does not round every long number right.
fn are_alike(expected: &[Point], found: &[Point]) -> bool {
    let alike = |(a, b): (&(String, f64), &(String, f64))| {
        a.0 == b.0 && (a.1 == b.1 || a.1.to_bits().abs_diff(b.1.to_bits()) <= 1)
    };
    expected.len() == found.len()
        && expected.iter().zip(found).all(|(expected, found)| {
            expected.fields.len() == found.fields.len()
                && expected.fields.iter().zip(&found.fields).all(alike)
                && Point { fields: Vec::new(), ..expected.clone() } == Point { fields: Vec::new(), ..found.clone() }
        })
}

fn cases(file: &str) -> Option<Vec<Json>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/conformance/line-protocol/");
    #[allow(clippy::disallowed_methods)] // conformance data is no data file of ours
    let Ok(text) = std::fs::read_to_string(format!("{path}{file}.json")) else {
        println!("skipped: {path}{file}.json is not there");
        return None;
    };
    let Json::Object(mut file) = serde_json::from_str(&text).unwrap() else { panic!("{path}{file} is no object") };
    serde_json::from_value(file.remove("cases").unwrap()).unwrap()
}

fn text_of(json: &Json) -> Vec<u8> {
    match json {
        Json::String(text) => text.clone().into_bytes(),
        _ => base64(json["binary"].as_str().unwrap()),
    }
}

fn base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits: Vec<u32> = text
        .bytes()
        .filter_map(|byte| ALPHABET.iter().position(|&digit| digit == byte))
        .map(|digit| digit as u32)
        .collect();
    let bytes = digits.chunks(4).flat_map(|chunk| {
        let word = chunk.iter().fold(0, |word, digit| word << 6 | digit) << (6 * (4 - chunk.len()));
        word.to_be_bytes()[1..chunk.len()].to_vec()
    });
    bytes.collect()
}

/// A point from its parts; of a field listed twice the last counts.
fn point(measurement: &str, tags: Vec<(String, String)>, fields: Vec<(String, Option<f64>)>, time: i64) -> Point {
    let mut tags: Vec<_> = tags.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    tags.sort();
    let strings = fields.iter().filter(|(_, value)| value.is_none()).count() as u32;
    let fields: BTreeMap<_, _> = fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    Point { measurement: measurement.to_owned(), tags, fields: fields.into_iter().collect(), strings, time }
}

fn string(json: &Json) -> String {
    json.as_str().unwrap().to_owned()
}

/// A case of InfluxDB's or Telegraf's list.
fn agent_case(json: &Json) -> Option<Case> {
    let pair = |pair: &Json| (string(&pair[0]), string(&pair[1]));
    let field = |field: &Json| {
        let text = field[1]["value"].to_string().replace('"', "");
        let value = match field[1]["type"].as_str().unwrap() {
            "string" => None,
            "bool" => Some(f64::from(u8::from(text == "true"))),
            _ => Some(text.parse().unwrap()),
        };
        (string(&field[0]), value)
    };
    let points = json["points"].as_array().map(|points| {
        let points = points.iter().map(|p| {
            let tags = p["tags"].as_array().unwrap().iter().map(pair).collect();
            let fields = p["fields"].as_array().unwrap().iter().map(field).collect();
            point(p["measurement"].as_str().unwrap(), tags, fields, string(&p["time_ns"]).parse().unwrap())
        });
        points.collect()
    });
    Some(Case {
        id: string(&json["id"]),
        body: string(&json["input"]).into_bytes(),
        precision: Precision::parse(json["precision"].as_str().unwrap()).unwrap(),
        now: json["default_time_ns"].as_str().unwrap().parse().unwrap(),
        valid: json["valid"].as_bool().unwrap(),
        count: json["point_count"].as_u64().map(|count| count as usize),
        points,
    })
}

/// A case of the strict grammar.
fn corpus_case(json: &Json) -> Option<Case> {
    let input = &json["input"];
    let points = json["output"]["result"].as_array().map(|points| points.iter().map(corpus_point).collect());
    Some(Case {
        id: string(&input["key"]),
        body: text_of(&input["text"]),
        precision: Precision::parse(input["precision"].as_str().unwrap().trim_start_matches('1')).unwrap(),
        now: input["defaultTime"].as_i64().unwrap(),
        valid: json["output"].get("error").is_none(),
        count: None,
        points,
    })
}

fn corpus_point(json: &Json) -> Point {
    let none = Vec::new();
    let list = |name: &str| json[name].as_array().unwrap_or(&none).iter();
    let value = |value: &Json| match value.as_object().unwrap().iter().next().unwrap() {
        (kind, Json::Bool(value)) if kind == "bool" => Some(f64::from(u8::from(*value))),
        (_, Json::Number(number)) => Some(number.as_f64().unwrap()),
        _ => None,
    };
    let tags = list("tags").map(|tag| (string(&tag["key"]), string(&tag["value"]))).collect();
    let fields = list("fields").map(|field| (string(&field["key"]), value(&field["value"]))).collect();
    point(json["name"].as_str().unwrap(), tags, fields, json["time"].as_i64().unwrap())
}

/// What a correct encoder wrote, as one more valid line.
fn encode_case(json: &Json) -> Option<Case> {
    let input = &json["input"];
    Some(Case {
        id: string(&input["key"]),
        body: text_of(json["output"].get("result")?),
        precision: Precision::parse(input["precision"].as_str().unwrap().trim_start_matches('1')).unwrap(),
        now: 0,
        valid: true,
        count: Some(1),
        points: Some(vec![corpus_point(&input["point"])]),
    })
}

/// A case of VictoriaMetrics' list.
fn victoriametrics_case(json: &Json) -> Option<Case> {
    let pair = |pair: &Json| (string(&pair[0]), string(&pair[1]));
    let field = |field: &Json| (string(&field[0]), Some(string(&field[1]).parse().unwrap()));
    let points = json["points"].as_array().map(|points| {
        let points = points.iter().map(|p| {
            let tags = p["tags"].as_array().unwrap().iter().map(pair).collect();
            let fields = p["fields"].as_array().unwrap().iter().map(field).collect();
            point(p["measurement"].as_str().unwrap(), tags, fields, string(&p["timestamp"]).parse().unwrap())
        });
        points.collect()
    });
    Some(Case {
        id: string(&json["id"]),
        body: string(&json["input"]).into_bytes(),
        precision: Precision::Nanoseconds,
        now: 0,
        valid: json["valid"].as_bool().unwrap(),
        count: None,
        points,
    })
}
