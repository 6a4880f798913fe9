//! What happens on the simulated disk, as data: operations, the faults that meet them, and the trace they leave.

use rustix::io::Errno;
use std::{
    collections::VecDeque,
    fmt::{self, Write},
    io,
    path::Path,
    sync::Arc,
};

/// So many operations the trace remembers: enough for what led to a failure, little enough to print.
const TRACE_COUNT_MAX: usize = 256;

/// A kind of operation. All but [`OpKind::Read`] change something, are counted, and are places to crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpKind {
    /// A new file.
    Create,
    /// A new directory; `create_dir_all` is one of these for each missing directory.
    Mkdir,
    /// `write_at`
    Write,
    /// `set_size`
    SetSize,
    /// `allocate`
    Allocate,
    /// `sync_data`
    SyncData,
    /// `sync_dir`
    SyncDir,
    /// `rename`
    Rename,
    /// `remove`
    Remove,
    /// `read_at`: can fail, but is not counted and not traced.
    Read,
}

/// Which operations fail, and how. Starts as "the next counted operation, once".
///
/// ```
/// use plimsoll::disk::{Errno, Fault, OpKind, SimDisk};
/// let disk = SimDisk::new(1);
/// disk.inject(Fault::new(Errno::IO).of(OpKind::SyncData).at(".wal").after(2)); // the third sync of a log segment
/// ```
#[derive(Clone, Debug)]
pub struct Fault {
    errno: Errno,
    kind: Option<OpKind>,
    path_part: String,
    skip_count: u64,
    times: u64,
}

impl Fault {
    /// Fails the next counted operation with this error.
    #[must_use]
    pub fn new(errno: Errno) -> Self {
        Self { errno, kind: None, path_part: String::new(), skip_count: 0, times: 1 }
    }

    /// Only operations of this kind.
    #[must_use]
    pub fn of(self, kind: OpKind) -> Self {
        Self { kind: Some(kind), ..self }
    }

    /// Only where the path (of a rename: either) contains this.
    #[must_use]
    pub fn at(self, path_part: &str) -> Self {
        Self { path_part: path_part.to_owned(), ..self }
    }

    /// Lets the first `skip_count` that match succeed.
    #[must_use]
    pub fn after(self, skip_count: u64) -> Self {
        Self { skip_count, ..self }
    }

    /// Fails so many that match, rather than one; `u64::MAX` for all.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        Self { times, ..self }
    }

    /// The error for this operation, if it is one that should fail. Counts it.
    pub(super) fn meet(&mut self, event: &Event) -> Option<Errno> {
        if !self.matches(event) || self.times == 0 {
            return None;
        }
        if self.skip_count > 0 {
            self.skip_count -= 1;
            return None;
        }
        self.times -= 1;
        Some(self.errno)
    }

    fn matches(&self, event: &Event) -> bool {
        let has_part = |path: &Path| path.to_string_lossy().contains(&self.path_part);
        let kind_fits = self.kind.map_or(event.kind != OpKind::Read, |kind| kind == event.kind);
        kind_fits && (has_part(&event.path) || event.to.as_deref().is_some_and(has_part))
    }
}

/// One operation, as asked for.
#[derive(Clone, Debug)]
pub(super) struct Event {
    kind: OpKind,
    path: Arc<Path>,
    to: Option<Arc<Path>>,
    range: Option<(u64, u64)>,
}

impl Event {
    pub(super) fn new(kind: OpKind, path: impl Into<Arc<Path>>) -> Self {
        Self { kind, path: path.into(), to: None, range: None }
    }

    pub(super) fn to(self, path: &Path) -> Self {
        Self { to: Some(path.into()), ..self }
    }

    pub(super) fn range(self, offset: u64, size: u64) -> Self {
        Self { range: Some((offset, size)), ..self }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.kind, self.path.display())?;
        if let Some(to) = &self.to {
            write!(f, " -> {}", to.display())?;
        }
        if let Some((offset, size)) = self.range {
            write!(f, " [{offset}, {})", offset + size)?;
        }
        Ok(())
    }
}

/// The last operations, oldest first. Kept as data; text is made when somebody asks.
#[derive(Default)]
pub(super) struct Trace {
    lines: VecDeque<Line>,
}

enum Line {
    Op { number: u64, event: Event, error: Option<String> },
    Note(String),
}

impl Trace {
    pub(super) fn op(&mut self, number: u64, event: Event) {
        self.push(Line::Op { number, event, error: None });
    }

    pub(super) fn note(&mut self, text: String) {
        self.push(Line::Note(text));
    }

    /// The operation added last has failed.
    pub(super) fn failed(&mut self, why: &io::Error) {
        if let Some(Line::Op { error, .. }) = self.lines.back_mut() {
            *error = Some(why.to_string());
        }
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for line in &self.lines {
            let written = match line {
                Line::Op { number, event, error: None } => writeln!(text, "{number}: {event}"),
                Line::Op { number, event, error: Some(error) } => writeln!(text, "{number}: {event}: {error}"),
                Line::Note(note) => writeln!(text, "{note}"),
            };
            written.expect("a String takes everything");
        }
        text
    }

    fn push(&mut self, line: Line) {
        if self.lines.len() == TRACE_COUNT_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }
}
