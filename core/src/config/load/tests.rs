//! Stories of files found and laid over one another.

use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use super::super::{Config, Problem, Program};
use super::{Sources, Start, Surroundings, load};

/// Files that exist only here, and who asked for which.
#[derive(Default)]
struct Files {
    texts: BTreeMap<PathBuf, String>,
    asked: Vec<PathBuf>,
}

impl Files {
    fn of<const N: usize>(files: [(&str, &str); N]) -> Self {
        let texts = files.map(|(path, text)| (Path::new("/srv/app").join(path), text.to_owned()));
        Self { texts: texts.into(), asked: Vec::new() }
    }

    fn load(&mut self, start: Start<'_>) -> Result<Config, Vec<Problem>> {
        let around = Surroundings { cwd: PathBuf::from("/srv/app"), cpus: NonZeroU32::new(4).unwrap() };
        load(start, &around, self)
    }
}

impl Sources for Files {
    fn read(&mut self, path: &Path) -> io::Result<String> {
        self.asked.push(path.to_owned());
        self.texts.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

const MINIMAL: &str = "script = 'app.js'\ntmpDir = 'tmp'\n";

#[test]
fn two_lines_are_enough() {
    let config = Files::of([("nodesockd.toml", MINIMAL)]).load(Start::Search).unwrap();
    assert_eq!(config.files, [Path::new("/srv/app/nodesockd.toml")]);
    assert_eq!(config.tmp_dir, Path::new("/srv/app/tmp"));
    assert_eq!(config.ipc_file, Path::new("/srv/app/tmp/nodesockd.ipc"));
    let script = PathBuf::from("/srv/app/app.js");
    assert_eq!(config.program, Program::Script { node: "node".to_owned(), node_args: vec![], script });
    assert_eq!((config.workers.get(), config.standby, config.dev_server), (1, 0, None));
    assert_eq!(config.options, super::super::Options::default());
}
