//! The control socket of a configuration that is invalid elsewhere: a command to the daemon that runs needs no more.

use std::path::{Path, PathBuf};

use super::load::{Sources, Start, layers};
use super::paths::{Surroundings, join};
use super::tree::Node;
use super::{toml, yaml};

/// How often a file is read again, each time up to the error before.
const ATTEMPTS: usize = 100;

/// The path of the control socket that the files name, as far as they can be read. It may be wrong: what cannot be read
/// may have said something else.
pub fn control_socket(start: Start<'_>, around: &Surroundings, sources: &mut dyn Sources) -> Option<PathBuf> {
    let (layer, files) = layers(start, around, sources, readable)?;
    let folder = files.first()?.parent()?;
    let tmp_dir = join(folder, Path::new(&layer.tmp_dir.value()?));
    Some(join(&tmp_dir, Path::new(&layer.ipc_file.value()?)))
}

/// What can be read of a file that is not in its syntax.
fn readable(path: &Path, text: &str) -> Option<Node> {
    if path.extension().is_some_and(|ending| ending == "toml") {
        return Some(toml::readable(text));
    }
    let mut rest = text;
    // What stands before the first error is mostly whole; where it is not, the error moves up.
    for _ in 0..ATTEMPTS {
        let errors = match yaml::parse(rest) {
            Ok(node) => return Some(node),
            Err(errors) => errors,
        };
        let error = errors.first()?.span.start.min(rest.len());
        let before = rest.get(..error)?.trim_end_matches('\n');
        rest = before.get(..before.rfind('\n')?).filter(|rest| !rest.is_empty())?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tree::Value;

    fn keys(name: &str, text: &str) -> Vec<String> {
        match readable(Path::new(name), text).map(|node| node.value) {
            Some(Value::Table(entries)) => entries.into_iter().map(|entry| entry.key).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn what_stands_before_an_error_is_read() {
        assert_eq!(keys("a.yml", "tmpDir: run\nipcFile: x\nworkers: [2\n"), ["tmpDir", "ipcFile"]);
        assert_eq!(keys("a.yml", "tmpDir: run\nname: \"shop\nworkers: 2\n"), ["tmpDir"]);
        assert_eq!(keys("a.yml", "tmpDir: [\n"), [""; 0]);
        let mut of_toml = keys("a.toml", "tmpDir = 'run'\nworkers = = 2\nipcFile = 'x'\n");
        of_toml.sort();
        assert!(
            of_toml.contains(&"tmpDir".to_owned()) && of_toml.contains(&"ipcFile".to_owned()),
            "{of_toml:?}"
        );
    }

    struct File(&'static str);

    impl Sources for File {
        fn read(&mut self, _path: &Path) -> std::io::Result<String> {
            Ok(self.0.to_owned())
        }
    }

    #[test]
    fn the_control_socket_is_known_although_the_rest_is_wrong() {
        let named = |name: &str, text| {
            let around = Surroundings { cwd: "/srv/app".into(), cpus: std::num::NonZeroU32::MIN, node: None };
            control_socket(Start::File(Path::new(name)), &around, &mut File(text))
        };
        assert_eq!(
            named("a.toml", "tmpDir = 'run'\nipcFile = 'x'\nworkers = = 2\n"),
            Some("/srv/app/run/x".into())
        );
        assert_eq!(named("a.yml", "tmpDir: run\nipcFile: xy\nworkers: [2\n"), Some("/srv/app/run/xy".into()));
        assert_eq!(named("a.toml", "workers = 'many'\n"), None, "no folder is named");
    }
}
