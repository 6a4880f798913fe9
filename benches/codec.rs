//! Bytes a row, and nanoseconds a row to encode and decode, of made-up columns of the usual kinds.

#[allow(unreachable_pub)] // it is shared by benches, each a crate of its own
mod common;

use common::{Case, interleaved};
use fastrand::Rng;
use plimsoll::codec::{Decoder, Encoder, Level};

const ROUNDS: usize = 21;
/// Rows each case handles at least, so that the clock's own cost vanishes.
const ROWS_MIN: usize = 64 * 1024;

fn normal(rng: &mut Rng) -> f64 {
    (0..12).map(|_| rng.f64()).sum::<f64>() - 6.0
}

fn walk(mut step: impl FnMut(&mut Rng, f64) -> f64) -> Vec<f64> {
    let mut rng = Rng::with_seed(1);
    let mut x = 50.0;
    (0..ROWS_MIN)
        .map(|_| {
            x = step(&mut rng, x);
            x
        })
        .collect()
}

fn rounded(values: Vec<f64>, scale: f64) -> Vec<f64> {
    values.into_iter().map(|x| (x * scale).round() / scale).collect()
}

fn value_sets() -> Vec<(&'static str, Vec<f64>)> {
    let gauge = || walk(|rng, x| (x + normal(rng)).clamp(0.0, 100.0));
    vec![
        ("const", vec![1.5; ROWS_MIN]),
        ("int gauge", rounded(gauge(), 1.0)),
        ("2-decimal gauge", rounded(gauge(), 100.0)),
        ("counter", walk(|rng, x| x + (20.0 + 4.0 * normal(rng)).round().max(0.0))),
        ("slow counter", walk(|rng, x| if rng.f64() < 0.15 { x + f64::from(rng.u32(1..500)) } else { x })),
        ("booleans", walk(|rng, x| if rng.f64() < 0.01 { f64::from(x != 1.0) } else { f64::from(x == 1.0) })),
        ("latencies", rounded(walk(|rng, _| (3.0 + 1.2 * normal(rng)).exp() / 1000.0), 1e6)),
        ("noisy double", walk(|rng, _| 21.5 + normal(rng))),
    ]
}

fn time_sets() -> Vec<(&'static str, Vec<i64>)> {
    let times = |next: fn(&mut Rng, i64) -> i64| {
        let mut rng = Rng::with_seed(2);
        (0..ROWS_MIN as i64).map(|i| 1_700_000_000_000_000_000 + next(&mut rng, i)).collect()
    };
    vec![
        ("regular", times(|_, i| i * 10_000_000_000)),
        ("jittered 3 ms", times(|rng, i| (i * 15_000 + (3.0 * normal(rng)) as i64) * 1_000_000)),
        ("events, ns", times(|rng, i| i * 100_000_000 + rng.i64(0..90_000_000))),
    ]
}

/// Encodes block by block; payloads one behind the other, and where each ends.
fn encode_blocks<T>(column: &[T], rows: usize, mut encode: impl FnMut(&[T], &mut Vec<u8>)) -> (Vec<u8>, Vec<usize>) {
    let mut bytes = vec![];
    let ends = column.chunks_exact(rows).map(|block| {
        encode(block, &mut bytes);
        bytes.len()
    });
    let ends = ends.collect();
    (bytes, ends)
}

type Decode<T> = fn(&mut Decoder, &[u8], usize, &mut Vec<T>) -> Result<(), plimsoll::codec::Error>;

fn measure<T: Clone>(
    sets: &[(&'static str, Vec<T>)],
    level: Level,
    rows: usize,
    encode: fn(&mut Encoder, &[T], &mut Vec<u8>),
    decode: Decode<T>,
) {
    let mut cases = vec![];
    for (name, column) in sets {
        let mut encoder = Encoder::new(level);
        let (payloads, ends) = encode_blocks(column, rows, |block, out| encode(&mut encoder, block, out));
        let units = (ends.len() * rows) as f64;
        let size = payloads.len() as f64 / units;
        let mut out = Vec::new();
        cases.push(Case {
            name: format!("{name}: encode, {size:.4} bytes"),
            units,
            bytes: 0.0,
            run: Box::new(move || {
                out.clear();
                column.chunks_exact(rows).for_each(|block| encode(&mut encoder, block, &mut out));
            }),
        });
        let (mut decoder, mut decoded) = (Decoder::new(), Vec::new());
        cases.push(Case {
            name: format!("{name}: decode"),
            units,
            bytes: units * 8.0,
            run: Box::new(move || {
                let mut start = 0;
                for &end in &ends {
                    decoded.clear();
                    decode(&mut decoder, &payloads[start..end], rows, &mut decoded).expect("our own payload");
                    start = end;
                }
            }),
        });
    }
    interleaved(&format!("{level:?}, blocks of {rows}"), "row", ROUNDS, cases);
}

fn main() {
    for (level, rows) in [(Level::Full, 8192), (Level::Full, 1000), (Level::Light, 8192), (Level::Light, 100)] {
        println!("values");
        measure(&value_sets(), level, rows, Encoder::values, Decoder::values);
        println!("times");
        measure(&time_sets(), level, rows, Encoder::times, Decoder::times);
    }
}
