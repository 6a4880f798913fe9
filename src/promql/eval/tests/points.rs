//! Columns with most of their places left out are the columns that they were.

use fastrand::Rng;

use crate::promql::eval::{
    Guard, Meter, Patience, Result,
    points::{Grown, Points},
    series::{ABSENT, is_present},
};

const STEPS: usize = 600;

/// Runs of numbers of any length with gaps of any length between them.
fn column(rng: &mut Rng) -> Vec<f64> {
    let mut column = vec![ABSENT; STEPS];
    let mut step = rng.usize(..STEPS);
    while step < STEPS && rng.u32(..8) > 0 {
        let end = STEPS.min(step + rng.usize(1..30));
        column[step..end].fill_with(|| f64::from(rng.u32(..100)));
        let gap_max = *rng.choice(&[6, 200]).unwrap();
        step = end + rng.usize(1..gap_max);
    }
    column
}

/// The bits of every place: absent ones are NaN, which is equal to nothing.
fn bits(column: &[f64]) -> Vec<u64> {
    column.iter().map(|value| value.to_bits()).collect()
}

fn dense(points: &Points) -> Vec<u64> {
    bits(&(0..STEPS).map(|step| points.at(step)).collect::<Vec<_>>())
}

fn pushed(column: &[f64]) -> Points {
    let mut points = Points::default();
    let present = column.iter().enumerate().filter(|&(_, &value)| is_present(value));
    present.for_each(|(step, &value)| with_patience(|patience| points.push(step, value, patience)));
    points
}

fn compact(points: &Points) -> Points {
    with_patience(|patience| points.compact(points.counted(patience)?, patience)).unwrap_or_else(|| points.clone())
}

/// What is done for whom nothing is too long.
fn with_patience<T>(work: impl FnOnce(&Patience<'_>) -> Result<T>) -> T {
    let meter = Meter::default();
    let guard = Guard { meter: &meter, samples_max: 0, series_max: 0, memory_max: 0, interrupt: None };
    work(&Patience::new(guard)).unwrap()
}

fn of(column: Vec<f64>) -> Points {
    with_patience(|patience| Points::of(column, patience))
}

#[test]
fn points_are_those_of_the_column_however_they_are_held() {
    for seed in 0..2_000 {
        let mut rng = Rng::with_seed(seed);
        let (mut column, other) = (column(&mut rng), column(&mut rng));
        let count = column.iter().filter(|&&value| is_present(value)).count();
        let of = of(column.clone());
        for mut points in [of.clone(), compact(&of), pushed(&column)] {
            assert_eq!(dense(&points), bits(&column), "seed {seed}");
            assert_eq!((points.count(), points.is_empty()), (count, count == 0));
            let mut mask = vec![false; STEPS];
            with_patience(|patience| points.mark(&mut mask, patience));
            let expected: Vec<bool> = column.iter().map(|&value| is_present(value)).collect();
            assert_eq!(mask, expected, "seed {seed}");
            assert!(expected.iter().enumerate().all(|(step, &is)| !is || points.reach().contains(&step)));

            with_patience(|patience| points.map(patience, |step, value| value + step as f64));
            with_patience(|patience| points.retain(patience, |step| step % 3 > 0));
            points.remove(100);
            let mut changed = column.clone();
            for (step, value) in changed.iter_mut().enumerate() {
                *value = match is_present(*value) && step % 3 > 0 && step != 100 {
                    true => *value + step as f64,
                    false => ABSENT,
                };
            }
            assert_eq!(dense(&points), bits(&changed), "seed {seed}");
        }
        let clash = column.iter().zip(&other).any(|(&a, &b)| is_present(a) && is_present(b));
        let mut both = compact(&of);
        assert_eq!(with_patience(|patience| both.absorb(&pushed(&other), patience)), !clash, "seed {seed}");
        if !clash {
            column.iter_mut().zip(&other).filter(|(_, b)| is_present(**b)).for_each(|(a, &b)| *a = b);
        }
        assert_eq!(dense(&both), bits(&column), "seed {seed}");
    }
}

#[test]
fn memory_follows_what_is_there() {
    for seed in 0..2_000 {
        let column = column(&mut Rng::with_seed(seed));
        let kept = compact(&of(column));
        // Four places for one with a number, or a jump beside each.
        let (size, count) = (kept.size(), kept.count());
        assert!(size <= count * 4 * size_of::<f64>(), "seed {seed}: {size} bytes for {count}");
    }
    let mut ends = vec![ABSENT; 10_000];
    (ends[0], ends[9_999]) = (1.0, 2.0);
    assert!(compact(&of(ends)).size() <= 8 * size_of::<f64>());
}

#[test]
fn a_column_grows_to_both_sides() {
    for seed in 0..200 {
        let mut rng = Rng::with_seed(seed);
        let (mut grown, mut expected) = (Grown::default(), vec![None; STEPS]);
        for _ in 0..20 {
            let first = rng.usize(..STEPS - 50);
            let count = rng.usize(1..50);
            with_patience(|patience| grown.grow(first..first + count, 0, patience));
            for (index, place) in grown.reach(first, count).iter_mut().enumerate() {
                *place += 1;
                *expected[first + index].get_or_insert(0) += 1;
            }
        }
        for (step, expected) in expected.into_iter().enumerate() {
            assert_eq!(grown.at(step).unwrap_or(0), expected.unwrap_or(0), "seed {seed}");
        }
    }
}
