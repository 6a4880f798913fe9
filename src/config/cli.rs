//! The flags.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};

use crate::{
    config::{Listen, ack_level, duration, listen, memory_size, memtable_size, retention, size, wal_size},
    durability::{AckLevel, Mirror, Mode},
    engine, http, ingest,
    promql::Features,
    stage::Compression,
};

/// A time-series database that tells you what a crash would take.
#[derive(Clone, Debug, Parser)]
#[command(name = "plimsoll", version, args_conflicts_with_subcommands = true, args_override_self = true)]
pub struct Cli {
    /// What to do; `serve` where nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The flags of `serve`.
    #[command(flatten)]
    pub serve: ServeFlags,
}

/// The commands.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Take writes and answer queries (what `plimsoll` alone does, too)
    #[command(args_override_self = true)]
    Serve(Box<ServeFlags>),
    /// Ask a running server and print a table
    Query(QueryFlags),
    /// Print one of the database's files in readable form
    Inspect(InspectFlags),
    /// Start a server on a temporary directory, load six hours of host metrics, and show what it can do
    Demo(DemoFlags),
    /// Kill a server under load again and again, and check that every mode keeps its promise on this machine
    Crashtest(CrashtestFlags),
}

/// Flags of `plimsoll serve`; the keys of the configuration file.
#[derive(Args, Clone, Debug)]
pub struct ServeFlags {
    /// A TOML file with any of these flags as keys; a flag given here wins
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The directory all data is in; made where it is missing
    #[arg(long, value_name = "DIR", default_value = "plimsoll-data")]
    pub data: PathBuf,
    /// Address and port for writes, queries and metrics
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8086", value_parser = listen)]
    pub listen: Listen,
    /// When writes are made safe, and when they are answered; the help is made from the table of modes
    #[arg(long, value_name = "MODE", default_value = "wal-sync", value_parser = str::parse::<Mode>, help = modes())]
    pub durability: Mode,
    /// The least a write waits for, whatever it or the mode says: `memory`, `os` (a process crash takes nothing) or
    /// `disk` (a power cut takes nothing)
    #[arg(long, value_name = "LEVEL", default_value = "memory", value_parser = ack_level)]
    pub min_ack: AckLevel,
    /// Bytes of write-ahead log after which what is in memory is written to parts, so that the log can go; at twice that,
    /// writes are answered 503 for a while; 32MiB at least
    #[arg(long, value_name = "SIZE", default_value = "2GiB", value_parser = wal_size)]
    pub wal_size_max: u64,
    /// Free space on the disk below which writes are refused, so that what was acknowledged can still be written to parts;
    /// a fiftieth of the disk where that is less
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = size)]
    pub free_space_min: u64,
    /// How long samples are kept, `30d` for example: days (UTC) that are older as a whole are dropped, on a full disk too, and
    /// samples older than this are refused; all are kept where nothing is said
    #[arg(long, value_name = "DURATION", value_parser = retention)]
    pub retention: Option<Duration>,
    /// What a start does where something that had been safe is damaged: `salvage` keeps what is whole, `salvage-readable` gives
    /// up what the disk does not read of the log, too, `strict` refuses to start, `point-in-time` ends before the first
    /// missing batch, `dry-run` only says what is there
    #[arg(long, value_name = "POLICY", default_value = "salvage", value_parser = str::parse::<engine::RecoveryPolicy>)]
    pub recovery: engine::RecoveryPolicy,
    /// The directory of the write-ahead log, on a faster disk perhaps; `wal` in the data directory where nothing is said
    #[arg(long, value_name = "DIR")]
    pub wal_dir: Option<PathBuf>,
    /// A second directory, on another disk, that gets a copy of the write-ahead log
    #[arg(long, value_name = "DIR")]
    pub wal_mirror_dir: Option<PathBuf>,
    /// How many copies of a mirrored log a write must be in before it is answered: `2-of-2`, or `1-of-2` (the log goes
    /// on where one disk fails or is slow)
    #[arg(long, value_name = "POLICY", default_value = "2-of-2", value_parser = str::parse::<Mirror>)]
    pub wal_mirror: Mirror,
    /// Compress writes in the write-ahead log: `none`, or `zstd` (smaller, but costs more time than a fast disk saves)
    #[arg(long, value_name = "NAME", default_value = "none", value_parser = str::parse::<Compression>)]
    pub wal_compression: Compression,
    /// Do not turn the parameters `db` and `bucket` of writes into the label `db`
    #[arg(long)]
    pub no_db_label: bool,
    /// Largest write body on the wire
    #[arg(long, value_name = "SIZE", default_value = "25MiB", value_parser = size)]
    pub body_size_max: u64,
    /// Largest write body after unpacking
    #[arg(long, value_name = "SIZE", default_value = "128MiB", value_parser = size)]
    pub unpacked_size_max: u64,
    /// Longest line of line protocol
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = size)]
    pub line_size_max: u64,
    /// Connections at once
    #[arg(long, value_name = "COUNT", default_value = "2000", value_parser = clap::value_parser!(u32).range(1..))]
    pub connections_max: u32,
    /// Writes in progress at once; one more is answered 503
    #[arg(long, value_name = "COUNT", default_value = "1000", value_parser = clap::value_parser!(u32).range(1..))]
    pub writes_max: u32,
    /// Bytes, unpacked, of all writes in progress; where more come, writes are answered 503
    #[arg(long, value_name = "SIZE", default_value = "512MiB", value_parser = size)]
    pub writes_size_max: u64,
    /// Queries running at once; others wait for their turn
    #[arg(long, value_name = "COUNT", default_value = "8", value_parser = clap::value_parser!(u32).range(1..))]
    pub queries_max: u32,
    /// Queries waiting for their turn at once; one more is answered 503
    #[arg(long, value_name = "COUNT", default_value = "1000")]
    pub queue_max: u32,
    /// Time a query waits for its turn at most; then it is answered 503
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub queue_wait: Duration,
    /// Memory that all queries and their answers may take; a query that takes more is answered 503
    #[arg(long, value_name = "SIZE", default_value = "2GiB", value_parser = size)]
    pub queries_memory_max: u64,
    /// Longest time in which a client may take nothing of its answer; then its connection is ended, and the memory of its
    /// query is free
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = duration)]
    pub send_timeout: Duration,
    /// Longest time a query may take; a request can ask for less with its parameter `timeout`
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = duration)]
    pub query_timeout: Duration,
    /// Time a query waits, after a start, for the batches that a crash left in the log to be back in memory; then it sees
    /// what is there
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration)]
    pub replay_wait: Duration,
    /// Memory one query and its answer may take
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = size)]
    pub query_memory_max: u64,
    /// Series one query may read
    #[arg(long, value_name = "COUNT", default_value = "10000000", value_parser = clap::value_parser!(u64).range(1..))]
    pub query_series_max: u64,
    /// Samples one query may hold
    #[arg(long, value_name = "COUNT", default_value = "50000000", value_parser = clap::value_parser!(u64).range(1..))]
    pub query_samples_max: u64,
    /// Steps a range query may have
    #[arg(long, value_name = "COUNT", default_value = "11000", value_parser = clap::value_parser!(u64).range(1..))]
    pub query_points_max: u64,
    /// How far back a query looks for a series' last sample
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub lookback: Duration,
    /// Experimental parts of PromQL to enable, by Prometheus's names for them, with commas between; may be given several
    /// times
    #[arg(long, value_name = "FEATURES", value_parser = str::parse::<Features>)]
    pub enable_feature: Vec<Features>,
    /// Rows in memory before they are written to parts; 4MiB at least
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = memtable_size)]
    pub memtable_size: u64,
    /// Rows in memory in all, those being written to parts included; beyond it writes are answered 503 for a while
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = memory_size)]
    pub memory_size_max: u64,
    /// Streams (a table and one set of tags) in all
    #[arg(long, value_name = "COUNT", default_value = "50000000", value_parser = clap::value_parser!(u32).range(1..))]
    pub streams_max: u32,
    /// Age of the oldest row in memory before all are written to parts
    #[arg(long, value_name = "DURATION", default_value = "30m", value_parser = duration)]
    pub flush_age: Duration,
    /// Time running requests get to finish when the server stops
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub shutdown_timeout: Duration,
    /// What is logged to stderr: error, warn, info, debug, trace, or a filter such as `info,plimsoll::http=debug`
    #[arg(long, value_name = "FILTER", default_value = "info")]
    pub log: String,
}

/// Flags of `plimsoll query`.
#[derive(Args, Clone, Debug)]
pub struct QueryFlags {
    /// A PromQL expression
    pub expr: String,
    /// First step: RFC 3339, Unix seconds, or a duration before now such as `-1h`; with it the query is a range query
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub start: Option<String>,
    /// Last step, or the time of an instant query; now where nothing is said
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub end: Option<String>,
    /// Distance of the steps; a hundredth of the range where nothing is said
    #[arg(long, value_name = "DURATION", value_parser = duration, requires = "start")]
    pub step: Option<Duration>,
    /// The server
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8086")]
    pub url: String,
}

/// Flags of `plimsoll inspect`.
#[derive(Args, Clone, Debug)]
pub struct InspectFlags {
    /// A part, index part, log segment, container, manifest or ledger
    pub file: PathBuf,
}

/// Flags of `plimsoll demo`.
#[derive(Args, Clone, Debug)]
pub struct DemoFlags {
    /// End when all is shown, instead of staying up
    #[arg(long)]
    pub exit: bool,
    /// Address and port; a free port where the usual one is taken
    #[arg(long, value_name = "ADDR", value_parser = listen)]
    pub listen: Option<Listen>,
    /// When writes are made safe
    #[arg(long, value_name = "MODE", default_value = "parts=1s", value_parser = str::parse::<Mode>)]
    pub durability: Mode,
}

/// Flags of `plimsoll crashtest`.
#[derive(Args, Clone, Debug)]
pub struct CrashtestFlags {
    /// A mode to test; may be given several times; all modes where nothing is said
    #[arg(long, value_name = "MODE", value_parser = str::parse::<Mode>)]
    pub mode: Vec<Mode>,
    /// About how long all modes take together
    #[arg(long, value_name = "DURATION", default_value = "45s", value_parser = duration)]
    pub duration: Duration,
    /// Crashes of each mode, all in one directory
    #[arg(long, value_name = "COUNT", default_value = "3", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,
    /// Connections that write at once
    #[arg(long, value_name = "COUNT", default_value = "8", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub connections: u32,
    /// Chooses what is written and when the server is killed; random where nothing is said
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
    /// An empty directory to do it in, kept afterwards; a temporary one, kept if a promise is broken, where nothing is
    /// said
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

impl Default for ServeFlags {
    /// What is in force where no flag is given.
    fn default() -> Self {
        Cli::parse_from(["plimsoll"]).serve
    }
}

impl ServeFlags {
    /// What concerns the data directory.
    pub fn engine(&self) -> engine::Options {
        engine::Options {
            mode: self.durability,
            generation_size: bytes(self.memtable_size),
            generation_age: self.flush_age,
            memory_size_max: bytes(self.memory_size_max),
            streams_max: self.streams_max,
            ack_min: self.min_ack,
            log_size_max: self.wal_size_max,
            free_space_min: self.free_space_min,
            retention: self.retention,
            recovery: self.recovery,
            wal_dir: self.wal_dir.clone(),
            wal_mirror_dir: self.wal_mirror_dir.clone(),
            wal_mirror: self.wal_mirror,
            wal_compression: self.wal_compression,
            ..engine::Options::new(&self.data)
        }
    }

    /// What concerns bodies of lines.
    pub fn ingest(&self) -> ingest::Options {
        ingest::Options {
            line_size_max: bytes(self.line_size_max),
            body_size_max: bytes(self.unpacked_size_max),
            db_label: !self.no_db_label,
        }
    }

    /// What concerns the doors; `flags` are all settings as text.
    pub fn http(&self, flags: Vec<(String, String)>) -> http::Options {
        http::Options {
            body_size_max: self.body_size_max,
            unpacked_size_max: self.unpacked_size_max,
            connections_max: self.connections_max as usize,
            writes_max: self.writes_max as usize,
            writes_size_max: self.writes_size_max,
            queries_max: self.queries_max as usize,
            queue_max: self.queue_max as usize,
            queue_wait: self.queue_wait,
            queries_memory_max: self.queries_memory_max,
            query_timeout: self.query_timeout,
            replay_wait: self.replay_wait,
            query_samples_max: self.query_samples_max,
            query_series_max: self.query_series_max,
            query_memory_max: self.query_memory_max,
            query_points_max: self.query_points_max,
            lookback: self.lookback,
            features: self.enable_feature.iter().copied().fold(Features::default(), Features::union),
            send_timeout: self.send_timeout,
            shutdown_timeout: self.shutdown_timeout,
            db_label: !self.no_db_label,
            flags,
            ..http::Options::default()
        }
    }
}

/// The help of `--durability`: a line for each mode.
fn modes() -> String {
    let width = Mode::ALL.iter().map(|mode| mode.to_string().len()).max().unwrap_or_default();
    let rows = Mode::ALL.iter().map(|mode| format!("\n  {:<width$}  {}", mode.to_string(), mode.help()));
    "When writes are made safe, and when they are answered:".to_owned() + &rows.collect::<String>()
}

/// A size in memory: what does not fit the machine's word is as good as no limit.
fn bytes(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}
