//! Histories in files: those that went wrong once are played for ever.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::faults::FaultPlan;
use crate::scenario::Scenario;

/// A history with its faults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// What went wrong when it was kept.
    pub found: String,
    /// What is played.
    pub scenario: Scenario,
    /// What goes wrong.
    pub faults: FaultPlan,
}

impl History {
    /// Reads a history from a file.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or holds no history.
    pub fn load(path: &Path) -> io::Result<Self> {
        Ok(serde_json::from_str(&fs::read_to_string(path)?)?)
    }

    /// Writes it to a file, for people to read as well.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        fs::write(path, serde_json::to_string_pretty(self)? + "\n")
    }
}
