//! Histories in which something went wrong once, as small as they could be made (`sim/regressions`).

use std::path::Path;

use nodesockd_sim::{History, trace};

#[test]
fn what_went_wrong_once_goes_right_for_ever() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    let mut played = 0;
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let history = History::load(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let outcome = trace(&history.scenario, &history.faults);
        let name = path.display();
        assert_eq!(outcome.violation, None, "{name}, once: {}\n{}", history.found, outcome.trace);
        played += 1;
    }
    assert!(played > 0, "{} is empty", folder.display());
}
