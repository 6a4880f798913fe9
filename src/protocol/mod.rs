//! Wire formats to batches.
