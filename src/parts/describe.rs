//! A part in words, for people.

use std::fmt;

use crate::parts::{
    Error, FieldRef, Part, VERSION,
    page::{Entry, Streams, Values},
};

/// A dump of a part: who it is, how much it holds, its tables, and a line per block. Reads the index, not the columns;
/// a damaged index page is a line that says so.
pub fn describe(part: &Part) -> impl fmt::Display {
    Description(part)
}

struct Description<'a>(&'a Part);

impl fmt::Display for Description<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_head(f)?;
        for table in self.0.tables() {
            let fields: Vec<&str> = table.fields.iter().map(|field| &**field).collect();
            writeln!(f, "table {:?}: fields {}", table.name, fields.join(", "))?;
        }
        for number in 0..self.0.page_count() {
            self.write_page(f, number)?;
        }
        Ok(())
    }
}

impl Description<'_> {
    fn write_head(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (footer, summary) = (self.0.footer(), self.0.summary());
        let replaces: Vec<String> = footer.replaces.iter().map(ToString::to_string).collect();
        let index_parts: Vec<String> = footer.index_parts.iter().map(ToString::to_string).collect();
        writeln!(f, "part {} of {}, format version {VERSION}", footer.part, footer.day)?;
        writeln!(f, "  batches {}..={}, tombstones up to {}", footer.seq_min, footer.seq_max, footer.tombstone)?;
        writeln!(f, "  replaces [{}], index parts [{}]", replaces.join(", "), index_parts.join(", "))?;
        let per_sample = summary.len as f64 / summary.samples.max(1) as f64;
        writeln!(f, "  {} bytes, {} samples, {per_sample:.3} bytes a sample", summary.len, summary.samples)?;
        writeln!(f, "  {} streams, {} rows, {} blocks", summary.streams, summary.rows, summary.blocks)?;
        writeln!(f, "  times {}..={}", summary.min_time, summary.max_time)
    }

    fn write_page(&self, f: &mut fmt::Formatter<'_>, number: usize) -> fmt::Result {
        let page = self.0.page_ref(number);
        let (offset, size, raw) = (page.column.offset, page.column.size, page.raw_size);
        writeln!(f, "page {number} at {offset}, {size} bytes ({raw} raw), {} blocks", page.entries)?;
        match self.0.read_page(number) {
            Ok(entries) => entries.iter().try_for_each(|entry| self.write_block(f, entry)),
            Err(error) => write_damage(f, &error),
        }
    }

    fn write_block(&self, f: &mut fmt::Formatter<'_>, entry: &Entry) -> fmt::Result {
        let table = &self.0.tables()[entry.table as usize].name;
        match entry.streams {
            Streams::One(stream) => write!(f, "  {table} stream {stream}")?,
            Streams::Many { first, last, count, .. } => write!(f, "  {table} {count} streams {first}..={last}")?,
        }
        write!(f, ", {} rows, {}..={}", entry.rows, entry.min_time, entry.max_time)?;
        let raw = f64::from(entry.stamps) * 8.0;
        write!(f, "; times at {} ×{:.1}", entry.times.offset, raw / f64::from(entry.times.size.max(1)))?;
        for column in &entry.fields {
            write!(f, ", {}", self.0.field_name(FieldRef(column.field)))?;
            match column.values {
                Values::Constant(value) => write!(f, " = {value}")?,
                Values::Stored(place) => {
                    let ratio = f64::from(entry.rows) * 8.0 / f64::from(place.size.max(1));
                    write!(f, " at {} ×{ratio:.1}", place.offset)?;
                }
            }
        }
        writeln!(f)
    }
}

fn write_damage(f: &mut fmt::Formatter<'_>, error: &Error) -> fmt::Result {
    match std::error::Error::source(error) {
        Some(source) => writeln!(f, "  unreadable: {error}: {source}"),
        None => writeln!(f, "  unreadable: {error}"),
    }
}
