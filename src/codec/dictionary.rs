//! DICTIONARY: at most 256 distinct integers, sorted, and a symbol for each row.
//!
//! ```text
//! DICTIONARY: distinct − 1 u8 | smallest zigzag | distance to the next varint … | symbols
//! ```

use crate::codec::{
    bytes::{Error, Reader, put_i64, put_u64, varint_size},
    estimate::entropy,
    symbols::{SymbolDecoder, SymbolEncoder},
};

const DISTINCT_MAX: usize = 256;
/// Four times what is stored at most, so that probes stay short.
const SLOTS: usize = 1024;
/// Rows looked at before the whole column is.
const SAMPLE: usize = 512;
/// With more distinct ones in the sample, the column has too many.
const SAMPLE_DISTINCT_MAX: usize = 230;

/// Counts distinct integers in a hash table of fixed size, and gives each row a symbol.
pub(super) struct Encoder {
    /// Index into `distinct` plus one; 0 is an empty slot.
    slots: [u16; SLOTS],
    distinct: Vec<i64>,
    histogram: Vec<u32>,
    symbols: Vec<u8>,
}

impl Encoder {
    pub(super) fn new() -> Self {
        Self { slots: [0; SLOTS], distinct: Vec::new(), histogram: Vec::new(), symbols: Vec::new() }
    }

    /// Whether a dictionary costs less than `limit` bits a row; if so, `put` may follow.
    pub(super) fn beats(&mut self, limit: f64, ints: &[i64]) -> bool {
        let step = (ints.len() / SAMPLE).max(1);
        // A sample has less entropy than the whole, so this refuses no dictionary that would have been worth it.
        if !self.count(ints.iter().step_by(step), SAMPLE_DISTINCT_MAX)
            || self.symbol_bits() > limit * self.symbols.len() as f64
            || !self.count(ints.iter(), DISTINCT_MAX)
        {
            return false;
        }
        self.sort();
        let distances = self.distinct.array_windows().map(|[a, b]| varint_size(b.wrapping_sub(*a) as u64));
        let table_size = 10 + distances.sum::<usize>();
        self.symbol_bits() + table_size as f64 * 8.0 < limit * ints.len() as f64
    }

    /// Each symbol in use also costs about two bits of the coder's table.
    fn symbol_bits(&self) -> f64 {
        entropy(&self.histogram) + self.distinct.len() as f64 * 2.0
    }

    /// False where there are more distinct integers than that.
    fn count<'a>(&mut self, ints: impl Iterator<Item = &'a i64>, distinct_max: usize) -> bool {
        self.slots.fill(0);
        self.distinct.clear();
        self.histogram.clear();
        self.symbols.clear();
        for &x in ints {
            let Some(index) = self.find_or_insert(x, distinct_max) else { return false };
            self.histogram[index] += 1;
            self.symbols.push(index as u8);
        }
        true
    }

    fn find_or_insert(&mut self, x: i64, distinct_max: usize) -> Option<usize> {
        // Multiplying by 2^64 / the golden ratio spreads neighbours (Fibonacci hashing, Knuth 6.4).
        let mut slot = (x as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) as usize >> 54;
        loop {
            match self.slots[slot] {
                0 if self.distinct.len() == distinct_max => return None,
                0 => {
                    self.distinct.push(x);
                    self.histogram.push(0);
                    self.slots[slot] = self.distinct.len() as u16;
                    return Some(self.distinct.len() - 1);
                }
                taken if self.distinct[usize::from(taken) - 1] == x => return Some(usize::from(taken) - 1),
                _ => slot = (slot + 1) % SLOTS,
            }
        }
    }

    /// Numbers the distinct integers in their order.
    fn sort(&mut self) {
        let mut order = [0; DISTINCT_MAX];
        let order = &mut order[..self.distinct.len()];
        order.iter_mut().enumerate().for_each(|(index, entry)| *entry = index as u8);
        order.sort_unstable_by_key(|&index| self.distinct[usize::from(index)]);
        let mut rank = [0; DISTINCT_MAX];
        for (position, &index) in order.iter().enumerate() {
            rank[usize::from(index)] = position as u8;
        }
        self.distinct.sort_unstable();
        self.symbols.iter_mut().for_each(|symbol| *symbol = rank[usize::from(*symbol)]);
    }

    /// Appends the column that `beats` was last asked about.
    pub(super) fn put(&self, coder: &mut SymbolEncoder, out: &mut Vec<u8>) {
        out.push((self.distinct.len() - 1) as u8);
        put_i64(out, self.distinct[0]);
        for [a, b] in self.distinct.array_windows() {
            put_u64(out, b.wrapping_sub(*a) as u64);
        }
        coder.put(&self.symbols, out);
    }
}

/// Fills `out`; `symbols` is scratch.
pub(super) fn get(
    reader: &mut Reader<'_>,
    coder: &mut SymbolDecoder,
    symbols: &mut Vec<u8>,
    out: &mut [i64],
) -> Result<(), Error> {
    let distinct = usize::from(reader.u8()?) + 1;
    let mut table = [0; DISTINCT_MAX];
    table[0] = reader.zigzag()?;
    for index in 1..distinct {
        table[index] = table[index - 1].wrapping_add(reader.varint()? as i64);
    }
    coder.get(reader, out.len(), symbols)?;
    if symbols.iter().any(|&symbol| usize::from(symbol) >= distinct) {
        return Err(Error::Invalid("symbol outside the dictionary"));
    }
    for (x, &symbol) in out.iter_mut().zip(symbols.iter()) {
        *x = table[usize::from(symbol)];
    }
    Ok(())
}
