//! BUCKETS: sign, exponent and leading bits of each residual as a symbol, its other bits in a stream. For heavy tails.
//!
//! ```text
//! BUCKETS: shape | centre zigzag | leading u8 | shift u8 | symbols | size varint | stream of bits
//! symbol:  bit 7: the residual is below the centre; bits 0–6: bucket of the magnitude
//! ```
//!
//! With magnitude `m = |residual − centre|` and `s = m >> shift`: an `s` below `2^leading` is its own bucket; otherwise the
//! bucket is the position of the highest bit of `s` and the `leading` bits below it. The bits of `m` that the bucket
//! does not tell follow in the stream, lowest first. (The log-bin idea of High Dynamic Range histograms.)

use crate::codec::{
    bytes::{Error, Reader, bit_width, put_bytes, put_i64},
    shape::Shape,
    symbols::{SymbolDecoder, SymbolEncoder},
};

const BELOW: u8 = 0x80;
/// An 8-byte read at any bit gives at least this many bits.
const EXTRA_MAX: u32 = 57;

/// A division of magnitudes into at most 128 buckets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Buckets {
    leading: u32,
    shift: u32,
}

impl Buckets {
    /// The finest division that covers magnitudes of `width` bits.
    pub(super) fn for_width(width: u32) -> Self {
        if width <= 18 { Self { leading: 3, shift: 0 } } else { Self { leading: 2, shift: width.saturating_sub(33) } }
    }

    /// The symbol of a distance from the centre, and how many bits go to the stream.
    pub(super) fn place(self, distance: i64) -> (u8, u32) {
        let scaled = distance.unsigned_abs() >> self.shift;
        let below = if distance < 0 { BELOW } else { 0 };
        if scaled < 1 << self.leading {
            return (scaled as u8 | below, self.shift);
        }
        let extra = scaled.ilog2() - self.leading;
        let bucket = ((extra + 1) << self.leading) as u8 | ((scaled >> extra) as u8 & ((1 << self.leading) - 1));
        (bucket | below, extra + self.shift)
    }

    /// The smallest magnitude and the number of streamed bits of a symbol's bucket; none where it is beyond 64 bits.
    fn bucket(self, symbol: u8) -> Option<(u64, u32)> {
        let bucket = u32::from(symbol & !BELOW);
        let (scaled, extra) = match (bucket >> self.leading).checked_sub(1) {
            None => (u64::from(bucket), 0),
            Some(extra) => {
                let leading = u64::from(bucket & ((1 << self.leading) - 1) | 1 << self.leading);
                (leading.checked_shl(extra)?, extra)
            }
        };
        let width = extra + self.shift;
        (width <= EXTRA_MAX && bit_width(scaled) + self.shift <= 64).then_some((scaled << self.shift, width))
    }
}

#[derive(Default)]
pub(super) struct Encoder {
    symbols: Vec<u8>,
    stream: Vec<u8>,
}

impl Encoder {
    /// Appends the residuals, or nothing and `false` where some are too far from the centre.
    pub(super) fn put(
        &mut self,
        shape: &Shape,
        centre: i64,
        residuals: &[i64],
        coder: &mut SymbolEncoder,
        out: &mut Vec<u8>,
    ) -> bool {
        let widest = residuals.iter().fold(0, |max, x| x.wrapping_sub(centre).unsigned_abs().max(max));
        let buckets = Buckets::for_width(bit_width(widest));
        if bit_width(widest) > EXTRA_MAX {
            return false;
        }
        self.place(buckets, centre, residuals);
        shape.put(out);
        put_i64(out, centre);
        out.push(buckets.leading as u8);
        out.push(buckets.shift as u8);
        coder.put(&self.symbols, out);
        put_bytes(out, &self.stream);
        true
    }

    fn place(&mut self, buckets: Buckets, centre: i64, residuals: &[i64]) {
        self.symbols.clear();
        self.stream.clear();
        let (mut word, mut used) = (0, 0);
        for x in residuals {
            let distance = x.wrapping_sub(centre);
            let (symbol, width) = buckets.place(distance);
            self.symbols.push(symbol);
            let extra = distance.unsigned_abs() & ((1 << width) - 1);
            word |= extra << used;
            used += width;
            if used >= 64 {
                used -= 64;
                self.stream.extend_from_slice(&u64::to_le_bytes(word));
                word = if used == 0 { 0 } else { extra >> (width - used) };
            }
        }
        self.stream.extend_from_slice(&word.to_le_bytes()[..used.div_ceil(8) as usize]);
    }
}

/// What decoding needs between calls.
#[derive(Default)]
pub(super) struct Scratch {
    padded: Vec<u8>,
}

/// Fills `out`; `symbols` is scratch too.
pub(super) fn get(
    reader: &mut Reader<'_>,
    coder: &mut SymbolDecoder,
    symbols: &mut Vec<u8>,
    scratch: &mut Scratch,
    out: &mut [i64],
) -> Result<(), Error> {
    let shape = Shape::get(reader)?;
    let centre = reader.zigzag()?;
    let (leading, shift) = (u32::from(reader.u8()?), u32::from(reader.u8()?));
    if !(1..=6).contains(&leading) || shift > EXTRA_MAX {
        return Err(Error::Invalid("unknown division into buckets"));
    }
    coder.get(reader, out.len(), symbols)?;
    let stream = reader.sized_bytes()?;
    let table = table(Buckets { leading, shift });
    let bits: usize = symbols.iter().map(|&symbol| table[usize::from(symbol)].width as usize).sum();
    if symbols.iter().any(|&symbol| table[usize::from(symbol)].width > EXTRA_MAX) || bits.div_ceil(8) != stream.len() {
        return Err(Error::Invalid("buckets and their bits do not agree"));
    }
    // Eight more bytes, so that every read of eight is within.
    scratch.padded.clear();
    scratch.padded.extend_from_slice(stream);
    scratch.padded.extend_from_slice(&[0; 8]);
    read_residuals(&scratch.padded, symbols, &table, centre, out);
    shape.integrate(out);
    Ok(())
}

#[derive(Clone, Copy)]
struct Row {
    magnitude: u64,
    mask: u64,
    width: u32,
    /// 0, or all ones below the centre.
    sign: i64,
}

fn table(buckets: Buckets) -> [Row; 256] {
    std::array::from_fn(|symbol| {
        let sign = -i64::from(symbol as u8 & BELOW != 0);
        match buckets.bucket(symbol as u8) {
            Some((magnitude, width)) => Row { magnitude, mask: (1 << width) - 1, width, sign },
            None => Row { magnitude: 0, mask: 0, width: u32::MAX, sign },
        }
    })
}

fn read_residuals(padded: &[u8], symbols: &[u8], table: &[Row; 256], centre: i64, out: &mut [i64]) {
    let mut bit = 0;
    for (x, &symbol) in out.iter_mut().zip(symbols) {
        let row = table[usize::from(symbol)];
        let bytes = padded[bit / 8..].first_chunk().expect("the sum of all widths was compared with the stream");
        let extra = u64::from_le_bytes(*bytes) >> (bit % 8) & row.mask;
        let magnitude = row.magnitude.wrapping_add(extra) as i64;
        *x = centre.wrapping_add((magnitude ^ row.sign).wrapping_sub(row.sign));
        bit += row.width as usize;
    }
}
