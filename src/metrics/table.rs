//! The table of metrics.

use std::sync::Arc;

use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
    core::{Atomic, Collector, GenericCounterVec, GenericGaugeVec},
};

use crate::metrics::{
    AckLevel, By, Directory, Failure, FileKind, Label, PREFIX, QueryRejection, QueryResult, Rejection,
};

/// Syncs: from a fast NVMe drive (50 µs) to a disk that makes everybody wait.
const SYNC_SECONDS: &[f64] =
    &[50e-6, 100e-6, 200e-6, 400e-6, 800e-6, 1.5e-3, 3e-3, 6e-3, 12e-3, 25e-3, 50e-3, 0.1, 0.2, 0.4, 0.8, 1.5, 5.0];
/// Requests and queries: from a cached answer to a query at its limit.
const REQUEST_SECONDS: &[f64] = &[
    100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0,
];
/// Background work: flushes, compactions, and how long acknowledged samples were at risk.
const WORK_SECONDS: &[f64] =
    &[1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0];
/// Batches that shared one sync.
const GROUP_SIZES: &[f64] = &[0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

/// Bytes of one sync: from a frame of one line to the largest group.
const GROUP_BYTES: &[f64] =
    &[256.0, 1024.0, 4096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 4_194_304.0, 16_777_216.0];

/// What is known about a metric beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its full name.
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`; with `_by` or `_per` where it has labels.
    pub kind: &'static str,
    /// Its help text, as written in the table.
    pub help: &'static str,
}

macro_rules! metrics {
    ($(#[doc = $help:literal] $field:ident: $type:ty = $kind:ident($name:literal $(, $argument:expr)*),)+) => {
        /// All metrics of one server. Every field is named as its metric, without prefix and unit.
        pub struct Metrics {
            registry: Registry,
            $(#[doc = $help] pub $field: $type,)+
        }

        impl Metrics {
            /// Every metric, in the order of the table.
            pub const TABLE: &'static [Row] =
                &[$(Row { name: concat!("plimsoll_", $name), kind: stringify!($kind), help: $help },)+];

            /// All metrics at zero, in a registry of their own.
            pub fn new() -> Arc<Self> {
                let registry = Registry::new();
                $(let $field = $kind(&registry, opts($name, $help) $(, $argument)*);)+
                Arc::new(Self { registry, $($field,)+ })
            }
        }
    };
}

metrics! {
    // --- durability: what a crash would take ---
    /// Samples in acknowledged batches, by the level that was delivered.
    acknowledged_samples: By<AckLevel, IntCounter> = counter_by("acknowledged_samples_total"),
    /// Batches that got a sequence number.
    batches: IntCounter = counter("batches_total"),
    /// The highest sequence number queries see.
    visible_sequence: IntGauge = gauge("visible_sequence"),
    /// The sequence number up to which nothing is lost by a process crash.
    process_safe_sequence: IntGauge = gauge("process_safe_sequence"),
    /// The sequence number up to which nothing is lost by a power cut.
    power_safe_sequence: IntGauge = gauge("power_safe_sequence"),
    /// Acknowledged samples that a crash of this kind would take now.
    at_risk_samples: By<Failure, IntGauge> = gauge_by("at_risk_samples"),
    /// Bytes in memory of the acknowledged batches that a crash of this kind would take now.
    at_risk_bytes: By<Failure, IntGauge> = gauge_by("at_risk_bytes"),
    /// Age of the oldest acknowledged batch that a crash of this kind would take now; 0 when there is none.
    at_risk_age: By<Failure, Gauge> = float_gauge_by("at_risk_age_seconds"),
    /// How long acknowledged batches stayed at risk of a crash of this kind.
    acknowledged_to_safe: By<Failure, Histogram> = histogram_by("acknowledged_to_safe_seconds", WORK_SECONDS),
    /// Duration of syncs, by what was synced.
    fsync_duration: By<FileKind, Histogram> = histogram_by("fsync_duration_seconds", SYNC_SECONDS),
    /// Syncs that failed.
    fsync_failures: By<FileKind, IntCounter> = counter_by("fsync_failures_total"),
    /// Batches that shared one sync.
    group_commit_batches: Histogram = histogram("group_commit_batches", GROUP_SIZES),
    /// Answers that one sync released; none where they were given before it.
    group_commit_answers: Histogram = histogram("group_commit_answers", GROUP_SIZES),
    /// Bytes of the stage that one sync made safe.
    group_commit_bytes: Histogram = histogram("group_commit_bytes", GROUP_BYTES),
    /// Bytes written to log segments.
    wal_written_bytes: IntCounter = counter("wal_written_bytes_total"),
    /// Copies of log segments that failed, while the log went on in the other copy.
    wal_mirror_out: IntCounter = counter("wal_mirror_out_total"),
    /// Whether a copy of the log lacks batches that are in no part yet and that the other copy holds: 1 if so.
    wal_copy_behind: By<Directory, IntGauge> = gauge_by("wal_copy_behind"),
    /// Bytes written to containers.
    container_written_bytes: IntCounter = counter("container_written_bytes_total"),
    /// Duration of a container's commits: pages built, written, and synced where the mode says so.
    commit_duration: Histogram = histogram("commit_duration_seconds", SYNC_SECONDS),
    /// Failed writes and syncs of the stage; what it held was written to parts instead.
    stage_failures: IntCounter = counter("stage_failures_total"),
    /// How often writes have stopped, because the disk did not work.
    write_stops: IntCounter = counter("write_stops_total"),
    /// Whether writes have stopped now: 1 if so.
    writes_stopped: IntGauge = gauge("writes_stopped"),
    /// Free bytes on the disk of a directory; NaN where there is no such directory.
    disk_free: By<Directory, Gauge> = float_gauge_by("disk_free_bytes"),
    /// Whether a directory cannot be written to now, as it is full, gone, or another one: 1 if so.
    directory_problem: By<Directory, IntGauge> = gauge_by("directory_problem"),
    /// Which start of this data directory the server is.
    incarnation: IntGauge = gauge("incarnation"),
    /// Median of the syncs tried in the data directory at the last start.
    disk_probe_fsync: Gauge = float_gauge("disk_probe_fsync_seconds"),
    /// What the last start found to warn about in the disk below the data directory.
    disk_probe_warnings: IntGauge = gauge("disk_probe_warnings"),

    // --- recovery: what the last start found ---
    /// Time the last start took from opening the directory until everything recovered was visible.
    recovery_duration: Gauge = float_gauge("recovery_duration_seconds"),
    /// Batches the last start took from the stage.
    recovery_replayed_batches: IntGauge = gauge("recovery_replayed_batches"),
    /// Bytes of the stage that the last start cut off: frames that a crash tore, and damage.
    recovery_truncated_bytes: IntGauge = gauge("recovery_truncated_bytes"),
    /// Sequence numbers that were safe before the last start and that it found damaged.
    recovery_damaged_numbers: IntGauge = gauge("recovery_damaged_numbers"),
    /// Acknowledged samples that the end of the start before took: at least so many.
    recovery_lost_samples_min: Gauge = float_gauge("recovery_lost_samples_min"),
    /// Acknowledged samples that the end of the start before took: at most so many; +Inf after a power cut.
    recovery_lost_samples_max: Gauge = float_gauge("recovery_lost_samples_max"),
    /// Acknowledged batches that the end of the start before took: at least so many.
    recovery_lost_batches_min: Gauge = float_gauge("recovery_lost_batches_min"),
    /// Acknowledged batches that the end of the start before took: at most so many; +Inf after a power cut.
    recovery_lost_batches_max: Gauge = float_gauge("recovery_lost_batches_max"),
    /// Unix time of the ledger record that these numbers are from; after a power cut nothing is known of later answers.
    recovery_ledger_timestamp: Gauge = float_gauge("recovery_ledger_timestamp_seconds"),
    /// Files in quarantine.
    quarantined_files: IntGauge = gauge("quarantined_files"),

    // --- ingest ---
    /// Samples taken.
    samples_accepted: IntCounter = counter("samples_accepted_total"),
    /// Samples of well-formed lines that were not taken, by reason.
    samples_rejected: By<Rejection, IntCounter> = counter_by("samples_rejected_total"),
    /// Lines that are no line protocol.
    lines_rejected: IntCounter = counter("lines_rejected_total"),
    /// String fields, which are dropped.
    strings_dropped: IntCounter = counter("strings_dropped_total"),
    /// Integers beyond 2^53, which a float holds only nearly.
    integers_inexact: IntCounter = counter("integers_inexact_total"),
    /// Bytes of line protocol, after unpacking.
    ingested_bytes: IntCounter = counter("ingested_bytes_total"),
    /// Writes answered with 503 because a limit on work in progress was reached.
    overload: IntCounter = counter("overload_total"),

    // --- storage ---
    /// Bytes of rows in memory.
    memtable_bytes: IntGauge = gauge("memtable_bytes"),
    /// Samples in memory.
    memtable_samples: IntGauge = gauge("memtable_samples"),
    /// Generations in memory, the open one included.
    generations: IntGauge = gauge("generations"),
    /// Generations written to parts.
    flushes: IntCounter = counter("flushes_total"),
    /// Time it took to write a generation to parts.
    flush_duration: Histogram = histogram("flush_duration_seconds", WORK_SECONDS),
    /// Samples written to parts by flushes.
    flushed_samples: IntCounter = counter("flushed_samples_total"),
    /// Parts in use.
    parts: IntGauge = gauge("parts"),
    /// Bytes of the parts in use.
    part_bytes: IntGauge = gauge("part_bytes"),
    /// Samples in the parts in use.
    part_samples: IntGauge = gauge("part_samples"),
    /// Blocks of the parts in use that were found damaged since the start, and are left out of answers.
    damaged_blocks: IntGauge = gauge("damaged_blocks"),
    /// Rows in damaged blocks that were dropped when their part was merged with others.
    damaged_rows_dropped: IntCounter = counter("damaged_rows_dropped_total"),
    /// Partitions (days) that retention dropped.
    retention_dropped_partitions: IntCounter = counter("retention_dropped_partitions_total"),
    /// Samples in the parts that retention dropped.
    retention_dropped_samples: IntCounter = counter("retention_dropped_samples_total"),
    /// Compactions.
    compactions: IntCounter = counter("compactions_total"),
    /// Time a compaction took.
    compaction_duration: Histogram = histogram("compaction_duration_seconds", WORK_SECONDS),
    /// Streams (a table and one set of tags) that are known.
    streams: IntGauge = gauge("streams"),
    /// Tables (measurements) that are known.
    tables: IntGauge = gauge("tables"),
    /// Layouts (a table and one set of fields) that are known.
    layouts: IntGauge = gauge("layouts"),

    // --- queries ---
    /// Queries, by how they ended.
    queries: By<QueryResult, IntCounter> = counter_by("queries_total"),
    /// Queries turned away, by what there was too much of.
    queries_rejected: By<QueryRejection, IntCounter> = counter_by("queries_rejected_total"),
    /// Queries that wait for their turn.
    queries_waiting: IntGauge = gauge("queries_waiting"),
    /// Queries that run.
    queries_running: IntGauge = gauge("queries_running"),
    /// Time queries waited for their turn.
    query_wait: Histogram = histogram("query_wait_seconds", REQUEST_SECONDS),
    /// Bytes that queries and their answers on their way hold.
    query_memory: IntGauge = gauge("query_memory_bytes"),
    /// Time from a query's start to its last value.
    query_duration: Histogram = histogram("query_duration_seconds", REQUEST_SECONDS),
    /// Samples that queries read.
    query_samples: IntCounter = counter("query_samples_total"),

    // --- the server ---
    /// HTTP requests answered.
    http_requests: IntCounterVec = counter_per("http_requests_total", &["handler", "code"]),
    /// Time from a request's head to its answer's head.
    http_request_duration: HistogramVec = histogram_per("http_request_duration_seconds", REQUEST_SECONDS, &["handler"]),
    /// Connections that are open.
    http_connections: IntGauge = gauge("http_connections"),
    /// Requests whose handler panicked.
    http_panics: IntCounter = counter("http_panics_total"),
    /// Connections that were ended because their client took nothing of an answer for too long.
    http_send_timeouts: IntCounter = counter("http_send_timeouts_total"),
    /// Always 1; the label is the version.
    build_info: IntGaugeVec = gauge_per("build_info", &["version"]),
}

impl Metrics {
    /// All metrics in Prometheus's text format.
    pub fn render(&self) -> String {
        let mut text = Vec::new();
        let encoded = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        encoded.expect("every family has a name and at least one metric, and a Vec takes all");
        String::from_utf8(text).expect("names, help texts and label values are UTF-8")
    }

    /// All metrics as they are now, for those who write them in another form.
    pub fn families(&self) -> Vec<prometheus::proto::MetricFamily> {
        self.registry.gather()
    }
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(format!("{PREFIX}{name}"), help.trim())
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, collector: prometheus::Result<C>) -> C {
    let collector = collector.expect("the table's names and labels are valid");
    registry.register(Box::new(collector.clone())).expect("no two rows of the table have one name");
    collector
}

fn counter(registry: &Registry, opts: Opts) -> IntCounter {
    register(registry, IntCounter::with_opts(opts))
}

fn counter_by<L: Label>(registry: &Registry, opts: Opts) -> By<L, IntCounter> {
    let family: IntCounterVec = register(registry, GenericCounterVec::new(opts, &[L::NAME]));
    By::new(|value| family.with_label_values(&[value]))
}

fn counter_per(registry: &Registry, opts: Opts, labels: &[&str]) -> IntCounterVec {
    register(registry, IntCounterVec::new(opts, labels))
}

fn gauge(registry: &Registry, opts: Opts) -> IntGauge {
    register(registry, IntGauge::with_opts(opts))
}

fn gauge_by<L: Label>(registry: &Registry, opts: Opts) -> By<L, IntGauge> {
    any_gauge_by(registry, opts)
}

fn gauge_per(registry: &Registry, opts: Opts, labels: &[&str]) -> IntGaugeVec {
    register(registry, IntGaugeVec::new(opts, labels))
}

fn float_gauge(registry: &Registry, opts: Opts) -> Gauge {
    register(registry, Gauge::with_opts(opts))
}

fn float_gauge_by<L: Label>(registry: &Registry, opts: Opts) -> By<L, Gauge> {
    any_gauge_by(registry, opts)
}

fn any_gauge_by<L: Label, P: Atomic + 'static>(
    registry: &Registry,
    opts: Opts,
) -> By<L, prometheus::core::GenericGauge<P>> {
    let family: GenericGaugeVec<P> = register(registry, GenericGaugeVec::new(opts, &[L::NAME]));
    By::new(|value| family.with_label_values(&[value]))
}

fn histogram(registry: &Registry, opts: Opts, buckets: &[f64]) -> Histogram {
    register(registry, Histogram::with_opts(HistogramOpts::from(opts).buckets(buckets.to_vec())))
}

fn histogram_by<L: Label>(registry: &Registry, opts: Opts, buckets: &[f64]) -> By<L, Histogram> {
    let family = histogram_per(registry, opts, buckets, &[L::NAME]);
    By::new(|value| family.with_label_values(&[value]))
}

fn histogram_per(registry: &Registry, opts: Opts, buckets: &[f64], labels: &[&str]) -> HistogramVec {
    register(registry, HistogramVec::new(HistogramOpts::from(opts).buckets(buckets.to_vec()), labels))
}
