//! Plimsoll: a time-series database that tells you what a crash would take.
//!
//! The modules are the layers, lowest first; a layer uses those before it and never the later ones
//! (`tests/layers.rs` holds it so):
//!
//! ```text
//! model  metrics                        nouns and numbers; no files, no threads
//! codec  disk  protocol                 bytes to values; the operating system's files; wire formats to batches
//! stage  memtable  index  parts         where samples live (stage: log and container)
//! durability  flush  compaction         how they move between those places
//! engine                                the one owner of state and of background threads
//! ingest  select                        a batch's way in; a query's way in
//! promql                                text to plan to values
//! http                                  the doors
//! config                                flags, turned into each layer's Options
//! commands                              what the binary does
//! ```

pub mod codec;
pub mod commands;
pub mod compaction;
pub mod config;
pub mod disk;
pub mod durability;
pub mod engine;
pub mod flush;
pub mod http;
pub mod index;
pub mod ingest;
pub mod memtable;
pub mod metrics;
pub mod model;
pub mod parts;
pub mod promql;
pub mod protocol;
pub mod select;
pub mod stage;

#[cfg(test)]
mod tests;
