//! Columns of doubles.
//!
//! ```text
//! values:   mode u8, then by mode
//! CONST     0: bits u64                                            all values have these bits
//! DECIMAL   1: exponent u8 | column of integers                    value = integer / 10^exponent
//! EXCEPTED  2: exponent u8 | exceptions | column of integers       the same, with some values put in afterwards
//! BITS      3: column of integers                                  the bit patterns, in the order of the values
//! ```

use crate::codec::{
    Level,
    bytes::{Error, Reader},
    decimal::{Decimals, EXPONENT_MAX, to_doubles},
    exceptions,
    ints::{IntDecoder, IntEncoder},
};

const CONST: u8 = 0;
const DECIMAL: u8 = 1;
const EXCEPTED: u8 = 2;
const BITS: u8 = 3;

pub(super) struct ValueEncoder {
    /// Values looked at to guess the exponent.
    samples: usize,
    decimals: Decimals,
}

impl ValueEncoder {
    pub(super) fn new(level: Level) -> Self {
        let samples = match level {
            Level::Light => 8,
            Level::Full => 64,
        };
        Self { samples, decimals: Decimals::default() }
    }

    pub(super) fn put(&mut self, values: &[f64], ints: &mut IntEncoder, out: &mut Vec<u8>) {
        let Some(first) = values.first() else { return };
        let differing = values.iter().fold(0, |differing, x| differing | x.to_bits() ^ first.to_bits());
        if differing == 0 {
            out.push(CONST);
            out.extend_from_slice(&first.to_bits().to_le_bytes());
        } else if self.decimals.fit(values, self.samples) {
            self.put_decimals(ints, out);
        } else {
            self.decimals.ints.clear();
            self.decimals.ints.extend(values.iter().map(|value| ordered(value.to_bits())));
            out.push(BITS);
            ints.put(&self.decimals.ints, out);
        }
    }

    fn put_decimals(&self, ints: &mut IntEncoder, out: &mut Vec<u8>) {
        let excepted = !self.decimals.exceptions.is_empty();
        out.push(if excepted { EXCEPTED } else { DECIMAL });
        out.push(self.decimals.exponent);
        if excepted {
            exceptions::put(&self.decimals.exceptions, out);
        }
        ints.put(&self.decimals.ints, out);
    }
}

/// Maps bit patterns to integers in the order of the doubles they are.
fn ordered(bits: u64) -> i64 {
    let signed = bits as i64;
    signed ^ (((signed >> 63) as u64) >> 1) as i64
}

/// The inverse of `ordered`, which is its own.
fn unordered(int: i64) -> f64 {
    f64::from_bits(ordered(int as u64) as u64)
}

#[derive(Default)]
pub(super) struct ValueDecoder {
    ints: Vec<i64>,
    exceptions: Vec<(u32, u64)>,
}

impl ValueDecoder {
    /// Appends the next `count` values to `out`, which is left in any state after an error.
    pub(super) fn get(
        &mut self,
        reader: &mut Reader<'_>,
        count: usize,
        ints: &mut IntDecoder,
        out: &mut Vec<f64>,
    ) -> Result<(), Error> {
        if count == 0 {
            return Ok(());
        }
        self.ints.clear();
        let start = out.len();
        match reader.u8()? {
            CONST => out.resize(start + count, f64::from_bits(reader.u64()?)),
            DECIMAL => {
                let exponent = get_exponent(reader)?;
                ints.get(reader, count, &mut self.ints)?;
                to_doubles(&self.ints, exponent, out);
            }
            EXCEPTED => {
                let exponent = get_exponent(reader)?;
                exceptions::get(reader, count, &mut self.exceptions)?;
                ints.get(reader, count, &mut self.ints)?;
                to_doubles(&self.ints, exponent, out);
                for &(index, bits) in &self.exceptions {
                    out[start + index as usize] = f64::from_bits(bits);
                }
            }
            BITS => {
                ints.get(reader, count, &mut self.ints)?;
                out.extend(self.ints.iter().map(|&int| unordered(int)));
            }
            _ => return Err(Error::Invalid("unknown mode of values")),
        }
        Ok(())
    }
}

fn get_exponent(reader: &mut Reader<'_>) -> Result<u8, Error> {
    match reader.u8()? {
        exponent if exponent <= EXPONENT_MAX => Ok(exponent),
        _ => Err(Error::Invalid("exponent of ten beyond 18")),
    }
}
