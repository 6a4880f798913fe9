//! Directories: the names programs see, those on the medium, and the changes in between in the order they were made.

use super::Model;
use fastrand::Rng;
use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
    io::{self, ErrorKind},
    path::{Component, Path, PathBuf},
};

/// A file or directory, whatever its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ino(pub(super) u64);

/// `/`, and `.` as well: the simulated process works there.
const ROOT: Ino = Ino(0);

type Entries = BTreeMap<OsString, Ino>;

#[derive(Default)]
struct Dir {
    now: Entries,
    durable: Entries,
}

/// A change of one entry that no sync has made durable yet.
struct Change {
    /// Changes of one operation share its number.
    op: u64,
    dir: Ino,
    name: OsString,
    to: Option<Ino>,
}

pub(super) struct Names {
    dirs: BTreeMap<Ino, Dir>,
    unsynced: Vec<Change>,
    last_ino: u64,
    last_op: u64,
}

/// Where an entry is or would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    dir: Ino,
    name: OsString,
}

impl Names {
    pub(super) fn new() -> Self {
        Self { dirs: BTreeMap::from([(ROOT, Dir::default())]), unsynced: Vec::new(), last_ino: ROOT.0, last_op: 0 }
    }

    pub(super) fn is_dir(&self, ino: Ino) -> bool {
        self.dirs.contains_key(&ino)
    }

    pub(super) fn find(&self, path: &Path) -> io::Result<Ino> {
        parts(path)?.iter().try_fold(ROOT, |dir, name| {
            let entries = &self.dirs.get(&dir).ok_or(ErrorKind::NotADirectory)?.now;
            Ok(*entries.get(*name).ok_or(ErrorKind::NotFound)?)
        })
    }

    pub(super) fn find_dir(&self, path: &Path) -> io::Result<Ino> {
        let ino = self.find(path)?;
        if self.is_dir(ino) { Ok(ino) } else { Err(ErrorKind::NotADirectory.into()) }
    }

    /// The place a path names, and what is there.
    pub(super) fn place(&self, path: &Path) -> io::Result<(Place, Option<Ino>)> {
        let parts = parts(path)?;
        let (name, parents) = parts.split_last().ok_or(ErrorKind::InvalidInput)?;
        let dir = self.find_dir(&parents.iter().collect::<PathBuf>())?;
        let place = Place { dir, name: name.to_os_string() };
        let there = self.at(&place);
        Ok((place, there))
    }

    pub(super) fn at(&self, place: &Place) -> Option<Ino> {
        self.dirs[&place.dir].now.get(&place.name).copied()
    }

    pub(super) fn entries(&self, dir: Ino) -> impl Iterator<Item = (&OsStr, Ino)> {
        self.dirs[&dir].now.iter().map(|(name, &ino)| (name.as_os_str(), ino))
    }

    /// A new file's number.
    pub(super) fn new_ino(&mut self) -> Ino {
        self.last_ino += 1;
        Ino(self.last_ino)
    }

    pub(super) fn make_dir(&mut self, place: Place) {
        let ino = self.new_ino();
        self.dirs.insert(ino, Dir::default());
        self.set(vec![(place, Some(ino))]);
    }

    /// Changes entries, in one operation.
    pub(super) fn set(&mut self, changes: Vec<(Place, Option<Ino>)>) {
        self.last_op += 1;
        for (Place { dir, name }, to) in changes {
            put(&mut self.dir(dir).now, &name, to);
            self.unsynced.push(Change { op: self.last_op, dir, name, to });
        }
    }

    pub(super) fn check_empty(&self, ino: Ino) -> io::Result<()> {
        let is_empty = self.dirs.get(&ino).is_none_or(|dir| dir.now.is_empty());
        if is_empty { Ok(()) } else { Err(ErrorKind::DirectoryNotEmpty.into()) }
    }

    /// Makes the entries of one directory durable.
    pub(super) fn sync(&mut self, dir: Ino) {
        self.unsynced.retain(|change| change.dir != dir);
        let dir = self.dir(dir);
        dir.durable.clone_from(&dir.now);
    }

    /// Makes all entries durable.
    pub(super) fn sync_all(&mut self) {
        self.unsynced.clear();
        self.dirs.values_mut().for_each(|dir| dir.durable.clone_from(&dir.now));
    }

    pub(super) fn has_unsynced_name(&self, ino: Ino) -> bool {
        self.unsynced.iter().any(|change| change.to == Some(ino))
    }

    /// A power cut that keeps no unsynced change.
    pub(super) fn forget_unsynced(&mut self) {
        self.unsynced.clear();
        self.become_durable();
    }

    /// A power cut that keeps some unsynced changes: each entry for itself as it was at any time since its last sync, or,
    /// with a journal, all changes up to some operation.
    pub(super) fn keep_some(&mut self, model: Model, rng: &mut Rng) {
        let changes = std::mem::take(&mut self.unsynced);
        match model {
            Model::Strict => self.keep_any(changes, rng),
            Model::Ext4Like => self.keep_first(changes, rng),
        }
        self.become_durable();
    }

    /// What is reachable by any name, now or after a power cut.
    pub(super) fn referenced(&self) -> BTreeSet<Ino> {
        let entries = self.dirs.values().flat_map(|dir| dir.now.values().chain(dir.durable.values()));
        entries.copied().chain(self.unsynced.iter().filter_map(|change| change.to)).collect()
    }

    /// How many names each file has now.
    pub(super) fn link_counts(&self) -> BTreeMap<Ino, u32> {
        let mut counts = BTreeMap::new();
        for ino in self.dirs.values().flat_map(|dir| dir.now.values()) {
            *counts.entry(*ino).or_default() += 1;
        }
        counts
    }

    fn keep_any(&mut self, changes: Vec<Change>, rng: &mut Rng) {
        let mut histories = BTreeMap::<_, Vec<_>>::new();
        for Change { dir, name, to, .. } in changes {
            histories.entry((dir, name)).or_default().push(to);
        }
        for ((dir, name), history) in histories {
            let kept_count = rng.usize(..=history.len());
            if let Some(&to) = history[..kept_count].last() {
                put(&mut self.dir(dir).durable, &name, to);
            }
        }
    }

    fn keep_first(&mut self, changes: Vec<Change>, rng: &mut Rng) {
        let Some(first) = changes.first() else { return };
        let end = rng.u64(first.op..=self.last_op + 1);
        for change in changes.into_iter().take_while(|change| change.op < end) {
            put(&mut self.dir(change.dir).durable, &change.name, change.to);
        }
    }

    /// What the medium has becomes what programs see, after a check as fsck does it: a directory that has come to hang in
    /// two places keeps the first, and what hangs nowhere goes.
    fn become_durable(&mut self) {
        let mut seen = BTreeSet::from([ROOT]);
        let mut to_visit = vec![ROOT];
        while let Some(ino) = to_visit.pop() {
            let mut entries = std::mem::take(&mut self.dir(ino).durable);
            entries.retain(|_, child| !self.dirs.contains_key(child) || seen.insert(*child));
            to_visit.extend(entries.values().filter(|child| self.dirs.contains_key(child)));
            *self.dir(ino) = Dir { now: entries.clone(), durable: entries };
        }
        self.dirs.retain(|ino, _| seen.contains(ino));
    }

    fn dir(&mut self, ino: Ino) -> &mut Dir {
        self.dirs.get_mut(&ino).expect("only directories are asked for by number, and they outlive their names")
    }
}

fn put(entries: &mut Entries, name: &OsStr, to: Option<Ino>) {
    match to {
        Some(ino) => entries.insert(name.to_owned(), ino),
        None => entries.remove(name),
    };
}

fn parts(path: &Path) -> io::Result<Vec<&OsStr>> {
    let part = |component| match component {
        Component::Normal(name) => Some(Ok(name)),
        Component::RootDir | Component::CurDir => None,
        Component::ParentDir | Component::Prefix(_) => Some(Err(ErrorKind::InvalidInput.into())),
    };
    path.components().filter_map(part).collect()
}
