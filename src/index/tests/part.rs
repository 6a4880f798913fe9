use std::{path::Path, sync::Arc};

use proptest::prelude::*;

use crate::{
    disk::{Disk, File, SimDisk},
    index::{Error, IndexEntry, IndexPart, IndexPartBuilder},
    model::{Day, PartId, StreamId, StreamKey},
};

const GOLDEN: &[u8] = include_bytes!("../../../testdata/index/version-1.index");

fn file(bytes: &[u8]) -> Arc<dyn File> {
    let file = SimDisk::new(0).create(Path::new("/index")).unwrap();
    file.write_at(bytes, 0).unwrap();
    file
}

fn build(entries: &[IndexEntry]) -> Vec<u8> {
    let mut builder = IndexPartBuilder::default();
    for entry in entries {
        let fields: Vec<&str> = entry.fields.iter().map(|field| &**field).collect();
        builder.push(entry.stream, &entry.key, &fields);
    }
    builder.finish(PartId(31), Day(20_777))
}

fn entry(stream: u32, key: StreamKey, fields: &[&str]) -> IndexEntry {
    IndexEntry { stream: StreamId(stream), key, fields: fields.iter().map(|&field| Arc::from(field)).collect() }
}

/// Three streams of each host, with gaps between the ids.
fn fleet(hosts: u32) -> Vec<IndexEntry> {
    let of_host = |host: u32| {
        let (name, region) = (format!("host-{host}"), format!("region-{}", host % 7));
        let tables: [(_, &[&str]); 3] = [("cpu", &["idle", "user"]), ("disk", &["free"]), ("mem", &["free", "used"])];
        tables.into_iter().zip(host * 5 + 10..).map(move |((table, fields), id)| {
            entry(id, StreamKey::new(table, [("host", &*name), ("region", &*region)]).unwrap(), fields)
        })
    };
    (0..hosts).flat_map(|host| of_host(host).collect::<Vec<_>>()).collect()
}

fn read_all(bytes: &[u8]) -> Result<Vec<IndexEntry>, Error> {
    let part = IndexPart::open(&file(bytes))?;
    assert_eq!((part.id(), part.day()), (PartId(31), Day(20_777)));
    part.entries().collect()
}

#[test]
fn streams_and_their_fields_are_read_back_in_order() {
    for hosts in [0, 1, 1000] {
        assert_eq!(read_all(&build(&fleet(hosts))).unwrap(), fleet(hosts));
    }
}

/// Bytes of one of a file's two images.
fn image_size(bytes: &[u8]) -> usize {
    let second = bytes.len().div_ceil(8192) * 4096;
    assert_eq!(bytes[second..], bytes[..bytes.len() - second], "the images are the same");
    bytes.len() - second
}

/// Writes what belongs where something else is, as a start does. How many pieces it was.
fn mend(bytes: &mut Vec<u8>) -> usize {
    let part = IndexPart::open(&file(bytes)).unwrap();
    let mut count = 0;
    for fault in part.faults() {
        let from = fault.offset as usize;
        bytes.resize(bytes.len().max(from + fault.bytes.len()), 0);
        bytes[from..from + fault.bytes.len()].copy_from_slice(&fault.bytes);
        count += 1;
    }
    count
}

#[test]
fn no_changed_byte_of_an_index_part_costs_anything_and_each_is_mended() {
    let bytes = build(&fleet(30));
    let size = image_size(&bytes);
    let second = bytes.len() - size;
    for place in 0..bytes.len() {
        for flip in [0x01, 0x10, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[place] ^= flip;
            assert_eq!(read_all(&damaged).unwrap(), fleet(30), "byte {place} ^ {flip:02x}");
            let is_used = place < size || place >= second;
            assert_eq!(mend(&mut damaged), usize::from(is_used), "byte {place} ^ {flip:02x}");
            assert!(!is_used || damaged == bytes, "byte {place} ^ {flip:02x} is not mended");
        }
    }
}

#[test]
fn a_lost_block_an_unreadable_one_and_bytes_cut_off_or_added_cost_nothing() {
    for entries in [fleet(3), fleet(3000)] {
        let bytes = build(&entries);
        for block in 0..bytes.len().div_ceil(4096) {
            let mut damaged = bytes.clone();
            let end = bytes.len().min(block * 4096 + 4096);
            damaged[block * 4096..end].fill(0);
            assert_eq!(read_all(&damaged).unwrap(), entries, "block {block}");
            assert!(mend(&mut damaged) > 0);
            assert_eq!(damaged, bytes, "block {block}");
        }
        for cut in [1, 20, image_size(&bytes)] {
            let mut damaged = bytes[..bytes.len() - cut].to_vec();
            assert_eq!(read_all(&damaged).unwrap(), entries, "{cut} bytes cut off");
            assert!(mend(&mut damaged) > 0);
            assert_eq!(damaged, bytes);
        }
        for added in [vec![0; 4096], vec![0xa5; 100], bytes.clone()] {
            assert_eq!(read_all(&[&bytes[..], &added].concat()).unwrap(), entries, "{} bytes added", added.len());
        }
    }
}

#[test]
fn what_is_damaged_in_both_images_is_noticed() {
    let bytes = build(&fleet(30));
    let size = image_size(&bytes);
    for place in 16..size {
        let mut damaged = bytes.clone();
        for image in [0, bytes.len() - size] {
            damaged[image + place] ^= 0x10;
        }
        assert!(read_all(&damaged).is_err(), "byte {place}");
    }
}

#[test]
fn an_index_part_without_a_whole_image_is_none_at_every_length() {
    let bytes = build(&fleet(3));
    for len in 0..image_size(&bytes) {
        let error = read_all(&bytes[..len]).unwrap_err();
        assert!(matches!(error, Error::NotAnIndexPart { size } if size == len as u64), "{len}: {error}");
    }
}

#[test]
fn a_later_version_is_told_from_damage() {
    let bytes = build(&fleet(3));
    let mut header = bytes[..12].to_vec();
    header[8] = 2;
    let with_header = |header: &[u8]| read_all(&[header, &bytes[header.len()..]].concat());
    assert_eq!(with_header(&header).unwrap(), fleet(3), "a damaged header costs nothing");
    header.extend(crc32fast::hash(&header).to_le_bytes());
    assert!(matches!(with_header(&header), Err(Error::Version(2))));
}

#[test]
fn a_page_damaged_in_both_images_costs_its_own_streams_only() {
    let entries = fleet(3000);
    let mut bytes = build(&entries);
    let second = bytes.len() - image_size(&bytes);
    for image in [0, second] {
        bytes[image + 100] ^= 2; // in the first page
    }
    let part = IndexPart::open(&file(&bytes)).unwrap();
    let (read, errors): (Vec<_>, Vec<_>) = part.entries().partition(Result::is_ok);
    let read: Vec<IndexEntry> = read.into_iter().map(Result::unwrap).collect();
    assert!(matches!(errors.as_slice(), [Err(Error::Damaged { offset: 16, .. })]), "{} errors", errors.len());
    assert!(read.len() > 1000, "several pages are left");
    assert_eq!(read, entries[entries.len() - read.len()..]);
    assert_eq!(part.faults().count(), 0, "there is nothing to mend it with");
}

/// What the golden file of version 1 holds. Never to be changed: the file is not written again.
fn golden() -> Vec<IndexEntry> {
    let mut entries = fleet(20);
    entries.push(entry(u32::MAX, StreamKey::new("", [("höst", "ü")]).unwrap(), &["", "value"]));
    entries
}

#[test]
fn the_golden_index_part_of_version_1_is_read() {
    assert_eq!(read_all(GOLDEN).unwrap(), golden());
    let mut damaged = GOLDEN.to_vec();
    damaged[40] ^= 1;
    assert!(read_all(&damaged).is_err(), "it has one image");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_streams_are_read_back(
        streams in prop::collection::btree_map(
            any::<u32>(),
            (".{0,9}", prop::collection::btree_map(".{1,4}", ".{0,300}", 0..5), prop::collection::btree_set(".{0,3}", 0..6)),
            0..60,
        ),
    ) {
        let mut entries = Vec::new();
        for (id, (table, tags, fields)) in &streams {
            let key = StreamKey::new(table, tags.iter().map(|(name, value)| (&**name, &**value))).unwrap();
            entries.push(entry(*id, key, &fields.iter().map(|field| &**field).collect::<Vec<_>>()));
        }
        prop_assert_eq!(read_all(&build(&entries)).unwrap(), entries);
    }

    #[test]
    fn no_directory_makes_the_reader_panic(
        change in any::<u16>(), byte: u8, with_right_checksum: bool,
    ) {
        let mut bytes = build(&fleet(4));
        bytes.truncate(image_size(&bytes));
        let trailer = bytes.len() - 16;
        let size = u32::from_le_bytes(bytes[trailer..trailer + 4].try_into().unwrap()) as usize;
        let directory = trailer - size..trailer;
        bytes[directory.start + usize::from(change) % size] = byte;
        if with_right_checksum {
            let crc = crc32fast::hash(&bytes[directory]);
            bytes[trailer + 4..trailer + 8].copy_from_slice(&crc.to_le_bytes());
        }
        if let Ok(part) = IndexPart::open(&file(&bytes)) {
            part.entries().for_each(drop);
        }
    }
}
