//! Would the simulator notice? Bugs are planted in a copy of the supervisor, and each of them has to be found.
#![expect(clippy::unwrap_used, reason = "where the copy cannot be made or built, the test has failed")]

mod bugs;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use bugs::BUGS;

/// Each bug has to be found within so many seeds.
const SEEDS: u32 = 2000;

/// What the copy's supervisor asks.
const SWITCH: &str = r#"
/// Whether the process is to have this bug.
pub fn planted(bug: &str) -> bool {
    static BUG: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    BUG.get_or_init(|| std::env::var("PLANTED").ok()).as_deref() == Some(bug)
}
"#;

#[test]
fn every_planted_bug_is_found() {
    let simulator = build(&plant());
    // It is the bugs that are found, not the means to plant them.
    assert_eq!(hunt(&simulator, "", SEEDS), None, "the copy is sound until a bug is chosen");

    let next = AtomicUsize::new(0);
    let found = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(bug) = BUGS.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let report = hunt(&simulator, bug.name, SEEDS);
                    found.lock().unwrap_or_else(PoisonError::into_inner).push((bug.name, report));
                }
            });
        }
    });
    let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    let missed: Vec<&str> =
        found.iter().filter(|(_, report)| report.is_none()).map(|(name, _)| *name).collect();
    let report: Vec<String> = found
        .iter()
        .map(|(name, report)| format!("{name}\n    {}\n", report.as_deref().unwrap_or("not found")))
        .collect();
    fs::write(copy().join("found.txt"), report.concat()).unwrap();
    assert!(missed.is_empty(), "not found within {SEEDS} seeds: {missed:#?}");
}

/// Where the copy is kept between runs, so that only what has changed is built again.
fn copy() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("planted")
}

/// Copies core and simulator, with all bugs in their places and none of them chosen.
fn plant() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let copy = copy();
    let manifest = fs::read_to_string(workspace.join("Cargo.toml")).unwrap();
    let lines = manifest.lines().filter(|line| !line.starts_with("default-members"));
    let lines =
        lines.map(|line| if line.starts_with("members") { "members = [\"core\", \"sim\"]" } else { line });
    let manifest: Vec<&str> = lines.collect();
    // Under a name of its own, beside the real one.
    put(
        &copy.join("Cargo.toml"),
        &manifest.join("\n").replace("dev.package.nodesockd-sim", "dev.package.planted"),
    );
    for name in ["Cargo.lock", "core/Cargo.toml"] {
        put(&copy.join(name), &fs::read_to_string(workspace.join(name)).unwrap());
    }
    let manifest = fs::read_to_string(workspace.join("sim/Cargo.toml")).unwrap();
    let manifest = manifest.replace("name = \"nodesockd-sim\"", "name = \"planted\"");
    put(&copy.join("sim/Cargo.toml"), &format!("{manifest}\n[lib]\nname = \"nodesockd_sim\"\n"));
    for source in ["core/src", "sim/src"] {
        transplant(&workspace.join(source), &copy.join(source));
    }
    copy
}

/// Copies sources, and plants what belongs into them.
fn transplant(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().unwrap().is_dir() {
            transplant(&from, &to);
            continue;
        }
        let mut text = fs::read_to_string(&from).unwrap();
        for bug in BUGS.iter().filter(|bug| from.ends_with(Path::new("supervisor").join(bug.file))) {
            let places = text.matches(bug.right).count();
            assert_eq!(places, 1, "{}: {:?} occurs {places} times in {}", bug.name, bug.right, bug.file);
            let switch = format!("crate::planted({:?})", bug.name);
            text = text.replace(bug.right, &bug.wrong.replace("BUG", &switch));
        }
        if from.ends_with("core/src/lib.rs") {
            text.push_str(SWITCH);
        }
        put(&to, &text);
    }
}

/// Writes a file, unless it says that already: what is not touched is not built again.
fn put(path: &Path, text: &str) {
    if fs::read_to_string(path).is_ok_and(|before| before == text) {
        return;
    }
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Builds the copy; returns its simulator.
fn build(copy: &Path) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--offline", "--package", "planted", "--target-dir"])
        .arg(target)
        .current_dir(copy)
        .env("RUSTFLAGS", "-Awarnings")
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    target.join("debug/planted")
}

/// Looks for a history that goes wrong; returns what the simulator says of it.
fn hunt(simulator: &Path, bug: &str, seeds: u32) -> Option<String> {
    let seeds = seeds.to_string();
    let output = Command::new(simulator)
        .args(["--fail-fast", "--seeds", &seeds])
        .env("PLANTED", bug)
        .output()
        .unwrap();
    let report = String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned();
    (!output.status.success()).then_some(report)
}
