//! Every form of a column of integers that has no column inside; tags and formats are drawn in `ints`.

use crate::codec::{
    Level, buckets,
    bytes::{Error, Reader, put_i64, varint_size, zigzag},
    dictionary, estimate,
    high_low::{self, Split},
    packed,
    shape::{Shape, common_divisor, common_unit},
    symbols::{SymbolDecoder, SymbolEncoder},
};

const CONST: u8 = 0;
const LINEAR: u8 = 1;
const VARINTS: u8 = 2;
const RAW: u8 = 3;
const PACKED: u8 = 4;
const HIGH_LOW: u8 = 5;
const BUCKETS: u8 = 6;
const DICTIONARY: u8 = 7;

/// From here on a column has enough rows to estimate anything from them.
pub(super) const FULL_MIN: usize = 32;
/// Up to here PACKED, which has no entropy coder's tables to pay for, is tried beside the full forms.
const PACKED_TRIED_MAX: usize = 512;

/// Writes columns in the flat forms.
pub(super) struct FlatEncoder {
    light: LightEncoder,
    /// Present at the full level.
    full: Option<Box<FullEncoder>>,
}

impl FlatEncoder {
    pub(super) fn new(level: Level) -> Self {
        let full = match level {
            Level::Light => None,
            Level::Full => Some(Box::new(FullEncoder::new())),
        };
        Self { light: LightEncoder::default(), full }
    }

    /// The coder of symbols, which the full level has.
    pub(super) fn symbols(&mut self) -> Option<&mut SymbolEncoder> {
        self.full.as_mut().map(|full| &mut full.symbols)
    }

    /// Appends a column; nothing for no integers.
    pub(super) fn put(&mut self, ints: &[i64], out: &mut Vec<u8>) {
        if ints.is_empty() || put_regular(ints, out) {
            return;
        }
        let start = out.len();
        match &mut self.full {
            Some(full) if ints.len() >= FULL_MIN => {
                full.put(ints, out);
                let second = out.len();
                if ints.len() <= PACKED_TRIED_MAX {
                    self.light.put(ints, out);
                    keep_smaller(out, start, second);
                }
            }
            _ => self.light.put(ints, out),
        }
        if out.len() - start > 1 + 8 * ints.len() {
            out.truncate(start);
            out.push(RAW);
            out.extend(ints.iter().flat_map(|x| x.to_le_bytes()));
        }
    }
}

/// Of the two encodings `start..second` and `second..`, leaves the smaller, or the first where they are equal.
pub(super) fn keep_smaller(out: &mut Vec<u8>, start: usize, second: usize) {
    if out.len() - second < second - start {
        out.drain(start..second);
    } else {
        out.truncate(second);
    }
}

fn put_regular(ints: &[i64], out: &mut Vec<u8>) -> bool {
    let first = ints[0];
    let difference = ints.get(1).map_or(0, |second| second.wrapping_sub(first));
    if !ints.array_windows().all(|[a, b]| b.wrapping_sub(*a) == difference) {
        return false;
    }
    out.push(if difference == 0 { CONST } else { LINEAR });
    put_i64(out, first);
    if difference != 0 {
        put_i64(out, difference);
    }
    true
}

#[derive(Default)]
struct LightEncoder {
    column: Vec<i64>,
    offsets: Vec<u64>,
}

impl LightEncoder {
    fn put(&mut self, ints: &[i64], out: &mut Vec<u8>) {
        let shape = Shape::divide(ints, common_unit(ints), &mut self.column);
        let plan = packed::plan(shape, &mut self.column);
        let few = ints.len() < FULL_MIN;
        if few && varints_size(ints) <= plan.size(ints.len()) {
            out.push(VARINTS);
            differences(ints).for_each(|difference| put_i64(out, difference));
        } else {
            out.push(PACKED);
            plan.put(&self.column, &mut self.offsets, out);
        }
    }
}

/// From the one before, the first from 0.
fn differences(ints: &[i64]) -> impl Iterator<Item = i64> {
    let mut before = 0;
    ints.iter().map(move |&x| x.wrapping_sub(std::mem::replace(&mut before, x)))
}

fn varints_size(ints: &[i64]) -> usize {
    differences(ints).map(|difference| varint_size(zigzag(difference))).sum()
}

struct FullEncoder {
    column: Vec<i64>,
    sample: Vec<i64>,
    high_low: high_low::Encoder,
    buckets: buckets::Encoder,
    dictionary: dictionary::Encoder,
    symbols: SymbolEncoder,
}

impl FullEncoder {
    fn new() -> Self {
        Self {
            column: Vec::new(),
            sample: Vec::new(),
            high_low: high_low::Encoder::default(),
            buckets: buckets::Encoder::default(),
            dictionary: dictionary::Encoder::new(),
            symbols: SymbolEncoder::new(),
        }
    }

    /// Appends a column of at least `FULL_MIN` integers as DICTIONARY, HIGH_LOW or BUCKETS.
    fn put(&mut self, ints: &[i64], out: &mut Vec<u8>) {
        let mut shape = Shape::divide(ints, common_divisor(ints), &mut self.column);
        let estimate = estimate::best_order(&self.column, &mut self.sample);
        // The dictionary must win clearly: an estimate knows nothing of what matches save.
        if self.dictionary.beats(estimate.cost * 0.98, ints) {
            out.push(DICTIONARY);
            return self.dictionary.put(&mut self.symbols, out);
        }
        shape.differentiate(&mut self.column, estimate.order, estimate.centre);
        let split = Split::choose(&self.column, estimate.centre, &mut self.sample);
        // HIGH_LOW decodes twice as fast, so BUCKETS has to be smaller by 5 %.
        if split.cost > estimate.cost * 1.05 + 0.03 {
            out.push(BUCKETS);
            if self.buckets.put(&shape, estimate.centre, &self.column, &mut self.symbols, out) {
                return;
            }
            out.pop();
        }
        out.push(HIGH_LOW);
        self.high_low.put(&shape, split, &self.column, &mut self.symbols, out);
    }
}

/// Reads columns in the flat forms; keeps its scratch from one to the next.
#[derive(Default)]
pub(super) struct FlatDecoder {
    symbols: Vec<u8>,
    pub(super) coder: SymbolDecoder,
    buckets: buckets::Scratch,
}

impl FlatDecoder {
    /// Fills `out` with the column behind `tag`.
    pub(super) fn get(&mut self, tag: u8, reader: &mut Reader<'_>, out: &mut [i64]) -> Result<(), Error> {
        let Self { symbols, coder, buckets } = self;
        match tag {
            CONST => out.fill(reader.zigzag()?),
            LINEAR => get_linear(reader, out)?,
            VARINTS => get_varints(reader, out)?,
            RAW => get_raw(reader, out)?,
            PACKED => packed::get(reader, out)?,
            HIGH_LOW => high_low::get(reader, coder, symbols, out)?,
            BUCKETS => buckets::get(reader, coder, symbols, buckets, out)?,
            DICTIONARY => dictionary::get(reader, coder, symbols, out)?,
            _ => return Err(Error::Invalid("unknown form of integers")),
        }
        Ok(())
    }
}

fn get_linear(reader: &mut Reader<'_>, out: &mut [i64]) -> Result<(), Error> {
    let first = reader.zigzag()?;
    let difference = reader.zigzag()?;
    for (x, index) in out.iter_mut().zip(0..) {
        *x = first.wrapping_add(difference.wrapping_mul(index));
    }
    Ok(())
}

fn get_varints(reader: &mut Reader<'_>, out: &mut [i64]) -> Result<(), Error> {
    let mut sum = 0i64;
    for x in out {
        sum = sum.wrapping_add(reader.zigzag()?);
        *x = sum;
    }
    Ok(())
}

fn get_raw(reader: &mut Reader<'_>, out: &mut [i64]) -> Result<(), Error> {
    let words = reader.bytes(out.len() * 8)?.as_chunks().0;
    for (x, word) in out.iter_mut().zip(words) {
        *x = i64::from_le_bytes(*word);
    }
    Ok(())
}
