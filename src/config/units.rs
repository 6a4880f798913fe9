//! Values with units, as people write them.

use std::{
    net::{SocketAddr, ToSocketAddrs},
    time::Duration,
};

use crate::{
    engine,
    http::parse_duration,
    metrics::{AckLevel, Label},
};

/// A number of bytes: `4096`, `64KiB`, `25MiB`, `1GiB`, and decimal `1kB`, `10MB`, `1GB`.
pub fn size(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 8] = [
        ("", 1),
        ("B", 1),
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("kB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
    ];
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = (text[..digits].parse::<u64>().ok(), text[digits..].trim());
    let factor = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).map(|(_, factor)| *factor);
    let bytes = number.zip(factor).and_then(|(number, factor)| number.checked_mul(factor));
    bytes.ok_or_else(|| format!("{text:?} is not a size; write it as 4096, 64KiB, 25MiB or 1GiB"))
}

/// Bytes of the log before it is flushed: a segment at least, as less would be reached by each.
pub fn wal_size(text: &str) -> Result<u64, String> {
    let (size, min) = (size(text)?, engine::Options::SEGMENT_SIZE);
    let is_enough = size >= min;
    is_enough
        .then_some(size)
        .ok_or_else(|| format!("{text:?} is too small; the smallest is {}MiB, a segment", min >> 20))
}

/// Bytes of rows in memory: less would be filled by a few chunks, and nearly every batch be written to parts alone.
pub fn memtable_size(text: &str) -> Result<u64, String> {
    at_least(text, engine::Options::GENERATION_SIZE_MIN as u64)
}

/// Bytes of all rows in memory: several memtables.
pub fn memory_size(text: &str) -> Result<u64, String> {
    at_least(text, 4 * engine::Options::GENERATION_SIZE_MIN as u64)
}

fn at_least(text: &str, min: u64) -> Result<u64, String> {
    let is_enough = |size: &u64| *size >= min;
    let size = size(text)?;
    Some(size).filter(is_enough).ok_or_else(|| format!("{text:?} is too small; the smallest is {}MiB", min >> 20))
}

/// A duration: `250ms`, `5s`, `1h30m`.
pub fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| format!("{text:?} is not a duration; write it as 250ms, 5s, 2m or 1h30m"))
}

/// An age: `30d`, `52w`, `1y`; zero would keep nothing.
pub fn retention(text: &str) -> Result<Duration, String> {
    let age = parse_duration(text).filter(|age| !age.is_zero());
    age.ok_or_else(|| format!("{text:?} is not an age to keep samples for; write it as 12h, 30d, 52w or 1y"))
}

/// A level of acknowledgement, by its name.
pub fn ack_level(text: &str) -> Result<AckLevel, String> {
    let level = AckLevel::ALL.iter().copied().find(|level| level.text() == text);
    level.ok_or_else(|| format!("{text:?} is not a level; write it as memory, os or disk"))
}

/// Where to listen: the addresses that a host and port stand for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen(pub Vec<SocketAddr>);

/// `127.0.0.1:8086`, `[::1]:8086`, `localhost:8086`, or `:8086` for all interfaces.
pub fn listen(text: &str) -> Result<Listen, String> {
    let full = if text.starts_with(':') { format!("0.0.0.0{text}") } else { text.to_owned() };
    let addresses = full.to_socket_addrs().map_err(|error| {
        format!("{text:?} is not an address to listen on ({error}); write it as 127.0.0.1:8086 or :8086")
    })?;
    Ok(Listen(addresses.collect()))
}
