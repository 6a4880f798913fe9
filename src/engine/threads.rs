//! The background threads: loops around the steps.

use std::{
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use parking_lot::Mutex;

use super::{Clock, Engine, Error};
use crate::{
    durability::{Bell, Committer},
    model::SeqNo,
};

/// How long the flusher and the compactor sleep where nothing wakes them. Bounds how late an aged generation is seen.
const NAP: Duration = Duration::from_millis(500);
/// After a failure, long enough not to fill the log, short enough to heal soon after the cause is gone.
const NAP_AFTER_FAILURE: Duration = Duration::from_secs(5);

/// Handles and wake-ups of the threads.
#[derive(Default)]
pub(crate) struct Threads {
    committer: Mutex<Option<JoinHandle<Committer>>>,
    others: Mutex<Vec<JoinHandle<()>>>,
    compactor: Bell,
    /// The open generation, by its first number, and when the flusher first saw it.
    open_since: Mutex<(SeqNo, Duration)>,
}

impl Threads {
    pub(crate) fn compactor(&self) -> &Bell {
        &self.compactor
    }

    /// How long ago the generation that begins at `first` was first asked about.
    pub(crate) fn age_of(&self, first: SeqNo, now: Duration) -> Duration {
        let mut open_since = self.open_since.lock();
        if open_since.0 != first {
            *open_since = (first, now);
        }
        now.saturating_sub(open_since.1)
    }
}

impl Engine {
    /// Starts the threads.
    pub fn start(self: &Arc<Self>) -> Result<(), Error> {
        let clock = self.clock;
        let Some(mut committer) = self.committer.lock().take() else { return Ok(()) };
        let run = move || {
            committer.run(|| clock.now());
            committer
        };
        *self.threads.committer.lock() = Some(spawn("committer", run)?);
        let syncer = self.syncer.lock().take();
        let mut others = vec![];
        if let Some(syncer) = syncer {
            others.push(spawn("syncer", move || syncer.run(|| clock.now()))?);
        }
        let engine = Arc::clone(self);
        others.push(spawn("flusher", move || {
            engine.repeat(engine.durability.flusher(), clock, |engine, now| engine.flush_step(now));
        })?);
        let engine = Arc::clone(self);
        others.push(spawn("compactor", move || {
            engine.repeat(&engine.threads.compactor, clock, |engine, _| engine.compact_step());
        })?);
        self.threads.others.lock().extend(others);
        Ok(())
    }

    /// Commits what waits, in place of the committer thread. Whether there was anything.
    pub fn commit_step(&self, now: Duration) -> bool {
        self.committer.lock().as_mut().is_some_and(|committer| committer.step(now))
    }

    /// The next number the committer gives out; while no thread runs.
    #[cfg(test)]
    pub(crate) fn next_number(&self) -> SeqNo {
        self.committer.lock().as_ref().expect("no thread has taken it").next()
    }

    /// Syncs if that is due, in place of the syncer thread. Whether it was.
    pub fn sync_step(&self, now: Duration) -> bool {
        self.syncer.lock().as_mut().is_some_and(|syncer| syncer.step(&|| now))
    }

    fn repeat(&self, bell: &Bell, clock: Clock, step: impl Fn(&Self, Duration) -> Result<bool, Error>) {
        let mut nap = NAP;
        while bell.wait(nap) {
            let done = step(self, clock.now());
            nap = match &done {
                Ok(true) => Duration::ZERO,
                Ok(false) => NAP,
                Err(_) => NAP_AFTER_FAILURE,
            };
            bell.note(done.err().map(|error| crate::durability::error_chain(&error)));
        }
    }

    /// Ends cleanly: refuses new batches, answers those that wait, and writes everything to parts, so that the next start
    /// has nothing to replay.
    pub fn close(&self) -> Result<(), Error> {
        self.durability.close();
        let handle = self.threads.committer.lock().take();
        if let Some(handle) = handle {
            *self.committer.lock() = Some(handle.join().expect("a panic of the committer aborts the process"));
        }
        if let Some(committer) = self.committer.lock().as_mut() {
            committer.step(self.clock.now());
            committer.rotate();
        }
        self.durability.close_syncer();
        self.durability.flusher().end();
        self.threads.compactor.end();
        for thread in std::mem::take(&mut *self.threads.others.lock()) {
            thread.join().expect("a panic of a background thread aborts the process");
        }
        while self.flush_step(self.clock.now())? {}
        let path = self.paths.ledger();
        self.durability.finish_ledger(self.clock.now()).map_err(super::io_error("finish", &path))?;
        self.durability.remove_log(&*self.disk, self.manifest.lock().state().flushed);
        Ok(())
    }
}

fn spawn<T: Send + 'static>(name: &str, run: impl FnOnce() -> T + Send + 'static) -> Result<JoinHandle<T>, Error> {
    let run = move || {
        let _guard = AbortOnPanic;
        run()
    };
    thread::Builder::new().name(name.to_owned()).spawn(run).map_err(Error::Thread)
}

/// Ends the process where a background thread panics: nobody knows what state it left, and what was promised is safe on
/// disk. A server that went on without its committer would only look alive.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            std::process::abort();
        }
    }
}
