//! The story of a run: aligned lines in virtual time for people, and a hash of everything for machines.

use std::fmt::{self, Write};

use nodesockd_core::Time;

/// Collects lines, if they are wanted, and hashes all that happens.
#[derive(Debug)]
pub(crate) struct Trace {
    lines: Option<Vec<Line>>,
    hash: Fnv,
}

#[derive(Debug, PartialEq, Eq)]
struct Line {
    at: Time,
    who: String,
    what: String,
}

impl Trace {
    pub fn new(keep: bool) -> Self {
        Self { lines: keep.then(Vec::new), hash: Fnv::default() }
    }

    /// Something worth reading.
    pub fn line(&mut self, at: Time, who: impl fmt::Display, what: impl fmt::Display) {
        self.hash.number(at.as_nanos());
        let _ = write!(self.hash, "{who} {what}");
        if let Some(lines) = &mut self.lines {
            lines.push(Line { at, who: who.to_string(), what: what.to_string() });
        }
    }

    /// Something that only matters for telling two runs apart.
    pub fn note(&mut self, at: Time, what: &[u64]) {
        self.hash.number(at.as_nanos());
        what.iter().for_each(|number| self.hash.number(*number));
    }

    pub fn hash(&self) -> u64 {
        self.hash.0
    }

    /// The lines; what is said again at once is said once, with its number.
    pub fn render(&self) -> String {
        let lines = self.lines.as_deref().unwrap_or_default();
        let width = lines.iter().map(|line| line.who.len()).max().unwrap_or(0);
        let mut out = String::new();
        for same in lines.chunk_by(|a, b| a.who == b.who && a.what == b.what) {
            let [first, ..] = same else { continue };
            let at = first.at.as_nanos() / 1000;
            let _ = write!(
                out,
                "{:>6}.{:06}  {:width$}  {}",
                at / 1_000_000,
                at % 1_000_000,
                first.who,
                first.what
            );
            if same.len() > 1 {
                let _ = write!(out, " (×{})", same.len());
            }
            out.push('\n');
        }
        out
    }
}

/// FNV-1a, 64 bits: order matters, and nothing else is asked of it.
#[derive(Debug)]
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn number(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x0100_0000_01b3).rotate_left(29);
    }
}

impl Write for Fnv {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Ok(())
    }
}
