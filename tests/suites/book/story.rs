//! How a chapter is followed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use nodesockd_tests::chapter::{Block, Chapter, entries};
use nodesockd_tests::machine::Machine;
use nodesockd_tests::program::root;

/// A chapter whose commands are run, and the files that it shows written.
#[derive(Debug)]
pub struct Story {
    /// Its path from the root of the repository.
    pub chapter: &'static str,
    /// The blocks of commands that are not run: how each begins, and why not.
    pub left_out: &'static [(&'static str, &'static str)],
}

impl Story {
    pub fn read(&self) -> Chapter {
        Chapter::read(root().join(self.chapter))
    }

    /// What there is to do, in its order.
    pub fn steps<'a>(&self, chapter: &'a Chapter) -> Vec<Block<'a>> {
        let mut steps = chapter.blocks();
        steps.retain(|block| block.name.is_some() || block.is_commands());
        for step in &steps {
            // What is written behind a fence is not shown.
            let told = step.name.is_none_or(|file| step.lead.contains(file));
            assert!(told, "{}:{}: the text does not say which file this is", self.chapter, step.line);
        }
        for (start, reason) in self.left_out {
            let before = steps.len();
            steps.retain(|step| !step.text.starts_with(start));
            assert_eq!(before - steps.len(), 1, "{}: {start} {reason}: there is no such block", self.chapter);
        }
        steps
    }
}

/// Steps as a script: files are written to where they belong, commands are run.
pub fn script(steps: &[Block<'_>]) -> String {
    let mut script = String::new();
    for step in steps {
        match step.name {
            Some(name) => {
                let _ = write!(script, "cat > {name} <<'END OF FILE'\n{}END OF FILE\n", step.text);
                if step.text.starts_with("#!") {
                    let _ = writeln!(script, "chmod +x {name}");
                }
            }
            None => script += &step.text,
        }
    }
    script
}

/// Has npm ask a registry in the machine with our packages, and with what the examples have installed.
pub fn registry(machine: &Machine) {
    publish(machine, &root().join("target/npm"));
    let installed = root().join("examples/express-api/node_modules");
    machine.must(&format!(
        "systemd-run --quiet --unit=registry --property=StandardOutput=file:/root/registry \
           --setenv=PATH=\"$PATH\" node {} /root/packed {}
         until [ -s /root/registry ]; do sleep 0.1; done
         npm config set registry \"$(cat /root/registry)\"",
        root().join("tests/fixtures/registry.mjs").display(),
        installed.display(),
    ));
}

/// Puts what `node/scripts/pack.js` has packed into that registry.
pub fn publish(machine: &Machine, folder: &Path) {
    let packed = entries(folder).filter(|path| path.extension().is_some_and(|it| it == "tgz"));
    let packed: Vec<PathBuf> = packed.collect();
    assert!(packed.len() > 1, "there are no packages; run node/scripts/pack.js, as tests/run does");
    for package in packed {
        machine.bring(&package, "/root/packed");
    }
}
