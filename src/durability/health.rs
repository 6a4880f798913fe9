//! What happens when the disk fails: a broken stage, writes that stop and go on.

use std::sync::Arc;

use crate::{durability::Durability, model::SeqNo};

/// The server acknowledges nothing now, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("writes have stopped: {0}")]
pub struct Stopped(pub Arc<str>);

impl Durability {
    /// Why nothing is acknowledged now, if so.
    pub fn stopped(&self) -> Option<Stopped> {
        self.stopped.load().as_deref().cloned()
    }

    /// Stops acknowledging until the disk works again, and tells everybody who waits.
    pub fn stop(&self, why: &str) -> Stopped {
        let stopped = self.stopped().unwrap_or_else(|| {
            tracing::error!("writes stop: {why}");
            self.metrics.write_stops.inc();
            self.metrics.writes_stopped.set(1);
            Stopped(why.into())
        });
        self.stopped.store(Some(Arc::new(stopped.clone())));
        let (abandoned, switch) = {
            let mut inbox = self.inbox.lock();
            // What is in memory is made safe the other way: by flushing it at once.
            inbox.rotate = true;
            inbox.size = 0;
            (std::mem::take(&mut inbox.submissions), inbox.switch.take())
        };
        let waiting = self.answers.lock().take_all();
        for submission in abandoned {
            // The client may have hung up, which changes nothing.
            let _ = submission.reply.send(Err(stopped.clone()));
        }
        waiting.for_each(|waiter| waiter.refuse(&stopped));
        if let Some(switch) = switch {
            self.work.lock().pending.forced = false;
            let _ = switch.reply.send(Err(stopped.clone().into()));
        }
        self.inbox_changed.notify_all();
        stopped
    }

    /// Writes go on.
    pub(crate) fn resume(&self) {
        if self.stopped.swap(None).is_some() {
            self.metrics.writes_stopped.set(0);
            tracing::info!("writes go on");
        }
    }

    /// The stage failed: what it holds is made safe by flushing the generations it is of. Until then nothing it is given
    /// counts as safe, for a crash could leave a gap before it.
    pub(crate) fn break_stage(&self, why: &str, segment: u64, upto: SeqNo) {
        tracing::error!("{why}; what is in memory is written to parts instead");
        self.work.lock().break_stage(segment, upto);
        self.answers.lock().note_trouble();
        self.metrics.stage_failures.inc();
        self.request_rotation();
        self.flusher.ring();
    }

    /// Whether the safety of some batches depends on a flush.
    pub fn is_broken(&self) -> bool {
        self.work.lock().broken.is_some()
    }

    /// Whether everything that has a number is safe from a power cut.
    pub(crate) fn is_all_safe(&self) -> bool {
        let work = self.work.lock();
        work.pending.upto <= work.pending.safe && work.broken.is_none()
    }

    /// The numbers that were given out and rejected, first and last; `None` where all such are recorded.
    pub fn unrecorded_void(&self) -> Option<(SeqNo, SeqNo)> {
        *self.void.lock()
    }
}
