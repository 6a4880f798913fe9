//! A bad sector in a file of the stage.

use std::io;

use super::*;
use crate::disk::File;

/// A file of which reads fail that touch these bytes.
struct BadSector {
    file: Arc<dyn File>,
    bad: std::ops::Range<u64>,
}

impl File for BadSector {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        if offset < self.bad.end && self.bad.start < offset + buf.len() as u64 {
            return Err(Errno::IO.into());
        }
        self.file.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_at(buf, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn is_linked(&self) -> io::Result<bool> {
        self.file.is_linked()
    }

    fn is_at(&self, path: &Path) -> io::Result<bool> {
        self.file.is_at(path)
    }

    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.file.set_size(size)
    }

    fn allocate(&self, size: u64) -> io::Result<()> {
        self.file.allocate(size)
    }
}

#[test]
fn a_bad_sector_costs_the_frames_it_holds() {
    const FRAME: u64 = 1_064;
    let disk = disk();
    let mut segment = Segment::create(&disk, Path::new(DIR), log(3), 4 << 20).unwrap();
    (1..=2_000).for_each(|number| append(&mut segment, number, &[number as u8; 1_000]));
    assert_eq!(segment.end(), FILE_HEADER_SIZE + 2_000 * FRAME);
    // The header; the first chunk that is read and a later one; behind all frames.
    for sector in [0, 8, 256, 400, 600] {
        let bad = sector * 4_096..sector * 4_096 + 4_096;
        let file = Arc::new(BadSector { file: disk.open(segment.path()).unwrap(), bad: bad.clone() });
        let mut scan = Scan::new(file, segment.path(), 3).unwrap();
        let mut numbers = Vec::new();
        while let Some(found) = scan.next().unwrap() {
            if let Found::Frame(frame) = found {
                numbers.push(frame.header.number.0);
            }
        }
        let is_hit = |number: &u64| {
            let from = FILE_HEADER_SIZE + (number - 1) * FRAME;
            from < bad.end && bad.start < from + FRAME
        };
        let whole: Vec<_> = (1..=2_000).filter(|number| !is_hit(number)).collect();
        assert!(numbers == whole, "sector {sector}: {} of {} frames", numbers.len(), whole.len());
        let unread = scan.unread().map_or(0, |unread| unread.bytes);
        assert!((1..=2 * 4_096).contains(&unread), "sector {sector}: {unread} bytes");
    }
}
