//! Configuration files, valid and invalid, each beside what the loader makes of it.
//!
//! A case is a file, or a folder of files among which the loader searches; either is mounted under `/srv/app`, so
//! that what is stored does not depend on where the repository lies.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use nodesockd_core::config::{self, Config, Problem, Sources, Start, Surroundings};
use nodesockd_core::wire::Json;
use serde_json::Value;

const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config");
const ROOT: &str = "/srv/app";

/// A folder's files, mounted elsewhere.
#[derive(Default)]
struct Mounted(BTreeMap<PathBuf, Vec<u8>>);

impl Mounted {
    /// Mounts the files below `from` at `to`; or the file `from` as `to/nodesockd` with its own ending.
    fn mount(&mut self, from: &Path, to: &Path) {
        if from.is_file() {
            let name = Path::new("nodesockd").with_extension(from.extension().unwrap());
            self.0.insert(to.join(name), fs::read(from).unwrap());
            return;
        }
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            let to = to.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                self.mount(&entry.path(), &to);
            } else {
                self.0.insert(to, fs::read(entry.path()).unwrap());
            }
        }
    }

    fn load(&mut self) -> Result<Config, Vec<Problem>> {
        let cpus = NonZeroU32::new(6).unwrap();
        let around = Surroundings { cwd: ROOT.into(), cpus, node: None };
        config::load(Start::Search, &around, self)
    }
}

impl Sources for Mounted {
    fn read(&mut self, path: &Path) -> io::Result<String> {
        // As the kernel would: `..` leads to the parent, and there are no symlinks here.
        let mut real = PathBuf::new();
        for part in path.components() {
            match part.as_os_str().to_str() {
                Some("..") => _ = real.pop(),
                _ => real.push(part),
            }
        }
        let bytes = self.0.get(&real).ok_or(io::ErrorKind::NotFound)?;
        String::from_utf8(bytes.clone()).map_err(|_| io::ErrorKind::InvalidData.into())
    }
}

/// Loads each case of the folder `kind` and compares what `show` makes of the outcome with what is stored beside it.
fn each_case(kind: &str, show: impl Fn(Result<Config, Vec<Problem>>) -> String) {
    let folder = Path::new(CASES).join(kind);
    let names = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let (stored, mut cases): (Vec<_>, Vec<_>) = names.partition(|name| name.contains(".snap"));
    cases.sort();
    for name in &cases {
        let mut files = Mounted::default();
        files.mount(&folder.join(name), Path::new(ROOT));
        let outcome = show(files.load());
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path(&folder);
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_snapshot!(name.as_str(), outcome));
    }
    for name in stored {
        let case = name.split(".snap").next().unwrap().to_owned();
        assert!(cases.contains(&case), "{kind}/{name} is left over from a case that is gone: remove it");
    }
}

#[test]
fn valid_files_load() {
    each_case("valid", |outcome| {
        let config = outcome.unwrap_or_else(|problems| panic!("{}", rendered(&problems)));
        pretty(&config::resolved(&config))
    });
}

#[test]
fn invalid_files_report_all_problems() {
    each_case("invalid", |outcome| rendered(&outcome.expect_err("nothing was found wrong")));
}

#[test]
fn damaged_file_loads_or_is_refused_with_reasons() {
    for name in ["everything.toml", "written-for-2.x.yaml", "merge-keys.yml"] {
        let path = Path::new(CASES).join("valid").join(name);
        let text = fs::read_to_string(&path).unwrap();
        let mut files = Mounted::default();
        files.mount(&path, Path::new(ROOT));
        let mounted = files.0.keys().next().unwrap().clone();
        for (at, old) in text.char_indices() {
            for new in ["", "\"", "[", "\n", "\u{0}", "ä"] {
                let damaged = [&text[..at], new, &text[at + old.len_utf8()..]].concat();
                files.0.insert(mounted.clone(), damaged.into_bytes());
                if let Err(problems) = files.load() {
                    assert!(!problems.is_empty(), "{name} with {new:?} at {at}");
                    assert!(
                        problems.iter().all(|problem| problem.place.is_some()),
                        "{}",
                        rendered(&problems)
                    );
                }
            }
        }
    }
}

#[test]
fn printed_config_loads_as_the_same_configuration() {
    let mut files = Mounted::default();
    files.mount(&Path::new(CASES).join("valid/everything.toml"), Path::new(ROOT));
    let config = files.load().unwrap();
    let resolved: Value = serde_json::from_str(config::resolved(&config).get()).unwrap();

    let mut files = Mounted::default();
    files.0.insert(Path::new(ROOT).join("nodesockd.yaml"), resolved["config"].to_string().into_bytes());
    let again = files.load().unwrap();
    assert_eq!(again, Config { files: again.files.clone(), ..config });
}

#[test]
fn schema_is_current() {
    let path = Path::new(CASES).join("../../docs/nodesockd.schema.json");
    let schema = config::schema();
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        fs::write(&path, format!("{schema:#}\n")).unwrap();
    }
    let stored = fs::read_to_string(&path).unwrap_or_default();
    let stored: Value = serde_json::from_str(&stored).unwrap_or_default();
    assert!(
        stored == schema,
        "docs/nodesockd.schema.json does not describe today's keys; update it with\n    \
         UPDATE_SCHEMA=1 cargo test -p nodesockd-tests --test config schema"
    );
}

fn rendered(problems: &[Problem]) -> String {
    problems.iter().map(Problem::render).collect::<Vec<_>>().join("\n")
}

fn pretty(json: &Json) -> String {
    let value: Value = serde_json::from_str(json.get()).unwrap();
    format!("{value:#}")
}
