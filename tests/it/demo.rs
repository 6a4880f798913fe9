//! `plimsoll demo --exit`, and its numbers: computed here once more from the input file, by other code than the engine's.

use std::{collections::BTreeMap, io::Read, process::Command};

use crate::common::PLIMSOLL;

const START: i64 = 1_795_154_400;
const FIRST_STEP: i64 = START + 30 * 60;
const LAST_STEP: i64 = START + 6 * 3600;
const STEP: i64 = 30 * 60;

/// Samples of one series: Unix seconds and values.
type Samples = Vec<(i64, f64)>;

/// Field and tags, by hand: the file has no escapes and no strings.
type Series = BTreeMap<(String, BTreeMap<String, String>), Samples>;

fn input() -> Series {
    let packed = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/demo.lp.gz")).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(&*packed).read_to_string(&mut text).unwrap();
    let mut all = Series::new();
    for line in text.lines() {
        let [key, fields, time] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let (measurement, tags) = key.split_once(',').unwrap();
        let pair = |text: &str| text.split_once('=').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        let tags: BTreeMap<_, _> = tags.split(',').map(pair).collect();
        for (field, value) in fields.split(',').map(pair) {
            let value = value.trim_end_matches('i').parse().unwrap();
            let name = (format!("{measurement}_{field}"), tags.clone());
            all.entry(name).or_default().push((time.parse().unwrap(), value));
        }
    }
    all
}

/// The samples in `(time - seconds, time]`.
fn window(samples: &Samples, time: i64, seconds: i64) -> &[(i64, f64)] {
    let from = samples.partition_point(|(t, _)| *t <= time - seconds);
    let to = samples.partition_point(|(t, _)| *t <= time);
    &samples[from..to]
}

/// Prometheus's rate: growth over the window with resets made good, stretched to the window's ends where the samples
/// come close to them.
fn rate(samples: &[(i64, f64)], time: i64, seconds: i64) -> Option<f64> {
    let (first, last) = (samples.first()?, samples.last()?);
    let resets: f64 = samples.windows(2).filter(|pair| pair[1].1 < pair[0].1).map(|pair| pair[0].1).sum();
    let grown = last.1 - first.1 + resets;
    let sampled = (last.0 - first.0) as f64;
    let between = sampled / (samples.len() - 1) as f64;
    let near = |gap: f64| if gap >= between * 1.1 { between / 2.0 } else { gap };
    let mut before = near((first.0 - (time - seconds)) as f64);
    let after = near((time - last.0) as f64);
    if grown > 0.0 {
        before = before.min(sampled * first.1 / grown);
    }
    Some(grown * (sampled + before + after) / sampled / seconds as f64)
}

/// Group, step, value: `None` where the answer has no sample.
type Table = BTreeMap<(String, i64), f64>;

fn grouped(
    input: &Series,
    metric: &str,
    labels: &[&str],
    value: impl Fn(&Samples, i64) -> Option<f64>,
    join: impl Fn(f64, f64) -> f64,
) -> Table {
    let mut table = Table::new();
    for ((name, tags), samples) in input {
        if name != metric {
            continue;
        }
        let group: Vec<_> = labels.iter().map(|label| format!("{label}={:?}", tags[*label])).collect();
        for time in (FIRST_STEP..=LAST_STEP).step_by(STEP as usize) {
            if let Some(value) = value(samples, time) {
                let cell = table.entry((format!("{{{}}}", group.join(", ")), time)).or_insert(f64::NAN);
                *cell = if cell.is_nan() { value } else { join(*cell, value) };
            }
        }
    }
    table
}

/// The first table after `title` in the demo's output.
fn printed(output: &str, title: &str) -> Table {
    let at = output.find(title).unwrap_or_else(|| panic!("no {title:?} in\n{output}"));
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    let mut columns: Vec<(usize, String)> = Vec::new();
    let mut table = Table::new();
    for line in output[at..].lines().skip(3) {
        if let Some((letter, name)) = line.trim_start().split_once(" = ") {
            names.insert(letter.to_owned(), name.to_owned());
        } else if line.starts_with("time ") {
            // Columns are right-aligned: a cell ends where its letter does.
            let ends = line.char_indices().filter(|(_, c)| c.is_ascii_uppercase()).map(|(i, c)| (i + 1, c.to_string()));
            columns = ends.collect();
        } else if line.starts_with("2026-") {
            let time: jiff::Timestamp = format!("{}Z", line[..19].replace(' ', "T")).parse().unwrap();
            for (end, letter) in &columns {
                let cell = line.get(..*end).and_then(|l| l[19..].rsplit(' ').next()).unwrap_or("");
                if !cell.is_empty() {
                    table.insert((names[letter].clone(), time.as_second()), cell.parse().unwrap());
                }
            }
        } else if !line.starts_with("---") {
            break;
        }
    }
    table
}

/// Equal to the six digits that are printed.
fn assert_same(printed: &Table, expected: &Table, title: &str) {
    assert_eq!(printed.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{title}");
    for (key, value) in expected {
        let difference = (printed[key] - value).abs();
        assert!(difference <= value.abs() * 6e-6, "{title}: {key:?} is {}, not {value}", printed[key]);
    }
}

#[test]
fn the_demo_shows_the_numbers_that_are_in_its_file() {
    let demo = Command::new(PLIMSOLL).args(["demo", "--exit", "--listen", "127.0.0.1:0"]).output().unwrap();
    let (output, errors) =
        (String::from_utf8(demo.stdout).unwrap(), String::from_utf8_lossy(&demo.stderr).into_owned());
    assert!(demo.status.success(), "{output}\n{errors}");
    let input = input();

    let title = "How busy is the busiest host";
    let mean = |samples: &Samples, time| {
        let window = window(samples, time, 1800);
        (!window.is_empty()).then(|| window.iter().map(|(_, v)| v).sum::<f64>() / window.len() as f64)
    };
    let busy = grouped(&input, "cpu_usage_user", &["role"], mean, f64::max);
    assert_same(&printed(&output, title), &busy, title);
    let hottest = busy[&("{role=\"web\"}".to_owned(), START + 7 * 1800)];
    assert!(hottest > 80.0, "web-07 runs hot in the file, too: {hottest}");

    let title = "How much does each region send";
    let sent = |samples: &Samples, time| rate(window(samples, time, 600), time, 600);
    let sent = grouped(&input, "net_bytes_sent", &["region"], sent, |a, b| a + b);
    assert_same(&printed(&output, title), &sent, title);

    let title = "Which disks are filling up";
    let last = |samples: &Samples, time| window(samples, time, 300).last().map(|(_, value)| *value);
    let mut full = grouped(&input, "disk_used_percent", &["host", "path"], last, f64::max);
    full.retain(|_, percent| *percent > 80.0);
    assert_same(&printed(&output, title), &full, title);
    assert!(!full.is_empty());

    let total: usize = input.values().map(Vec::len).sum();
    assert!(output.contains(&format!(" {total} samples of 24 hosts")), "{total} samples are in the file:\n{output}");
    losses_are_plausible(&output, total as u64);
}

/// What would have been lost is never more than what was acknowledged, was something at some time (the mode is
/// `parts=1s`), and is nothing at the end.
fn losses_are_plausible(output: &str, total: u64) {
    let at = output.find("What a crash would have taken").unwrap();
    let rows: Vec<Vec<u64>> = output[at..]
        .lines()
        .filter_map(|line| line.split_once(" s "))
        .map(|(_, numbers)| numbers.split_whitespace().filter_map(|number| number.parse().ok()).collect())
        .filter(|row: &Vec<u64>| row.len() == 3)
        .collect();
    assert!(rows.len() >= 10, "{output}");
    for row in &rows {
        assert!(row[1] <= row[2] && row[2] <= row[0], "{row:?}");
    }
    assert!(rows.iter().any(|row| row[2] > 0), "{rows:?}");
    assert_eq!(rows.last().unwrap()[..], [total, 0, 0]);
}
