//! The crash test with real threads: clients, committer, syncer, flusher and compactor race, and the machine goes down at
//! a random disk operation under them.
//!
//! What is checked needs no order of steps: a batch whose answer came at a level that survives is there; what is there was
//! sent, whole and exact; of the batches whose numbers are known, those up to the end of the sequence are there and the
//! others are not.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use crate::{
    disk::{CrashKind, SimDisk},
    durability::{Ack, AckLevel, Failure, Mode, survives},
    engine::{Engine, Options},
    metrics::Metrics,
    model::{Labels, TimeRange},
    select::{Series, Source, View},
    tests::stored,
};

const CLIENTS: u64 = 3;
/// Samples of a batch, all of one series.
const SAMPLES: i64 = 5;

/// A batch and what became of it. Its times are `id * SAMPLES ..` of its client's series, its values the times.
struct Sent {
    client: u64,
    id: i64,
    acked: Option<Ack>,
}

fn options(mode: Mode, seed: u64) -> Options {
    Options {
        mode,
        generation_size: 64 << 10,
        chunk_size: 16 << 10,
        segment_size: 8 << 10,
        memory_size_max: 16 << 20,
        probe: false,
        ..super::crash::log_of(seed)
    }
}

fn series(client: u64, id: i64) -> Series {
    let times: Vec<i64> = (id * SAMPLES..(id + 1) * SAMPLES).collect();
    let values = times.iter().map(|time| *time as f64).collect();
    Series::new(Labels::from([("__name__", "m"), ("client", client.to_string().as_str())]), times, values)
}

/// Sends one batch after the other until the machine is down or writes stop.
fn client(engine: &Arc<Engine>, disk: &SimDisk, client: u64, first: i64, seed: u64, sent: &Mutex<Vec<Sent>>) {
    let mut rng = fastrand::Rng::with_seed(seed);
    for id in first..first + 400 {
        if disk.is_down() {
            return;
        }
        let level = [None, Some(AckLevel::Memory), Some(AckLevel::Os), Some(AckLevel::Disk)][rng.usize(..4)];
        let Some((batch, payload)) = stored::try_batch(engine, &series(client, id)) else { return };
        let Ok(ticket) = engine.submit(batch, payload, level) else { return };
        let answer = ticket.blocking_recv();
        sent.lock().unwrap().push(Sent { client, id, acked: answer.ok().and_then(Result::ok) });
        if rng.u8(..8) == 0 {
            thread::sleep(Duration::from_micros(rng.u64(..300)));
        }
    }
}

/// The samples there are, by client.
fn contents(engine: &Arc<Engine>) -> HashMap<u64, Vec<(i64, f64)>> {
    let name = [crate::model::Matcher::new("__name__", crate::model::MatchOp::Equal, "m").unwrap()];
    let view = View::new(engine);
    view.select(&name, TimeRange::ALL)
        .unwrap()
        .map(|series| {
            let series = series.unwrap();
            let client = series.labels.get("client").parse().unwrap();
            (client, series.times.iter().copied().zip(series.values).collect())
        })
        .collect()
}

/// Compares once all is back; forgets the batches that are gone for good.
fn check(engine: &Arc<Engine>, sent: &mut Vec<Sent>, failure: Option<Failure>, context: &str) {
    assert!(engine.recovery().damaged.is_empty(), "{context}: {:?}", engine.recovery());
    engine.finish_replay().unwrap();
    let end = engine.recovery().end;
    let found = contents(engine);
    let mut count = 0;
    sent.retain(|batch| {
        let series = series(batch.client, batch.id);
        let there = found.get(&batch.client).map_or(&[][..], Vec::as_slice);
        let from = there.partition_point(|(time, _)| *time < series.times[0]);
        let upto = there.partition_point(|(time, _)| *time <= series.times[SAMPLES as usize - 1]);
        let expected: Vec<_> = series.times.iter().copied().zip(series.values.iter().copied()).collect();
        let is_there = there[from..upto] == expected[..];
        assert!(is_there || from == upto, "{context}: a batch is there in part: {:?}", &there[from..upto]);
        if let Some(ack) = batch.acked {
            let must = failure.is_none_or(|failure| ack.level >= survives(failure));
            assert!(is_there || !must, "{context}: {ack:?} is lost");
            assert_eq!(is_there, ack.number <= end, "{context}: {ack:?}, the sequence ends at {end}");
        }
        count += if is_there { SAMPLES as usize } else { 0 };
        is_there
    });
    assert_eq!(count, found.values().map(Vec::len).sum::<usize>(), "{context}: what is there was sent");
}

fn run(mode: Mode, seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let disk = SimDisk::new(seed);
    disk.set_sync_delay(Duration::from_micros(rng.u64(..300)));
    let mut sent = Vec::new();
    let mut failure = None;
    for life in 0..3 {
        let context = format!("{mode}, seed {seed}, life {life}");
        let engine = Engine::open(Arc::new(disk.process()), options(mode, seed), Metrics::new())
            .unwrap_or_else(|error| panic!("{context}: {}\n{}", crate::durability::error_chain(&error), disk.trace()));
        engine.finish_replay().unwrap();
        check(&engine, &mut sent, failure, &context);
        let kind = [CrashKind::Process, CrashKind::PowerNone, CrashKind::PowerRandom][rng.usize(..3)];
        failure = Some(if kind == CrashKind::Process { Failure::Process } else { Failure::Power });
        disk.crash_within(rng.u64(20..1_500), kind);
        engine.start().unwrap();
        // What an earlier life sent, or tried to, is never sent again.
        let first = life * 1_000;
        let log = Mutex::new(std::mem::take(&mut sent));
        thread::scope(|scope| {
            for number in 0..CLIENTS {
                let (engine, disk, log, seed) = (&engine, &disk, &log, rng.u64(..));
                scope.spawn(move || client(engine, disk, number, first, seed, log));
            }
        });
        sent = log.into_inner().unwrap();
        disk.crash(kind);
        // On a dead disk nothing can be written; the threads end.
        let _ = engine.close();
        drop(engine);
        disk.restart();
    }
    let engine = Engine::open(Arc::new(disk.process()), options(mode, seed), Metrics::new()).unwrap();
    engine.finish_replay().unwrap();
    check(&engine, &mut sent, failure, &format!("{mode}, seed {seed}, end"));
}

/// Runs at once: most of a run is waiting for a mode's window.
const RUNS_AT_ONCE: usize = 16;

#[test]
fn what_was_promised_survives_a_crash_under_racing_threads() {
    let seeds = (super::crash::seeds() / 30).max(1);
    let modes = Mode::ALL.map(|mode| if let Mode::WalSegment(_) = mode { Mode::WalSegment(8 << 10) } else { mode });
    let runs = (0..seeds).flat_map(|seed| modes.map(|mode| (mode, seed)));
    let runs = Mutex::new(runs);
    thread::scope(|scope| {
        for _ in 0..RUNS_AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = runs.lock().unwrap().next();
                    let Some((mode, seed)) = next else { return };
                    run(mode, seed);
                }
            });
        }
    });
}
