use super::*;

const VERSION_1: &[u8] = include_bytes!("../../../testdata/parts/version-1.part");

/// What the golden file of version 1 holds. Never to be changed: the file is not written again.
fn version_1() -> Vec<Input> {
    let gauge: Vec<f64> = (0..1200_u32).map(|n| f64::from(n * n % 977) / 100.0).collect();
    let counter: Vec<f64> = (0..1200_u32).map(|n| f64::from(n % 700) * 3.0).collect();
    let stale = f64::from_bits(STALE);
    vec![
        input("cpu", 3, seconds(1_700_000_000, 1200), &[("idle", &gauge), ("total", &counter)]),
        input("cpu", 3, vec![1_700_000_000_000_000_001], &[("guest", &[-0.0])]),
        input("cpu", 4, seconds(1_700_000_000, 1200), &[("idle", &[100.0; 1200]), ("total", &gauge)]),
        input("mem", 1, seconds(1_700_000_000, 3), &[("free", &[1.5, stale, f64::NAN]), ("used", &[1e300, 1.0, 2.0])]),
        input("mem", 2, seconds(1_700_000_005, 3), &[("free", &[0.1, 0.2, 0.3]), ("used", &[f64::INFINITY, 1.0, 2.0])]),
        input("mem", 9, seconds(1_700_000_000, 3), &[("free", &[3.0; 3]), ("used", &[7.0; 3])]),
    ]
}

#[test]
fn the_golden_file_of_version_1_is_read() {
    let part = open(VERSION_1).unwrap();
    assert_eq!(*part.footer(), footer());
    assert_eq!((part.summary().streams, part.summary().blocks), (5, 4));
    assert_eq!(scan(&part).unwrap(), expected(&version_1(), &all_streams(), TimeRange::ALL));
    let total = part.field("total").unwrap();
    let blocks = blocks_of(&part, "cpu", &all_streams(), Some(&[total]), TimeRange::ALL).unwrap();
    assert_eq!(blocks[0].aggregates(total).unwrap().increase(), 499.0 * 3.0 + 699.0 * 3.0);
}

#[test]
fn the_builder_of_today_writes_the_golden_samples_readably() {
    for level in [Level::Light, Level::Full] {
        let part = open(&build(level, &version_1())).unwrap();
        assert_eq!(scan(&part).unwrap(), expected(&version_1(), &all_streams(), TimeRange::ALL));
    }
}
