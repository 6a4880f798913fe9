//! What goes in comes out, bit for bit.

use fastrand::Rng;
use proptest::prelude::*;

use super::data;
use crate::codec::{Decoder, Encoder, Level};

const LEVELS: [Level; 2] = [Level::Light, Level::Full];
const COUNTS: [usize; 16] = [0, 1, 2, 3, 7, 8, 31, 32, 33, 100, 511, 512, 513, 1025, 4320, 9000];

/// One encoder a level and one decoder, kept, so that scratch left behind by one column meets the next.
struct Codec {
    encoders: [Encoder; 2],
    decoder: Decoder,
}

impl Codec {
    fn new() -> Self {
        Self { encoders: LEVELS.map(Encoder::new), decoder: Decoder::new() }
    }

    fn check_values(&mut self, values: &[f64], name: &str) {
        for encoder in &mut self.encoders {
            let mut payload = vec![];
            encoder.values(values, &mut payload);
            let mut out = vec![0.25];
            self.decoder.values(&payload, values.len(), &mut out).unwrap();
            assert_eq!(out[0], 0.25, "{name}: appends");
            assert_eq!(out.len() - 1, values.len(), "{name}");
            let differs = out[1..].iter().zip(values).position(|(a, b)| a.to_bits() != b.to_bits());
            assert_eq!(differs, None, "{name}, {} rows, mode {}", values.len(), payload[0]);
        }
    }

    fn check_ints(&mut self, ints: &[i64], name: &str) {
        for encoder in &mut self.encoders {
            let (mut payload, mut out) = (vec![], vec![-7]);
            encoder.ints(ints, &mut payload);
            self.decoder.ints(&payload, ints.len(), &mut out).unwrap();
            assert_eq!(out[0], -7, "{name}: appends");
            assert!(out[1..] == *ints, "{name} as integers, {} rows", ints.len());
            payload.clear();
            out.clear();
            encoder.times(ints, &mut payload);
            self.decoder.times(&payload, ints.len(), &mut out).unwrap();
            assert!(out == ints, "{name} as times, {} rows", ints.len());
        }
    }
}

#[test]
fn usual_columns_of_any_length_come_back() {
    let mut codec = Codec::new();
    for count in COUNTS {
        for (name, values) in data::all_values(count) {
            codec.check_values(&values, name);
            let ints: Vec<i64> = values.iter().map(|x| (x * 1000.0) as i64).collect();
            codec.check_ints(&ints, name);
        }
        for (name, times) in data::all_times(count) {
            codec.check_ints(&times, name);
        }
    }
}

/// Values that trip codecs up.
const AWKWARD: [u64; 20] = [
    0x0000_0000_0000_0000, // 0
    0x8000_0000_0000_0000, // -0
    0x7ff0_0000_0000_0000, // inf
    0xfff0_0000_0000_0000, // -inf
    0x7ff8_0000_0000_0000, // NaN
    0x7ff8_0000_0000_0001, // NaN of Prometheus
    0x7ff0_0000_0000_0002, // stale marker
    0xfff8_0000_dead_beef, // NaN with a payload
    0x7ff0_0000_0000_0001, // signalling NaN
    0x0000_0000_0000_0001, // smallest denormal
    0x000f_ffff_ffff_ffff, // largest denormal
    0x0010_0000_0000_0000, // smallest normal
    0x7fef_ffff_ffff_ffff, // largest finite
    0xffef_ffff_ffff_ffff, // smallest finite
    0x4340_0000_0000_0000, // 2^53
    0x4340_0000_0000_0001, // 2^53 + 2
    0x43e0_0000_0000_0000, // 2^63
    0xc3e0_0000_0000_0000, // -2^63
    0x4049_ec8b_4395_8107, // 51.848000000000006
    0x3fb9_9999_9999_999a, // 0.1
];

#[test]
fn awkward_doubles_come_back_alone_and_among_others() {
    let mut codec = Codec::new();
    for count in COUNTS {
        let mut rng = Rng::with_seed(count as u64);
        let awkward = |rng: &mut Rng| f64::from_bits(AWKWARD[rng.usize(..AWKWARD.len())]);
        let only: Vec<f64> = (0..count).map(|_| awkward(&mut rng)).collect();
        codec.check_values(&only, "only awkward ones");
        let bits: Vec<f64> = (0..count).map(|_| f64::from_bits(rng.u64(..))).collect();
        codec.check_values(&bits, "random bits");
        let bases = data::all_values(count);
        for (share, (name, mut values)) in [0.001, 0.05, 0.3].into_iter().cycle().zip(bases) {
            for value in &mut values {
                if rng.f64() < share {
                    *value = awkward(&mut rng);
                }
            }
            codec.check_values(&values, name);
        }
        let large: Vec<f64> = (0..count).map(|_| (rng.i64(..) >> rng.u32(0..64)) as f64).collect();
        codec.check_values(&large, "integers of any size");
    }
}

#[test]
fn every_awkward_double_comes_back_alone() {
    let mut codec = Codec::new();
    for bits in AWKWARD {
        codec.check_values(&[f64::from_bits(bits)], "alone");
        codec.check_values(&[f64::from_bits(bits); 9000], "constant");
        codec.check_values(&[1.0, f64::from_bits(bits), 2.5], "between others");
    }
}

#[test]
fn awkward_integers_come_back() {
    let mut codec = Codec::new();
    let extremes = [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX];
    for a in extremes {
        for b in extremes {
            codec.check_ints(&[a, b], "two extremes");
            codec.check_ints(&[[a, b, a, a, b, b].repeat(100), vec![0; 3]].concat(), "extremes in turn");
        }
    }
    for count in COUNTS {
        let mut rng = Rng::with_seed(count as u64);
        for width in 0..=64 {
            let any = |_| (rng.u64(..) as u128 >> (64 - width)) as i64;
            let ints: Vec<i64> = (0..count).map(any).collect();
            codec.check_ints(&ints, "random integers of one width");
            let scaled: Vec<i64> = ints.iter().map(|x| (x >> 20).wrapping_mul(60_000_000_000)).collect();
            codec.check_ints(&scaled, "multiples that wrap");
        }
        let tailed: Vec<i64> = (0..count).map(|_| rng.i64(..) >> rng.u32(0..64)).collect();
        codec.check_ints(&tailed, "random widths");
        let extremes: Vec<i64> = (0..count).map(|_| extremes[rng.usize(..7)]).collect();
        codec.check_ints(&extremes, "random extremes");
    }
}

#[test]
fn times_out_of_order_and_far_apart_come_back() {
    let mut codec = Codec::new();
    let mut times = data::scraped_times(1000);
    times.swap(10, 700);
    codec.check_ints(&times, "two swapped");
    let mut times = data::scraped_times(1000);
    times[0] = i64::MIN;
    times[999] = i64::MAX;
    codec.check_ints(&times, "the whole of time");
    let mut times = data::scraped_times(1000);
    times[500..].iter_mut().for_each(|time| *time += 86_400_000_000_000);
    codec.check_ints(&times, "a day missing");
    let doubled: Vec<i64> = data::scraped_times(500).iter().flat_map(|&time| [time, time]).collect();
    codec.check_ints(&doubled, "each twice");
}

#[test]
#[should_panic(expected = "at most 65536 rows")]
fn more_rows_than_a_payload_can_have_are_refused() {
    Encoder::new(Level::Light).ints(&vec![1; crate::codec::COUNT_MAX + 1], &mut vec![]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_doubles_come_back(bits in prop::collection::vec(any::<u64>(), 0..700), keep in 0u32..64) {
        let values: Vec<f64> = bits.iter().map(|bits| f64::from_bits(bits & u64::MAX << keep)).collect();
        Codec::new().check_values(&values, "any");
    }

    #[test]
    fn any_decimals_come_back(
        ints in prop::collection::vec(-1_000_000_000i64..1_000_000_000, 0..700),
        exponent in 0i32..12,
        step in 1usize..50,
    ) {
        let decimal = |(index, int): (usize, &i64)| match index % step {
            0 => f64::from_bits(AWKWARD[index / step % AWKWARD.len()]),
            _ => *int as f64 / 10f64.powi(exponent),
        };
        let values: Vec<f64> = ints.iter().enumerate().map(decimal).collect();
        Codec::new().check_values(&values, "decimals");
    }

    #[test]
    fn any_integers_come_back(ints in prop::collection::vec(any::<i64>(), 0..700), keep in 0u32..64) {
        let ints: Vec<i64> = ints.iter().map(|x| x >> keep).collect();
        Codec::new().check_ints(&ints, "any");
    }
}
