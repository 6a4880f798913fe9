use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*};

use super::*;

proptest! {
    #[test]
    fn labels_are_a_sorted_map(
        sets in vec(("[A-b]{0,2}", prop_oneof!["[a-c]{0,3}", "é{30,70}", "x{62,66}", "y{4094,4098}"]), 0..12),
        others in vec(("[A-b]{0,2}", "[a-c]{0,3}"), 0..6),
        removed in "[A-b]{0,2}",
    ) {
        let map_of = |pairs: &[(String, String)]| {
            let mut map = BTreeMap::new();
            for (name, value) in pairs {
                match value.is_empty() {
                    true => map.remove(name),
                    false => map.insert(name.clone(), value.clone()),
                };
            }
            map
        };
        let (mut map, other_map) = (map_of(&sets), map_of(&others));
        let (labels, other): (Labels, Labels) = (sets.iter().cloned().collect(), others.iter().cloned().collect());
        let pairs = |map: &BTreeMap<String, String>| map.clone().into_iter().collect::<Vec<_>>();
        let of = |labels: &Labels| labels.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect::<Vec<_>>();
        prop_assert_eq!(of(&labels), pairs(&map));
        prop_assert_eq!(labels.len(), map.len());
        prop_assert_eq!(labels.get(&removed), map.get(&removed).map_or("", String::as_str));
        prop_assert_eq!(labels.cmp(&other), pairs(&map).cmp(&pairs(&other_map)));
        prop_assert_eq!(labels == other, map == other_map);
        prop_assert_eq!(of(&labels.filtered(|name| name != removed)), pairs(&{ map.remove(&removed); map.clone() }));
        let mut builder = labels.to_builder();
        builder.remove(&removed);
        prop_assert_eq!(of(&builder.build()), pairs(&map));
    }
}

#[test]
fn labels_are_sorted_and_an_empty_value_removes_a_label() {
    let mut builder = Labels::from([("b", "2"), ("a", "1"), ("c", "")]).to_builder();
    builder.set("a", "").set("__name__", "up");
    let labels = builder.build();
    assert_eq!(labels.to_string(), "up{b=\"2\"}");
    assert_eq!(labels.get("a"), "");
}

#[test]
fn regex_matchers_are_anchored_and_dot_matches_newlines() {
    let matcher = Matcher::new("a", MatchOp::Regex, "x|y.z").unwrap();
    assert!(matcher.matches("x") && matcher.matches("y\nz"));
    assert!(!matcher.matches("xx") && !matcher.matches("ay z"));
    assert!(Matcher::new("a", MatchOp::NotRegex, ".+").unwrap().matches_empty());
    assert!(Matcher::new("a", MatchOp::Regex, "(").is_err());
}

#[test]
fn a_stream_key_survives_its_bytes_and_names_its_series() {
    let key = StreamKey::new("cpu", [("region", "eu"), ("host", "a"), ("empty", "")]).unwrap();
    assert_eq!(StreamKey::from_bytes(key.as_bytes()), Ok(key.clone()));
    assert_eq!(key.tags().collect::<Vec<_>>(), [("host", "a"), ("region", "eu")]);
    assert_eq!(key.labels("usage").to_string(), "cpu_usage{host=\"a\", region=\"eu\"}");
    assert_eq!(key.labels("value").metric(), "cpu");
    assert_eq!(StreamKey::new("m", [("a", "1"), ("a", "2")]), Err(KeyError::DuplicateTag("a".into())));
    for cut in 1..key.as_bytes().len() {
        let _ = StreamKey::from_bytes(&key.as_bytes()[..cut]);
    }
    assert_eq!(StreamKey::from_bytes(&[200]), Err(KeyError::Damaged));
}

#[test]
fn days_round_down_and_parse_their_own_names() {
    assert_eq!(Day::of(-1), Day(-1));
    assert_eq!(Day::of(0).to_string(), "1970-01-01");
    assert_eq!(Day::parse("2016-01-01"), Some(Day::of(1_451_606_400_000_000_000)));
    assert_eq!(Day::parse("2016-1-1"), None);
    assert!(Day(0).range().contains(0) && !Day(0).range().contains(NANOS_PER_DAY));
}

#[test]
fn merging_runs_keeps_the_latest_of_equal_times() {
    let run = |pairs: &[(i64, f64)]| {
        let (times, values) = pairs.iter().copied().unzip();
        Samples { times, values }
    };
    let merged = Samples::merge(vec![
        run(&[(1, 1.0), (3, 1.0), (5, 1.0)]),
        run(&[(3, 2.0), (4, 2.0)]),
        run(&[]),
        run(&[(0, 3.0), (4, 3.0), (9, 3.0)]),
    ]);
    assert_eq!(merged, run(&[(0, 3.0), (1, 1.0), (3, 2.0), (4, 3.0), (5, 1.0), (9, 3.0)]));
}

#[test]
fn patterns_mean_what_re2_means_by_them() {
    for (pattern, matching, other) in [
        ("a.b", "a\nb", "ab"),
        ("a|b", "b", "ab"),
        ("{foo}", "{foo}", "foo"),
        ("a{,2}", "a{,2}", "aa"),
        ("a{2}", "aa", "a"),
        ("a{1,}", "aaa", ""),
        (r"\d+", "12", "\u{663}"),
        (r"\w", "_", "\u{e4}"),
        (r"\W", "\u{e4}", "a"),
        (r"[^\d]", "x", "1"),
        (r"[\W_]", "_", "a"),
        (r"\s", " ", "\u{a0}"),
        (r"\Qa.b*\E+", "a.b**", "axb"),
        (r"\Q(", "(", ""),
        (r"\101", "A", "101"),
        (r"\<a\>", "<a>", "a"),
        ("[[]", "[", "]"),
        ("[]a]", "]", "["),
        ("[a&&b]", "&", "c"),
        ("[a~~b]", "~", "c"),
        ("[+--]", ",", "a"),
        ("[[:alpha:]]", "x", "1"),
        (r"\pL", "\u{e4}", "1"),
        ("(?i)abc", "ABC", "x"),
        (r"a\.b", "a.b", "axb"),
        (r"\bab\b", "ab", "abc"),
        ("a{01}", "a{01}", "a"),
        ("(a{20}){50}|b", "b", "a"),
        ("^*a??b", "b", "c"),
        (r"[\d-z]", "-", "b"),
        (r"\x41\x{42}\t", "AB\t", "AB"),
        (r"[\x41-\x{43}]", "B", "D"),
        (r"\p{^L}\P{^L}\P{L}", "1a1", "a1a"),
        ("(?)a(?i:B)(?P<n>c)(?<m>d)", "abcd", "aBCd"),
        ("(?s-i)a", "a", "A"),
        (r"(\Q\E|)a", "a", "b"),
        (r"\p{Old_Italic}|\p{Greek}|\p{Greek}a|\p{^Lu}b", "\u{3b1}a", "Ab"),
        ("^a$", "a", "^a$"),
        (r"^a\$", "a$", "a"),
        ("a|$", "", "$"),
        ("a$|b", "a", "a$"),
        (r"a\\|b\.c", r"a\", "bxc"),
        ("x(a|b)y", "xby", "ab"),
        ("x(?:a|)y", "xy", "x"),
        ("x(a|b)y|z", "z", "xay|z"),
        ("x(a(b|c))", "xac", "xa"),
        ("x|(a|b)", "b", "xa"),
        ("()", "", "()"),
        ("(?i:a|b)", "B", "c"),
        ("a]|b}", "a]", "a"),
        ("\u{e4}(\u{df}|b)", "\u{e4}\u{df}", "\u{e4}"),
    ] {
        let matcher = Matcher::new("label", MatchOp::Regex, pattern).unwrap_or_else(|error| panic!("{error}"));
        assert!(matcher.matches(matching), "{pattern} does not match {matching:?}");
        assert!(!matcher.matches(other), "{pattern} matches {other:?}");
    }
}

#[test]
fn what_is_no_pattern_is_refused_in_the_words_of_re2() {
    for (pattern, reason, part) in [
        ("(", "missing closing )", "("),
        ("a(b|c", "missing closing )", "a(b|c"),
        (")", "unexpected )", ")"),
        ("a)(b", "unexpected )", "a)(b"),
        ("a[b", "missing closing ]", "[b"),
        ("a[^]", "missing closing ]", "[^]"),
        ("[a-", "missing closing ]", "[a-"),
        (r"a\", "trailing backslash at end of expression", ""),
        (r"a\8b", "invalid escape sequence", r"\8"),
        (r"\1", "invalid escape sequence", r"\1"),
        (r"x\C", "invalid escape sequence", r"\C"),
        (r"\E", "invalid escape sequence", r"\E"),
        (r"[\b]", "invalid escape sequence", r"\b"),
        (r"\xg1z", "invalid escape sequence", r"\xg1"),
        (r"\x{110000}", "invalid escape sequence", r"\x{110000"),
        (r"\x4", "invalid escape sequence", r"\x4"),
        ("\\\u{e4}", "invalid escape sequence", "\\\u{e4}"),
        ("*a", "missing argument to repetition operator", "*"),
        ("a|+?b", "missing argument to repetition operator", "+?"),
        ("(?:{2}b)", "missing argument to repetition operator", "{2}"),
        ("(?i)?", "missing argument to repetition operator", "?"),
        ("a**b", "invalid nested repetition operator", "**"),
        ("a{2}?+?", "invalid nested repetition operator", "{2}?+?"),
        ("a{1001}", "invalid repeat count", "{1001}"),
        ("a{2,1}", "invalid repeat count", "{2,1}"),
        ("a{99999999999}", "invalid repeat count", "{99999999999}"),
        ("(x(ab{20}){20}){3}", "invalid repeat count", "{3}"),
        ("[b-a]", "invalid character class range", "b-a"),
        (r"[\n-\t]", "invalid character class range", r"\n-\t"),
        ("[[:foo:]]", "invalid character class range", "[:foo:]"),
        (r"\pQ", "invalid character class range", r"\pQ"),
        (r"[\p{Nope}]", "invalid character class range", r"\p{Nope}"),
        (r"\p{Gre", "invalid character class range", r"\p{Gre"),
        (r"\p{greek}", "invalid character class range", r"\p{greek}"),
        (r"\p{gc=Lu}", "invalid character class range", r"\p{gc=Lu}"),
        (r"\p{}", "invalid character class range", r"\p{}"),
        ("a|b)", "unexpected )", "a|b)"),
        ("x(a|b", "missing closing )", "x(a|b"),
        ("(?=a)", "invalid or unsupported Perl syntax", "(?="),
        ("(?i-)", "invalid or unsupported Perl syntax", "(?i-)"),
        ("(?x)", "invalid or unsupported Perl syntax", "(?x"),
        ("(?<=a)", "invalid named capture", "(?<=a)"),
        ("(?P<n!>a)", "invalid named capture", "(?P<n!>"),
        ("(?P<n>a", "missing closing )", "(?P<n>a"),
        (r"(\pL{100}){9}", "expression too large", r"(\pL{100}){9}"),
    ] {
        let error = anchored_regex(pattern).map(|_| pattern).unwrap_err().to_string();
        assert_eq!(error, format!("error parsing regexp: {reason}: `{part}`"), "{pattern}");
    }
}

#[test]
fn patterns_that_are_words_are_listed_and_others_are_not() {
    let listed = |pattern: &str| {
        let matcher = Matcher::new("label", MatchOp::Regex, pattern).unwrap();
        matcher.listed().map(|words| words.join(","))
    };
    let words = |words: &str| Some(words.to_owned());
    assert_eq!(listed("b|a|b"), words("a,b"));
    assert_eq!(listed("^node_(cpu|disk)_total$"), words("node_cpu_total,node_disk_total"));
    assert_eq!(listed(r"(?:10\.0\.0\.1|)"), words(",10.0.0.1"));
    for pattern in ["a.b", "a*", "(a|b)(c|d)", "a(b|c)|d", "(?i)a", r"\d", r"\Qa\E", "[a]", "a{2}", "(^a|b)"] {
        assert_eq!(listed(pattern), None, "{pattern}");
    }
    let long = format!("{}({})", "x".repeat(5_000), vec!["y"; 1_000].join("|"));
    assert_eq!(listed(&long), None, "the words would be far longer than the pattern");
    assert_eq!(Matcher::equal("label", "a|b").listed(), Some(vec!["a|b"]));
}

#[test]
fn thousands_of_names_are_a_pattern_and_many_classes_are_read_at_once() {
    let names = |count: usize, size: usize, end: &str| {
        let names: Vec<_> = (0..count).map(|i| format!("{i:0>size$}{end}")).collect();
        names.join("|")
    };
    for (count, size, end) in [(5_000, 60, ""), (20_000, 20, ""), (5_000, 60, ".*"), (20_000, 20, "_[ab]")] {
        let matcher = Matcher::new("label", MatchOp::Regex, names(count, size, end)).unwrap();
        let name = format!("{:0>size$}", count / 2);
        assert_eq!(matcher.matches(&name), end != "_[ab]", "{count} names and {end:?}");
        assert_eq!(matcher.matches(&(name + "_a")), !end.is_empty(), "{count} names and {end:?}");
        assert!(!matcher.matches("x"));
    }
    // Refused for its size, but not before each class was looked at.
    let classes = Matcher::new("label", MatchOp::Regex, r"\p{Greek}".repeat(50_000));
    assert!(classes.is_err_and(|error| error.to_string().contains("expression too large")));
}

#[test]
fn an_append_table_keeps_every_entry_in_its_place_while_it_grows() {
    let mut table = AppendTable::<std::sync::OnceLock<usize>>::default();
    assert!(table.get(0).is_none());
    for index in 0..5_000 {
        assert_eq!(table.get_or_grow(index).set(index), Ok(()), "the place was free");
    }
    assert!((0..5_000).all(|index| table.get(index).and_then(|entry| entry.get()) == Some(&index)));
    assert_eq!(table.drain().filter_map(|mut entry| entry.take()).collect::<Vec<_>>(), (0..5_000).collect::<Vec<_>>());
    assert!(table.get(0).is_none());
}

#[test]
fn a_position_is_its_text_and_other_texts_are_none() {
    let position = Position { incarnation: 3, number: SeqNo(17) };
    assert_eq!((position.to_string().as_str(), "3/17".parse()), ("3/17", Ok(position)));
    for text in ["", "3", "/", "3/", "/17", "3/17/1", "-3/17", "3/+17", " 3/17", "4294967296/1", "a/b"] {
        assert!(text.parse::<Position>().is_err(), "{text:?}");
    }
}
