//! The user's chapters, as text: what they show, and where they lead.

use std::fs;
use std::path::{Path, PathBuf};

use crate::program::root;

const UPDATE: &str = "UPDATE_DOCS=1 cargo test -p nodesockd-tests --test docs";

/// A chapter, or a README.
#[derive(Debug)]
pub struct Chapter {
    /// Its file.
    pub path: PathBuf,
    text: String,
}

/// A fenced block: the words after the fence, and what is inside.
#[derive(Debug)]
pub struct Block<'a> {
    /// The line of its fence.
    pub line: usize,
    /// Its language.
    pub kind: &'a str,
    /// The file that it shows as a whole.
    pub name: Option<&'a str>,
    /// What is said since the block before.
    pub lead: String,
    /// What is inside.
    pub text: String,
}

impl Block<'_> {
    /// Whether it is something to type.
    #[must_use]
    pub fn is_commands(&self) -> bool {
        self.kind == "shell" && self.name.is_none()
    }
}

impl Chapter {
    /// Reads it.
    ///
    /// # Panics
    ///
    /// When there is no such file.
    #[must_use]
    pub fn read(path: PathBuf) -> Self {
        let text = fs::read_to_string(&path).expect("the repository");
        Self { path, text }
    }

    /// All chapters, and everything else in the repository that is written to be read.
    ///
    /// # Panics
    ///
    /// When they cannot be read.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let mut paths = Vec::new();
        collect(root(), &mut paths);
        paths.sort();
        paths.into_iter().map(Self::read).collect()
    }

    /// Its path from the root of the repository.
    ///
    /// # Panics
    ///
    /// Never for ours.
    #[must_use]
    pub fn name(&self) -> String {
        self.path.strip_prefix(root()).expect("the repository").display().to_string()
    }

    /// Its fenced blocks.
    ///
    /// # Panics
    ///
    /// When one is not closed.
    #[must_use]
    pub fn blocks(&self) -> Vec<Block<'_>> {
        let mut blocks = Vec::new();
        let mut lead = String::new();
        let mut open: Option<Block<'_>> = None;
        for (index, line) in self.text.lines().enumerate() {
            match (&mut open, line.trim_start().strip_prefix("```")) {
                (Some(_), Some("")) => blocks.extend(open.take()),
                (Some(block), _) => block.text += &format!("{line}\n"),
                (None, Some(info)) => {
                    let mut words = info.split_whitespace();
                    let (kind, name) = (words.next().unwrap_or_default(), words.next());
                    let lead = std::mem::take(&mut lead);
                    open = Some(Block { line: index + 1, kind, name, lead, text: String::new() });
                }
                (None, None) => lead += &format!("{line}\n"),
            }
        }
        assert!(open.is_none(), "{}: a fenced block is not closed", self.name());
        blocks
    }

    /// The text outside of fenced blocks.
    pub fn prose(&self) -> impl Iterator<Item = &str> {
        let mut fenced = false;
        self.text.lines().filter(move |line| {
            let fence = line.trim_start().starts_with("```");
            fenced ^= fence;
            !fenced && !fence
        })
    }

    /// The anchors of its headings, as GitHub makes them.
    #[must_use]
    pub fn anchors(&self) -> Vec<String> {
        let headings = self.prose().filter(|line| line.starts_with('#'));
        let anchor = |heading: &str| {
            let words = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = words.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        };
        headings.map(anchor).collect()
    }

    /// Where its links lead, but for those to other sites.
    #[must_use]
    pub fn links(&self) -> Vec<&str> {
        let targets = self.prose().flat_map(|line| line.split("](").skip(1));
        targets
            .filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
            .filter(|target| !target.contains("://"))
            .collect()
    }

    /// Replaces what is between two markers by what it ought to be, or fails because it is not.
    ///
    /// # Panics
    ///
    /// Then, or when the markers are missing.
    pub fn generated(&mut self, marker: &str, wanted: &str) {
        let start = self.text.find(&format!("<!-- {marker}")).expect("the repository");
        let start = start + self.text[start..].find("-->\n").expect("the repository") + "-->\n".len();
        let end = self.text.find(&format!("<!-- /{marker} -->")).expect("the repository");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            self.text.replace_range(start..end, wanted);
            fs::write(&self.path, &self.text).expect("the repository");
            return;
        }
        let stored = &self.text[start..end];
        assert!(stored == wanted, "{} is not current; update it with\n    {UPDATE}", self.name());
    }
}

/// What is in a folder.
///
/// # Panics
///
/// When it cannot be read.
pub fn entries(folder: impl AsRef<Path>) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).expect("the repository").map(|entry| entry.expect("the repository").path())
}

/// All Markdown in a folder, but for what is hidden, built or installed.
fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for path in entries(folder) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && !name.starts_with('.') && name != "target" && name != "node_modules" {
            collect(&path, found);
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
}
