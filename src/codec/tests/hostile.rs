//! Payloads that no encoder wrote.

use fastrand::Rng;

use super::{data, golden};
use crate::codec::{COUNT_MAX, Decoder, Encoder, Error, Level};

/// Payloads of every mode and tag, with their counts.
fn payloads(encode: impl Fn(&mut Encoder, usize) -> Vec<Vec<u8>>) -> Vec<(Vec<u8>, usize)> {
    let mut all = vec![];
    for level in [Level::Light, Level::Full] {
        for count in [1, 5, 40, 600] {
            let payloads = encode(&mut Encoder::new(level), count);
            all.extend(payloads.into_iter().map(|payload| (payload, count)));
        }
    }
    all
}

fn value_payloads() -> Vec<(Vec<u8>, usize)> {
    payloads(|encoder, count| {
        let with_exceptions = |mut values: Vec<f64>| {
            values.iter_mut().step_by(37).for_each(|x| *x = f64::NAN);
            values
        };
        let columns = data::all_values(count).into_iter().map(|(_, values)| values);
        let columns = columns.chain([with_exceptions(data::counter(count))]);
        columns
            .map(|values| {
                let mut payload = vec![];
                encoder.values(&values, &mut payload);
                payload
            })
            .collect()
    })
}

fn time_payloads() -> Vec<(Vec<u8>, usize)> {
    payloads(|encoder, count| {
        data::all_times(count)
            .into_iter()
            .map(|(_, times)| {
                let mut payload = vec![];
                encoder.times(&times, &mut payload);
                payload
            })
            .collect()
    })
}

/// Cuts, flips, replaces and inserts.
fn damage(rng: &mut Rng, payload: &[u8]) -> Vec<u8> {
    let mut damaged = payload.to_vec();
    for _ in 0..rng.usize(1..4) {
        // Most of what steers the decoder is at the front.
        let reach = if rng.bool() { damaged.len().min(24) } else { damaged.len() };
        let at = rng.usize(..=reach.saturating_sub(1));
        match rng.u8(..5) {
            0 => damaged.truncate(at),
            1 => damaged.insert(at.min(damaged.len()), rng.u8(..)),
            2 if at < damaged.len() => damaged[at] ^= 1 << rng.u8(..8),
            3 if at < damaged.len() => damaged[at] = 0xff,
            _ if at < damaged.len() => damaged[at] = rng.u8(..),
            _ => {}
        }
    }
    damaged
}

/// Decodes damaged payloads; returns how many gave an error.
fn torment<T>(
    payloads: &[(Vec<u8>, usize)],
    mut decode: impl FnMut(&[u8], usize, &mut Vec<T>) -> Result<(), Error>,
) -> usize {
    let mut rng = Rng::with_seed(14);
    let (mut errors, mut out) = (0, vec![]);
    for (payload, count) in payloads {
        for round in 0..400 {
            let damaged = damage(&mut rng, payload);
            let count = if round % 8 == 0 { rng.usize(..2000) } else { *count };
            out.clear();
            match decode(&damaged, count, &mut out) {
                Ok(()) => assert_eq!(out.len(), count),
                Err(_) => {
                    assert!(out.is_empty(), "an error leaves nothing behind");
                    errors += 1;
                }
            }
        }
    }
    errors
}

#[test]
fn damaged_payloads_give_an_error_or_the_right_count() {
    let mut decoder = Decoder::new();
    let errors = torment(&value_payloads(), |payload, count, out| decoder.values(payload, count, out));
    assert!(errors > 1000, "only {errors} errors: the damage does not reach the decoder");
    let errors = torment(&time_payloads(), |payload, count, out| decoder.times(payload, count, out));
    assert!(errors > 1000, "only {errors} errors: the damage does not reach the decoder");
}

#[test]
fn damaged_payloads_of_every_mode_and_tag_give_an_error_or_the_right_count() {
    let mut decoder = Decoder::new();
    let [values, times, ints] = golden::payloads();
    assert!(torment(&values, |payload, count, out| decoder.values(payload, count, out)) > 500);
    assert!(torment(&times, |payload, count, out| decoder.times(payload, count, out)) > 100);
    assert!(torment(&ints, |payload, count, out| decoder.ints(payload, count, out)) > 1000);
}

#[test]
fn random_bytes_give_an_error_or_the_right_count() {
    let mut rng = Rng::with_seed(15);
    let random = |_| {
        let mut bytes: Vec<u8> = (0..rng.usize(..64)).map(|_| rng.u8(..)).collect();
        // Small first bytes are modes and tags, which lead further in.
        bytes.iter_mut().take(4).for_each(|byte| *byte %= 10);
        (bytes, 40)
    };
    let payloads: Vec<_> = (0..2000).map(random).collect();
    let mut decoder = Decoder::new();
    assert!(torment(&payloads, |payload, count, out| decoder.values(payload, count, out)) > 1000);
    assert!(torment(&payloads, |payload, count, out| decoder.times(payload, count, out)) > 1000);
    assert!(torment(&payloads, |payload, count, out| decoder.ints(payload, count, out)) > 1000);
}

#[test]
fn every_shorter_or_longer_payload_is_an_error() {
    let mut decoder = Decoder::new();
    for (payload, count) in value_payloads() {
        let mut out = vec![];
        for size in (0..payload.len()).step_by(1 + payload.len() / 200) {
            let result = decoder.values(&payload[..size], count, &mut out);
            assert!(result.is_err(), "{size} of {} bytes, mode {}", payload.len(), payload[0]);
        }
        let longer = [&payload[..], &[0]].concat();
        assert_eq!(decoder.values(&longer, count, &mut out), Err(Error::Invalid("bytes behind the end")));
        decoder.values(&payload, count, &mut out).unwrap();
    }
}

#[test]
fn a_count_beyond_the_limit_is_refused_before_anything_is_allocated() {
    let mut payload = vec![];
    Encoder::new(Level::Full).values(&[1.0; 10], &mut payload);
    let mut out = vec![];
    let result = Decoder::new().values(&payload, COUNT_MAX + 1, &mut out);
    assert_eq!(result, Err(Error::Invalid("more rows than a payload can have")));
    assert_eq!(out.capacity(), 0);
}

#[test]
fn payloads_that_contradict_themselves_are_refused() {
    let ints: [(&[u8], &str); 7] = [
        (&[9], "unknown form of integers"),
        (&[4, 3, 0, 0, 1, 0], "unknown shape of integers"),
        (&[4, 0, 0, 0, 65], "packed integers wider than 64 bits"),
        (&[5, 0, 0, 64], "low bits wider than 63"),
        (&[6, 0, 0, 0, 7, 0], "unknown division into buckets"),
        (&[7, 0, 10, 0x81, 1, 0b10], "symbol outside the dictionary"),
        (&[8, 10, 0x82, 1, 0b1000], "map of changes with other than 0 and 1"),
    ];
    for (payload, why) in ints {
        assert_eq!(Decoder::new().ints(payload, 2, &mut vec![]), Err(Error::Invalid(why)));
    }
    let nested: &[u8] = &[8, 10, 0x81, 1, 0b11, 8, 10, 0x81, 1, 0b11];
    assert_eq!(Decoder::new().ints(nested, 2, &mut vec![]), Err(Error::Invalid("unknown form of integers")));
    let values: [(&[u8], &str); 4] = [
        (&[5], "unknown mode of values"),
        (&[1, 19], "exponent of ten beyond 18"),
        (&[2, 0, 1, 0, 8], "unknown code of an exception"),
        (&[2, 0, 1, 2, 1], "exception behind the end"),
    ];
    for (payload, why) in values {
        assert_eq!(Decoder::new().values(payload, 2, &mut vec![]), Err(Error::Invalid(why)));
    }
    let grid = [&[1, 0, 1][..], &1f64.to_le_bytes(), &[1, 2, 1]].concat();
    assert_eq!(Decoder::new().times(&grid, 2, &mut vec![]), Err(Error::Invalid("step behind the end")));
    assert_eq!(Decoder::new().times(&[2], 2, &mut vec![]), Err(Error::Invalid("unknown mode of times")));
}

#[test]
fn a_frame_that_unpacks_to_another_size_is_refused() {
    // 2^20 zeros in a few bytes, where two symbols are due.
    let frame = zstd::bulk::compress(&vec![0; 1 << 20], 1).unwrap();
    let mut payload = vec![7, 255, 0];
    payload.extend_from_slice(&[1; 255]);
    payload.push(8);
    crate::codec::put_bytes(&mut payload, &frame);
    assert_eq!(Decoder::new().ints(&payload, 2, &mut vec![]), Err(Error::Invalid("zstd frame")));
    let longer = Decoder::new().ints(&payload, COUNT_MAX, &mut vec![]);
    assert_eq!(longer, Err(Error::Invalid("zstd frame")));
    let frame = zstd::bulk::compress(&[1, 2, 3], 1).unwrap();
    payload.truncate(259);
    crate::codec::put_bytes(&mut payload, &frame);
    let shorter = Decoder::new().ints(&payload, 4, &mut vec![]);
    assert_eq!(shorter, Err(Error::Invalid("zstd frame of another size")));
    Decoder::new().ints(&payload, 3, &mut vec![]).unwrap();
}
