use super::*;

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
fn numbers_in_parts_need_no_frame() {
    let state = state(10, &[(1, 1, None)]);
    let verdict = Verdict::new(&state, SeqNo(0), vec![span(1, 8, 12)], Vec::new());
    assert_eq!((verdict.end, verdict.damaged.len()), (SeqNo(12), 0));
    let nothing = Verdict::new(&state, SeqNo(0), Vec::new(), Vec::new());
    assert_eq!((nothing.end, nothing.damaged.len()), (SeqNo(10), 0));
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
        add_index_parts: vec![entry],
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
    let mut manifest = Manifest::create(Arc::new(disk.clone()), dir, 1, state).unwrap();
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
            let mut manifest = Manifest::create(Arc::new(disk.clone()), dir, 1, State::default()).unwrap();
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
fn either_copy_of_a_manifest_is_enough_and_every_damaged_byte_is_noticed() {
    use crate::disk::{Disk, SimDisk};
    let (disk, dir) = (SimDisk::new(1), Path::new("/data"));
    disk.create_dir_all(dir).unwrap();
    let mut manifest =
        Manifest::create(Arc::new(disk.clone()), dir, 1, State { samples: 5, ..State::default() }).unwrap();
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
