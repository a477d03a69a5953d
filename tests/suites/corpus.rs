//! Inputs that are worth keeping are tried again: all of `fuzz/corpus`, on the functions that libFuzzer found them with.
#![expect(clippy::expect_used, reason = "a test that cannot go on stops, and says where")]

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

use nodesockd_fuzz::{ALL, corpus};

/// The names in a folder, without their endings.
fn stems(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).expect("a folder of the repository");
    let stem = |path: &Path| path.file_stem().expect("a name").to_string_lossy().into_owned();
    entries.map(|entry| stem(&entry.expect("a file").path())).collect()
}

#[test]
fn corpus_inputs_are_harmless() {
    let mut failed = Vec::new();
    for (target, property) in ALL {
        let inputs = corpus::inputs(&corpus::folder(), target).expect("a corpus that can be read");
        assert!(!inputs.is_empty(), "no corpus for {target}");
        for input in inputs {
            if catch_unwind(|| property(&input.bytes)).is_err() {
                failed.push(input.place);
            }
        }
    }
    assert!(failed.is_empty(), "these inputs fail, for the reasons above:\n{}", failed.join("\n"));
}

#[test]
fn packed_corpus_survives_unpacking_and_packing() {
    let unpacked = tempfile::tempdir().expect("a folder");
    let repacked = tempfile::tempdir().expect("a folder");
    for (target, _) in ALL {
        let (from, folder) = (corpus::folder(), unpacked.path().join(target));
        corpus::unpack(&from, target, &folder).expect("a folder of our own");
        corpus::pack(repacked.path(), target, &folder).expect("a folder of our own");
        let name = format!("{target}.txt");
        let before = fs::read_to_string(from.join(&name)).unwrap_or_default();
        assert_eq!(fs::read_to_string(repacked.path().join(&name)).expect("packed"), before, "{name}");
    }
}

/// Each corpus has a property, and each property a target, so that none is forgotten.
#[test]
fn corpora_properties_and_targets_go_together() {
    let properties: BTreeSet<String> = ALL.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(stems(&corpus::folder()), properties);
    assert_eq!(stems(&corpus::folder().join("../fuzz_targets")), properties);
}
