//! What the scripts do not reach.

mod limits;
mod steps;
