//! Tests that cross layers.

mod promql;
mod promqltest;
