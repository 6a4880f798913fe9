//! The evaluator against Prometheus's scripts and our own.

use std::path::{Path, PathBuf};

use crate::{
    model::{Matcher, TimeRange},
    promql::functions::FUNCTIONS,
    select::{Error, Series, Source},
    tests::promqltest::{Outcome, run},
};

/// Series in memory.
struct Memory(Vec<Series>);

impl Source for Memory {
    fn select<'a>(
        &'a self,
        matchers: &'a [Matcher],
        range: TimeRange,
    ) -> Result<Box<dyn Iterator<Item = Result<Series, Error>> + 'a>, Error> {
        let passes =
            move |series: &&Series| matchers.iter().all(|matcher| matcher.matches(series.labels.get(&matcher.name)));
        let cut = move |series: &Series| {
            let inside = range.indices_in(&series.times);
            let (times, values) = (series.times[inside.clone()].to_vec(), series.values[inside].to_vec());
            (!times.is_empty()).then(|| Ok(Series { labels: series.labels.clone(), times, values }))
        };
        Ok(Box::new(self.0.iter().filter(passes).filter_map(cut)))
    }
}

fn in_memory(series: &[Series]) -> Box<dyn Source> {
    Box::new(Memory(series.to_vec()))
}

/// Scripts of Prometheus, how many of their cases pass at least, and whether all that need no native histograms must.
/// Sources carry no start timestamps yet, hence the one exception.
const SCRIPTS: [(&str, usize, bool); 21] = [
    ("aggregators", 94, true),
    ("at_modifier", 59, true),
    ("collision", 2, true),
    ("duration_expression", 53, true),
    ("extended_vectors", 96, true),
    ("fill-modifier", 40, true),
    ("functions", 269, true),
    ("histograms", 72, true),
    ("info", 43, true),
    ("limit", 1, true),
    ("literals", 25, true),
    ("name_label_dropping", 26, true),
    ("native_histograms", 3, true),
    ("operators", 114, true),
    ("range_queries", 14, true),
    ("selectors", 26, true),
    ("staleness", 17, true),
    ("start_timestamps", 2, false),
    ("subquery", 22, true),
    ("trig_functions", 19, true),
    ("type_and_unit", 49, true),
];

/// Runs a script, prints how it went, and gives the numbers of passed and failed cases.
#[allow(clippy::disallowed_methods)] // test data is read from real files
fn run_file(path: &Path) -> (usize, usize) {
    let name = path.file_stem().unwrap().to_string_lossy().into_owned();
    let text = std::fs::read_to_string(path).unwrap();
    let report = run(&text, &in_memory).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (mut passed, mut failed, mut waiting) = (0, 0, 0);
    for (line, outcome) in &report {
        match outcome {
            Outcome::Passed => passed += 1,
            Outcome::NeedsHistograms => waiting += 1,
            Outcome::Failed(reason) => {
                failed += 1;
                println!("  {name}:{line}: {reason}");
            }
        }
    }
    println!("{name:<24} {passed:>4} passed {failed:>4} failed {waiting:>4} need native histograms");
    (passed, failed)
}

#[test]
fn the_scripts_of_prometheus_pass() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/conformance/promqltest");
    if !folder.exists() {
        println!("skipped: no {}", folder.display());
        return;
    }
    for (name, floor, complete) in SCRIPTS {
        let (passed, failed) = run_file(&folder.join(format!("{name}.test")));
        assert!(passed >= floor, "{name}: {passed} cases pass, {floor} did before");
        assert!(!complete || failed == 0, "{name}: {failed} cases fail");
    }
}

#[test]
fn our_own_scripts_pass() {
    let scripts = scripts_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/promql"));
    assert!(!scripts.is_empty(), "no scripts in testdata/promql");
    let results: Vec<(usize, usize)> = scripts.iter().map(|path| run_file(path)).collect();
    assert!(results.iter().all(|&(passed, failed)| passed > 0 && failed == 0), "see above which cases fail");
}

#[test]
#[allow(clippy::disallowed_methods)] // test data is read from real files
fn every_function_is_called_in_a_script_of_ours() {
    let scripts = scripts_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/promql/functions"));
    let text: String = scripts.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let called = |name: &str| text.contains(&format!(" {name}(")) || text.contains(&format!("({name}("));
    let missing: Vec<_> = FUNCTIONS.iter().map(|function| function.name).filter(|name| !called(name)).collect();
    assert!(missing.is_empty(), "no script calls {missing:?}");
}

#[allow(clippy::disallowed_methods)] // test data is read from real files
fn scripts_below(folder: &Path) -> Vec<PathBuf> {
    let mut scripts = Vec::new();
    let entries = std::fs::read_dir(folder).unwrap();
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            scripts.extend(scripts_below(&path));
        } else if path.extension().is_some_and(|extension| extension == "test") {
            scripts.push(path);
        }
    }
    scripts.sort();
    scripts
}
