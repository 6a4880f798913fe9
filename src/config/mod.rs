//! The command line and the configuration file: flags, turned into each layer's options.
//!
//! There is one list of settings, the flags of [`ServeFlags`]. A configuration file holds the same names: every entry
//! becomes the flag it names, put in front of those of the command line, which so win. Anything a flag would
//! refuse is refused in a file, too, with the file's name in the message.
//!
//! Not here: what the commands do (`commands`).

mod cli;
mod file;
mod units;

#[cfg(test)]
mod tests;

pub use cli::{Cli, Command, CrashtestFlags, DemoFlags, InspectFlags, QueryFlags, ServeFlags};
pub use file::{Error, parse};
pub use units::{Listen, ack_level, duration, listen, memory_size, memtable_size, retention, size, wal_size};
