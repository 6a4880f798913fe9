//! Query results as JSON, made piece by piece while the client takes them.

use std::{sync::Arc, vec::IntoIter};

use crate::{
    http::{body::Body, json},
    promql::{Buckets, Histogram, MatrixSeries, Sample, Value, VectorSample},
};

/// A piece is sent when it has grown to this: large enough that a frame's cost does not matter.
const PIECE_BYTES: usize = 64 << 10;

/// `{"status":"success","data":{"resultType":…,"result":…` and then `tail`, which closes what is open.
pub(super) fn body(value: Value, tail: &str) -> Body {
    let (kind, items) = match value {
        Value::Scalar(time, value) => return single("scalar", |out| json::point(out, time, value), tail),
        Value::String(time, text) => return single("string", |out| text_point(out, time, &text), tail),
        Value::Vector(samples) => ("vector", Items::Vector(samples.into_iter())),
        Value::Matrix(series) => ("matrix", Items::Matrix(series.into_iter())),
    };
    let mut head = head(kind);
    head.push(b'[');
    Body::pieces(Encoder { items, out: head, is_first: true, tail: Some(format!("]{tail}")) })
}

fn head(kind: &str) -> Vec<u8> {
    format!(r#"{{"status":"success","data":{{"resultType":"{kind}","result":"#).into_bytes()
}

fn single(kind: &str, write: impl FnOnce(&mut Vec<u8>), tail: &str) -> Body {
    let mut out = head(kind);
    write(&mut out);
    out.extend_from_slice(tail.as_bytes());
    Body::full(out)
}

fn text_point(out: &mut Vec<u8>, time: i64, text: &str) {
    out.push(b'[');
    json::time(out, time);
    out.push(b',');
    json::string(out, text);
    out.push(b']');
}

enum Items {
    Vector(IntoIter<VectorSample>),
    Matrix(IntoIter<MatrixSeries>),
}

struct Encoder {
    items: Items,
    out: Vec<u8>,
    is_first: bool,
    /// Gone once it is written.
    tail: Option<String>,
}

impl Iterator for Encoder {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        self.tail.as_ref()?;
        while self.out.len() < PIECE_BYTES {
            if !self.write_next() {
                let tail = self.tail.take()?;
                self.out.extend_from_slice(tail.as_bytes());
                break;
            }
        }
        Some(std::mem::take(&mut self.out))
    }
}

impl Encoder {
    /// Writes one more series; false where there is none.
    fn write_next(&mut self) -> bool {
        match &mut self.items {
            Items::Vector(samples) => match samples.next() {
                Some(sample) => element(&mut self.out, &mut self.is_first, |out| vector_sample(out, &sample)),
                None => false,
            },
            Items::Matrix(series) => match series.next() {
                Some(series) => element(&mut self.out, &mut self.is_first, |out| matrix_series(out, &series)),
                None => false,
            },
        }
    }
}

fn element(out: &mut Vec<u8>, is_first: &mut bool, write: impl FnOnce(&mut Vec<u8>)) -> bool {
    if !std::mem::take(is_first) {
        out.push(b',');
    }
    write(out);
    true
}

fn vector_sample(out: &mut Vec<u8>, sample: &VectorSample) {
    out.extend_from_slice(br#"{"metric":"#);
    json::labels(out, &sample.labels);
    match &sample.sample {
        Sample::Float(value) => {
            out.extend_from_slice(br#","value":"#);
            json::point(out, sample.time, *value);
        }
        Sample::Histogram(value) => {
            out.extend_from_slice(br#","histogram":"#);
            histogram_point(out, sample.time, value);
        }
    }
    out.push(b'}');
}

fn matrix_series(out: &mut Vec<u8>, series: &MatrixSeries) {
    out.extend_from_slice(br#"{"metric":"#);
    json::labels(out, &series.labels);
    if !series.floats.is_empty() {
        out.extend_from_slice(br#","values":"#);
        json::list(out, &series.floats, |out, (time, value)| json::point(out, *time, *value));
    }
    if !series.histograms.is_empty() {
        out.extend_from_slice(br#","histograms":"#);
        json::list(out, &series.histograms, |out, (time, value)| histogram_point(out, *time, value));
    }
    out.push(b'}');
}

fn histogram_point(out: &mut Vec<u8>, time: i64, histogram: &Arc<Histogram>) {
    out.push(b'[');
    json::time(out, time);
    out.extend_from_slice(br#",{"count":"#);
    quoted(out, histogram.count);
    out.extend_from_slice(br#","sum":"#);
    quoted(out, histogram.sum);
    let buckets: Vec<_> = buckets(histogram).into_iter().filter(|bucket| bucket.count != 0.0).collect();
    if !buckets.is_empty() {
        out.extend_from_slice(br#","buckets":"#);
        json::list(out, buckets, |out, bucket| {
            out.extend_from_slice(format!("[{}", bucket.bounds).as_bytes());
            for number in [bucket.low, bucket.high, bucket.count] {
                out.push(b',');
                quoted(out, number);
            }
            out.push(b']');
        });
    }
    out.extend_from_slice(b"}]");
}

fn quoted(out: &mut Vec<u8>, value: f64) {
    out.push(b'"');
    json::number(out, value);
    out.push(b'"');
}

/// A bucket as the API shows it.
struct Bucket {
    /// Which bounds belong to it: 0 the upper, 1 the lower, 3 both.
    bounds: u8,
    low: f64,
    high: f64,
    count: f64,
}

/// From the lowest to the highest.
fn buckets(histogram: &Histogram) -> Vec<Bucket> {
    let bound = |index: i32| upper_bound(histogram, index);
    let side = |buckets: &Buckets| -> Vec<_> {
        buckets.counts.iter().enumerate().map(|(i, &count)| (buckets.offset + i as i32, count)).collect()
    };
    let negative = side(&histogram.negative).into_iter().rev().map(|(index, count)| Bucket {
        bounds: 1,
        low: -bound(index),
        high: -bound(index - 1),
        count,
    });
    let zero = Bucket {
        bounds: 3,
        low: -histogram.zero_threshold,
        high: histogram.zero_threshold,
        count: histogram.zero_count,
    };
    let positive = side(&histogram.positive).into_iter().map(|(index, count)| Bucket {
        bounds: 0,
        low: bound(index - 1),
        high: bound(index),
        count,
    });
    negative.chain([zero]).chain(positive).collect()
}

fn upper_bound(histogram: &Histogram, index: i32) -> f64 {
    const CUSTOM: i8 = -53;
    if histogram.schema == CUSTOM {
        return match usize::try_from(index) {
            Err(_) => f64::NEG_INFINITY,
            Ok(index) => histogram.custom_bounds.get(index).copied().unwrap_or(f64::INFINITY),
        };
    }
    (f64::from(index) * (-f64::from(histogram.schema)).exp2()).exp2()
}
