//! Work that several threads share, its results taken in order.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
};

use parking_lot::{Condvar, Mutex};

/// Results that may wait for their turn, for each thread.
const AHEAD: usize = 4;

/// The threads that all queries together may take beside those that they run on.
#[derive(Debug)]
pub struct Threads {
    free: AtomicUsize,
}

impl Threads {
    /// So many.
    pub fn new(count: usize) -> Self {
        Self { free: AtomicUsize::new(count) }
    }

    /// Up to `wanted` of those that are free, until the loan goes.
    pub(super) fn lend(&self, wanted: usize) -> Loan<'_> {
        let mut count = 0;
        let taken = self.free.fetch_update(Relaxed, Relaxed, |free| {
            count = free.min(wanted);
            Some(free - count)
        });
        taken.expect("the closure always has an answer");
        Loan { threads: self, count }
    }
}

/// Threads taken.
pub(super) struct Loan<'t> {
    threads: &'t Threads,
    pub(super) count: usize,
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        self.threads.free.fetch_add(self.count, Relaxed);
    }
}

/// Does `work` on each item, on this thread and `helpers` more, and hands the results to `consume` here, in the order of the
/// items. At the first error the rest is dropped.
pub(super) fn in_order<I: Send, R: Send, E>(
    items: Vec<I>,
    helpers: usize,
    work: &(impl Fn(I) -> R + Sync),
    mut consume: impl FnMut(R) -> Result<(), E>,
) -> Result<(), E> {
    let count = items.len();
    let desk = Desk {
        state: Mutex::new(State { items: items.into(), taken: 0, consumed: 0, done: VecDeque::new(), over: false }),
        changed: Condvar::new(),
        ahead: AHEAD * (helpers + 1),
    };
    thread::scope(|scope| {
        let _over = Over(&desk);
        for _ in 0..helpers {
            scope.spawn(|| {
                let _over = OverInPanic(&desk);
                while let Some((place, item)) = desk.wait_for_work() {
                    desk.put(place, work(item));
                }
            });
        }
        for _ in 0..count {
            loop {
                match desk.turn() {
                    Turn::Consume(result) => break consume(result)?,
                    Turn::Work(place, item) => desk.put(place, work(item)),
                    // A thread panicked; leaving the scope passes that on.
                    Turn::Over => return Ok(()),
                }
            }
        }
        Ok(())
    })
}

/// Where work is taken and results are put.
struct Desk<I, R> {
    state: Mutex<State<I, R>>,
    changed: Condvar,
    /// How many items may be taken and not consumed.
    ahead: usize,
}

struct State<I, R> {
    items: VecDeque<I>,
    taken: usize,
    consumed: usize,
    /// Results of the items taken and not consumed, in order.
    done: VecDeque<Option<R>>,
    over: bool,
}

impl<I, R> State<I, R> {
    fn take(&mut self, ahead: usize) -> Option<(usize, I)> {
        if self.taken - self.consumed >= ahead {
            return None;
        }
        let item = self.items.pop_front()?;
        self.done.push_back(None);
        self.taken += 1;
        Some((self.taken - 1, item))
    }
}

/// What the consuming thread does next.
enum Turn<I, R> {
    Consume(R),
    Work(usize, I),
    Over,
}

impl<I, R> Desk<I, R> {
    /// An item and its place; `None` when there are no more.
    fn wait_for_work(&self) -> Option<(usize, I)> {
        let mut state = self.state.lock();
        loop {
            if state.over || state.items.is_empty() {
                return None;
            }
            if let Some(taken) = state.take(self.ahead) {
                return Some(taken);
            }
            self.changed.wait(&mut state);
        }
    }

    fn put(&self, place: usize, result: R) {
        let mut state = self.state.lock();
        let place = place - state.consumed;
        state.done[place] = Some(result);
        self.changed.notify_all();
    }

    /// The result whose turn it is, else work, else what comes first.
    fn turn(&self) -> Turn<I, R> {
        let mut state = self.state.lock();
        loop {
            if state.over {
                return Turn::Over;
            }
            if let Some(result) = state.done.pop_front_if(|result| result.is_some()).flatten() {
                state.consumed += 1;
                self.changed.notify_all();
                return Turn::Consume(result);
            }
            if let Some((place, item)) = state.take(self.ahead) {
                return Turn::Work(place, item);
            }
            self.changed.wait(&mut state);
        }
    }

    fn end(&self) {
        self.state.lock().over = true;
        self.changed.notify_all();
    }
}

/// Ends the work when the consumer leaves, whyever.
struct Over<'d, I, R>(&'d Desk<I, R>);

impl<I, R> Drop for Over<'_, I, R> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Ends it where a helper panics: its result would be waited for in vain.
struct OverInPanic<'d, I, R>(&'d Desk<I, R>);

impl<I, R> Drop for OverInPanic<'_, I, R> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_whoever_is_first() {
        for helpers in [0, 1, 3] {
            let items: Vec<u64> = (0..200).collect();
            let slow = |item: u64| {
                thread::sleep(std::time::Duration::from_micros(item * 7919 % 100));
                item * 2
            };
            let mut seen = Vec::new();
            let end: Result<(), ()> = in_order(items, helpers, &slow, |result| {
                seen.push(result);
                Ok(())
            });
            assert_eq!(end, Ok(()));
            assert_eq!(seen, (0..200).map(|item| item * 2).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_error_ends_the_work() {
        let begun = AtomicUsize::new(0);
        let work = |item: usize| {
            begun.fetch_add(1, Relaxed);
            item
        };
        let end = in_order((0..10_000).collect(), 2, &work, |item| if item == 20 { Err(item) } else { Ok(()) });
        assert_eq!(end, Err(20));
        assert!(begun.load(Relaxed) <= 21 + 3 * AHEAD, "{begun:?}");
    }

    #[test]
    fn a_panic_is_passed_on() {
        let caught = std::panic::catch_unwind(|| {
            in_order((0..100).collect(), 2, &|item: usize| assert!(item < 50), |()| Ok::<(), ()>(()))
        });
        assert!(caught.is_err());
    }

    #[test]
    fn no_more_are_lent_than_there_are() {
        let threads = Threads::new(3);
        let first = threads.lend(2);
        assert_eq!((first.count, threads.lend(5).count), (2, 1));
        drop(first);
        assert_eq!(threads.lend(5).count, 3);
    }
}
