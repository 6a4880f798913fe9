//! The pieces below the public face.

use fastrand::Rng;

use crate::codec::{
    Error, Reader,
    bitpack::{pack, packed_size, unpack},
    bytes::{varint_size, zigzag},
    put_bytes, put_i64, put_string, put_u64,
    shape::{common_divisor, common_unit},
};

#[test]
fn every_width_packs_into_the_size_it_announces_and_comes_back() {
    let mut rng = Rng::with_seed(12);
    for width in 0..=64 {
        for count in [0, 1, 7, 63, 64, 511, 512, 513, 1600] {
            let values: Vec<u64> = (0..count).map(|_| (u128::from(rng.u64(..)) >> (64 - width)) as u64).collect();
            let mut bytes = vec![];
            pack(&values, width, &mut bytes);
            assert_eq!(bytes.len(), packed_size(count, width), "width {width}, {count} values");
            let mut out = vec![];
            unpack(&bytes, width, count, |start, values| {
                assert_eq!(start, out.len());
                out.extend_from_slice(values);
            });
            assert_eq!(out, values, "width {width}");
        }
    }
}

#[test]
fn varints_come_back_in_the_size_they_announce() {
    let mut rng = Rng::with_seed(13);
    let random = (0..10_000).map(|_| rng.u64(..) >> rng.u32(0..64));
    for value in [0, 127, 128, 16383, 16384, u64::MAX].into_iter().chain(random) {
        let mut out = vec![];
        put_u64(&mut out, value);
        assert_eq!(out.len(), varint_size(value));
        let mut reader = Reader::new(&out);
        assert_eq!(reader.varint(), Ok(value));
        assert!(reader.is_empty());
        out.clear();
        put_i64(&mut out, value as i64);
        assert_eq!(out.len(), varint_size(zigzag(value as i64)));
        assert_eq!(Reader::new(&out).zigzag(), Ok(value as i64));
    }
}

#[test]
fn a_varint_beyond_64_bits_is_invalid() {
    let beyond = Error::Invalid("varint beyond 64 bits");
    assert_eq!(Reader::new(&[0xff; 12]).varint(), Err(beyond));
    let tenth = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2];
    assert_eq!(Reader::new(&tenth).varint(), Err(beyond));
    assert_eq!(Reader::new(&tenth[..9]).varint(), Err(Error::Truncated));
}

#[test]
fn a_reader_reads_what_was_put_and_no_more() {
    let mut out = vec![7, 1, 2, 3, 4, 5, 6];
    put_string(&mut out, "host=a");
    put_bytes(&mut out, &[0xff, 0xfe]);
    out.extend_from_slice(&9u64.to_le_bytes());
    let mut reader = Reader::new(&out);
    assert_eq!(reader.u8(), Ok(7));
    assert_eq!(reader.u16(), Ok(0x0201));
    assert_eq!(reader.u32(), Ok(0x0605_0403));
    assert_eq!(reader.string(), Ok("host=a"));
    assert_eq!(reader.clone().string(), Err(Error::Invalid("string is not UTF-8")));
    assert_eq!(reader.sized_bytes(), Ok(&[0xff, 0xfe][..]));
    assert_eq!(reader.clone().finish(), Err(Error::Invalid("bytes behind the end")));
    assert_eq!(reader.bytes(9), Err(Error::Truncated));
    assert_eq!(reader.remaining(), 8);
    assert_eq!(reader.u64(), Ok(9));
    assert_eq!(reader.u8(), Err(Error::Truncated));
    assert_eq!(reader.finish(), Ok(()));
}

#[test]
fn a_length_beyond_the_bytes_is_truncated_and_a_count_beyond_its_limit_invalid() {
    let mut out = vec![];
    put_u64(&mut out, u64::MAX);
    assert_eq!(Reader::new(&out).sized_bytes(), Err(Error::Truncated));
    assert_eq!(Reader::new(&out).count(1000), Err(Error::Invalid("count beyond its limit")));
    assert_eq!(Reader::new(&[200, 1]).count(200), Ok(200));
}

#[test]
fn divisors_are_found_and_never_zero() {
    assert_eq!(common_divisor(&[5, 17, 29, 5]), 12);
    assert_eq!(common_divisor(&[5, 5]), 1);
    assert_eq!(common_divisor(&[0, i64::MIN]), 1);
    assert_eq!(common_divisor(&[-6, -3, 0]), 3);
    assert_eq!(common_unit(&[7, 7 + 3_000_000, 7 - 9_000_000]), 1_000_000);
    assert_eq!(common_unit(&[7, 8]), 1);
}
