//! Starts that find more than a crash leaves: the same batch twice, rejected numbers, damage.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crate::{
    disk::{CrashKind, Disk, SimDisk},
    durability::Mode,
    engine::{Bounds, Ending, Engine, Error, Options, Receipt, RecoveryPolicy, ReplayProgress, Replaying},
    metrics::Metrics,
    model::{Labels, MatchOp, Matcher, Position, SeqNo, TimeRange},
    select::{Series, Source, View},
    stage::{FileHeader, FileKind, Found, Frame, FrameHeader, Kind, Scan, Segment, encode_void, put_frame},
    tests::stored::{open_in, write},
};

const WAL: &str = "/data/wal";

/// A series whose name is its one batch's.
fn series(name: &str, value: f64) -> Series {
    Series::new(Labels::from([("__name__", name)]), [1], vec![value])
}

/// The names and values of what can be queried.
fn found(engine: &Arc<Engine>) -> Vec<(String, f64)> {
    let everything = [Matcher::new("__name__", MatchOp::Regex, ".+").unwrap()];
    let view = View::new(engine);
    let series = view.select(&everything, TimeRange::ALL).unwrap();
    let mut found: Vec<_> = series
        .map(|series| series.unwrap())
        .flat_map(|series| {
            let name = series.labels.metric().to_owned();
            series.values.iter().map(|value| (name.clone(), *value)).collect::<Vec<_>>()
        })
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

/// The frames of a log segment.
fn frames(disk: &SimDisk, id: u64) -> Vec<Frame<'static>> {
    let path = Path::new(WAL).join(crate::stage::file_name(FileKind::Log, id));
    let mut scan = Scan::new(disk.open(&path).unwrap(), &path, id).unwrap();
    let mut frames = Vec::new();
    while let Some(next) = scan.next().unwrap() {
        frames.extend(if let Found::Frame(frame) = next { Some(frame.into_owned()) } else { None });
    }
    frames
}

/// A log segment of the first start with these frames, in this order.
fn put_segment(disk: &SimDisk, id: u64, frames: &[Frame]) {
    let header = FileHeader { kind: FileKind::Log, incarnation: 1, id };
    let mut segment = Segment::create(disk, Path::new(WAL), header, 0).unwrap();
    for frame in frames {
        let mut bytes = Vec::new();
        let header = FrameHeader { place: segment.place(0), ..frame.header };
        put_frame(&mut bytes, &header, &[&frame.payload]);
        segment.append(&bytes, header.number).unwrap();
    }
    segment.file().sync_data().unwrap();
}

/// A disk on which the first start wrote batches 1 to 5: `a` to `e`, of one value each, each defining what it uses.
fn five() -> (SimDisk, Vec<Frame<'static>>) {
    let disk = SimDisk::new(1);
    let engine = open_in(&disk, Mode::WalSync).unwrap();
    for (index, name) in ["a", "b", "c", "d", "e"].into_iter().enumerate() {
        write(&engine, &[series(name, index as f64)], |_| true);
    }
    assert!(engine.sync_step(Duration::from_secs(1)));
    drop(engine);
    let frames = frames(&disk, 1);
    assert_eq!(frames.len(), 5);
    (disk, frames)
}

fn void(like: &Frame<'_>, from: u64, to: u64) -> Frame<'static> {
    let header = FrameHeader { kind: Kind::Void, number: SeqNo(to), ..like.header };
    Frame { header, payload: encode_void(SeqNo(from)).to_vec().into() }
}

#[test]
fn a_group_written_twice_is_replayed_once_in_the_order_of_its_numbers() {
    let (disk, written) = five();
    let expected = found(&open_in(&disk, Mode::WalSync).unwrap());
    let (disk, _) = five();
    disk.remove(&Path::new(WAL).join("000001.wal")).unwrap();
    // Of the group 3, 4, 5 the first write left 4 alone, the second one 3 and 5, and the third one all.
    let of = |numbers: &[usize]| numbers.iter().map(|number| written[number - 1].clone()).collect::<Vec<_>>();
    put_segment(&disk, 1, &of(&[1, 2, 4]));
    put_segment(&disk, 2, &of(&[3, 5]));
    put_segment(&disk, 3, &of(&[3, 4, 5]));
    let engine = open_in(&disk, Mode::WalSync).unwrap();
    assert_eq!((engine.recovery().replayed_batches, engine.recovery().end), (5, SeqNo(5)));
    assert_eq!(engine.generations()[0].summary().samples, 5, "each once");
    assert_eq!(found(&engine), expected);
}

#[test]
fn rejected_numbers_are_no_gap_and_their_batches_never_count_in_any_file() {
    let (disk, written) = five();
    put_segment(&disk, 2, &[void(&written[0], 3, 4)]);
    // A later frame of a rejected number does not bring it back, nor does one before the rejection.
    put_segment(&disk, 3, &[written[3].clone()]);
    for _ in 0..2 {
        let engine = open_in(&disk, Mode::WalSync).unwrap();
        assert_eq!((engine.recovery().end, engine.recovery().damaged.len()), (SeqNo(5), 0));
        let names: Vec<_> = found(&engine).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["a", "b", "e"]);
    }
}

#[test]
fn a_start_tells_what_the_end_of_the_one_before_took_and_remembers_it() {
    let mode = Mode::Parts(Duration::from_secs(1));
    for (kind, ending, samples) in [
        (CrashKind::Process, Ending::Process, Bounds { min: 1, max: Some(1) }),
        // The ledger was never synced, so it may be as it was at the start.
        (CrashKind::PowerNone, Ending::Power, Bounds { min: 0, max: Some(0) }),
    ] {
        let disk = SimDisk::new(1);
        let engine = open_in(&disk, mode).unwrap();
        assert_eq!(engine.recovery().loss, None, "nothing was before the first start");
        write(&engine, &[series("a", 1.0)], |_| true);
        let lost = Position { incarnation: 1, number: SeqNo(1) };
        assert_eq!(engine.receipt(lost), Receipt::Pending);
        drop(engine);
        disk.crash(kind);
        disk.restart();
        let engine = open_in(&disk, mode).unwrap();
        let loss = engine.recovery().loss.unwrap();
        assert_eq!((loss.ending, loss.samples, loss.incarnation), (ending, samples, 1), "{loss}");
        assert_eq!(engine.receipt(lost), Receipt::Lost);
        write(&engine, &[series("b", 1.0)], |_| true);
        assert!(engine.sync_step(Duration::from_secs(9)));
        let kept = Position { incarnation: 2, number: engine.first_number() };
        assert_eq!(engine.receipt(kept), Receipt::Safe);
        engine.close().unwrap();
        drop(engine);
        disk.crash(CrashKind::PowerNone);
        disk.restart();
        let engine = open_in(&disk, mode).unwrap();
        assert_eq!(engine.losses().iter().map(|loss| loss.ending).collect::<Vec<_>>(), [ending, Ending::Clean]);
        assert_eq!((engine.receipt(lost), engine.receipt(kept)), (Receipt::Lost, Receipt::Safe));
    }
}

#[test]
fn a_file_system_that_went_down_is_no_crash_of_the_process() {
    for (kind, ending) in [
        (CrashKind::Process, Ending::Process),
        (CrashKind::FileSystem, Ending::FileSystem),
        (CrashKind::PowerNone, Ending::Power),
    ] {
        let disk = SimDisk::new(1);
        let engine = open_in(&disk, Mode::WalOs).unwrap();
        for name in ["a", "b", "c"] {
            write(&engine, &[series(name, 1.0)], |_| true);
        }
        assert_eq!(engine.watermarks().process_safe, SeqNo(3));
        drop(engine);
        disk.crash(kind);
        disk.restart();
        let engine = open_in(&disk, Mode::WalOs).unwrap();
        let loss = engine.recovery().loss.unwrap();
        assert_eq!(loss.ending, ending, "{loss}");
        let survived = if kind == CrashKind::Process { 3 } else { 0 };
        assert_eq!(
            (found(&engine).len(), loss.is_none(), loss.is_exact()),
            (survived, survived == 3, survived == 3),
            "{loss}"
        );
        // What was answered behind the record that was found may be gone, too: an alert must not see a zero.
        let metrics = engine.metrics();
        let most = [metrics.recovery_lost_samples_max.get(), metrics.recovery_lost_batches_max.get()];
        assert_eq!(most, if kind == CrashKind::Process { [0.0; 2] } else { [f64::INFINITY; 2] }, "{loss}");
        let is_told = loss.to_string().contains("its file system was mounted anew");
        assert_eq!(is_told, ending == Ending::FileSystem, "{loss}");
    }
}

/// A disk on which batches `a` to `f` were safe, and then the frame of batch 3 was damaged.
fn damaged() -> SimDisk {
    let (disk, _) = five();
    let engine = open_in(&disk, Mode::WalSync).unwrap();
    write(&engine, &[series("f", 5.0)], |_| true);
    assert!(engine.sync_step(Duration::from_secs(2)));
    drop(engine);
    let third = frames(&disk, 1)[2].header.place.offset;
    disk.corrupt(&Path::new(WAL).join("000001.wal"), third + 60, 1).unwrap();
    disk
}

fn open_with(disk: &SimDisk, recovery: RecoveryPolicy) -> Result<Arc<Engine>, Error> {
    let options = Options { recovery, chunk_size: 64 << 10, segment_size: 1 << 20, ..Options::new("/data") };
    let engine = Engine::open(Arc::new(disk.clone()), options, Metrics::new())?;
    engine.finish_replay()?;
    Ok(engine)
}

fn names(engine: &Arc<Engine>) -> String {
    found(engine).into_iter().map(|(name, _)| name).collect()
}

/// Every file but the lock, with its content.
fn files(disk: &SimDisk) -> Vec<(PathBuf, Vec<u8>)> {
    let files = disk.entries().into_iter().filter(|entry| !entry.is_dir && !entry.path.ends_with("LOCK"));
    files.map(|entry| (entry.path.clone(), disk.read_file(&entry.path).unwrap())).collect()
}

#[test]
fn salvage_keeps_all_but_what_is_damaged_and_every_later_start_agrees() {
    let disk = damaged();
    let engine = open_with(&disk, RecoveryPolicy::Salvage).unwrap();
    assert_eq!((names(&engine).as_str(), &*engine.recovery().damaged), ("abdef", &[(SeqNo(3), SeqNo(3))][..]));
    let receipt = |engine: &Engine, number| engine.receipt(Position { incarnation: 1, number: SeqNo(number) });
    assert_eq!([2, 3, 4].map(|number| receipt(&engine, number)), [Receipt::Safe, Receipt::Lost, Receipt::Safe]);
    drop(engine);
    // Even where the damage heals, what was told lost stays lost.
    let third = five().1[2].header.place.offset;
    disk.corrupt(&Path::new(WAL).join("000001.wal"), third + 60, 1).unwrap();
    assert_eq!(frames(&disk, 1).len(), 5);
    let engine = open_with(&disk, RecoveryPolicy::Strict).unwrap();
    assert_eq!((names(&engine).as_str(), engine.recovery().damaged.len()), ("abdef", 0));
    assert_eq!(receipt(&engine, 3), Receipt::Lost);
}

#[test]
fn strict_refuses_damage_and_a_dry_run_tells_of_it_and_both_leave_all_as_it_is() {
    let disk = damaged();
    let before = files(&disk);
    let error = open_with(&disk, RecoveryPolicy::Strict).err().unwrap().to_string();
    let Ok(told) = Engine::dry_run(Arc::new(disk.clone()), dry_options()) else { panic!("a dry run reports") };
    for text in [&error, &told] {
        assert!(text.contains("batch 3 had been safe") && text.contains("wal/000001.wal has no valid frame"), "{text}");
    }
    assert!(told.starts_with("dry run of start 3: nothing was changed\n"), "{told}");
    assert!(matches!(open_with(&disk, RecoveryPolicy::DryRun), Err(Error::DryRun)));
    assert!(files(&disk) == before);
    assert_eq!(names(&open_with(&disk, RecoveryPolicy::Salvage).unwrap()), "abdef");
}

fn dry_options() -> Options {
    Options { recovery: RecoveryPolicy::DryRun, ..Options::new("/data") }
}

#[test]
fn a_damaged_part_stops_a_strict_start_and_is_named_by_a_dry_run() {
    let disk = SimDisk::new(1);
    let engine = open_in(&disk, Mode::WalSync).unwrap();
    write(&engine, &[series("a", 1.0)], |_| true);
    engine.close().unwrap();
    drop(engine);
    let is_part = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "part");
    let part = files(&disk).into_iter().map(|(path, _)| path).find(is_part).unwrap();
    disk.truncate(&part, 20).unwrap();
    let before = files(&disk);
    let error = open_with(&disk, RecoveryPolicy::Strict).err().unwrap().to_string();
    assert!(error.starts_with(&part.display().to_string()), "{error}");
    let told = Engine::dry_run(Arc::new(disk.clone()), dry_options()).unwrap();
    assert!(told.contains(&format!("quarantine: {}", part.display())), "{told}");
    assert!(files(&disk) == before);
}

#[test]
fn point_in_time_ends_before_the_first_damage_for_good() {
    let disk = damaged();
    let engine = open_with(&disk, RecoveryPolicy::PointInTime).unwrap();
    assert_eq!((names(&engine).as_str(), engine.recovery().end), ("ab", SeqNo(2)));
    assert_eq!(engine.receipt(Position { incarnation: 1, number: SeqNo(4) }), Receipt::Lost);
    drop(engine);
    assert_eq!(names(&open_with(&disk, RecoveryPolicy::Salvage).unwrap()), "ab");
    // Nor does it change anything where the damage heals, and the batches stand in one run again.
    let third = five().1[2].header.place.offset;
    disk.corrupt(&Path::new(WAL).join("000001.wal"), third + 60, 1).unwrap();
    assert_eq!(frames(&disk, 1).len(), 5);
    for _ in 0..2 {
        let engine = open_with(&disk, RecoveryPolicy::Strict).unwrap();
        assert_eq!((names(&engine).as_str(), engine.recovery().damaged.len()), ("ab", 0));
    }
}

#[test]
fn while_batches_are_replayed_old_data_is_served_and_new_data_waits_behind_them() {
    let (disk, _) = five();
    let old = open_in(&disk, Mode::WalSync).unwrap();
    old.durability().request_rotation();
    old.commit_step(Duration::from_secs(2));
    while old.flush_step(Duration::from_secs(2)).unwrap() {}
    write(&old, &[series("f", 5.0)], |_| true);
    assert!(old.sync_step(Duration::from_secs(3)));
    drop(old);
    let options = Options { chunk_size: 64 << 10, segment_size: 1 << 20, ..Options::new("/data") };
    let engine = Engine::open(Arc::new(disk.clone()), options, Metrics::new()).unwrap();
    assert_eq!(names(&engine), "abcde", "in parts");
    write(&engine, &[series("g", 6.0)], |_| true);
    assert!(engine.sync_step(Duration::from_secs(4)));
    let new = Position { incarnation: engine.incarnation(), number: engine.first_number() };
    assert_eq!((names(&engine).as_str(), engine.receipt(new)), ("abcde", Receipt::Safe), "no hole is shown");
    // Neither is it flushed before what comes first.
    engine.durability().request_rotation();
    engine.commit_step(Duration::from_secs(5));
    assert!(!engine.flush_step(Duration::from_secs(5)).unwrap());
    let progress = engine.replay_progress();
    assert!(progress.min > 0 && progress.min == progress.max, "{progress:?}");
    assert_eq!(progress.current, progress.min - 1, "none is read yet");
    engine.finish_replay().unwrap();
    assert_eq!(engine.replay_progress(), ReplayProgress { current: progress.max, ..progress });
    assert_eq!(names(&engine), "abcdefg");
    engine.close().unwrap();
    drop(engine);
    let engine = open_in(&disk, Mode::WalSync).unwrap();
    assert_eq!((names(&engine).as_str(), engine.recovery().replayed_batches), ("abcdefg", 0));
}

#[test]
fn what_is_replayed_may_be_larger_than_memory() {
    let disk = SimDisk::new(1);
    let many = |base: i64| -> Vec<Series> {
        let times: Vec<i64> = (0..4_000).map(|n| base + n).collect();
        let values = times.iter().map(|time| *time as f64).collect();
        vec![Series::new(Labels::from([("__name__", "m")]), times, values)]
    };
    let engine = open_in(&disk, Mode::WalSync).unwrap();
    for turn in 0..20 {
        write(&engine, &many(turn * 4_000), |_| true);
    }
    assert!(engine.sync_step(Duration::from_secs(3)));
    drop(engine);
    // 80,000 rows are about 2 MB; there is memory for a half of them.
    let options = Options {
        generation_size: 256 << 10,
        memory_size_max: 1 << 20,
        chunk_size: 64 << 10,
        segment_size: 1 << 20,
        ..Options::new("/data")
    };
    let engine = Engine::open(Arc::new(disk), options, Metrics::new()).unwrap();
    let (mut waits, mut largest) = (0, 0);
    loop {
        largest = largest.max(engine.durability().generations().allocated());
        match engine.replay_step().unwrap() {
            Replaying::Done => break,
            Replaying::More => {}
            Replaying::Waits => {
                waits += 1;
                assert!(engine.flush_step(Duration::from_secs(1)).unwrap(), "a flush makes room");
            }
        }
    }
    assert!(waits > 0 && largest <= 1 << 20, "{waits} waits, {largest} bytes at most");
    assert_eq!(found(&engine).len(), 80_000);
}

#[test]
fn of_a_log_in_two_directories_every_frame_counts_that_can_be_read_in_one() {
    let (disk, mirror) = (SimDisk::new(1), Path::new("/other/mirror"));
    let options = || Options {
        wal_mirror_dir: Some(mirror.to_owned()),
        chunk_size: 64 << 10,
        segment_size: 1 << 20,
        ..Options::new("/data")
    };
    let open = || {
        let engine = Engine::open(Arc::new(disk.clone()), options(), Metrics::new()).unwrap();
        engine.finish_replay().unwrap();
        engine
    };
    let engine = open();
    for name in ["a", "b", "c", "d"] {
        write(&engine, &[series(name, 1.0)], |_| true);
    }
    assert!(engine.sync_step(Duration::from_secs(1)));
    drop(engine);
    let written = frames(&disk, 1);
    for (dir, damaged) in [(Path::new(WAL), [1, 2]), (mirror, [0, 3])] {
        for frame in damaged {
            disk.corrupt(&dir.join("000001.wal"), written[frame].header.place.offset + 60, 1).unwrap();
        }
    }
    let engine = open();
    assert_eq!((names(&engine).as_str(), engine.recovery().damaged.len()), ("abcd", 0));
    engine.close().unwrap();
    drop(engine);
    assert!(disk.read_file(Path::new("/data/quarantine/2-stage-000001.wal")).is_ok());
    assert!(disk.read_file(&mirror.join("quarantine-2-000001.wal")).is_ok());
    let engine = open();
    assert_eq!((names(&engine).as_str(), engine.recovery().replayed_batches), ("abcd", 0));
}
