//! The order of the layers, held by reading every import.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// Lowest first. Names on one line do not know each other.
const LAYERS: &[&[&str]] = &[
    &["model", "metrics"],
    &["codec", "disk", "protocol"],
    &["stage", "memtable", "index", "parts"],
    &["durability", "flush", "compaction"],
    &["engine"],
    &["ingest", "select"],
    &["promql"],
    &["http"],
    &["config"],
    &["commands"],
];

fn level(name: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&name))
}

#[allow(clippy::disallowed_methods)] // it reads the source, not data
fn source_files(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            source_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The layers that a source text names after `crate::`, in paths and in the first level of braces.
fn used_layers(text: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
        if !rest.starts_with('{') {
            used.insert(word(rest));
            continue;
        }
        let (mut depth, mut expects_name) = (0, true);
        for (place, c) in rest.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 1 => expects_name = true,
                c if depth == 1 && expects_name && (c.is_alphabetic() || c == '_') => {
                    used.insert(word(&rest[place..]));
                    expects_name = false;
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
    used
}

/// What of `used` the layer `name` must not know.
fn forbidden(name: &str, used: &BTreeSet<String>) -> Vec<String> {
    let own = level(name).unwrap();
    used.iter().filter(|used| *used != name && level(used).is_some_and(|other| other >= own)).cloned().collect()
}

#[test]
fn no_layer_knows_a_later_one_or_its_neighbour() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut broken = Vec::new();
    for name in LAYERS.iter().copied().flatten() {
        let mut files = Vec::new();
        if root.join(name).is_dir() {
            source_files(&root.join(name), &mut files);
        }
        let is_test =
            |file: &PathBuf| file.components().any(|part| part.as_os_str().to_string_lossy().starts_with("tests"));
        for file in files.iter().filter(|file| !is_test(file)) {
            #[allow(clippy::disallowed_methods)] // it reads the source, not data
            let text = std::fs::read_to_string(file).unwrap();
            for other in forbidden(name, &used_layers(&text)) {
                broken.push(format!("{} uses {other}", file.strip_prefix(&root).unwrap().display()));
            }
        }
    }
    assert!(broken.is_empty(), "imports against the stream:\n{}", broken.join("\n"));
}

#[test]
fn the_check_sees_an_import_against_the_stream() {
    let used =
        used_layers("use crate::{\n    disk::{self, Disk},\n    engine::Engine,\n};\nfn f() { crate::http::serve() }");
    assert_eq!(used.iter().collect::<Vec<_>>(), ["disk", "engine", "http"]);
    assert_eq!(forbidden("stage", &used), ["engine", "http"]);
    assert_eq!(forbidden("codec", &used), ["disk", "engine", "http"]);
    assert!(forbidden("config", &used).is_empty());
}
