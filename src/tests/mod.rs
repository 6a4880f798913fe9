//! Tests that cross layers.

mod crash;
mod crash_threads;
mod damage;
mod differential;
mod digests;
mod directories;
mod edges;
mod faults;
mod flips;
mod folding;
mod layers;
mod manifests;
mod mirror;
mod promql;
mod promqltest;
mod recovery;
mod retention;
mod scene;
mod small_files;
mod starts;
mod stored;
mod strays;
mod told;
mod unread;
mod vain;
mod wal;
