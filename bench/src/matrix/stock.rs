//! What the registries bring: it is installed once, below `target/matrix`, and used again by the next run.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;
use std::{fs, io};

use nodesockd_bench::folder;
use nodesockd_tests::packages::{self, done};
use nodesockd_tests::program::root;

/// The folder of what is installed and built.
#[derive(Debug)]
pub struct Stock(PathBuf);

impl Stock {
    /// An empty one, or that of a run before.
    pub fn new() -> Self {
        let stock = Self(root().join("target/matrix"));
        fs::create_dir_all(&stock.0).expect("the target folder");
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
        if fs::read(&wanted).ok() == fs::read(&installed).ok() {
            return Ok(());
        }
        done(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
        done(Command::new(pip).args(["install", "--quiet", "--requirement"]).arg(&wanted))?;
        fs::copy(wanted, installed).map(drop).map_err(|error| error.to_string())
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

    /// Builds a project with packages of its own, unless that was done since its sources were changed.
    pub fn build(&self, project: &str) -> Result<(), String> {
        let (sources, folder) = (packages::sources(project), packages::folder(project));
        packages::install(project)?;
        // Builds refuse a package that is a link to elsewhere.
        let library = folder.join("node_modules/nodesockd");
        copy(&root().join("node/lib"), &library.join("lib"))?;
        fs::copy(root().join("node/package.json"), library.join("package.json"))
            .map_err(|error| format!("{}: {error}", library.display()))?;
        let built = folder.join("node_modules/.built");
        let is_built = built.metadata().and_then(|built| Ok(built.modified()? > newest(&sources)?));
        if is_built.unwrap_or(false) {
            return Ok(());
        }
        copy(&sources, &folder)?;
        let mut npm = Command::new("npm");
        npm.args(["run", "build", "--if-present"]).current_dir(&folder);
        done(npm.env("NEXT_TELEMETRY_DISABLED", "1").env("NUXT_TELEMETRY_DISABLED", "1"))?;
        fs::write(&built, "").map_err(|error| format!("{}: {error}", built.display()))
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

/// When the last of the files in a folder was written.
fn newest(folder: &Path) -> io::Result<SystemTime> {
    let mut last = SystemTime::UNIX_EPOCH;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let written = if path.is_dir() { newest(&path)? } else { path.metadata()?.modified()? };
        last = last.max(written);
    }
    Ok(last)
}

/// Copies the files of a folder, and the folders in it.
fn copy(from: &Path, to: &Path) -> Result<(), String> {
    fs::create_dir_all(to).map_err(|error| format!("{}: {error}", to.display()))?;
    done(Command::new("cp").arg("-r").arg(from.join(".")).arg(to))
}
