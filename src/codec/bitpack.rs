//! Unsigned integers of one width, packed without gaps.
//!
//! ```text
//! packed: chunk* tail
//! chunk:  512 values as 8 interleaved streams ("lanes") of 64: value i is number i / 8 of lane i mod 8.
//!         A lane is `width` words of 64 bits filled from the lowest bit up; word w of all lanes lies together:
//!         lane 0 word 0 | lane 1 word 0 | … | lane 7 word 0 | lane 0 word 1 | …        (words little-endian)
//! tail:   the last count mod 512 values as one stream of bits, lowest first, padded to a byte
//! ```
//!
//! All eight lanes shift by the same amount at every step, so the compiler turns the inner loops into SIMD on any
//! target; the idea is that of FastLanes (Afroozeh and Boncz, VLDB 2023), the layout is plainer.

const LANES: usize = 8;
const ROWS: usize = 64;

/// Values per interleaved chunk.
pub(super) const CHUNK: usize = LANES * ROWS;

/// Bytes that `count` values of `width` bits take.
pub(super) fn packed_size(count: usize, width: u32) -> usize {
    let width = width as usize;
    count / CHUNK * CHUNK * width / 8 + (count % CHUNK * width).div_ceil(8)
}

/// Appends `values`, each below `2^width`; `width` is at most 64, and 0 appends nothing.
pub(super) fn pack(values: &[u64], width: u32, out: &mut Vec<u8>) {
    if width == 0 {
        return;
    }
    out.reserve(packed_size(values.len(), width));
    let (chunks, tail) = values.as_chunks::<CHUNK>();
    for chunk in chunks {
        pack_chunk(chunk, width, out);
    }
    pack_tail(tail, width, out);
}

fn pack_chunk(values: &[u64; CHUNK], width: u32, out: &mut Vec<u8>) {
    let mut words = [0; LANES];
    let mut used = 0;
    for row in values.as_chunks::<LANES>().0 {
        for (word, value) in words.iter_mut().zip(row) {
            *word |= value << used;
        }
        used += width;
        if used >= 64 {
            used -= 64;
            out.extend_from_slice(words.map(u64::to_le_bytes).as_flattened());
            words = if used == 0 { [0; LANES] } else { row.map(|value| value >> (width - used)) };
        }
    }
}

fn pack_tail(values: &[u64], width: u32, out: &mut Vec<u8>) {
    let (mut word, mut used) = (0, 0);
    for &value in values {
        word |= value << used;
        used += width;
        if used >= 64 {
            used -= 64;
            out.extend_from_slice(&u64::to_le_bytes(word));
            word = if used == 0 { 0 } else { value >> (width - used) };
        }
    }
    out.extend_from_slice(&word.to_le_bytes()[..used.div_ceil(8) as usize]);
}

/// Unpacks `count` values and hands them on in order, up to 512 at a time with the index of the first.
///
/// `bytes` must hold `packed_size(count, width)` bytes; `width` is at most 64.
pub(super) fn unpack(bytes: &[u8], width: u32, count: usize, mut each: impl FnMut(usize, &[u64])) {
    let mut values = [0; CHUNK];
    let (whole, tail) = bytes.split_at(packed_size(count / CHUNK * CHUNK, width));
    for chunk in 0..count / CHUNK {
        unpack_chunk(&whole[chunk * CHUNK / 8 * width as usize..], width, &mut values);
        each(chunk * CHUNK, &values);
    }
    let tail_count = count % CHUNK;
    if tail_count > 0 {
        unpack_tail(tail, width, &mut values[..tail_count]);
        each(count - tail_count, &values[..tail_count]);
    }
}

fn mask(width: u32) -> u64 {
    u64::MAX.checked_shr(64 - width).unwrap_or(0)
}

fn lanes(bytes: &[u8], word: usize) -> [u64; LANES] {
    let words = bytes[word * LANES * 8..][..LANES * 8].as_chunks::<8>().0;
    std::array::from_fn(|lane| u64::from_le_bytes(words[lane]))
}

fn unpack_chunk(bytes: &[u8], width: u32, values: &mut [u64; CHUNK]) {
    if width == 0 {
        values.fill(0);
        return;
    }
    let mask = mask(width);
    for (row, values) in values.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
        let bit = row as u32 * width;
        let (word, shift) = ((bit / 64) as usize, bit % 64);
        let low = lanes(bytes, word);
        if shift + width <= 64 {
            *values = low.map(|low| low >> shift & mask);
        } else {
            let high = lanes(bytes, word + 1);
            *values = std::array::from_fn(|lane| (low[lane] >> shift | high[lane] << (64 - shift)) & mask);
        }
    }
}

fn unpack_tail(bytes: &[u8], width: u32, values: &mut [u64]) {
    let mask = mask(width);
    let mut words = bytes.chunks(8).map(|bytes| {
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        u64::from_le_bytes(word)
    });
    // The lowest `left` bits of `word` are still to be read.
    let (mut word, mut left) = (0u64, 0);
    for value in values {
        if left >= width {
            *value = word & mask;
            word = word.checked_shr(width).unwrap_or(0);
            left -= width;
        } else {
            let next = words.next().unwrap_or(0);
            *value = (word | next << left) & mask;
            word = next.checked_shr(width - left).unwrap_or(0);
            left += 64 - width;
        }
    }
}
