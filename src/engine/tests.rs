use super::{
    loss::{Evidence, Stayed},
    receipts::{Current, receipt},
    *,
};
use crate::{
    durability::{LedgerRecord, Promised},
    model::Position,
};

fn span(incarnation: u32, from: u64, to: u64) -> Span {
    Span { incarnation, from: SeqNo(from), to: SeqNo(to) }
}

fn state(flushed: u64, incarnations: &[(u32, u64, Option<u64>)]) -> State {
    let incarnations = incarnations.iter().map(|&(number, first, end)| Incarnation {
        number,
        first: SeqNo(first),
        end: end.map(SeqNo),
    });
    State { flushed: SeqNo(flushed), incarnations: incarnations.collect(), ..State::default() }
}

#[test]
fn the_sequence_ends_before_the_first_missing_number_above_what_was_safe() {
    let state = state(0, &[(1, 1, None)]);
    let spans = vec![span(1, 1, 1), span(1, 2, 2), span(1, 4, 4)];
    let verdict = Verdict::new(&state, SeqNo(1), spans.clone(), Vec::new());
    assert_eq!((verdict.end, verdict.damaged.len()), (SeqNo(2), 0));
    assert!(verdict.keeps(span(1, 2, 2)) && !verdict.keeps(span(1, 4, 4)));
    let damaged = Verdict::new(&state, SeqNo(4), spans.clone(), Vec::new());
    assert_eq!((damaged.end, damaged.damaged), (SeqNo(4), vec![(SeqNo(3), SeqNo(3))]));
    let beyond = Verdict::new(&state, SeqNo(6), spans, Vec::new());
    assert_eq!((beyond.end, beyond.damaged), (SeqNo(6), vec![(SeqNo(3), SeqNo(3)), (SeqNo(5), SeqNo(6))]));
}

#[test]
fn what_an_earlier_start_cut_off_is_never_revived() {
    let state = state(0, &[(1, 1, Some(3)), (2, 100, None)]);
    let spans = vec![span(1, 1, 3), span(1, 4, 5), span(2, 100, 101), span(1, 99, 99)];
    let verdict = Verdict::new(&state, SeqNo(3), spans, Vec::new());
    assert_eq!((verdict.end, verdict.damaged.len()), (SeqNo(101), 0));
    assert!(!verdict.keeps(span(1, 4, 5)) && !verdict.keeps(span(1, 99, 99)) && verdict.keeps(span(2, 100, 101)));
}

#[test]
fn a_commit_that_goes_beyond_the_end_an_earlier_start_found_covers_nothing() {
    let state = state(0, &[(1, 1, Some(4)), (2, 100, None)]);
    // Its pages count as a whole or not at all, so batches 3 and 4 are nowhere else.
    let verdict = Verdict::new(&state, SeqNo(4), vec![span(1, 1, 2), span(1, 3, 6)], Vec::new());
    assert_eq!((verdict.end, verdict.damaged), (SeqNo(4), vec![(SeqNo(3), SeqNo(4))]));
}

#[test]
fn of_a_run_of_batches_what_lies_before_an_earlier_start_s_end_counts() {
    let state = state(0, &[(1, 1, Some(4)), (2, 100, None)]);
    assert_eq!(state.before_end(span(1, 3, 6)), Some(span(1, 3, 4)));
    assert_eq!(state.before_end(span(1, 3, 4)), Some(span(1, 3, 4)));
    assert_eq!(state.before_end(span(1, 5, 6)), None);
    assert_eq!(state.before_end(span(2, 100, 900)), Some(span(2, 100, 900)));
}

#[test]
fn numbers_in_parts_need_no_frame() {
    let state = state(10, &[(1, 1, None)]);
    let verdict = Verdict::new(&state, SeqNo(0), vec![span(1, 8, 12)], Vec::new());
    assert_eq!((verdict.end, verdict.damaged.len()), (SeqNo(12), 0));
    let nothing = Verdict::new(&state, SeqNo(0), Vec::new(), Vec::new());
    assert_eq!((nothing.end, nothing.damaged.len()), (SeqNo(10), 0));
}

fn loss(samples_max: Option<u64>) -> Loss {
    Loss {
        incarnation: 3,
        ending: Ending::Power,
        clock: -5,
        acknowledged: SeqNo(9),
        end: SeqNo(4),
        batches: Bounds { min: 1, max: Some(2) },
        samples: Bounds { min: 10, max: samples_max },
        damaged_batches: 1,
    }
}

#[test]
fn an_edit_survives_its_bytes() {
    let entry = FileEntry { id: PartId(31), day: Day(-3), numbers: (SeqNo(1), SeqNo(u64::MAX)) };
    let edit = Edit {
        incarnations: vec![
            Incarnation { number: 1, first: SeqNo(1), end: Some(SeqNo(100)) },
            Incarnation { number: 2, first: SeqNo(1 << 40), end: None },
        ],
        flushed: Some(SeqNo(7)),
        samples: Some(8),
        reserved: Some(SeqNo(9)),
        reserved_streams: Some(10),
        reserved_files: Some(11),
        add_parts: vec![entry],
        remove_parts: vec![PartId(1), PartId(2)],
        set_aside_parts: vec![PartId(3)],
        add_index_parts: vec![entry],
        lost: vec![(SeqNo(2), SeqNo(3)), (SeqNo(9), SeqNo(9))],
        given_up: vec![(SeqNo(4), SeqNo(7))],
        losses: vec![loss(Some(20)), loss(None)],
        dropped: vec![(Day(20_000), SeqNo(8)), (Day(19_000), SeqNo(90))],
        mode: Some(("wal-sync".into(), SeqNo(5))),
    };
    let mut bytes = Vec::new();
    edit.encode(&mut bytes);
    assert_eq!(Edit::decode(&bytes), Ok(edit.clone()));
    for cut in 1..bytes.len() {
        let _ = Edit::decode(&bytes[..cut]);
    }
    let state = State::default().apply(&edit);
    assert_eq!(State { removed: state.removed.clone(), ..State::default().apply(&state.to_edit()) }, state);
}

#[test]
fn a_manifest_of_version_1_is_written_and_read_as_ever() {
    use crate::disk::{Disk, SimDisk};
    let (disk, dir) = (SimDisk::new(1), Path::new("/data"));
    disk.create_dir_all(dir).unwrap();
    let entry = |id| FileEntry { id: PartId(id), day: Day(20_000), numbers: (SeqNo(1), SeqNo(9)) };
    let first = Incarnation { number: 1, first: SeqNo(1), end: None };
    let state = State { incarnations: vec![first], reserved: SeqNo(1 << 24), ..State::default() };
    let mut manifest = Manifest::create(Arc::new(disk.clone()), dir, state).unwrap();
    let flush =
        Edit { flushed: Some(SeqNo(9)), add_parts: vec![entry(4)], add_index_parts: vec![entry(5)], ..Edit::default() };
    manifest.record(&flush).unwrap();
    manifest.record(&Edit { add_parts: vec![entry(6)], remove_parts: vec![PartId(4)], ..Edit::default() }).unwrap();
    let bytes = disk.read_file(&dir.join("MANIFEST-000001")).unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/manifest/version-1.manifest");
    #[allow(clippy::disallowed_methods)] // a test's own file, not the database's
    let golden = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(golden == bytes, "the manifest is written differently now: a new format version?");
    assert_eq!(bytes, disk.read_file(&dir.join("MANIFEST-000001.copy")).unwrap());
    let loaded = manifest::Loaded::read(&disk, dir).unwrap();
    assert_eq!((&loaded.state, loaded.number, loaded.clean), (manifest.state(), 1, true));
    assert_eq!(loaded.state.parts.keys().collect::<Vec<_>>(), [&PartId(6)]);
}

#[test]
fn a_record_that_fails_is_not_there_and_the_next_one_begins_a_new_manifest() {
    use crate::disk::{CrashKind, Disk, Errno, Fault, OpKind, SimDisk};
    for kind in [OpKind::Write, OpKind::SyncData] {
        for after in 0..2 {
            let (disk, dir) = (SimDisk::new(1), Path::new("/data"));
            disk.create_dir_all(dir).unwrap();
            disk.sync_dir(Path::new("/")).unwrap();
            let mut manifest = Manifest::create(Arc::new(disk.clone()), dir, State::default()).unwrap();
            disk.inject(Fault::new(Errno::IO).of(kind).after(after));
            assert!(manifest.record(&Edit { flushed: Some(SeqNo(9)), ..Edit::default() }).is_err());
            disk.clear_faults();
            manifest.record(&Edit { samples: Some(5), ..Edit::default() }).unwrap();
            assert_eq!(manifest.state(), &State { samples: 5, ..State::default() });
            disk.crash(CrashKind::PowerNone);
            disk.restart();
            let loaded = manifest::Loaded::read(&disk, dir).unwrap();
            assert_eq!((&loaded.state, loaded.number, loaded.clean), (manifest.state(), 2, true));
        }
    }
}

#[test]
fn a_manifest_that_begins_anew_forgets_what_is_beyond_the_bounds_of_memory() {
    use crate::disk::{Disk, Errno, Fault, SimDisk};
    let (disk, dir) = (SimDisk::new(1), Path::new("/data"));
    disk.create_dir_all(dir).unwrap();
    let many = State { lost: (0..20_000).map(|n| (SeqNo(n * 2), SeqNo(n * 2))).collect(), ..State::default() };
    let mut manifest = Manifest::create(Arc::new(disk.clone()), dir, many).unwrap();
    disk.inject(Fault::new(Errno::IO));
    assert!(manifest.record(&Edit { samples: Some(4), ..Edit::default() }).is_err());
    manifest.record(&Edit { samples: Some(5), ..Edit::default() }).unwrap();
    let lost = &manifest.state().lost;
    assert_eq!((lost.len(), lost[lost.len() - 1].0), (10_000, SeqNo(39_998)));
    assert_eq!(manifest::Loaded::read(&disk, dir).unwrap().state, *manifest.state());
}

#[test]
fn both_copies_of_a_manifest_outlast_a_power_cut() {
    use crate::disk::{CrashKind, Disk, SimDisk};
    for records in 0..3 {
        let (disk, dir) = (SimDisk::new(1), Path::new("/data"));
        disk.create_dir_all(dir).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        let mut manifest = Manifest::create(Arc::new(disk.clone()), dir, State::default()).unwrap();
        (0..records).for_each(|n| manifest.record(&Edit { samples: Some(5 + n), ..Edit::default() }).unwrap());
        disk.crash(CrashKind::PowerNone);
        disk.restart();
        for damaged in [dir.join("MANIFEST-000001"), dir.join("MANIFEST-000001.copy")] {
            disk.corrupt(&damaged, 0, 1).unwrap();
            let loaded = manifest::Loaded::read(&disk, dir).unwrap();
            assert_eq!((&loaded.state, loaded.number), (manifest.state(), 1), "{records}, {}", damaged.display());
            disk.corrupt(&damaged, 0, 1).unwrap();
        }
    }
}

#[test]
fn a_manifest_is_in_force_whatever_two_operations_fail_while_the_next_is_begun() {
    use crate::disk::{CrashKind, Disk, Errno, Fault, SimDisk};
    for (kind, first) in
        [CrashKind::Process, CrashKind::PowerNone].into_iter().flat_map(|kind| (0..16).map(move |n| (kind, n)))
    {
        for second in first..32 {
            let (disk, dir) = (SimDisk::new(1), Path::new("/data"));
            disk.create_dir_all(dir).unwrap();
            disk.sync_dir(Path::new("/")).unwrap();
            Manifest::create(Arc::new(disk.clone()), dir, State { samples: 5, ..State::default() }).unwrap();
            for after in [first, second] {
                disk.inject(Fault::new(Errno::IO).after(after));
            }
            let attempts = [6, 7].map(|samples| {
                Manifest::create(Arc::new(disk.clone()), dir, State { samples, ..State::default() }).is_ok()
            });
            disk.clear_faults();
            disk.crash(kind);
            disk.restart();
            let loaded = manifest::Loaded::read(&disk, dir).unwrap();
            let last = [7, 6, 5][attempts.iter().rev().take_while(|done| !**done).count()];
            assert!(
                loaded.state.samples >= last,
                "{attempts:?}, but {}, {kind:?}, {first}, {second}",
                loaded.state.samples
            );
        }
    }
}

#[test]
fn either_copy_of_a_manifest_is_enough_and_every_damaged_byte_is_noticed() {
    use crate::disk::{Disk, SimDisk};
    let (disk, dir) = (SimDisk::new(1), Path::new("/data"));
    disk.create_dir_all(dir).unwrap();
    let mut manifest = Manifest::create(Arc::new(disk.clone()), dir, State { samples: 5, ..State::default() }).unwrap();
    manifest.record(&Edit { flushed: Some(SeqNo(9)), ..Edit::default() }).unwrap();
    let paths = [dir.join("MANIFEST-000001"), dir.join("MANIFEST-000001.copy")];
    for (damaged, other) in [(&paths[0], &paths[1]), (&paths[1], &paths[0])] {
        for at in 0..disk.read_file(damaged).unwrap().len() as u64 {
            disk.corrupt(damaged, at, 0x10).unwrap();
            let loaded = manifest::Loaded::read(&disk, dir).unwrap();
            assert_eq!(loaded.state, *manifest.state(), "byte {at} of {}", damaged.display());
            disk.corrupt(damaged, at, 0x10).unwrap();
        }
        assert_eq!(disk.read_file(damaged).unwrap(), disk.read_file(other).unwrap());
    }
}

#[test]
fn what_the_directory_stands_on_is_told_once_it_is_probed() {
    let (disk, metrics) = (disk::SimDisk::new(1), Metrics::new());
    let engine = Engine::open(Arc::new(disk), Options::new("/data"), Arc::clone(&metrics)).unwrap();
    assert!(engine.probe().is_none() && metrics.disk_probe_fsync.get() == 0.0);
    engine.probe_disk();
    assert_eq!(engine.probe().map(|probe| probe.sync.median.as_secs_f64()), Some(0.0001));
    assert_eq!(metrics.disk_probe_fsync.get(), 0.0001);
}

#[test]
fn numbers_found_lost_before_are_neither_missing_nor_revived() {
    let mut state = state(0, &[(1, 1, Some(6)), (2, 100, None)]);
    state.lost = vec![(SeqNo(3), SeqNo(4))];
    let spans = vec![span(1, 1, 2), span(1, 3, 6), span(2, 100, 104)];
    let verdict = Verdict::new(&state, SeqNo(6), spans, vec![span(2, 102, 103)]);
    assert_eq!((verdict.end, &*verdict.damaged), (SeqNo(104), &[][..]));
    assert_eq!(verdict.voids, [(SeqNo(3), SeqNo(4)), (SeqNo(102), SeqNo(103))]);
}

#[test]
fn what_is_remembered_of_starts_is_bounded_and_never_tells_of_one_it_forgot_half() {
    let starts: Vec<_> =
        (1..=1_500).map(|number| (number, u64::from(number) * 10, Some(u64::from(number) * 10 + 5))).collect();
    let mut state = state(20_000, &starts);
    state.lost = (0..11_000).map(|n| (SeqNo(n), SeqNo(n))).collect();
    state.losses = vec![loss(None); 150];
    state.forget();
    assert_eq!((state.incarnations.len(), state.losses.len()), (1_000, 100));
    assert_eq!((state.incarnations[0].number, state.lost[0].0), (501, SeqNo(5_010)));
    state.lost = (0..20_000).map(|n| (SeqNo(n), SeqNo(n))).collect();
    state.forget();
    assert_eq!(state.incarnations[0].number, 1_000, "of number 10,000 and behind all lost ranges are known");
    state.flushed = SeqNo(7);
    let before = state.clone();
    state.forget();
    assert_eq!(state, before, "a start with numbers that are not in parts stays");
}

#[test]
fn receipts_tell_the_truth_of_every_start() {
    let mut state = state(0, &[(4, 10, Some(15)), (5, 100, Some(99)), (6, 200, None)]);
    state.lost = vec![(SeqNo(12), SeqNo(13))];
    state.given_up = vec![(SeqNo(13), SeqNo(14))];
    let current = Current {
        incarnation: 6,
        first: SeqNo(200),
        given: SeqNo(210),
        power_safe: SeqNo(205),
        is_rejected: false,
        is_unread: false,
        is_damaged: false,
    };
    let told = |incarnation, number| {
        let current = Current { is_rejected: number == 203, is_damaged: [201, 206].contains(&number), ..current };
        receipt(&state, current, Position { incarnation, number: SeqNo(number) })
    };
    use Receipt::*;
    for (incarnation, number, expected) in [
        (4, 9, Unknown),
        (4, 10, Safe),
        (4, 12, Lost),
        (4, 13, Lost),
        (4, 14, Damaged),
        (4, 15, Safe),
        (4, 16, Lost),
        (4, 100, Unknown),
        (5, 100, Lost),
        (6, 199, Unknown),
        (6, 201, Damaged),
        (6, 202, Safe),
        (6, 203, Lost),
        (6, 206, Pending),
        (6, 211, Unknown),
        (3, 5, Expired),
        (0, 5, Unknown),
        (7, 300, Unknown),
    ] {
        assert_eq!(told(incarnation, number), expected, "{incarnation}/{number}");
    }
}

/// Batches of one start, from number 11 on: their samples, and whether they were acknowledged.
type Batches = Vec<(u64, bool)>;

/// The ledger's last record, had everything up to `safe` been safe.
fn record(batches: &Batches, safe: u64) -> LedgerRecord {
    let numbered = || (11..).zip(batches);
    let acknowledged = numbered().filter(|(_, (_, acked))| *acked).map(|(number, _)| number).max().unwrap_or(0);
    let at_risk = numbered().filter(|(number, (_, acked))| *acked && *number > safe);
    let at_risk = Promised { batches: at_risk.clone().count() as u64, samples: at_risk.map(|(_, (n, _))| n).sum() };
    let samples = 500 + numbered().take_while(|(number, _)| *number <= acknowledged).map(|(_, (n, _))| n).sum::<u64>();
    let marks = Watermarks { visible: SeqNo(0), process_safe: SeqNo(safe), power_safe: SeqNo(safe) };
    LedgerRecord {
        released: [SeqNo(acknowledged), SeqNo(0), SeqNo(0)],
        samples,
        at_risk: [at_risk; 2],
        ..LedgerRecord::first(2, (7, 3), marks, 0)
    }
}

fn assess(batches: &Batches, ledger: &LedgerRecord, stayed: Stayed, end: u64) -> Loss {
    let samples = 500 + batches.iter().take((end - 10) as usize).map(|(n, _)| n).sum::<u64>();
    Loss::assess(Evidence {
        incarnation: 2,
        first: SeqNo(11),
        ledger: Some(ledger),
        stayed,
        end: SeqNo(end),
        samples: Some(samples),
        damaged_batches: 0,
    })
}

#[test]
fn a_loss_is_exact_where_the_end_is_what_was_safe_or_all_were_acknowledged_and_bounded_elsewhere() {
    for seed in 0..20_000 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let all_acked = rng.u8(..3) == 0;
        let batches: Batches = (0..rng.usize(1..12)).map(|_| (rng.u64(1..9), all_acked || rng.bool())).collect();
        let (safe, last) = (10 + rng.u64(..=batches.len() as u64), 10 + batches.len() as u64);
        let end = rng.u64(safe..=last);
        let ledger = record(&batches, safe);
        let lost: Vec<_> = (11..).zip(&batches).filter(|(number, (_, acked))| *acked && *number > end).collect();
        let truth = (lost.len() as u64, lost.iter().map(|(_, (n, _))| n).sum::<u64>());
        let within = |bounds: Bounds, truth: u64| bounds.min <= truth && bounds.max.is_none_or(|max| truth <= max);
        let told = assess(&batches, &ledger, Stayed::FileSystem, end);
        assert!(
            within(told.batches, truth.0) && within(told.samples, truth.1),
            "seed {seed}: {told:?}, truth {truth:?}"
        );
        assert_eq!(told.ending, Ending::Process);
        assert!(told.is_exact() || (end > safe && !all_acked), "seed {seed}: {told:?}");
        // Damage may take what was safe, too.
        let damaged = rng.u64(10..=safe);
        let lost = (11..).zip(&batches).filter(|(number, (_, acked))| *acked && *number > damaged);
        let told = assess(&batches, &ledger, Stayed::FileSystem, damaged);
        assert!(within(told.samples, lost.map(|(_, (n, _))| n).sum()), "seed {seed}: {told:?}");
        // A ledger that is older than the last answers.
        let written = rng.usize(..=batches.len());
        let old: Batches = batches[..written].to_vec();
        let (stayed, ending) = match seed % 2 {
            0 => (Stayed::Machine, Ending::FileSystem),
            _ => (Stayed::Nothing, Ending::Power),
        };
        let told = assess(&batches, &record(&old, safe.min(10 + written as u64)), stayed, end);
        let known: Vec<_> = (11..).zip(&old).filter(|(number, (_, acked))| *acked && *number > end).collect();
        let known = (known.len() as u64, known.iter().map(|(_, (n, _))| n).sum::<u64>());
        let bounds = [(told.batches, known.0, truth.0), (told.samples, known.1, truth.1)];
        let holds = |(bounds, known, truth): (Bounds, u64, u64)| within(bounds, known) && bounds.min <= truth;
        assert!(bounds.into_iter().all(holds), "seed {seed}: {told:?}, truth {truth:?}, known {known:?}");
        assert!(told.ending == ending && told.samples.max.is_some() && !told.is_exact() && !told.is_none());
        assert!(told.to_string().contains("by the ledger's last record on the disk, of "), "{told}");
    }
}

#[test]
fn a_probe_that_fails_is_no_reason_to_stop() {
    let disk = disk::SimDisk::new(1);
    let engine = Engine::open(Arc::new(disk.clone()), Options::new("/data"), Metrics::new()).unwrap();
    disk.remove_tree(Path::new("/data")).unwrap();
    engine.probe_disk();
    assert!(engine.probe().is_none() && engine.problem().is_none());
}

#[test]
fn what_a_start_read_in_the_manifest_no_power_cut_takes_back() {
    use crate::disk::CrashKind;
    let (disk, dir) = (disk::SimDisk::new(1), Path::new("/"));
    let entry = |id| FileEntry { id: PartId(id), day: Day(1), numbers: (SeqNo(1), SeqNo(2)) };
    let mut manifest = Manifest::create(Arc::new(disk.clone()), dir, State::default()).unwrap();
    manifest.record(&Edit { add_parts: vec![entry(1), entry(2)], ..Edit::default() }).unwrap();
    // Killed between the write of the record and its sync.
    disk.crash_at(disk.ops() + 1, CrashKind::Process);
    let merged = Edit { add_parts: vec![entry(3)], remove_parts: vec![PartId(1), PartId(2)], ..Edit::default() };
    manifest.record(&merged).unwrap_err();
    disk.restart();
    let mut found = manifest::Loaded::read(&disk, dir).unwrap();
    found.write_anew(&disk, dir).unwrap();
    assert_eq!(found.state.parts.len(), 1, "by this record a start removes the files of parts 1 and 2");
    disk.crash(CrashKind::PowerNone);
    disk.restart();
    let again = manifest::Loaded::read(&disk, dir).unwrap();
    assert_eq!((again.number, again.state.parts), (2, found.state.parts));
}

#[test]
fn a_clean_end_lost_nothing_and_without_a_ledger_nobody_claims_so() {
    let batches = vec![(5, true), (3, true)];
    let clean = LedgerRecord { is_clean: true, ..record(&batches, 12) };
    for stayed in [Stayed::FileSystem, Stayed::Machine, Stayed::Nothing] {
        let loss = assess(&batches, &clean, stayed, 12);
        assert_eq!((loss.ending, loss.is_none()), (Ending::Clean, true));
        assert_eq!(loss.to_string(), "start 2 ended cleanly: nothing acknowledged is lost, the last batch is 12");
    }
    let gone = assess(&batches, &clean, Stayed::FileSystem, 11);
    assert_eq!((gone.samples.max, gone.is_none()), (Some(3), false), "damage: {gone}");
    let older = LedgerRecord { incarnation: 1, ..clean };
    assert_eq!(assess(&batches, &older, Stayed::FileSystem, 12).ending, Ending::Unserved);
    let none = Loss::assess(Evidence {
        incarnation: 2,
        first: SeqNo(11),
        ledger: None,
        stayed: Stayed::Nothing,
        end: SeqNo(12),
        samples: None,
        damaged_batches: 0,
    });
    assert_eq!((none.ending, none.samples), (Ending::Unknown, Bounds { min: 0, max: None }));
    let crashed = assess(&batches, &record(&batches, 11), Stayed::FileSystem, 11).to_string();
    assert!(
        crashed.ends_with("stayed up: lost are 3 acknowledged samples in 1 batch behind 11, up to 12"),
        "{crashed}"
    );
}
