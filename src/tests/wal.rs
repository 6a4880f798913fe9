//! The log in several places: a directory of its own, a mirror, segments made ahead, a bound on its size.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crate::{
    disk::{CrashKind, Disk, Errno, Fault, SimDisk},
    durability::{Ack, AckLevel, Mirror, Mode, Refused, Stopped, Ticket},
    engine::{Ending, Engine, Error, Options},
    model::{Labels, MatchOp, Matcher, TimeRange},
    select::{Series, Source, View},
    stage::{Compression, FileKind, list_files},
    tests::{
        scene::{open, small_segments},
        stored,
    },
};

const WAL: &str = "/data/wal";
const OTHER: &str = "/other/wal";

fn options() -> Options {
    small_segments(Mode::WalSync)
}

fn mirrored(mirror: Mirror) -> Options {
    Options { wal_mirror_dir: Some(OTHER.into()), wal_mirror: mirror, ..options() }
}

fn outside(dir: &str) -> Options {
    Options { wal_dir: Some(dir.into()), ..options() }
}

/// A series that nothing else writes.
fn series(name: usize) -> Series {
    let labels = Labels::from([("__name__", format!("m{name}").as_str())]);
    Series::new(labels, (0..20).collect::<Vec<_>>(), vec![name as f64; 20])
}

fn submit(engine: &Engine, name: usize) -> Result<Ticket, Refused> {
    let (batch, payload) = stored::batch(engine, &series(name));
    engine.submit(batch, payload, Some(AckLevel::Disk))
}

fn commit(engine: &Engine) {
    engine.commit_step(Duration::from_secs(1));
}

fn answer(ticket: &mut Ticket) -> Option<Result<Ack, Stopped>> {
    ticket.try_recv().ok()
}

/// Writes and syncs batches, one after the other; which of them were acknowledged. Ends where the machine is down.
fn write(engine: &Engine, disk: &SimDisk, names: std::ops::Range<usize>) -> Vec<usize> {
    let mut acked = Vec::new();
    for name in names.take_while(|_| !disk.is_down()) {
        let Ok(mut ticket) = submit(engine, name) else { continue };
        commit(engine);
        engine.sync_step(Duration::from_secs(2));
        if name % 8 == 7 {
            engine.durability().request_rotation();
            commit(engine);
        }
        // Errors are what a crash looks like from inside.
        let _ = engine.flush_step(Duration::from_secs(3));
        acked.extend(answer(&mut ticket).filter(Result::is_ok).map(|_| name));
    }
    acked
}

/// The names of the series that are there, each with all its samples.
fn found(engine: &Arc<Engine>) -> Vec<usize> {
    let everything = [Matcher::new("__name__", MatchOp::Regex, ".+").unwrap()];
    let view = View::new(engine);
    let series = view.select(&everything, TimeRange::ALL).unwrap().map(|series| series.unwrap());
    series
        .map(|series| {
            assert_eq!(series.times.len(), 20);
            series.labels.metric()[1..].parse().unwrap()
        })
        .collect()
}

fn segments(disk: &SimDisk, dir: &str) -> Vec<PathBuf> {
    list_files(disk, Path::new(dir), FileKind::Log).unwrap().into_iter().map(|(_, path)| path).collect()
}

fn spares(disk: &SimDisk, dir: &str) -> usize {
    let entries = disk.list(Path::new(dir)).unwrap();
    entries.iter().filter(|entry| entry.path.file_name().unwrap().to_string_lossy().starts_with("spare-")).count()
}

fn cut_power(disk: &SimDisk) {
    disk.crash(CrashKind::PowerNone);
    disk.restart();
}

#[test]
fn a_log_of_two_copies_survives_a_power_cut_at_any_operation_that_takes_either() {
    for lost in [WAL, OTHER] {
        for after in 0.. {
            let disk = SimDisk::new(after);
            let engine = open(&disk, &mirrored(Mirror::TwoOfTwo)).unwrap();
            // While the disk works, the streams get their ids.
            (0..20).for_each(|name| drop(stored::batch(&engine, &series(name))));
            disk.crash_at(disk.ops() + after, CrashKind::PowerRandom);
            let acked = write(&engine, &disk, 0..20);
            let is_done = !disk.is_down();
            drop(engine);
            if is_done {
                disk.crash(CrashKind::PowerRandom);
            }
            disk.restart();
            segments(&disk, lost).iter().for_each(|path| disk.remove(path).unwrap());
            let engine = open(&disk, &mirrored(Mirror::TwoOfTwo)).unwrap();
            let found = found(&engine);
            assert!(acked.iter().all(|name| found.contains(name)), "{lost} lost at {after}: {acked:?}, {found:?}");
            assert!(engine.recovery().damaged.is_empty(), "{lost} lost at {after}: {:?}", engine.recovery());
            if is_done {
                assert_eq!(acked.len(), 20);
                break;
            }
        }
    }
}

#[test]
fn where_one_copy_is_enough_the_other_may_fail_at_any_operation_and_nobody_notices() {
    for failing in ["/data/wal/", "/other/wal/"] {
        for after in 0..200 {
            let disk = SimDisk::new(after);
            let engine = open(&disk, &mirrored(Mirror::OneOfTwo)).unwrap();
            disk.inject(Fault::new(Errno::IO).at(failing).after(after).times(1_000));
            let acked = write(&engine, &disk, 0..20);
            assert_eq!(acked.len(), 20, "{failing} at {after}");
            let metrics = engine.metrics();
            assert_eq!((metrics.stage_failures.get(), engine.problem()), (0, None), "{failing} at {after}");
            if after < 20 {
                assert!(metrics.wal_mirror_out.get() > 0, "{failing} at {after}");
            }
            drop(engine);
            disk.clear_faults();
            cut_power(&disk);
            let engine = open(&disk, &mirrored(Mirror::OneOfTwo)).unwrap();
            assert_eq!(found(&engine).len(), 20, "{failing} at {after}");
            // With the disk repaired, both copies are written again.
            assert_eq!(write(&engine, &disk, 20..30).len(), 10);
            assert_eq!(segments(&disk, WAL).len(), segments(&disk, OTHER).len());
        }
    }
}

#[test]
fn where_both_copies_fail_nothing_is_acknowledged_before_it_is_in_parts() {
    for mirror in [Mirror::OneOfTwo, Mirror::TwoOfTwo] {
        let disk = SimDisk::new(1);
        let engine = open(&disk, &mirrored(mirror)).unwrap();
        let mut first = submit(&engine, 0).unwrap();
        commit(&engine);
        // A file without a name keeps nothing, whatever its sync says.
        let dirs = if mirror == Mirror::OneOfTwo { &[WAL, OTHER][..] } else { &[OTHER] };
        for path in dirs.iter().flat_map(|dir| segments(&disk, dir)) {
            disk.remove(&path).unwrap();
        }
        engine.sync_step(Duration::from_secs(2));
        assert_eq!(answer(&mut first), None, "{mirror}");
        assert_eq!(engine.metrics().stage_failures.get(), 1, "{mirror}");
        commit(&engine);
        assert!(engine.flush_step(Duration::from_secs(3)).unwrap());
        assert!(answer(&mut first).unwrap().is_ok(), "{mirror}");
        assert_eq!(write(&engine, &disk, 1..5).len(), 4);
        cut_power(&disk);
        assert_eq!(found(&open(&disk, &mirrored(mirror)).unwrap()).len(), 5, "{mirror}");
    }
}

#[test]
fn both_copies_are_synced_by_threads_and_one_that_fails_is_left_behind() {
    for (mirror, failing) in
        [(Mirror::TwoOfTwo, "none"), (Mirror::OneOfTwo, WAL), (Mirror::OneOfTwo, OTHER), (Mirror::TwoOfTwo, OTHER)]
    {
        let disk = SimDisk::new(3);
        disk.set_sync_delay(Duration::from_micros(50));
        let engine = open(&disk, &mirrored(mirror)).unwrap();
        engine.start().unwrap();
        for name in 0..60 {
            if name == 20 {
                disk.inject(Fault::new(Errno::IO).at(failing).of(crate::disk::OpKind::SyncData).times(3));
            }
            let ack = submit(&engine, name).unwrap().blocking_recv().unwrap();
            assert!(ack.is_ok(), "{mirror}, {failing}: {ack:?}");
        }
        let has_failed = engine.metrics().stage_failures.get() > 0;
        assert_eq!(has_failed, mirror == Mirror::TwoOfTwo && failing != "none", "{mirror}, {failing}");
        disk.crash(CrashKind::PowerNone);
        let _ = engine.close();
        drop(engine);
        disk.restart();
        disk.clear_faults();
        assert_eq!(found(&open(&disk, &mirrored(mirror)).unwrap()).len(), 60, "{mirror}, {failing}");
    }
}

#[test]
fn a_segment_made_ahead_is_used_next_and_a_start_removes_one_that_was_not() {
    for options in [options(), mirrored(Mirror::TwoOfTwo)] {
        let disk = SimDisk::new(1);
        let engine = open(&disk, &options).unwrap();
        assert_eq!(spares(&disk, WAL), 0);
        engine.flush_step(Duration::from_secs(1)).unwrap();
        assert_eq!((spares(&disk, WAL), segments(&disk, WAL).len()), (1, 0), "no segment yet");
        engine.flush_step(Duration::from_secs(1)).unwrap();
        assert_eq!(spares(&disk, WAL), 1, "one is enough");
        drop(submit(&engine, 0).unwrap());
        commit(&engine);
        assert_eq!((spares(&disk, WAL), segments(&disk, WAL).len()), (0, 1));
        engine.flush_step(Duration::from_secs(1)).unwrap();
        assert_eq!(spares(&disk, WAL), 1);
        drop(engine);
        disk.crash(CrashKind::Process);
        disk.restart();
        let engine = open(&disk, &options).unwrap();
        let left = if options.wal_mirror_dir.is_some() { spares(&disk, OTHER) } else { 0 };
        assert_eq!((spares(&disk, WAL), left, found(&engine).len()), (0, 0, 1));
    }
}

#[test]
fn no_segment_is_made_ahead_where_room_is_scarce_or_writes_have_stopped() {
    let disk = SimDisk::new(1);
    let engine = open(&disk, &options()).unwrap();
    disk.set_capacity(8 << 10);
    let _ = engine.flush_step(Duration::from_secs(1));
    assert!(engine.durability().stopped().is_some());
    assert_eq!(spares(&disk, WAL), 0);
    disk.set_capacity(1 << 30);
    disk.inject(Fault::new(Errno::IO).at("spare-"));
    for _ in 0..3 {
        assert!(engine.flush_step(Duration::from_secs(1)).is_ok(), "it is only a help");
        commit(&engine);
    }
    assert_eq!(engine.problem(), None);
    assert_eq!(write(&engine, &disk, 0..3).len(), 3);
}

#[test]
fn a_recycled_pair_never_shows_what_it_held_before() {
    let disk = SimDisk::new(5);
    let engine = open(&disk, &mirrored(Mirror::TwoOfTwo)).unwrap();
    let acked = write(&engine, &disk, 0..200);
    assert_eq!(acked.len(), 200);
    assert!(segments(&disk, WAL).len() <= 12, "retired segments are used again");
    drop(engine);
    cut_power(&disk);
    let mut found = found(&open(&disk, &mirrored(Mirror::TwoOfTwo)).unwrap());
    found.sort_unstable();
    assert_eq!(found, acked);
}

#[test]
fn the_log_is_bounded_under_load_and_refuses_where_no_flush_helps() {
    let disk = SimDisk::new(1);
    let capped = Options { log_size_max: 16 << 10, ..options() };
    let engine = open(&disk, &capped).unwrap();
    let (mut name, bytes) = (0, |disk: &SimDisk| segments(disk, WAL).len() as u64 * capped.segment_size);
    let refused = loop {
        match submit(&engine, name) {
            Ok(_) => commit(&engine),
            Err(refused) => break refused,
        }
        name += 1;
    };
    assert!(matches!(refused, Refused::Overloaded(why) if why.contains("log")), "{refused}");
    let bound = 2 * capped.log_size_max + 2 * capped.segment_size;
    assert!((2 * capped.log_size_max..=bound).contains(&bytes(&disk)), "{}", bytes(&disk));
    for _ in 0..2 {
        commit(&engine);
        engine.flush_step(Duration::from_secs(1)).unwrap();
    }
    // With the flusher at work the log stays below the bound, and nobody is refused.
    for name in name..name + 3_000 {
        drop(submit(&engine, name).unwrap());
        commit(&engine);
        engine.flush_step(Duration::from_secs(1)).unwrap();
        assert!(engine.durability().log_size() <= capped.log_size_max + 2 * capped.segment_size);
    }
    assert!(engine.metrics().flushes.get() > 5);
}

#[test]
fn the_end_of_the_first_start_with_a_directory_outside_is_told_exactly() {
    for options in [outside("/fast/wal"), mirrored(Mirror::TwoOfTwo)] {
        let disk = SimDisk::new(1);
        drop(open(&disk, &options).map(|engine| write(&engine, &disk, 0..3)).unwrap());
        disk.crash(CrashKind::Process);
        disk.restart();
        let engine = open(&disk, &options).unwrap();
        let loss = engine.recovery().loss.unwrap();
        assert_eq!((found(&engine).len(), loss.ending, loss.is_exact()), (3, Ending::Process, true), "{loss}");
    }
}

#[test]
fn a_log_outside_is_never_lost_silently() {
    let disk = SimDisk::new(1);
    let engine = open(&disk, &outside("/fast/wal")).unwrap();
    assert_eq!(write(&engine, &disk, 0..3).len(), 3);
    assert!(segments(&disk, WAL).is_empty() && !segments(&disk, "/fast/wal").is_empty());
    drop(engine);
    cut_power(&disk);
    assert!(matches!(open(&disk, &options()), Err(Error::ForgottenLog { .. })), "the flag was forgotten");
    assert!(matches!(open(&disk, &outside("/elsewhere")), Err(Error::ForgottenLog { .. })));
    let foreign = Options { dir: "/data2".into(), ..outside("/fast/wal") };
    assert!(matches!(open(&disk, &foreign), Err(Error::ForeignLog { .. })));
    assert!(matches!(open(&disk, &Options { wal_mirror_dir: Some(WAL.into()), ..options() }), Err(Error::SameLog(_))));
    // Its disk is not mounted.
    disk.rename(Path::new("/fast"), Path::new("/unmounted")).unwrap();
    assert!(matches!(open(&disk, &outside("/fast/wal")), Err(Error::MissingLog { .. })));
    disk.create_dir_all(Path::new("/fast/wal")).unwrap();
    assert!(matches!(open(&disk, &outside("/fast/wal")), Err(Error::MissingLog { .. })));
    disk.remove(Path::new("/fast/wal")).unwrap();
    disk.remove(Path::new("/fast")).unwrap();
    disk.rename(Path::new("/unmounted"), Path::new("/fast")).unwrap();
    let engine = open(&disk, &outside("/fast/wal")).unwrap();
    assert_eq!(found(&engine).len(), 3);
    engine.close().unwrap();
    drop(engine);
    // After a clean stop nothing is left there, and the log may move.
    let engine = open(&disk, &options()).unwrap();
    assert_eq!((found(&engine).len(), write(&engine, &disk, 3..6).len()), (3, 3));
    drop(engine);
    assert_eq!(found(&open(&disk, &outside("/fast/wal")).unwrap()).len(), 6, "the one inside is always looked at");
}

#[test]
fn a_log_may_be_compressed_by_some_starts_and_not_by_others() {
    let disk = SimDisk::new(1);
    let mut sizes = Vec::new();
    for (turn, wal_compression) in [Compression::Zstd, Compression::None, Compression::Zstd].into_iter().enumerate() {
        let engine = open(&disk, &Options { wal_compression, ..options() }).unwrap();
        assert_eq!(found(&engine).len(), turn * 5);
        let long = |name| Series { values: (0..20).map(|n| f64::from(n % 3).sqrt()).collect(), ..series(name) };
        for name in turn * 5..turn * 5 + 5 {
            let (batch, payload) = stored::batch(&engine, &long(name));
            drop(engine.submit(batch, payload, None).unwrap());
        }
        commit(&engine);
        assert!(engine.sync_step(Duration::from_secs(2)));
        sizes.push(engine.metrics().wal_written_bytes.get());
        drop(engine);
        cut_power(&disk);
    }
    assert!(sizes[0] < sizes[1] && sizes[2] < sizes[1], "{sizes:?}");
    assert_eq!(found(&open(&disk, &options()).unwrap()).len(), 15);
}
