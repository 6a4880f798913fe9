//! What the committer has recorded, in the manifest.

use std::sync::Arc;

use parking_lot::Mutex;

use super::{Edit, Manifest};
use crate::{
    durability::{Mode, Record, RecordError},
    model::SeqNo,
};

/// Sequence numbers reserved with one record: minutes at the highest rate, so that it costs nothing.
pub(crate) const NUMBERS_AHEAD: u64 = 1 << 24;

/// The manifest, as the committer sees it.
pub(crate) struct Recorder(pub(crate) Arc<Mutex<Manifest>>);

impl Record for Recorder {
    fn reserve(&mut self) -> Result<SeqNo, RecordError> {
        let mut manifest = self.0.lock();
        let limit = SeqNo(manifest.state().reserved.0 + NUMBERS_AHEAD);
        manifest.record(&Edit { reserved: Some(limit), ..Edit::default() })?;
        Ok(limit)
    }

    fn mode(&mut self, mode: Mode, first: SeqNo) -> Result<(), RecordError> {
        Ok(self.0.lock().record(&Edit { mode: Some((mode.to_string(), first)), ..Edit::default() })?)
    }

    fn void(&mut self, first: SeqNo, last: SeqNo) -> Result<(), RecordError> {
        Ok(self.0.lock().record(&Edit { lost: vec![(first, last)], ..Edit::default() })?)
    }
}
