use std::{path::Path, time::Duration};

use super::{
    due::{Due, Pending, due},
    marks::Exposure,
    *,
};
use crate::{
    disk::{CrashKind, Errno, Fault, OpKind, SimDisk},
    model::SeqNo,
};

#[test]
fn every_mode_has_a_name_that_parses_back() {
    for mode in Mode::ALL {
        assert_eq!(mode.to_string().parse(), Ok(mode));
    }
    assert_eq!("parts".parse(), Ok(Mode::Parts(Duration::from_secs(1))));
    assert_eq!("parts=250ms".parse(), Ok(Mode::Parts(Duration::from_millis(250))));
    assert_eq!("wal".parse::<Mode>(), Err(ModeError::Unknown("wal".into())));
    assert_eq!("wal-sync=1s".parse::<Mode>(), Err(ModeError::Unknown("wal-sync=1s".into())));
    for window in ["parts=", "parts=0ms", "parts=1", "parts=s", "parts=2h", "parts=99999999999999999999s"] {
        assert!(matches!(window.parse::<Mode>(), Err(ModeError::Window(_))), "{window}");
    }
}

fn pending(upto: u64, safe: u64, wanted: u64, since: Option<u64>) -> Pending {
    let since = since.map(Duration::from_millis);
    Pending { upto: SeqNo(upto), safe: SeqNo(safe), wanted: SeqNo(wanted), since, full: false }
}

#[test]
fn a_sync_is_due_when_somebody_waits_or_the_window_is_over() {
    let at = Duration::from_millis;
    let window = When::After(at(100));
    for when in [When::SomebodyWaits, window] {
        assert_eq!(due(when, pending(5, 5, 5, None), at(0)), Due::Idle, "nothing to sync");
        assert_eq!(due(when, pending(5, 4, 5, Some(0)), at(0)), Due::Now, "somebody waits");
        assert_eq!(due(when, Pending { full: true, ..pending(5, 4, 0, Some(0)) }, at(0)), Due::Now, "a cap");
    }
    assert_eq!(due(When::SomebodyWaits, pending(5, 4, 4, Some(0)), at(9_999)), Due::Idle);
    assert_eq!(due(window, pending(5, 4, 0, Some(50)), at(149)), Due::At(at(150)));
    assert_eq!(due(window, pending(5, 4, 0, Some(50)), at(150)), Due::Now);
}

#[test]
fn exposure_counts_what_lies_above_a_mark_and_how_old_it_is() {
    let at = Duration::from_millis;
    let mut exposure = Exposure::default();
    exposure.add(SeqNo(10), 2, 20, 200, at(5));
    exposure.add(SeqNo(30), 1, 5, 50, at(7));
    // Answers of a weaker level may be given later for a lower number.
    exposure.add(SeqNo(20), 1, 3, 30, at(8));
    let mut ages = Vec::new();
    exposure.release(SeqNo(20), at(10), |age, samples| ages.push((age, samples)));
    assert_eq!(ages, [(at(5), 20), (at(2), 3)]);
    assert_eq!(exposure.at_risk(at(10)), AtRisk { batches: 1, samples: 5, bytes: 50, age: at(3) });
    exposure.release(SeqNo(30), at(10), |_, _| {});
    assert_eq!(exposure.at_risk(at(99)), AtRisk::default());
}

#[test]
fn exposure_is_bounded_and_its_age_never_reads_too_low() {
    let mut exposure = Exposure::default();
    for number in 1..=5_000 {
        exposure.add(SeqNo(number), 1, 1, 1, Duration::from_millis(number));
    }
    exposure.release(SeqNo(4_000), Duration::from_secs(5), |_, _| {});
    let at_risk = exposure.at_risk(Duration::from_secs(5));
    assert!(at_risk.samples >= 1_000 && at_risk.age >= Duration::from_millis(999), "{at_risk:?}");
    exposure.release(SeqNo(5_000), Duration::from_secs(5), |_, _| {});
    assert_eq!(exposure.at_risk(Duration::from_secs(5)).samples, 0);
}

fn ledger_record(number: u64) -> LedgerRecord {
    LedgerRecord {
        incarnation: 3,
        boot: u128::MAX - 5,
        clock: -7,
        is_clean: false,
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
