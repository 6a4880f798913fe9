//! The body of a Prometheus remote write: protobuf in snappy's block format.
//!
//! ```text
//! WriteRequest: repeated TimeSeries timeseries = 1
//! TimeSeries:   repeated Label labels = 1, sorted by name | repeated Sample samples = 2, sorted by time
//! Label:        string name = 1 | string value = 2
//! Sample:       double value = 1 | int64 timestamp = 2, in milliseconds
//! ```

/// Wire type 1, eight bytes.
const FIXED64: u8 = 1;
/// Wire type 2, bytes behind their length.
const BYTES: u8 = 2;

/// Collects the series of one request.
#[derive(Default)]
pub(crate) struct Encoder {
    request: Vec<u8>,
    series: Vec<u8>,
    message: Vec<u8>,
}

impl Encoder {
    /// Adds a series: its name, its tags as line protocol has them, its samples.
    pub(crate) fn series(&mut self, name: &str, tags: &str, samples: impl Iterator<Item = (i64, f64)>) {
        self.series.clear();
        let mut labels: Vec<_> = tags.split(',').filter_map(|tag| tag.split_once('=')).collect();
        labels.push(("__name__", name));
        labels.sort_unstable();
        for (name, value) in labels {
            self.message.clear();
            put_bytes(&mut self.message, 1, name.as_bytes());
            put_bytes(&mut self.message, 2, value.as_bytes());
            put_bytes(&mut self.series, 1, &self.message);
        }
        for (millis, value) in samples {
            self.message.clear();
            self.message.push(1 << 3 | FIXED64);
            self.message.extend_from_slice(&value.to_le_bytes());
            self.message.push(2 << 3);
            put_varint(&mut self.message, millis as u64);
            put_bytes(&mut self.series, 2, &self.message);
        }
        put_bytes(&mut self.request, 1, &self.series);
    }

    /// The body; the next request begins.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        let body = snap::raw::Encoder::new().compress_vec(&self.request);
        self.request.clear();
        body.expect("a request is smaller than 4 GiB")
    }
}

fn put_bytes(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push(field << 3 | BYTES);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
