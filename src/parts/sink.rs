//! Where a builder's bytes go: memory, or a file through a buffer.

use std::{io, sync::Arc};

use crate::disk::File;

/// Bytes a [`FileSink`] holds back before it writes: large enough that a write costs little per byte.
const BUFFER_SIZE: usize = 256 << 10;

/// Takes bytes at its end and can read back what it took.
pub trait Sink {
    /// Appends all of `bytes`.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Where the next byte goes.
    fn position(&self) -> u64;
    /// Fills `bytes` with what was appended at `position`; all of it must lie before [`Sink::position`].
    fn read_back(&self, position: u64, bytes: &mut [u8]) -> io::Result<()>;
    /// Hands everything held back to where it belongs. Not a sync.
    fn flush(&mut self) -> io::Result<()>;
}

impl Sink for Vec<u8> {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.extend_from_slice(bytes);
        Ok(())
    }

    fn position(&self) -> u64 {
        self.len() as u64
    }

    fn read_back(&self, position: u64, bytes: &mut [u8]) -> io::Result<()> {
        let from = usize::try_from(position).ok().and_then(|position| self.get(position..)?.get(..bytes.len()));
        bytes.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<S: Sink + ?Sized> Sink for &mut S {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        (**self).append(bytes)
    }

    fn position(&self) -> u64 {
        (**self).position()
    }

    fn read_back(&self, position: u64, bytes: &mut [u8]) -> io::Result<()> {
        (**self).read_back(position, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        (**self).flush()
    }
}

/// Appends to a file from an offset on, 256 KiB at a time.
pub struct FileSink {
    file: Arc<dyn File>,
    /// Bytes before this position are in the file.
    written: u64,
    buffer: Vec<u8>,
}

impl FileSink {
    /// Appends to `file` from `offset` on, over whatever is there.
    pub fn new(file: Arc<dyn File>, offset: u64) -> Self {
        Self { file, written: offset, buffer: Vec::with_capacity(BUFFER_SIZE) }
    }
}

impl Sink for FileSink {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.buffer.len() + bytes.len() > BUFFER_SIZE {
            self.flush()?;
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn position(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    fn read_back(&self, position: u64, bytes: &mut [u8]) -> io::Result<()> {
        let in_file = self.written.saturating_sub(position).min(bytes.len() as u64) as usize;
        let (head, tail) = bytes.split_at_mut(in_file);
        self.file.read_exact_at(head, position)?;
        let from = (position + in_file as u64 - self.written.min(position + in_file as u64)) as usize;
        let held = self.buffer.get(from..).and_then(|held| held.get(..tail.len()));
        tail.copy_from_slice(held.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_at(&self.buffer, self.written)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}
