//! One body on its way in.

use std::sync::Arc;

use super::{Error, Ingest, keys::KeyCache, layouts::Layouts};
use crate::{
    durability::{Ack, AckLevel, Refused, Stopped},
    engine::{NameError, oldest_kept},
    metrics::Rejection,
    model::{Batch, Day, Slot, StreamId, StreamKey},
    protocol::line::{Frames, KeyError, Line, Parser, Precision, Reason, Rejected, parse_key},
    stage::RowsEncoder,
};

/// What a write request says beside its lines.
#[derive(Clone, Debug, Default)]
pub struct WriteRequest {
    /// The database or bucket; becomes the label `db` where the option is on and no tag of that name is there.
    pub db: Option<String>,
    /// Unit of the timestamps.
    pub precision: Precision,
    /// Unix nanoseconds, for lines without a time.
    pub now: i64,
    /// What to wait for; the mode's own level where it is not said.
    pub ack: Option<AckLevel>,
    /// One bad line, and none of the others is taken.
    pub all_or_nothing: bool,
}

/// What became of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The batch's number and what it waited for; `None` where no sample was in it.
    pub ack: Option<Ack>,
    /// Samples that are in.
    pub accepted_samples: u64,
    /// Values of well-formed lines that are not in: strings, those older than the retention, and those beside a bad line where it is all or nothing.
    pub rejected_samples: u64,
    /// Lines older than the retention; their samples are among the rejected.
    pub beyond_retention: u64,
    /// Lines that are no line protocol, or over a limit.
    pub rejected: Rejected,
}

/// Buffers of one body, kept for the next.
pub(crate) struct Scratch {
    parser: Parser,
    frames: Frames,
    filler: Filler,
    encoder: RowsEncoder,
}

impl Scratch {
    pub(crate) fn new(line_size_max: usize) -> Self {
        Self {
            parser: Parser::new(line_size_max),
            frames: Frames::new(line_size_max),
            filler: Filler::default(),
            encoder: RowsEncoder::default(),
        }
    }
}

/// A batch being filled.
#[derive(Default)]
struct Filler {
    layouts: Layouts,
    batch: Batch,
    rejected: Rejected,
    strings: u64,
    inexact: u64,
    /// Lines before this time are too old.
    oldest: i64,
    /// Lines that were too old, and their samples.
    too_old: (u64, u64),
    seed: u64,
    db: Option<String>,
    /// Rows in the batch.
    rows: u32,
    /// The days they are of.
    days: Vec<Day>,
    /// Why the disk failed, if it did.
    failed: Option<String>,
}

/// A body that is being read. Dropped before [`Body::finish`], it leaves no trace.
pub struct Body {
    ingest: Arc<Ingest>,
    scratch: Option<Scratch>,
    ack: Option<AckLevel>,
    all_or_nothing: bool,
    size: usize,
}

impl Body {
    pub(crate) fn new(ingest: Arc<Ingest>, mut scratch: Scratch, request: WriteRequest) -> Self {
        let db = request.db.filter(|db| ingest.options.db_label && !db.is_empty());
        scratch.parser.begin(request.precision, request.now);
        scratch.frames.clear();
        let retention = ingest.engine.options().retention;
        let filler = &mut scratch.filler;
        filler.seed = ingest.keys.seed_for(db.as_deref());
        filler.db = db;
        filler.layouts.begin();
        filler.rejected.clear();
        filler.batch.groups.clear();
        (filler.strings, filler.inexact, filler.rows) = (0, 0, 0);
        filler.oldest = retention.map_or(i64::MIN, |retention| oldest_kept(retention, request.now));
        filler.too_old = (0, 0);
        filler.days.clear();
        filler.failed = None;
        Self { ingest, scratch: Some(scratch), ack: request.ack, all_or_nothing: request.all_or_nothing, size: 0 }
    }

    /// Takes the next bytes of the body, unpacked, in pieces of any size.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.size += bytes.len();
        if self.size > self.ingest.options.body_size_max {
            return Err(Error::TooLarge(self.ingest.options.body_size_max));
        }
        let Scratch { parser, frames, filler, .. } = self.scratch.as_mut().expect(HELD);
        frames.push(bytes, |lines| filler.take(parser, lines, &self.ingest));
        Ok(())
    }

    /// Commits the body's good lines as one batch, and waits until they are as safe as was asked.
    pub async fn finish(mut self) -> Result<Outcome, Error> {
        let (batch, payload, mut outcome) = self.close()?;
        if batch.is_empty() {
            return Ok(outcome);
        }
        let submitted = self.ingest.engine.submit(batch, payload, self.ack);
        let ticket = submitted.map_err(|refused| match refused {
            Refused::Overloaded(why) => Error::Overloaded(why),
            Refused::Stopped(stopped) => stopped.into(),
        })?;
        // The scratch serves other bodies while this one waits.
        drop(self);
        let gone = || Stopped("the server is shutting down".into());
        outcome.ack = Some(ticket.await.map_err(|_| gone())??);
        Ok(outcome)
    }

    /// Reads the last line, and takes the batch out.
    fn close(&mut self) -> Result<(Batch, Vec<u8>, Outcome), Error> {
        let engine = &self.ingest.engine;
        let Scratch { parser, frames, filler, encoder } = self.scratch.as_mut().expect(HELD);
        frames.finish(|lines| filler.take(parser, lines, &self.ingest));
        if let Some(why) = filler.failed.take() {
            return Err(Stopped(why.into()).into());
        }
        let mut batch = std::mem::take(&mut filler.batch);
        if let [only] = &mut *batch.groups {
            only.places.clear();
        }
        let mut left_out = 0;
        if self.all_or_nothing && !(filler.rejected.is_empty() && filler.too_old.0 == 0) {
            left_out = batch.samples();
            batch.groups.clear();
        }
        let mut payload = Vec::new();
        if engine.durability().wants_payload() {
            encoder.encode(&batch, &mut payload);
        }
        let metrics = engine.metrics();
        metrics.ingested_bytes.inc_by(self.size as u64);
        metrics.lines_rejected.inc_by(filler.rejected.count());
        metrics.strings_dropped.inc_by(filler.strings);
        metrics.integers_inexact.inc_by(filler.inexact);
        metrics.samples_rejected[Rejection::Value].inc_by(filler.strings);
        metrics.samples_rejected[Rejection::Retention].inc_by(filler.too_old.1);
        let outcome = Outcome {
            ack: None,
            accepted_samples: batch.samples(),
            rejected_samples: filler.strings + filler.too_old.1 + left_out,
            beyond_retention: filler.too_old.0,
            rejected: std::mem::take(&mut filler.rejected),
        };
        Ok((batch, payload, outcome))
    }
}

const HELD: &str = "the scratch is only given back on drop";

impl Drop for Body {
    fn drop(&mut self) {
        if let Some(scratch) = self.scratch.take() {
            self.ingest.give_back(scratch);
        }
    }
}

/// Days one body may touch: a year, and a bit. Backfills of more come in several writes.
const DAYS_MAX: usize = 400;

/// The reason for a line. Where it is the disk that failed, the whole body fails with it.
fn refused(failed: &mut Option<String>, error: &NameError) -> Reason {
    let text = error.to_string();
    if let NameError::Storage(_) = error {
        *failed = Some(text.clone());
    }
    Reason::Refused(text.into())
}

impl Filler {
    /// Reads whole lines into the batch.
    fn take(&mut self, parser: &mut Parser, lines: &[u8], ingest: &Ingest) {
        let mut lines = parser.lines(lines);
        while let Some(line) = lines.next_line() {
            match line {
                Ok(line) => {
                    if let Err(reason) = self.row(&line, ingest) {
                        self.rejected.add(&line.refuse(reason));
                    }
                }
                Err(error) => self.rejected.add(&error),
            }
        }
    }

    fn row(&mut self, line: &Line<'_, '_>, ingest: &Ingest) -> Result<(), Reason> {
        if line.values.is_empty() {
            // Only strings: the line is fine if its key is, but nothing of it is kept, not even a stream.
            self.key(line)?;
            self.strings += u64::from(line.dropped_strings);
            return Ok(());
        }
        if line.timestamp < self.oldest {
            self.key(line)?;
            self.strings += u64::from(line.dropped_strings);
            self.too_old.0 += 1;
            self.too_old.1 += line.values.len() as u64;
            return Ok(());
        }
        self.note_day(line.timestamp)?;
        let (stream, slot) = self.stream(line, ingest)?;
        self.strings += u64::from(line.dropped_strings);
        self.inexact += u64::from(line.inexact_integers);
        let layout = self.layouts.of(line.generation(), line.shape, line.shape(), &ingest.engine);
        let (layout, places) = layout.map_err(|error| refused(&mut self.failed, &error))?;
        let rows = layout.rows(places, &mut self.batch);
        rows.places.push(self.rows);
        self.rows += 1;
        rows.streams.push(stream);
        rows.slots.push(slot);
        rows.times.push(line.timestamp);
        layout.put(line.values, &mut rows.values);
        Ok(())
    }

    fn stream(&mut self, line: &Line<'_, '_>, ingest: &Ingest) -> Result<(StreamId, Slot), Reason> {
        let hash = KeyCache::hash(self.seed, line.raw_key);
        if let Some(known) = ingest.keys.get(hash) {
            return Ok(known);
        }
        let key = self.key(line)?;
        let (stream, slot) = ingest.engine.stream(&key).map_err(|error| refused(&mut self.failed, &error))?;
        ingest.keys.insert(hash, stream, slot);
        Ok((stream, slot))
    }

    fn key(&self, line: &Line<'_, '_>) -> Result<StreamKey, Reason> {
        let series = parse_key(line.raw_key)?;
        let named = |name: &str| series.tags.iter().any(|(tag, _)| tag == name);
        let db = self.db.as_deref().filter(|_| !named("db")).map(|db| ("db", db));
        let tags = series.tags.iter().map(|(name, value)| (&**name, &**value)).chain(db);
        Ok(StreamKey::new(&series.measurement, tags).map_err(KeyError::from)?)
    }

    /// Each day is a partition of its own, so a body may only touch so many.
    fn note_day(&mut self, time: i64) -> Result<(), Reason> {
        let day = Day::of(time);
        if self.days.last() == Some(&day) || self.days.contains(&day) {
            return Ok(());
        }
        if self.days.len() >= DAYS_MAX {
            return Err(Reason::Refused(format!("more than {DAYS_MAX} days in one write").into()));
        }
        self.days.push(day);
        Ok(())
    }
}
