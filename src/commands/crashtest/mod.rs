//! `plimsoll crashtest`: the promise of every mode, tested from outside on this machine.
//!
//! ```text
//! start ─► load over HTTP ─► SIGKILL ─► start (and sometimes SIGKILL, and start again) ─► read all back ─► checks ─► load …
//! ```
//!
//! Always: what a mode promises is read off its row, and the checks are pure functions over what a client knows
//! (`check`); all crashes of a mode go on in one directory, since crashes chain. What was not checked is called so.
//! Not here: power cuts. They take a disk that forgets, which is what the crash test on the simulated disk is for.

mod batch;
mod check;
mod child;
mod found;
mod history;
mod load;
mod report;
mod trial;

#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::{
    commands::{
        Failed,
        crashtest::{report::ModeReport, trial::Trial},
    },
    config::CrashtestFlags,
    durability::Mode,
};

pub(super) fn run(flags: &CrashtestFlags) -> Result<(), Failed> {
    let seed = flags.seed.unwrap_or_else(|| fastrand::u64(..1 << 32));
    let modes = if flags.mode.is_empty() { Mode::ALL.to_vec() } else { flags.mode.clone() };
    let (root, is_temporary) = root(flags)?;
    let mut reports = Vec::new();
    for (index, &mode) in modes.iter().enumerate() {
        eprintln!("{mode}: {} crashes (mode {} of {})", flags.rounds, index + 1, modes.len());
        let dir = root.join(format!("{:02}-{}", index + 1, directory_name(mode)));
        let trial = Trial::new(flags, mode, dir, seed, flags.duration / modes.len() as u32);
        reports.push(trial.run());
    }
    println!("{}", report::render(&reports, seed));
    let is_ok = reports.iter().all(ModeReport::is_ok);
    if is_temporary && is_ok {
        // What cannot be removed is in the system's temporary directory, which is cleaned anyway.
        let _ = std::fs::remove_dir_all(&root);
    }
    if is_ok { Ok(()) } else { Err(Failed(format!("a promise was broken; all files are kept in {}", root.display()))) }
}

/// Where the data directories go, and whether they go away again.
fn root(flags: &CrashtestFlags) -> Result<(PathBuf, bool), Failed> {
    let temporary = || std::env::temp_dir().join(format!("plimsoll-crashtest-{}", std::process::id()));
    let root = flags.data.clone().unwrap_or_else(temporary);
    if !is_empty(&root) {
        return Err(Failed(format!("{} is not empty; a crash test starts with nothing", root.display())));
    }
    Ok((root, flags.data.is_none()))
}

#[allow(clippy::disallowed_methods)] // it looks for files, and opens none
fn is_empty(dir: &Path) -> bool {
    std::fs::read_dir(dir).map_or(true, |mut entries| entries.next().is_none())
}

/// `adaptive(p99_ack=20ms)` without what shells and people trip over.
fn directory_name(mode: Mode) -> String {
    let name = mode.to_string().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    name.trim_matches('-').to_owned()
}

/// Whole milliseconds, rounded up.
fn millis(time: Duration) -> String {
    format!("{} ms", time.as_micros().div_ceil(1000))
}

#[allow(clippy::disallowed_methods)] // the edge: when things happened, as a client sees it
fn clock() -> Instant {
    Instant::now()
}
