use super::*;

#[test]
fn rows_are_sorted_and_names_are_unique() {
    assert!(FUNCTIONS.windows(2).all(|pair| pair[0].name < pair[1].name));
}

#[test]
fn every_row_is_found_by_its_name() {
    assert!(FUNCTIONS.iter().all(|row| find(row.name).is_some_and(|found| std::ptr::eq(found, row))));
    assert!(find("rates").is_none());
}

#[test]
fn argument_counts_follow_from_the_row() {
    let counts = |name| find(name).map(|row| (row.args_min(), row.args_max())).unwrap();
    assert_eq!(counts("pi"), (0, Some(0)));
    assert_eq!(counts("clamp"), (3, Some(3)));
    assert_eq!(counts("round"), (1, Some(2)));
    assert_eq!(counts("label_join"), (3, None));
    assert_eq!(counts("histogram_quantiles"), (3, Some(12)));
}

#[test]
fn the_last_argument_of_a_variadic_function_repeats() {
    let row = find("sort_by_label").unwrap();
    assert_eq!([row.arg(0), row.arg(1), row.arg(7)], [Vector, String, String]);
}
