//! The files in an app's folder.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::exit::{Exit, Failure};
use crate::render;

/// Bytes of a file that are looked at.
const READ: usize = 1 << 20;

/// An app's folder.
#[derive(Debug)]
pub(in crate::setup::init) struct Files {
    folder: PathBuf,
    /// `package.json`; null where there is none.
    pub(in crate::setup::init) package: Value,
}

impl Files {
    /// Those of a folder.
    ///
    /// # Errors
    ///
    /// Exit code 1: its `package.json` cannot be read.
    pub(in crate::setup::init) fn in_folder(folder: &Path) -> Result<Self, Failure> {
        Ok(Self { folder: folder.to_owned(), package: package(folder)? })
    }

    /// Whether there is such a file or folder.
    pub(super) fn has(&self, name: &str) -> bool {
        self.folder.join(name).exists()
    }

    /// Whether there is such a file.
    pub(super) fn has_file(&self, name: &str) -> bool {
        self.folder.join(name).is_file()
    }

    /// The beginning of a file; empty where there is none.
    pub(in crate::setup::init) fn text(&self, name: &str) -> String {
        let bytes = std::fs::read(self.folder.join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes[..bytes.len().min(READ)]).into_owned()
    }

    /// The first of these files that there is, with its text.
    pub(super) fn first<'a>(&self, names: &[&'a str]) -> Option<(&'a str, String)> {
        names.iter().find(|name| self.has_file(name)).map(|name| (*name, self.text(name)))
    }

    /// The names in a folder, sorted.
    pub(super) fn names(&self, folder: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.join(folder)).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    /// The folder's own name.
    pub(in crate::setup::init) fn folder_name(&self) -> Option<String> {
        self.folder.file_name().map(|name| name.to_string_lossy().into_owned())
    }

    /// Whether the package depends on another one.
    pub(in crate::setup::init) fn depends(&self, name: &str) -> bool {
        ["dependencies", "devDependencies"].iter().any(|kind| !self.package[kind][name].is_null())
    }

    /// A script of the package.
    pub(super) fn script(&self, name: &str) -> Option<&str> {
        self.package["scripts"][name].as_str()
    }
}

/// `package.json`; null where there is none.
fn package(folder: &Path) -> Result<Value, Failure> {
    let file = folder.join("package.json");
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Value::Null),
        Err(error) => {
            return Err(Failure::new(
                Exit::Unexpected,
                format!("cannot read {}: {error}", render::path(&file)),
            ));
        }
    };
    serde_json::from_str(text.trim_start_matches('\u{feff}')).map_err(|error| {
        Failure::new(Exit::Unexpected, format!("{} is not JSON: {error}", render::path(&file)))
            .help("correct it; npm needs it, too")
    })
}
