//! The crash test: a real engine on the simulated disk, crashed at chosen disk operations, several times in a row.
//!
//! A seed chooses the workload (batches, ack levels, flushes, compactions, clean stops) and the crashes. After each
//! crash the directory is opened again (now and then crashing in that, too), and what is there is compared with what
//! was sent: it must be the effect of a prefix of the sequence, exactly, and the prefix must hold everything that was
//! answered at a level that survives such a crash.
//! Receipts and the loss report are held against the same truth. That the checks would notice is a test of its own
//! ([`liars`]).

mod liars;
mod samples;
mod world;

use std::{path::Path, time::Duration};

use fastrand::Rng;
use world::{Crash, World};

use crate::{
    disk::CrashKind,
    durability::{Mirror, Mode},
    engine::Options,
    stage::Compression,
};

/// Where the log is, in how many copies, and whether it is compressed.
pub(super) fn log_of(seed: u64) -> Options {
    let (wal_dir, wal_mirror_dir, wal_mirror) = match seed % 4 {
        0 => (None, None, Mirror::default()),
        1 => (Some("/fast/wal".into()), None, Mirror::default()),
        2 => (None, Some("/other/wal".into()), Mirror::TwoOfTwo),
        _ => (None, Some("/other/wal".into()), Mirror::OneOfTwo),
    };
    let wal_compression = if seed % 3 == 1 { Compression::Zstd } else { Compression::None };
    Options { wal_dir, wal_mirror_dir, wal_mirror, wal_compression, ..Options::new("/data") }
}

/// Every mode, with parameters that matter within the few steps of a test.
pub(super) fn modes() -> [Mode; Mode::ALL.len()] {
    let millis = Duration::from_millis;
    Mode::ALL.map(|mode| match mode {
        Mode::WalInterval(_) => Mode::WalInterval(millis(500)),
        Mode::WalSegment(_) => Mode::WalSegment(3 << 10),
        Mode::Parts(_) => Mode::Parts(millis(500)),
        Mode::PartsOs(_) => Mode::PartsOs(millis(500)),
        Mode::PartsSync(_) => Mode::PartsSync(millis(100)),
        Mode::WalGroup(_) => Mode::WalGroup(millis(100)),
        mode => mode,
    })
}

const KINDS: [CrashKind; 3] = [CrashKind::Process, CrashKind::PowerNone, CrashKind::PowerRandom];

/// Seeds a mode of the random test; `PLIMSOLL_CRASH_SEEDS` asks for more: 10,000 make 20 of those that try every
/// operation.
pub(super) fn seeds() -> u64 {
    std::env::var("PLIMSOLL_CRASH_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(300)
}

#[test]
fn what_was_promised_survives_crashes_in_a_row_for_every_seed() {
    for mode in modes() {
        for seed in 0..seeds() {
            lives(&mut World::new(seed, mode), &format!("{mode}, seed {seed}"));
        }
    }
}

/// Three lives in one directory.
fn lives(world: &mut World, context: &str) {
    for life in 0..3 {
        let crash = any_crash(&mut world.rng, 40);
        let steps = world.rng.usize(20..160);
        world.live(crash, steps, &format!("{context}, life {life}"));
    }
    drop(world.check(&format!("{context}, end")));
}

/// A crash of any kind within two hundred operations; every other one is followed by one more, that early in the recovery.
fn any_crash(rng: &mut Rng, again_before: u64) -> Crash {
    let kind = KINDS[rng.usize(..KINDS.len())];
    let again = rng.bool().then(|| rng.u64(0..again_before));
    Crash { kind, after: rng.u64(0..200), again }
}

#[test]
fn what_was_promised_survives_crashes_between_which_the_mode_changes() {
    for seed in 0..seeds() / 2 {
        let mut world = World::new(seed, Mode::WalSync);
        for life in 0..4 {
            world.mode = modes()[world.rng.usize(..modes().len())];
            world.switches = true;
            let crash = any_crash(&mut world.rng, 60);
            let steps = world.rng.usize(20..120);
            world.live(crash, steps, &format!("changing modes, seed {seed}, life {life}"));
        }
        drop(world.check(&format!("changing modes, seed {seed}, end")));
    }
}

#[test]
fn what_was_promised_survives_a_crash_at_every_disk_operation() {
    for mode in modes() {
        for seed in 0..seeds().div_ceil(500) {
            for kind in KINDS {
                for after in 0.. {
                    let mut world = World::new(seed, mode);
                    let crash = Crash { kind, after, again: Some(after % 23) };
                    let before = world.disk.ops();
                    world.live(crash, 120, &format!("{mode}, seed {seed}, {kind:?} at {after}"));
                    let all_done = world.disk.ops() < before + after;
                    drop(world.check(&format!("{mode}, seed {seed}, {kind:?} at {after}, after it")));
                    if all_done {
                        break;
                    }
                }
            }
        }
    }
}

#[test]
fn a_clean_stop_loses_nothing_and_leaves_nothing_to_replay() {
    for mode in modes() {
        for seed in 0..40 {
            let mut world = World::new(seed, mode);
            let engine = world.check("start");
            world.run(&engine, 200);
            world.commit(&engine);
            engine.close().unwrap();
            world.take_answers(&engine);
            world.must_have = world.batches.iter().map(|batch| batch.number).max().unwrap_or_default();
            drop(engine);
            world.disk.crash(CrashKind::PowerNone);
            world.disk.restart();
            let engine = world.check(&format!("{mode}, seed {seed}"));
            assert_eq!(engine.recovery().replayed_batches, 0);
            assert!(
                world
                    .disk
                    .entries()
                    .iter()
                    .all(|entry| !entry.path.starts_with(Path::new("/data/containers")) || entry.is_dir)
            );
        }
    }
}
