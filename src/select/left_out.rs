//! What a query's answers leave out because it is damaged.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::Mutex;

use crate::{
    engine::{Engine, LeftOut, StoredPart},
    model::TimeRange,
    parts::Damage,
};

/// Gathers damage while a query runs; each block counts once, however often the query asks for it.
#[derive(Default)]
pub(super) struct Gaps(Mutex<Found>);

#[derive(Default)]
struct Found {
    /// By the image's name.
    parts: BTreeMap<String, LeftOut>,
    gone: BTreeSet<String>,
}

impl Gaps {
    /// Adds what could not be read of an image.
    pub(super) fn add(&self, engine: &Engine, stored: &StoredPart, damage: &[Damage]) {
        for damage in damage {
            engine.note_damage(stored, damage);
            self.0.lock().parts.entry(stored.name()).or_default().note(damage);
        }
    }

    /// Adds what no image tells of any more.
    pub(super) fn add_gone(&self, engine: &Engine, range: TimeRange, tables: &BTreeSet<&str>) {
        self.0.lock().gone.extend(engine.gone(range, tables));
    }

    /// A sentence per image, and one for each thing that is gone.
    pub(super) fn texts(&self) -> Vec<String> {
        let found = self.0.lock();
        let parts = found.parts.iter().map(|(name, left_out)| left_out.text(name, "left out"));
        parts.chain(found.gone.iter().cloned()).collect()
    }
}
