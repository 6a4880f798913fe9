//! Sorting that can be ended.

use std::cmp::Ordering;

/// Items sorted at one go: some 0.5 ms where they are label sets.
const RUN: usize = 1024;
/// Items merged between two questions.
const STRIDE: usize = 256;
/// The same, of numbers and the like: some 0.2 ms.
const RUN_OF_COPIES: usize = 8192;
const STRIDE_OF_COPIES: usize = 4096;

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
    let places = u32::try_from(items.len()).expect("series and the like are fewer than 2^32");
    let mut order: Vec<u32> = (0..places).collect();
    let by_item = |&a: &u32, &b: &u32| compare(&items[a as usize], &items[b as usize]);
    sort_in_runs(&mut order, (RUN, STRIDE), by_item, &mut check)?;
    // What comes in order, as series mostly do, stays where it is.
    if !order.is_sorted() {
        *items = taken(std::mem::take(items), &order, check)?;
    }
    Ok(())
}

/// As [`sort_by`], of items that are quickly compared and moved.
pub fn sort_copies_by<T: Copy, E>(
    items: &mut [T],
    compare: impl Fn(&T, &T) -> Ordering,
    mut check: impl FnMut(usize) -> Result<(), E>,
) -> Result<(), E> {
    sort_in_runs(items, (RUN_OF_COPIES, STRIDE_OF_COPIES), compare, &mut check)
}

/// The items in another order.
fn taken<T, E>(items: Vec<T>, order: &[u32], mut check: impl FnMut(usize) -> Result<(), E>) -> Result<Vec<T>, E> {
    let (mut left, mut sorted) = (Vec::with_capacity(items.len()), Vec::with_capacity(items.len()));
    let mut items = items.into_iter();
    while items.len() > 0 {
        check(STRIDE)?;
        left.extend(items.by_ref().take(STRIDE).map(Some));
    }
    for places in order.chunks(STRIDE) {
        check(places.len())?;
        sorted.extend(places.iter().filter_map(|&place| left[place as usize].take()));
    }
    Ok(sorted)
}

/// Sorts runs of items, and merges them two by two.
fn sort_in_runs<T: Copy, E>(
    items: &mut [T],
    (run, stride): (usize, usize),
    compare: impl Fn(&T, &T) -> Ordering,
    check: &mut impl FnMut(usize) -> Result<(), E>,
) -> Result<(), E> {
    for run in items.chunks_mut(run) {
        check(run.len())?;
        run.sort_by(&compare);
    }
    let (count, mut width, mut scratch) = (items.len(), run, Vec::new());
    while width < count {
        for pair in items.chunks_mut(2 * width).filter(|pair| pair.len() > width) {
            merge(pair, (width, stride), &mut scratch, &compare, check)?;
        }
        width *= 2;
    }
    Ok(())
}

/// Makes one sorted run of two, of which the second begins at `middle`; of equal items those of the first come first.
fn merge<T: Copy, E>(
    pair: &mut [T],
    (middle, stride): (usize, usize),
    scratch: &mut Vec<T>,
    compare: impl Fn(&T, &T) -> Ordering,
    check: &mut impl FnMut(usize) -> Result<(), E>,
) -> Result<(), E> {
    let (first, second) = pair.split_at(middle);
    // Both ends may be in their place already, and often all is.
    let start = first.partition_point(|item| compare(item, &second[0]).is_le());
    let Some(last) = first[start..].last() else { return check(1) };
    let end = middle + second.partition_point(|item| compare(item, last).is_lt());
    if scratch.capacity() < middle - start {
        // Not grown, as that would copy what is in it.
        *scratch = Vec::with_capacity(middle);
    }
    scratch.clear();
    for some in pair[start..middle].chunks(stride) {
        check(some.len())?;
        scratch.extend_from_slice(some);
    }
    let (mut out, mut left, mut right) = (start, 0, middle);
    while left < scratch.len() && right < end {
        check(stride)?;
        let turn = out + stride;
        while out < turn && left < scratch.len() && right < end {
            let is_first = compare(&scratch[left], &pair[right]).is_le();
            pair[out] = if is_first { scratch[left] } else { pair[right] };
            (left, right) = if is_first { (left + 1, right) } else { (left, right + 1) };
            out += 1;
        }
    }
    for some in scratch[left..].chunks(stride) {
        check(some.len())?;
        pair[out..out + some.len()].copy_from_slice(some);
        out += some.len();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_sorts_as_the_standard_library_does() {
        for count in [0, 1, RUN - 1, RUN + 1, 7 * RUN + 5, 9 * RUN_OF_COPIES + 5] {
            for spread in [3, 1_000_000_007, 50_000] {
                let items: Vec<(usize, usize)> = (0..count).map(|i| (i * 7_919 % spread % 104_729, i)).collect();
                let (mut ours, mut copies, mut theirs) = (items.clone(), items.clone(), items);
                sort_by(&mut ours, |a, b| a.0.cmp(&b.0), |_| Ok::<(), ()>(())).unwrap();
                theirs.sort_by_key(|item| item.0);
                assert!(ours == theirs, "{count} items of {spread}");
                sort_copies_by(&mut copies, |a, b| a.0.cmp(&b.0), |_| Ok::<(), ()>(())).unwrap();
                assert!(copies == theirs, "{count} copies of {spread}");
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
