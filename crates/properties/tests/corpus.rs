//! The kept corpora of `tests/fuzz`, replayed without a fuzzer.

use std::fs;
use std::path::{Path, PathBuf};
use vestibule_properties::ALL;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz")
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    names
}

/// SEC-23: what is kept of each target holds.
#[test]
fn every_property_holds_of_its_corpus() {
    let mut broken = Vec::new();
    for (name, property) in ALL {
        let corpus = folder().join("corpus").join(name);
        let files = names(&corpus);
        assert!(!files.is_empty(), "{name} has no corpus");
        for file in files {
            let bytes = fs::read(corpus.join(&file)).expect("a file");
            if std::panic::catch_unwind(|| property(&bytes)).is_err() {
                broken.push(format!("{name}/{file}"));
            }
        }
    }
    assert!(broken.is_empty(), "does not hold of {broken:?}");
}

/// SEC-23: each property is a target, and each target has a corpus.
#[test]
fn every_property_is_a_target() {
    let properties: Vec<&str> = ALL.iter().map(|(name, _)| *name).collect();
    let targets = names(&folder().join("targets"));
    let targets: Vec<&str> = targets.iter().filter_map(|file| file.strip_suffix(".rs")).collect();
    assert_eq!(targets, properties);
    assert_eq!(names(&folder().join("corpus")), properties);
    let manifest = fs::read_to_string(folder().join("Cargo.toml")).expect("a manifest");
    for name in properties {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is not in the manifest");
    }
}
