use crate::promql::{
    ast::Node,
    is_utf8,
    lexer::{duration_nanos, number_value, quote_char, unquote},
    parse, quote,
};

#[test]
fn numbers_follow_go() {
    for (text, value) in [
        ("1", 1.0),
        ("2.", 2.0),
        (".5", 0.5),
        ("12.34e-6", 12.34e-6),
        ("1_000.5_0", 1000.5),
        ("0x1f", 31.0),
        ("0X_FF", 255.0),
        ("010", 8.0),
        ("08", 8.0),
        ("Inf", f64::INFINITY),
    ] {
        assert_eq!(number_value(text), Ok(value), "{text}");
        assert!(matches!(parse(text).unwrap().node, Node::Number(parsed) if parsed.value == value), "{text}");
    }
    assert!(matches!(parse("nAn").unwrap().node, Node::Number(number) if number.value.is_nan()));
    assert!(number_value("0xffffffffffffffff").is_err());
    assert!(number_value("1e999").is_err());
}

#[test]
fn durations_have_falling_units() {
    for (text, seconds) in [("5m", 300.0), ("1h30m", 5400.0), ("1y2w3d4h5m6s7ms", 33_019_506.007), ("0s", 0.0)] {
        assert_eq!(duration_nanos(text).map(|nanos| nanos as f64 / 1e9), Ok(seconds), "{text}");
    }
    for text in ["5m1h", "1m1m", "1ms1s"] {
        assert_eq!(duration_nanos(text), Err(format!("not a valid duration string: {text:?}")));
    }
    assert_eq!(duration_nanos("300y"), Err("duration out of range".to_owned()));
    assert_eq!(duration_nanos("9999999999999999999s"), Err("duration out of range".to_owned()));
}

#[test]
fn strings_unescape_like_go() {
    assert_eq!(unquote(r#""a\n\t\\\"\x41\101\u00e4\U0001F600\xc3\xa4""#).unwrap(), "a\n\t\\\"AA\u{e4}\u{1f600}\u{e4}");
    assert_eq!(unquote(r"'it\'s'").unwrap(), "it's");
    assert_eq!(unquote(r"`raw\n`").unwrap(), r"raw\n");
    for bad in [r#""\q""#, r#""\'""#, r#""\x4""#, r#""\ud800""#, r#""\400""#, r#""\U00110000""#] {
        assert!(unquote(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_quoted_text_unquotes_to_itself() {
    let text = "\u{0}\u{7}\u{7f}\"'`\\ \n\r\t ä \u{1f600}";
    assert_eq!(unquote(&quote(text)).unwrap(), text);
}

#[test]
fn texts_are_quoted_as_by_go() {
    assert_eq!(quote("\u{7}\u{8}\u{c}\n\r\t\u{b}\u{1}\u{7f}\"'\\"), r#""\a\b\f\n\r\t\v\x01\x7f\"'\\""#);
    assert_eq!(quote("\u{80}\u{a0}\u{200b}\u{feff}\u{e0001}"), r#""\u0080\u00a0\u200b\ufeff\U000e0001""#);
    assert_eq!(quote("e\u{301} \u{e4} \u{1f600} \u{fffd}"), "\"e\u{301} \u{e4} \u{1f600} \u{fffd}\"");
    assert_eq!(
        ["'", "\"", "\\", "\u{301}", "\0"].map(|c| quote_char(c.chars().next().unwrap())).join(" "),
        "'\\'' '\"' '\\\\' '\u{301}' '\\x00'"
    );
}

#[test]
fn bytes_that_are_no_text_are_kept_and_told_apart() {
    let text = unquote(r#""a\xc5z\xff\xc3\xa4""#).unwrap();
    assert_eq!(quote(&text), "\"a\\xc5z\\xff\u{e4}\"");
    assert!(!is_utf8(&text));
    assert!(is_utf8("a\u{e4}\u{fdd0} \u{fde0}"));
    let error = parse(r#"sum by ("\xff") (x)"#).unwrap_err();
    assert_eq!(error.message, r#"invalid label name for grouping: "\xff""#);
}

#[test]
fn comments_and_blanks_mean_nothing() {
    let plain = parse("sum(up{a=\"b\"}[5m:1m])").map(|expr| expr.to_string());
    let spaced = parse("# first\nsum ( # second\n up { a = \"b\" , # third\n } [ 5m # fourth\n :\t1m ]\r\n) # last");
    // Both fail, and for the same reason: the aggregation of a range.
    assert_eq!(plain.unwrap_err().message, spaced.unwrap_err().message);
    assert_eq!(parse("up # x").unwrap(), parse("up").unwrap());
}

#[test]
fn a_colon_belongs_to_a_metric_name_outside_of_brackets_only() {
    assert_eq!(parse("a:b:c").unwrap().to_string(), "a:b:c");
    assert_eq!(parse(":a").unwrap().to_string(), ":a");
    assert_eq!(parse("m[1h:5m]").unwrap().to_string(), "m[1h:5m]");
    assert_eq!(parse("m{a:b=\"x\"}").unwrap_err().message, "unexpected character inside braces: ':'");
}
