//! The doors: HTTP on one port, for those who write (InfluxDB's protocols), those who ask (Prometheus's API), and those
//! who watch (`/metrics`, health).
//!
//! `routes` is the table of all paths; a request finds its row there, and everything that is the same for all happens
//! around its handler in `server`: OPTIONS, 404 and 405, panics, cross-origin and version headers, metrics. An
//! error is one `error::Error`, written in the shape the row's clients read.
//!
//! Always: a write body is parsed piece by piece as it comes and never held whole; what a body may cost is limited on the
//! wire and after unpacking; too much work in progress is 503 with `Retry-After`, never a 4xx, for agents drop a
//! batch on those; bad data is 4xx, never a 5xx, for they send it again on those.
//! Not here: what a line or a query means (`protocol`, `promql`), and when a write is safe (`durability`).

mod absent;
mod body;
mod durability;
mod error;
mod explain;
mod features;
mod influx;
mod json;
mod options;
mod pack;
mod params;
mod prometheus;
mod queries;
mod reply;
mod results;
mod routes;
mod self_metrics;
mod series;
mod server;
mod shared;
mod socket;
mod status;
mod syntax;
mod texts;
mod traffic;
mod tsdb;
mod write;

#[cfg(test)]
mod tests;

pub use options::Options;
pub use params::parse_duration;
pub use results::encoded;
pub use server::Bound;
pub use shared::Shared;
