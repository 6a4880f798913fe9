//! What the scripts do not reach.

mod limits;
mod points;
mod steps;
