use super::{
    chart,
    client::Series,
    query::time,
    table::{letter, number, render},
};

fn series(name: &str, points: &[(f64, f64)]) -> Series {
    Series { name: name.to_owned(), points: points.to_vec() }
}

#[test]
fn a_table_has_a_row_per_time_and_a_lettered_column_per_series() {
    let table = render(&[series("up{a=\"1\"}", &[(0.0, 1.5), (60.0, 2.0)]), series("down", &[(60.0, -1e9)])]);
    let expected = "   A = up{a=\"1\"}\n   B = down\n\
                    time                   A            B\n\
                    -------------------------------------\n\
                    1970-01-01 00:00:00  1.5\n\
                    1970-01-01 00:01:00    2  -1000000000\n";
    assert_eq!(table, expected);
    assert_eq!(render(&[]), "(no data)\n");
}

#[test]
fn many_series_go_into_blocks_below_each_other() {
    let many: Vec<_> = (0..30).map(|i| series(&format!("s{i}"), &[(0.0, f64::from(i))])).collect();
    let table = render(&many);
    assert_eq!(table.matches("time").count(), 4);
    assert!(table.contains("AD = s29"), "{table}");
    assert_eq!((letter(0), letter(25), letter(26), letter(27)), ("A".into(), "Z".into(), "AA".into(), "AB".into()));
}

#[test]
fn numbers_keep_six_digits() {
    for (value, text) in [
        (0.0, "0"),
        (1234.5678, "1234.57"),
        (0.001_234_567, "0.00123457"),
        (-98.5, "-98.5"),
        (123_456_789.0, "123456789"),
        (1e20, "1.00000e20"),
        (f64::NAN, "NaN"),
    ] {
        assert_eq!(number(value), text);
    }
}

#[test]
fn a_chart_goes_from_the_lower_left_to_the_upper_right() {
    let chart = chart::render(&[series("rising", &[(0.0, 0.0), (1.0, 1.0), (2.0, 2.0)])], |t| format!("t={t}"));
    let lines: Vec<_> = chart.lines().collect();
    assert!(lines[0].starts_with("2 │⠀") && lines[0].ends_with('⠉'), "{chart}");
    assert!(lines[11].starts_with("0 │") && !lines[11].starts_with("0 │⠀"), "{chart}");
    assert!(chart.contains("t=0") && chart.contains("t=2") && chart.contains("A rising"), "{chart}");
    assert_eq!(chart::render(&[series("nothing", &[(0.0, f64::NAN)])], |_| String::new()), "");
    let flat = chart::render(&[series("flat", &[(0.0, 5.0), (9.0, 5.0)])], |_| String::new());
    assert!(flat.contains("5 │"), "{flat}");
}

#[test]
fn times_are_dates_seconds_or_durations_before_now() {
    for (text, seconds) in
        [("now", 1000.0), ("-10m", 400.0), ("4.5", 4.5), ("-4.5", -4.5), ("1970-01-01T00:01:00.5Z", 60.5)]
    {
        assert_eq!(time(text, 1000.0).unwrap(), seconds, "{text}");
    }
    assert!(time("yesterday", 0.0).unwrap_err().to_string().contains("2026-11-20T06:00:00Z"));
}
