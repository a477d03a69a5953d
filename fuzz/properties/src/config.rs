//! Configuration files.

use std::io;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use nodesockd_core::config::{Config, Problem, Sources, Start, Surroundings, load, resolved};
use nodesockd_core::text::escape;

/// A TOML file is a configuration, or everything wrong with it is said; so are those it extends.
pub fn config_toml(bytes: &[u8]) {
    config(bytes, "toml");
}

/// A YAML file, likewise.
pub fn config_yaml(bytes: &[u8]) {
    config(bytes, "yaml");
}

/// Between files: the first is loaded, and reached by the others' numbers are the rest: `extends = "./1.yaml"`.
const SEPARATOR: char = '\u{1e}';

struct Files<'a>(Vec<&'a str>);

impl Sources for Files<'_> {
    fn read(&mut self, path: &Path) -> io::Result<String> {
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<usize>().ok());
        let text = number.and_then(|number| self.0.get(number));
        text.map(|text| (*text).to_owned()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

fn config(bytes: &[u8], ending: &str) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut files = Files(text.split(SEPARATOR).collect());
    match parse(&format!("0.{ending}"), &mut files) {
        Ok(config) => comes_back(&config),
        Err(problems) => {
            assert!(!problems.is_empty(), "wrong, and nothing is said about it");
            problems.iter().for_each(|problem| helps(problem, &files));
        }
    }
}

fn parse(name: &str, files: &mut Files<'_>) -> Result<Config, Vec<Problem>> {
    let around = Surroundings { cwd: PathBuf::from("/srv/app"), cpus: NonZeroU32::MIN, node: None };
    load(Start::File(Path::new(name)), &around, files)
}

/// A problem can be shown to people, and lies where it says.
fn helps(problem: &Problem, files: &Files<'_>) {
    let sentence = problem.to_string();
    assert_eq!(escape(&sentence, usize::MAX), sentence, "not fit to be shown");
    let rendered = problem.render();
    rendered.lines().for_each(|line| assert_eq!(escape(line, usize::MAX), line, "not fit to be shown"));
    let Some(place) = problem.place.as_ref().filter(|place| place.line > 0) else { return };
    let number = place.file.file_stem().and_then(|stem| stem.to_str()?.parse::<usize>().ok());
    let text = number.and_then(|number| files.0.get(number)).copied().unwrap_or_default();
    let line = text.split('\n').nth(place.line as usize - 1);
    let width = line.map(|line| line.chars().count());
    assert!(
        width.is_some_and(|width| (1..=width + 1).contains(&(place.column as usize))),
        "no such place: {place:?}"
    );
}

/// What `config` answers is a configuration file that gives the same configuration.
fn comes_back(config: &Config) {
    let answer = resolved(config);
    let answer: serde_json::Value = serde_json::from_str(answer.get()).unwrap_or_default();
    let text = answer["config"].to_string();
    match parse("0.yaml", &mut Files(vec![&text])) {
        Ok(again) => assert_eq!(comparable(again), comparable(config.clone())),
        Err(problems) => {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            panic!("{} of {text}", problems.join("; "));
        }
    }
}

/// Without what may differ: the files, and the order of variables.
fn comparable(mut config: Config) -> Config {
    config.files.clear();
    config.env.set.sort();
    config
}

/// The configuration that a good file gives.
pub(crate) fn of_toml(text: &str) -> Config {
    match parse("0.toml", &mut Files(vec![text])) {
        Ok(config) => config,
        Err(problems) => panic!("{problems:?}"),
    }
}
