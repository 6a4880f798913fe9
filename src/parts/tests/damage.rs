use proptest::prelude::*;

use super::*;
use crate::parts::{
    image::{Directory, Footing, unpack},
    page,
};

/// A part with everything in it, in about a thousand bytes: single and gathered blocks, shared and own stamps, constants, aggregates.
fn small() -> Vec<Input> {
    vec![
        input("cpu", 1, seconds(0, 4), &[("idle", &[1.5, 2.5, 3.25, 1.0])]),
        input("cpu", 2, seconds(0, 3), &[("idle", &[9.0; 3]), ("user", &[9.0, 8.0, f64::NAN])]),
        input("cpu", 3, seconds(1, 2), &[("idle", &[9.0; 2]), ("user", &[7.0, f64::from_bits(STALE)])]),
        input("cpu", 4, seconds(0, 3), &[("idle", &[9.0; 3]), ("user", &[1.0, 2.0, 3.0])]),
        input("mem", 4, seconds(90, 2), &[("free", &[1e9, 2e9]), ("used", &[5.0, 5.0])]),
    ]
}

/// All a part has to tell, or the first error.
fn read_all(bytes: &[u8]) -> Result<(Footer, Summary, Samples, Samples, Vec<String>), Error> {
    let part = open(bytes)?;
    let mut aggregates = Vec::new();
    for table in part.tables() {
        for block in blocks_of(&part, &table.name, &all_streams(), None, TimeRange::ALL)? {
            let of = |field| block.aggregates(part.field(field).unwrap());
            aggregates.extend(table.fields.iter().map(|field| format!("{field} {:?}", of(field))));
        }
    }
    let selected = select(&part, &all_streams(), TimeRange::ALL)?;
    Ok((part.footer().clone(), *part.summary(), scan(&part)?, selected, aggregates))
}

/// Where the index ends and the first tail begins.
fn tails_at(part: &Part) -> usize {
    let last = part.page_ref(part.page_count() - 1).column;
    last.offset as usize + last.size as usize
}

#[test]
fn every_changed_byte_is_noticed_and_those_of_the_frame_cost_nothing() {
    for level in [Level::Light, Level::Full] {
        let bytes = build(level, &small());
        let whole = read_all(&bytes).unwrap();
        assert_eq!(whole.2, expected(&small(), &all_streams(), TimeRange::ALL));
        let tails_at = tails_at(&open(&bytes).unwrap());
        for place in 0..bytes.len() {
            let is_frame = place < 16 || (level == Level::Full && place >= tails_at);
            for flip in [0x01, 0x10, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[place] ^= flip;
                match read_all(&damaged) {
                    Err(error) => assert!(!is_frame, "byte {place} ^ {flip:02x}: {error}"),
                    Ok(answer) => assert!(is_frame && answer == whole, "byte {place} ^ {flip:02x} of {tails_at}"),
                }
                let Ok(part) = open(&damaged) else { continue };
                let faults = part.faults().unwrap();
                assert_eq!(faults.len(), usize::from(is_frame), "byte {place} ^ {flip:02x}");
                for fault in faults {
                    damaged[fault.offset as usize..][..fault.bytes.len()].copy_from_slice(&fault.bytes);
                }
                assert!(!is_frame || damaged == bytes, "byte {place} ^ {flip:02x} is not mended");
            }
        }
    }
}

/// More than the 64 KiB from which on tails are a block apart.
fn large() -> Vec<Input> {
    (0..40).map(|n| input("t", n, seconds(0, 1000), &[("f", &values(u64::from(n), 1000))])).collect()
}

#[test]
fn no_lost_block_takes_both_tails_and_what_is_cut_off_or_added_costs_nothing() {
    let bytes = build(Level::Full, &large());
    assert!(bytes.len() > 65_536);
    let whole = read_all(&bytes).unwrap();
    let tails_at = tails_at(&open(&bytes).unwrap());
    for from in (tails_at.next_multiple_of(4096)..bytes.len()).step_by(4096) {
        let mut damaged = bytes.clone();
        let end = bytes.len().min(from + 4096);
        damaged[from..end].fill(0);
        assert_eq!(read_all(&damaged).unwrap(), whole, "block at {from}");
        assert_eq!(open(&damaged).unwrap().faults().unwrap().len(), 1);
    }
    let of = |answer: (Footer, Summary, Samples, Samples, Vec<String>)| (answer.0, answer.2, answer.3, answer.4);
    let answer = of(whole);
    for added in [vec![0; 4096], vec![0xa5; 100], bytes.clone()] {
        assert_eq!(of(read_all(&[&bytes[..], &added].concat()).unwrap()), answer, "{} bytes added", added.len());
    }
    assert_eq!(of(read_all(&bytes[..bytes.len() - 3]).unwrap()), answer);
}

#[test]
fn a_file_without_a_whole_tail_is_cut_short_at_every_length() {
    let bytes = build(Level::Full, &small());
    let part = open(&bytes).unwrap();
    let tail_size = (bytes.len() - tails_at(&part)) / 2;
    for len in 0..bytes.len() {
        match open(&bytes[..len]) {
            Ok(part) => assert!(len >= bytes.len() - tail_size && scan(&part).is_ok(), "{len}"),
            Err(error) => {
                assert!(matches!(error, Error::CutShort { len: found, .. } if found == len as u64), "{len}: {error}");
            }
        }
        let error = Part::open(file(&bytes[..len]), 0, bytes.len() as u64).err().unwrap();
        assert!(matches!(error, Error::CutShort { .. }), "{len}: {error}");
    }
}

#[test]
fn a_foreign_file_and_another_version_are_told_from_damage() {
    let bytes = build(Level::Full, &small());
    let with_header = |header: &[u8]| open(&[header, &bytes[header.len()..]].concat());
    assert!(with_header(b"PLIMWAL_").is_ok(), "a damaged header costs nothing");
    let foreign = [b"PLIMWAL_", &[7; 900][..]].concat();
    assert!(matches!(open(&foreign), Err(Error::NotAPart { .. })));
    let mut header = bytes[..12].to_vec();
    header[8] = 2;
    assert!(with_header(&header).is_ok());
    let headless = [&header[..], &[7; 900]].concat();
    assert!(matches!(open(&headless), Err(Error::Damaged { what: "header", offset: 0, .. })));
    header.extend(crc32fast::hash(&header).to_le_bytes());
    let error = with_header(&header).err().unwrap();
    assert!(matches!(error, Error::Version { found: 2, .. }), "{error}");
}

#[test]
fn a_damaged_column_leaves_the_others_readable() {
    let inputs = [
        input("cpu", 1, seconds(0, 1000), &[("idle", &values(1, 1000)), ("user", &values(2, 1000))]),
        input("cpu", 2, seconds(0, 1000), &[("idle", &values(3, 1000)), ("user", &values(4, 1000))]),
    ];
    let bytes = build(Level::Full, &inputs);
    let entry = &open(&bytes).unwrap().read_page(0).unwrap()[0];
    let page::Values::Stored(place) = entry.fields[1].values else { panic!("the column is stored") };
    let mut damaged = bytes;
    damaged[place.offset as usize + 5] ^= 4;

    let part = open(&damaged).unwrap();
    let [idle, user] = ["idle", "user"].map(|field| part.field(field).unwrap());
    let blocks = blocks_of(&part, "cpu", &all_streams(), None, TimeRange::ALL).unwrap();
    let fields = [idle, user];
    let read = |block: &BlockRef| {
        let (mut reader, mut damage) = (part.reader(&fields), Vec::new());
        let run = reader.read(block, &mut damage).runs().next().unwrap();
        let present = [0, 1].map(|asked| run.values(asked).is_some());
        (present, damage)
    };
    let (present, mut found) = read(&blocks[0]);
    assert_eq!((present, found.len()), ([true, false], 1), "the other column of the block is read");
    let Damage { place: at, rows, times, error, .. } = found.pop().unwrap();
    assert_eq!((at, rows, times), (Place::Block(0, 0), Some(1000), (0, 9_990_000_000_000)));
    let Error::Damaged { offset, expected, found, .. } = &error else { panic!("{error}") };
    assert_eq!((*offset, *expected), (place.offset, place.crc));
    assert_eq!(
        error.to_string(),
        format!("part 31 is damaged at byte {offset} (value column): checksum {found:08x}, expected {expected:08x}")
    );
    let (present, found) = read(&blocks[1]);
    assert_eq!((present, found.len()), ([true, true], 0));

    let mut scan = part.scan();
    for (stream, fields) in [(StreamId(1), vec!["idle"]), (StreamId(2), vec!["idle", "user"])] {
        let group = scan.next_group().unwrap().unwrap();
        assert_eq!((group.stream, group.fields().map(|(name, _)| name).collect()), (stream, fields));
    }
    assert!(scan.next_group().unwrap().is_none());
    assert_eq!(scan.into_damage().len(), 1);
}

#[test]
fn what_was_found_damaged_is_not_read_again() {
    let inputs = [input("cpu", 1, seconds(0, 1000), &[("idle", &values(1, 1000))])];
    let bytes = build(Level::Full, &inputs);
    let times = open(&bytes).unwrap().read_page(0).unwrap()[0].times;
    let file = file(&bytes);
    let part = Part::open(Arc::clone(&file), 0, bytes.len() as u64).unwrap();
    let at = times.offset + 1;
    let byte = bytes[at as usize];
    file.write_at(&[byte ^ 8], at).unwrap();
    let error = select(&part, &all_streams(), TimeRange::ALL).err().unwrap();
    // A disk that gives the right bytes now and then is not believed.
    file.write_at(&[byte], at).unwrap();
    assert_eq!(select(&part, &all_streams(), TimeRange::ALL).err().unwrap().to_string(), error.to_string());
    let part = Part::open(file, 0, bytes.len() as u64).unwrap();
    assert_eq!(
        select(&part, &all_streams(), TimeRange::ALL).unwrap(),
        expected(&inputs, &all_streams(), TimeRange::ALL)
    );
}

#[test]
fn a_damaged_index_page_leaves_the_others_readable() {
    let inputs: Vec<_> =
        (0..1200).map(|n| input("t", n, seconds(0, 1000), &[("f", &values(u64::from(n) % 5, 1000))])).collect();
    let mut bytes = build(Level::Light, &inputs);
    let first = *open(&bytes).unwrap().page_ref(0);
    bytes[first.column.offset as usize] ^= 1;
    let part = open(&bytes).unwrap();
    let one = |stream: u32| std::iter::once(stream).collect::<RoaringBitmap>();
    let error = blocks_of(&part, "t", &one(0), None, TimeRange::ALL).err().unwrap();
    assert!(matches!(error, Error::Damaged { what: "index page", .. }), "{error}");
    let behind = first.streams.1 + 1;
    assert_eq!(select(&part, &one(behind), TimeRange::ALL).unwrap(), expected(&inputs, &one(behind), TimeRange::ALL));
    let mut scan = part.scan();
    assert_eq!(scan.peek().unwrap(), Some(("t", StreamId(behind))), "what is peeked at is what comes");
    assert_eq!(scan.next_group().unwrap().unwrap().stream.0, behind);
    let damage = scan.into_damage();
    assert_eq!((damage[0].place, damage[0].blocks), (Place::Page(0), u64::from(first.entries)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_the_index_decoders_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = page::decode(&bytes);
        let _ = Directory::decode(&bytes);
        let _ = Footing::decode(&bytes);
        let _ = unpack(&bytes, 1000);
    }

    #[test]
    fn no_change_behind_the_checksums_makes_the_page_decoder_panic(changes in prop::collection::vec((any::<u16>(), any::<u8>()), 1..4)) {
        let part = open(&build(Level::Full, &small())).unwrap();
        let mut raw = page::encode(&part.read_page(0).unwrap());
        prop_assert_eq!(page::encode(&page::decode(&raw).unwrap()), raw.clone());
        for (place, byte) in changes {
            let place = usize::from(place) % raw.len();
            raw[place] = byte;
        }
        let _ = page::decode(&raw);
    }
}
