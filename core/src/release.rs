//! Releases: the folders that workers run.
//!
//! A deploy switches a symlink on the way to the working directory. Workers that belong together run the same folder,
//! whatever the symlink names by the time each of them is started. So the folder is looked up once for each generation.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::{Config, Program};

/// The real folders behind the working directory and the script, absolute, without a symlink on the way; and the variables of the
/// files that belong to them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// The working directory.
    pub dir: PathBuf,
    /// The folder of `script`, if `script` lies outside the working directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script_dir: Option<PathBuf>,
    /// What `envFile` said: names and values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<(String, String)>,
}

/// The symlink on the way to the working directory that deploys switch, and what it names. The texts are those of the symlink itself
/// (`readlink(2)`), so that it is put back exactly as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseLink {
    /// Its absolute path.
    pub path: PathBuf,
    /// What it named before the deploy.
    pub before: PathBuf,
    /// What it is to name.
    pub after: PathBuf,
}

impl Release {
    /// The release by the names of the configuration, symlinks unresolved and files unread.
    #[must_use]
    pub fn named_by(config: &Config) -> Self {
        let script = match &config.program {
            Program::Script { script, .. } => Some(script.as_path()),
            Program::Command(_) => None,
        };
        let outside = script.filter(|script| !script.starts_with(&config.cwd));
        Self {
            dir: config.cwd.clone(),
            script_dir: outside.and_then(Path::parent).map(Path::to_owned),
            env: Vec::new(),
        }
    }

    /// Where `script`, a path of the configuration, lies in this release.
    #[must_use]
    pub fn script(&self, config: &Config, script: &Path) -> PathBuf {
        match (script.strip_prefix(&config.cwd), &self.script_dir, script.file_name()) {
            (Ok(inside), _, _) => self.dir.join(inside),
            (Err(_), Some(folder), Some(name)) => folder.join(name),
            (Err(_), _, _) => script.to_owned(),
        }
    }
}
