//! Two threads that sync the two copies of the log at the same time.
//!
//! From a batch of one line to its answer it took 131 µs with one copy, 192 with two that both count, 178 where one of
//! them does (lowest decile of 1,800 rounds, both copies on one disk, ext4 over virtio; medians 166, 254, 217).
//!
//! Each has at most one job before it. A copy that is slower than its twin, where one of the two is enough, is synced
//! with what came meanwhile in its next job: with the next group, or, where none comes, when the syncer next looks.

use std::{
    io,
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Duration,
};

use crate::{
    durability::{
        Error,
        copies::{Copies, LogCopy},
        syncer::timed,
    },
    model::SeqNo,
};

/// Segments to sync, oldest first, each with the highest number written to it.
pub(crate) type Segments = Vec<(Arc<Copies>, SeqNo)>;

/// The threads, one for each of the log's directories.
pub(crate) struct Lanes {
    jobs: Vec<(Sender<Segments>, bool)>,
    reports: Receiver<Report>,
}

enum Report {
    /// A sync has ended, after a time.
    Synced { copies: Arc<Copies>, lane: usize, last: SeqNo, result: io::Result<()>, duration: Duration },
    /// A lane has done its job.
    Idle(usize),
}

/// Takes down how a sync ended, and how long it took. Fails where too few copies are left.
pub(crate) type Note<'a> = &'a mut dyn FnMut(&Copies, &LogCopy, SeqNo, io::Result<()>, Duration) -> Result<(), Error>;

impl Lanes {
    pub(crate) fn start(count: usize) -> io::Result<Self> {
        let (report, reports) = channel();
        let mut jobs = Vec::new();
        for lane in 0..count {
            let (give, take) = channel::<Segments>();
            let report = report.clone();
            let run = move || take.iter().for_each(|job| sync_all(lane, &job, &report));
            thread::Builder::new().name(format!("wal-sync-{lane}")).spawn(run)?;
            jobs.push((give, false));
        }
        Ok(Self { jobs, reports })
    }

    /// Syncs until each segment is safe in as many copies as are needed. An error comes with the segment it happened to.
    pub(crate) fn sync(&mut self, segments: &Segments, note: Note<'_>) -> Result<(), (Error, u64)> {
        self.take_reports(note);
        while let Some((copies, last)) = segments.iter().find(|(copies, last)| !copies.is_safe(*last)) {
            copies.check(*last).map_err(|error| (error, copies.id()))?;
            self.give(segments);
            let report = self.reports.recv().expect("a lane ends after the syncer");
            self.take(report, note)?;
        }
        Ok(())
    }

    /// Has idle lanes sync what their copies lack. Waits for nothing.
    pub(crate) fn catch_up(&mut self, segments: &Segments, note: Note<'_>) {
        self.take_reports(note);
        self.give(segments);
    }

    fn take_reports(&mut self, note: Note<'_>) {
        while let Ok(report) = self.reports.try_recv() {
            // A late failure of a copy that nobody waited for; where the segment broke by it, the next sync of it says so.
            let _ = self.take(report, note);
        }
    }

    /// Gives each idle lane what it has not synced yet.
    fn give(&mut self, segments: &Segments) {
        for (lane, (jobs, is_busy)) in self.jobs.iter_mut().enumerate().filter(|(_, (_, is_busy))| !is_busy) {
            let lacks = |(copies, last): &&(Arc<Copies>, SeqNo)| copies.unsynced(*last).any(|copy| copy.lane == lane);
            let job: Segments = segments.iter().filter(lacks).cloned().collect();
            if !job.is_empty() {
                *is_busy = jobs.send(job).is_ok();
            }
        }
    }

    fn take(&mut self, report: Report, note: Note<'_>) -> Result<(), (Error, u64)> {
        match report {
            Report::Idle(lane) => {
                self.jobs[lane].1 = false;
                Ok(())
            }
            Report::Synced { copies, lane, last, result, duration } => {
                let copy = copies.in_lane(lane).expect("it was given to the lane for that");
                note(&copies, copy, last, result, duration).map_err(|error| (error, copies.id()))
            }
        }
    }
}

fn sync_all(lane: usize, job: &Segments, report: &Sender<Report>) {
    for (copies, last) in job {
        if let Some(copy) = copies.in_lane(lane) {
            let (result, duration) = timed(|| copy.sync());
            // The syncer may have ended, and with it everybody who waited.
            let _ = report.send(Report::Synced { copies: Arc::clone(copies), lane, last: *last, result, duration });
        }
    }
    let _ = report.send(Report::Idle(lane));
}
