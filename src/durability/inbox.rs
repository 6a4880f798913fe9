//! The way in: batches that wait for a number, and what else the committer is asked for.

use std::{sync::atomic::Ordering, time::Duration};

use tokio::sync::oneshot;

use crate::{
    durability::{Ack, AckLevel, Durability, Failure, Mode, Policy, StageKind, Stopped, Ticket, workers::Roles},
    model::Batch,
};

/// A batch was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A cap is reached; it may pass later.
    #[error("{0}")]
    Overloaded(&'static str),
    /// Nothing is taken any more.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Why the mode is still the old one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SwitchError {
    /// Writes have stopped, so what the old mode left cannot be made safe.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The manifest could not record it.
    #[error("the new mode could not be recorded: {0}")]
    Record(String),
    /// Another switch is under way.
    #[error("another switch of the mode is under way")]
    Busy,
}

/// Tells when the mode has changed.
pub type Switched = oneshot::Receiver<Result<(), SwitchError>>;

/// A batch on its way to a number.
pub(crate) struct Submission {
    pub(crate) batch: Batch,
    /// The frame's payload; may be empty where the stage was no log when it was made.
    pub(crate) payload: Vec<u8>,
    pub(crate) level: AckLevel,
    pub(crate) since: Duration,
    pub(crate) reply: oneshot::Sender<Result<Ack, Stopped>>,
}

impl Submission {
    pub(crate) fn size(&self) -> usize {
        self.batch.size() + self.payload.len()
    }
}

/// A mode to change to, and who asked.
pub(crate) struct Switch {
    pub(crate) mode: Mode,
    pub(crate) reply: oneshot::Sender<Result<(), SwitchError>>,
}

#[derive(Default)]
pub(crate) struct Inbox {
    pub(crate) submissions: Vec<Submission>,
    pub(crate) size: usize,
    /// Whether somebody in it waits for less than a sync.
    pub(crate) hurried: bool,
    pub(crate) closed: bool,
    /// The flusher asks for the open generation to be closed.
    pub(crate) rotate: bool,
    /// The flusher asks whether writes can go on.
    pub(crate) heal: bool,
    pub(crate) switch: Option<Switch>,
    pub(crate) roles: Roles,
}

impl Durability {
    /// Whether batches need a log payload.
    pub fn wants_payload(&self) -> bool {
        self.policy.load().stage == StageKind::Log
    }

    /// Takes a batch to be numbered, or refuses it. From here on the batch no longer depends on who sent it.
    pub fn submit(
        &self,
        batch: Batch,
        payload: Vec<u8>,
        level: Option<AckLevel>,
        now: Duration,
    ) -> Result<Ticket, Refused> {
        let policy = self.policy();
        self.check_loss(&policy, now)?;
        let (reply, ticket) = oneshot::channel();
        let level = level.unwrap_or(policy.ack).max(self.limits.ack_min);
        let submission = Submission { batch, payload, level, since: now, reply };
        let size = submission.size();
        let in_memory = self.generations.allocated();
        let mut inbox = self.inbox.lock();
        if let Some(stopped) = self.stopped() {
            return Err(stopped.into());
        }
        if inbox.closed {
            return Err(Stopped("the server is shutting down".into()).into());
        }
        if !inbox.submissions.is_empty() && inbox.size + size > self.limits.inbox_size_max {
            return Err(Refused::Overloaded("too many writes wait to be committed"));
        }
        if in_memory + inbox.size + size > self.limits.memory_size_max {
            return Err(Refused::Overloaded("the memtable is full and waits to be flushed"));
        }
        if self.log_size() > self.limits.log_size_max {
            return Err(Refused::Overloaded("the log is full and waits for the memtable to be flushed"));
        }
        inbox.size += size;
        inbox.hurried |= submission.level < AckLevel::Disk;
        inbox.submissions.push(submission);
        // Who is committing looks again before it rests.
        let wake = !inbox.roles.is_committing && self.may_commit(&inbox, now);
        drop(inbox);
        if wake {
            self.inbox_changed.notify_one();
        }
        Ok(ticket)
    }

    /// Refuses where the oldest batch at risk has used up most of what a power cut may take.
    fn check_loss(&self, policy: &Policy, now: Duration) -> Result<(), Refused> {
        let Some(max) = policy.loss_max else { return Ok(()) };
        // A quarter is left for the batches that are on their way to their answers.
        match self.at_risk(Failure::Power, now).age > max * 3 / 4 {
            true => Err(Refused::Overloaded("the disk is too slow to keep the loss of a power cut within max_loss")),
            false => Ok(()),
        }
    }

    /// Whether the committer has something to do. While a sync runs, a group that only waits for the next one gathers:
    /// it will cost one write and one sync, however many join it. While a sync is overdue, nothing more is put at risk.
    pub(crate) fn may_commit(&self, inbox: &Inbox, now: Duration) -> bool {
        if inbox.rotate || inbox.heal {
            return true;
        }
        if inbox.switch.is_some() {
            return self.is_all_safe() || self.stopped().is_some();
        }
        if inbox.submissions.is_empty() {
            return false;
        }
        let is_syncing = self.syncing.load(Ordering::Acquire);
        let is_overdue = is_syncing && now.as_nanos() as u64 >= self.overdue_at.load(Ordering::Acquire);
        let policy = self.policy.load();
        let gathers = is_syncing
            && policy.stage == StageKind::Log
            && policy.ack == AckLevel::Disk
            && !inbox.hurried
            && inbox.size < self.limits.inbox_size_max / 2;
        !gathers && !is_overdue
    }

    /// Asks the committer to close the open generation, so that it can be flushed.
    pub fn request_rotation(&self) {
        self.inbox.lock().rotate = true;
        self.inbox_changed.notify_one();
    }

    /// Asks the committer whether writes that have stopped can go on.
    pub fn request_healing(&self) {
        self.inbox.lock().heal = true;
        self.inbox_changed.notify_one();
    }

    /// Changes the mode: everything the old one left is made safe, then the new one is recorded and in force. Writes
    /// wait meanwhile. On failure the old mode stays.
    pub fn switch(&self, mode: Mode) -> Switched {
        let (reply, switched) = oneshot::channel();
        let mut inbox = self.inbox.lock();
        let problem = match (self.stopped(), &inbox.switch) {
            (Some(stopped), _) => Some(stopped.into()),
            (None, Some(_)) => Some(SwitchError::Busy),
            (None, None) => None,
        };
        if let Some(problem) = problem {
            // Nobody else holds the other end.
            let _ = reply.send(Err(problem));
            return switched;
        }
        inbox.switch = Some(Switch { mode, reply });
        // Under the lock of the inbox: whoever answers the switch ends this.
        self.work.lock().pending.forced = true;
        drop(inbox);
        self.wake_worker();
        switched
    }

    /// Refuses new batches; the committer still works off what it has.
    pub fn close(&self) {
        self.inbox.lock().closed = true;
        self.inbox_changed.notify_all();
    }

    /// From `time` on the next sync is overdue, unless one begins; `None` where none is to be expected.
    pub(crate) fn set_overdue(&self, time: Option<Duration>) {
        self.overdue_at.store(time.map_or(u64::MAX, |time| time.as_nanos() as u64), Ordering::Release);
    }

    /// Has a worker look again; for changes that are not made under the lock of the inbox.
    pub(crate) fn wake_worker(&self) {
        // With the lock in between, a worker about to wait sees the change, or gets this notice.
        drop(self.inbox.lock());
        self.inbox_changed.notify_one();
    }
}
