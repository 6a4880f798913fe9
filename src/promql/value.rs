//! What a query answers: numbers, texts, vectors and matrices of samples.

use std::sync::Arc;

use crate::model::Labels;

/// The bits of the NaN that says a series has ended.
pub const STALE_MARKER: u64 = 0x7ff0_0000_0000_0002;

/// Whether a value is the stale marker; other NaNs are ordinary values.
pub(crate) fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_MARKER
}

/// The value of a series at one time.
#[derive(Clone, Debug, PartialEq)]
pub enum Sample {
    /// A number.
    Float(f64),
    /// A native histogram.
    Histogram(Arc<Histogram>),
}

/// A native histogram: counts of observations in buckets that are either exponential or have written bounds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// Resolution: a bucket's upper bound is 2^(2^-schema) times its lower one, for -4 to 8; -53 for custom bounds.
    pub schema: i8,
    /// Observations in all.
    pub count: f64,
    /// Their sum.
    pub sum: f64,
    /// Observations at most `zero_threshold` away from 0.
    pub zero_count: f64,
    /// Half the width of the zero bucket.
    pub zero_threshold: f64,
    /// Buckets above the zero bucket, or all buckets where bounds are custom.
    pub positive: Buckets,
    /// Buckets below the zero bucket.
    pub negative: Buckets,
    /// Upper bounds of all buckets but the last, ascending; only with schema -53.
    pub custom_bounds: Vec<f64>,
    /// What is known of a reset of the counter before this sample.
    pub reset_hint: ResetHint,
}

impl Histogram {
    /// Bytes it takes in memory, its own place included.
    pub fn size(&self) -> usize {
        let counts = self.positive.counts.len() + self.negative.counts.len() + self.custom_bounds.len();
        size_of::<Self>() + counts * size_of::<f64>()
    }
}

/// Consecutive buckets of one side of a histogram.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Buckets {
    /// The index of the first bucket.
    pub offset: i32,
    /// Observations in each bucket, not cumulative.
    pub counts: Vec<f64>,
}

/// What a native histogram says of a counter reset before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResetHint {
    /// Nothing.
    #[default]
    Unknown,
    /// The counter started anew.
    Reset,
    /// It did not.
    NotReset,
    /// It is a gauge.
    Gauge,
}

/// The result of a query.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number at a time (Unix nanoseconds).
    Scalar(i64, f64),
    /// A text at a time.
    String(i64, Arc<str>),
    /// One sample a series. In the order of `sort` and its like where the query ends in one, else sorted by labels.
    Vector(Vec<VectorSample>),
    /// Runs of samples, sorted by labels.
    Matrix(Vec<MatrixSeries>),
}

/// A series' sample at the time of the query.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorSample {
    /// The series.
    pub labels: Labels,
    /// Unix nanoseconds.
    pub time: i64,
    /// The value.
    pub sample: Sample,
}

impl VectorSample {
    /// Bytes it takes in memory.
    pub fn size(&self) -> usize {
        let histogram = if let Sample::Histogram(histogram) = &self.sample { histogram.size() } else { 0 };
        size_of::<Self>() + self.labels.size() + histogram
    }
}

/// A series' samples, floats and histograms in columns of their own, each ascending in time (Unix nanoseconds).
#[derive(Clone, Debug, PartialEq)]
pub struct MatrixSeries {
    /// The series.
    pub labels: Labels,
    /// The numbers.
    pub floats: Vec<(i64, f64)>,
    /// The histograms; never at the time of a number.
    pub histograms: Vec<(i64, Arc<Histogram>)>,
}

impl MatrixSeries {
    /// Bytes it takes in memory.
    pub fn size(&self) -> usize {
        let histograms: usize = self.histograms.iter().map(|(_, histogram)| histogram.size()).sum();
        let points = self.floats.capacity() * size_of::<(i64, f64)>();
        size_of::<Self>() + self.labels.size() + points + histograms
    }
}
