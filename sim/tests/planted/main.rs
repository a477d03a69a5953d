//! Would the simulator notice? Each of the defects that can be planted in the supervisor has to be found.
#![expect(clippy::unwrap_used, reason = "where the simulator does not run, the test has failed")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use nodesockd_core::defect::Defect;

/// Each defect has to be found within so many seeds.
const SEEDS: u32 = 2000;

#[test]
fn every_planted_defect_is_found() {
    // What is found has to be the defect, not the means to plant it.
    assert_eq!(hunt(None), None, "without a defect, the supervisor is sound");

    let next = AtomicUsize::new(0);
    let found = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(defect) = Defect::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let report = hunt(Some(*defect));
                    found.lock().unwrap_or_else(PoisonError::into_inner).push((*defect, report));
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_by_key(|(defect, _)| *defect as usize);
    let report: Vec<String> = found
        .iter()
        .map(|(defect, report)| {
            let report = report.as_deref().unwrap_or("not found");
            format!("{defect:?}: {}\n    {report}\n", defect.about())
        })
        .collect();
    fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join("found.txt"), report.concat()).unwrap();
    let missed: Vec<Defect> =
        found.iter().filter(|(_, report)| report.is_none()).map(|(defect, _)| *defect).collect();
    assert!(missed.is_empty(), "not found within {SEEDS} seeds: {missed:#?}");
}

/// Looks for a history that goes wrong; returns what the simulator says of it.
fn hunt(defect: Option<Defect>) -> Option<String> {
    let mut simulator = Command::new(env!("CARGO_BIN_EXE_nodesockd-sim"));
    simulator.args(["--fail-fast", "--seeds", &SEEDS.to_string()]);
    if let Some(defect) = defect {
        simulator.args(["--defect", &format!("{defect:?}")]);
    }
    let output = simulator.output().unwrap();
    let report = String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!errors.contains("error: invalid value"), "{errors}");
    (!output.status.success()).then_some(report)
}
