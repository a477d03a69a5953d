//! `log`: files that workers' output is written to, line by line.

use std::num::NonZeroU32;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::limits::{SIZES, quantity, written};
use super::setting::{Misfit, Setting, misfit};
use super::tree::Node;

/// `log`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// `dir`, absolute.
    pub dir: PathBuf,
    /// `format`
    pub format: LogFormat,
    /// `rotate`
    pub rotate: LogSize,
    /// `keep`
    pub keep: NonZeroU32,
    /// What the files are named after: the name of the app, without slashes.
    pub name: String,
}

impl Log {
    /// `keep`, where it is not set.
    pub(super) const KEEP: NonZeroU32 = const { NonZeroU32::new(10).unwrap() };

    /// The file that is written to now.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.dir.join(format!("{}.log", self.name))
    }

    /// The file that was written to before, so many files ago.
    #[must_use]
    pub fn former(&self, number: u32) -> PathBuf {
        self.dir.join(format!("{}.log.{number}", self.name))
    }
}

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people: time, slot, worker and stream before what was written.
    Text,
    /// For programs: an object of JSON.
    Json,
}

/// So many bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LogSize(pub u64);

impl LogSize {
    pub(super) const DEFAULT: Self = Self(100 << 20);
}

impl Setting for LogSize {
    fn expected() -> String {
        "a size such as \"100M\" or \"1G\"".to_owned()
    }

    fn read(node: &Node) -> Result<Self, Vec<Misfit>> {
        let bytes = node.value.as_text().and_then(|text| quantity(text, &SIZES));
        bytes.map_or_else(|| misfit(node), |bytes| Ok(Self(bytes)))
    }

    fn json(&self) -> Json {
        written(self.0, &SIZES).into()
    }

    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^[0-9]+[KMG]$" })
    }
}
