//! Varints, and a cursor that cannot read past the end.

/// Why bytes could not be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes end before what they announce.
    #[error("encoded bytes end too early")]
    Truncated,
    /// The bytes say something no encoder writes.
    #[error("encoded bytes are invalid: {0}")]
    Invalid(&'static str),
}

/// Appends an unsigned varint: seven bits a byte, lowest first, the high bit set on all but the last (LEB128).
pub fn put_u64(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a signed varint: zigzag, so that small magnitudes of either sign are short.
pub fn put_i64(out: &mut Vec<u8>, value: i64) {
    put_u64(out, zigzag(value));
}

/// Appends a byte string: its length as a varint, then the bytes.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_u64(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a string the way [`Reader::string`] reads it.
pub fn put_string(out: &mut Vec<u8>, string: &str) {
    put_bytes(out, string.as_bytes());
}

/// Bytes `put_u64` takes for `value`: 1 to 10.
pub(super) fn varint_size(value: u64) -> usize {
    (bit_width(value).max(1) as usize).div_ceil(7)
}

/// 0, -1, 1, -2, 2 … as 0, 1, 2, 3, 4 …
pub(super) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Bits needed to write `value`: 0 for 0, 64 for the largest.
pub(super) fn bit_width(value: u64) -> u32 {
    64 - value.leading_zeros()
}

/// A cursor over encoded bytes. Every read takes what it returns off the front, or fails and leaves the cursor where
/// it was or behind: after an error, stop.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the front of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// How many bytes are left.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `size` bytes.
    pub fn bytes(&mut self, size: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self.rest.split_at_checked(size).ok_or(Error::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Error::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, Error> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Two bytes, little-endian.
    pub fn u16(&mut self) -> Result<u16, Error> {
        self.array().map(u16::from_le_bytes)
    }

    /// Four bytes, little-endian.
    pub fn u32(&mut self) -> Result<u32, Error> {
        self.array().map(u32::from_le_bytes)
    }

    /// Eight bytes, little-endian.
    pub fn u64(&mut self) -> Result<u64, Error> {
        self.array().map(u64::from_le_bytes)
    }

    /// An unsigned varint, as [`put_u64`] writes it.
    pub fn varint(&mut self) -> Result<u64, Error> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            if shift == 63 && byte > 1 {
                return Err(Error::Invalid("varint beyond 64 bits"));
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Error::Invalid("varint beyond 64 bits"))
    }

    /// A signed varint, as [`put_i64`] writes it.
    pub fn zigzag(&mut self) -> Result<i64, Error> {
        self.varint().map(unzigzag)
    }

    /// A varint that must be at most `max`: a length or a count, before anything is allocated for it.
    pub fn count(&mut self, max: usize) -> Result<usize, Error> {
        match usize::try_from(self.varint()?) {
            Ok(count) if count <= max => Ok(count),
            _ => Err(Error::Invalid("count beyond its limit")),
        }
    }

    /// A byte string with its length before it, as [`put_bytes`] writes it.
    pub fn sized_bytes(&mut self) -> Result<&'a [u8], Error> {
        let size = usize::try_from(self.varint()?).map_err(|_| Error::Truncated)?;
        self.bytes(size)
    }

    /// A UTF-8 string, as [`put_string`] writes it.
    pub fn string(&mut self) -> Result<&'a str, Error> {
        std::str::from_utf8(self.sized_bytes()?).map_err(|_| Error::Invalid("string is not UTF-8"))
    }

    /// Fails if anything is left: what was read must be all there is.
    pub fn finish(self) -> Result<(), Error> {
        if self.is_empty() { Ok(()) } else { Err(Error::Invalid("bytes behind the end")) }
    }
}
