//! What libFuzzer found worth keeping is tried again: all of `fuzz/corpus`, on the functions that it was found with.
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on stops, and says where")]

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus")
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.expect("a file").file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn all_bytes_ever_found_are_harmless() {
    let mut failed = Vec::new();
    for (target, property) in nodesockd_fuzz::ALL {
        let folder = corpus().join(target);
        let inputs = names(&folder);
        assert!(!inputs.is_empty(), "no corpus: {}", folder.display());
        for name in inputs {
            let path = folder.join(name);
            let bytes = fs::read(&path).expect("a file");
            if catch_unwind(|| property(&bytes)).is_err() {
                failed.push(path.display().to_string());
            }
        }
    }
    assert!(failed.is_empty(), "these inputs fail, for the reasons above:\n{}", failed.join("\n"));
}

/// Each corpus has a property, and each property a target, so that none is forgotten.
#[test]
fn corpora_properties_and_targets_go_together() {
    let properties: BTreeSet<String> =
        nodesockd_fuzz::ALL.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(&corpus()), properties);
    let targets = names(&corpus().join("../fuzz_targets"));
    assert_eq!(targets, properties.iter().map(|name| format!("{name}.rs")).collect());
}
