use super::*;

#[test]
fn aggregates_of_numbers_are_what_a_plain_loop_finds() {
    for rows in [1, 2, 7, 8, 9, 1000] {
        let values = values(rows as u64, rows);
        let found = Aggregates::of(&values).unwrap();
        let resets: f64 = values.windows(2).filter(|pair| pair[1] < pair[0]).map(|pair| pair[0]).sum();
        assert_eq!((found.first, found.last, found.count), (values[0], values[rows - 1], rows as u32));
        assert_eq!(found.min, values.iter().copied().fold(f64::INFINITY, f64::min));
        assert_eq!(found.max, values.iter().copied().fold(f64::NEG_INFINITY, f64::max));
        assert!((found.sum - values.iter().sum::<f64>()).abs() < 1e-6);
        assert!((found.correction - resets).abs() < 1e-6);
    }
}

#[test]
fn the_increase_makes_up_for_resets() {
    let found = Aggregates::of(&[10.0, 15.0, 3.0, 4.0, 1.0]).unwrap();
    assert_eq!(found.increase(), 5.0 + 3.0 + 1.0 + 1.0);
}

#[test]
fn stale_markers_are_left_out_and_other_nans_leave_nothing() {
    let stale = f64::from_bits(STALE);
    let found = Aggregates::of(&[stale, 2.0, stale, 1.0, stale]).unwrap();
    assert_eq!((found.first, found.last, found.count, found.sum), (2.0, 1.0, 2, 3.0));
    assert_eq!(Aggregates::of(&[1.0, f64::NAN]), None);
    assert_eq!(Aggregates::of(&[stale, stale]).unwrap().count, 0);
    assert_eq!(Aggregates::of_constant(f64::NAN, 3), None);
    assert_eq!(Aggregates::of_constant(stale, 3).unwrap().count, 0);
}

#[test]
fn the_sum_does_not_lose_small_numbers_beside_large_ones() {
    let mut values = vec![1e16];
    values.extend([1.0; 1000]);
    values.push(-1e16);
    assert_eq!(Aggregates::of(&values).unwrap().sum, 1000.0);
    assert_eq!(Aggregates::of(&[1.0, f64::INFINITY, 2.0]).unwrap().sum, f64::INFINITY);
}

#[test]
fn constant_columns_have_the_aggregates_of_their_values() {
    assert_eq!(Aggregates::of_constant(2.5, 17), Aggregates::of(&[2.5; 17]));
}
