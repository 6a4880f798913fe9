//! Wire formats to plain values: bytes in, lines (and later remote-write series) out.
//!
//! The layer knows no schema, no ids and no storage: it says what a request wrote, and `ingest` decides where that
//! belongs. Nothing here waits, and nothing trusts its input: any bytes give lines or errors, never a panic, and never
//! more memory than the stated limits.

pub mod line;
