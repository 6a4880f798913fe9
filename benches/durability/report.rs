//! What a run says: its machine, its promises, its tables.

use std::{collections::BTreeMap, time::Instant};

use plimsoll::disk::{Disk, RealDisk};

pub(crate) use crate::markdown::Markdown as Report;
use crate::{
    cells::{FILES, Figures, Shape},
    process::{cpus, data_parent},
    servers::{Target, data_dir},
};

/// What every run of a cell gave, in rounds.
pub(crate) type Results = BTreeMap<Shape, Vec<(Target, Vec<Result<Figures, String>>)>>;

impl Report {
    /// What the figures depend on.
    pub(crate) fn preface(&mut self, command: &str) {
        self.line("# What durability costs\n");
        self.line(
            "Every figure is from the release binary, started as a child process on an empty directory and loaded over \
             HTTP on loopback; the loader shares the cores, unless it says otherwise. A line has 10 tags and 10 fields (10 samples). A cell whose \
             data did not all arrive gets no figure. Modes are interleaved, rounds are medians. `written` is what the kernel \
             counts as made dirty, in pages as large as it keeps them: up to a mebibyte of a log that was zeroed beforehand, of \
             which the device gets the few KiB that were written.\n",
        );
        let (device, kind) = disk();
        self.date_and_commit();
        self.line(&format!("- CPUs: {}", cpus()));
        self.line(&format!("- Disk: {kind} on {device}; {}", fsync_cost()));
        if runs_in_real_time() {
            self.line("- Scheduling: real-time priority, which keeps other processes of a shared machine out");
        }
        self.line(&format!("- Again: `{command}`"));
        if kind == "tmpfs" {
            self.line("\n**This is tmpfs, not a disk: nothing here says what a sync costs.**");
        }
    }

    /// How much of the machine was not ours: a figure means little where that is a lot.
    pub(crate) fn others(&mut self, results: &Results) {
        let shares =
            || results.values().flatten().flat_map(|(_, runs)| runs.iter().flatten()).map(|f| f.others * 100.0);
        let (median, most) = (median(shares()), shares().fold(0.0, f64::max));
        self.line(&format!(
            "- Other processes took {median:.0} % of the cores in the median cell, {most:.0} % at most"
        ));
    }

    /// The promises that can be read off the table.
    pub(crate) fn promises(&mut self, results: &Results) {
        let of_lines = |lines| Shape { lines, connections: 64, apart: false };
        let (single, bulk) = (of_lines(1), of_lines(1_000));
        let apart = Shape { apart: true, ..single };
        let ours = Target::Plimsoll("wal-sync".to_owned());
        let of = |shape: &Shape, target: &Target, f: fn(&Figures) -> f64| {
            let (_, runs) = results.get(shape)?.iter().find(|(other, _)| other == target)?;
            Some(median_of(runs, f)).filter(|value| value.is_finite())
        };
        let ratio = |shape, target: &Target, f| Some(of(shape, &ours, f)? / of(shape, target, f)?);
        let parts = Target::Plimsoll("parts=1s".to_owned());
        let packaged = Target::Influx { is_default: true };
        let no_logs = Target::Influx { is_default: false };
        let rows = [
            (
                "1 line, 64 connections: requests/s of `wal-sync` to VictoriaMetrics without a log",
                "≥ 1",
                ratio(&single, &Target::VictoriaMetrics, |f| f.requests),
                Some(1.0),
            ),
            (
                "the same, the loader on a core of its own",
                "≥ 1",
                ratio(&apart, &Target::VictoriaMetrics, |f| f.requests),
                Some(1.0),
            ),
            (
                "1 line, 64 connections: requests/s of `wal-sync` to InfluxDB 1.6, which answers after an fsync, too",
                "≥ 4",
                ratio(&single, &packaged, |f| f.requests),
                Some(4.0),
            ),
            ("the same, the loader on a core of its own", "≥ 4", ratio(&apart, &packaged, |f| f.requests), Some(4.0)),
            (
                "the same, and InfluxDB's logs of requests and of itself off",
                "",
                ratio(&apart, &no_logs, |f| f.requests),
                None,
            ),
            ("on shared cores, InfluxDB's logs off", "", ratio(&single, &no_logs, |f| f.requests), None),
            (
                "1,000 lines, 64 connections: CPU of `wal-sync` to `parts=1s`",
                "≤ 1.5",
                ratio(&bulk, &parts, |f| f.cpu_per_million),
                Some(-1.5),
            ),
        ];
        self.section("Promises");
        self.row(&["ratio", "promised", "measured", ""]);
        self.rule(4);
        for (name, promised, measured, bound) in rows {
            let kept = |ratio: f64, bound: f64| if bound > 0.0 { ratio >= bound } else { ratio <= -bound };
            let verdict = measured.zip(bound).map_or("", |(ratio, bound)| match kept(ratio, bound) {
                true => "kept",
                false => "**missed**",
            });
            let measured = measured.map_or("not measured".to_owned(), |ratio| format!("{ratio:.2}"));
            self.row(&[name, promised, &measured, verdict]);
        }
    }

    /// A table for speed and one for what it costs, for each shape of load.
    pub(crate) fn cells(&mut self, results: &Results) {
        for (shape, targets) in results {
            let lines = if shape.lines == 1 { "1 line".to_owned() } else { format!("{} lines", shape.lines) };
            let s = if shape.connections == 1 { "" } else { "s" };
            let apart = if shape.apart { ", the loader on a core of its own" } else { "" };
            self.section(&format!("{lines} a request, {} connection{s}{apart}", shape.connections));
            for (target, runs) in targets {
                if let Some(why) = runs.iter().find_map(|run| run.as_ref().err()) {
                    self.line(&format!("**No figure for {target}: {why}.**\n"));
                }
            }
            let sound: Vec<_> = targets.iter().filter(|(_, runs)| runs.iter().all(Result::is_ok)).collect();
            self.speed(&sound);
            self.line("");
            self.cost(&sound);
        }
    }

    fn speed(&mut self, targets: &[&(Target, Vec<Result<Figures, String>>)]) {
        self.row(&[
            "mode",
            "requests/s [min-max]",
            "M samples/s",
            "p50 ms",
            "p99 ms",
            "CPU-s / M samples",
            "µs CPU / request",
            "loader's",
            "refused",
        ]);
        self.rule(9);
        for (target, runs) in targets {
            let [min, max] = spread(runs, |f| f.requests);
            let median = |f: fn(&Figures) -> f64| median_of(runs, f);
            self.row(&[
                &target.to_string(),
                &format!("{:.0} [{min:.0}-{max:.0}]", median(|f| f.requests)),
                &format!("{:.2}", median(|f| f.samples) / 1e6),
                &format!("{:.2}", median(|f| f.p50)),
                &format!("{:.2}", median(|f| f.p99)),
                &format!("{:.3}", median(|f| f.cpu_per_million)),
                &format!("{:.1}", median(|f| f.cpu_per_request)),
                &format!("{:.1}", median(|f| f.loader_per_request)),
                &format!("{:.0}", median(|f| f.refused)),
            ]);
        }
    }

    fn cost(&mut self, targets: &[&(Target, Vec<Result<Figures, String>>)]) {
        self.row(&[
            "mode",
            "fsyncs/s: log",
            "container",
            "other",
            "requests an fsync",
            "stage B / sample",
            "written B / sample",
            "at risk, process: samples",
            "age ms",
            "at risk, power: samples",
            "age ms",
        ]);
        self.rule(11);
        for (target, runs) in targets.iter().filter(|(target, _)| matches!(target, Target::Plimsoll(_))) {
            let median = |f: fn(&Figures) -> f64| median_of(runs, f);
            let most = |f: fn(&Figures) -> f64| spread(runs, f)[1];
            self.row(&[
                &target.to_string(),
                &format!("{:.0}", median(|f| f.fsyncs[0])),
                &format!("{:.0}", median(|f| f.fsyncs[1])),
                &format!("{:.1}", median(|f| f.fsyncs[2..FILES.len()].iter().sum())),
                &finite(median(|f| f.requests_per_fsync), 1),
                &format!("{:.1}", median(|f| f.stage_bytes)),
                &format!("{:.1}", median(|f| f.disk_bytes)),
                &format!("{:.0}", most(|f| f.at_risk[0].0)),
                &format!("{:.0}", most(|f| f.at_risk[0].1) * 1e3),
                &format!("{:.0}", most(|f| f.at_risk[1].0)),
                &format!("{:.0}", most(|f| f.at_risk[1].1) * 1e3),
            ]);
        }
    }

    /// How long the syncs of all those runs took.
    pub(crate) fn histograms(&mut self, results: &Results) {
        let mut modes: BTreeMap<&Target, BTreeMap<u64, f64>> = BTreeMap::new();
        for (target, runs) in results.values().flatten() {
            for (bound, count) in runs.iter().flatten().flat_map(|figures| &figures.histogram) {
                *modes.entry(target).or_default().entry(bound.to_bits()).or_default() += count;
            }
        }
        let mut bounds: Vec<u64> = modes.values().flatten().filter(|(_, n)| **n > 0.0).map(|(b, _)| *b).collect();
        bounds.sort_unstable();
        bounds.dedup();
        self.section("How long these runs' syncs of log and container took");
        let heads = bounds.iter().map(|bound| format!("≤ {}", micros(f64::from_bits(*bound))));
        let heads: Vec<_> = ["mode".to_owned(), "syncs".to_owned()].into_iter().chain(heads).collect();
        self.row(&heads.iter().map(String::as_str).collect::<Vec<_>>());
        self.rule(heads.len());
        for (target, counts) in modes {
            let all: f64 = counts.values().sum();
            let share = |bound| counts.get(bound).copied().unwrap_or(0.0) / all * 100.0;
            let shares = bounds.iter().map(|bound| finite(share(bound), 1) + " %");
            let cells: Vec<_> = [target.to_string(), format!("{all:.0}")].into_iter().chain(shares).collect();
            self.row(&cells.iter().map(String::as_str).collect::<Vec<_>>());
        }
    }
}

fn micros(seconds: f64) -> String {
    match seconds {
        s if s.is_infinite() => "∞".to_owned(),
        s if s < 1e-3 => format!("{:.0} µs", s * 1e6),
        s => format!("{} ms", (s * 1e4).round() / 10.0),
    }
}

fn finite(value: f64, digits: usize) -> String {
    if value.is_finite() { format!("{value:.digits$}") } else { "-".to_owned() }
}

/// The middle one; NaN where there is none.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn median_of(runs: &[Result<Figures, String>], f: impl Fn(&Figures) -> f64) -> f64 {
    if runs.iter().any(Result::is_err) { f64::NAN } else { median(runs.iter().flatten().map(f)) }
}

fn spread(runs: &[Result<Figures, String>], f: impl Fn(&Figures) -> f64 + Copy) -> [f64; 2] {
    let values = || runs.iter().flatten().map(f);
    [values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max)]
}

/// Whether this process, and so the servers it starts, were put before all ordinary ones (`chrt`).
fn runs_in_real_time() -> bool {
    const POLICY: usize = 38; // behind the name in parentheses
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let policy = stat.rsplit(')').next().and_then(|fields| fields.split_whitespace().nth(POLICY)?.parse::<u32>().ok());
    policy.is_some_and(|policy| policy == 1 || policy == 2)
}

/// Device and file system below the data directories.
fn disk() -> (String, String) {
    let place = data_parent();
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mounts = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ');
        Some((words.next()?, words.next()?, words.next()?))
    });
    let below = mounts.filter(|(_, dir, _)| place.starts_with(dir)).max_by_key(|(_, dir, _)| dir.len());
    let (device, _, kind) = below.unwrap_or(("unknown", "/", "unknown"));
    (device.to_owned(), kind.to_owned())
}

/// What a small write and its sync cost here when nothing else goes on.
fn fsync_cost() -> String {
    const COUNT: usize = 300;
    const PAGE: usize = 4096;
    let dir = data_dir();
    let file = RealDisk.create(&dir.path().join("probe")).expect("the directory is there");
    file.allocate((COUNT * PAGE) as u64).and_then(|()| file.sync_data()).expect("there is room");
    let mut times: Vec<_> = (0..COUNT)
        .map(|index| {
            let start = Instant::now();
            file.write_at(&[1; PAGE], (index * PAGE) as u64)
                .and_then(|()| file.sync_data())
                .expect("the disk is sound");
            start.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    format!("4 KiB + fdatasync: {:.0} µs median, {:.0} µs p99", times[COUNT / 2], times[COUNT * 99 / 100])
}
