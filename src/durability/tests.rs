use std::{path::Path, sync::Arc, time::Duration};

use super::{
    adaptive::{Controller, Observed, choose},
    answers::{Answers, Waiter},
    behind::Behind,
    copies::{self, OpenSegment},
    due::{Due, Pending, due},
    marks::Exposure,
    work::{LogFile, Work},
    *,
};
use crate::{
    disk::{CrashKind, Disk, Errno, Fault, OpKind, SimDisk},
    model::SeqNo,
    stage::{FileHeader, FileKind},
};

const fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn every_mode_has_a_name_that_parses_back() {
    for mode in Mode::ALL {
        assert_eq!(mode.to_string().parse(), Ok(mode));
    }
    assert_eq!("parts".parse(), Ok(Mode::Parts(at(1_000))));
    assert_eq!("parts=250ms".parse(), Ok(Mode::Parts(at(250))));
    assert_eq!("wal-interval=1500ms".parse::<Mode>().unwrap().to_string(), "wal-interval=1500ms");
    assert_eq!("wal-segment=512KiB".parse(), Ok(Mode::WalSegment(512 << 10)));
    assert_eq!("adaptive=max_loss=2s".parse(), Ok(Mode::Adaptive(Target::MaxLoss(at(2_000)))));
    for text in
        ["parts=1h", "parts=90s", "parts=2m", "parts=3599s", "parts=1ms", "wal-segment=1GiB", "wal-segment=1536KiB"]
    {
        assert_eq!(text.parse::<Mode>().unwrap().to_string(), text);
    }
    assert_eq!("parts=3600s".parse::<Mode>().unwrap().to_string(), "parts=1h");
    assert_eq!("wal".parse::<Mode>(), Err(ModeError::Unknown("wal".into())));
    assert_eq!("wal-sync=1s".parse::<Mode>(), Err(ModeError::Parameter("wal-sync")));
    assert_eq!("adaptive(x=1s)".parse::<Mode>(), Err(ModeError::Target("x=1s".into())));
    assert_eq!("wal-segment=1KiB".parse::<Mode>(), Err(ModeError::Size("1KiB".into())));
    for window in ["parts=", "parts=0ms", "parts=1", "parts=s", "parts=2h", "parts=99999999999999999999s"] {
        assert!(matches!(window.parse::<Mode>(), Err(ModeError::Window(_))), "{window}");
    }
}

/// Batches up to `upto` came at `since` or later; `safe` are synced (and written).
fn pending(upto: u64, safe: u64, since: u64) -> Pending {
    let (safe, since) = (SeqNo(safe), Some(at(since)));
    let both = Pending { unwritten_since: since, unsynced_since: since, ..Pending::default() };
    Pending { upto: SeqNo(upto), written: safe, safe, ..both }
}

fn asked(level: AckLevel, since: u64, size: u64) -> Pending {
    let mut pending = pending(5, 4, 0);
    pending.ask(SeqNo(5), level, at(since), size);
    pending
}

#[test]
fn nothing_is_due_where_all_is_safe_and_a_demand_is_served_in_every_mode() {
    for mode in Mode::ALL {
        let policy = mode.policy();
        assert_eq!(due(&policy, &pending(5, 5, 0), at(9_999_999)), Due::Idle, "{mode}");
        assert_eq!(due(&policy, &asked(AckLevel::Disk, 0, 9), at(1_000)), Due::Sync, "{mode}");
        let forced = Pending { forced: true, ..pending(5, 4, 0) };
        assert_eq!(due(&policy, &forced, at(0)), Due::Sync, "{mode}");
        let os = due(&Policy { synced: Unasked::Never, ..policy }, &asked(AckLevel::Os, 0, 9), at(1_000));
        assert_eq!(os, if policy.stage == StageKind::Log { Due::Idle } else { Due::Write }, "{mode}");
    }
}

#[test]
fn the_unasked_window_counts_from_the_first_batch() {
    for (mode, first) in [
        (Mode::WalInterval(at(100)), Due::Sync),
        (Mode::Parts(at(100)), Due::Sync),
        (Mode::PartsOs(at(100)), Due::Write),
    ] {
        assert_eq!(due(&mode.policy(), &pending(5, 4, 50), at(149)), Due::At(at(150)), "{mode}");
        assert_eq!(due(&mode.policy(), &pending(5, 4, 50), at(150)), first, "{mode}");
    }
    for mode in [Mode::WalSync, Mode::WalOs, Mode::WalSegment(1 << 20), Mode::WriteBehind, Mode::PartsSync(at(10))] {
        assert_eq!(due(&mode.policy(), &pending(5, 4, 50), at(9_999)), Due::Idle, "{mode}");
    }
}

#[test]
fn who_waits_waits_for_company_only_where_the_mode_says_so() {
    assert_eq!(due(&Mode::WalSync.policy(), &asked(AckLevel::Disk, 7, 9), at(7)), Due::Sync);
    let group = Mode::WalGroup(at(2)).policy();
    assert_eq!(due(&group, &asked(AckLevel::Disk, 7, 9), at(7)), Due::At(at(9)));
    assert_eq!(due(&group, &asked(AckLevel::Disk, 7, 9), at(9)), Due::Sync);
    assert_eq!(due(&group, &asked(AckLevel::Disk, 7, 2 << 20), at(7)), Due::Sync, "enough bytes wait");
    let spaced = Pending { last: Some(at(0)), ..asked(AckLevel::Disk, 7, 9) };
    assert_eq!(due(&Mode::Parts(at(1_000)).policy(), &spaced, at(7)), Due::At(at(10)), "at most one per 10 ms");
}

#[test]
fn a_full_segment_is_synced_where_the_mode_says_so_and_a_full_tick_is_written() {
    let full = Pending { full: true, ..pending(5, 4, 0) };
    assert_eq!(due(&Mode::WalSegment(1 << 20).policy(), &full, at(0)), Due::Sync);
    assert_eq!(due(&Mode::WalOs.policy(), &full, at(0)), Due::Idle);
    assert_eq!(due(&Mode::PartsOs(at(500)).policy(), &full, at(0)), Due::Write);
    assert_eq!(due(&Mode::Parts(at(500)).policy(), &full, at(0)), Due::Sync);
}

fn observed(slow: u64, usual: u64, arrivals: f64) -> Observed {
    let micros = Duration::from_micros;
    Observed { slow: micros(slow), usual: micros(usual), arrivals }
}

#[test]
fn an_adaptive_mode_syncs_before_the_answer_while_the_disk_is_fast_enough() {
    let (target, strong) = (Target::P99Ack(at(20)), Mode::WalSync.policy());
    assert_eq!(choose(target, &observed(500, 100, 50.0), &strong), strong);
    assert_eq!(choose(target, &observed(500, 100, 9_000.0), &strong), strong, "groups form by themselves");
    assert_eq!(choose(target, &observed(15_000, 5_000, 1.0), &strong), strong, "few wait for more than their own sync");
    let weak = choose(target, &observed(11_000, 5_000, 50.0), &strong);
    assert_eq!((weak.ack, weak.synced), (AckLevel::Os, Unasked::After(at(100))));
    // Twice 9 ms are below 20 ms, but not by enough to come back.
    assert_eq!(choose(target, &observed(9_000, 5_000, 50.0), &weak).ack, AckLevel::Os);
    assert_eq!(choose(target, &observed(9_000, 5_000, 50.0), &strong).ack, AckLevel::Disk);
    assert_eq!(choose(target, &observed(7_000, 5_000, 50.0), &weak).ack, AckLevel::Disk);
}

#[test]
fn an_adaptive_mode_keeps_window_and_syncs_within_what_may_be_lost() {
    let (target, any) = (Target::MaxLoss(at(500)), Mode::WalSync.policy());
    for slow in [100, 10_000, 50_000, 100_000, 180_000, 200_000, 900_000] {
        let policy = choose(target, &observed(slow, slow / 2, 100.0), &any);
        assert_eq!(policy.loss_max, Some(at(500)));
        match policy.synced {
            Unasked::After(window) => assert!(window + 2 * Duration::from_micros(slow) <= at(500), "{slow}"),
            _ => assert!(policy.ack == AckLevel::Disk && slow > 180_000, "{slow}"),
        }
    }
}

#[test]
fn the_controller_decides_ten_times_a_second_on_what_is_recent() {
    let (target, policy) = (Target::P99Ack(at(20)), Mode::WalSync.policy());
    let mut controller = Controller::default();
    controller.note(at(50), at(1_000));
    assert_eq!(controller.choose(target, &policy, 0, at(1_000)), policy, "too early");
    assert_eq!(controller.choose(target, &policy, 0, at(1_100)).ack, AckLevel::Os);
    controller.note(at(1), at(70_000));
    assert_eq!(controller.choose(target, &policy, 0, at(70_000)).ack, AckLevel::Disk, "a minute is forgotten");
}

#[test]
fn while_a_sync_is_overdue_nothing_more_is_put_at_risk() {
    use std::sync::atomic::Ordering;
    let limits = Limits {
        inbox_size_max: 1 << 20,
        memory_size_max: 1 << 20,
        tick_size_max: 1 << 20,
        log_size_max: 1 << 20,
        ack_min: AckLevel::Memory,
    };
    let desk = Durability::new(
        Mode::WalInterval(at(100)),
        limits,
        SeqNo(0),
        Generations::default(),
        crate::metrics::Metrics::new(),
    );
    drop(desk.submit(crate::model::Batch::default(), vec![1], None, at(0)).unwrap());
    desk.set_overdue(Some(at(100)));
    assert!(desk.may_commit(&desk.inbox.lock(), at(200)), "no sync runs: it is what comes next");
    desk.syncing.store(true, Ordering::Release);
    assert!(desk.may_commit(&desk.inbox.lock(), at(99)));
    assert!(!desk.may_commit(&desk.inbox.lock(), at(100)));
    desk.set_overdue(None);
    assert!(desk.may_commit(&desk.inbox.lock(), at(9_999)));
}

#[test]
fn what_was_written_to_a_segment_that_failed_meanwhile_depends_on_a_flush_too() {
    let (disk, dirs) = (SimDisk::new(1), [std::path::PathBuf::from("/")]);
    let written = |id, last| {
        let header = FileHeader { kind: FileKind::Log, incarnation: 1, id };
        let behind = Behind::new(crate::metrics::Metrics::new());
        let segment = OpenSegment::begin(&disk, &dirs, 1, header, 4096, None, &behind).unwrap();
        LogFile { copies: Arc::clone(segment.copies()), last: SeqNo(last), is_bad: false, is_stuck: false }
    };
    let mut work = Work::default();
    let first = written(1, 3);
    let again = LogFile { copies: Arc::clone(&first.copies), last: SeqNo(5), ..first };
    work.note_file(first);
    work.pending.upto = SeqNo(3);
    // The syncer finds it to fail while the committer appends batches 4 and 5.
    work.break_stage(1, SeqNo(3));
    assert_eq!(work.broken, Some(SeqNo(3)));
    work.note_file(again);
    assert_eq!((work.broken, work.files[0].is_bad), (Some(SeqNo(5)), true));
    work.note_file(written(2, 6));
    assert_eq!((work.broken, work.files[1].is_bad), (Some(SeqNo(5)), false), "that one works");
}

#[test]
fn where_it_cannot_be_noted_that_a_copy_is_behind_the_other_is_not_enough_for_what_comes() {
    let (disk, dirs) = (SimDisk::new(1), ["/a", "/b"].map(std::path::PathBuf::from));
    for can_note in [true, false] {
        dirs.iter().for_each(|dir| disk.create_dir_all(dir).unwrap());
        let behind = Behind::new(crate::metrics::Metrics::new());
        behind.remember_by(Box::new(move |_| if can_note { Ok(()) } else { Err("no room".into()) }));
        let header = FileHeader { kind: FileKind::Log, incarnation: 1, id: 1 + u64::from(can_note) };
        let segment = OpenSegment::begin(&disk, &dirs, 1, header, 4096, None, &behind).unwrap();
        let [good, bad] = [0, 1].map(|lane| segment.copies().in_lane(lane).unwrap());
        let note = |copy, last, synced| copies::note(segment.copies(), copy, SeqNo(last), synced, &behind).is_ok();
        assert!(note(good, 3, Ok(())) && note(bad, 3, Ok(())));
        let failed = || Err(std::io::Error::other("a bad sector"));
        assert_eq!(note(bad, 4, failed()), can_note);
        assert!(note(good, 4, Ok(())));
        let copies = segment.copies();
        assert_eq!(
            (copies.is_broken(), copies.is_safe(SeqNo(3)), copies.is_safe(SeqNo(4))),
            (!can_note, true, can_note)
        );
        // Told again of a copy that is out already, it has nothing to add.
        assert_eq!((note(bad, 4, failed()), behind.with(<[usize]>::len)), (can_note, usize::from(can_note)));
    }
}

#[test]
fn exposure_counts_what_lies_above_a_mark_and_how_old_it_is() {
    let mut exposure = Exposure::default();
    exposure.add([(SeqNo(9), 8, 80), (SeqNo(10), 12, 120)].into_iter(), at(5));
    exposure.add([(SeqNo(30), 5, 50)].into_iter(), at(7));
    // Answers of a weaker level may be given later for a lower number.
    exposure.add([(SeqNo(20), 3, 30)].into_iter(), at(8));
    let mut ages = Vec::new();
    exposure.release(SeqNo(9), at(10), |age, samples| ages.push((age, samples)));
    assert_eq!(exposure.at_risk(at(10)), AtRisk { batches: 3, samples: 20, bytes: 200, age: at(5) });
    exposure.release(SeqNo(20), at(10), |age, samples| ages.push((age, samples)));
    assert_eq!(ages, [(at(5), 8), (at(5), 12), (at(2), 3)]);
    assert_eq!(exposure.at_risk(at(10)), AtRisk { batches: 1, samples: 5, bytes: 50, age: at(3) });
    exposure.release(SeqNo(30), at(10), |_, _| {});
    assert_eq!(exposure.at_risk(at(99)), AtRisk::default());
}

#[test]
fn exposure_is_bounded_and_neither_count_nor_age_reads_too_low() {
    let mut exposure = Exposure::default();
    for number in (1..=50_000).step_by(2) {
        exposure.add([(SeqNo(number), 1, 1), (SeqNo(number + 1), 1, 1)].into_iter(), at(number));
    }
    exposure.release(SeqNo(40_000), at(50_000), |_, _| {});
    let at_risk = exposure.at_risk(at(50_000));
    assert!(at_risk.samples >= 10_000 && at_risk.age >= at(9_999), "{at_risk:?}");
    exposure.release(SeqNo(50_000), at(50_000), |_, _| {});
    assert_eq!(exposure.at_risk(at(50_000)).samples, 0);
}

fn ledger_record(number: u64) -> LedgerRecord {
    LedgerRecord {
        incarnation: 3,
        mount: 5,
        boot: u128::MAX - 5,
        clock: -7,
        is_clean: false,
        is_troubled: true,
        released: [SeqNo(number + 2), SeqNo(number + 1), SeqNo(number)],
        samples: number * 10,
        process_safe: SeqNo(number + 1),
        power_safe: SeqNo(number),
        at_risk: [Promised { batches: 1, samples: 10 }, Promised { batches: 2, samples: 20 }],
    }
}

#[test]
fn the_newest_whole_ledger_record_counts_and_damage_of_one_slot_costs_one_record() {
    let (disk, path) = (SimDisk::new(1), Path::new("/LEDGER"));
    assert_eq!(Ledger::read(&disk, path).unwrap(), None);
    let ledger = Ledger::create(&disk, path, &ledger_record(0)).unwrap();
    for number in 1..=7 {
        ledger.write(&ledger_record(number)).unwrap();
        assert_eq!(Ledger::read(&disk, path).unwrap(), Some(ledger_record(number)));
    }
    // Two records at the start and seven since: the ninth stands in the second slot.
    for at in 0..160 {
        disk.corrupt(path, 4096 + at, 8).unwrap();
        assert_eq!(Ledger::read(&disk, path).unwrap(), Some(ledger_record(6)), "byte {at}");
        disk.corrupt(path, 4096 + at, 8).unwrap();
    }
    disk.inject(Fault::new(Errno::IO).of(OpKind::Write).at("LEDGER"));
    assert!(ledger.write(&ledger_record(8)).is_err(), "who answers must be told");
}

#[test]
fn a_ledger_is_shown_with_both_slots_and_which_of_them_counts() {
    let (disk, path) = (SimDisk::new(1), Path::new("/LEDGER"));
    let ledger = Ledger::create(&disk, path, &ledger_record(0)).unwrap();
    ledger.write(&ledger_record(7)).unwrap();
    let shown = || {
        let mut text = String::new();
        describe_ledger(&disk, path, &mut text).unwrap();
        text
    };
    let text = shown();
    for part in [
        "slot at byte 0: record 2, older\n",
        "slot at byte 4096: record 3, the newest, which counts\n  start 3 in boot ",
        "  answered at level memory: up to batch 9\n  answered at level os: up to batch 8\n",
        "  samples accepted up to batch 9: 70\n",
        "  power: safe up to batch 7; at risk: 2 batches, 20 samples\n  not ended; a write or sync of the stage failed\n",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    disk.corrupt(path, 4096 + 60, 1).unwrap();
    let text = shown();
    assert!(text.contains("0: record 2, the newest") && text.contains("4096: no valid record"), "{text}");
}

#[test]
fn of_an_earlier_start_nothing_is_left_in_a_ledger_taken_over() {
    let (disk, path) = (SimDisk::new(1), Path::new("/LEDGER"));
    Ledger::create(&disk, path, &ledger_record(5)).unwrap().finish(&ledger_record(6)).unwrap();
    disk.crash(CrashKind::PowerNone);
    disk.restart();
    assert_eq!(Ledger::read(&disk, path).unwrap(), Some(LedgerRecord { is_clean: true, ..ledger_record(6) }));
    drop(Ledger::create(&disk, path, &ledger_record(7)).unwrap());
    disk.crash(CrashKind::PowerNone);
    disk.restart();
    for slot in [0, 4096] {
        disk.corrupt(path, slot + 100, 8).unwrap();
        assert_eq!(Ledger::read(&disk, path).unwrap(), Some(ledger_record(7)));
        disk.corrupt(path, slot + 100, 8).unwrap();
    }
}

#[test]
fn who_stops_watching_takes_no_room_however_long_a_sync_takes() {
    let mut answers = Answers::default();
    let watcher = |number| {
        let (reply, ticket) = tokio::sync::oneshot::channel();
        (Waiter { number: SeqNo(number), level: AckLevel::Disk, samples: 0, bytes: 0, total: 0, reply }, ticket)
    };
    let (first, kept) = watcher(1);
    answers.watch(first);
    (0..10_000).for_each(|_| answers.watch(watcher(2).0));
    let reached = answers.reached(AckLevel::Disk, SeqNo(2));
    assert!(reached.len() < 10, "{} are queued", reached.len());
    assert_eq!(reached[0].number, SeqNo(1), "who is there is not forgotten");
    drop(kept);
}

#[test]
fn before_the_first_sync_has_ended_a_window_is_the_modes_own() {
    let policy = Mode::WalInterval(at(1_000)).policy();
    assert_eq!(policy.window(AckLevel::Os, Failure::Power, Duration::ZERO), Some(at(1_000)));
    assert_eq!(policy.window(AckLevel::Os, Failure::Power, at(20)), Some(at(1_040)));
    assert_eq!(Mode::WalOs.policy().window(AckLevel::Os, Failure::Power, Duration::ZERO), None);
}
