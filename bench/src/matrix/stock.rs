//! What the registries bring: it is installed once, below `target/matrix`, and used again by the next run.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nodesockd_bench::folder;
use nodesockd_tests::program::root;

/// The folder of what is installed and built.
#[derive(Debug)]
pub struct Stock(PathBuf);

impl Stock {
    /// An empty one, or that of a run before.
    pub fn new() -> Self {
        let stock = Self(root().join("target/matrix"));
        std::fs::create_dir_all(&stock.0).expect("the target folder");
        stock
    }

    /// A program of `requirements.txt`, from PyPI.
    pub fn python(&self, program: &str) -> String {
        self.0.join("python/bin").join(program).display().to_string()
    }

    /// Installs what `requirements.txt` lists.
    pub fn install_python(&self) -> Result<(), String> {
        let wanted = sources().join("requirements.txt");
        let environment = self.0.join("python");
        let (pip, installed) = (environment.join("bin/pip"), environment.join("requirements.txt"));
        if std::fs::read(&wanted).ok() == std::fs::read(&installed).ok() {
            return Ok(());
        }
        done(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
        done(Command::new(pip).args(["install", "--quiet", "--requirement"]).arg(&wanted))?;
        std::fs::copy(wanted, installed).map(drop).map_err(|error| error.to_string())
    }

    /// The program of the crate `rust`, with its dependencies from crates.io.
    pub fn rust(&self) -> PathBuf {
        self.0.join("rust/release/numbers")
    }

    /// Builds that.
    pub fn build_rust(&self) -> Result<(), String> {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--locked", "--release", "--target-dir"]).arg(self.0.join("rust"));
        done(cargo.current_dir(sources().join("rust")))
    }

    /// Installs the packages of `node`, which the frameworks are among.
    pub fn install_node(&self) -> Result<(), String> {
        let package = root().join("node");
        if package.join("node_modules").is_dir() {
            return Ok(());
        }
        done(Command::new("npm").args(["ci", "--silent", "--prefix"]).arg(package))
    }

    /// A runtime that npm brings: where it lies depends on whether npm runs install scripts.
    pub fn runtime(&self, files: &[&str]) -> Result<String, String> {
        self.install_node()?;
        let modules = root().join("node/node_modules");
        let found = files.iter().map(|file| modules.join(file)).find(|file| file.exists());
        found
            .map(|file| file.display().to_string())
            .ok_or_else(|| format!("npm has brought no {}", files.join(", ")))
    }
}

/// The folder of the apps.
pub fn sources() -> PathBuf {
    folder().join("apps/matrix")
}

/// Whether a program is there, by a question that it answers.
pub fn installed(words: &[&str], package: &str) -> Result<(), String> {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let answers = command.status().is_ok_and(|status| status.success());
    if answers { Ok(()) } else { Err(missing(package)) }
}

/// Says that a package is not there.
pub fn missing(package: &str) -> String {
    format!("Debian's package `{package}` is not installed")
}

fn done(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let last = said.trim().lines().last().unwrap_or_default().to_owned();
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("{}: {last}", Path::new(command.get_program()).display()))
    }
}
