use super::*;

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
