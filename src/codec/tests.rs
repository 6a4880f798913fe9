//! Exactness, robustness and size of the whole codec, through its public face.

mod data;
mod exact;
mod golden;
mod hostile;
mod parts;
mod size;
