//! Rows in memory, from their acceptance until their parts are written.
//!
//! ```text
//! Catalogue    one per process: (table, stream) -> slot, in order; entered once per stream and start
//! Generation   the rows between two sequence numbers; one Writer appends, anybody reads
//! ArenaPool    the memory under all generations, in chunks that go round
//! Merge        a stream's rows as columns: sorted by time, duplicates resolved
//! ```
//!
//! A generation is words in chunks of an arena. A stream's slot leads to its *runs*, one per layout; a run is a chain
//! of pieces, each as long as all before it up to about a page, so a stream of one row stays cheap and a busy one is
//! read in long stretches:
//!
//! ```text
//! slots:  slot -> address of the first run (0: none)
//! run:    layout u32, width u32 | rows published | address of the stream's next run | place, free of the next row
//!         | mark | first piece                                                       (each column is a 64-bit word)
//! piece:  rows of the run before it | row * rows | address, rows of the next piece   (the first lacks the first word)
//! row:    offset u32 of its sequence number from the generation's first, place u32 in its batch | time | value * width
//! ```
//!
//! Always: rows are appended in the order of their sequence numbers, so a view is a sequence number and a reader stops
//! at the first row above it. The first word of a row orders it among all rows of its stream, whatever their layouts:
//! by sequence number, then by place in the batch. What a reader sees of a run is a prefix of it. Who asks for the rows
//! behind a number leaves a *mark* at the piece they begin in, so that asking for ever newer rows does not walk the run
//! from its beginning each time.
//!
//! How that is safe without locks and without `unsafe`: every word is an atomic, stored and loaded relaxed (plain
//! moves on x86 and ARM). The writer fills a row, then stores the run's row count with Release; it fills a run, then
//! stores its address with Release. A reader loads those with Acquire and follows only what they cover. Chunks go
//! back to the pool when the last `Arc<Generation>` is gone, so nobody reads words that are being reused.
//!
//! Not here: who numbers batches, when a generation is closed (`durability`, `flush`), names (`index`).

mod arena;
mod catalogue;
mod generation;
mod merge;
mod read;
mod summary;
mod table;
mod writer;

#[cfg(test)]
mod tests;

pub use arena::{ArenaOptions, ArenaPool};
pub use catalogue::Catalogue;
pub use generation::Generation;
pub use merge::{Group, Merge};
pub use read::Row;
pub use summary::Summary;
pub use table::Memtable;
pub use writer::Writer;
