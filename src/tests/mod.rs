//! Tests that cross layers.

mod crash;
mod layers;
