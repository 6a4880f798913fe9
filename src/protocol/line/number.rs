//! Numbers the short way: digits eight at a time, in one machine word.
//!
//! Two tiers. [`window_value`] reads what most fields hold, integers of up to seven digits and decimals of up to seven
//! characters, from one word without a loop and, since its window is of fixed size, without a bounds check.
//! [`short_value`] reads nearly all the others. Both answer `None` for what they do not cover, valid or not (exponents,
//! booleans, integers beyond 2^53, fewer readable bytes than they want); `grammar` decides then. Whether the field
//! ends behind the number the caller has to see.
//!
//! What they answer is exact: a mantissa of at most 2^53 divided by a power of ten of at most 10^19, both exact doubles,
//! is rounded once, correctly (W. Clinger, "How to read floating point numbers accurately", 1990).

/// Up to here every integer is a double.
pub(super) const EXACT_MAX: u64 = 1 << 53;

/// How much text [`window_value`] wants from the start of a field.
pub(super) const WINDOW: usize = 64;

const POWERS_OF_TEN: [u64; 20] = {
    let mut powers = [1; 20];
    let mut index = 1;
    while index < powers.len() {
        powers[index] = powers[index - 1] * 10;
        index += 1;
    }
    powers
};

/// Divisors of a word's decimals.
const DIVISORS: [f64; 8] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7];

/// The number at `at` (at most 31) and where it ends, its `i` included, if it is a short one without a sign.
#[inline(always)]
pub(super) fn window_value(window: &[u8; WINDOW], at: usize) -> Option<(f64, usize)> {
    let at = at % 32;
    let word = u64::from_le_bytes(*window[at..at + 8].first_chunk()?) ^ ZEROS;
    let others = other_than_digits(word);
    let length = first_byte(others)?;
    if length == 0 {
        return None;
    }
    match window[at + length] {
        b'i' => Some((digits_at_start(word, length) as f64, at + length + 1)),
        b'.' => {
            // The digits behind the point move over it, so that all are converted at once.
            let end = first_byte(others & (others - 1))?;
            let whole = (1 << (8 * length)) - 1;
            let digits = (word & whole) | ((word >> 8) & !whole);
            let places = end - length - 1;
            Some((digits_at_start(digits, end - 1) as f64 / DIVISORS[places % 8], at + end))
        }
        b',' | b' ' | b'\n' => Some((digits_at_start(word, length) as f64, at + length)),
        _ => None,
    }
}

/// The number at the start of `text`, and its length, its `i` or `u` included.
pub(super) fn short_value(text: &[u8]) -> Option<(f64, usize)> {
    let negative = *text.first()? == b'-';
    let sign = usize::from(negative);
    let digits = &text[sign..];
    let (whole, length) = leading_digits(digits)?;
    let is_exact = length > 0 && whole <= EXACT_MAX;
    match *digits.get(length)? {
        b'i' if is_exact => Some((signed(whole, negative), sign + length + 1)),
        b'u' if is_exact && !negative => Some((whole as f64, sign + length + 1)),
        // So long a mantissa is no exact double, or seldom.
        b'.' if length > 0 && digits.get(16).is_some_and(u8::is_ascii_digit) => long_decimal(text),
        b'.' if length > 0 => short_decimal(whole, length, &digits[length + 1..])
            .map(|(value, more)| (if negative { -value } else { value }, sign + length + 1 + more))
            .or_else(|| long_decimal(text)),
        b',' | b' ' | b'\n' if is_exact => Some((if negative { -(whole as f64) } else { whole as f64 }, sign + length)),
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
fn signed(whole: u64, negative: bool) -> f64 {
    let whole = whole as i64;
    (if negative { -whole } else { whole }) as f64
}

fn short_decimal(whole: u64, whole_length: usize, text: &[u8]) -> Option<(f64, usize)> {
    let (fraction, places) = leading_digits(text)?;
    if whole_length + places > 19 {
        return None;
    }
    let power = POWERS_OF_TEN[places];
    let mantissa = whole * power + fraction;
    (mantissa <= EXACT_MAX).then(|| (mantissa as f64 / power as f64, places))
}

/// A decimal with more digits than a double holds exactly. `text` begins with a digit or `-` and a digit, where the
/// library's syntax is the grammar's.
fn long_decimal(text: &[u8]) -> Option<(f64, usize)> {
    fast_float2::parse_partial(text).ok().filter(|(value, _): &(f64, usize)| value.is_finite())
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
#[inline(always)]
fn digits_of_word(bytes: &[u8; 8]) -> (u64, usize) {
    let word = u64::from_le_bytes(*bytes) ^ ZEROS;
    match first_byte(other_than_digits(word)) {
        Some(0) => (0, 0),
        Some(length) => (digits_at_start(word, length), length),
        None => (digits_at_start(word, 8), 8),
    }
}

/// Eight times `0`: what turns digits into their values.
const ZEROS: u64 = 0x3030_3030_3030_3030;

/// The top bit of each byte above 9. Right up to and including the first such byte, and behind it as long as that is
/// ASCII: only then is there no carry.
#[inline(always)]
fn other_than_digits(word: u64) -> u64 {
    (word.wrapping_add(0x7676_7676_7676_7676) | word) & 0x8080_8080_8080_8080
}

/// The place of the first byte with a bit set.
#[inline(always)]
fn first_byte(bits: u64) -> Option<usize> {
    Some(std::num::NonZero::new(bits)?.trailing_zeros() as usize / 8)
}

/// The value of a word's first `length` (1 to 8) bytes, each a digit's value.
///
/// Neighbouring digits are joined to pairs, pairs to fours, fours to eight, all within the word (after D. Lemire and J.
/// Mula).
#[inline(always)]
fn digits_at_start(word: u64, length: usize) -> u64 {
    // The last digit goes to the top byte, and zeros before the first.
    let word = word << ((64 - 8 * length) % 64);
    let pairs = word.wrapping_mul(10).wrapping_add(word >> 8);
    let high = (pairs & 0x0000_00ff_0000_00ff).wrapping_mul(0x000f_4240_0000_0064);
    let low = ((pairs >> 16) & 0x0000_00ff_0000_00ff).wrapping_mul(0x0000_2710_0000_0001);
    high.wrapping_add(low) >> 32
}
