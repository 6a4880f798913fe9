use super::*;

fn fields(body: &str) -> Vec<(String, f64)> {
    let outcome = Outcome::of(body.as_bytes());
    assert_eq!(outcome.errors, [], "{body}");
    assert_eq!(outcome.points.len(), 1, "{body}");
    outcome.points[0].fields.clone()
}

fn number(text: &str) -> f64 {
    // Padding behind it, so that the short way has its eight bytes; then without.
    let long = fields(&format!("m v={text} 1451606400000000000\n#                      "));
    let short = fields(&format!("m v={text}"));
    assert_eq!(long[0].1.to_bits(), short[0].1.to_bits(), "{text}");
    // And once more by a known shape.
    let both = Outcome::of(format!("m v=1i\nm v={text} 1451606400000000000\n#                   ").as_bytes());
    assert_eq!(both.points[1].fields[0].1.to_bits(), short[0].1.to_bits(), "{text}");
    short[0].1
}

fn reasons(body: &str) -> Vec<String> {
    let outcome = Outcome::of(body.as_bytes());
    let first_time = outcome.reasons();
    // A line is refused for the same reason when a shape is expected that fits its start.
    let primed = Outcome::of(format!("m v=1\n{body}").as_bytes());
    assert_eq!(primed.reasons(), first_time, "{body}");
    first_time
}

#[test]
fn every_number_is_the_double_the_standard_library_reads() {
    let mut texts: Vec<String> =
        ["0", "-0", "1", "58.23", "0.1", "-0.64", "5.", "123456.789", "1e5", "1E-7", "-2.5e+3"]
            .map(String::from)
            .to_vec();
    texts.extend(
        ["9007199254740992", "9007199254740993", "0.8414709848078965", "3.141592653589793", "1234567890123456789"]
            .map(String::from),
    );
    texts.extend(
        ["12345678.12345678", "0.00000000000001", "1.7976931348623157e308", "5e-324", "00000000000000000000001.5"]
            .map(String::from),
    );
    texts.extend((1..25).map(|length| "1234567890123456789012345"[..length].to_owned()));
    texts.extend((1..25).map(|length| format!("0.{}", &"9876543210987654321098765"[..length])));
    for text in &texts {
        assert_eq!(number(text).to_bits(), text.parse::<f64>().unwrap().to_bits(), "{text}");
    }
    assert_eq!(number(".5"), 0.5);
}

#[test]
fn integers_and_booleans_become_floats_and_an_integer_has_no_negative_zero() {
    for (text, value) in
        [("58i", 58.0), ("-58i", -58.0), ("18446744073709551615u", 18446744073709551615.0), ("7u", 7.0)]
    {
        assert_eq!(number(text), value);
    }
    assert_eq!(number("-0i").to_bits(), 0_f64.to_bits());
    assert_eq!(number("-0").to_bits(), (-0_f64).to_bits());
    assert_eq!(number("-9223372036854775808i"), -9223372036854775808.0);
    for text in ["t", "T", "true", "True", "TRUE"] {
        assert_eq!(number(text), 1.0);
        assert_eq!(number(&text.replace(['t', 'T'], "f").replace("frue", "false").replace("fRUE", "FALSE")), 0.0);
    }
}

#[test]
fn integers_that_lose_digits_are_counted() {
    let outcome = Outcome::of(b"m a=9007199254740992i,b=9007199254740993i,c=-9007199254740993i,d=9007199254740993\nm a=1i,b=9223372036854775807i,c=1i,d=1 1451606400000000000\n");
    assert_eq!((outcome.inexact, outcome.points.len()), (3, 2));
}

#[test]
fn a_bad_number_is_refused_in_every_position() {
    for bad in [
        "1a", "1ii", "i", "-", "-i", ".", "-.", "+1", "1.1.1", "1e", "1e+", "9i1", "1.5i", "1e5i", "-1u", "0x1", "NaN",
        "nan", "1_0", "--1",
    ] {
        for (before, after) in [("", ""), ("a=1,", ""), ("", ",b=2"), ("a=1i,", ",b=2i 1451606400000000000")] {
            let good = format!("m {before}v=1{after}\n");
            let outcome = Outcome::of(format!("{good}m {before}v={bad}{after}\n{good}").as_bytes());
            assert_eq!((outcome.points.len(), outcome.errors.len()), (2, 1), "{before}v={bad}{after}");
        }
    }
    for (bad, reason) in [
        ("9223372036854775808i", "integer out of range"),
        ("18446744073709551616u", "integer out of range"),
        ("-9223372036854775809i", "integer out of range"),
        ("1e309", "invalid float: out of range"),
        ("Inf", "invalid boolean"),
        ("truE", "invalid boolean"),
    ] {
        assert_eq!(reasons(&format!("m v={bad}")), [reason]);
    }
}

#[test]
fn names_are_unescaped_and_other_backslashes_stay() {
    let outcome = Outcome::of(b"a\\,b\\ c\\=d,t\\,1=v\\ 1,t\\\\\\=2=\\v f\\,\\ \\=\\1=1 5");
    let point = &outcome.points[0];
    assert_eq!(point.measurement, "a,b c\\=d");
    assert_eq!(point.tags, [("t,1".into(), "v 1".into()), ("t\\\\=2".into(), "\\v".into())]);
    assert_eq!(point.fields, [("f, =\\1".into(), 1.0)]);
    let series = parse_key(b"cpu,host=a").unwrap();
    assert!(matches!(
        (series.measurement, &series.tags[0].1),
        (std::borrow::Cow::Borrowed(_), std::borrow::Cow::Borrowed(_))
    ));
}

#[test]
fn strings_are_dropped_and_counted_and_their_line_is_kept() {
    let outcome = Outcome::of(
        b"m a=\"x\",b=1,c=\"\\\\\\\",\n q=\" 7\nm a=\"\" 8\nm a=\"y\",b=2,c=\"z\" 9\nm a=3,b=2,c=\"z\" 10\n",
    );
    assert_eq!(outcome.errors, []);
    let kept: Vec<_> = outcome.points.iter().map(|p| (p.fields.len(), p.strings, p.time)).collect();
    assert_eq!(kept, [(1, 2, 7), (0, 1, 8), (1, 2, 9), (2, 1, 10)]);
}

#[test]
fn of_a_field_written_twice_the_last_number_wins() {
    for _ in 0..2 {
        let outcome = Outcome::of(b"m v=1,w=5,v=2 1\nm v=3,w=5,v=4 2\nm v=1,v=\"x\" 3\n");
        let values: Vec<_> = outcome.points.iter().map(|p| p.fields[0].1).collect();
        assert_eq!((values, outcome.points[1].fields.len()), (vec![2.0, 4.0, 1.0], 2));
    }
}

#[test]
fn crlf_blank_lines_comments_and_a_missing_last_newline_are_fine() {
    let body = b"\n# c \"=\" v=\"\n\r\n \t\nm v=1 1\r\nm v=t\r\n\t m v=3i \t 3  \r\n  #x\nm v=4 4\r";
    let outcome = Outcome::with(body, Precision::Seconds, 7_999_999_999);
    assert_eq!(outcome.errors, []);
    assert_eq!(outcome.points.iter().map(|p| p.time / 1_000_000_000).collect::<Vec<_>>(), [1, 7, 3, 4]);
    assert_eq!(outcome.points.iter().map(|p| p.fields[0].1).collect::<Vec<_>>(), [1.0, 1.0, 3.0, 4.0]);
}

#[test]
fn timestamps_are_nanoseconds_whatever_the_precision_and_those_out_of_range_are_refused() {
    for (name, nanos) in
        [("", 1), ("us", 1_000), ("µ", 1_000), ("ms", 1_000_000), ("m", 60_000_000_000), ("h", 3_600_000_000_000)]
    {
        let precision = Precision::parse(name).unwrap();
        let outcome = Outcome::with(b"m v=1 1451\nm v=1 -2\nm v=1\n#            padding", precision, 7_300_000_000_001);
        let times: Vec<_> = outcome.points.iter().map(|p| p.time).collect();
        assert_eq!(times, [1451 * nanos, -2 * nanos, 7_300_000_000_001 / nanos * nanos], "{name}");
        assert_eq!(precision.nanos(), Some(nanos));
    }
    assert_eq!(Precision::parse("x"), None);
    assert_eq!(reasons("m v=1 9223372036854775808"), ["time outside range"]);
    assert_eq!(reasons("m v=1 9223372036854775807"), ["time outside range"]);
    assert_eq!(Outcome::of(b"m v=1 9223372036854775806").points[0].time, i64::MAX - 1);
    let far = Outcome::with(
        b"m v=1 1\nm v=1 9223372036855 \nm v=1 9223372036855\n#          padding",
        Precision::Milliseconds,
        0,
    );
    assert_eq!((far.points.len(), far.reasons()), (1, vec!["time outside range".to_owned(); 2]));
    for bad in ["-", "1-", "+1", "1.5", "x", "1 2", "1i", "1\r 2", "1\t\r2"] {
        assert_eq!(reasons(&format!("m v=1 {bad}")), ["bad timestamp"], "{bad}");
    }
}

#[test]
fn a_bad_line_says_why_and_spoils_no_neighbour() {
    for (bad, reason) in [
        ("cpu", "missing fields"),
        ("cpu,a=b", "missing fields"),
        ("cpu ", "invalid field format"),
        ("cpu x", "invalid field format"),
        ("cpu =1", "missing field key"),
        ("cpu v=1,=2", "missing field key"),
        ("cpu v=", "missing field value"),
        ("cpu v=,w=1", "missing field value"),
        ("cpu v=1,w", "invalid field format"),
        ("cpu v=1,", "invalid field format"),
        (",a=b v=1", "missing measurement"),
        ("cpu,=b v=x", "missing tag key"),
        ("cpu, v=1", "missing tag key"),
        ("cpu,a v=1", "missing tag value"),
        ("cpu,a= v=1", "missing tag value"),
        ("cpu,a=b=c v=1", "invalid tag format"),
        ("cpu,a=1,a=2 v=1", "duplicate tags: a"),
        ("cpu v=\"a", "unbalanced quotes"),
        ("cpu v=\"a\\\"", "unbalanced quotes"),
        ("cpu v=\"a\"b", "invalid field format"),
        ("cpu v=1 \"x", "bad timestamp"),
    ] {
        assert_eq!(reasons(bad), [reason], "{bad}");
        let outcome = Outcome::of(format!("m v=1 1\n{bad}\r\nm v=2 2\n").as_bytes());
        assert_eq!(outcome.errors.len(), 1, "{bad}");
        assert_eq!((outcome.errors[0].0, &outcome.errors[0].2[..]), (2, bad.as_bytes()));
        assert_eq!(outcome.points.iter().map(|p| p.time).collect::<Vec<_>>(), [1, 2], "{bad}");
    }
}

#[test]
fn names_that_are_not_utf8_are_refused() {
    for (bad, reason) in [
        (&b"m\xff v=1"[..], "measurement or tag is not UTF-8"),
        (b"m,a\xff=1 v=1", "measurement or tag is not UTF-8"),
        (b"m,a=\xff v=1", "measurement or tag is not UTF-8"),
        (b"m v\xff=1", "field key is not UTF-8"),
    ] {
        assert_eq!(Outcome::of(bad).reasons(), [reason]);
    }
    assert_eq!(Outcome::of(b"m v=\"\xff\" 1").points[0].strings, 1, "the string is dropped anyway");
}

#[test]
fn keys_and_lines_beyond_the_limits_are_refused() {
    let key = "a".repeat(65_526);
    assert_eq!(Outcome::of(format!("{key} value=1").as_bytes()).points.len(), 1);
    assert_eq!(Outcome::of(format!("{key} values=1").as_bytes()).reasons(), ["max key length exceeded: 65536 > 65535"]);
    let mut parser = Parser::new(10);
    parser.begin(Precision::Seconds, 0);
    let mut outcome = Outcome::default();
    outcome.add(&mut parser, b"m vv=1 123\r\nm vv=1 12\nm vvvvvvvvv=1\nm vv=1 123\n            \nm vv=1 1");
    assert_eq!(outcome.reasons(), ["line longer than 10 bytes"; 3]);
    assert_eq!(outcome.errors.iter().map(|e| e.0).collect::<Vec<_>>(), [1, 3, 5]);
    assert_eq!(outcome.points.len(), 3);
}

#[test]
fn a_guessed_precision_is_the_one_that_gives_a_time_between_1970_and_2128() {
    let body =
        b"m v=1 1700000000\nm v=1 1700000000000\nm v=1 1700000000000000\nm v=1 1700000000000000000\nm v=1 4999999999\n\
        m v=1 5000000000\nm v=1 -1700000000\nm v=1 0\nm v=1\nm v=1 -9223372036854775807\n#                    padding";
    let outcome = Outcome::with(body, Precision::Auto, 7_300_000_000_001);
    let times: Vec<_> = outcome.points.iter().map(|p| p.time).collect();
    let t = 1_700_000_000_000_000_000;
    let rest = [4_999_999_999_000_000_000, 5_000_000_000_000_000, -t, 0, 7_300_000_000_001];
    assert_eq!(times, [[t; 4].as_slice(), &rest].concat());
    assert_eq!(outcome.reasons(), ["time outside range"]);
}

#[test]
fn line_numbers_count_the_newlines_in_strings_and_go_on_in_the_next_chunk() {
    let mut parser = Parser::default();
    parser.begin(Precision::Seconds, 0);
    let mut outcome = Outcome::default();
    outcome.add(&mut parser, b"m s=\"a\nb\n\",v=1\nm v=x,s=\"a\nb\"\n\nm x\n");
    outcome.add(&mut parser, b"# c\nm y\n");
    assert_eq!(outcome.errors.iter().map(|e| e.0).collect::<Vec<_>>(), [4, 7, 9]);
}

#[test]
fn the_first_few_bad_lines_are_shown_shortened_and_the_rest_counted() {
    let mut rejected = Rejected::default();
    assert!(rejected.is_empty());
    let long = format!("{}é{}", "x".repeat(199), "y".repeat(300));
    for line_number in 1..=7 {
        let text = if line_number == 1 { long.as_bytes() } else { b"cpu \xffx" };
        rejected.add(&LineError { line_number, reason: Reason::MissingFields, text });
    }
    let text = rejected.to_string();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], format!("unable to parse '{}…': missing fields (line 1)", "x".repeat(199)));
    assert_eq!(lines[1], "unable to parse 'cpu \u{fffd}x': missing fields (line 2)");
    assert_eq!((lines.len(), lines[5]), (6, "and 2 more bad lines"));
    assert_eq!(rejected.count(), 7);
}

#[test]
fn a_line_finds_its_shape_again_and_order_strings_and_measurement_tell_shapes_apart() {
    let body = b"a x=1,y=2\na,t=1 x=3i,y=t\na y=1,x=2\na x=1,y=\"\"\nab x=1,y=2\na x=1,y=2,z=3\na x=7,y=8 5";
    let mut parser = Parser::default();
    for _ in 0..2 {
        parser.begin(Precision::Seconds, 0);
        let mut lines = parser.lines(body);
        let mut shapes = Vec::new();
        while let Some(line) = lines.next_line() {
            shapes.push(line.unwrap().shape.0);
        }
        assert_eq!(shapes, [0, 0, 1, 2, 3, 4, 0]);
    }
}

#[test]
fn a_full_shape_table_starts_over_and_says_so() {
    let mut parser = Parser::default();
    parser.begin(Precision::Seconds, 0);
    for index in 0..2 * SHAPES_MAX + 1 {
        let text = format!("m v{index}=1,w={index} 1451606400\n");
        let mut lines = parser.lines(text.as_bytes());
        let line = lines.next_line().unwrap().unwrap();
        assert_eq!((line.generation() as usize, line.shape.0 as usize), (index / SHAPES_MAX, index % SHAPES_MAX));
        assert_eq!((&*line.shape().fields()[0], line.values[1]), (&*format!("v{index}"), index as f64));
    }
    let huge = (0..30_000).map(|index| format!("{index}=1")).collect::<Vec<_>>().join(",");
    for round in 0..3 {
        let text = format!("m{round} {huge}\n");
        let mut lines = parser.lines(text.as_bytes());
        assert_eq!(lines.next_line().unwrap().unwrap().values.len(), 30_000);
    }
    assert_eq!(parser.generation(), 5, "three huge shapes do not fit together");
}
