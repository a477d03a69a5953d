//! `log`: files that workers' output is written to, line by line.

use std::ffi::OsStr;
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

    /// The number of a file that was written to before, by its name in the folder; `None` if it is another file.
    #[must_use]
    pub fn number(&self, file_name: &OsStr) -> Option<u32> {
        let rest = file_name.to_str()?.strip_prefix(&self.name)?;
        let number = rest.strip_prefix(".log.")?;
        let is_ours = number.bytes().all(|byte| byte.is_ascii_digit()) && !number.starts_with('0');
        number.parse().ok().filter(|_| is_ours)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_before_are_known_by_their_numbers() {
        let (format, rotate, keep) = (LogFormat::Text, LogSize::DEFAULT, Log::KEEP);
        let log = Log { dir: "/log".into(), format, rotate, keep, name: "shop".into() };
        assert_eq!(log.file(), PathBuf::from("/log/shop.log"));
        for number in [1, 12] {
            assert_eq!(log.former(number).file_name().and_then(|name| log.number(name)), Some(number));
        }
        for other in
            ["shop.log", "shop.log.", "shop.log.0", "shop.log.01", "shop.log.+1", "shop.log.old", "a.log.1"]
        {
            assert_eq!(log.number(OsStr::new(other)), None, "{other}");
        }
    }
}
