//! What a sample costs on its way into memory, and out of it towards a flush.

#[allow(unreachable_pub)] // several benches include it
mod common;

use std::{cell::RefCell, hint::black_box, sync::Arc};

use common::{Case, interleaved};
use plimsoll::{
    memtable::{ArenaOptions, ArenaPool, Catalogue, Generation, Merge, Writer},
    model::{Batch, FieldId, LayoutId, Rows, SeqNo, Slot, StreamId, TableId, TimeRange},
};

/// Batches per generation: 1 M samples of ten fields, or 1 M of one.
struct Load {
    name: &'static str,
    width: usize,
    batches: Vec<Batch>,
}

impl Load {
    /// A million samples: batches of 1,000 rows, the streams in turn, each row of a stream 10 s after its last.
    fn new(name: &'static str, streams: usize, width: usize) -> Self {
        let rows = 1_000_000 / width;
        let batches = (0..rows / 1000).map(|batch| {
            let row = |index: usize| batch * 1000 + index;
            let group = Rows {
                places: Vec::new(),
                layout: LayoutId(0),
                width,
                streams: (0..1000).map(|i| StreamId((row(i) % streams) as u32)).collect(),
                slots: (0..1000).map(|i| Slot((row(i) % streams) as u32)).collect(),
                times: (0..1000).map(|i| (row(i) / streams) as i64 * 10_000_000_000).collect(),
                values: (0..1000 * width).map(|i| (i % 97) as f64).collect(),
            };
            Batch { groups: vec![group] }
        });
        Self { name, width, batches: batches.collect() }
    }

    fn fill(&self, pool: &Arc<ArenaPool>) -> (Writer, Arc<Generation>) {
        let (mut writer, generation) = Generation::new(pool, SeqNo(1), usize::MAX);
        for (seq, batch) in (1..).map(SeqNo).zip(&self.batches) {
            writer.insert(seq, batch, |_, _| {});
        }
        (writer, generation)
    }

    fn samples(&self) -> f64 {
        self.batches.iter().map(Batch::samples).sum::<u64>() as f64
    }

    fn insert_case<'a>(&'a self, temperature: &str, pool: &'a Arc<ArenaPool>) -> Case<'a> {
        let run = || drop(black_box(self.fill(pool)));
        Case {
            name: format!("insert, {temperature}: {}", self.name),
            units: self.samples(),
            bytes: 0.0,
            run: Box::new(run),
        }
    }

    fn merge_case<'a>(&'a self, generation: &'a Generation, catalogue: &'a Catalogue) -> Case<'a> {
        let fields: Vec<_> = (0..self.width as u32).map(FieldId).collect();
        let merge = RefCell::new(Merge::default());
        let run = move || {
            let mut merge = merge.borrow_mut();
            for (_, _, slot) in generation.touched(catalogue) {
                black_box(merge.columns(generation, slot, (SeqNo(0), SeqNo(u64::MAX)), TimeRange::ALL, |_| &fields));
            }
        };
        Case {
            name: format!("touched + columns: {}", self.name),
            units: self.samples(),
            bytes: 0.0,
            run: Box::new(run),
        }
    }
}

fn main() {
    let loads = [
        Load::new("1,000 streams x 10 fields", 1000, 10),
        Load::new("10,000 streams x 1 field", 10_000, 1),
        Load::new("1,000,000 streams x 1 field, one row", 1_000_000, 1),
    ];
    let warm = ArenaPool::new(ArenaOptions::default());
    let cold = ArenaPool::new(ArenaOptions { spare_size_max: 0, ..ArenaOptions::default() });
    let mut cases = Vec::new();
    for load in &loads {
        cases.push(load.insert_case("warm", &warm));
        cases.push(load.insert_case("cold", &cold));
    }
    interleaved("memtable: insert", "sample", 9, cases);

    let catalogue = Catalogue::default();
    for stream in 0..1_000_000 {
        catalogue.enter(TableId(0), StreamId(stream));
    }
    let filled: Vec<_> = loads.iter().map(|load| load.fill(&warm).1).collect();
    for (load, generation) in loads.iter().zip(&filled) {
        println!("  {:<40} {:8.2} bytes/sample", load.name, generation.allocated() as f64 / load.samples());
    }
    let cases = loads.iter().zip(&filled).map(|(load, generation)| load.merge_case(generation, &catalogue));
    interleaved("memtable: read for a flush", "sample", 9, cases.collect());
}
