//! Tests that cross layers.

mod crash;
mod faults;
mod layers;
mod promql;
mod promqltest;
mod recovery;
mod stored;
