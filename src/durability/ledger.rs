//! The ledger: what has been promised so far, in a file that a crash of the process cannot take.
//!
//! ```text
//! LEDGER  slot at 0 | slot at 4096
//! slot:   magic [8] | version u32 | crc32 u32 | serial u64 | boot u128 | incarnation u32 | flags u32 | clock i64
//!         | released u64 × 3 (memory, os, disk) | samples u64 | process_safe u64 | power_safe u64
//!         | (batches u64, samples u64) × 2 at risk (process, power) | mount u64
//! ```
//!
//! 160 bytes a slot, little-endian; the CRC-32 covers the slot but itself. A record is one `pwrite` of the slot whose turn
//! it is, without a sync, before the answers it tells of are sent. The slots lie in different pages, so that a torn write
//! hurts one; the valid slot with the higher serial counts. After a crash of the process alone the file is exact, but that a
//! process killed between a record and its answers has promised them and not given them; after the loss of the page cache,
//! by a power cut or by a file system that went down alone, it is as old as the kernel's write-back. The boot id and the
//! identity of the mounts tell these apart.

use std::{
    fmt, io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{
    disk::{self, Disk, File},
    durability::{AckLevel, Failure, Watermarks},
    metrics::Label,
    model::SeqNo,
};

const MAGIC: &[u8; 8] = b"PLIMLED\n";
const VERSION: u32 = 1;
const SLOT_SIZE: usize = 160;
/// Bits of a slot's flags.
const CLEAN: u32 = 1;
const TROUBLED: u32 = 2;
/// Where the two slots stand.
const SLOTS: [u64; 2] = [0, 4096];

/// What had been promised when it was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LedgerRecord {
    /// The start of the server that wrote it.
    pub incarnation: u32,
    /// The boot of the machine it was written in.
    pub boot: u128,
    /// Which mounts held the ledger and the stage: a number that comes from their identities, which no other mount of this
    /// boot has. 0 where they cannot be told.
    pub mount: u64,
    /// When, in nanoseconds since 1970.
    pub clock: i64,
    /// The server has ended, and everything was safe.
    pub is_clean: bool,
    /// A write or sync of the stage failed: the kernel may show what the disk never got.
    pub is_troubled: bool,
    /// The highest number answered at each level, in the order of [`AckLevel`].
    pub released: [SeqNo; 3],
    /// Samples accepted up to the highest number released, since the directory was made.
    pub samples: u64,
    /// The watermark.
    pub process_safe: SeqNo,
    /// The watermark.
    pub power_safe: SeqNo,
    /// What was acknowledged and not yet safe from each failure, counted exactly; in the order of [`Failure`].
    pub at_risk: [Promised; 2],
}

/// Batches that were acknowledged, and their samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Promised {
    /// How many.
    pub batches: u64,
    /// Samples in them.
    pub samples: u64,
}

impl LedgerRecord {
    /// The highest number released at any level.
    pub fn acknowledged(&self) -> SeqNo {
        self.released.into_iter().max().unwrap_or_default()
    }

    /// What a failure would have taken then.
    pub fn at_risk(&self, failure: Failure) -> Promised {
        self.at_risk[failure.index()]
    }

    /// The number up to which everything survived that failure.
    pub fn safe(&self, failure: Failure) -> SeqNo {
        match failure {
            Failure::Process => self.process_safe,
            Failure::Power => self.power_safe,
        }
    }

    /// The first record of a start: everything up to the watermarks was recovered and is safe, nothing is at risk.
    pub fn first(incarnation: u32, (boot, mount): (u128, u64), marks: Watermarks, samples: u64) -> Self {
        let (process_safe, power_safe) = (marks.process_safe, marks.power_safe);
        Self { incarnation, boot, mount, samples, process_safe, power_safe, ..Self::default() }
    }
}

/// The open ledger. One caller writes at a time.
pub struct Ledger {
    file: Arc<dyn File>,
    /// Of the record written last.
    serial: AtomicU64,
}

impl Ledger {
    /// Takes the ledger over, or makes it, and writes the first record, durably. What an earlier start wrote is gone then.
    pub fn create(disk: &dyn Disk, path: &Path, first: &LedgerRecord) -> io::Result<Self> {
        let (file, serial) = match disk.open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => (disk.create(path)?, 0),
            file => {
                let file = file?;
                match newest(&*file) {
                    // Where it cannot be read, a write may fail as well: the next is written elsewhere on the disk.
                    Err(error) if disk::is_unreadable(&error) => {
                        disk.remove(path)?;
                        (disk.create(path)?, 0)
                    }
                    newest => (file, newest?.map_or(0, |(serial, _)| serial)),
                }
            }
        };
        let ledger = Self { file, serial: AtomicU64::new(serial) };
        // Both slots: of two starts in one file a damaged slot would bring back the older.
        for _ in SLOTS {
            ledger.write(first)?;
        }
        ledger.file.sync_data()?;
        disk.sync_dir(path.parent().unwrap_or(Path::new(".")))?;
        Ok(ledger)
    }

    /// Writes a record: one write(2), no sync, no allocation.
    pub fn write(&self, record: &LedgerRecord) -> io::Result<()> {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed) + 1;
        self.file.write_at(&encode(serial, record), SLOTS[(serial % 2) as usize])
    }

    /// Writes the last record of a start that ends with everything safe, durably.
    pub fn finish(&self, record: &LedgerRecord) -> io::Result<()> {
        self.write(&LedgerRecord { is_clean: true, ..*record })?;
        self.file.sync_data()
    }

    /// Notes in the newest record that a sync of the stage failed, for a start that ends before it has a ledger of its own.
    /// The page cache is enough: with it goes what the note is about.
    pub fn note_trouble(disk: &dyn Disk, path: &Path) -> io::Result<()> {
        let file = disk.open(path)?;
        // Without any record the next start trusts nothing that it finds.
        let Some((serial, record)) = newest(&*file)? else { return Ok(()) };
        let ledger = Self { file, serial: AtomicU64::new(serial) };
        ledger.write(&LedgerRecord { is_troubled: true, ..record })
    }

    /// The newest valid record of a file; `None` where there is no file, or no such record.
    pub fn read(disk: &dyn Disk, path: &Path) -> io::Result<Option<LedgerRecord>> {
        match disk.open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            file => Ok(newest(&*file?)?.map(|(_, record)| record)),
        }
    }
}

/// A ledger in readable form: both slots.
pub fn describe_ledger(
    disk: &dyn Disk,
    path: &Path,
    out: &mut dyn fmt::Write,
) -> Result<(), Box<dyn std::error::Error>> {
    let file = disk.open(path)?;
    let newest = newest(&*file)?.map(|(serial, _)| serial);
    for offset in SLOTS {
        let mut slot = [0; SLOT_SIZE];
        file.read_at(&mut slot, offset)?;
        match decode(&slot) {
            Some((serial, record)) => describe_slot(offset, serial, Some(serial) == newest, &record, out)?,
            None => writeln!(out, "slot at byte {offset}: no valid record")?,
        }
    }
    Ok(())
}

fn describe_slot(
    offset: u64,
    serial: u64,
    is_newest: bool,
    record: &LedgerRecord,
    out: &mut dyn fmt::Write,
) -> fmt::Result {
    let counts = if is_newest { "the newest, which counts" } else { "older" };
    let time = jiff::Timestamp::from_nanosecond(i128::from(record.clock));
    let time = time.map_or_else(|_| format!("{} ns", record.clock), |time| time.to_string());
    writeln!(out, "slot at byte {offset}: record {serial}, {counts}")?;
    let LedgerRecord { incarnation, boot, mount, .. } = record;
    writeln!(out, "  start {incarnation} in boot {boot:032x}, mounts {mount:016x}, written {time}")?;
    for (level, released) in AckLevel::ALL.iter().zip(record.released) {
        writeln!(out, "  answered at level {}: up to batch {released}", level.text())?;
    }
    writeln!(out, "  samples accepted up to batch {}: {}", record.acknowledged(), record.samples)?;
    for failure in Failure::ALL.iter().copied() {
        let (safe, Promised { batches, samples }) = (record.safe(failure), record.at_risk(failure));
        let failure = failure.text();
        writeln!(out, "  {failure}: safe up to batch {safe}; at risk: {batches} batches, {samples} samples")?;
    }
    let ended = if record.is_clean { "ended cleanly, with everything safe" } else { "not ended" };
    writeln!(out, "  {ended}{}", if record.is_troubled { "; a write or sync of the stage failed" } else { "" })
}

fn newest(file: &dyn File) -> io::Result<Option<(u64, LedgerRecord)>> {
    let mut newest: Option<(u64, LedgerRecord)> = None;
    for offset in SLOTS {
        let mut slot = [0; SLOT_SIZE];
        file.read_at(&mut slot, offset)?;
        if let Some((serial, record)) = decode(&slot)
            && newest.is_none_or(|(other, _)| serial > other)
        {
            newest = Some((serial, record));
        }
    }
    Ok(newest)
}

fn encode(serial: u64, record: &LedgerRecord) -> [u8; SLOT_SIZE] {
    let mut slot = [0; SLOT_SIZE];
    slot[..8].copy_from_slice(MAGIC);
    slot[8..12].copy_from_slice(&VERSION.to_le_bytes());
    slot[16..24].copy_from_slice(&serial.to_le_bytes());
    slot[24..40].copy_from_slice(&record.boot.to_le_bytes());
    slot[40..44].copy_from_slice(&record.incarnation.to_le_bytes());
    let flags = u32::from(record.is_clean) * CLEAN + u32::from(record.is_troubled) * TROUBLED;
    slot[44..48].copy_from_slice(&flags.to_le_bytes());
    slot[48..56].copy_from_slice(&record.clock.to_le_bytes());
    let [memory, os, disk] = record.released;
    let [process, power] = record.at_risk;
    let words = [memory.0, os.0, disk.0, record.samples, record.process_safe.0, record.power_safe.0]
        .into_iter()
        .chain([process.batches, process.samples, power.batches, power.samples, record.mount]);
    for (place, word) in slot[56..].chunks_exact_mut(8).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    let crc = checksum(&slot);
    slot[12..16].copy_from_slice(&crc.to_le_bytes());
    slot
}

fn decode(slot: &[u8; SLOT_SIZE]) -> Option<(u64, LedgerRecord)> {
    let u32_at = |at: usize| u32::from_le_bytes(slot[at..at + 4].try_into().expect("four bytes"));
    let u64_at = |at: usize| u64::from_le_bytes(slot[at..at + 8].try_into().expect("eight bytes"));
    let word = |index: usize| u64_at(56 + 8 * index);
    if &slot[..8] != MAGIC || u32_at(8) != VERSION || u32_at(12) != checksum(slot) {
        return None;
    }
    let record = LedgerRecord {
        incarnation: u32_at(40),
        boot: u128::from_le_bytes(slot[24..40].try_into().expect("sixteen bytes")),
        clock: u64_at(48) as i64,
        is_clean: u32_at(44) & CLEAN != 0,
        is_troubled: u32_at(44) & TROUBLED != 0,
        released: [SeqNo(word(0)), SeqNo(word(1)), SeqNo(word(2))],
        samples: word(3),
        process_safe: SeqNo(word(4)),
        power_safe: SeqNo(word(5)),
        at_risk: [Promised { batches: word(6), samples: word(7) }, Promised { batches: word(8), samples: word(9) }],
        mount: word(10),
    };
    Some((u64_at(16), record))
}

fn checksum(slot: &[u8; SLOT_SIZE]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&slot[..12]);
    hasher.update(&slot[16..]);
    hasher.finalize()
}

// The slot has room for one number per level, one total per failure, and the mount.
const _: () = assert!(AckLevel::ALL.len() == 3 && Failure::ALL.len() == 2 && SLOT_SIZE >= 56 + 11 * 8);
