//! What of a part cannot be read, and what that takes with it.

use std::sync::Arc;

use super::Error;

/// Something that was passed over, since its bytes are not what was written, or cannot be read. Nothing of it was used.
#[derive(Debug)]
pub struct Damage {
    /// Which thing it is.
    pub place: Place,
    /// How many blocks it takes with it.
    pub blocks: u64,
    /// The rows of those blocks, of which all or some fields are gone; `None` where only the damaged bytes told.
    pub rows: Option<u64>,
    /// Nothing it took is before the first of these times or behind the last (Unix nanoseconds).
    pub times: (i64, i64),
    /// The tables it took something of; none where that is not known.
    pub tables: Vec<Arc<str>>,
    /// Why.
    pub error: Error,
}

/// A thing of a part that is left out where it is damaged; the same as long as the part is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// All of it.
    Image,
    /// An index page, by its number.
    Page(usize),
    /// A block, by the number of its index page and its place there.
    Block(usize, usize),
}
