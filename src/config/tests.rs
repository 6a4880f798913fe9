use std::{ffi::OsString, time::Duration};

use super::*;
use crate::durability::Mode;

fn parse_line(line: &[&str]) -> Result<(Command, Vec<(String, String)>), Error> {
    parse(std::iter::once("plimsoll").chain(line.iter().copied()).map(OsString::from).collect())
}

fn serve(line: &[&str]) -> ServeFlags {
    match parse_line(line).unwrap().0 {
        Command::Serve(flags) => *flags,
        other => panic!("{other:?} is not serve"),
    }
}

#[allow(clippy::disallowed_methods)] // a person's file, not the database's
fn with_file(text: &str, line: &[&str]) -> Result<(Command, Vec<(String, String)>), Error> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("plimsoll.toml");
    std::fs::write(&path, text).unwrap();
    parse_line(&[&["--config", path.to_str().unwrap()], line].concat())
}

#[test]
fn features_may_be_given_in_one_flag_or_several() {
    let line = ["--enable-feature=promql-duration-expr,type-and-unit-labels", "--enable-feature=use-start-timestamps"];
    let features = serve(&line).http(Vec::new()).features;
    let settings = parse_line(&line).unwrap().1;
    let enabled: Vec<_> = features.iter().filter(|(_, enabled)| *enabled).map(|(name, _)| name).collect();
    assert_eq!(enabled, ["promql-duration-expr", "type-and-unit-labels", "use-start-timestamps"]);
    let shown = settings.iter().find(|(name, _)| name == "enable-feature").map(|(_, value)| &value[..]);
    assert_eq!(shown, Some("promql-duration-expr,type-and-unit-labels,use-start-timestamps"));
    assert!(parse_line(&["--enable-feature=nope"]).is_err());
}

#[test]
fn sizes_and_durations_have_units() {
    assert_eq!(
        (size("4096"), size("64KiB"), size("25 mib"), size("1GB")),
        (Ok(4096), Ok(65_536), Ok(25 << 20), Ok(1_000_000_000))
    );
    for bad in ["", "MiB", "-1", "1.5MiB", "1XB", "99999999999GiB"] {
        assert!(size(bad).unwrap_err().contains(bad), "{bad}");
    }
    assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
    assert!(duration("5").unwrap_err().contains("5s"));
}

#[test]
fn a_retention_is_an_age_and_not_nothing() {
    assert_eq!(serve(&[]).engine().retention, None);
    assert_eq!(serve(&["--retention", "30d"]).engine().retention, Some(Duration::from_hours(24 * 30)));
    for bad in ["0", "0d", "30", "forever"] {
        assert!(parse_line(&["--retention", bad]).unwrap_err().to_string().contains("30d"), "{bad}");
    }
}

#[test]
fn a_log_smaller_than_a_segment_is_refused_with_the_smallest_size_there_is() {
    assert_eq!(wal_size("32MiB"), Ok(32 << 20));
    for small in ["0", "32767KiB"] {
        let error = parse_line(&["--wal-size-max", small]).unwrap_err().to_string();
        assert!(error.contains("--wal-size-max") && error.contains("the smallest is 32MiB"), "{error}");
    }
}

#[test]
fn a_memtable_of_a_few_chunks_is_refused_with_the_smallest_size_there_is() {
    assert_eq!(serve(&["--memtable-size", "4MiB"]).engine().generation_size, 4 << 20);
    for (flag, small, smallest) in [("--memtable-size", "4095KiB", "4MiB"), ("--memory-size-max", "15MiB", "16MiB")] {
        let error = parse_line(&[flag, small]).unwrap_err().to_string();
        assert!(error.contains(flag) && error.contains(&format!("the smallest is {smallest}")), "{error}");
    }
}

#[test]
fn an_address_may_leave_out_its_host() {
    assert_eq!(listen(":80").unwrap().0, ["0.0.0.0:80".parse().unwrap()]);
    assert_eq!(listen("[::1]:80").unwrap().0, ["[::1]:80".parse().unwrap()]);
    assert!(listen("8086").unwrap_err().contains("127.0.0.1:8086"));
}

#[test]
fn serve_is_what_runs_when_nothing_is_said_and_has_its_flags_there_too() {
    assert_eq!(serve(&[]).durability, Mode::WalSync);
    assert_eq!(serve(&["--durability", "parts=2s"]).durability, Mode::Parts(Duration::from_secs(2)));
    assert_eq!(serve(&["serve", "--data", "x"]).data.to_str(), Some("x"));
    let error = parse_line(&["--durability", "hope"]).unwrap_err().to_string();
    assert!(error.contains("hope") && error.contains("wal-sync"), "{error}");
}

#[test]
fn a_file_holds_the_same_settings_and_a_flag_wins() {
    let text = "durability = \"parts=3s\"\nbody-size-max = \"1MiB\"\nqueries-max = 3\nno-db-label = true\n";
    let (command, settings) = with_file(text, &["--queries-max", "5"]).unwrap();
    let Command::Serve(flags) = command else { panic!("not serve") };
    assert_eq!((flags.body_size_max, flags.queries_max, flags.no_db_label), (1 << 20, 5, true));
    assert_eq!(flags.durability, Mode::Parts(Duration::from_secs(3)));
    let shown = |name: &str| settings.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    assert_eq!((shown("queries-max"), shown("lookback"), shown("no-db-label")), (Some("5"), Some("5m"), Some("true")));
}

#[test]
fn a_file_that_makes_no_sense_is_named_with_what_is_wrong() {
    for (text, part) in [
        ("durabilty = \"wal-sync\"", "unknown key \"durabilty\""),
        ("no_db_label = true", "it is spelled \"no-db-label\""),
        ("config = \"x\"", "unknown key \"config\""),
        ("durability = \"hope\"", "unknown durability mode \"hope\""),
        ("no-db-label = 1", "true or false"),
        ("listen = [1]", "not this array"),
        ("listen = ", "not valid TOML"),
    ] {
        let error = with_file(text, &[]).unwrap_err().to_string();
        assert!(error.contains(part) && error.contains("plimsoll.toml"), "{text} gives {error}");
    }
    let error = parse_line(&["--config", "/nowhere/x.toml"]).unwrap_err().to_string();
    assert!(error.contains("/nowhere/x.toml") && error.contains("No such file"), "{error}");
}
