//! Tests that cross layers.

mod crash;
mod layers;
mod promql;
mod promqltest;
