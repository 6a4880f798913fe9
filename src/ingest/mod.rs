//! A batch's way in: bodies to lines to columns, with streams and limits settled before anything gets a number.
//!
//! ```text
//! frames of a body ─► whole lines ─► values ─► columns per layout ─► (log modes) payload ─► the committer
//!                                     └ key hash ─► stream (id, slot)   └ shape ─► layout
//! ```
//!
//! Always: a bad line never spoils its neighbours; whatever can refuse a line does so here; a body is one batch, so its
//! good lines survive a crash together or not at all.
//! Not here: HTTP, and what happens to the batch once it is submitted (`durability`).

mod body;
mod keys;
mod layouts;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use parking_lot::Mutex;

pub use body::{Body, Outcome, WriteRequest};

use crate::{
    durability::Stopped,
    engine::Engine,
    ingest::{body::Scratch, keys::KeyCache},
};

/// What an operator may set.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bytes of one line.
    pub line_size_max: usize,
    /// Bytes of one body, after unpacking.
    pub body_size_max: usize,
    /// Whether `db` / `bucket` becomes a label.
    pub db_label: bool,
}

/// Why a body was not taken. None of its lines was, then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A cap on work in progress is reached; it passes.
    #[error("overloaded: {0}")]
    Overloaded(&'static str),
    /// More bytes than a body may have.
    #[error("body larger than {0} bytes after unpacking")]
    TooLarge(usize),
    /// Nothing is taken any more.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Idle bodies' buffers kept for the next ones; each holds about the memory of the last body it read.
const SPARES_MAX: usize = 64;

/// The way in. One per server.
pub struct Ingest {
    engine: Arc<Engine>,
    options: Options,
    keys: KeyCache,
    spares: Mutex<Vec<Scratch>>,
}

impl Ingest {
    /// A way into an engine.
    pub fn new(engine: Arc<Engine>, options: Options) -> Arc<Self> {
        let keys = KeyCache::new(fastrand::u64(..), 2 * engine.options().streams_max as usize);
        Arc::new(Self { engine, options, keys, spares: Mutex::default() })
    }

    /// Begins a body.
    pub fn body(self: &Arc<Self>, request: WriteRequest) -> Body {
        let spare = self.spares.lock().pop();
        let scratch = spare.unwrap_or_else(|| Scratch::new(self.options.line_size_max));
        Body::new(Arc::clone(self), scratch, request)
    }

    fn give_back(&self, scratch: Scratch) {
        let mut spares = self.spares.lock();
        if spares.len() < SPARES_MAX {
            spares.push(scratch);
        }
    }
}
