//! `plimsoll inspect`: any file of a data directory, in readable form.

use std::{fmt::Write, io, path::Path, sync::Arc};

use crate::{
    commands::Failed,
    config::InspectFlags,
    disk::{Disk, File, RealDisk},
    durability, engine,
    index::IndexPart,
    parts, stage,
};

type Described = Result<String, Box<dyn std::error::Error>>;

/// A kind of file: what it begins with, and who can read it.
struct Format {
    magic: &'static [u8; 8],
    describe: fn(&Arc<dyn File>, &Path) -> Described,
}

const FORMATS: [Format; 6] = [
    Format { magic: b"PLIMPART", describe: part },
    Format { magic: b"PLIMINDX", describe: index_part },
    Format { magic: b"PLIMWAL\n", describe: stage_file },
    Format { magic: b"PLIMCON\n", describe: stage_file },
    Format { magic: b"PLIMMAN\n", describe: manifest },
    Format { magic: b"PLIMLED\n", describe: ledger },
];

pub(super) fn run(flags: &InspectFlags) -> Result<(), Failed> {
    let path = &flags.file;
    let attempt = || format!("cannot read {}", path.display());
    let file = RealDisk.open(path).map_err(|error| Failed::new(attempt(), &error))?;
    let mut magic = [0; 8];
    let read = file.read_at(&mut magic, 0).map_err(|error| Failed::new(attempt(), &error))?;
    let format = FORMATS.iter().find(|format| read == magic.len() && magic == *format.magic);
    let text = match format {
        Some(format) => (format.describe)(&file, path).map_err(|error| Failed::new(attempt(), &*error))?,
        None => current(path, &*file).ok_or_else(|| {
            Failed(format!(
                "{} is no file of a data directory: it begins like no part, index part, log segment, container, \
                 manifest or ledger",
                path.display()
            ))
        })?,
    };
    print(&text)
}

/// To a pager that was closed nobody needs to print.
pub(super) fn print(text: &str) -> Result<(), Failed> {
    match io::Write::write_all(&mut io::stdout(), text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failed::new("print", &error)),
        _ => Ok(()),
    }
}

fn part(file: &Arc<dyn File>, _: &Path) -> Described {
    let size = file.size()?;
    Ok(parts::describe(&parts::Part::open(Arc::clone(file), 0, size)?).to_string())
}

fn index_part(file: &Arc<dyn File>, _: &Path) -> Described {
    let part = IndexPart::open(file)?;
    let mut out = format!("index part {} of {}\n", part.id(), part.day());
    for entry in part.entries() {
        let entry = entry?;
        let labels = entry.key.labels("").to_string();
        writeln!(out, "{:>10}  {labels}  {}", entry.stream, entry.fields.join(" "))?;
    }
    Ok(out)
}

fn stage_file(file: &Arc<dyn File>, path: &Path) -> Described {
    let mut out = String::new();
    stage::describe(Arc::clone(file), path, &mut out)?;
    Ok(out)
}

fn manifest(_: &Arc<dyn File>, path: &Path) -> Described {
    let mut out = String::new();
    engine::describe_manifest(&RealDisk, path, &mut out)?;
    Ok(out)
}

fn ledger(_: &Arc<dyn File>, path: &Path) -> Described {
    let mut out = String::new();
    durability::describe_ledger(&RealDisk, path, &mut out)?;
    Ok(out)
}

/// CURRENT is text already: the number of the manifest in force.
fn current(path: &Path, file: &dyn File) -> Option<String> {
    let mut text = vec![0; usize::try_from(file.size().ok()?).ok()?.min(4096)];
    file.read_exact_at(&mut text, 0).ok()?;
    (path.file_name()? == "CURRENT").then(|| String::from_utf8_lossy(&text).into_owned())
}
