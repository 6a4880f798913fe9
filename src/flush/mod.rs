//! Rows in memory to part images: the one way they leave the memtable.
//!
//! A generation becomes a part per UTC day; a tick of a generation (in container modes) becomes a page per day. Both
//! are part images, the one packed finely, the other lightly.
//!
//! Always: an image holds every row of its numbers and its day, each series and time once, the last written winning.
//! Not here: files, the manifest, and when to flush (`engine`); what a commit is (`durability`).

#[cfg(test)]
mod tests;

use crate::{
    index::Index,
    memtable::{Generation, Merge},
    model::{Day, FieldId, SeqNo, Slot, StreamId, TableId},
    parts::{Builder, Error, Sink},
};

/// Which rows: those of these streams with a number in `after < n && n <= upto`.
pub struct Rows<'g> {
    /// Where they are.
    pub generation: &'g Generation,
    /// The numbers lie behind this one …
    pub after: SeqNo,
    /// … up to this one.
    pub upto: SeqNo,
    /// The streams, in the order of [`sort_streams`].
    pub streams: &'g [(TableId, StreamId, Slot)],
}

/// Puts streams in the order parts have: by table name, then by stream.
pub fn sort_streams(streams: &mut [(TableId, StreamId, Slot)], index: &Index) {
    let mut tables: Vec<TableId> = streams.iter().map(|(table, ..)| *table).collect();
    tables.sort_unstable();
    tables.dedup();
    tables.sort_by_cached_key(|table| index.schema.table_name(*table));
    // Few tables, many streams: a rank per table spares comparing names.
    let last = tables.iter().map(|table| table.0 as usize).max().unwrap_or(0);
    let mut rank = vec![0_u32; last + 1];
    tables.iter().zip(0..).for_each(|(table, place)| rank[table.0 as usize] = place);
    streams.sort_unstable_by_key(|(table, stream, _)| (rank[table.0 as usize], *stream));
}

/// Pushes the rows of one day to a builder. Tells each stream that has any, and the fields it has there.
pub fn push_day<S: Sink>(
    rows: &Rows<'_>,
    day: Day,
    index: &Index,
    merge: &mut Merge,
    out: &mut Builder<S>,
    mut pushed: impl FnMut(TableId, StreamId, Slot, FieldId),
) -> Result<(), Error> {
    let schema = &index.schema;
    for &(table, stream, slot) in rows.streams {
        let numbers = (rows.after, rows.upto);
        let groups = merge.columns(rows.generation, slot, numbers, day.range(), |layout| &schema.layout(layout).fields);
        if groups.is_empty() {
            continue;
        }
        let table_name = schema.table_name(table);
        for group in groups {
            let mut fields: Vec<_> =
                group.fields.iter().map(|(field, values)| (schema.field_name(*field), &**values, *field)).collect();
            // Ids are in order of first appearance; parts want names in order.
            fields.sort_unstable_by(|a, b| a.0.cmp(b.0));
            fields.iter().for_each(|(.., field)| pushed(table, stream, slot, *field));
            let fields: Vec<_> = fields.iter().map(|(name, values, _)| (*name, *values)).collect();
            out.push(table_name, stream, &group.times, &fields)?;
        }
    }
    Ok(())
}
