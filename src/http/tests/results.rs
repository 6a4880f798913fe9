//! Results as JSON, and what happens to a handler that panics.

use std::sync::Arc;

use http_body_util::BodyExt;
use serde_json::{Value as Json, json};

use crate::{
    http::{body::Body, prometheus::remarks, results, series::unescape, server::Caught},
    model::Labels,
    promql::{Buckets, Histogram, MatrixSeries, Sample, Value, VectorSample},
};

async fn text(body: Body) -> String {
    String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

async fn result(value: Value) -> Json {
    let json: Json = serde_json::from_str(&text(results::body(value, "}}")).await).unwrap();
    json["data"].clone()
}

#[tokio::test]
async fn each_kind_of_value_has_its_own_form() {
    assert_eq!(result(Value::Scalar(4_000_000_000, 2.0)).await, json!({"resultType": "scalar", "result": [4, "2"]}));
    let long = text(results::body(Value::Scalar(1_500_000_000, 1e21), "}}")).await;
    assert!(long.ends_with(r#""result":[1.5,"1000000000000000000000"]}}"#), "scalars never have an exponent: {long}");
    let string = Value::String(1_500_000_000, "a\"b".into());
    assert_eq!(result(string).await, json!({"resultType": "string", "result": [1.5, "a\"b"]}));
    assert_eq!(result(Value::Vector(vec![])).await, json!({"resultType": "vector", "result": []}));
    assert_eq!(result(Value::Matrix(vec![])).await, json!({"resultType": "matrix", "result": []}));
    let labels = Labels::from([("__name__", "up")]);
    let sample = VectorSample { labels: labels.clone(), time: 0, sample: Sample::Float(f64::NAN) };
    let vector = result(Value::Vector(vec![sample.clone(), sample])).await;
    assert_eq!(vector["result"][1], json!({"metric": {"__name__": "up"}, "value": [0, "NaN"]}));
    let series = MatrixSeries { labels, floats: vec![(0, 1.0), (1_000_000_000, -0.5)], histograms: vec![] };
    let matrix = result(Value::Matrix(vec![series])).await;
    assert_eq!(matrix["result"], json!([{"metric": {"__name__": "up"}, "values": [[0, "1"], [1, "-0.5"]]}]));
}

#[tokio::test]
async fn a_large_matrix_goes_out_in_pieces_that_make_one_document() {
    let series = |i: i64| MatrixSeries {
        labels: Labels::from([("i", &*i.to_string())]),
        floats: (0..1000).map(|t| (t * 1_000_000_000, (t * i) as f64)).collect(),
        histograms: vec![],
    };
    let mut body = results::body(Value::Matrix((0..50).map(series).collect()), "}}");
    let mut pieces = Vec::new();
    while let Some(frame) = body.frame().await {
        pieces.push(frame.unwrap().into_data().unwrap());
    }
    assert!(pieces.len() > 5 && pieces.iter().all(|piece| !piece.is_empty()), "{} pieces", pieces.len());
    let json: Json = serde_json::from_slice(&pieces.concat()).unwrap();
    assert_eq!(json["data"]["result"][49]["values"][999], json!([999, "48951"]));
}

#[tokio::test]
async fn one_series_larger_than_a_piece_goes_out_in_pieces_of_bounded_size() {
    let histogram = Arc::new(Histogram { count: 1.0, sum: 2.0, ..Histogram::default() });
    let series = MatrixSeries {
        labels: Labels::from([("a", "b")]),
        floats: (0..100_000).map(|t| (t * 1_000_000, t as f64 / 8.0)).collect(),
        histograms: (0..10_000).map(|t| (t, Arc::clone(&histogram))).collect(),
    };
    let mut body = results::body(Value::Matrix(vec![series.clone(), series]), "}}");
    let mut pieces = Vec::new();
    while let Some(frame) = body.frame().await {
        pieces.push(frame.unwrap().into_data().unwrap());
    }
    assert!(pieces.iter().all(|piece| piece.len() < 100 << 10), "{:?}", pieces.iter().map(|p| p.len()).max());
    let json: Json = serde_json::from_slice(&pieces.concat()).unwrap();
    let second = &json["data"]["result"][1];
    assert_eq!(
        (second["values"].as_array().unwrap().len(), &second["values"][99_999]),
        (100_000, &json!([99.999, "12499.875"]))
    );
    assert_eq!(second["histograms"].as_array().unwrap().len(), 10_000);
    assert_eq!(second["histograms"][9_999], json!([0, {"count": "1", "sum": "2"}]));
}

#[tokio::test]
async fn histograms_show_their_buckets_from_low_to_high_without_the_empty_ones() {
    let histogram = Histogram {
        count: 10.0,
        sum: 1.5,
        zero_count: 2.0,
        zero_threshold: 0.001,
        positive: Buckets { offset: 0, counts: vec![3.0, 0.0, 4.0] },
        negative: Buckets { offset: 1, counts: vec![1.0] },
        ..Histogram::default()
    };
    let sample = VectorSample { labels: Labels::default(), time: 0, sample: Sample::Histogram(Arc::new(histogram)) };
    let vector = result(Value::Vector(vec![sample])).await;
    let buckets = json!([[1, "-2", "-1", "1"], [3, "-0.001", "0.001", "2"], [0, "0.5", "1", "3"], [0, "2", "4", "4"]]);
    let expected = json!({"count": "10", "sum": "1.5", "buckets": buckets});
    assert_eq!(vector["result"][0], json!({"metric": {}, "histogram": [0, expected]}));
}

#[test]
fn label_names_are_unescaped_as_grafana_escapes_them() {
    for (escaped, name) in [
        ("host", "host"),
        ("U__host", "host"),
        ("U__http_2e_status__code", "http.status_code"),
        ("U___20ac_", "€"),
        ("U__bad_zz_", "U__bad_zz_"),
        ("U__open_2e", "U__open_2e"),
        ("U__plus_+41_", "U__plus_+41_"),
        ("U__long_0000041_", "U__long_0000041_"),
        ("U__surrogate_d800_", "U__surrogate_d800_"),
    ] {
        assert_eq!(unescape(escaped), name);
    }
}

#[tokio::test]
async fn a_panic_in_a_future_is_a_value() {
    let panics = Caught(Box::pin(async {
        tokio::task::yield_now().await;
        assert!(std::hint::black_box(false), "on purpose");
    }));
    assert!(panics.await.unwrap_err().downcast_ref::<&str>().is_some_and(|text| text.contains("on purpose")));
    assert_eq!(Caught(Box::pin(async { 7 })).await.unwrap(), 7);
}

#[test]
fn of_many_remarks_ten_are_shown_and_the_others_counted() {
    let texts = |count: usize| (0..count).map(|n| format!("remark {n}")).collect::<Vec<_>>();
    let shown = |warnings: usize, infos: usize| {
        let text = format!("{{\"status\":1{}}}", remarks(&texts(warnings), &texts(infos)));
        serde_json::from_str::<serde_json::Value>(&text).unwrap()
    };
    let with = |count: usize, last: &str| [texts(count), vec![last.to_owned()]].concat();
    assert_eq!(shown(0, 0), serde_json::json!({"status": 1}));
    assert_eq!(shown(10, 0), serde_json::json!({"status": 1, "warnings": texts(10)}));
    assert_eq!(
        shown(11, 25),
        serde_json::json!({
            "status": 1,
            "warnings": with(10, "1 more warning annotations omitted"),
            "infos": with(10, "15 more info annotations omitted"),
        })
    );
}
