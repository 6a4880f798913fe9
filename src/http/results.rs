//! Query results as JSON, made piece by piece while the client takes them.

use std::{sync::Arc, vec::IntoIter};

use crate::{
    http::{body::Body, json},
    promql::{Buckets, Histogram, MatrixSeries, Sample, Value, VectorSample},
};

/// A piece is sent when it has grown to this: large enough that a frame's cost does not matter.
const PIECE_BYTES: usize = 64 << 10;
/// Room for what a piece grows by beyond that: some labels, or the points of a turn.
const PIECE_SLACK: usize = 16 << 10;
/// Points of a series that are written before the size of the piece is looked at again.
const TURN: usize = 256;

/// The answer to a query that has this result, in the pieces it is sent in; each is made when it is asked for.
pub fn encoded(value: Value) -> impl Iterator<Item = Vec<u8>> {
    body(value, "}}").into_pieces().0
}

/// `{"status":"success","data":{"resultType":…,"result":…` and then `tail`, which closes what is open.
pub(super) fn body(value: Value, tail: &str) -> Body {
    match value {
        Value::Scalar(time, value) => single("scalar", time, |out| json::string(out, &json::plain(value)), tail),
        Value::String(time, text) => single("string", time, |out| json::string(out, &text), tail),
        Value::Vector(samples) => {
            items(head("vector"), samples.into_iter(), |out, sample| vector_sample(out, &sample), tail)
        }
        Value::Matrix(series) => encoder(head("matrix"), Matrix { series: series.into_iter(), open: None }, tail),
    }
}

/// `head`, a list of items that are made as they are taken, and `tail`.
pub(super) fn items<T: Send + 'static>(
    head: Vec<u8>,
    items: impl Iterator<Item = T> + Send + 'static,
    write: fn(&mut Vec<u8>, T),
    tail: &str,
) -> Body {
    encoder(head, Items { items, write }, tail)
}

fn encoder(head: Vec<u8>, items: impl Part + Send + 'static, tail: &str) -> Body {
    let mut out = head;
    out.push(b'[');
    Body::pieces(Encoder { items, out, is_first: true, tail: Some(format!("]{tail}")) })
}

fn head(kind: &str) -> Vec<u8> {
    format!(r#"{{"status":"success","data":{{"resultType":"{kind}","result":"#).into_bytes()
}

/// `[time,…]`: a scalar or a string. Prometheus writes their times without trailing zeros.
fn single(kind: &str, time: i64, write: impl FnOnce(&mut Vec<u8>), tail: &str) -> Body {
    let mut out = head(kind);
    out.push(b'[');
    json::short_time(&mut out, time);
    out.push(b',');
    write(&mut out);
    out.push(b']');
    out.extend_from_slice(tail.as_bytes());
    Body::full(out)
}

/// What an encoder takes from, some at a time.
trait Part {
    /// Writes some more, with a comma before each element but the first; false where there is no more.
    fn write_some(&mut self, out: &mut Vec<u8>, is_first: &mut bool) -> bool;
}

struct Encoder<P> {
    items: P,
    out: Vec<u8>,
    is_first: bool,
    /// Gone once it is written.
    tail: Option<String>,
}

impl<P: Part> Iterator for Encoder<P> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        self.tail.as_ref()?;
        self.out.reserve(PIECE_BYTES + PIECE_SLACK);
        while self.out.len() < PIECE_BYTES {
            if !self.items.write_some(&mut self.out, &mut self.is_first) {
                let tail = self.tail.take()?;
                self.out.extend_from_slice(tail.as_bytes());
                break;
            }
        }
        Some(std::mem::take(&mut self.out))
    }
}

/// Elements that are written whole.
struct Items<I: Iterator> {
    items: I,
    write: fn(&mut Vec<u8>, I::Item),
}

impl<I: Iterator> Part for Items<I> {
    fn write_some(&mut self, out: &mut Vec<u8>, is_first: &mut bool) -> bool {
        let Some(item) = self.items.next() else { return false };
        comma(out, is_first);
        (self.write)(out, item);
        true
    }
}

fn comma(out: &mut Vec<u8>, is_first: &mut bool) {
    if !std::mem::take(is_first) {
        out.push(b',');
    }
}

/// Series, of which each may be larger than a piece.
struct Matrix {
    series: IntoIter<MatrixSeries>,
    /// What is left of the one that is being written.
    open: Option<(Run<f64>, Run<Arc<Histogram>>)>,
}

impl Part for Matrix {
    fn write_some(&mut self, out: &mut Vec<u8>, is_first: &mut bool) -> bool {
        match &mut self.open {
            Some((floats, histograms)) => {
                let wrote = floats.write_some(out, |out, time, value| json::point(out, time, *value))
                    || histograms.write_some(out, histogram_point);
                if !wrote {
                    out.push(b'}');
                    self.open = None;
                }
            }
            None => {
                let Some(series) = self.series.next() else { return false };
                comma(out, is_first);
                out.extend_from_slice(br#"{"metric":"#);
                json::labels(out, &series.labels);
                self.open = Some((Run::new("values", series.floats), Run::new("histograms", series.histograms)));
            }
        }
        true
    }
}

/// Points that are still to be written as a member of a series; no member where there are none.
struct Run<T> {
    name: &'static str,
    points: IntoIter<(i64, T)>,
    is_begun: bool,
}

impl<T> Run<T> {
    fn new(name: &'static str, points: Vec<(i64, T)>) -> Self {
        Self { name, points: points.into_iter(), is_begun: false }
    }

    /// Writes some points; false where all are written.
    fn write_some(&mut self, out: &mut Vec<u8>, write: impl Fn(&mut Vec<u8>, i64, &T)) -> bool {
        let Some((time, value)) = self.points.next() else { return false };
        match std::mem::replace(&mut self.is_begun, true) {
            false => out.extend_from_slice(format!(",\"{}\":[", self.name).as_bytes()),
            true => out.push(b','),
        }
        write(out, time, &value);
        for (time, value) in self.points.by_ref().take(TURN - 1) {
            out.push(b',');
            write(out, time, &value);
        }
        if self.points.len() == 0 {
            out.push(b']');
        }
        true
    }
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
