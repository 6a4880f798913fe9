//! The manifest: which files count, and what every start must know.
//!
//! ```text
//! CURRENT            text: the number of the manifest in force, a space, and the CRC-32 of the number's digits
//! MANIFEST-000007    header | record*        and MANIFEST-000007.copy, the same bytes
//! header: magic [8] | version u32 | crc32 u32
//! record: len u32 | crc32 u32 | edit         the CRC covers len and edit
//! ```
//!
//! A record is one [`Edit`] and takes effect as a whole. Both copies are written and synced before it counts; a start
//! takes each record from the copy that has it whole. Each start writes a new manifest that begins with the whole state,
//! then points CURRENT at it. Where CURRENT is damaged or missing, the newest manifest that is whole is in force: one that
//! CURRENT does not name yet begins with the state of the one it names.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    disk::{self, Disk, File},
    durability::error_chain,
    engine::edit::{Edit, State},
    model::counted,
};

const MAGIC: &[u8; 8] = b"PLIMMAN\n";
const VERSION: u32 = 1;
const HEADER_SIZE: usize = 16;

/// Why the manifest could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk refused.
    #[error("{action} {path}")]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The disk's answer.
        source: io::Error,
    },
    /// The file was written by a newer version.
    #[error("{path} has format version {found}; this program reads up to {VERSION}")]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
}

impl Error {
    /// Whether the disk does not give what is there.
    fn is_unreadable(&self) -> bool {
        matches!(self, Self::Io { source, .. } if disk::is_unreadable(source))
    }

    /// Whether there was no room.
    pub(crate) fn is_full(&self) -> bool {
        let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        matches!(self, Self::Io { source, .. } if full.contains(&source.kind()))
    }
}

/// Bytes of records after which a new manifest begins, with the state alone.
const SIZE_MAX: u64 = 16 << 20;

/// The open manifest.
pub struct Manifest {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    number: u64,
    files: [(PathBuf, Arc<dyn File>); 2],
    end: u64,
    failed: bool,
    state: State,
}

/// What a start finds.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    /// The state after all valid records.
    pub state: State,
    /// The number of the manifest it came from; 0 where there was none.
    pub number: u64,
    /// Whether it ended where its last record ends: nothing was cut off.
    pub clean: bool,
}

impl Loaded {
    /// Reads the manifest that CURRENT names, or the newest there is where CURRENT does not help. A copy that cannot be read
    /// counts as missing as long as the other is whole; else it is kept, and the start ends.
    pub(crate) fn read(disk: &dyn Disk, dir: &Path) -> Result<Self, Error> {
        let named = read_current(disk, dir)?;
        let mut numbers = list_manifests(disk, dir)?;
        if let Some(named) = named {
            // A newer manifest was never in force, and an older one knows too little: it would have parts set aside.
            numbers.retain(|number| *number == named);
        }
        for number in numbers.into_iter().rev() {
            let (mut copies, mut unread) = (Vec::new(), None);
            for path in paths(dir, number) {
                match read_copy(disk, &path) {
                    Err(error) if error.is_unreadable() => {
                        tracing::error!("a copy of the manifest cannot be read: {}", error_chain(&error));
                        unread = Some(error);
                    }
                    copy => copies.extend(copy?),
                }
            }
            let (records, clean) = take_records(&copies);
            match unread {
                // What is missing of the other may stand there, and an older manifest would have files set aside that this one
                // names.
                Some(error) if records.is_empty() || !clean => return Err(error),
                _ if records.is_empty() => {}
                _ => {
                    let state = records.iter().fold(State::default(), |state, edit| state.apply(edit));
                    return Ok(Self { state, number, clean });
                }
            }
        }
        Ok(Self::default())
    }

    /// Writes what was read as a new manifest and puts that in force. Its last record may be in the page cache only, and
    /// where a sync of it has failed no other sync brings it to the disk: a start that removed files by it must not find it
    /// gone after a power cut.
    pub(crate) fn write_anew(&mut self, disk: &dyn Disk, dir: &Path) -> Result<(), Error> {
        self.number = begin(disk, dir, &self.state)?.number;
        remove_older(disk, dir, self.number)
    }
}

impl Manifest {
    /// Writes a new manifest that holds `state`, and puts it in force.
    pub fn create(disk: Arc<dyn Disk>, dir: &Path, state: State) -> Result<Self, Error> {
        let Begun { number, files, end } = begin(&*disk, dir, &state)?;
        Ok(Self { disk, dir: dir.to_owned(), number, files, end, failed: false, state })
    }

    /// Removes those before it. What stays behind does no harm.
    pub fn remove_older(&self) -> Result<(), Error> {
        remove_older(&*self.disk, &self.dir, self.number)
    }

    /// What is recorded.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Begins a new file where a record failed, since nobody knows where the old one ends; and where it has grown large.
    pub fn heal(&mut self) -> Result<(), Error> {
        if !self.failed && self.end < SIZE_MAX {
            return Ok(());
        }
        self.state.forget();
        Begun { number: self.number, files: self.files, end: self.end } = begin(&*self.disk, &self.dir, &self.state)?;
        self.failed = false;
        if let Err(error) = self.remove_older() {
            tracing::warn!("an old manifest stays behind: {error}");
        }
        Ok(())
    }

    /// Records an edit, durably. Where that fails, the next record begins a new file, without this one.
    pub fn record(&mut self, edit: &Edit) -> Result<(), Error> {
        self.heal()?;
        let mut bytes = Vec::new();
        put_record(edit, &mut bytes);
        self.failed = true;
        for (path, file) in &self.files {
            file.write_at(&bytes, self.end).map_err(io_error("write", path))?;
            disk::sync_linked(&**file).map_err(io_error("sync", path))?;
        }
        self.failed = false;
        self.end += bytes.len() as u64;
        self.state = std::mem::take(&mut self.state).apply(edit);
        Ok(())
    }
}

/// A manifest that is in force.
struct Begun {
    number: u64,
    files: [(PathBuf, Arc<dyn File>); 2],
    end: u64,
}

/// Writes both copies of a manifest that holds `state`, and points CURRENT at it. Where a copy fails, both are removed:
/// on a full disk their space is wanted.
///
/// Each attempt has a number that no file has: CURRENT may name what an earlier one has written, though that failed in the
/// end, and nothing is written twice to a file that failed.
fn begin(disk: &dyn Disk, dir: &Path, state: &State) -> Result<Begun, Error> {
    let number = list_manifests(disk, dir)?.last().map_or(1, |newest| newest + 1);
    let mut bytes = header().to_vec();
    put_record(&state.to_edit(), &mut bytes);
    let copies = paths(dir, number).map(|path| write_copy(disk, &path, &bytes).map(|file| (path, file)));
    let [first, second] = copies;
    let files = match (first, second) {
        (Ok(first), Ok(second)) => [first, second],
        (Err(error), _) | (_, Err(error)) => {
            // What cannot be removed, no CURRENT names.
            paths(dir, number).iter().for_each(|path| drop(disk.remove(path)));
            return Err(error);
        }
    };
    disk.sync_dir(dir).map_err(io_error("sync the directory", dir))?;
    let current = dir.join("CURRENT");
    disk::replace(disk, &current, current_text(number).as_bytes()).map_err(io_error("write", &current))?;
    Ok(Begun { number, files, end: bytes.len() as u64 })
}

fn write_copy(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<Arc<dyn File>, Error> {
    let file = disk.create(path).map_err(io_error("create", path))?;
    file.write_at(bytes, 0).map_err(io_error("write", path))?;
    file.sync_data().map_err(io_error("sync", path))?;
    Ok(file)
}

fn remove_older(disk: &dyn Disk, dir: &Path, number: u64) -> Result<(), Error> {
    for old in list_manifests(disk, dir)?.into_iter().filter(|old| *old < number) {
        for path in paths(dir, old) {
            match disk.remove(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_error("remove", &path)(error)),
                _ => {}
            }
        }
    }
    Ok(())
}

/// A manifest in readable form, a line per record.
pub fn describe(disk: &dyn Disk, path: &Path, out: &mut dyn std::fmt::Write) -> Result<(), Box<dyn std::error::Error>> {
    let copy = read_copy(disk, path)?.ok_or("no such file, or its header is damaged")?;
    let (records, clean) = take_records(&[copy]);
    for (index, record) in records.iter().enumerate() {
        writeln!(out, "{index:>6}  {record}")?;
    }
    writeln!(
        out,
        "{}, {}",
        counted(records.len() as u64, "record", "records"),
        if clean { "ends cleanly" } else { "then bytes that are no record" }
    )?;
    Ok(())
}

fn paths(dir: &Path, number: u64) -> [PathBuf; 2] {
    [dir.join(format!("MANIFEST-{number:06}")), dir.join(format!("MANIFEST-{number:06}.copy"))]
}

fn list_manifests(disk: &dyn Disk, dir: &Path) -> Result<Vec<u64>, Error> {
    let entries = disk.list(dir).map_err(io_error("list", dir))?;
    let number = |path: &Path| path.file_name()?.to_str()?.strip_prefix("MANIFEST-")?.split('.').next()?.parse().ok();
    let mut numbers: Vec<u64> = entries.iter().filter_map(|entry| number(&entry.path)).collect();
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}

fn read_current(disk: &dyn Disk, dir: &Path) -> Result<Option<u64>, Error> {
    let path = dir.join("CURRENT");
    let bytes = match read_file(disk, &path) {
        Err(error) if error.is_unreadable() => {
            tracing::error!("the newest manifest that is whole is taken: {}", error_chain(&error));
            None
        }
        bytes => bytes?,
    };
    let Some(bytes) = bytes else { return Ok(None) };
    let number = parse_current(&bytes);
    if number.is_none() {
        tracing::warn!("{} is damaged: the newest manifest that is whole is taken", path.display());
    }
    Ok(number)
}

/// What CURRENT holds: `7 4b4c9a1e`
fn current_text(number: u64) -> String {
    let digits = number.to_string();
    format!("{digits} {:08x}\n", crc32fast::hash(digits.as_bytes()))
}

fn parse_current(bytes: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(bytes).ok()?;
    let number = text.split_once(' ')?.0.parse().ok()?;
    (current_text(number) == text).then_some(number)
}

/// What of a copy stands behind its header; `None` where there is no such file or no header.
fn read_copy(disk: &dyn Disk, path: &Path) -> Result<Option<Vec<u8>>, Error> {
    let Some(bytes) = read_file(disk, path)? else { return Ok(None) };
    let Some((head, records)) = bytes.split_at_checked(HEADER_SIZE) else { return Ok(None) };
    let u32_at = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("four bytes"));
    if &head[..8] != MAGIC || u32_at(12) != crc32fast::hash(&head[..12]) {
        return Ok(None);
    }
    if u32_at(8) > VERSION {
        return Err(Error::Version { path: path.to_owned(), found: u32_at(8) });
    }
    Ok(Some(records.to_owned()))
}

/// The records up to the first that no copy has whole, and whether nothing else is in any of them. A record stands at the
/// same place in each.
fn take_records(copies: &[Vec<u8>]) -> (Vec<Edit>, bool) {
    let (mut records, mut at) = (Vec::new(), 0);
    while let Some((edit, size)) = copies.iter().find_map(|copy| take_record(copy.get(at..)?)) {
        records.push(edit);
        at += size;
    }
    (records, copies.iter().all(|copy| copy.len() <= at))
}

fn read_file(disk: &dyn Disk, path: &Path) -> Result<Option<Vec<u8>>, Error> {
    let file = match disk.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(io_error("open", path))?,
    };
    let size = file.size().map_err(io_error("measure", path))?;
    let mut bytes = vec![0; size as usize];
    file.read_exact_at(&mut bytes, 0).map_err(io_error("read", path))?;
    Ok(Some(bytes))
}

fn header() -> [u8; HEADER_SIZE] {
    let mut bytes = [0; HEADER_SIZE];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..12]);
    bytes[12..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn put_record(edit: &Edit, out: &mut Vec<u8>) {
    let mut body = Vec::new();
    edit.encode(&mut body);
    let len = u32::try_from(body.len()).expect("an edit names far fewer files than fill 4 GiB").to_le_bytes();
    out.extend_from_slice(&len);
    out.extend_from_slice(&checksum(len, &body).to_le_bytes());
    out.extend_from_slice(&body);
}

/// The record that bytes begin with, and its size.
fn take_record(bytes: &[u8]) -> Option<(Edit, usize)> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let body = rest.get(..u32::from_le_bytes(*len) as usize)?;
    if checksum(*len, body) != u32::from_le_bytes(*crc) {
        return None;
    }
    Some((Edit::decode(body).ok()?, 8 + body.len()))
}

fn checksum(len: [u8; 4], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&len);
    hasher.update(body);
    hasher.finalize()
}

fn io_error<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
    move |source| Error::Io { action, path: path.to_owned(), source }
}
