//! The evaluator and the storage below it against Prometheus's scripts and our own.

use std::path::{Path, PathBuf};

use crate::{
    promql::functions::FUNCTIONS,
    select::Series,
    tests::{
        promqltest::{Outcome, run},
        stored::{Kept, source},
    },
};

/// Scripts of Prometheus, and how many of their cases need no native histograms: all of these pass.
const SCRIPTS: [(&str, usize); 21] = [
    ("aggregators", 94),
    ("at_modifier", 59),
    ("collision", 2),
    ("duration_expression", 53),
    ("extended_vectors", 96),
    ("fill-modifier", 40),
    ("functions", 269),
    ("histograms", 72),
    ("info", 43),
    ("limit", 1),
    ("literals", 25),
    ("name_label_dropping", 26),
    ("native_histograms", 3),
    ("operators", 114),
    ("range_queries", 14),
    ("selectors", 26),
    ("staleness", 17),
    ("start_timestamps", 16),
    ("subquery", 22),
    ("trig_functions", 19),
    ("type_and_unit", 49),
];

/// Runs a script with its data kept in one way, prints how it went, and gives the numbers of passed and failed cases.
#[allow(clippy::disallowed_methods)] // test data is read from real files
fn run_file(path: &Path, kept: Kept) -> (usize, usize) {
    let name = path.file_stem().unwrap().to_string_lossy().into_owned();
    let text = std::fs::read_to_string(path).unwrap();
    let report = run(&text, &move |series: &[Series]| source(kept, series))
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
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
    println!("{name:<24} {kept:<10?} {passed:>4} passed {failed:>4} failed {waiting:>4} need native histograms");
    (passed, failed)
}

#[test]
fn the_scripts_of_prometheus_pass() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/conformance/promqltest");
    if !folder.exists() {
        println!("skipped: no {}", folder.display());
        return;
    }
    for kept in Kept::ALL {
        for (name, count) in SCRIPTS {
            let (passed, failed) = run_file(&folder.join(format!("{name}.test")), kept);
            assert!(passed >= count, "{name}, {kept:?}: {passed} cases pass, {count} did before");
            assert!(failed == 0, "{name}, {kept:?}: {failed} cases fail");
        }
    }
}

#[test]
fn our_own_scripts_pass() {
    let scripts = scripts_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/promql"));
    assert!(!scripts.is_empty(), "no scripts in testdata/promql");
    let results: Vec<(usize, usize)> =
        Kept::ALL.into_iter().flat_map(|kept| scripts.iter().map(move |path| run_file(path, kept))).collect();
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
