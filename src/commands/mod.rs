//! What the binary does: `serve`, `query`, `inspect`, `demo`, `crashtest`.
//!
//! Here the layers are put together and the process begins and ends: signals, logs, exit codes, and messages that say
//! what a person can do about a failure. Not here: anything a library user would want.

mod chart;
mod client;
mod crashtest;
mod demo;
mod inspect;
mod query;
mod serve;
mod table;

#[cfg(test)]
mod tests;

use std::{ffi::OsString, process::ExitCode};

use crate::config::{self, Command};

/// Why a command ended early. The message is for a person.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Failed(String);

impl Failed {
    /// What was attempted, and the whole chain of causes.
    fn new(attempt: impl std::fmt::Display, error: &dyn std::error::Error) -> Self {
        let mut text = format!("{attempt}: {error}");
        let mut cause = error.source();
        while let Some(error) = cause {
            text += &format!(": {error}");
            cause = error.source();
        }
        Self(text)
    }
}

/// Runs the command line. Exit codes: 0 done, 1 failed, 2 not understood.
pub fn run(arguments: Vec<OsString>) -> ExitCode {
    let (command, settings) = match config::parse(arguments) {
        Ok(parsed) => parsed,
        Err(config::Error::Usage(error)) => error.exit(),
        Err(error) => {
            eprintln!("plimsoll: {error}");
            return ExitCode::from(2);
        }
    };
    let done = match command {
        Command::Serve(flags) => serve::run(&flags, settings),
        Command::Query(flags) => query::run(&flags),
        Command::Inspect(flags) => inspect::run(&flags),
        Command::Demo(flags) => demo::run(&flags),
        Command::Crashtest(flags) => crashtest::run(&flags),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed(message)) => {
            eprintln!("plimsoll: {message}");
            ExitCode::FAILURE
        }
    }
}
