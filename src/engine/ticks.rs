//! Ticks of a container mode to pages.

use std::{collections::HashMap, sync::Arc};

use crate::{
    codec::Level,
    durability::{EncodePages, Pages, Tick},
    flush,
    index::Index,
    memtable::{Memtable, Merge},
    model::{FieldId, LayoutId, PartId, StreamId, TableId},
    parts::{self, Builder, Footer},
};

/// How the syncer turns a tick into pages.
pub(crate) fn encode_pages(index: &Arc<Index>, memtable: &Arc<Memtable>) -> EncodePages {
    let (index, memtable) = (Arc::clone(index), Arc::clone(memtable));
    let mut merge = Merge::default();
    Box::new(move |tick: &Tick| Ok(pages_of(tick, &index, &memtable, &mut merge)?))
}

fn pages_of(tick: &Tick, index: &Index, memtable: &Memtable, merge: &mut Merge) -> Result<Pages, parts::Error> {
    let stream_of = |slot| memtable.catalogue.stream_at(slot).expect("rows come with slots of the catalogue");
    let mut streams: Vec<_> = tick.slots.iter().map(|slot| (stream_of(*slot).0, stream_of(*slot).1, *slot)).collect();
    flush::sort_streams(&mut streams, index);
    let mut pages =
        Pages { streams: streams.iter().map(|(_, stream, slot)| (*slot, *stream)).collect(), ..Pages::default() };
    let rows = flush::Rows { generation: &tick.generation, after: tick.after, upto: tick.upto, streams: &streams };
    let mut layouts = Uses::default();
    for day in tick.days.iter().copied() {
        let mut image = Vec::new();
        let mut out = Builder::new(&mut image, parts::Options { level: Level::Light })?;
        flush::push_day(&rows, day, index, merge, &mut out, |table, stream, _, field| {
            layouts.add(table, stream, field, index);
        })?;
        let footer = Footer {
            part: PartId(0),
            day,
            seq_min: tick.after.next(),
            seq_max: tick.upto,
            replaces: Vec::new(),
            index_parts: Vec::new(),
            tombstone: 0,
        };
        out.finish(footer)?;
        pages.push(day, &image, layouts.take(index));
    }
    Ok(pages)
}

/// Gathers the fields of streams, which come one after the other, as layouts.
#[derive(Default)]
struct Uses {
    of: Option<(TableId, StreamId)>,
    fields: Vec<FieldId>,
    layouts: HashMap<(TableId, Vec<FieldId>), LayoutId>,
    uses: Vec<(StreamId, LayoutId)>,
}

impl Uses {
    fn add(&mut self, table: TableId, stream: StreamId, field: FieldId, index: &Index) {
        if self.of != Some((table, stream)) {
            self.end(index);
            self.of = Some((table, stream));
        }
        self.fields.push(field);
    }

    fn end(&mut self, index: &Index) {
        let Some((table, stream)) = self.of.take() else { return };
        self.fields.sort_unstable();
        self.fields.dedup();
        let fields = std::mem::take(&mut self.fields);
        let layout = self.layouts.get(&(table, fields.clone())).copied().or_else(|| {
            // A limit on layouts refuses: then the stream's fields are known once its pages are parts.
            let layout = index.schema.intern_layout(table, &fields).ok()?;
            self.layouts.insert((table, fields), layout);
            Some(layout)
        });
        self.uses.extend(layout.map(|layout| (stream, layout)));
    }

    fn take(&mut self, index: &Index) -> Vec<(StreamId, LayoutId)> {
        self.end(index);
        std::mem::take(&mut self.uses)
    }
}
