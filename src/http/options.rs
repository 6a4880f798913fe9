//! What the doors allow.

use std::time::Duration;

use crate::promql::Features;

/// Limits and times of the HTTP server.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes of a write body on the wire; more is 413.
    pub body_size_max: u64,
    /// Bytes of a write body after unpacking; more is 413.
    pub unpacked_size_max: u64,
    /// Connections at once; one more is answered 503 and closed.
    pub connections_max: usize,
    /// Writes being received or waiting at once; one more is answered 503.
    pub writes_max: usize,
    /// Bytes, unpacked, of all writes that are being received; where more come, writes are answered 503.
    pub writes_size_max: u64,
    /// Queries running at once; others wait for their turn.
    pub queries_max: usize,
    /// Queries waiting at once; one more is answered 503.
    pub queue_max: usize,
    /// How long a query waits for its turn, within its time; then it is answered 503.
    pub queue_wait: Duration,
    /// Bytes that all queries may hold; one that takes more is answered 503.
    pub queries_memory_max: u64,
    /// Time a query may take, waiting included.
    pub query_timeout: Duration,
    /// Time a query waits, after a start, for the batches that are on their way back to memory. Then it sees what is there.
    pub replay_wait: Duration,
    /// Samples a query may hold; more is 422.
    pub query_samples_max: u64,
    /// Series a query may read; more is 422.
    pub query_series_max: u64,
    /// Bytes a query may hold; more is 422.
    pub query_memory_max: u64,
    /// Steps a range query may have; more is 400.
    pub query_points_max: u64,
    /// How far back an instant selector looks.
    pub lookback: Duration,
    /// Which experimental parts queries may use.
    pub features: Features,
    /// Time a client may take to send a request's head.
    pub header_timeout: Duration,
    /// The longest wait for the next piece of a body.
    pub body_stall_timeout: Duration,
    /// The longest time in which a client may take nothing of its answer; then its connection is ended.
    pub send_timeout: Duration,
    /// Time that running requests get to finish when the server stops.
    pub shutdown_timeout: Duration,
    /// Whether `db` and `bucket` become the label `db`.
    pub db_label: bool,
    /// All flags and their values, for `/api/v1/status/flags`.
    pub flags: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            body_size_max: 25 << 20,
            unpacked_size_max: 128 << 20,
            connections_max: 2000,
            writes_max: 1000,
            writes_size_max: 512 << 20,
            queries_max: 8,
            queue_max: 1000,
            queue_wait: Duration::from_secs(10),
            queries_memory_max: 2 << 30,
            query_timeout: Duration::from_secs(120),
            replay_wait: Duration::from_secs(1),
            query_samples_max: 50_000_000,
            query_series_max: 10_000_000,
            query_memory_max: 1 << 30,
            query_points_max: 11_000,
            lookback: Duration::from_secs(300),
            features: Features::default(),
            header_timeout: Duration::from_secs(10),
            body_stall_timeout: Duration::from_secs(30),
            send_timeout: Duration::from_secs(60),
            shutdown_timeout: Duration::from_secs(10),
            db_label: true,
            flags: Vec::new(),
        }
    }
}
