//! `plimsoll crashtest` as users run it.

use std::process::{Command, Output};

use crate::common::PLIMSOLL;

fn crashtest(arguments: &[&str]) -> Output {
    Command::new(PLIMSOLL).arg("crashtest").args(arguments).output().unwrap()
}

/// The cells of a mode's row.
fn row<'a>(report: &'a str, mode: &str) -> Vec<&'a str> {
    let row = report.lines().find(|line| line.starts_with(mode) && !line.contains(':'));
    row.unwrap_or_else(|| panic!("no row of {mode} in\n{report}"))
        .split("  ")
        .map(str::trim)
        .filter(|c| !c.is_empty())
        .collect()
}

#[test]
fn both_schools_keep_their_promises_through_crash_after_crash() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    // No round is longer than the window of a second, so that a slow machine breaks no promise.
    let flags = ["--mode", "wal-sync", "--mode", "parts=1s", "--duration", "3s", "--rounds", "3", "--seed", "1"];
    let output = crashtest(&[flags.as_slice(), &["--data", data.to_str().unwrap()]].concat());
    let report = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{report}\n{}", String::from_utf8_lossy(&output.stderr));
    for mode in ["wal-sync", "parts=1s"] {
        let row = row(&report, mode);
        assert_eq!((row[1], row.last()), ("3", Some(&"ok")), "{report}");
        let acknowledged = row[4..7].iter().filter_map(|level| level.split(" of ").nth(1)?.parse::<u64>().ok());
        assert!(acknowledged.sum::<u64>() > 0, "{report}");
    }
    let wal_sync = row(&report, "wal-sync");
    assert!(wal_sync[4..7].iter().all(|level| level.starts_with("0 of") || *level == "-"), "{report}");
    assert_eq!(wal_sync[7..9], ["0 ms", "0 ms"], "{report}");
    assert!(report.contains("and 0 that were promised more"), "{report}");
    assert!(report.contains("Every mode kept its promise through 6 crashes"), "{report}");
    assert!(data.join("01-wal-sync").is_dir() && data.join("02-parts-1s").is_dir(), "a given directory is kept");
}

#[test]
fn a_directory_that_holds_something_is_left_alone() {
    let output = crashtest(&["--data", env!("CARGO_MANIFEST_DIR")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("is not empty"));
}
