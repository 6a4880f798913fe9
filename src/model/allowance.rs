//! Leave to go on: long work asks for it again and again, and says what memory it holds.

/// Whom long work asks whether it is still wanted, and tells what it holds.
pub trait Allowance: Sync {
    /// Whether to go on.
    fn go_on(&self) -> bool;
    /// Notes so many bytes more, which are taken in any case; whether to go on.
    fn take(&self, bytes: usize) -> bool;
    /// Notes so many bytes less.
    fn give_back(&self, bytes: usize);

    /// Fails where the work is to stop.
    fn check(&self) -> Result<(), Stopped> {
        if self.go_on() { Ok(()) } else { Err(Stopped) }
    }
}

/// Long work was not allowed to go on; who stopped it knows why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stopped")]
pub struct Stopped;

/// For work that nobody limits.
#[derive(Clone, Copy, Debug)]
pub struct Unlimited;

impl Allowance for Unlimited {
    fn go_on(&self) -> bool {
        true
    }

    fn take(&self, _: usize) -> bool {
        true
    }

    fn give_back(&self, _: usize) {}
}

/// Bytes that some work holds; given back when this goes.
///
/// What is noted with the allowance is the next multiple of 16 KiB: series come by the million, and each look at a number
/// that all threads share costs as much as reading some samples.
pub struct Holding<'a> {
    allowance: &'a dyn Allowance,
    noted: usize,
}

/// See [`Holding`].
const UNIT: usize = 16 << 10;

impl<'a> Holding<'a> {
    /// Nothing yet.
    pub fn new(allowance: &'a dyn Allowance) -> Self {
        Self { allowance, noted: 0 }
    }

    /// What is held now, in bytes.
    pub fn set(&mut self, bytes: usize) -> Result<(), Stopped> {
        let wanted = bytes.next_multiple_of(UNIT);
        if wanted > self.noted {
            let more = wanted - self.noted;
            self.noted = wanted;
            return if self.allowance.take(more) { Ok(()) } else { Err(Stopped) };
        }
        // A little less is soon a little more again.
        if self.noted - wanted > UNIT {
            self.allowance.give_back(self.noted - wanted);
            self.noted = wanted;
        }
        Ok(())
    }

    /// Leaves what is held to somebody else, who gives it back.
    pub fn leave(mut self) {
        self.noted = 0;
    }
}

impl Drop for Holding<'_> {
    fn drop(&mut self) {
        if self.noted > 0 {
            self.allowance.give_back(self.noted);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;

    /// Allows so many bytes.
    struct Limited {
        held: AtomicUsize,
        questions: AtomicUsize,
        max: usize,
    }

    impl Allowance for Limited {
        fn go_on(&self) -> bool {
            self.held.load(Relaxed) <= self.max
        }

        fn take(&self, bytes: usize) -> bool {
            self.questions.fetch_add(1, Relaxed);
            self.held.fetch_add(bytes, Relaxed) + bytes <= self.max
        }

        fn give_back(&self, bytes: usize) {
            self.questions.fetch_add(1, Relaxed);
            self.held.fetch_sub(bytes, Relaxed);
        }
    }

    fn limited(max: usize) -> Limited {
        Limited { held: AtomicUsize::new(0), questions: AtomicUsize::new(0), max }
    }

    #[test]
    fn what_is_held_is_noted_to_the_unit_and_given_back() {
        let allowance = limited(10 * UNIT);
        let mut holding = Holding::new(&allowance);
        for bytes in [0, 1, UNIT, UNIT + 1, 5 * UNIT, 5 * UNIT - 7, UNIT] {
            assert_eq!(holding.set(bytes), Ok(()));
            let noted = allowance.held.load(Relaxed);
            assert!((bytes..bytes + 2 * UNIT).contains(&noted), "{noted} for {bytes}");
        }
        assert_eq!((holding.set(10 * UNIT + 1), allowance.check()), (Err(Stopped), Err(Stopped)));
        drop(holding);
        assert_eq!((allowance.held.load(Relaxed), allowance.check()), (0, Ok(())));
    }

    #[test]
    fn a_little_more_or_less_is_not_worth_a_note() {
        let allowance = limited(usize::MAX);
        let mut holding = Holding::new(&allowance);
        (0..1000).for_each(|round| holding.set(3 * UNIT + 100 + round % 2 * UNIT).unwrap());
        assert!(allowance.questions.load(Relaxed) <= 2);
    }

    #[test]
    fn what_is_left_to_others_stays_noted() {
        let allowance = limited(usize::MAX);
        let mut holding = Holding::new(&allowance);
        holding.set(3 * UNIT).unwrap();
        holding.leave();
        assert_eq!(allowance.held.load(Relaxed), 3 * UNIT);
    }
}
