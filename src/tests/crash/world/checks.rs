//! What is held against the truth: while the engine runs, and after each crash.

use std::sync::Arc;

use super::{Tracked, World};
use crate::{
    durability::{Failure, survives},
    engine::{Bounds, Engine, Loss, Receipt},
    model::SeqNo,
    tests::crash::{
        liars::Lie,
        samples::{self, Contents},
    },
};

const NONE: Bounds = Bounds { min: 0, max: Some(0) };

impl World {
    /// What is said to be at risk is what was answered above the watermark; and, where an answer could not be promised in
    /// the ledger, what would have been.
    pub(super) fn check_at_risk(&mut self, engine: &Engine) {
        self.is_troubled |= self.disk.is_down() || engine.problem().is_some();
        let marks = engine.watermarks();
        for failure in [Failure::Process, Failure::Power] {
            let mark = marks.of(survives(failure));
            let exposed = self.batches.iter().filter(|batch| batch.acked.is_some() && batch.number > mark);
            let samples: u64 = exposed.map(|batch| batch.samples.len() as u64).sum();
            let told = engine.durability().at_risk(failure, self.now).samples;
            let is_true = told == samples || (self.is_troubled && told > samples);
            assert!(is_true, "{failure:?}, {marks:?}: {told} told, {samples} at risk");
        }
    }

    /// Opens the directory again and compares.
    pub(crate) fn check(&mut self, context: &str) -> Arc<Engine> {
        self.disk.clear_faults();
        let engine = self.open().unwrap_or_else(|error| {
            panic!("{context}: does not open: {}\n{}", crate::durability::error_chain(&error), self.disk.trace())
        });
        let end = engine.recovery().end;
        assert!(
            engine.recovery().damaged.is_empty(),
            "{context}: damage: {:?}\n{}",
            engine.recovery(),
            self.disk.trace()
        );
        let sent = self.batches.iter().map(|batch| batch.number).max().unwrap_or_default();
        assert!(
            end >= self.must_have,
            "{context}: {} was promised, {end} survived\n{}",
            self.must_have,
            self.disk.trace()
        );
        assert!(end <= sent.max(self.must_have), "{context}: {end} survived, {sent} was sent");
        self.check_loss(&engine, end, context);
        // What is cut off must never come back.
        self.forget(|batch| (SeqNo(1)..=end).contains(&batch.number));
        self.batches.iter_mut().for_each(|batch| batch.ticket = None);
        let found = samples::contents(&engine);
        self.settle_void(&found);
        let expected = self.expected(|_| true);
        assert!(
            found == expected,
            "{context}: contents differ up to {end}: {}\n{}",
            samples::difference(&found, &expected),
            self.disk.trace()
        );
        self.check_receipts(&engine, context);
        engine
    }

    /// Whoever asks for a batch of an earlier start, answered or not, is told that it is safe where it is here, and that it
    /// is lost where it is not, as long as anybody asks.
    fn check_receipts(&self, engine: &Engine, context: &str) {
        let here = self.batches.iter().map(|batch| (batch.position(), Receipt::Safe));
        let gone = self.gone.iter().map(|position| (*position, Receipt::Lost));
        for (position, truth) in here.chain(gone) {
            let told = if self.lie == Some(Lie::Receipt) { Receipt::Safe } else { engine.receipt(position) };
            assert!(
                told == truth,
                "{context}: receipt of {position}: {told:?}, but it is {truth:?}\n{}",
                self.disk.trace()
            );
        }
    }

    /// An answered batch of this life is safe where the watermark says so, and pending where not.
    pub(super) fn check_live_receipts(&self, engine: &Engine) {
        let power_safe = engine.watermarks().power_safe;
        for batch in self.batches.iter().filter(|batch| batch.acked.is_some()) {
            let is_old = batch.incarnation != engine.incarnation();
            let truth = if is_old || batch.number <= power_safe { Receipt::Safe } else { Receipt::Pending };
            let (told, position) = (engine.receipt(batch.position()), batch.position());
            assert!(told == truth, "receipt of {position}: {told:?}, but it is {truth:?}\n{}", self.disk.trace());
        }
    }

    /// The loss that was reported holds the one we know.
    fn check_loss(&mut self, engine: &Engine, end: SeqNo, context: &str) {
        let Some((incarnation, is_answered)) = self.crashed.take() else { return };
        let loss = engine.losses().into_iter().find(|loss| loss.incarnation == incarnation).unwrap();
        let lost = self.batches.iter().filter(|batch| batch.acked.is_some() && batch.number > end);
        let loss = if self.lie == Some(Lie::Loss) { Loss { batches: NONE, samples: NONE, ..loss } } else { loss };
        let samples: u64 = lost.clone().map(|batch| batch.samples.len() as u64).sum();
        let batches = lost.count() as u64;
        for (told, truth) in [(loss.batches, batches), (loss.samples, samples)] {
            // After a power cut it is what the record knew that is there, and answers may have followed it.
            let is_too_low = loss.is_ledger_last() && told.max.is_some_and(|max| max < truth);
            assert!(!is_too_low, "{context}: {truth} lost: {loss}\n{}", self.disk.trace());
            let is_too_high = is_answered && told.min > truth;
            assert!(!is_too_high, "{context}: {truth} lost: {loss}\n{}", self.disk.trace());
        }
    }

    /// Batches that were refused last, and not said to be void, may be there up to one of them: one copy of the log took
    /// them, or one segment. From the first look on it is the same.
    fn settle_void(&mut self, found: &Contents) {
        let refused: Vec<_> = self.batches.iter().filter(|batch| batch.is_void).map(|batch| batch.number).collect();
        for end in refused.into_iter().rev().chain([SeqNo(0)]) {
            let is_there = |batch: &Tracked| !batch.is_void || batch.number <= end;
            if self.expected(is_there) == *found {
                self.forget(is_there);
                break;
            }
        }
        self.batches.iter_mut().for_each(|batch| batch.is_void = false);
    }

    /// What all batches that count add up to: the later one wins.
    fn expected(&self, is_there: impl Fn(&Tracked) -> bool) -> Contents {
        samples::expected(self.batches.iter().filter(|batch| is_there(batch)).flat_map(|batch| &batch.samples))
    }
}
