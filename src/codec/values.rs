//! Columns of doubles.
//!
//! ```text
//! values:   mode u8, then by mode
//! CONST     0: bits u64                                            all values have these bits
//! DECIMAL   1: exponent u8 | column of integers                    value = integer / 10^exponent
//! EXCEPTED  2: exponent u8 | exceptions | column of integers       the same, with some values put in afterwards
//! BITS      3: column of integers                                  the bit patterns, in the order of the values
//! NEAR      4: exponent u8 | exceptions | column of integers | column of units
//!                                                                  as EXCEPTED, each moved by units in the last place
//! ```

use crate::codec::{
    Level,
    bytes::{Error, Reader},
    decimal::{Decimals, EXPONENT_MAX, move_beside, to_doubles},
    exceptions,
    ints::{IntDecoder, IntEncoder},
};

const CONST: u8 = 0;
const DECIMAL: u8 = 1;
const EXCEPTED: u8 = 2;
const BITS: u8 = 3;
const NEAR: u8 = 4;

pub(super) struct ValueEncoder {
    level: Level,
    decimals: Decimals,
    near: Decimals,
    /// Units in the last place, or bit patterns.
    ints: Vec<i64>,
}

impl ValueEncoder {
    pub(super) fn new(level: Level) -> Self {
        Self { level, decimals: Decimals::default(), near: Decimals::default(), ints: Vec::new() }
    }

    pub(super) fn put(&mut self, values: &[f64], ints: &mut IntEncoder, out: &mut Vec<u8>) {
        let Some(first) = values.first() else { return };
        let differing = values.iter().fold(0, |differing, x| differing | x.to_bits() ^ first.to_bits());
        if differing == 0 {
            out.push(CONST);
            out.extend_from_slice(&first.to_bits().to_le_bytes());
            return;
        }
        let exact = self.decimals.fit(values, self.samples());
        if self.near_is_better(exact, values) {
            self.put_near(values, ints, out);
        } else if exact {
            self.put_decimals(ints, out);
        } else {
            self.ints.clear();
            self.ints.extend(values.iter().map(|value| ordered(value.to_bits())));
            out.push(BITS);
            ints.put(&self.ints, out);
        }
    }

    /// Values looked at to guess the exponent.
    fn samples(&self) -> usize {
        match self.level {
            Level::Light => 8,
            Level::Full => 64,
        }
    }

    /// Tries nearest decimals at the full level, where there is no exact fit or one with many exceptions.
    fn near_is_better(&mut self, exact: bool, values: &[f64]) -> bool {
        let exceptions = self.decimals.exceptions.len();
        if self.level == Level::Light || exact && exceptions * 64 <= values.len() {
            return false;
        }
        self.near.fit_near(values, self.samples()) && (!exact || self.near.exceptions.len() * 2 < exceptions)
    }

    fn put_near(&mut self, values: &[f64], ints: &mut IntEncoder, out: &mut Vec<u8>) {
        out.push(NEAR);
        out.push(self.near.exponent);
        exceptions::put(&self.near.exceptions, out);
        ints.put(&self.near.ints, out);
        self.near.beside(values, &mut self.ints);
        ints.put(&self.ints, out);
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
            DECIMAL => self.get_decimals(false, reader, count, ints, out)?,
            EXCEPTED => {
                self.get_decimals(true, reader, count, ints, out)?;
                self.restore_exceptions(&mut out[start..]);
            }
            BITS => {
                ints.get(reader, count, &mut self.ints)?;
                out.extend(self.ints.iter().map(|&int| unordered(int)));
            }
            NEAR => {
                self.get_decimals(true, reader, count, ints, out)?;
                self.ints.clear();
                ints.get(reader, count, &mut self.ints)?;
                move_beside(&self.ints, &mut out[start..]);
                self.restore_exceptions(&mut out[start..]);
            }
            _ => return Err(Error::Invalid("unknown mode of values")),
        }
        Ok(())
    }

    /// Leaves the exceptions aside, where the mode has any.
    fn get_decimals(
        &mut self,
        has_exceptions: bool,
        reader: &mut Reader<'_>,
        count: usize,
        ints: &mut IntDecoder,
        out: &mut Vec<f64>,
    ) -> Result<(), Error> {
        let exponent = match reader.u8()? {
            exponent if exponent <= EXPONENT_MAX => exponent,
            _ => return Err(Error::Invalid("exponent of ten beyond 18")),
        };
        if has_exceptions {
            exceptions::get(reader, count, &mut self.exceptions)?;
        }
        ints.get(reader, count, &mut self.ints)?;
        to_doubles(&self.ints, exponent, out);
        Ok(())
    }

    fn restore_exceptions(&self, out: &mut [f64]) {
        for &(index, bits) in &self.exceptions {
            out[index as usize] = f64::from_bits(bits);
        }
    }
}
