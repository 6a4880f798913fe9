//! How a column of integers becomes small residuals, and back.
//!
//! ```text
//! shape: flags u8 | first zigzag | divisor varint (flag 4) | first difference zigzag (order 2)
//! flags: the order 0, 1 or 2, + 4 where there is a divisor
//! ```
//!
//! Each integer has `first` taken off and is divided by `divisor`, a common divisor of all; then differences are taken
//! `order` times. All of it wraps modulo 2^64, so every column of i64 comes back exactly. The residuals that have
//! nothing before them (the first of order 1, the first two of order 2) carry nothing; the encoder puts in what packs
//! best.

use crate::codec::bytes::{Error, Reader, put_i64, put_u64};

const HAS_DIVISOR: u8 = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) first: i64,
    /// At least 1.
    pub(super) divisor: i64,
    /// 0, 1 or 2.
    pub(super) order: u8,
    /// Of the divided integers; 0 unless the order is 2.
    pub(super) first_difference: i64,
}

impl Shape {
    /// Replaces `column` by `ints`, less the first and divided by `divisor`, which divides all of it.
    pub(super) fn divide(ints: &[i64], divisor: i64, column: &mut Vec<i64>) -> Self {
        let first = ints[0];
        column.clear();
        match divisor {
            // By a constant, a division becomes a multiplication: these are the units of time.
            1 => column.extend(ints.iter().map(|x| x.wrapping_sub(first))),
            1_000 => column.extend(ints.iter().map(|x| x.wrapping_sub(first) / 1_000)),
            1_000_000 => column.extend(ints.iter().map(|x| x.wrapping_sub(first) / 1_000_000)),
            1_000_000_000 => column.extend(ints.iter().map(|x| x.wrapping_sub(first) / 1_000_000_000)),
            _ => column.extend(ints.iter().map(|x| x.wrapping_sub(first) / divisor)),
        }
        Self { first, divisor, order: 0, first_difference: 0 }
    }

    /// Takes differences `order` times, leaving `fill` where there is nothing before.
    pub(super) fn differentiate(&mut self, column: &mut [i64], order: u8, fill: i64) {
        self.order = order;
        for _ in 0..order {
            let mut before = 0;
            for x in column.iter_mut() {
                let difference = x.wrapping_sub(before);
                before = std::mem::replace(x, difference);
            }
        }
        if order == 2
            && let Some(second) = column.get_mut(1)
        {
            // The first integer is 0, so the second is the first difference, whichever order it was taken in.
            self.first_difference = std::mem::replace(second, fill);
        }
        if order > 0 {
            column[0] = fill;
        }
    }

    /// Turns residuals back into integers.
    pub(super) fn integrate(&self, residuals: &mut [i64]) {
        let Self { first, divisor, .. } = *self;
        match self.order {
            0 if divisor == 1 => residuals.iter_mut().for_each(|x| *x = x.wrapping_add(first)),
            0 => residuals.iter_mut().for_each(|x| *x = x.wrapping_mul(divisor).wrapping_add(first)),
            1 => {
                let mut sum = first;
                residuals[0] = first;
                for x in &mut residuals[1..] {
                    sum = sum.wrapping_add(x.wrapping_mul(divisor));
                    *x = sum;
                }
            }
            _ => {
                let mut difference = self.first_difference.wrapping_mul(divisor);
                let mut sum = first;
                residuals[0] = first;
                if let Some(second) = residuals.get_mut(1) {
                    *second = 0;
                }
                for x in &mut residuals[1..] {
                    difference = difference.wrapping_add(x.wrapping_mul(divisor));
                    sum = sum.wrapping_add(difference);
                    *x = sum;
                }
            }
        }
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.push(self.order | if self.divisor > 1 { HAS_DIVISOR } else { 0 });
        put_i64(out, self.first);
        if self.divisor > 1 {
            put_u64(out, self.divisor as u64);
        }
        if self.order == 2 {
            put_i64(out, self.first_difference);
        }
    }

    pub(super) fn get(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let flags = reader.u8()?;
        let order = flags & !HAS_DIVISOR;
        if order > 2 {
            return Err(Error::Invalid("unknown shape of integers"));
        }
        let first = reader.zigzag()?;
        let divisor = if flags & HAS_DIVISOR != 0 { reader.varint()? as i64 } else { 1 };
        let first_difference = if order == 2 { reader.zigzag()? } else { 0 };
        Ok(Self { first, divisor, order, first_difference })
    }
}

/// The greatest common divisor of what lies between each integer and the first; at least 1.
pub(super) fn common_divisor(ints: &[i64]) -> i64 {
    let mut divisor = 0;
    for x in ints {
        let distance = x.wrapping_sub(ints[0]).unsigned_abs();
        if divisor == 0 || distance % divisor != 0 {
            divisor = greatest_common_divisor(distance, divisor);
        }
        if divisor == 1 {
            break;
        }
    }
    // i64::MIN alone has no positive counterpart; nobody misses it.
    i64::try_from(divisor).unwrap_or(1).max(1)
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// The largest of the units of time (s, ms, µs, ns, as nanoseconds) that divides all distances from the first: most of
/// what the greatest common divisor gives, at a tenth of its cost.
pub(super) fn common_unit(ints: &[i64]) -> i64 {
    fn divides<const UNIT: i64>(ints: &[i64]) -> bool {
        ints.iter().all(|x| x.wrapping_sub(ints[0]) % UNIT == 0)
    }
    if !divides::<1_000>(ints) {
        1
    } else if !divides::<1_000_000>(ints) {
        1_000
    } else if !divides::<1_000_000_000>(ints) {
        1_000_000
    } else {
        1_000_000_000
    }
}
