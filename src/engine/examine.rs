//! What a start makes of what it finds: it looks at everything, decides what counts, and changes nothing.

use std::{cmp::Reverse, collections::BTreeSet, io, path::Path};

use super::{
    Error, FileEntry, Loss, Open, RecoveryPolicy, Verdict, io_error,
    loss::{Evidence, Stayed},
    pages::nameless,
    plan::Plan,
    recover::StageContents,
    reindex::Reindexed,
};
use crate::{
    disk::{self, Disk},
    durability::{Failure, Ledger, LedgerRecord, error_chain},
    model::SeqNo,
};

/// What a start finds in the stage, and decides.
pub(crate) struct Found {
    pub(crate) stage: StageContents,
    pub(crate) verdict: Verdict,
    pub(crate) plan: Plan,
    /// Numbers that had been safe and are missing, whatever the policy makes of it.
    pub(crate) damaged: Vec<(SeqNo, SeqNo)>,
    /// Numbers that are gone with the parts they were in, or with what named their series.
    pub(super) lost: Vec<(SeqNo, SeqNo)>,
    /// Of those, the ones whose rows are there and have series that nothing names.
    pub(super) nameless: Vec<(SeqNo, SeqNo)>,
    /// Numbers of which something is in files that cannot be read now.
    pub(super) unread: Vec<(SeqNo, SeqNo)>,
    /// What is told again of days whose index parts do not tell it any more.
    pub(super) reindexed: Reindexed,
    /// Every batch up to here is in parts.
    pub(super) flushed: SeqNo,
    /// Parts behind the end: they are not served.
    pub(super) dropped: Vec<FileEntry>,
    /// This boot of the machine, and the mounts.
    pub(super) here: (u128, u64),
    /// The numbers behind this one may be in the page cache only, and a sync of them may have failed: either it is known to
    /// have, or the process ended before it could say so.
    unsynced_behind: SeqNo,
}

impl Found {
    /// What is served from now on must not be lost to a power cut: it may be in the page cache only.
    fn make_durable(&self) -> Result<(), Error> {
        self.stage.write_again(self.unsynced_behind)?;
        self.stage.sync()
    }
}

impl Open {
    /// Reads the stage, decides what counts, and, but in a dry run, makes it durable; without a directory of the log that
    /// does not work, where the other copy is enough.
    pub(crate) fn find(&mut self) -> Result<Found, Error> {
        let mut reads_around = false;
        let is_dry = self.options.recovery == RecoveryPolicy::DryRun;
        // A dry run says what would be given up: who has to decide that wants to know it before.
        let gives_up = is_dry || self.options.recovery == RecoveryPolicy::SalvageReadable;
        loop {
            let found = self.examine(reads_around);
            let is_examined = found.is_ok();
            let found = found.and_then(|found| {
                // What is missing here, the copy that is away may have.
                self.logs.check_whole(found.verdict.damaged.is_empty())?;
                Ok(found)
            });
            match found.and_then(|found| if is_dry { Ok(found) } else { self.make_durable(found) }) {
                Err(error) => {
                    let unread = error.path().filter(|_| !is_examined && error.is_unreadable()).map(Path::to_owned);
                    match (self.logs.leave_out(error), unread) {
                        (Ok(()), _) => self.logs.check_current(self.options.recovery)?,
                        (Err(error @ Error::Copy { .. }), Some(_)) if !gives_up => return Err(error),
                        (Err(error), Some(path)) if !gives_up => {
                            return Err(Error::UnreadableStage { path, source: Box::new(error) });
                        }
                        (Err(_), Some(_)) if !reads_around => reads_around = true,
                        (Err(error), _) => return Err(error),
                    }
                }
                found => return found,
            }
        }
    }

    /// A sync that fails is not forgotten with this start: the next one would succeed, and make nothing durable.
    fn make_durable(&self, found: Found) -> Result<Found, Error> {
        let path = self.paths.ledger();
        match found.make_durable() {
            Ok(()) => Ok(found),
            Err(error) => match Ledger::note_trouble(&*self.disk, &path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    tracing::error!("{}", error_chain(&error));
                    // A start without a ledger takes nothing for safe either.
                    let removed = self.disk.remove(&path).and_then(|()| self.disk.sync_dir(&self.paths.root));
                    if let Err(error) = removed {
                        tracing::error!("remove {}: {error}", path.display());
                    }
                    Err(io_error("note a failed sync in", &path)(source))
                }
                _ => Err(error),
            },
        }
    }

    /// Reads the stage and decides what counts. Changes nothing; a strict start ends here where there is damage.
    fn examine(&mut self, reads_around: bool) -> Result<Found, Error> {
        let containers = self.paths.containers();
        let stage = StageContents::read(&*self.disk, &self.logs.read, &containers, &self.index, reads_around)?;
        let ledger = self.read_ledger()?;
        let here = (self.boot(), self.mount());
        // While the machine stays up and the file system mounted, the kernel keeps what was only written, too.
        let failure = |record: &LedgerRecord| match Stayed::between(record, here) {
            Stayed::FileSystem => Failure::Process,
            _ => Failure::Power,
        };
        let promised = ledger.as_ref().map_or(SeqNo(0), |record| record.safe(failure(record)));
        let verdict = stage.verdict(&self.state, promised);
        let plan = Plan::new(&stage.runs, &stage.commits, &verdict, self.state.flushed, &self.lost_parts);
        let reindexed = self.reindex()?;
        let is_unread = |day| self.unread.index_days.contains(&day);
        let in_unread = self.unread.parts.iter().map(|part| part.numbers);
        let in_unread: Vec<_> = in_unread.chain(reindexed.nameless(is_unread)).collect();
        let nameless =
            [reindexed.nameless(|day| !is_unread(day)), nameless(&stage, &plan, &self.state.dropped, &self.index)?]
                .concat();
        let nameless = plan.not_lost_yet(&nameless, &verdict);
        let lost = [plan.lost(&verdict), nameless.clone()].concat();
        let mut unread = plan.not_lost_yet(&in_unread, &verdict);
        unread.retain(|range| !lost.contains(range));
        let mut damaged = [&verdict.damaged[..], &lost, &unread].concat();
        damaged.sort_unstable();
        damaged.dedup();
        // Also after another boot, by its id: a container that begins anew has a new one, and the page cache of before.
        let unsynced_behind = match &ledger {
            Some(record) if !record.is_troubled => record.power_safe,
            _ => SeqNo(0),
        };
        let flushed = self.state.flushed;
        let mut found = Found {
            stage,
            verdict,
            plan,
            damaged,
            lost,
            nameless,
            unread,
            reindexed,
            flushed,
            dropped: Vec::new(),
            here,
            unsynced_behind,
        };
        if self.options.recovery == RecoveryPolicy::PointInTime {
            self.cut_before_damage(&mut found);
        }
        self.recovery.loss = self.assess_loss(&found, ledger.as_ref());
        match found.damage() {
            Some(damage) if self.options.recovery == RecoveryPolicy::Strict => Err(Error::Damaged(damage)),
            _ => Ok(found),
        }
    }

    /// Ends the sequence before the first number that is damaged or lost: what is left is a state that was. Rows in parts
    /// have no numbers, so a part that reaches over the end is given up as a whole, and the end is before it.
    fn cut_before_damage(&self, found: &mut Found) {
        let Some((first, _)) = found.damaged.first() else { return };
        let is_here = |part: &&FileEntry| self.lost_parts.iter().all(|lost| lost.id != part.id);
        let mut parts: Vec<_> = self.state.parts.values().filter(is_here).copied().collect();
        parts.sort_unstable_by_key(|part| Reverse(part.numbers.0));
        let mut end = SeqNo(first.0 - 1);
        for part in &parts {
            if part.numbers.0 <= end && end < part.numbers.1 {
                end = SeqNo(part.numbers.0.0 - 1);
            }
        }
        found.damaged = found.verdict.counted_above(end);
        found.verdict.cut(end);
        (found.lost, found.nameless) = (Vec::new(), Vec::new());
        found.flushed = self.state.flushed.min(end);
        found.dropped = parts.into_iter().filter(|part| part.numbers.1 > end).collect();
        let Found { stage, verdict, flushed, .. } = &found;
        found.plan = Plan::new(&stage.runs, &stage.commits, verdict, *flushed, &self.lost_parts);
    }

    /// The newest record of the ledger. Of one that cannot be read nothing is known.
    fn read_ledger(&self) -> Result<Option<LedgerRecord>, Error> {
        let path = self.paths.ledger();
        match Ledger::read(&*self.disk, &path) {
            Err(error) if disk::is_unreadable(&error) => {
                tracing::error!("{} cannot be read, so what was lost is not known: {error}", path.display());
                Ok(None)
            }
            record => record.map_err(io_error("read", &path)),
        }
    }

    /// This boot of the machine. Where that cannot be known, a number no other start has: then a ledger never counts as of
    /// the same boot, and losses are told as bounds.
    fn boot(&self) -> u128 {
        self.disk.boot_id().unwrap_or_else(|error| {
            tracing::warn!("the machine does not tell its boot id ({error}): a loss is told as after a power cut");
            fastrand::u128(1..)
        })
    }

    /// Which mounts hold the ledger and the stage, as one number: another one where any of them is mounted anew. 0 where one
    /// of them cannot be told; then a loss is never told as exact.
    fn mount(&self) -> u64 {
        let dirs = [self.paths.root.as_path()].into_iter().chain(self.logs.written().map(|(_, dir)| dir));
        let told: Result<BTreeSet<u64>, _> = dirs.map(|dir| mount_of(&*self.disk, dir)).collect();
        // Multiplied by an odd number, so that no two pairs of mounts are likely to give the same.
        told.map_or(0, |ids| ids.into_iter().fold(0, |mixed, id| (mixed ^ id).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    /// What the end of the start before took.
    fn assess_loss(&self, found: &Found, ledger: Option<&LedgerRecord>) -> Option<Loss> {
        let Found { stage, verdict, lost, unread, here, .. } = found;
        let last = verdict.incarnations.last()?;
        let end = last.end.expect("the verdict ends every start");
        // Where nothing of it survived, the count is the one it began with.
        let recorded = (end == self.state.flushed || end < last.first).then_some(self.state.samples);
        let told = stage.samples_at(end).filter(|(number, _)| *number == end).map(|(_, samples)| samples);
        let is_ours = |(from, _): &&(SeqNo, SeqNo)| *from >= last.first;
        let damaged = verdict.damaged.iter().filter(is_ours).chain(lost).chain(unread);
        Some(Loss::assess(Evidence {
            incarnation: last.number,
            first: last.first,
            ledger,
            stayed: ledger.map_or(Stayed::Nothing, |record| Stayed::between(record, *here)),
            end,
            samples: told.or(recorded),
            damaged_batches: damaged.map(|(from, to)| to.0 - from.0 + 1).sum(),
        }))
    }
}

/// Which mount holds a directory, or is going to: one that is not made yet comes to be where its parent is.
fn mount_of(disk: &dyn Disk, dir: &Path) -> io::Result<u64> {
    match disk.mount_id(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && disk::parent(dir) != dir => {
            mount_of(disk, disk::parent(dir))
        }
        told => told,
    }
}
