//! What holds of every disk, what holds of each, and of what is built on both.

mod both;
mod probe;
mod real;
mod replace;
mod sim;
mod sim_threads;

use super::*;

/// A new file with this content, neither synced.
fn file_with(disk: &dyn Disk, path: &str, bytes: &[u8]) -> Arc<dyn File> {
    let file = disk.create(Path::new(path)).unwrap();
    file.write_at(bytes, 0).unwrap();
    file
}

/// All bytes of an open file.
fn content(file: &dyn File) -> Vec<u8> {
    let mut bytes = vec![0; file.size().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

fn kind<T>(result: io::Result<T>) -> io::ErrorKind {
    result.err().expect("it should have failed").kind()
}
