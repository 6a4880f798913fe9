//! Sorting that can be ended.

use std::cmp::Ordering;

/// Items sorted at one go: some 0.5 ms where they are label sets.
const RUN: usize = 1024;
/// Items merged between two questions.
const STRIDE: usize = 256;

/// Sorts as [`slice::sort_by`] does, equal items staying in their order. Now and then `check` is told how many items were
/// gone through since, and may end it; then there is no telling which items are left.
pub fn sort_by<T, E>(
    items: &mut Vec<T>,
    compare: impl Fn(&T, &T) -> Ordering,
    mut check: impl FnMut(usize) -> Result<(), E>,
) -> Result<(), E> {
    if items.len() <= RUN {
        check(items.len())?;
        items.sort_by(compare);
        return Ok(());
    }
    let mut runs = Vec::with_capacity(items.len().div_ceil(RUN));
    let mut rest = std::mem::take(items).into_iter();
    while rest.len() > 0 {
        check(RUN)?;
        let mut run: Vec<T> = rest.by_ref().take(RUN).collect();
        run.sort_by(&compare);
        runs.push(run);
    }
    while runs.len() > 1 {
        let mut pairs = runs.into_iter();
        let mut merged = Vec::with_capacity(pairs.len().div_ceil(2));
        while let Some(first) = pairs.next() {
            merged.push(match pairs.next() {
                Some(second) => merge(first, second, &compare, &mut check)?,
                None => first,
            });
        }
        runs = merged;
    }
    *items = runs.pop().unwrap_or_default();
    Ok(())
}

/// Two sorted runs as one; of equal items those of the first come first.
fn merge<T, E>(
    mut first: Vec<T>,
    second: Vec<T>,
    compare: impl Fn(&T, &T) -> Ordering,
    check: &mut impl FnMut(usize) -> Result<(), E>,
) -> Result<Vec<T>, E> {
    // What comes in order, as series mostly do, is only put together.
    if let (Some(last), Some(next)) = (first.last(), second.first())
        && compare(last, next).is_le()
    {
        check(STRIDE)?;
        first.extend(second);
        return Ok(first);
    }
    let mut merged = Vec::with_capacity(first.len() + second.len());
    let (mut first, mut second) = (first.into_iter().peekable(), second.into_iter().peekable());
    while let (Some(left), Some(right)) = (first.peek(), second.peek()) {
        if merged.len() % STRIDE == 0 {
            check(STRIDE)?;
        }
        let next = if compare(left, right).is_le() { first.next() } else { second.next() };
        merged.extend(next);
    }
    merged.extend(first);
    merged.extend(second);
    Ok(merged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_sorts_as_the_standard_library_does() {
        for count in [0, 1, RUN - 1, RUN + 1, 7 * RUN + 5] {
            for spread in [3, 1_000_000_007] {
                let items: Vec<(usize, usize)> = (0..count).map(|i| (i * 7_919 % spread % 104_729, i)).collect();
                let (mut ours, mut theirs) = (items.clone(), items);
                sort_by(&mut ours, |a, b| a.0.cmp(&b.0), |_| Ok::<(), ()>(())).unwrap();
                theirs.sort_by_key(|item| item.0);
                assert!(ours == theirs, "{count} items of {spread}");
            }
        }
    }

    #[test]
    fn it_asks_often_and_ends_when_told_to() {
        let mut items: Vec<usize> = (0..50_000).rev().collect();
        let mut asked = 0;
        sort_by(&mut items, usize::cmp, |_| {
            asked += 1;
            Ok::<(), ()>(())
        })
        .unwrap();
        assert!(asked > 50_000 / RUN * 6, "{asked} questions");
        let mut left = 10;
        let end = sort_by(&mut (0..50_000).rev().collect(), usize::cmp, |_| {
            left -= 1;
            if left == 0 { Err(()) } else { Ok(()) }
        });
        assert_eq!((end, left), (Err(()), 0));
    }
}
