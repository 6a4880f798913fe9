//! Streams of small symbols, one byte each, entropy-coded.
//!
//! ```text
//! symbols: form u8 | size varint | bytes        (form 0: every symbol is 0, and nothing follows)
//! form:    bits per symbol (1, 2, 4 or 8), + 0x80 where `bytes` are stored as they are, not a zstd frame
//! bytes:   8, 4, 2 or 1 symbols a byte, the first in the lowest bits
//! ```
//!
//! zstd serves as a Huffman coder: its match finder is set so that it finds next to nothing, which is fast and leaves
//! the literals to be coded. Where the symbols are skewed or repeat, matches pay, and level 1 is tried as well.

use zstd::{
    bulk::Compressor,
    zstd_safe::{CParameter, Strategy, compress_bound},
};

use crate::codec::{
    bytes::{Error, Reader, put_bytes},
    frames::unpack_frame_to,
};

/// Below this, a frame's header costs more than coding saves.
const FRAME_MIN: usize = 32;
const STORED: u8 = 0x80;

pub(super) struct SymbolEncoder {
    huffman: Compressor<'static>,
    matching: Compressor<'static>,
    packed: Vec<u8>,
    frame: Vec<u8>,
    matched: Vec<u8>,
}

impl SymbolEncoder {
    pub(super) fn new() -> Self {
        Self {
            huffman: compressor(&[
                CParameter::Strategy(Strategy::ZSTD_dfast),
                CParameter::MinMatch(7),
                CParameter::HashLog(6),
                CParameter::ChainLog(6),
                CParameter::WindowLog(17),
            ]),
            matching: compressor(&[]),
            packed: Vec::new(),
            frame: Vec::new(),
            matched: Vec::new(),
        }
    }

    /// Appends `symbols`.
    pub(super) fn put(&mut self, symbols: &[u8], out: &mut Vec<u8>) {
        let bits = match symbols.iter().copied().max() {
            None | Some(0) => return out.push(0),
            Some(1) => 1,
            Some(2..4) => 2,
            Some(4..16) => 4,
            Some(16..) => 8,
        };
        pack_symbols(symbols, bits, &mut self.packed);
        match self.compress() {
            Some(frame) => {
                out.push(bits as u8);
                put_bytes(out, frame);
            }
            None => {
                out.push(bits as u8 | STORED);
                put_bytes(out, &self.packed);
            }
        }
    }

    /// The smallest frame of `packed`, where that is smaller than `packed` itself.
    fn compress(&mut self) -> Option<&[u8]> {
        if self.packed.len() < FRAME_MIN {
            return None;
        }
        compress_into(&mut self.huffman, &self.packed, &mut self.frame);
        // Under 3 bits a byte, symbols are so alike that runs and repeats are likely.
        if self.frame.len() * 8 < self.packed.len() * 3 {
            compress_into(&mut self.matching, &self.packed, &mut self.matched);
            if self.matched.len() < self.frame.len() {
                std::mem::swap(&mut self.matched, &mut self.frame);
            }
        }
        (self.frame.len() < self.packed.len()).then_some(&self.frame)
    }
}

fn compressor(parameters: &[CParameter]) -> Compressor<'static> {
    let fixed = [
        CParameter::CompressionLevel(1),
        CParameter::ChecksumFlag(false),
        CParameter::ContentSizeFlag(false),
        CParameter::DictIdFlag(false),
    ];
    let mut compressor = Compressor::default();
    for &parameter in fixed.iter().chain(parameters) {
        compressor.set_parameter(parameter).expect("every parameter is within zstd's documented bounds");
    }
    compressor
}

fn compress_into(compressor: &mut Compressor<'_>, bytes: &[u8], frame: &mut Vec<u8>) {
    frame.clear();
    frame.reserve(compress_bound(bytes.len()));
    compressor.compress_to_buffer(bytes, frame).expect("the buffer is as large as zstd's bound");
}

fn pack_symbols(symbols: &[u8], bits: usize, packed: &mut Vec<u8>) {
    packed.clear();
    if bits == 8 {
        packed.extend_from_slice(symbols);
        return;
    }
    let pack = |group: &[u8]| group.iter().rev().fold(0, |byte, symbol| byte << bits | symbol);
    packed.extend(symbols.chunks(8 / bits).map(pack));
}

#[derive(Default)]
pub(super) struct SymbolDecoder {
    packed: Vec<u8>,
}

impl SymbolDecoder {
    /// Replaces `symbols` by the next `count` symbols.
    pub(super) fn get(&mut self, reader: &mut Reader<'_>, count: usize, symbols: &mut Vec<u8>) -> Result<(), Error> {
        symbols.clear();
        let form = reader.u8()?;
        if form == 0 {
            symbols.resize(count, 0);
            return Ok(());
        }
        let bits = match form & !STORED {
            bits @ (1 | 2 | 4 | 8) => bits as usize,
            _ => return Err(Error::Invalid("unknown form of symbols")),
        };
        let bytes = reader.sized_bytes()?;
        let size = (count * bits).div_ceil(8);
        if form & STORED != 0 {
            if bytes.len() != size {
                return Err(Error::Invalid("stored symbols of another count"));
            }
            unpack_symbols(bytes, bits, count, symbols);
        } else if bits == 8 {
            symbols.resize(count, 0);
            decompress_exactly(bytes, symbols)?;
        } else {
            self.packed.resize(size, 0);
            decompress_exactly(bytes, &mut self.packed)?;
            unpack_symbols(&self.packed, bits, count, symbols);
        }
        Ok(())
    }
}

fn decompress_exactly(frame: &[u8], out: &mut [u8]) -> Result<(), Error> {
    match unpack_frame_to(frame, out) {
        Ok(size) if size == out.len() => Ok(()),
        Ok(_) => Err(Error::Invalid("zstd frame of another size")),
        Err(_) => Err(Error::Invalid("zstd frame")),
    }
}

fn unpack_symbols(packed: &[u8], bits: usize, count: usize, symbols: &mut Vec<u8>) {
    match bits {
        1 => symbols.extend(packed.iter().flat_map(|byte| std::array::from_fn::<u8, 8, _>(|i| byte >> i & 1))),
        2 => symbols.extend(packed.iter().flat_map(|byte| std::array::from_fn::<u8, 4, _>(|i| byte >> (2 * i) & 3))),
        4 => symbols.extend(packed.iter().flat_map(|byte| [byte & 15, byte >> 4])),
        _ => symbols.extend_from_slice(packed),
    }
    symbols.truncate(count);
}
