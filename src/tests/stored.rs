//! Series in a real engine on the simulated disk, kept in several ways.

use std::{path::Path, sync::Arc, time::Duration};

use crate::{
    disk::{CrashKind, SimDisk},
    durability::Mode,
    engine::{Engine, Error, Options},
    metrics::Metrics,
    model::{Batch, METRIC_NAME, Rows, START_FIELD, StreamKey, start_bits},
    select::{Series, Source, View},
    stage::RowsEncoder,
};

/// Where the samples are when they are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// All in the memtable.
    InMemory,
    /// All in parts.
    InParts,
    /// Every other sample in parts of its own, compacted now and then; the rest in the memtable.
    Spread,
    /// In memory again after a start that replayed the log.
    Replayed,
    /// In the pages of containers, as a start found them.
    InPages,
}

impl Kept {
    pub(crate) const ALL: [Self; 5] = [Self::InMemory, Self::InParts, Self::Spread, Self::Replayed, Self::InPages];
}

/// An engine that holds `series`.
pub(crate) fn source(kept: Kept, series: &[Series]) -> Box<dyn Source> {
    let disk = SimDisk::new(1);
    let engine = open(&disk, kept);
    match kept {
        Kept::Spread => {
            for turn in 0..6 {
                write(&engine, series, |index| index % 6 == turn);
                if turn < 5 {
                    flush(&engine);
                }
            }
        }
        _ => write(&engine, series, |_| true),
    }
    match kept {
        Kept::InMemory | Kept::Spread => Box::new(View::new(&engine)),
        Kept::InParts => {
            flush(&engine);
            Box::new(View::new(&engine))
        }
        Kept::Replayed | Kept::InPages => {
            assert!(engine.sync_step(Duration::from_secs(9)) || series.is_empty(), "something waits to be synced");
            drop(engine);
            Box::new(View::new(&open(&disk, kept)))
        }
    }
}

fn open(disk: &SimDisk, kept: Kept) -> Arc<Engine> {
    open_in(disk, if kept == Kept::InPages { Mode::Parts(Duration::from_secs(1)) } else { Mode::WalSync }).unwrap()
}

/// An engine on the disk, without threads, with everything back in memory.
pub(crate) fn open_in(disk: &SimDisk, mode: Mode) -> Result<Arc<Engine>, Error> {
    let options = Options {
        mode,
        generation_size: 4 << 20,
        chunk_size: 64 << 10,
        segment_size: 1 << 20,
        ..Options::new(Path::new("/data"))
    };
    let engine = Engine::open(Arc::new(disk.clone()), options, Metrics::new())?;
    engine.finish_replay()?;
    Ok(engine)
}

/// An engine that found so many commits of write-behind at its start, each with the series that it is said to have.
pub(crate) fn in_commits(commits: i64, series_of: impl Fn(i64) -> Vec<Series>) -> Arc<Engine> {
    let disk = SimDisk::new(1);
    let engine = open_in(&disk, Mode::WriteBehind).unwrap();
    for commit in 0..commits {
        write(&engine, &series_of(commit), |_| true);
        assert!(engine.sync_step(Duration::from_secs(commit as u64)));
    }
    drop(engine);
    disk.crash(CrashKind::PowerNone);
    disk.restart();
    let engine = open_in(&disk, Mode::WriteBehind).unwrap();
    assert!(engine.parts().iter().filter(|part| part.own_file().is_none()).count() >= commits as usize);
    engine
}

/// Writes those samples of each series whose place passes, a batch a series.
pub(crate) fn write(engine: &Engine, series: &[Series], wanted: impl Fn(usize) -> bool) {
    for series in series {
        let (batch, payload) = batch_of(engine, series, &wanted).unwrap();
        if !batch.is_empty() {
            drop(engine.submit(batch, payload, None).unwrap());
        }
    }
    engine.commit_step(Duration::from_secs(1));
}

/// A batch of all samples of a series, and its payload.
pub(crate) fn batch(engine: &Engine, series: &Series) -> (Batch, Vec<u8>) {
    batch_of(engine, series, &|_| true).unwrap()
}

/// The same; `None` where the disk is down and no id can be reserved.
pub(crate) fn try_batch(engine: &Engine, series: &Series) -> Option<(Batch, Vec<u8>)> {
    batch_of(engine, series, &|_| true)
}

fn batch_of(engine: &Engine, series: &Series, wanted: &impl Fn(usize) -> bool) -> Option<(Batch, Vec<u8>)> {
    let tags = series.labels.iter().filter(|(name, _)| *name != METRIC_NAME);
    let key = StreamKey::new(series.labels.metric(), tags).unwrap();
    let (stream, slot) = engine.stream(&key).ok()?;
    let fields = if series.starts.is_empty() { &["value"][..] } else { &["value", START_FIELD] };
    let (layout, order) = engine.layout(series.labels.metric(), fields).unwrap();
    let mut rows = Rows { layout, width: fields.len(), ..Rows::default() };
    for index in (0..series.times.len()).filter(|index| wanted(*index)) {
        rows.streams.push(stream);
        rows.slots.push(slot);
        rows.times.push(series.times[index]);
        let row = [series.values[index], start_bits(series.starts.get(index).copied().unwrap_or(0))];
        rows.values.extend(order.iter().map(|&place| row[usize::from(place)]));
    }
    let batch = Batch { groups: vec![rows] };
    let mut payload = Vec::new();
    RowsEncoder::default().encode(&batch, &mut payload);
    Some((batch, payload))
}

/// Brings what is in memory to parts, and compacts.
pub(crate) fn flush(engine: &Engine) {
    engine.durability().request_rotation();
    engine.commit_step(Duration::from_secs(2));
    while engine.flush_step(Duration::from_secs(2)).unwrap() {}
    while engine.compact_step().unwrap() {}
}
