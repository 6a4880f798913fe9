//! Numbers the short way: digits eight at a time, in one machine word.
//!
//! The functions answer `None` for whatever they do not cover, valid or not (long mantissas, exponents, booleans, fewer
//! than eight readable bytes); `grammar` decides then. What they do answer is exact: a mantissa of at most 2^53
//! divided by a power of ten of at most 10^19, both exact doubles, is rounded once, correctly (Clinger, "How to read
//! floating point numbers accurately", 1990).

/// Up to here every integer is a double.
pub(super) const EXACT_MAX: u64 = 1 << 53;

const POWERS_OF_TEN: [u64; 20] = {
    let mut powers = [1; 20];
    let mut index = 1;
    while index < powers.len() {
        powers[index] = powers[index - 1] * 10;
        index += 1;
    }
    powers
};

/// A field's number at the start of `text` and how many bytes it takes, its `i` or `u` included. Whether the field ends
/// there the caller has to see.
#[inline(always)]
pub(super) fn short_value(text: &[u8]) -> Option<(f64, usize)> {
    let negative = *text.first()? == b'-';
    let sign = usize::from(negative);
    let text = &text[sign..];
    let (whole, length) = leading_digits(text)?;
    match *text.get(length)? {
        b'i' if length > 0 && whole <= EXACT_MAX => Some((signed(whole, negative), sign + length + 1)),
        b'u' if length > 0 && whole <= EXACT_MAX && !negative => Some((whole as f64, sign + length + 1)),
        b'.' => {
            let (value, more) = with_fraction(whole, length, &text[length + 1..])?;
            Some((if negative { -value } else { value }, sign + length + 1 + more))
        }
        b',' | b' ' | b'\n' if length > 0 && whole <= EXACT_MAX => {
            let value = whole as f64;
            Some((if negative { -value } else { value }, sign + length))
        }
        _ => None,
    }
}

/// A run of one to nineteen digits at the start of `text`, and its length.
#[inline(always)]
pub(super) fn short_time(text: &[u8]) -> Option<(i64, usize)> {
    let (time, length) = leading_digits(text)?;
    Some((i64::try_from(time).ok()?, length)).filter(|_| length > 0)
}

/// An integer has no negative zero, so the sign comes before the conversion.
#[inline(always)]
fn signed(whole: u64, negative: bool) -> f64 {
    let whole = whole as i64;
    (if negative { -whole } else { whole }) as f64
}

#[inline(always)]
fn with_fraction(whole: u64, whole_length: usize, text: &[u8]) -> Option<(f64, usize)> {
    let (fraction, places) = leading_digits(text)?;
    if !(1..=19).contains(&(whole_length + places)) {
        return None;
    }
    let power = POWERS_OF_TEN[places];
    let mantissa = whole * power + fraction;
    (mantissa <= EXACT_MAX).then(|| (mantissa as f64 / power as f64, places))
}

/// The value of the digits `text` begins with, at most 19, and how many they are.
#[inline(always)]
fn leading_digits(text: &[u8]) -> Option<(u64, usize)> {
    let (first, length) = digits_of_word(text.first_chunk()?);
    if length < 8 {
        return Some((first, length));
    }
    let (second, length) = digits_of_word(text[8..].first_chunk()?);
    let first = first * POWERS_OF_TEN[length] + second;
    if length < 8 {
        return Some((first, 8 + length));
    }
    let (third, length) = digits_of_word(text[16..].first_chunk()?);
    (length <= 3).then(|| (first * POWERS_OF_TEN[length] + third, 16 + length))
}

/// The value of the digits that eight bytes begin with, and how many they are.
///
/// Neighbouring digits are joined to pairs, pairs to fours, fours to eight, all within the word (after D. Lemire and J.
/// Mula).
#[inline(always)]
fn digits_of_word(bytes: &[u8; 8]) -> (u64, usize) {
    let word = u64::from_le_bytes(*bytes) ^ 0x3030_3030_3030_3030;
    // A byte above 9 gets its top bit set. Carries reach only bytes behind the first of these.
    let others = (word.wrapping_add(0x7676_7676_7676_7676) | word) & 0x8080_8080_8080_8080;
    let length = others.trailing_zeros() / 8;
    // The last digit goes to the top byte and zeros before the first; in two halves, since a shift by 64 is none.
    let half = 32 - 4 * length;
    let word = word << half << half;
    let pairs = word.wrapping_mul(10).wrapping_add(word >> 8);
    let high = (pairs & 0x0000_00ff_0000_00ff).wrapping_mul(0x000f_4240_0000_0064);
    let low = ((pairs >> 16) & 0x0000_00ff_0000_00ff).wrapping_mul(0x0000_2710_0000_0001);
    (high.wrapping_add(low) >> 32, length as usize)
}
