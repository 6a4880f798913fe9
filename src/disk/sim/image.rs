//! One file's bytes: as programs see them, and what of that a power cut would undo.
//!
//! The pages hold what programs see (the kernel's cache); a page never written is a hole and costs nothing. Beside them,
//! for each sector not synced, lies what the medium has instead, and perhaps a version in between, since the kernel may
//! write back at any moment. A sync forgets these; a power cut puts them back, all or as the dice fall.

use fastrand::Rng;
use std::collections::{BTreeMap, btree_map::Entry};

/// The unit the medium writes whole or not at all, in bytes.
pub const SECTOR_SIZE: usize = 512;

/// The unit of the cache and of space, in bytes.
pub(super) const PAGE_SIZE: u64 = 4096;

const SECTORS_PER_PAGE: u64 = PAGE_SIZE / SECTOR_SIZE as u64;

type Sector = [u8; SECTOR_SIZE];
type Page = [u8; PAGE_SIZE as usize];

#[derive(Default)]
pub(super) struct Image {
    pages: BTreeMap<u64, Box<Page>>,
    size: u64,
    /// Bytes from the start for which space was reserved, whole pages.
    reserved: u64,
    pages_beyond_reserved: u64,
    unsynced: BTreeMap<u64, Unsynced>,
    durable_size: u64,
    /// One of the lengths the file had between `durable_size` and `size`.
    earlier_size: Option<u64>,
    /// The length when the sync under way began.
    syncing_size: Option<u64>,
}

/// A sector whose content on the medium is not what programs see.
struct Unsynced {
    /// What the medium has; `None` is zeros.
    durable: Option<Box<Sector>>,
    /// A content between that and the present one.
    earlier: Option<Box<Sector>>,
    /// A sync failed: the kernel holds the page for clean, and no later sync will write it.
    dropped: bool,
    syncing: Syncing,
}

/// What the sync under way, if there is one, will have written of a sector.
#[derive(Default)]
enum Syncing {
    /// Nothing: the sector was written after it began.
    #[default]
    Nothing,
    /// What programs see.
    Present,
    /// What they saw when it began; the sector was written again since.
    Before(Option<Box<Sector>>),
}

impl Image {
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn has_unsynced_size(&self) -> bool {
        self.size != self.durable_size
    }

    /// Space taken, in bytes.
    pub(super) fn used(&self) -> u64 {
        self.reserved + self.pages_beyond_reserved * PAGE_SIZE
    }

    /// Pages a write here would add, by number, first to last.
    pub(super) fn missing_pages(&self, offset: u64, size: u64) -> impl Iterator<Item = u64> {
        let first = (offset / PAGE_SIZE).max(self.reserved / PAGE_SIZE);
        (first..(offset + size).div_ceil(PAGE_SIZE)).filter(|page| !self.pages.contains_key(page))
    }

    /// Space that reserving the first `size` bytes would add.
    pub(super) fn missing_reserve(&self, size: u64) -> u64 {
        let pages = self.reserved / PAGE_SIZE..size.div_ceil(PAGE_SIZE);
        if pages.is_empty() {
            return 0;
        }
        let there_count = self.pages.range(pages.clone()).count() as u64;
        (pages.end - pages.start - there_count) * PAGE_SIZE
    }

    pub(super) fn read(&self, buf: &mut [u8], offset: u64) -> usize {
        let count = self.size.saturating_sub(offset).min(buf.len() as u64) as usize;
        for (page, within, part) in pieces(&mut buf[..count], offset) {
            match self.pages.get(&page) {
                Some(page) => part.copy_from_slice(&page[within..within + part.len()]),
                None => part.fill(0),
            }
        }
        count
    }

    pub(super) fn write(&mut self, buf: &[u8], offset: u64, rng: &mut Rng) {
        if buf.is_empty() {
            return;
        }
        let end = offset + buf.len() as u64;
        for sector in offset / SECTOR_SIZE as u64..end.div_ceil(SECTOR_SIZE as u64) {
            self.touch(sector, rng);
        }
        let mut at = offset;
        let mut rest = buf;
        while !rest.is_empty() {
            let within = (at % PAGE_SIZE) as usize;
            let (part, behind) = rest.split_at(rest.len().min(PAGE_SIZE as usize - within));
            self.page(at / PAGE_SIZE)[within..within + part.len()].copy_from_slice(part);
            at += part.len() as u64;
            rest = behind;
        }
        self.grow(end, rng);
    }

    pub(super) fn set_size(&mut self, size: u64, rng: &mut Rng) {
        if size >= self.size {
            return self.grow(size, rng);
        }
        let first = size / SECTOR_SIZE as u64;
        let pages: Vec<u64> = self.pages.range(size / PAGE_SIZE..).map(|(&page, _)| page).collect();
        for sector in pages.iter().flat_map(|page| page * SECTORS_PER_PAGE..(page + 1) * SECTORS_PER_PAGE) {
            if sector >= first {
                self.touch(sector, rng);
            }
        }
        self.cut(size);
        self.resize(size, rng);
    }

    pub(super) fn reserve(&mut self, size: u64, rng: &mut Rng) {
        self.set_reserved(self.reserved.max(size.next_multiple_of(PAGE_SIZE)));
        self.grow(size, rng);
    }

    pub(super) fn sync(&mut self) {
        self.begin_sync();
        self.end_sync();
    }

    /// A sync begins: it owes what is there now, and not what is written until it ends. One at a time.
    pub(super) fn begin_sync(&mut self) {
        self.syncing_size = Some(self.size);
        for sector in self.unsynced.values_mut().filter(|sector| !sector.dropped) {
            sector.syncing = Syncing::Present;
        }
    }

    /// The sync that began last has written what it owes.
    pub(super) fn end_sync(&mut self) {
        let Some(size) = self.syncing_size.take() else { return };
        self.durable_size = size;
        self.earlier_size = None;
        self.unsynced.retain(|_, sector| match std::mem::take(&mut sector.syncing) {
            Syncing::Nothing => true,
            Syncing::Present => false,
            Syncing::Before(content) => {
                sector.durable = content;
                // It may be from before the sync, and what was synced does not give way to that.
                sector.earlier = None;
                true
            }
        });
    }

    /// A sync that failed as Linux lets it: what was to be written now counts as clean, and is not on the medium.
    pub(super) fn fail_sync(&mut self) {
        self.unsynced.values_mut().for_each(|sector| sector.dropped = true);
    }

    /// A power cut that keeps nothing unsynced.
    pub(super) fn forget_unsynced(&mut self) {
        for (sector, lost) in std::mem::take(&mut self.unsynced) {
            self.put(sector, lost.durable.as_deref());
        }
        self.become_durable(self.durable_size);
    }

    /// A power cut that keeps any of the unsynced sectors, and any of the lengths on the way.
    ///
    /// How likely a sector is to be kept is itself drawn, so that nearly all and nearly nothing happen too.
    pub(super) fn keep_some(&mut self, rng: &mut Rng) {
        let kept_of_100 = [0, 10, 50, 90, 100][rng.usize(..5)];
        for (sector, lost) in std::mem::take(&mut self.unsynced) {
            if rng.u32(..100) < kept_of_100 {
                continue;
            }
            match &lost.earlier {
                Some(earlier) if rng.bool() => self.put(sector, Some(earlier)),
                _ => self.put(sector, lost.durable.as_deref()),
            }
        }
        let size = self.some_size(rng);
        self.become_durable(size);
    }

    /// Damages the medium: what programs see and what a power cut leaves.
    pub(super) fn corrupt(&mut self, offset: u64, xor: u8) {
        let within = offset as usize % SECTOR_SIZE;
        self.page(offset / PAGE_SIZE)[(offset % PAGE_SIZE) as usize] ^= xor;
        if let Some(unsynced) = self.unsynced.get_mut(&(offset / SECTOR_SIZE as u64)) {
            unsynced.durable.get_or_insert_with(|| Box::new([0; SECTOR_SIZE]))[within] ^= xor;
            if let Some(earlier) = &mut unsynced.earlier {
                earlier[within] ^= xor;
            }
        }
    }

    /// Gives the file this length, and makes all that is in it durable.
    pub(super) fn become_durable(&mut self, size: u64) {
        self.cut(size);
        self.size = size;
        self.durable_size = size;
        self.earlier_size = None;
        self.syncing_size = None;
        self.unsynced.clear();
    }

    /// The old length, the new one, one in between that was, or one that a torn write could leave.
    fn some_size(&self, rng: &mut Rng) -> u64 {
        let (low, high) = (self.durable_size.min(self.size), self.durable_size.max(self.size));
        let any = rng.u64(low..=high);
        let torn = (any - any % SECTOR_SIZE as u64).max(low);
        let sizes = [self.durable_size, self.size, self.earlier_size.unwrap_or(self.size), torn];
        sizes[rng.usize(..sizes.len())]
    }

    fn grow(&mut self, size: u64, rng: &mut Rng) {
        if size > self.size {
            self.resize(size, rng);
        }
    }

    fn resize(&mut self, size: u64, rng: &mut Rng) {
        if self.has_unsynced_size() && rng.bool() {
            self.earlier_size = Some(self.size);
        }
        self.size = size;
    }

    /// Makes everything behind `size` a hole again.
    fn cut(&mut self, size: u64) {
        drop(self.pages.split_off(&size.div_ceil(PAGE_SIZE)));
        if let Some(page) = self.pages.get_mut(&(size / PAGE_SIZE)) {
            page[(size % PAGE_SIZE) as usize..].fill(0);
        }
        self.set_reserved(self.reserved.min(size.next_multiple_of(PAGE_SIZE)));
    }

    fn set_reserved(&mut self, reserved: u64) {
        self.reserved = reserved;
        self.pages_beyond_reserved = self.pages.range(reserved / PAGE_SIZE..).count() as u64;
    }

    /// Notes what a sector holds before it changes.
    fn touch(&mut self, sector: u64, rng: &mut Rng) {
        let now = self.pages.get(&(sector / SECTORS_PER_PAGE)).map(|page| sector_of(page, sector));
        match self.unsynced.entry(sector) {
            Entry::Vacant(entry) => {
                entry.insert(Unsynced { durable: now, earlier: None, dropped: false, syncing: Syncing::Nothing });
            }
            Entry::Occupied(mut entry) => {
                let unsynced = entry.get_mut();
                unsynced.dropped = false;
                if matches!(unsynced.syncing, Syncing::Present) {
                    unsynced.syncing = Syncing::Before(now.clone());
                }
                if rng.bool() {
                    unsynced.earlier = now;
                }
            }
        }
    }

    fn put(&mut self, sector: u64, content: Option<&Sector>) {
        let start = (sector % SECTORS_PER_PAGE) as usize * SECTOR_SIZE;
        match (content, self.pages.get_mut(&(sector / SECTORS_PER_PAGE))) {
            (Some(content), _) => {
                self.page(sector / SECTORS_PER_PAGE)[start..start + SECTOR_SIZE].copy_from_slice(content);
            }
            (None, Some(page)) => page[start..start + SECTOR_SIZE].fill(0),
            (None, None) => {}
        }
    }

    fn page(&mut self, page: u64) -> &mut Page {
        self.pages.entry(page).or_insert_with(|| {
            self.pages_beyond_reserved += u64::from(page >= self.reserved / PAGE_SIZE);
            Box::new([0; PAGE_SIZE as usize])
        })
    }
}

fn sector_of(page: &Page, sector: u64) -> Box<Sector> {
    let start = (sector % SECTORS_PER_PAGE) as usize * SECTOR_SIZE;
    let mut copy = Box::new([0; SECTOR_SIZE]);
    copy.copy_from_slice(&page[start..start + SECTOR_SIZE]);
    copy
}

/// Cuts a buffer for `offset` at page borders: page number, offset within the page, part of the buffer.
fn pieces(buf: &mut [u8], offset: u64) -> impl Iterator<Item = (u64, usize, &mut [u8])> {
    let first = ((PAGE_SIZE - offset % PAGE_SIZE) as usize).min(buf.len());
    let (head, rest) = buf.split_at_mut(first);
    let tail_start = offset + first as u64;
    let tail = rest.chunks_mut(PAGE_SIZE as usize).enumerate();
    let head = (!head.is_empty()).then_some((offset / PAGE_SIZE, (offset % PAGE_SIZE) as usize, head));
    head.into_iter().chain(tail.map(move |(i, part)| (tail_start / PAGE_SIZE + i as u64, 0, part)))
}
