//! Looking for the end of a file's content where it does not end as it should.

use super::File;

/// How much is read at a time: what one bad sector hides is one piece.
const PIECE_SIZE: usize = 4096;
/// The bytes that are looked through: more than any directory of a part takes.
const SEARCH_SIZE_MAX: u64 = 64 << 20;
/// Pieces that could not be read after which nothing more is looked for: each may take a disk seconds.
const UNREAD_MAX: u32 = 16;

/// The last place at which these bytes stand in the file and end before byte `end`. What cannot be read is passed over.
pub fn find_back(file: &dyn File, wanted: &[u8; 8], end: u64) -> Option<u64> {
    let (mut unread, stop) = (0, end.saturating_sub(SEARCH_SIZE_MAX));
    let mut piece = [0; PIECE_SIZE + 7];
    let mut from = end.next_multiple_of(PIECE_SIZE as u64);
    while from > stop && unread < UNREAD_MAX {
        from = from.saturating_sub(PIECE_SIZE as u64);
        // Bytes that begin in this piece may end in the next.
        let size = piece.len().min(end.saturating_sub(1).saturating_sub(from) as usize);
        let read = file.read_at(&mut piece[..size], from).inspect_err(|_| unread += 1).unwrap_or(0);
        if let Some(place) = piece[..read].windows(wanted.len()).rposition(|bytes| bytes == wanted) {
            return Some(from + place as u64);
        }
    }
    None
}
