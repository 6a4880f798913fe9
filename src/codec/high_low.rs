//! HIGH_LOW: the high bits of each residual as a symbol, its low bits packed. The form of most columns.
//!
//! ```text
//! HIGH_LOW: shape | low width u8 | base zigzag | exceptions | symbols | low bits, packed
//! exceptions: count varint, then each: positions since the last varint | residual − base zigzag
//! ```
//!
//! With `u = residual − base`, the symbol is `u >> width`. The width leaves 32 to 64 symbols for the bulk of the
//! residuals: fewer would throw compression away, more would not gain any. What does not fit a symbol is an exception.

use crate::codec::{
    bitpack::{pack, packed_size, unpack},
    bytes::{Error, Reader, bit_width, put_i64, put_u64},
    estimate::entropy,
    shape::Shape,
    symbols::{SymbolDecoder, SymbolEncoder},
};

/// Residuals looked at to choose the split.
const SAMPLE: usize = 512;

/// Where residuals are split, and what that is thought to cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Split {
    width: u32,
    base: i64,
    /// Of the symbol that stands for an exception.
    filler: u8,
    /// Estimated bits a residual.
    pub(super) cost: f64,
}

impl Split {
    /// Chooses from a sample; `centre` is a usual residual.
    pub(super) fn choose(residuals: &[i64], centre: i64, sample: &mut Vec<i64>) -> Self {
        let step = (residuals.len() / SAMPLE).max(1);
        sample.clear();
        sample.extend(residuals.iter().step_by(step));
        let (low, high) = quantiles(sample);
        let (min, max) = residuals.iter().fold((i64::MAX, i64::MIN), |(min, max), &x| (min.min(x), max.max(x)));
        let range = max.wrapping_sub(min) as u64;
        let bulk = high.wrapping_sub(low) as u64;
        let mut width = bit_width(bulk.max(1)).saturating_sub(6);
        if range < 256 && width <= 2 {
            width = 0;
        }
        let base = if range >> width < 256 {
            min
        } else {
            // The 256 symbols are laid around the middle of the bulk.
            let middle = i128::from(low) + i128::from(bulk / 2);
            (middle - (127i128 << width)).max(i128::from(min)) as i64
        };
        let filler = (centre.wrapping_sub(base) as u64 >> width).min(255) as u8;
        let cost = cost(sample, base, width, bit_width(range));
        Self { width, base, filler, cost }
    }
}

/// The 2nd and the 98th percentile.
fn quantiles(sample: &mut [i64]) -> (i64, i64) {
    let margin = sample.len() / 50;
    let last = sample.len() - 1;
    let low = *sample.select_nth_unstable(margin).1;
    let high = *sample.select_nth_unstable(last - margin).1;
    (low, high)
}

fn cost(sample: &[i64], base: i64, width: u32, range_width: u32) -> f64 {
    let mut histogram = [0; 256];
    let mut exceptions = 0;
    for x in sample {
        match histogram.get_mut((x.wrapping_sub(base) as u64 >> width) as usize) {
            Some(symbol) => *symbol += 1,
            None => exceptions += 1,
        }
    }
    let exception_bits = f64::from(exceptions) * (24.0 + 1.15 * f64::from(range_width));
    (entropy(&histogram) + exception_bits) / sample.len() as f64 + f64::from(width)
}

#[derive(Default)]
pub(super) struct Encoder {
    symbols: Vec<u8>,
    lows: Vec<u64>,
    exceptions: Vec<u8>,
}

impl Encoder {
    pub(super) fn put(
        &mut self,
        shape: &Shape,
        split: Split,
        residuals: &[i64],
        coder: &mut SymbolEncoder,
        out: &mut Vec<u8>,
    ) {
        let Split { width, base, .. } = split;
        let exception_count = self.split(split, residuals);
        shape.put(out);
        out.push(width as u8);
        put_i64(out, base);
        put_u64(out, exception_count);
        out.extend_from_slice(&self.exceptions);
        coder.put(&self.symbols, out);
        pack(&self.lows, width, out);
    }

    fn split(&mut self, split: Split, residuals: &[i64]) -> u64 {
        let Split { width, base, filler, .. } = split;
        self.symbols.clear();
        self.lows.clear();
        self.exceptions.clear();
        let low_mask = (1 << width) - 1;
        let offsets = residuals.iter().map(|x| x.wrapping_sub(base) as u64);
        let mut too_high = 0;
        self.symbols.extend(offsets.clone().map(|u| {
            too_high |= u >> width;
            (u >> width) as u8
        }));
        if width > 0 {
            self.lows.extend(offsets.map(|u| u & low_mask));
        }
        if too_high < 256 { 0 } else { self.except(residuals, base, width, filler) }
    }

    fn except(&mut self, residuals: &[i64], base: i64, width: u32, filler: u8) -> u64 {
        let (mut count, mut last) = (0, 0);
        for (index, x) in residuals.iter().enumerate() {
            let offset = x.wrapping_sub(base);
            if offset as u64 >> width > 255 {
                put_u64(&mut self.exceptions, (index - last) as u64);
                put_i64(&mut self.exceptions, offset);
                self.symbols[index] = filler;
                if let Some(low) = self.lows.get_mut(index) {
                    *low = 0;
                }
                last = index;
                count += 1;
            }
        }
        count
    }
}

/// Fills `out`; `symbols` is scratch.
pub(super) fn get(
    reader: &mut Reader<'_>,
    coder: &mut SymbolDecoder,
    symbols: &mut Vec<u8>,
    out: &mut [i64],
) -> Result<(), Error> {
    let shape = Shape::get(reader)?;
    let width = u32::from(reader.u8()?);
    if width > 63 {
        return Err(Error::Invalid("low bits wider than 63"));
    }
    let base = reader.zigzag()?;
    let exception_count = reader.count(out.len())?;
    let mut exceptions = reader.clone();
    for _ in 0..exception_count {
        reader.varint()?;
        reader.varint()?;
    }
    coder.get(reader, out.len(), symbols)?;
    let bits = reader.bytes(packed_size(out.len(), width))?;
    if width == 0 {
        for (x, &symbol) in out.iter_mut().zip(symbols.iter()) {
            *x = base.wrapping_add(i64::from(symbol));
        }
    } else {
        unpack(bits, width, out.len(), |start, lows| {
            for ((x, &symbol), &low) in out[start..].iter_mut().zip(&symbols[start..]).zip(lows) {
                *x = base.wrapping_add((u64::from(symbol) << width | low) as i64);
            }
        });
    }
    restore_exceptions(&mut exceptions, exception_count, base, out)?;
    shape.integrate(out);
    Ok(())
}

fn restore_exceptions(reader: &mut Reader<'_>, count: usize, base: i64, out: &mut [i64]) -> Result<(), Error> {
    let mut index = 0;
    for _ in 0..count {
        index += reader.count(out.len())?;
        let residual = base.wrapping_add(reader.zigzag()?);
        *out.get_mut(index).ok_or(Error::Invalid("exception behind the end"))? = residual;
    }
    Ok(())
}
