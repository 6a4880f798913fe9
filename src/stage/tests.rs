mod unread;

use std::{path::Path, sync::Arc};

use proptest::prelude::*;

use super::*;
use crate::{
    disk::{Disk, Errno, Fault, OpKind, SimDisk},
    model::{Batch, Day, LayoutId, Rows, SeqNo, Slot, StreamId, StreamKey},
};

const DIR: &str = "/wal";

fn disk() -> SimDisk {
    let disk = SimDisk::new(1);
    disk.create_dir_all(Path::new(DIR)).unwrap();
    disk
}

fn log(id: u64) -> FileHeader {
    FileHeader { kind: FileKind::Log, incarnation: 7, id }
}

fn append(segment: &mut Segment, number: u64, payload: &[u8]) {
    append_of(segment, Kind::Batch, number, payload);
}

fn append_of(segment: &mut Segment, kind: Kind, number: u64, payload: &[u8]) {
    let header = FrameHeader {
        place: segment.place(0),
        number: SeqNo(number),
        safe: SeqNo(number - 1),
        samples: number * 10,
        kind,
    };
    let mut bytes = Vec::new();
    put_frame(&mut bytes, &header, &[payload]);
    segment.append(&bytes, SeqNo(number)).unwrap();
}

/// Numbers and payloads of the valid frames, and how much is damaged.
fn scanned(disk: &SimDisk, id: u64) -> (Vec<(u64, Vec<u8>)>, u64) {
    let path = Path::new(DIR).join(file_name(FileKind::Log, id));
    let mut scan = Scan::new(disk.open(&path).unwrap(), &path, id).unwrap();
    let (mut frames, mut damaged) = (Vec::new(), 0);
    while let Some(found) = scan.next().unwrap() {
        match found {
            Found::Frame(frame) => frames.push((frame.header.number.0, frame.payload.into_owned())),
            Found::Damage { bytes, .. } => damaged += bytes,
        }
    }
    (frames, damaged)
}

fn segment_of_three(disk: &SimDisk) -> Segment {
    let mut segment = Segment::create(disk, Path::new(DIR), log(3), 4096).unwrap();
    (1..=3).for_each(|number| append(&mut segment, number, &[number as u8; 100]));
    segment
}

#[test]
fn frames_come_back_as_they_were_written() {
    let disk = disk();
    let segment = segment_of_three(&disk);
    let expected: Vec<_> = (1..=3).map(|number| (number, vec![number as u8; 100])).collect();
    assert_eq!(scanned(&disk, 3), (expected, 0));
    assert_eq!(segment.last(), SeqNo(3));
    assert_eq!(list_files(&disk, Path::new(DIR), FileKind::Log).unwrap().len(), 1);
    assert_eq!(list_files(&disk, Path::new("/none"), FileKind::Log).unwrap().len(), 0);
}

#[test]
fn a_scan_goes_on_behind_damage_at_any_byte() {
    let disk = disk();
    let segment = segment_of_three(&disk);
    let path = segment.path().to_owned();
    for at in FILE_HEADER_SIZE..segment.end() {
        disk.corrupt(&path, at, 0x40).unwrap();
        let (frames, damaged) = scanned(&disk, 3);
        // Three frames of 160 bytes; the last three bytes of each are padding, which nothing depends on.
        let (hit, inside) = ((at - FILE_HEADER_SIZE) / 160, (at - FILE_HEADER_SIZE) % 160 < 157);
        let kept: Vec<u64> = (1..=3).filter(|number| !inside || number - 1 != hit).collect();
        assert_eq!(frames.iter().map(|(number, _)| *number).collect::<Vec<_>>(), kept, "byte {at}");
        // Damage at the end cannot be told from a torn tail.
        assert_eq!(damaged, if inside && hit < 2 { 160 } else { 0 }, "byte {at}");
        disk.corrupt(&path, at, 0x40).unwrap();
    }
}

#[test]
fn what_a_recycled_file_held_before_does_not_pass_for_new() {
    let disk = disk();
    let old = segment_of_three(&disk);
    let mut new = Segment::recycle(&disk, Path::new(DIR), log(9), (old.path(), &*old.file())).unwrap();
    assert_eq!(scanned(&disk, 9), (vec![], 0));
    append(&mut new, 50, b"new");
    assert_eq!(scanned(&disk, 9), (vec![(50, b"new".to_vec())], 0));
}

#[test]
fn a_cut_frame_is_no_frame() {
    let disk = disk();
    let segment = segment_of_three(&disk);
    for size in FILE_HEADER_SIZE + 320..segment.end() - 3 {
        disk.truncate(segment.path(), size).unwrap();
        assert_eq!(scanned(&disk, 3).0.len(), 2, "{size} bytes");
    }
}

#[test]
fn a_file_of_a_newer_version_is_refused() {
    let disk = disk();
    let segment = segment_of_three(&disk);
    let file: Arc<dyn crate::disk::File> = segment.file();
    let mut header = [0; 64];
    file.read_exact_at(&mut header, 0).unwrap();
    header[8] = 2;
    let crc = {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&header[..12]);
        hasher.update(&header[16..]);
        hasher.finalize()
    };
    header[12..16].copy_from_slice(&crc.to_le_bytes());
    file.write_at(&header, 0).unwrap();
    let error = Scan::new(file, segment.path(), 3).err().unwrap().to_string();
    assert!(error.contains("format version 2"), "{error}");
}

#[test]
fn definitions_and_commits_survive_their_bytes() {
    let key = StreamKey::new("cpu", [("host", "a")]).unwrap();
    let definitions = Definitions {
        streams: vec![StreamDefinition { id: StreamId(u32::MAX), key }],
        layouts: vec![LayoutDefinition { id: LayoutId(5), table: "cpu".into(), fields: vec!["b".into(), "a".into()] }],
    };
    let mut payload = Vec::new();
    definitions.encode(&mut payload);
    payload.extend_from_slice(b"rows");
    assert_eq!(decode_batch(&payload).unwrap(), (definitions.clone(), &b"rows"[..]));

    let page = |offset, size| Page { day: Day(-4), offset, size };
    let pages = vec![page(0, 3), page(3, 2)];
    let uses = vec![vec![(StreamId(u32::MAX), LayoutId(5)), (StreamId(1), LayoutId(0))], vec![]];
    let commit = Commit { after: SeqNo(1), given: SeqNo(9), pages, definitions, uses };
    let mut payload = Vec::new();
    encode_commit(&commit, b"pages", &mut payload);
    let (decoded, first) = decode_commit(&payload).unwrap();
    assert_eq!((decoded, &payload[first..]), (commit.clone(), &b"pages"[..]));
    payload.pop();
    assert!(decode_commit(&payload).is_err(), "a page may not lie outside the payload");
}

#[test]
fn a_void_says_which_numbers_it_rejects() {
    assert_eq!(decode_void(&encode_void(SeqNo(7)), SeqNo(9)).unwrap(), SeqNo(7));
    assert!(decode_void(&encode_void(SeqNo(10)), SeqNo(9)).is_err(), "it ends before it begins");
    assert!(decode_void(b"short", SeqNo(9)).is_err());
    let disk = disk();
    let mut segment = segment_of_three(&disk);
    let mut bytes = Vec::new();
    let (place, number) = (segment.place(0), SeqNo(9));
    put_frame(
        &mut bytes,
        &FrameHeader { place, number, safe: SeqNo(2), samples: 30, kind: Kind::Void },
        &[&encode_void(SeqNo(4))],
    );
    segment.append(&bytes, number).unwrap();
    let mut text = String::new();
    describe(segment.file(), segment.path(), &mut text).unwrap();
    assert!(text.contains("Void") && text.contains("rejects 4 to 9"), "{text}");
}

fn rows() -> impl Strategy<Value = Rows> {
    (0_u32..4, 1_usize..5, 0_usize..40).prop_flat_map(|(layout, width, count)| {
        let column = |count| proptest::collection::vec(any::<u64>(), count);
        (column(count), column(count), column(count * width)).prop_map(move |(streams, times, values)| Rows {
            layout: LayoutId(layout),
            width,
            streams: streams.iter().map(|bits| StreamId(*bits as u32)).collect(),
            slots: vec![Slot(0); streams.len()],
            places: if layout % 2 == 0 { Vec::new() } else { (0..streams.len() as u32).map(|n| n * 3).collect() },
            times: times.iter().map(|bits| *bits as i64).collect(),
            values: values.iter().map(|bits| f64::from_bits(*bits)).collect(),
        })
    })
}

fn bits(batch: &Batch) -> Vec<u64> {
    batch.groups.iter().flat_map(|rows| rows.values.iter().map(|value| value.to_bits())).collect()
}

proptest! {
    #[test]
    fn a_batch_survives_its_payload(groups in proptest::collection::vec(rows(), 0..4)) {
        let groups: Vec<Rows> = groups.into_iter().filter(|rows| !rows.is_empty()).collect();
        let batch = Batch { groups };
        let mut payload = Vec::new();
        RowsEncoder::default().encode(&batch, &mut payload);
        let decoded = RowsDecoder::default().decode(&payload).unwrap();
        prop_assert_eq!(bits(&decoded), bits(&batch));
        for (found, sent) in decoded.groups.iter().zip(&batch.groups) {
            prop_assert_eq!((found.layout, found.width, &found.streams, &found.times, &found.places), (sent.layout, sent.width, &sent.streams, &sent.times, &sent.places));
        }
        prop_assert_eq!(decoded.groups.len(), batch.groups.len());
        let (mut layouts, mut streams) = (Vec::new(), Vec::new());
        RowsDecoder::default().references(&payload, |layout| layouts.push(layout), |stream| streams.push(stream)).unwrap();
        prop_assert_eq!(layouts, batch.groups.iter().map(|rows| rows.layout).collect::<Vec<_>>());
        prop_assert_eq!(streams, batch.groups.iter().flat_map(|rows| rows.streams.clone()).collect::<Vec<_>>());
    }

    #[test]
    fn no_payload_makes_a_decoder_panic(payload in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = RowsDecoder::default().decode(&payload);
        let _ = RowsDecoder::default().references(&payload, |_| {}, |_| {});
        let _ = decode_commit(&payload);
        let _ = decode_batch(&payload);
    }
}

#[test]
fn a_group_larger_than_a_column_may_be_is_split() {
    let count = codec::COUNT_MAX + 10;
    let rows = Rows {
        layout: LayoutId(1),
        width: 1,
        streams: vec![StreamId(1); count],
        slots: vec![Slot(0); count],
        places: Vec::new(),
        times: (0..count as i64).collect(),
        values: (0..count).map(|n| n as f64).collect(),
    };
    let batch = Batch { groups: vec![rows] };
    let mut payload = Vec::new();
    RowsEncoder::default().encode(&batch, &mut payload);
    assert_eq!(RowsDecoder::default().decode(&payload).unwrap(), batch);
}

#[test]
fn a_description_names_every_frame() {
    let disk = disk();
    let segment = segment_of_three(&disk);
    disk.corrupt(segment.path(), FILE_HEADER_SIZE + 200, 1).unwrap();
    let mut text = String::new();
    describe(segment.file(), segment.path(), &mut text).unwrap();
    assert!(text.starts_with("Log 3 of incarnation 7\n"), "{text}");
    assert!(text.contains("number 1 safe 0 samples 10") && text.contains("DAMAGED 160 bytes"), "{text}");
}

/// Whether `bytes` are those of a golden file. Never to be written again for a version that is out: a new version gets
/// a file and a test of its own.
fn assert_golden(name: &str, bytes: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/stage").join(name);
    #[allow(clippy::disallowed_methods)] // a test's own file, not the database's
    let golden = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(golden == bytes, "{name} is written differently now: a new format version?");
}

/// Replaces what a file holds by a golden file.
fn put_golden_file(file: &dyn crate::disk::File, name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/stage").join(name);
    #[allow(clippy::disallowed_methods)] // a test's own file, not the database's
    let golden = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    file.set_size(0).unwrap();
    file.write_at(&golden, 0).unwrap();
}

fn golden_definitions() -> Definitions {
    let streams = [(3, "a"), (700, "b")]
        .map(|(id, host)| StreamDefinition { id: StreamId(id), key: StreamKey::new("cpu", [("host", host)]).unwrap() });
    let fields = ["idle", "user"].map(str::to_owned).to_vec();
    let layouts = vec![LayoutDefinition { id: LayoutId(1), table: "cpu".into(), fields }];
    Definitions { streams: streams.to_vec(), layouts }
}

fn golden_batch() -> Batch {
    let rows = Rows {
        layout: LayoutId(1),
        width: 2,
        streams: vec![StreamId(3), StreamId(700), StreamId(3)],
        slots: vec![Slot(0); 3],
        places: vec![0, 2, 3],
        times: vec![1_700_000_000_000_000_000, 1_700_000_000_000_000_001, 1_700_000_010_000_000_000],
        values: vec![1.0, 2.5, -0.0, f64::INFINITY, 99.75, 1e300],
    };
    Batch { groups: vec![rows] }
}

#[test]
fn a_log_segment_of_version_1_is_written_and_read_as_ever() {
    let mut payload = Vec::new();
    golden_definitions().encode(&mut payload);
    RowsEncoder::default().encode(&golden_batch(), &mut payload);
    let disk = disk();
    let mut segment = Segment::create(&disk, Path::new(DIR), log(5), 0).unwrap();
    append(&mut segment, 41, &payload);
    assert_golden("version-1.wal", &disk.read_file(segment.path()).unwrap());
    let (frames, _) = scanned(&disk, 5);
    let (definitions, rows) = decode_batch(&frames[0].1).unwrap();
    assert_eq!((frames[0].0, definitions), (41, golden_definitions()));
    assert_eq!(bits(&RowsDecoder::default().decode(rows).unwrap()), bits(&golden_batch()));
}

#[test]
fn a_packed_batch_of_version_1_is_written_and_read_as_ever() {
    let mut payload = Vec::new();
    golden_definitions().encode(&mut payload);
    let batch = Batch { groups: vec![golden_batch().groups[0].clone(); 20] };
    RowsEncoder::default().encode(&batch, &mut payload);
    let mut packed = Vec::new();
    assert!(Packer::default().pack(&[&payload[..10], &payload[10..]], &mut packed));
    let disk = disk();
    let mut segment = Segment::create(&disk, Path::new(DIR), log(5), 0).unwrap();
    append_of(&mut segment, Kind::PackedBatch, 41, &packed);
    append(&mut segment, 42, b"behind it");
    // What zstd makes of it may change with its version; what it made once must always be read.
    let written = segment.file();
    put_golden_file(&*written, "version-1-packed.wal");
    let (frames, damaged) = scanned(&disk, 5);
    assert_eq!((frames.len(), damaged, &frames[1].1[..]), (2, 0, &b"behind it"[..]));
    assert_eq!(frames[0], (41, payload));
}

#[test]
fn a_packed_payload_is_smaller_or_not_packed_and_damage_asks_for_no_memory() {
    let mut packer = Packer::default();
    let mut packed = Vec::new();
    for size in [0, 1, 10, 100, 10_000, 1_000_000] {
        let same: Vec<u8> = vec![7; size];
        if packer.pack(&[&same], &mut packed) {
            assert!(packed.len() < size && packed::unpack(&packed).unwrap() == same, "{size}");
        }
        let random: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(size).collect();
        assert!(!packer.pack(&[&random], &mut packed), "{size}");
    }
    assert!(packer.pack(&[&[7; 1_000]], &mut packed));
    let whole = packed.clone();
    for at in 0..whole.len() {
        packed.clone_from(&whole);
        packed[at] ^= 0x10;
        // Whatever comes of it, it comes without a panic.
        let _ = packed::unpack(&packed);
        let _ = packed::unpack(&whole[..at]);
    }
    let mut huge = Vec::new();
    codec::put_u64(&mut huge, u64::MAX >> 1);
    assert!(packed::unpack(&[huge, whole].concat()).unwrap_err().to_string().contains("beyond"));
}

#[test]
fn a_container_of_version_1_is_written_and_read_as_ever() {
    let pages = vec![Page { day: Day(19_675), offset: 0, size: 5 }];
    let uses = vec![vec![(StreamId(3), LayoutId(1)), (StreamId(700), LayoutId(1))]];
    let commit = Commit { after: SeqNo(40), given: SeqNo(44), pages, definitions: golden_definitions(), uses };
    let mut payload = Vec::new();
    encode_commit(&commit, b"bytes", &mut payload);
    let disk = disk();
    let header = FileHeader { kind: FileKind::Container, incarnation: 7, id: 6 };
    let mut container = Segment::create(&disk, Path::new(DIR), header, 0).unwrap();
    let place = container.place(0);
    let header = FrameHeader { place, number: SeqNo(43), safe: SeqNo(40), samples: 430, kind: Kind::Commit };
    let mut frame = Vec::new();
    put_frame(&mut frame, &header, &[&payload]);
    container.append(&frame, SeqNo(43)).unwrap();
    assert_golden("version-1.pages", &disk.read_file(container.path()).unwrap());
    let mut scan = Scan::new(container.file(), container.path(), 6).unwrap();
    let Some(Found::Frame(frame)) = scan.next().unwrap() else { panic!("a frame is there") };
    assert_eq!(frame.header, header);
    assert_eq!(decode_commit(&frame.payload).unwrap().0, commit);
}

#[test]
fn a_file_that_cannot_be_begun_leaves_nothing_behind() {
    for kind in [OpKind::Allocate, OpKind::Write, OpKind::SyncDir] {
        let disk = disk();
        disk.inject(Fault::new(Errno::NOSPC).of(kind));
        assert!(Segment::create(&disk, Path::new(DIR), log(3), 4096).is_err());
        assert_eq!(disk.list(Path::new(DIR)).unwrap(), [], "{kind:?}");
        segment_of_three(&disk);
    }
}

#[test]
fn a_torn_tail_is_measured_and_the_remains_of_a_recycled_file_are_not() {
    let disk = disk();
    let segment = segment_of_three(&disk);
    let path = segment.path().to_owned();
    let torn = || {
        let mut scan = Scan::new(disk.open(&path).unwrap(), &path, 3).unwrap();
        while scan.next().unwrap().is_some() {}
        scan.torn_bytes().unwrap()
    };
    assert_eq!(torn(), 0);
    disk.corrupt(&path, segment.end() - 10, 1).unwrap();
    assert_eq!(torn(), 157, "the last frame, without its padding");
    disk.corrupt(&path, FILE_HEADER_SIZE + 160 + 100, 1).unwrap();
    disk.corrupt(&path, segment.end() - 160, 1).unwrap();
    assert_eq!(torn(), 157, "the frame before it; of the last one, whose header is gone, nothing is known");
    Segment::recycle(&disk, Path::new(DIR), log(9), (&path, &*segment.file())).unwrap();
    let path = Path::new(DIR).join(file_name(FileKind::Log, 9));
    let mut scan = Scan::new(disk.open(&path).unwrap(), &path, 9).unwrap();
    assert_eq!(scan.next().unwrap(), None);
    assert_eq!(scan.torn_bytes().unwrap(), 0);
}
