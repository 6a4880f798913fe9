//! PACKED: residuals above their smallest, bit-packed at one width. The light form of a column.
//!
//! ```text
//! PACKED: shape | base zigzag | width u8 | bits          residual = base + packed value
//! ```

use crate::codec::{
    bitpack::{pack, packed_size, unpack},
    bytes::{Error, Reader, bit_width, put_i64},
    shape::Shape,
};

/// What a column would be packed as.
pub(super) struct Plan {
    shape: Shape,
    base: i64,
    width: u32,
}

/// Chooses the order with the narrowest residuals and leaves these in `column`, which holds what `shape` divided.
pub(super) fn plan(mut shape: Shape, column: &mut [i64]) -> Plan {
    let order = narrowest_order(column);
    shape.differentiate(column, order, 0);
    // What stands before the differences carries nothing and must not widen them.
    let (idle, carrying) = column.split_at_mut(usize::from(order));
    let (min, max) = carrying.iter().fold((i64::MAX, i64::MIN), |(min, max), &x| (min.min(x), max.max(x)));
    idle.fill(min);
    Plan { shape, base: min, width: bit_width(max.wrapping_sub(min) as u64) }
}

/// Compares the orders by magnitude alone, which costs a few SIMD operations a value. 0 for two integers.
fn narrowest_order(column: &[i64]) -> u8 {
    let (mut plain, mut first, mut second) = (0, 0, 0);
    // Differences are measured from one of them, since it is their spread that will be packed.
    let usual = column[1].wrapping_sub(column[0]);
    for &[a, b, c] in column.array_windows() {
        let difference = c.wrapping_sub(b);
        plain |= signed_bits(c);
        first |= signed_bits(difference.wrapping_sub(usual));
        second |= signed_bits(difference.wrapping_sub(b.wrapping_sub(a)));
    }
    let (plain, first, second) = (bit_width(plain), bit_width(first), bit_width(second));
    // Order 2 keeps the first difference apart and adds another pass; it has to win clearly.
    if second + 1 < plain.min(first) { 2 } else { u8::from(first < plain) }
}

/// Has as many bits as `x` needs with its sign: where two neighbouring bits of `x` differ, it has a 1.
fn signed_bits(x: i64) -> u64 {
    (x ^ (x << 1)) as u64
}

impl Plan {
    /// Bytes all of it takes, or a few less.
    pub(super) fn size(&self, count: usize) -> usize {
        4 + packed_size(count, self.width)
    }

    pub(super) fn put(&self, residuals: &[i64], offsets: &mut Vec<u64>, out: &mut Vec<u8>) {
        self.shape.put(out);
        put_i64(out, self.base);
        out.push(self.width as u8);
        offsets.clear();
        offsets.extend(residuals.iter().map(|x| x.wrapping_sub(self.base) as u64));
        pack(offsets, self.width, out);
    }
}

/// Fills `out`.
pub(super) fn get(reader: &mut Reader<'_>, out: &mut [i64]) -> Result<(), Error> {
    let shape = Shape::get(reader)?;
    let base = reader.zigzag()?;
    let width = u32::from(reader.u8()?);
    if width > 64 {
        return Err(Error::Invalid("packed integers wider than 64 bits"));
    }
    let bits = reader.bytes(packed_size(out.len(), width))?;
    unpack(bits, width, out.len(), |start, offsets| {
        for (x, &offset) in out[start..].iter_mut().zip(offsets) {
            *x = base.wrapping_add(offset as i64);
        }
    });
    shape.integrate(out);
    Ok(())
}
