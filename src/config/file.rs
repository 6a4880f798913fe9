//! The configuration file, and how it joins the command line.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use clap::{ArgAction, ArgMatches, CommandFactory, FromArgMatches, Parser};

use crate::config::{Cli, Command, ServeFlags};

/// Why there is nothing to run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line: clap's own message, which may be the help text.
    #[error(transparent)]
    Usage(#[from] clap::Error),
    /// The file could not be read.
    #[error("cannot read the configuration file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// The file is no TOML.
    #[error("the configuration file {} is not valid TOML: {source}", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A key or value that is no flag's.
    #[error("in the configuration file {}: {message}", path.display())]
    Setting {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
}

/// Reads the command line and the configuration file it may name. Returns what to do and, for `serve`, all settings as
/// text.
pub fn parse(arguments: Vec<OsString>) -> Result<(Command, Vec<(String, String)>), Error> {
    let cli = Cli::try_parse_from(&arguments)?;
    let flags = match cli.command {
        None => cli.serve,
        Some(Command::Serve(flags)) => *flags,
        Some(other) => return Ok((other, Vec::new())),
    };
    let arguments = match flags.config {
        None => arguments,
        Some(path) => with_file(&path, &arguments)?,
    };
    let matches = Cli::command().try_get_matches_from(arguments)?;
    let matches = matches.subcommand_matches("serve").unwrap_or(&matches);
    let flags = ServeFlags::from_arg_matches(matches)?;
    Ok((Command::Serve(Box::new(flags)), settings(matches)))
}

/// The arguments with those of the file in front, so that the given ones win.
fn with_file(path: &Path, given: &[OsString]) -> Result<Vec<OsString>, Error> {
    let in_file = file_arguments(path)?;
    let program = [given[0].clone(), "serve".into()];
    let alone = program.iter().cloned().chain(in_file.iter().cloned());
    let setting = |error: clap::Error| Error::Setting { path: path.into(), message: first_line(&error) };
    Cli::try_parse_from(alone).map_err(setting)?;
    let rest = given[1..].iter().filter(|argument| *argument != "serve").cloned();
    Ok(program.into_iter().chain(in_file).chain(rest).collect())
}

fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

#[allow(clippy::disallowed_methods)] // a person's file, not the database's
fn file_arguments(path: &Path) -> Result<Vec<OsString>, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.into(), source })?;
    let table: toml::Table =
        text.parse().map_err(|source| Error::Toml { path: path.into(), source: Box::new(source) })?;
    let setting = |message| Error::Setting { path: path.into(), message };
    let arguments = table.iter().map(|(key, value)| argument(key, value).map_err(setting));
    Ok(arguments.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().map(OsString::from).collect())
}

/// The flag an entry stands for; none for a switch that is off.
fn argument(key: &str, value: &toml::Value) -> Result<Option<String>, String> {
    let command = Cli::command();
    let known: Vec<_> = command.get_arguments().filter_map(clap::Arg::get_long).collect();
    let flag = command.get_arguments().find(|flag| flag.get_long() == Some(key) && key != "config");
    let Some(flag) = flag else {
        let spelled = key.replace('_', "-").to_ascii_lowercase();
        let hint =
            if known.contains(&spelled.as_str()) { format!("; it is spelled {spelled:?}") } else { String::new() };
        return Err(format!("unknown key {key:?}{hint} (the keys are the flags of `plimsoll serve --help`)"));
    };
    let is_switch = !flag.get_action().takes_values();
    match value {
        toml::Value::Boolean(on) if is_switch => Ok(on.then(|| format!("--{key}"))),
        _ if is_switch => Err(format!("{key:?} is on or off; write true or false")),
        toml::Value::String(text) => Ok(Some(format!("--{key}={text}"))),
        toml::Value::Integer(number) => Ok(Some(format!("--{key}={number}"))),
        other => Err(format!("{key:?} takes text or a whole number, not this {}", other.type_str())),
    }
}

fn settings(matches: &ArgMatches) -> Vec<(String, String)> {
    let command = Cli::command();
    let flags = command.get_arguments().filter_map(|flag| {
        let name = flag.get_long()?;
        let raw = matches.try_get_raw(flag.get_id().as_str()).ok().flatten()?;
        let mut values: Vec<_> = raw.map(|value| value.to_string_lossy()).collect();
        // Of a flag that may be given once, the last one is in force.
        if !matches!(flag.get_action(), ArgAction::Append) {
            values.drain(..values.len().saturating_sub(1));
        }
        Some((name.to_owned(), values.join(",")))
    });
    flags.collect()
}
