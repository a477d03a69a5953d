//! `limits`: sizes and ages as people write them.

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::setting::{Misfit, Setting, misfit};
use super::tree::Node;

/// `limits`: what a worker may come to before it is replaced.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Limits {
    /// `memory`
    pub memory: Option<MemoryLimit>,
    /// `age`
    pub age: Option<Age>,
}

/// How much memory a worker may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryLimit {
    /// So many bytes.
    Bytes(u64),
    /// So many percent of what there may be.
    Share(u32),
}

/// How old a worker may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Age(pub Duration);

/// Units of memory, the largest first.
pub(super) const SIZES: [(char, u64); 3] = [('G', 1 << 30), ('M', 1 << 20), ('K', 1 << 10)];
/// Units of time in seconds, the largest first.
const TIMES: [(char, u64); 4] = [('d', 86_400), ('h', 3600), ('m', 60), ('s', 1)];

impl MemoryLimit {
    /// The limit in bytes, where there may be `room` bytes.
    #[must_use]
    pub fn bytes(self, room: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Share(percent) => room / 100 * u64::from(percent),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        if let Some(percent) = text.strip_suffix('%') {
            let percent = percent.parse().ok().filter(|percent| (1..=100).contains(percent))?;
            return Some(Self::Share(percent));
        }
        quantity(text, &SIZES).map(Self::Bytes)
    }

    fn text(self) -> String {
        match self {
            Self::Bytes(bytes) => written(bytes, &SIZES),
            Self::Share(percent) => format!("{percent}%"),
        }
    }
}

/// A whole number, at least 1, and one of the units.
pub(super) fn quantity(text: &str, units: &[(char, u64)]) -> Option<u64> {
    let (unit, factor) = units.iter().find(|(unit, _)| text.ends_with(*unit))?;
    let number: u64 = text.strip_suffix(*unit)?.parse().ok()?;
    number.checked_mul(*factor).filter(|quantity| *quantity > 0)
}

pub(super) fn written(quantity: u64, units: &[(char, u64)]) -> String {
    let fits = units.iter().find(|(_, factor)| quantity.is_multiple_of(*factor));
    fits.map_or_else(|| quantity.to_string(), |(unit, factor)| format!("{}{unit}", quantity / factor))
}

impl Setting for MemoryLimit {
    fn expected() -> String {
        "a size such as \"512M\" or \"2G\", or a share of the memory there is, such as \"25%\"".to_owned()
    }

    fn read(node: &Node) -> Result<Self, Vec<Misfit>> {
        node.value.as_text().and_then(Self::parse).map_or_else(|| misfit(node), Ok)
    }

    fn json(&self) -> Json {
        self.text().into()
    }

    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^[0-9]+[KMG%]$" })
    }
}

impl Setting for Age {
    fn expected() -> String {
        "a time such as \"24h\", with one of the units s, m, h and d".to_owned()
    }

    fn read(node: &Node) -> Result<Self, Vec<Misfit>> {
        let seconds = node.value.as_text().and_then(|text| quantity(text, &TIMES));
        seconds.map_or_else(|| misfit(node), |seconds| Ok(Self(Duration::from_secs(seconds))))
    }

    fn json(&self) -> Json {
        written(self.0.as_secs(), &TIMES).into()
    }

    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^[0-9]+[smhd]$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_a_size_or_a_share() {
        let bytes = |text| MemoryLimit::parse(text).map(|limit| limit.bytes(1 << 30));
        assert_eq!(bytes("512M"), Some(512 << 20));
        assert_eq!(bytes("2G"), Some(2 << 30));
        assert_eq!(bytes("25%"), Some((1 << 30) / 100 * 25));
        for wrong in ["", "512", "M", "0M", "1.5G", "101%", "0%", "99999999999999G"] {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn quantities_are_written_in_their_largest_unit() {
        assert_eq!(written(90 * 60, &TIMES), "90m");
        assert_eq!(written(86_400, &TIMES), "1d");
        assert_eq!(written(1536 << 20, &SIZES), "1536M");
    }
}
