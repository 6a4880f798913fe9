//! Wakes a background thread, or tells it to end.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// One thread waits, anybody rings.
#[derive(Default)]
pub struct Bell {
    state: Mutex<State>,
    changed: Condvar,
    /// Why the last step failed, if it did.
    problem: Mutex<Option<String>>,
}

#[derive(Default)]
struct State {
    /// Since the last look.
    is_rung: bool,
    is_over: bool,
}

impl Bell {
    /// Wakes the thread.
    pub fn ring(&self) {
        self.state.lock().is_rung = true;
        self.changed.notify_all();
    }

    /// Tells the thread to end.
    pub fn end(&self) {
        self.state.lock().is_over = true;
        self.changed.notify_all();
    }

    /// Waits for a ring, or for `nap` to pass. Whether to go on.
    pub fn wait(&self, nap: Duration) -> bool {
        let mut state = self.state.lock();
        if !state.is_rung && !state.is_over {
            self.changed.wait_for(&mut state, nap);
        }
        state.is_rung = false;
        !state.is_over
    }

    /// Remembers how a step ended; a problem that lasts is logged once.
    pub fn note(&self, problem: Option<String>) {
        let before = std::mem::replace(&mut *self.problem.lock(), problem.clone());
        match problem {
            Some(problem) if before.as_ref() != Some(&problem) => tracing::error!("{problem}"),
            None if before.is_some() => tracing::info!("what failed before works again"),
            _ => {}
        }
    }

    /// Why the last step failed, if it did.
    pub fn problem(&self) -> Option<String> {
        self.problem.lock().clone()
    }
}
