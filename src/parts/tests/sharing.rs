use super::*;
use crate::parts::page::{Entry, Values};

fn entries(part: &Part) -> Vec<Entry> {
    (0..part.page_count()).flat_map(|page| part.read_page(page).unwrap()).collect()
}

fn distinct(offsets: impl Iterator<Item = u64>) -> usize {
    offsets.collect::<std::collections::BTreeSet<_>>().len()
}

#[test]
fn a_fleet_with_the_same_stamps_stores_one_timestamp_column() {
    let inputs: Vec<_> =
        (0..64).map(|host| input("cpu", host, seconds(0, 2000), &[("user", &values(host.into(), 2000))])).collect();
    let part = open(&build(Level::Full, &inputs)).unwrap();
    let entries = entries(&part);
    assert_eq!(entries.len(), 64);
    assert_eq!(distinct(entries.iter().map(|entry| entry.times.offset)), 1);
    assert_eq!(scan(&part).unwrap(), expected(&inputs, &all_streams(), TimeRange::ALL));
}

#[test]
fn timestamps_are_shared_with_columns_seen_long_ago() {
    let inputs: Vec<_> = (0..60)
        .map(|host| input("cpu", host, seconds(i64::from(host % 30), 1000), &[("user", &values(host.into(), 1000))]))
        .collect();
    let part = open(&build(Level::Full, &inputs)).unwrap();
    assert_eq!(distinct(entries(&part).iter().map(|entry| entry.times.offset)), 30);
    assert_eq!(scan(&part).unwrap(), expected(&inputs, &all_streams(), TimeRange::ALL));
}

#[test]
fn a_gathered_block_stores_each_sequence_of_timestamps_once() {
    let inputs: Vec<_> = (0..100)
        .map(|host| input("cpu", host, seconds(i64::from(host % 3), 20), &[("user", &values(host.into(), 20))]))
        .collect();
    let part = open(&build(Level::Full, &inputs)).unwrap();
    let entries = entries(&part);
    assert_eq!((entries.len(), entries[0].rows, entries[0].stamps), (1, 2000, 60));
    assert_eq!(scan(&part).unwrap(), expected(&inputs, &all_streams(), TimeRange::ALL));
}

#[test]
fn equal_values_are_stored_once_and_constants_not_at_all() {
    let inputs: Vec<_> = (0..10)
        .map(|host| {
            let fields: [(_, &[f64]); 2] = [("const", &[f64::from(host); 1000]), ("user", &values(1, 1000))];
            input("cpu", host, seconds(0, 1000), &fields)
        })
        .collect();
    let part = open(&build(Level::Full, &inputs)).unwrap();
    let entries = entries(&part);
    let columns = || entries.iter().flat_map(|entry| &entry.fields);
    let offsets = columns().filter_map(|column| match column.values {
        Values::Stored(place) => Some(place.offset),
        Values::Constant(_) => None,
    });
    assert_eq!((offsets.clone().count(), distinct(offsets)), (10, 1));
    assert_eq!(scan(&part).unwrap(), expected(&inputs, &all_streams(), TimeRange::ALL));
}
