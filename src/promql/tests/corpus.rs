//! Every query of the shared conformance scripts.

use std::path::PathBuf;

use crate::promql::{parse, pretty};

/// The queries of the index, or nothing where the folder is not there.
#[allow(clippy::disallowed_methods)] // test data beside the checkout, not ours to simulate
pub(super) fn queries() -> Vec<String> {
    let index = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/conformance/promqltest/INDEX.json");
    let Ok(text) = std::fs::read_to_string(&index) else {
        println!("skipped: {} is not there", index.display());
        return Vec::new();
    };
    let cases: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let queries: Vec<String> = cases.iter().map(|case| case["query"].as_str().unwrap().to_owned()).collect();
    assert!(queries.len() > 1_000, "the index lists {} queries", queries.len());
    queries
}

#[test]
fn every_query_of_the_conformance_scripts_parses() {
    let failed: Vec<String> =
        queries().iter().filter_map(|query| parse(query).err()).map(|error| error.render().to_string()).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn every_query_of_the_conformance_scripts_survives_printing() {
    for query in queries() {
        let tree = parse(&query).unwrap();
        assert_eq!(parse(&tree.to_string()).unwrap(), tree, "{query}");
        assert_eq!(parse(&pretty(&tree)).unwrap(), tree, "{query}");
    }
}
