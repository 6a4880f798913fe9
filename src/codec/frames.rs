//! Frames of zstd, unpacked with a context that each thread keeps: to make one takes longer than to unpack a small frame.

use std::{cell::RefCell, io};

use zstd::bulk::Decompressor;

thread_local! {
    static CONTEXT: RefCell<Decompressor<'static>> = RefCell::default();
}

/// Unpacks a frame of at most `size_max` bytes, which are allocated: the caller says what is too much. Fails where it is
/// no frame, is damaged, or has more.
pub fn unpack_frame(packed: &[u8], size_max: usize) -> io::Result<Vec<u8>> {
    CONTEXT.with_borrow_mut(|context| context.decompress(packed, size_max))
}

/// Unpacks a frame to the start of `out`, and says how many bytes it had.
pub(super) fn unpack_frame_to(packed: &[u8], out: &mut [u8]) -> io::Result<usize> {
    CONTEXT.with_borrow_mut(|context| context.decompress_to_buffer(packed, out))
}
