//! Bytes once written stay readable: one small payload of every mode and tag, kept in `testdata/codec/golden.txt`.
//!
//! A line is `name kind payload-in-hex`. Lines are only ever added. A column below without a line fails the test,
//! which then prints the line to add.

use std::{collections::HashMap, fmt::Write};

use crate::codec::{Decoder, Encoder, Level};

const GOLDEN: &str = include_str!("../../../testdata/codec/golden.txt");

enum Column {
    Values(Vec<f64>),
    Times(Vec<i64>),
    Ints(Vec<i64>),
}
use Column::{Ints, Times, Values};

/// Numbers below 2^23 in no order, the same for ever: the generator of POSIX's `rand_r` example.
fn noise(count: usize) -> Vec<i64> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_103_515_245).wrapping_add(12_345);
        i64::from(state >> 9)
    };
    (0..count).map(|_| next()).collect()
}

fn ints(count: usize, of: impl Fn(i64, i64) -> i64) -> Vec<i64> {
    noise(count).into_iter().zip(0..).map(|(noise, index)| of(index, noise)).collect()
}

fn doubles(ints: &[i64], scale: f64) -> Vec<f64> {
    ints.iter().map(|&int| int as f64 / scale).collect()
}

/// Name, level, first bytes expected, and the column.
fn columns() -> Vec<(&'static str, Level, &'static [u8], Column)> {
    use Level::{Full, Light};
    let gauge = ints(40, |_, noise| noise % 1000);
    let mut excepted = doubles(&gauge, 100.0);
    for (index, bits) in [(3, 0x7ff0_0000_0000_0002), (4, 0x8000_0000_0000_0000), (20, 0x7ff8_0000_0000_abcd)] {
        excepted[index] = f64::from_bits(bits);
    }
    let irrational: Vec<f64> = gauge.iter().map(|&int| (int as f64 + 2.0).sqrt()).collect();
    let tail = |_, noise: i64| (noise % 3 - 1) * (noise << (noise % 1009 % 37) >> 20) + noise % 5;
    vec![
        ("values-const", Light, &[0], Values(vec![f64::from_bits(0x7ff0_0000_0000_0002); 5])),
        ("values-decimal", Light, &[1, 2, 4], Values(doubles(&gauge, 100.0))),
        ("values-excepted", Light, &[2, 2, 3], Values(excepted)),
        ("values-bits", Light, &[3, 4], Values(irrational)),
        ("values-near", Full, &[4, 1], Values(doubles(&gauge, 10.0).iter().map(|x| x + 0.7).collect())),
        ("ints-const", Light, &[0], Ints(vec![-3; 9])),
        ("ints-linear", Light, &[1], Ints((0..9).map(|i| 7 - 4 * i).collect())),
        ("ints-varints", Light, &[2], Ints(vec![5, 6, 4, i64::MAX, i64::MIN])),
        ("ints-raw", Light, &[3], Ints(ints(32, |index, noise| (noise << 41) ^ (noise * noise * 12_345) ^ index))),
        ("ints-packed-0", Light, &[4, 0], Ints(gauge)),
        ("ints-packed-1", Light, &[4, 1], Ints(ints(50, |index, noise| index * 500 + noise % 8))),
        ("ints-packed-2", Light, &[4, 2], Ints(ints(50, |index, noise| index * index * 500 + noise % 8))),
        ("ints-packed-chunk", Light, &[4, 0], Ints(ints(515, |_, noise| noise % 4))),
        ("ints-packed-unit", Light, &[4, 4], Ints(ints(40, |_, noise| noise % 16 * 1_000_000 + 5))),
        ("ints-high-low", Full, &[5, 0], Ints(ints(700, |_, noise| noise % 977 + noise / 977 % 977))),
        ("ints-high-low-1", Full, &[5, 1], Ints(ints(600, |index, noise| index * 1000 + noise % 13))),
        ("ints-high-low-2", Full, &[5, 2], Ints(ints(600, |index, noise| index * index * 1000 + noise % 13))),
        ("ints-buckets", Full, &[6], Ints(ints(600, tail))),
        ("ints-dictionary", Full, &[7], Ints(ints(600, |_, noise| (noise >> 9) % 3 * 1_000_003 + noise % 2))),
        ("ints-sparse", Full, &[8], Ints(ints(700, |index, _| (index / 19 * 131) % 1013 * (index / 19)))),
        ("times-ints", Light, &[0, 4], Times(ints(40, |index, noise| index * 10_000 + noise % 10))),
        ("times-grid", Full, &[1], Times(ints(300, |i, noise| (i + i / 100) * 15_000_000 + noise % 7 * 1000))),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        write!(out, "{byte:02x}").expect("a String takes everything");
        out
    })
}

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn line(name: &str, level: Level, column: &Column) -> String {
    let mut payload = vec![];
    let mut encoder = Encoder::new(level);
    let kind = match column {
        Values(values) => {
            encoder.values(values, &mut payload);
            "values"
        }
        Times(times) => {
            encoder.times(times, &mut payload);
            "times"
        }
        Ints(ints) => {
            encoder.ints(ints, &mut payload);
            "ints"
        }
    };
    format!("{name} {kind} {}", hex(&payload))
}

fn stored() -> HashMap<&'static str, Vec<u8>> {
    let entry = |line: &'static str| Some((line.split(' ').next()?, unhex(line.rsplit(' ').next()?)));
    GOLDEN.lines().filter_map(entry).collect()
}

/// Every payload with its count: of values, of times, and of integers.
pub(super) fn payloads() -> [Vec<(Vec<u8>, usize)>; 3] {
    let mut stored = stored();
    let mut kinds = [vec![], vec![], vec![]];
    for (name, _, _, column) in columns() {
        let (kind, count) = match column {
            Values(values) => (0, values.len()),
            Times(times) => (1, times.len()),
            Ints(ints) => (2, ints.len()),
        };
        kinds[kind].push((stored.remove(name).unwrap(), count));
    }
    kinds
}

#[test]
fn payloads_of_every_mode_and_tag_decode_as_when_they_were_written() {
    let stored = stored();
    let mut missing = String::new();
    for (name, level, start, column) in columns() {
        let Some(payload) = stored.get(name) else {
            missing += &format!("{}\n", line(name, level, &column));
            continue;
        };
        assert!(payload.starts_with(start), "{name} is not the mode it should show: {:?}", &payload[..4]);
        let mut decoder = Decoder::new();
        let (mut doubles, mut ints) = (vec![], vec![]);
        match column {
            Values(values) => {
                decoder.values(payload, values.len(), &mut doubles).unwrap();
                assert!(doubles.iter().map(|x| x.to_bits()).eq(values.iter().map(|x| x.to_bits())), "{name}");
            }
            Times(times) => {
                decoder.times(payload, times.len(), &mut ints).unwrap();
                assert_eq!(ints, times, "{name}");
            }
            Ints(column) => {
                decoder.ints(payload, column.len(), &mut ints).unwrap();
                assert_eq!(ints, column, "{name}");
            }
        }
    }
    assert!(missing.is_empty(), "add to testdata/codec/golden.txt:\n{missing}");
}
