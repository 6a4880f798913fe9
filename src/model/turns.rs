//! Going through very many items in turns, with a question between two of them whether to go on.
//!
//! A stream can have tens of millions of samples, and each pass over them, a mere copy too, takes some 50 ms. A few items
//! are one turn, and nobody is asked.

use super::{Allowance, Stopped};

/// Items of a turn: some ten microseconds of copying.
pub const TURN: usize = 16 << 10;

/// Counts the items of pieces that may each be less than a turn, and asks once they come to one.
#[derive(Debug, Default)]
pub struct Pace(usize);

impl Pace {
    /// Notes so many items more.
    #[inline]
    pub fn step(&mut self, items: usize, allowance: &dyn Allowance) -> Result<(), Stopped> {
        self.0 += items;
        if self.0 < TURN {
            return Ok(());
        }
        self.0 = 0;
        allowance.check()
    }
}

/// The items, a turn at a time.
#[inline]
pub fn turns<'t, T>(
    items: &'t [T],
    allowance: &'t dyn Allowance,
) -> impl Iterator<Item = Result<&'t [T], Stopped>> + use<'t, T> {
    items.chunks(TURN).enumerate().map(move |(number, turn)| {
        if number > 0 {
            allowance.check()?;
        }
        Ok(turn)
    })
}

/// Makes room for so many more items. What is there already moves to a larger buffer in turns, where it is much: an
/// allocator would copy all of it at once.
pub fn reserve<T: Copy>(buffer: &mut Vec<T>, more: usize, allowance: &dyn Allowance) -> Result<(), Stopped> {
    let wanted = buffer.len() + more;
    if wanted <= buffer.capacity() {
        return Ok(());
    }
    if buffer.capacity() <= TURN {
        buffer.reserve(more);
        return Ok(());
    }
    let mut larger = Vec::with_capacity(wanted.max(2 * buffer.capacity()));
    for turn in turns(buffer, allowance) {
        larger.extend_from_slice(turn?);
    }
    *buffer = larger;
    Ok(())
}

/// Adds items to a buffer.
pub fn extend<T: Copy>(buffer: &mut Vec<T>, items: &[T], allowance: &dyn Allowance) -> Result<(), Stopped> {
    extend_mapped(buffer, items, allowance, |&item| item)
}

/// Adds what is made of each of some items to a buffer.
#[inline]
pub fn extend_mapped<S, T: Copy>(
    buffer: &mut Vec<T>,
    items: &[S],
    allowance: &dyn Allowance,
    mut change: impl FnMut(&S) -> T,
) -> Result<(), Stopped> {
    reserve(buffer, items.len(), allowance)?;
    for turn in turns(items, allowance) {
        buffer.extend(turn?.iter().map(&mut change));
    }
    Ok(())
}

/// What is made of each of some items.
pub fn mapped<S, T: Copy>(
    items: &[S],
    allowance: &dyn Allowance,
    change: impl FnMut(&S) -> T,
) -> Result<Vec<T>, Stopped> {
    let mut all = Vec::new();
    extend_mapped(&mut all, items, allowance, change)?;
    Ok(all)
}

/// Whether all items pass.
pub fn all<T>(items: &[T], allowance: &dyn Allowance, passes: impl Fn(&T) -> bool) -> Result<bool, Stopped> {
    for turn in turns(items, allowance) {
        if !turn?.iter().all(&passes) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether two runs of items are the same.
pub fn are_equal<T: PartialEq>(a: &[T], b: &[T], allowance: &dyn Allowance) -> Result<bool, Stopped> {
    // The ends tell mostly.
    if a.len() != b.len() || a.last() != b.last() {
        return Ok(false);
    }
    for (turn, others) in turns(a, allowance).zip(b.chunks(TURN)) {
        if turn? != others {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Keeps the last item of each stretch of equal keys.
pub fn keep_last<T: Copy, K: PartialEq>(
    items: &mut Vec<T>,
    allowance: &dyn Allowance,
    key: impl Fn(&T) -> K,
) -> Result<(), Stopped> {
    let mut kept = 0;
    for index in 0..items.len() {
        if index % TURN == 0 && index > 0 {
            allowance.check()?;
        }
        if kept > 0 && key(&items[kept - 1]) == key(&items[index]) {
            kept -= 1;
        }
        items[kept] = items[index];
        kept += 1;
    }
    items.truncate(kept);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;

    /// Says yes so many times.
    struct Yes(AtomicUsize);

    impl Yes {
        fn times(count: usize) -> Self {
            Self(AtomicUsize::new(count))
        }
    }

    impl Allowance for Yes {
        fn go_on(&self) -> bool {
            self.0.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok()
        }

        fn take(&self, _: usize) -> bool {
            true
        }

        fn give_back(&self, _: usize) {}
    }

    const MANY: usize = 5 * TURN + 7;

    #[test]
    fn few_items_are_no_reason_to_ask() {
        let (never, few) = (Yes::times(0), vec![7; TURN]);
        let mut buffer = vec![7];
        assert_eq!(extend(&mut buffer, &few[1..], &never), Ok(()));
        assert_eq!(are_equal(&buffer, &few, &never), Ok(true));
        assert_eq!(mapped(&few, &never, |item| item + 1), Ok(vec![8; TURN]));
        assert_eq!((all(&few, &never, |&item| item == 7), keep_last(&mut buffer, &never, |_| 0)), (Ok(true), Ok(())));
    }

    #[test]
    fn many_are_the_same_in_turns() {
        let (ever, many) = (Yes::times(usize::MAX), (0..MANY).collect::<Vec<_>>());
        let mut buffer = Vec::new();
        for some in many.chunks(TURN / 3) {
            extend(&mut buffer, some, &ever).unwrap();
        }
        assert!(buffer == many);
        assert_eq!(are_equal(&buffer, &many, &ever), Ok(true));
        buffer[MANY / 2] = 0;
        assert_eq!(are_equal(&buffer, &many, &ever), Ok(false));
        assert_eq!(all(&buffer, &ever, |&item| item < MANY), Ok(true));
        assert_eq!(all(&buffer, &ever, |&item| item < MANY - 1), Ok(false));
        let mut pairs: Vec<_> = (0..MANY).map(|i| (i / 3, i)).collect();
        keep_last(&mut pairs, &ever, |pair| pair.0).unwrap();
        assert!(pairs.iter().all(|&(key, i)| i == (key * 3 + 2).min(MANY - 1)) && pairs.len() == MANY.div_ceil(3));
    }

    #[test]
    fn small_pieces_come_to_turns() {
        let (two, mut pace) = (Yes::times(2), Pace::default());
        let steps = (0..).take_while(|_| pace.step(TURN / 4, &two).is_ok()).count();
        assert_eq!(steps, 11);
    }

    #[test]
    fn many_end_when_told_to() {
        let many = vec![0; MANY];
        let ended = |count: usize| {
            let yes = Yes::times(count);
            let mut buffer = Vec::with_capacity(2 * TURN);
            buffer.extend_from_slice(&many[..2 * TURN]);
            [
                extend(&mut buffer, &many, &yes).is_err(),
                are_equal(&many, &many.clone(), &Yes::times(count)).is_err(),
                all(&many, &Yes::times(count), |_| true).is_err(),
            ]
        };
        assert_eq!((ended(4), ended(6)), ([true; 3], [false; 3]));
    }
}
