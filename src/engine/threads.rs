//! The background threads: loops around the steps.

use std::{
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use parking_lot::Mutex;

use super::{Clock, Edit, Engine, Error, Replaying, open::wall_clock};
use crate::{
    durability::{Bell, Workers},
    model::SeqNo,
};

/// How long the flusher and the compactor sleep where nothing wakes them. Bounds how late an aged generation is seen.
const NAP: Duration = Duration::from_millis(500);
/// How long replay waits for a flush to make room: short beside the flush.
const NAP_FOR_ROOM: Duration = Duration::from_millis(20);
/// After a failure, long enough not to fill the log, short enough to heal soon after the cause is gone.
const NAP_AFTER_FAILURE: Duration = Duration::from_secs(5);

/// Handles and wake-ups of the threads.
#[derive(Default)]
pub(crate) struct Threads {
    workers: Mutex<Vec<JoinHandle<()>>>,
    others: Mutex<Vec<JoinHandle<()>>>,
    replayer: Mutex<Option<JoinHandle<()>>>,
    replay: Bell,
    compactor: Bell,
    /// The open generation, by its first number, and when the flusher first saw it.
    open_since: Mutex<(SeqNo, Duration)>,
}

impl Threads {
    /// Why replay does not go on, if it does not.
    pub(crate) fn replay_problem(&self) -> Option<String> {
        self.replay.problem()
    }

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
        let mut workers = self.threads.workers.lock();
        if !workers.is_empty() {
            return Ok(());
        }
        self.workers.syncer().set_threaded();
        self.raise_horizon(wall_clock());
        for number in 0..Workers::THREADS {
            let engine = Arc::clone(self);
            workers.push(spawn(&format!("committer {number}"), move || engine.workers.run(|| clock.now()))?);
        }
        let mut others = self.threads.others.lock();
        let engine = Arc::clone(self);
        others.push(spawn("flusher", move || {
            engine.repeat(engine.durability.flusher(), clock, |engine, now| engine.maintain_step(now));
        })?);
        let engine = Arc::clone(self);
        others.push(spawn("compactor", move || {
            engine.repeat(&engine.threads.compactor, clock, |engine, _| engine.compact_step());
        })?);
        if self.options.probe {
            let engine = Arc::clone(self);
            others.push(spawn("probe", move || engine.probe_disk())?);
        }
        let engine = Arc::clone(self);
        *self.threads.replayer.lock() = Some(spawn("replay", move || engine.run_replay())?);
        Ok(())
    }

    /// Puts back what the stage holds, until all is there or the server ends.
    fn run_replay(&self) {
        let bell = &self.threads.replay;
        loop {
            let done = self.replay_step();
            let nap = match &done {
                Ok(Replaying::Done) => return bell.note(None),
                Ok(Replaying::More) => continue,
                Ok(Replaying::Waits) => NAP_FOR_ROOM,
                Err(_) => NAP_AFTER_FAILURE,
            };
            let has_failed = done.is_err();
            bell.note(done.err().map(|error| format!("replay: {}", crate::durability::error_chain(&error))));
            self.durability.flusher().ring();
            if !bell.wait(nap) && has_failed {
                return;
            }
        }
    }

    /// The flusher's turn: what is too old goes first, as it may make the room that a flush needs.
    fn maintain_step(&self, now: Duration) -> Result<bool, Error> {
        let dropped = self.retain_step(wall_clock());
        let flushed = self.flush_step(now)?;
        dropped.map(|dropped| dropped || flushed)
    }

    /// Commits what waits, in place of the threads. Whether there was anything.
    pub fn commit_step(&self, now: Duration) -> bool {
        self.workers.committer().step(now)
    }

    /// The next number the committer gives out; while no thread runs.
    #[cfg(test)]
    pub(crate) fn next_number(&self) -> SeqNo {
        self.workers.committer().next()
    }

    /// Syncs if that is due, in place of the threads. Whether it was.
    pub fn sync_step(&self, now: Duration) -> bool {
        self.workers.syncer().step(&|| now)
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
        join(std::mem::take(&mut *self.threads.workers.lock()));
        self.commit_step(self.clock.now());
        self.workers.committer().rotate();
        self.threads.replay.end();
        join(self.threads.replayer.lock().take());
        self.durability.flusher().end();
        self.threads.compactor.end();
        join(std::mem::take(&mut *self.threads.others.lock()));
        self.check_directory()?;
        self.finish_replay()?;
        while self.flush_step(self.clock.now())? {}
        self.remove_leftovers();
        // The frames that say so go with the log; receipts of this start are asked for later, too.
        if let Some(void) = self.durability.unrecorded_void() {
            self.record(&Edit { lost: vec![void], ..Edit::default() })?;
        }
        let path = self.paths.ledger();
        self.durability.finish_ledger(self.clock.now()).map_err(super::io_error("finish", &path))?;
        self.note_ended_log();
        self.durability.remove_log(&*self.disk, self.manifest.lock().state().flushed);
        Ok(())
    }
}

fn join(threads: impl IntoIterator<Item = JoinHandle<()>>) {
    for thread in threads {
        thread.join().expect("a panic of a background thread aborts the process");
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
