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

#[test]
fn the_calendar_is_that_of_jiff_as_far_as_it_goes() {
    let range = jiff::Timestamp::MIN.as_second()..=jiff::Timestamp::MAX.as_second();
    let mut rng = fastrand::Rng::with_seed(5);
    for _ in 0..100_000 {
        // Many of them next to midnight.
        let second = rng.i64(range.clone());
        let second = if rng.bool() { second } else { (second - second % 86_400 + rng.i64(-1..2)).max(*range.start()) };
        let time = jiff::tz::TimeZone::UTC.to_datetime(jiff::Timestamp::from_second(second).unwrap());
        let expected: [f64; 8] = [
            time.year().into(),
            time.month().into(),
            time.day().into(),
            time.weekday().to_sunday_zero_offset().into(),
            time.day_of_year().into(),
            time.days_in_month().into(),
            time.hour().into(),
            time.minute().into(),
        ];
        assert_eq!(parts(second as f64), expected, "{second}");
    }
}

#[test]
fn the_calendar_goes_on_to_the_ends_of_64_bits() {
    // What Prometheus gives, on x86-64.
    assert_eq!(parts(1.7e12)[..4], [55_840.0, 11.0, 8.0, 0.0]);
    assert_eq!(parts(1e13)[..4], [318_857.0, 5.0, 20.0, 0.0]);
    assert_eq!(parts(-1e12)[..3], [-29_719.0, 4.0, 5.0]);
    assert_eq!(parts(-9.223372028e18)[0], -292_277_022_377.0);
    assert_eq!(parts(-9.223372029e18)[0], 292_277_026_845.0);
    assert_eq!(parts(9.223371975e18)[0], 292_277_024_636.0);
    let end = [292_277_026_596.0, 12.0, 4.0, 0.0, 339.0, 31.0, 15.0, 30.0];
    for seconds in [f64::INFINITY, f64::NEG_INFINITY, 1e19, -1e19, -(2f64.powi(63))] {
        assert_eq!(parts(seconds), end, "{seconds}");
    }
    assert!(parts(f64::NAN).iter().all(|part| part.is_nan()));
}

/// What the calendar functions give, in the order of their rows in `time`.
fn parts(seconds: f64) -> [f64; 8] {
    let names = ["year", "month", "day_of_month", "day_of_week", "day_of_year", "days_in_month", "hour", "minute"];
    names.map(|name| match find(name).unwrap().body {
        Body::Calendar(field) => time::part(seconds, field),
        body => panic!("{name} is {body:?}"),
    })
}
