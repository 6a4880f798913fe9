//! A batch's place in the life of a directory, as a client is told.

use std::{fmt, str::FromStr};

use super::SeqNo;

/// Which start of the server took a batch, and the number it gave it: `3/17`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The start.
    pub incarnation: u32,
    /// The number.
    pub number: SeqNo,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.incarnation, self.number)
    }
}

/// A text is no position.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no position; one is written as 3/17, the incarnation and the sequence number")]
pub struct PositionError(String);

impl FromStr for Position {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        let parse = || {
            let (incarnation, number) = text.split_once('/')?;
            let all_digits = [incarnation, number].iter().all(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
            let position = Self { incarnation: incarnation.parse().ok()?, number: SeqNo(number.parse().ok()?) };
            all_digits.then_some(position)
        };
        parse().ok_or_else(|| PositionError(text.chars().take(40).collect()))
    }
}
